// Products of matrices and vectors: mm, bmm, mv, dot, matmul, outer. Transposed operands, forward and backward, reach
// the kernels as flags and are never copied.
#include "core/ops/matmul.h"

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/gemm.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"

namespace bulssi {

// ---- kernels ------------------------------------------------------------------------------------------------------

MatrixArgument::MatrixArgument(const Tensor& t) : tensor(t) {
  const int d = t.dims();
  const int64_t rows = t.shape()[d - 2], cols = t.shape()[d - 1];
  int64_t row = t.strides()[d - 2], col = t.strides()[d - 1];
  if ((col == 1 || cols <= 1) && (rows <= 1 || row >= std::max<int64_t>(1, cols))) {
    transposed = false;
    ld = rows <= 1 ? std::max<int64_t>(1, cols) : row;
  } else if ((row == 1 || rows <= 1) && (cols <= 1 || col >= std::max<int64_t>(1, rows))) {
    transposed = true;
    ld = cols <= 1 ? std::max<int64_t>(1, rows) : col;
  } else {
    tensor = empty(t.shape(), t.dtype());
    copy_data(tensor, t);
    transposed = false;
    ld = std::max<int64_t>(1, cols);
  }
  data = tensor->data();
}

namespace {

// The leading dimensions of three operands, walked together; neighbours are merged where all strides allow.
struct Batches {
  Dims shape, a, b;
  Batches(const Tensor& x, const Tensor& y, const Tensor& out) {
    const int lead = out.dims() - 2;
    for (int i = 0; i < lead; ++i) {
      const int64_t n = out.shape()[i];
      if (n == 1) continue;
      const int64_t step_a = step(x, i - (out.dims() - x.dims()), n), step_b = step(y, i - (out.dims() - y.dims()), n);
      if (!shape.empty() && a.back() == step_a * n && b.back() == step_b * n) {
        shape.back() *= n;
        a.back() = step_a;
        b.back() = step_b;
      } else {
        shape.push_back(n);
        a.push_back(step_a);
        b.push_back(step_b);
      }
    }
  }
  static int64_t step(const Tensor& t, int i, int64_t n) {
    return i < 0 || (t.shape()[i] == 1 && n != 1) ? 0 : t.strides()[i];
  }
};

constexpr int64_t kBatchWork = int64_t{1} << 18;  // multiply-adds that a thread takes at a time, at least

}  // namespace

void product_data(const Tensor& a, const Tensor& b, const Tensor& out, const Scalar& alpha, const Scalar& beta,
                  const void* bias) {
  if (out.numel() == 0 || without_elements(out)) return;
  const MatrixArgument x(a), y(b);
  const int d = out.dims();
  const int64_t m = out.shape()[d - 2], n = out.shape()[d - 1], k = a.shape()[a.dims() - 1];
  const DType type = out.dtype();
  const Unlocked unlocked(out.numel() * k / 16);
  if (d == 2) {
    return gemm(type, x.transposed, y.transposed, m, n, k, alpha, x.data, x.ld, y.data, y.ld, beta, out->data(), n,
                bias);
  }
  const Batches walk(x.tensor, y.tensor, out);
  if (walk.shape.size() <= 1 && !bias) {
    const int64_t count = walk.shape.empty() ? 1 : walk.shape[0];
    const int64_t step_a = walk.a.empty() ? 0 : walk.a[0], step_b = walk.b.empty() ? 0 : walk.b[0];
    return gemm_batched(type, count, x.transposed, y.transposed, m, n, k, alpha, x.data, x.ld, step_a, y.data, y.ld,
                        step_b, beta, out->data(), n, m * n);
  }
  const int64_t size = itemsize(type), work = std::max<int64_t>(1, m * n * k), count = out.numel() / (m * n);
  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      int64_t at_a = 0, at_b = 0, rest = t;
      for (int i = walk.shape.dims(); i-- > 0;) {
        at_a += rest % walk.shape[i] * walk.a[i];
        at_b += rest % walk.shape[i] * walk.b[i];
        rest /= walk.shape[i];
      }
      gemm(type, x.transposed, y.transposed, m, n, k, alpha, x.data + at_a * size, x.ld, y.data + at_b * size, y.ld,
           beta, out->data() + t * m * n * size, n, bias);
    }
  };
  // Few large products are split themselves.
  if (work >= 64 * kBatchWork && count < 16) return run(0, count);
  parallel_for(count, std::max<int64_t>(1, kBatchWork / work), run);
}

