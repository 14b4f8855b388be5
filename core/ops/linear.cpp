// Products with something added: addmm, addmv, addr, baddbmm, addbmm, and the linear layer with its bias.
#include "core/cpu/cpu.h"
#include "core/cpu/gemm.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/matmul.h"

namespace bulssi {

namespace {

const Tensor none;
bool is_one(const Scalar& s) { return s.as_double() == 1; }
bool is_zero(const Scalar& s) { return s.as_double() == 0; }
Tensor scaled(const Tensor& t, const Scalar& s) { return is_one(s) ? t : Tensor::apply<Mul>(t, s); }
// A factor of a product of integers is cut to an integer, as the kernels do.
Scalar factor(const Scalar& s, DType dtype) {
  check_fits(s, wide(dtype));
  return is_floating(dtype) ? s : Scalar(s.as_int());
}

// What an addition starts from: self broadcast to the shape of the result; self's bytes are not read where beta is 0.
Tensor start(const Tensor& self, Ints shape, const Scalar& beta) {
  const Tensor expanded = expand(detach(self), shape);
  Tensor out = empty(shape, self.dtype());
  if (!is_zero(beta)) copy_data(out, expanded);
  return out;
}
Tensor spread_gradient(const Tensor& g, const Scalar& beta, Ints shape) { return sum_to(scaled(g, beta), shape); }

}  // namespace

// ---- addmm --------------------------------------------------------------------------------------------------------

Tensor addmm(const Tensor& self, const Tensor& mat1, const Tensor& mat2, Scalar beta, Scalar alpha) {
  check(mat1.dims() == 2, "mat1 must be a matrix, got ", mat1.dims(), "-D tensor\naddmm: mat1 has shape ",
        Ints(mat1.shape()));
  check(mat2.dims() == 2, "mat2 must be a matrix, got ", mat2.dims(), "-D tensor\naddmm: mat2 has shape ",
        Ints(mat2.shape()));
  const int64_t m = mat1.shape()[0], k = mat1.shape()[1], n = mat2.shape()[1];
  check(mat2.shape()[0] == k, "mat1 and mat2 shapes cannot be multiplied (", m, "x", k, " and ", mat2.shape()[0], "x",
        n, ")\naddmm: mat1 has ", k, " columns (shape ", Ints(mat1.shape()), ") and mat2 ", mat2.shape()[0],
        " rows (shape ", Ints(mat2.shape()), "); they must be equal.");
  check(self.dtype() == mat2.dtype(), "self and mat2 must have the same dtype, but got ", legacy_name(self.dtype()),
        " and ", legacy_name(mat2.dtype()));
  check(mat1.dtype() == mat2.dtype(), "mat1 and mat2 must have the same dtype, but got ", legacy_name(mat1.dtype()),
        " and ", legacy_name(mat2.dtype()));
  check(self.dtype() != DType::boolean, ErrorKind::not_implemented, "\"addmm_impl_cpu_\" not implemented for 'Bool'");
  const int64_t shape[] = {m, n};
  alpha = factor(alpha, self.dtype());
  beta = factor(beta, self.dtype());
  Tensor out;
  if (self.dims() == 1 && self.shape()[0] == n && self.contiguous() && is_one(beta)) {
    out = empty(shape, self.dtype());
    product_data(mat1, mat2, out, alpha, Scalar(0), without_elements(out) ? nullptr : self->data());
  } else {
    out = start(self, shape, beta);
    product_data(mat1, mat2, out, alpha, beta);
  }
  if (!recording({&self, &mat1, &mat2})) return out;
  return record("AddmmBackward0", {&self, &mat1, &mat2}, std::move(out),
                [alpha, beta, shape = self.shape()](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  if (c.needs(0)) c.set(0, spread_gradient(g, beta, shape));
                  if (c.needs(1)) c.set(1, scaled(mm(g, mT(c.saved(1))), alpha));
                  if (c.needs(2)) c.set(2, scaled(mm(mT(c.saved(0)), g), alpha));
                },
                {keep(recording(mat2) ? mat1 : none), keep(recording(mat1) ? mat2 : none)});
}
OPERATION("addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", addmm,
          "beta * self + alpha * (mat1 @ mat2), self broadcast to (m, n). With beta = 0 self is not read.",
          {.inplace = true, .out = true, .autocast = Autocast::lower, .also = {4, 7}})

Tensor addmv(const Tensor& self, const Tensor& mat, const Tensor& vec, Scalar beta, Scalar alpha) {
  check(mat.dims() == 2 && vec.dims() == 1 && self.dims() <= 1, "vector + matrix @ vector expected, got ", self.dims(),
        ", ", mat.dims(), ", ", vec.dims(), "\naddmv: the shapes are ", Ints(self.shape()), ", ", Ints(mat.shape()),
        " and ", Ints(vec.shape()));
  const int64_t m = mat.shape()[0], k = mat.shape()[1];
  check(vec.shape()[0] == k && (self.numel() == m || self.numel() == 1), "size mismatch, got input (",
        self.dims() ? self.shape()[0] : 1, "), mat (", m, "x", k, "), vec (", vec.shape()[0], ")");
  check(self.dtype() == mat.dtype() && mat.dtype() == vec.dtype(),
        "addmv input tensors must have the same dtype, but got ", legacy_name(self.dtype()), ", ",
        legacy_name(mat.dtype()), ", and ", legacy_name(vec.dtype()));
  check(self.dtype() != DType::boolean, ErrorKind::not_implemented, "\"addmv_impl_cpu\" not implemented for 'Bool'");
  alpha = factor(alpha, self.dtype());
  beta = factor(beta, self.dtype());
  Tensor out = start(self, Ints(&m, 1), beta);
  const Tensor x = dense(vec);
  product_data(mat, alias(x, x.layout().unsqueezed(1)), alias(out, out.layout().unsqueezed(1)), alpha, beta);
  if (!recording({&self, &mat, &vec})) return out;
  return record("AddmvBackward0", {&self, &mat, &vec}, std::move(out),
                [alpha, beta, shape = self.shape()](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  if (c.needs(0)) c.set(0, spread_gradient(g, beta, shape));
                  if (c.needs(1)) c.set(1, scaled(outer(g, c.saved(1)), alpha));
                  if (c.needs(2)) c.set(2, scaled(mv(mT(c.saved(0)), g), alpha));
                },
                {keep(recording(vec) ? mat : none), keep(recording(mat) ? vec : none)});
}
OPERATION("addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor", addmv,
          "beta * self + alpha * (mat @ vec). With beta = 0 self is not read.", {.inplace = true, .out = true})

namespace {

Tensor addr_value(const Tensor& self, const Tensor& vec1, const Tensor& vec2, const Scalar& beta, const Scalar& alpha) {
  const GradMode off(false);
  const bool logical = self.dtype() == DType::boolean && vec1.dtype() == self.dtype() && vec2.dtype() == self.dtype();
  const Tensor product = logical ? outer(vec1, vec2) : scaled(outer(vec1, vec2), alpha);
  const Tensor expanded = expand(self, product.shape());
  if (is_zero(beta)) return product;
  if (logical) return Tensor::apply<LogicalOr>(expanded, product);
  return scaled(expanded, beta) + product;
}
Tensor addr(const Tensor& self, const Tensor& vec1, const Tensor& vec2, Scalar beta, Scalar alpha) {
  check(vec1.dims() == 1, "addr: Expected 1-D argument vec1, but got ", vec1.dims(), "-D");
  check(vec2.dims() == 1, "addr: Expected 1-D argument vec2, but got ", vec2.dims(), "-D");
  const DType common = promote(self.dtype(), promote(vec1.dtype(), vec2.dtype()));
  for (Scalar each : {beta, alpha}) check_fits(each, wide(common));
  Tensor out = addr_value(self, vec1, vec2, beta, alpha);
  if (!recording({&self, &vec1, &vec2})) return out;
  const DType types[] = {self.dtype(), vec1.dtype(), vec2.dtype()};
  return record("AddrBackward0", {&self, &vec1, &vec2}, std::move(out),
                [alpha, beta, shape = self.shape(), t0 = types[0], t1 = types[1], t2 = types[2]](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  if (c.needs(0)) c.set(0, cast(spread_gradient(g, beta, shape), t0));
                  if (c.needs(1)) c.set(1, cast(scaled(mv(g, cast(c.saved(1), g.dtype())), alpha), t1));
                  if (c.needs(2)) c.set(2, cast(scaled(mv(mT(g), cast(c.saved(0), g.dtype())), alpha), t2));
                },
                {keep(recording(vec2) ? vec1 : none), keep(recording(vec1) ? vec2 : none)});
}
OPERATION("addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", addr,
          "beta * self + alpha * outer(vec1, vec2). With beta = 0 self is not read.",
          {.inplace = true, .out = true, .out_dtype = Traits::Out::converted})

void check_batches(const Tensor& a, const Tensor& b, const char* op) {
  check(a.dims() == 3, "batch1 must be a 3D tensor\n", op, ": batch1 has shape ", Ints(a.shape()));
  check(b.dims() == 3, "batch2 must be a 3D tensor\n", op, ": batch2 has shape ", Ints(b.shape()));
}

}  // namespace

Tensor baddbmm(const Tensor& self, const Tensor& batch1, const Tensor& batch2, Scalar beta, Scalar alpha) {
  check_batches(batch1, batch2, "baddbmm");
  const int64_t b = batch1.shape()[0], m = batch1.shape()[1], k = batch1.shape()[2], n = batch2.shape()[2];
  const int64_t shape[] = {b, m, n};
  (void)expand(detach(self), shape);  // its shape is checked first
  check(self.dtype() == batch1.dtype(), "Input dtypes must be the same, got: input ", c_name(self.dtype()),
        ", batch1: ", c_name(batch1.dtype()), ", batch2: ", c_name(batch2.dtype()));
  check(batch2.shape()[0] == b && batch2.shape()[1] == k,
        "Expected size for first two dimensions of batch2 tensor to be: [", b, ", ", k, "] but got: [",
        batch2.shape()[0], ", ", batch2.shape()[1], "].\nbaddbmm: batch1 has shape ", Ints(batch1.shape()),
        " and batch2 ", Ints(batch2.shape()));
  check(batch1.dtype() == batch2.dtype(), "expected scalar type ", legacy_name(batch1.dtype()), " but found ",
        legacy_name(batch2.dtype()));
  check(self.dtype() != DType::boolean, ErrorKind::not_implemented, "\"baddbmm\" not implemented for 'Bool'");
  alpha = factor(alpha, self.dtype());
  beta = factor(beta, self.dtype());
  Tensor out = start(self, shape, beta);
  product_data(batch1, batch2, out, alpha, beta);
  if (!recording({&self, &batch1, &batch2})) return out;
  return record("BaddbmmBackward0", {&self, &batch1, &batch2}, std::move(out),
                [alpha, beta, shape = self.shape()](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  if (c.needs(0)) c.set(0, spread_gradient(g, beta, shape));
                  if (c.needs(1)) c.set(1, scaled(bmm(g, mT(c.saved(1))), alpha));
                  if (c.needs(2)) c.set(2, scaled(bmm(mT(c.saved(0)), g), alpha));
                },
                {keep(recording(batch2) ? batch1 : none), keep(recording(batch1) ? batch2 : none)});
}
OPERATION("baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", baddbmm,
          "beta * self + alpha * bmm(batch1, batch2). With beta = 0 self is not read.",
          {.inplace = true, .out = true, .autocast = Autocast::lower, .also = {4, 7}})

namespace {

Tensor addbmm(const Tensor& self, const Tensor& batch1, const Tensor& batch2, Scalar beta, Scalar alpha) {
  check_batches(batch1, batch2, "addbmm");
  check(batch1.shape()[0] == batch2.shape()[0], "batch1 and batch2 must have same number of batches, got ",
        batch1.shape()[0], " and ", batch2.shape()[0]);
  const int64_t b = batch1.shape()[0], m = batch1.shape()[1], k = batch1.shape()[2], n = batch2.shape()[2];
  const int64_t shape[] = {m, n};
  (void)expand(detach(self), shape);
  check(batch2.shape()[1] == k, "Incompatible matrix sizes for bmm (", m, "x", k, " and ", batch2.shape()[1], "x", n,
        ")");
  check(self.dtype() == batch1.dtype() && batch1.dtype() == batch2.dtype(), "expected scalar type ",
        legacy_name(self.dtype()), " but found ",
        legacy_name(batch1.dtype() == self.dtype() ? batch2.dtype() : batch1.dtype()));
  check(self.dtype() != DType::boolean, ErrorKind::not_implemented, "\"addbmm\" not implemented for 'Bool'");
  alpha = factor(alpha, self.dtype());
  beta = factor(beta, self.dtype());
  Tensor out = start(self, shape, beta);
  if (b == 0 || k == 0) {
    if (is_zero(beta))
      fill_data(out, Scalar(0));
    else
      product_data(empty(std::initializer_list<int64_t>{m, 0}, out.dtype()),
                   empty(std::initializer_list<int64_t>{0, n}, out.dtype()), out, alpha, beta);
  }
  for (int64_t i = 0; i < b && k > 0; ++i) {
    product_data(alias(batch1, batch1.layout().selected(0, i)), alias(batch2, batch2.layout().selected(0, i)), out,
                 alpha, i == 0 ? beta : Scalar(1));
  }
  if (!recording({&self, &batch1, &batch2})) return out;
  return record("AddbmmBackward0", {&self, &batch1, &batch2}, std::move(out),
                [alpha, beta, b, shape = self.shape()](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  const int64_t all[] = {b, g.shape()[0], g.shape()[1]};
                  if (c.needs(0)) c.set(0, spread_gradient(g, beta, shape));
                  if (c.needs(1)) c.set(1, scaled(bmm(expand(g, all), mT(c.saved(1))), alpha));
                  if (c.needs(2)) c.set(2, scaled(bmm(mT(c.saved(0)), expand(g, all)), alpha));
                },
                {keep(recording(batch2) ? batch1 : none), keep(recording(batch1) ? batch2 : none)});
}
OPERATION("addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", addbmm,
          "beta * self + alpha * (the sum of the products of the batches' matrices). With beta = 0 self is not read.",
          {.inplace = true, .out = true, .autocast = Autocast::lower})

// ---- linear -------------------------------------------------------------------------------------------------------

void check_linear(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  check(input.dims() > 0 && weight.dims() > 0, "both arguments to linear need to be at least 1D, but they are ",
        input.dims(), "D and ", weight.dims(), "D");
  check(weight.dims() <= 2, "t() expects a tensor with <= 2 dimensions, but self is ", weight.dims(),
        "D\nlinear: weight has shape ", Ints(weight.shape()), "; it must be (out_features, in_features).");
  const int64_t k = input.shape()[input.dims() - 1], in = weight.shape()[weight.dims() - 1];
  if (weight.dims() == 2 && k != in) {
    int64_t rows = 1;
    for (int i = 0; i + 1 < input.dims(); ++i) rows *= input.shape()[i];
    fail("mat1 and mat2 shapes cannot be multiplied (", rows, "x", k, " and ", in, "x", weight.shape()[0],
         ")\nlinear: input has ", k, " features in its last dimension (shape ", Ints(input.shape()), "), weight takes ",
         in, " (shape ", Ints(weight.shape()), " is (out_features, in_features)).");
  }
  check(!bias || bias.dtype() == weight.dtype(), "self and mat2 must have the same dtype, but got ",
        bias ? legacy_name(bias.dtype()) : "", " and ", legacy_name(weight.dtype()), "\nlinear: bias is ",
        bias ? bias.dtype() : weight.dtype(), ", weight ", weight.dtype());
  if (!bias) check_same_type(input, weight, "linear");
  check(input.dtype() == weight.dtype(), "mat1 and mat2 must have the same dtype, but got ", legacy_name(input.dtype()),
        " and ", legacy_name(weight.dtype()), "\nlinear: input is ", input.dtype(), ", weight ", weight.dtype(),
        "; convert the input with .to(weight.dtype).");
}

// input as a matrix (rows, k), without its history.
Tensor rows_of(const Tensor& input) {
  if (input.dims() == 2) return input;
  const int64_t k = input.shape()[input.dims() - 1];
  const int64_t shape[] = {numel_of(Ints(input.shape().data(), input.shape().size() - 1)), k};
  return reshape(input, shape);
}

}  // namespace

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  check_linear(input, weight, bias);
  if (weight.dims() == 1) {
    check(!bias || input.dims() != 2, "mat2 must be a matrix, got 1-D tensor\nlinear: weight has shape ",
          Ints(weight.shape()), "; with a bias it must be (out_features, in_features).");
    Tensor out = matmul(input, weight);
    return bias ? out + bias : out;
  }
  const int64_t n = weight.shape()[0];
  // A bias that is not one number per feature is added as any tensor.
  if (bias && !(bias.dims() == 1 && bias.shape()[0] == n)) {
    return linear(input, weight, none) +
           (input.dims() == 2 ? expand(bias, std::initializer_list<int64_t>{input.shape()[0], n}) : bias);
  }
  Dims shape = input.shape();
  shape.back() = n;
  Tensor out = empty(shape, input.dtype());
  {
    const GradMode off(false);
    const Tensor flat = rows_of(input);
    const int64_t two[] = {flat.shape()[0], n};
    const Tensor dense_bias = bias ? dense(bias) : none;
    product_data(flat, alias(weight, weight.layout().transposed(0, 1)), alias(out, Layout::of(two)), Scalar(1),
                 Scalar(0), bias && !without_elements(out) ? dense_bias->data() : nullptr);
  }
  if (!recording({&bias, &input, &weight})) return out;
  const char* name = input.dims() == 2            ? bias ? "AddmmBackward0" : "MmBackward0"
                     : input.dims() == 1 && !bias ? "SqueezeBackward4"
                     : bias                       ? "ViewBackward0"
                                                  : "UnsafeViewBackward0";
  return record(name, {&bias, &input, &weight}, std::move(out),
                [](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  if (c.needs(0)) c.set(0, g.dims() == 1 ? g : sum_to(g, Ints(&g.shape().back(), 1)));
                  if (c.needs(1)) c.set(1, matmul(g, c.saved(1)));
                  if (c.needs(2)) {
                    const Tensor x = c.saved(0);
                    c.set(2, g.dims() == 1 ? outer(g, x) : mm(mT(rows_of(g)), rows_of(x)));
                  }
                },
                {keep(recording(weight) ? input : none), keep(recording(input) ? weight : none)});
}
OPERATION("linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor", linear,
          "input @ weight.T + bias: input (*, in_features), weight (out_features, in_features), bias (out_features); "
          "the result is (*, out_features).",
          {.method = false, .module = "nn", .autocast = Autocast::lower})

}  // namespace bulssi
