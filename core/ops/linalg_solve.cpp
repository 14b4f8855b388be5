// Linear equations: triangular, by LU, by Cholesky factors and least squares; inverses and determinants.
#include <cmath>
#include <limits>

#include "core/op/registry.h"
#include "core/ops/linalg.h"

namespace bulssi {

namespace {

Tensor solve_triangular_data(const Tensor& a, const Tensor& b, const Dims& batch, bool upper, bool left,
                             bool unitriangular) {
  return dispatch_lapack(a, "triangular_solve_cpu", [&]<class T>() {
    const Routine& trsm = lapack<T, "trsm">();
    const int64_t m = rows_of(b), n = columns_of(b);
    Tensor x = copy_by_columns(b, with(batch, {m, n}));
    if (x.numel() == 0) return x;
    // Rows side by side are the transposed matrix by columns.
    const int d = a.dims();
    const bool by_rows = a.strides()[d - 1] == 1 && rows_of(a) > 1 && a.strides()[d - 2] >= rows_of(a);
    const ReadMatrices read(by_rows ? alias(a, a.layout().transposed(d - 2, d - 1)) : a, batch);
    each_matrix(numel_of(batch), double(m * n * (left ? m : n)) / 2, [&](int64_t i) {
      trsm(left ? 'L' : 'R', upper != by_rows ? 'U' : 'L', by_rows ? 'T' : 'N', unitriangular ? 'U' : 'N',
           lapack_int(m), lapack_int(n), T(1), read.at<T>(i), read.ld(), x.data<T>() + i * m * n, leading(m));
    });
    return x;
  });
}

Tensor triangle_of(const Tensor& t, bool upper, bool unitriangular) {
  return upper ? triu(t, unitriangular ? 1 : 0) : tril(t, unitriangular ? -1 : 0);
}

Tensor solve_triangular_named(const char* node, const Tensor& a, const Tensor& b, bool upper, bool left,
                              bool unitriangular) {
  const Dims batch = broadcast_shapes(batch_of(a), batch_of(b));
  Tensor x = solve_triangular_data(a, b, batch, upper, left, unitriangular);
  return record(node, {&a, &b}, x,
                [=, a_shape = a.shape(), b_shape = b.shape()](BackwardCall& c) {
                  const Tensor a = c.saved(0), x = c.saved(1);
                  const Tensor g_b = solve_triangular(mT(a), c.grad(), !upper, left, unitriangular);
                  if (c.needs(1)) c.set(1, sum_to(g_b, b_shape));
                  if (!c.needs(0)) return;
                  const Tensor g = left ? matmul(g_b, mT(x)) : matmul(mT(x), g_b);
                  c.set(0, sum_to(triangle_of(-g, upper, unitriangular), a_shape));
                },
                {keep(a), result(x)});
}

}  // namespace

Tensor solve_triangular(const Tensor& a, const Tensor& b, bool upper, bool left, bool unitriangular) {
  check_solvable(a, b, left, "linalg.solve_triangular");
  return solve_triangular_named("LinalgSolveTriangularBackward0", a, cast(b, a.dtype()), upper, left, unitriangular);
}

namespace {

OPERATION(
    "solve_triangular(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) -> Tensor",
    solve_triangular,
    "X of A X = B (X A = B unless left) for triangular matrices A (*, n, n), of which one triangle is read: the upper "
    "or the lower, with ones on the diagonal if unitriangular. Batches are broadcast; nothing is checked for zeros.",
    {.method = false, .out = true, .module = "linalg"})

std::tuple<Tensor, Tensor> triangular_solve(const Tensor& b, const Tensor& a, bool upper, bool transposed,
                                            bool unitriangular) {
  for (const Tensor* t : {&b, &a}) {
    check(t->dims() >= 2, "torch.triangular_solve: Expected ", t == &b ? "b" : "A",
          " to have at least 2 dimensions, but it has ", t->dims(), " dimensions instead");
  }
  check(a.dtype() == b.dtype(), "Expected b and A to have the same dtype, but found b of type ", legacy_name(b.dtype()),
        " and A of type ", legacy_name(a.dtype()), " instead.");
  check(rows_of(a) == columns_of(a), "A must be batches of square matrices, but they are ", rows_of(a), " by ",
        columns_of(a), " matrices");
  check(rows_of(a) == rows_of(b), "Incompatible matrix sizes for triangular_solve: each A matrix is ", rows_of(a),
        " by ", rows_of(a), " but each b matrix is ", rows_of(b), " by ", columns_of(b));
  const Tensor x = solve_triangular_named("TriangularSolveBackward0", transposed ? mT(a) : a, b, upper != transposed,
                                          true, unitriangular);
  const Dims batch = broadcast_shapes(batch_of(a), batch_of(b));
  return {x, clone(broadcast_batch(a, batch))};
}
OPERATION(
    "triangular_solve(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False) -> "
    "(Tensor solution, Tensor cloned_coefficient)",
    triangular_solve, "X of A X = self for triangular A, and a copy of A: use linalg.solve_triangular.", {.out = true})

// ---- by LU --------------------------------------------------------------------------------------------------------

void check_pivots(const Tensor& pivots, int64_t n) {
  if (without_elements(pivots)) return;
  const int32_t* p = pivots.data<int32_t>();
  for (int64_t i = 0; i < pivots.numel(); ++i) {
    check(p[i] >= 1,
          "Pivots given to lu_solve must all be greater or equal to 1. Did you properly pass the result of lu_factor?");
    check(p[i] <= n,
          "Pivots given to lu_solve must all be smaller or equal to LU.size(-2). Did you properly pass the result of "
          "lu_factor?");
  }
}

// X of op(A) X = B or X op(A) = B, where A = P L U and op is the transpose for `adjoint`.
Tensor lu_solve_data(const Tensor& lu, const Tensor& pivots, const Tensor& b, bool left, bool adjoint) {
  return dispatch_lapack(lu, "lu_solve_cpu", [&]<class T>() {
    const Routine& getrs = lapack<T, "getrs">();
    const Dims batch = broadcast_shapes(batch_of(lu), batch_of(b));
    const int64_t n = rows_of(lu), k = left ? columns_of(b) : rows_of(b);
    // X op(A) = B is op(A)^T X^T = B^T.
    const Tensor side = left ? b : alias(b, b.layout().transposed(b.dims() - 2, b.dims() - 1));
    Tensor x = copy_by_columns(side, with(batch, {n, k}));
    if (x.numel() > 0) {
      const ReadMatrices factors(lu, batch);
      const Tensor steps = dense(alias(pivots, pivots.layout().broadcast(with(batch, {n}))));
      check_pivots(steps, n);
      each_matrix(numel_of(batch), double(n * n * k), [&](int64_t i) {
        int code = 0;
        getrs(adjoint == left ? 'T' : 'N', lapack_int(n), lapack_int(k), factors.at<T>(i), factors.ld(),
              steps.data<int32_t>() + i * n, x.data<T>() + i * n * k, leading(n), &code);
      });
    }
    return left ? x : alias(x, x.layout().transposed(x.dims() - 2, x.dims() - 1));
  });
}

// Gradient of A = P L U, moved to the packed factors.
Tensor to_packed(const Tensor& g_a, const Tensor& lu, const Tensor& pivots) {
  const auto [p, l, u] = lu_unpack(lu, pivots);
  const Tensor g = matmul(mT(p), g_a);
  return tril(matmul(g, mT(u)), -1) + triu(matmul(mT(l), g));
}

}  // namespace

Tensor lu_solve(const Tensor& lu, const Tensor& pivots, const Tensor& b, bool left, bool adjoint) {
  check_same_type(lu, b, "linalg.lu_solve", "LU", "B");
  check(pivots.dtype() == DType::i32, "linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32");
  check_linalg_type(lu, "torch.linalg.lu_solve");
  check_solvable(lu, b, left, "linalg.lu_solve");
  check(pivots.dims() >= 1 && pivots.shape().back() == rows_of(lu),
        "linalg.lu_solve: Number of pivots per batch should be same as the dimension of the matrix");
  check(pivots.shape() == batch_of(lu, 1),
        "linalg.lu_solve: Expected LU.shape[:-1] and pivots.shape to be the same, but "
        "got pivots with shape ",
        Ints(pivots.shape()), " instead");
  Tensor x = lu_solve_data(lu, pivots, b, left, adjoint);
  return record("LinalgLuSolveBackward0", {&lu, &b}, x,
                [=, lu_shape = lu.shape(), b_shape = b.shape()](BackwardCall& c) {
                  const Tensor lu = c.saved(0), pivots = c.saved(1), x = c.saved(2);
                  const Tensor g_b = lu_solve(lu, pivots, c.grad(), left, !adjoint);
                  if (c.needs(1)) c.set(1, sum_to(g_b, b_shape));
                  if (!c.needs(0)) return;
                  const Tensor g = left ? matmul(g_b, mT(x)) : matmul(mT(x), g_b);
                  c.set(0, to_packed(sum_to(-(adjoint ? mT(g) : g), lu_shape), lu, pivots));
                },
                {keep(lu), keep(pivots), result(x)});
}

namespace {

OPERATION("lu_solve(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> Tensor", lu_solve,
          "X of A X = B (X A = B unless left; A^T if adjoint) from what linalg.lu_factor made of A.",
          {.method = false, .out = true, .module = "linalg"})
OPERATION("lu_solve(Tensor self, Tensor LU_data, Tensor LU_pivots) -> Tensor",
          (+[](const Tensor& b, const Tensor& lu, const Tensor& pivots) { return lu_solve(lu, pivots, b); }),
          "X of A X = self from what linalg.lu_factor made of A.", {.out = true, .autocast = Autocast::float32})

struct Solved {
  Tensor x, lu, pivots, info;
};

// b: matrices. `node` is recorded with B where it is an operation's argument (solve), without it for inverses.
Solved solve_data(const Tensor& a, const Tensor& b, bool left) {
  const GradMode off(false);
  auto [lu, pivots, info] = lu_factor_ex(a);
  return {lu_solve_data(lu, pivots, b, left, false), lu, pivots, info};
}
// A^-T g or g A^-T: with the factors at hand unless the result is to be differentiated again.
Tensor solve_transposed(const Tensor& a, const Tensor& lu, const Tensor& pivots, const Tensor& g, bool left) {
  return grad_state.enabled ? solve(mT(a), g, left) : lu_solve(lu, pivots, g, left, true);
}

Solved solve_matrices(const Tensor& a, const Tensor& b, bool left) {
  Solved s = solve_data(a, b, left);
  record_all("LinalgSolveExBackward0", {&a, &b}, {s.x, s.info},
             [left, a_shape = a.shape(), b_shape = b.shape()](BackwardCall& c) {
               if (!c.grad()) return;
               const Tensor x = c.saved(3);
               const Tensor g_b = solve_transposed(c.saved(0), c.saved(1), c.saved(2), c.grad(), left);
               if (c.needs(1)) c.set(1, sum_to(g_b, b_shape));
               if (c.needs(0)) c.set(0, sum_to(-(left ? matmul(g_b, mT(x)) : matmul(mT(x), g_b)), a_shape));
             },
             {keep(a), keep(s.lu), keep(s.pivots), result(s.x)});
  return s;
}

[[noreturn]] void fail_singular(const std::string& where) {
  throw LinAlgError(str("torch.linalg.solve: ", where, "The solver failed because the input matrix is singular."));
}

std::tuple<Tensor, Tensor> solve_ex(const Tensor& a, const Tensor& b, bool left, bool check_errors) {
  const char* op = "linalg.solve";
  check_linalg_type(a, op);
  check_same_type(a, b, op, "A", "B");
  check_square(a, op);
  const bool vector = is_vector_side(a, b);
  const Tensor side = vector ? unsqueeze(b, -1) : b;
  check_solvable(a, side, left, op);
  check(!vector || left,
        "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False. In this case "
        "linalg.solve is equivalent to B / A.squeeze(-1)");
  const Solved s = solve_matrices(a, side, left);
  if (check_errors) check_info(s.info, [](const std::string& where, int32_t) { fail_singular(where); });
  return {vector ? squeeze(s.x, -1) : s.x, s.info};
}

}  // namespace

Tensor solve(const Tensor& a, const Tensor& b, bool left) {
  const auto [x, info] = solve_ex(a, b, left, false);
  check_info(info, [](const std::string& where, int32_t) { fail_singular(where); });
  return x;
}

namespace {

OPERATION("solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, Tensor info)",
          solve_ex,
          "X of A X = B (X A = B unless left) for square matrices A (*, n, n), and int32 codes of shape (*): 0, or the "
          "place of a 0 on the diagonal of A's factor U.",
          {.method = false, .out = true, .module = "linalg"})
OPERATION("solve(Tensor A, Tensor B, *, bool left=True) -> Tensor", solve,
          "X of A X = B (X A = B unless left) for square matrices A (*, n, n) and matrices (*, n, k) or vectors (n) or "
          "(*, n) B. Batches are broadcast. Raises LinAlgError for a singular matrix.",
          {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})

// ---- inverses -----------------------------------------------------------------------------------------------------

[[noreturn]] void fail_inverse(const char* op, const std::string& where, int32_t code) {
  throw LinAlgError(str(op, ": ", where, "The diagonal element ", code,
                        " is zero, the inversion could not be completed because the input matrix is singular."));
}

}  // namespace

std::tuple<Tensor, Tensor> inv_ex(const Tensor& a, bool check_errors) {
  check_linalg_type(a, "linalg.inv", false);
  check_square(a, "linalg.inv");
  const Solved s = solve_data(a, identity(batch_of(a), rows_of(a), a.dtype()), true);
  if (check_errors)
    check_info(s.info, [](const std::string& where, int32_t code) { fail_inverse("linalg.inv_ex", where, code); });
  record_all("LinalgInvExBackward0", {&a}, {s.x, s.info},
             [](BackwardCall& c) {
               if (!c.grad()) return;
               const Tensor transposed = mT(c.saved(0));
               c.set(0, -matmul(transposed, matmul(c.grad(), transposed)));
             },
             {result(s.x)});
  return {s.x, s.info};
}
Tensor inverse(const Tensor& a) {
  const auto [x, info] = inv_ex(a);
  check_info(info, [](const std::string& where, int32_t code) { fail_inverse("linalg.inv", where, code); });
  return x;
}

namespace {

OPERATION(
    "inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)", inv_ex,
    "Inverses of square matrices (*, n, n), and int32 codes of shape (*): 0, or the place of a 0 on the diagonal of "
    "A's factor U.",
    {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("inv(Tensor A) -> Tensor", inverse,
          "Inverses of square matrices (*, n, n). Raises LinAlgError for a singular one. Solving equations needs no "
          "inverse: linalg.solve is faster and more accurate.",
          {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("inverse(Tensor self) -> Tensor", inverse, "Inverses of square matrices: linalg.inv.",
          {.out = true, .autocast = Autocast::float32})

// ---- determinants -------------------------------------------------------------------------------------------------

// Product over U's diagonal with the sign of the exchanges; or that sign and the logarithm of the product's size.
struct Determinant {
  Tensor value, sign, logarithm, lu, pivots;
};
Determinant determinant(const Tensor& a, bool logarithm) {
  const GradMode off(false);
  Determinant out;
  Tensor info;
  std::tie(out.lu, out.pivots, info) = lu_factor_ex(a);
  const int64_t n = rows_of(a);
  const Dims batch = batch_of(a);
  (logarithm ? out.sign : out.value) = empty(batch, a.dtype());
  if (logarithm) out.logarithm = empty(batch, a.dtype());
  dispatch_lapack(a, "lu_cpu", [&]<class T>() {
    if (without_elements(out.lu)) return;
    const T* lu = out.lu.template data<T>();
    for (int64_t i = 0; i < info.numel(); ++i, lu += n * n) {
      T sign = 1, product = 1, sum = 0;
      for (int64_t k = 0; k < n; ++k) {
        const T d = lu[k * n + k];
        if (out.pivots.data<int32_t>()[i * n + k] != k + 1) sign = -sign;
        product *= d;
        if (!logarithm) continue;
        sum += std::log(std::abs(d));
        sign *= d != d ? d : T((d > 0) - (d < 0));
      }
      if (logarithm) {
        out.sign.template data<T>()[i] = sign;
        out.logarithm.template data<T>()[i] = sum;
      } else {
        out.value.template data<T>()[i] = sign * product;
      }
    }
  });
  return out;
}

// scale A^-T, where scale is one number for each matrix. A 0 on U's diagonal counts as epsilon, as in PyTorch, where
// `safe`: scale is then the determinant.
Tensor scaled_inverse(const Tensor& a, Tensor lu, Tensor pivots, const Tensor& scale, bool safe) {
  const int64_t n = rows_of(a);
  if (grad_state.enabled) {
    Tensor info;
    std::tie(lu, pivots, info) = lu_factor_ex(a);
  }
  if (safe) {
    const Tensor d = diagonal_view(lu);
    lu = lu + diagonal_matrix(cast(d == 0.0, lu.dtype()) * epsilon_of(lu.dtype()));
  }
  const Tensor side = diagonal_matrix(expand(unsqueeze(scale, -1), with(scale.shape(), {n})));
  return lu_solve(lu, pivots, side, true, true);
}

Tensor det(const Tensor& a) {
  check_square(a, "linalg.det");
  check_linalg_type(a, "linalg.det");
  const Determinant d = determinant(a, false);
  return record("LinalgDetBackward0", {&a}, d.value,
                [](BackwardCall& c) {
                  c.set(0, scaled_inverse(c.saved(0), c.saved(1), c.saved(2), c.grad() * c.saved(3), true));
                },
                {keep(a), keep(d.lu), keep(d.pivots), result(d.value)});
}
std::tuple<Tensor, Tensor> slogdet_named(const Tensor& a, const char* op) {
  check_square(a, op);
  check_linalg_type(a, op, false);
  const Determinant d = determinant(a, true);
  record_all("LinalgSlogdetBackward0", {&a}, {d.sign, d.logarithm},
             [](BackwardCall& c) {
               if (c.grad(1)) {
                 c.set(0, scaled_inverse(c.saved(0), c.saved(1), c.saved(2), c.grad(1), false));
               } else {
                 c.set(0, zeros_like(c.saved(0)));
               }
             },
             {keep(a), keep(d.lu), keep(d.pivots)});
  return {d.sign, d.logarithm};
}
std::tuple<Tensor, Tensor> slogdet(const Tensor& a) { return slogdet_named(a, "linalg.slogdet"); }
Tensor logdet(const Tensor& a) {
  const auto [sign, logarithm] = slogdet_named(a, "logdet");
  return select(sign == -1.0, std::numeric_limits<double>::quiet_NaN(), logarithm);
}
OPERATION("det(Tensor A) -> Tensor", det, "Determinants of square matrices (*, n, n); of shape (*).",
          {.method = false, .out = true, .module = "linalg"})
OPERATION("det(Tensor self) -> Tensor", det, "Determinants of square matrices (*, n, n); of shape (*).")
OPERATION(
    "slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)", slogdet,
    "Signs of the determinants of square matrices (*, n, n), and natural logarithms of their sizes: 0 and -inf for a "
    "singular matrix.",
    {.method = false, .out = true, .module = "linalg"})
OPERATION("slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)", slogdet,
          "Signs of the determinants of square matrices and natural logarithms of their sizes.", {.out = true})
OPERATION("logdet(Tensor self) -> Tensor", logdet,
          "Natural logarithms of the determinants of square matrices: nan for a negative one, -inf for 0.",
          {.kind = OpKind::composite})

// ---- with Cholesky factors ----------------------------------------------------------------------------------------

// X of A X = B, where A = L L^T (U^T U if upper).
Tensor cholesky_solve(const Tensor& b, const Tensor& factor, bool upper) {
  check(b.dims() >= 2, "b should have at least 2 dimensions, but has ", b.dims(), " dimensions instead");
  check(factor.dims() >= 2, "u should have at least 2 dimensions, but has ", factor.dims(), " dimensions instead");
  check(b.dtype() == factor.dtype(), "Expected b and A to have the same dtype, but found b of type ",
        legacy_name(b.dtype()), " and A of type ", legacy_name(factor.dtype()), " instead.");
  check(rows_of(factor) == columns_of(factor), "A must be batches of square matrices, but they are ", rows_of(factor),
        " by ", columns_of(factor), " matrices");
  check(rows_of(factor) == rows_of(b), "Incompatible matrix sizes for cholesky_solve: each A matrix is ",
        rows_of(factor), " by ", rows_of(factor), " but each b matrix is ", rows_of(b), " by ", columns_of(b));
  const Dims batch = broadcast_shapes(batch_of(factor), batch_of(b));
  Tensor x = dispatch_lapack(b, "cholesky_solve_cpu", [&]<class T>() {
    const Routine& potrs = lapack<T, "potrs">();
    const int64_t n = rows_of(b), k = columns_of(b);
    Tensor out = copy_by_columns(b, with(batch, {n, k}));
    if (out.numel() == 0) return out;
    const ReadMatrices read(factor, batch);
    each_matrix(numel_of(batch), double(n * n * k), [&](int64_t i) {
      int code = 0;
      potrs(upper ? 'U' : 'L', lapack_int(n), lapack_int(k), read.at<T>(i), read.ld(), out.data<T>() + i * n * k,
            leading(n), &code);
    });
    return out;
  });
  return record("CholeskySolveBackward0", {&b, &factor}, x,
                [upper, b_shape = b.shape(), f_shape = factor.shape()](BackwardCall& c) {
                  const Tensor factor = c.saved(0), x = c.saved(1);
                  const Tensor g_b = cholesky_solve(c.grad(), factor, upper);
                  if (c.needs(0)) c.set(0, sum_to(g_b, b_shape));
                  if (!c.needs(1)) return;
                  const Tensor half = matmul(g_b, mT(x)), both = -(half + mT(half));
                  c.set(1, sum_to(upper ? matmul(factor, both) : matmul(both, factor), f_shape));
                },
                {keep(factor), result(x)});
}
OPERATION(
    "cholesky_solve(Tensor self, Tensor input2, bool upper=False) -> Tensor", cholesky_solve,
    "X of A X = self, where input2 is the Cholesky factor of A: A = L L^T, or U^T U if upper. Batches are broadcast.",
    {.out = true, .out_dtype = Traits::Out::converted, .autocast = Autocast::float32})

Tensor cholesky_inverse(const Tensor& factor, bool upper) {
  const char* op = "cholesky_inverse";
  check_square(factor, op);
  Tensor out = dispatch_lapack(factor, "cholesky_inverse_out_cpu", [&]<class T>() {
    const Routine& potri = lapack<T, "potri">();
    const int64_t n = rows_of(factor);
    Tensor made = copy_by_columns(factor);
    Tensor info = zeros(batch_of(factor), DType::i32);
    each_matrix(n ? info.numel() : 0, double(n * n * n) / 3, [&](int64_t i) {
      T* m = made.data<T>() + i * n * n;
      potri(upper ? 'U' : 'L', lapack_int(n), m, leading(n), info.data<int32_t>() + i);
      for (int64_t c = 0; c < n; ++c) {
        for (int64_t r = c + 1; r < n; ++r) (upper ? m[c * n + r] : m[r * n + c]) = upper ? m[r * n + c] : m[c * n + r];
      }
    });
    check_info(info, [&](const std::string& where, int32_t code) { fail_inverse(op, where, code); });
    return made;
  });
  return record("CholeskyInverseBackward0", {&factor}, out,
                [upper](BackwardCall& c) {
                  const Tensor factor = c.saved(0), x = c.saved(1);
                  const Tensor both = -matmul(x, matmul(c.grad() + mT(c.grad()), x));
                  c.set(0, upper ? matmul(factor, both) : matmul(both, factor));
                },
                {keep(factor), result(out)});
}
OPERATION("cholesky_inverse(Tensor self, bool upper=False) -> Tensor", cholesky_inverse,
          "Inverses of the matrices whose Cholesky factors are self: of L L^T, or of U^T U if upper.",
          {.out = true, .out_dtype = Traits::Out::converted, .autocast = Autocast::float32})

}  // namespace

}  // namespace bulssi