// ---- mm -----------------------------------------------------------------------------------------------------------

namespace {

// Are the columns of t side by side? Gradients of such operands are made that way too.
bool by_columns(const Tensor& t) { return !t.contiguous() && t.strides()[0] == 1 && t.strides()[1] == t.shape()[0]; }
const Tensor none;

void check_matrices(const Tensor& a, const Tensor& b, const char* op) {
  check(a.dims() == 2, "self must be a matrix\n", op, ": the first argument has shape ", Ints(a.shape()),
        a.dims() > 2 ? "; matmul multiplies batches" : "");
  check(b.dims() == 2, "mat2 must be a matrix\n", op, ": the second argument has shape ", Ints(b.shape()),
        b.dims() > 2    ? "; matmul multiplies batches"
        : b.dims() == 1 ? "; mv multiplies by a vector"
                        : "");
}
void check_inner(const Tensor& a, const Tensor& b, const char* op) {
  const int64_t m = a.shape()[0], k = a.shape()[1], rows = b.shape()[0], n = b.shape()[1];
  if (k == rows) return;
  fail("mat1 and mat2 shapes cannot be multiplied (", m, "x", k, " and ", rows, "x", n, ")\n", op,
       ": the first matrix has ", k, " columns (shape ", Ints(a.shape()), ") and the second ", rows, " rows (shape ",
       Ints(b.shape()), "); they must be equal", n == k ? ": did you mean to transpose the second one (.T)?" : ".");
}

}  // namespace
void check_same_type(const Tensor& a, const Tensor& b, const char* op) {
  check(a.dtype() == b.dtype(), "expected m1 and m2 to have the same dtype, but got: ", c_name(a.dtype()),
        " != ", c_name(b.dtype()), "\n", op, ": the first argument is ", a.dtype(), ", the second ", b.dtype(),
        "; convert one of them with .to(…).");
}

Tensor mm(const Tensor& self, const Tensor& mat2) {
  check_matrices(self, mat2, "mm");
  check_inner(self, mat2, "mm");
  check_same_type(self, mat2, "mm");
  const int64_t shape[] = {self.shape()[0], mat2.shape()[1]};
  Tensor out = empty(shape, self.dtype());
  product_data(self, mat2, out);
  if (!recording({&self, &mat2})) return out;
  const bool a_cols = by_columns(self), b_cols = by_columns(mat2);
  return record("MmBackward0", {&self, &mat2}, std::move(out),
                [a_cols, b_cols](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  if (c.needs(0)) {
                    const Tensor b = c.saved(1);
                    c.set(0, a_cols ? mT(mm(b, mT(g))) : mm(g, mT(b)));
                  }
                  if (c.needs(1)) {
                    const Tensor a = c.saved(0);
                    c.set(1, b_cols ? mT(mm(mT(g), a)) : mm(mT(a), g));
                  }
                },
                {kept_for(mat2, self), kept_for(self, mat2)});
}
OPERATION("mm(Tensor self, Tensor mat2) -> Tensor", mm,
          "Product of two matrices, (m, k) and (k, n); the result is (m, n).",
          {.out = true, .autocast = Autocast::lower, .also = {3, 4}})

// ---- bmm ----------------------------------------------------------------------------------------------------------

Tensor bmm(const Tensor& self, const Tensor& mat2) {
  check(self.dims() == 3, "batch1 must be a 3D tensor\nbmm: the first argument has shape ", Ints(self.shape()));
  check(mat2.dims() == 3, "batch2 must be a 3D tensor\nbmm: the second argument has shape ", Ints(mat2.shape()));
  const int64_t b = self.shape()[0], m = self.shape()[1], k = self.shape()[2];
  check(mat2.shape()[0] == b && mat2.shape()[1] == k,
        "Expected size for first two dimensions of batch2 tensor to be: [", b, ", ", k, "] but got: [", mat2.shape()[0],
        ", ", mat2.shape()[1], "].\nbmm: batch1 has shape ", Ints(self.shape()), " and batch2 ", Ints(mat2.shape()),
        "; (b, m, k) takes (b, k, n).");
  check(self.dtype() == mat2.dtype(), "expected scalar type ", legacy_name(self.dtype()), " but found ",
        legacy_name(mat2.dtype()), "\nbmm: batch1 is ", self.dtype(), ", batch2 ", mat2.dtype());
  check(self.dtype() != DType::boolean, ErrorKind::not_implemented, "\"bmm\" not implemented for 'Bool'");
  const int64_t shape[] = {b, m, mat2.shape()[2]};
  Tensor out = empty(shape, self.dtype());
  product_data(self, mat2, out);
  if (!recording({&self, &mat2})) return out;
  return record("BmmBackward0", {&self, &mat2}, std::move(out),
                [](BackwardCall& c) {
                  if (c.needs(0)) c.set(0, bmm(c.grad(), mT(c.saved(1))));
                  if (c.needs(1)) c.set(1, bmm(mT(c.saved(0)), c.grad()));
                },
                {kept_for(mat2, self), kept_for(self, mat2)});
}
OPERATION("bmm(Tensor self, Tensor mat2) -> Tensor", bmm,
          "Products of the matrices of two batches, (b, m, k) and (b, k, n); the result is (b, m, n).",
          {.out = true, .autocast = Autocast::lower, .also = {3, 4}})

// ---- vectors ------------------------------------------------------------------------------------------------------

namespace {
// A vector whose step is positive.
Tensor forward(const Tensor& vec) { return vec.strides()[0] > 0 || vec.numel() <= 1 ? vec : dense(clone(detach(vec))); }
}  // namespace

Tensor mv(const Tensor& self, const Tensor& vec) {
  check(self.dims() == 2 && vec.dims() == 1, "vector + matrix @ vector expected, got 1, ", self.dims(), ", ",
        vec.dims(), "\nmv: a matrix (m, k) and a vector (k) are multiplied; the shapes are ", Ints(self.shape()),
        " and ", Ints(vec.shape()));
  const int64_t m = self.shape()[0], k = self.shape()[1];
  check(vec.shape()[0] == k, "size mismatch, got input (", m, "), mat (", m, "x", k, "), vec (", vec.shape()[0],
        ")\nmv: a matrix of ", k, " columns takes a vector of ", k, " elements.");
  check(self.dtype() == vec.dtype(), "addmv input tensors must have the same dtype, but got ", legacy_name(vec.dtype()),
        ", ", legacy_name(self.dtype()), ", and ", legacy_name(vec.dtype()), "\nmv: the matrix is ", self.dtype(),
        ", the vector ", vec.dtype());
  check(self.dtype() != DType::boolean, ErrorKind::not_implemented, "\"addmv_impl_cpu\" not implemented for 'Bool'");
  Tensor out = empty(Ints(&m, 1), self.dtype());
  if (m > 0 && !without_elements(out)) {
    const MatrixArgument a(self);
    const Tensor x = forward(vec);
    const Unlocked unlocked(m * k / 4);
    gemv(out.dtype(), a.transposed, a.transposed ? k : m, a.transposed ? m : k, Scalar(1), a.data, a.ld, x->data(),
         std::max<int64_t>(1, x.strides()[0]), Scalar(0), out->data(), 1);
  }
  if (!recording({&self, &vec})) return out;
  return record("MvBackward0", {&self, &vec}, std::move(out),
                [](BackwardCall& c) {
                  if (c.needs(0)) c.set(0, outer(c.grad(), c.saved(1)));
                  if (c.needs(1)) c.set(1, mv(mT(c.saved(0)), c.grad()));
                },
                {kept_for(vec, self), kept_for(self, vec)});
}
OPERATION("mv(Tensor self, Tensor vec) -> Tensor", mv, "Product of a matrix (m, k) and a vector (k).", {.out = true})

namespace {

void check_dot(const Tensor& a, const Tensor& b) {
  check(a.dims() == 1 && b.dims() == 1, "1D tensors expected, but got ", a.dims(), "D and ", b.dims(),
        "D tensors\ndot: the shapes are ", Ints(a.shape()), " and ", Ints(b.shape()));
  check(a.dtype() == b.dtype(), "dot : expected both vectors to have same dtype, but found ", legacy_name(a.dtype()),
        " and ", legacy_name(b.dtype()));
  check(a.numel() == b.numel(), "inconsistent tensor size, expected tensor [", a.numel(), "] and src [", b.numel(),
        "] to have the same number of elements, but got ", a.numel(), " and ", b.numel(), " elements respectively");
}
Tensor dot_named(const char* name, const Tensor& a, const Tensor& b) {
  check_dot(a, b);
  Tensor out = empty({}, a.dtype());
  const Unlocked unlocked(a.numel());
  if (!without_elements(out))
    dot(a.dtype(), a.numel(), a->data(), a.strides()[0], b->data(), b.strides()[0], out->data());
  return record(name, {&a, &b}, std::move(out),
                [](BackwardCall& c) {
                  if (c.needs(0)) c.set(0, c.grad() * c.saved(1));
                  if (c.needs(1)) c.set(1, c.grad() * c.saved(0));
                },
                {kept_for(b, a), kept_for(a, b)});
}

}  // namespace

Tensor dot(const Tensor& self, const Tensor& tensor) { return dot_named("DotBackward0", self, tensor); }
OPERATION("dot(Tensor self, Tensor tensor) -> Tensor", (+[](const Tensor& a, const Tensor& b) { return dot(a, b); }),
          "Sum of the products of two vectors' elements.", {.out = true})
OPERATION("vdot(Tensor self, Tensor other) -> Tensor",
          (+[](const Tensor& a, const Tensor& b) { return dot_named("VdotBackward0", a, b); }),
          "Sum of the products of two vectors' elements (the first one conjugated, if complex).", {.out = true})

Tensor outer(const Tensor& self, const Tensor& vec2) {
  check(self.dims() == 1, "outer: Expected 1-D argument self, but got ", self.dims(), "-D");
  check(vec2.dims() == 1, "outer: Expected 1-D argument vec2, but got ", vec2.dims(), "-D");
  return unsqueeze(self, 1) * vec2;
}
OPERATION("outer(Tensor self, Tensor vec2) -> Tensor", outer,
          "All products of an element of self and one of vec2: (m) and (n) give (m, n).",
          {.kind = OpKind::composite, .out = true, .aliases = "ger"})

// ---- matmul -------------------------------------------------------------------------------------------------------

namespace {

Dims result_shape(const Tensor& a, const Tensor& b) {
  const int da = a.dims(), db = b.dims();
  Dims lead = da == 2 ? Dims(Ints(b.shape().data(), size_t(db - 2)))
              : db == 2
                  ? Dims(Ints(a.shape().data(), size_t(da - 2)))
                  : broadcast_shapes(Ints(a.shape().data(), size_t(da - 2)), Ints(b.shape().data(), size_t(db - 2)));
  lead.push_back(a.shape()[da - 2]);
  lead.push_back(b.shape()[db - 1]);
  return lead;
}

// Matrices in the last two dimensions, the leading ones broadcast.
Tensor batched(const Tensor& a, const Tensor& b) {
  const Dims shape = result_shape(a, b);
  const int64_t k = a.shape()[a.dims() - 1], rows = b.shape()[b.dims() - 2];
  if (k != rows) {
    int64_t batch = 1;
    for (size_t i = 0; i + 2 < shape.size(); ++i) batch *= shape[i];
    fail("Expected size for first two dimensions of batch2 tensor to be: [", batch, ", ", k, "] but got: [", batch,
         ", ", rows, "].\nmatmul: the matrices of the first argument have ", k, " columns (shape ", Ints(a.shape()),
         ") and those of the second ", rows, " rows (shape ", Ints(b.shape()), "); they must be equal.");
  }
  check(a.dtype() == b.dtype(), "expected scalar type ", legacy_name(a.dtype()), " but found ", legacy_name(b.dtype()),
        "\nmatmul: the first argument is ", a.dtype(), ", the second ", b.dtype());
  check(a.dtype() != DType::boolean, ErrorKind::not_implemented, "\"bmm\" not implemented for 'Bool'");
  Tensor out = empty(shape, a.dtype());
  product_data(a, b, out);
  if (!recording({&a, &b})) return out;
  const Dims a_shape = a.shape(), b_shape = b.shape();
  return record("UnsafeViewBackward0", {&a, &b}, std::move(out),
                [a_shape, b_shape](BackwardCall& c) {
                  if (c.needs(0)) c.set(0, sum_to(batched(c.grad(), mT(c.saved(1))), a_shape));
                  if (c.needs(1)) c.set(1, sum_to(batched(mT(c.saved(0)), c.grad()), b_shape));
                },
                {kept_for(b, a), kept_for(a, b)});
}

// a (…, m, k) and one matrix b (k, n): all rows of a together make one tall matrix.
Tensor folded(const Tensor& a, const Tensor& b) {
  const int64_t k = a.shape()[a.dims() - 1],
                tall[] = {k ? a.numel() / k : numel_of(Ints(a.shape().data(), a.shape().size() - 1)), k};
  Dims shape = a.shape();
  shape.back() = b.shape()[1];
  return reshape(mm(reshape(a, tall), b), shape);
}

Tensor folded_vector(const Tensor& a, const Tensor& v) {
  const int64_t k = a.shape()[a.dims() - 1];
  const Ints lead(a.shape().data(), a.shape().size() - 1);
  const int64_t tall[] = {numel_of(lead), k};
  return reshape(mv(reshape(a, tall), v), lead);
}

}  // namespace

Tensor matmul(const Tensor& self, const Tensor& other) {
  const int da = self.dims(), db = other.dims();
  if (da == 2 && db == 2) return mm(self, other);
  check(da > 0 && db > 0, "both arguments to matmul need to be at least 1D, but they are ", da, "D and ", db,
        "D\nmatmul: the shapes are ", Ints(self.shape()), " and ", Ints(other.shape()), "; * multiplies by a number.");
  if (da == 1 && db == 1) return dot(self, other);
  if (da == 2 && db == 1) return mv(self, other);
  if (da == 1 && db == 2) return squeeze(mm(unsqueeze(self, 0), other), 0);
  if (db == 1) return folded_vector(self, other);
  if (da == 1) return squeeze(batched(unsqueeze(self, 0), other), -2);
  if (db == 2) return folded(self, other);
  return batched(self, other);
}
OPERATION("matmul(Tensor self, Tensor other) -> Tensor", matmul,
          "Product of vectors, matrices or batches of matrices (what @ calls): two vectors give their dot product, a "
          "vector counts as a row on the left and a column on the right, and leading dimensions broadcast.",
          {.out = true, .aliases = "linalg.matmul", .autocast = Autocast::lower})

}  // namespace bulssi
