// Factorisations without spectra: Cholesky, LU, LDL, QR. Formulas of derivatives: Giles (2008), "An extended collection
// of matrix derivative results"; Walter and Lehmann (2013) for QR; the LU ones follow from A = PLU by the same steps.
#include <cmath>

#include "core/op/registry.h"
#include "core/ops/linalg.h"

namespace bulssi {

namespace {

Dims info_shape(const Tensor& a) { return batch_of(a); }
int64_t count_of(const Tensor& a) { return numel_of(info_shape(a)); }

// ---- Cholesky -----------------------------------------------------------------------------------------------------

[[noreturn]] void fail_cholesky(const char* op, const std::string& where, int32_t code) {
  throw LinAlgError(str(op, ": ", where,
                        "The factorization could not be completed because the input is not positive-definite (the "
                        "leading minor of order ",
                        code, " is not positive-definite)."));
}

// g of the lower factor L of A.
Tensor cholesky_backward(const Tensor& g, const Tensor& l) {
  const Tensor phi = matmul(mT(l), g);
  const Tensor middle = tril(phi) + mT(tril(phi, -1));
  return solve_triangular(mT(l), solve_triangular(l, middle, false, false), true, true) * 0.5;
}

std::tuple<Tensor, Tensor> cholesky_named(const char* node, const char* op, const Tensor& a, bool upper) {
  check_square(a, op);
  Tensor factor, info;
  dispatch_lapack(a, "cholesky_cpu", [&]<class T>() {
    const Routine& potrf = lapack<T, "potrf">();
    const int64_t n = rows_of(a);
    factor = copy_by_columns(a);
    info = zeros(info_shape(a), DType::i32);
    each_matrix(count_of(a), double(n * n * n) / 6, [&](int64_t i) {
      T* m = factor.data<T>() + i * n * n;
      int32_t* code = info.data<int32_t>() + i;
      if (n > 0) potrf(upper ? 'U' : 'L', lapack_int(n), m, leading(n), code);
      for (int64_t c = 0; c < n && *code == 0; ++c) {  // OpenBLAS lets nan pass
        if (std::isnan(m[c * n + c])) *code = lapack_int(c + 1);
      }
      for (int64_t c = 0; c < n; ++c) {
        if (upper)
          std::fill(m + c * n + c + 1, m + c * n + n, T(0));
        else
          std::fill(m + c * n, m + c * n + c, T(0));
      }
    });
  });
  record_all(node, {&a}, {factor, info},
             [upper](BackwardCall& c) {
               const Tensor f = c.saved(0);
               if (c.grad()) c.set(0, cholesky_backward(upper ? mT(c.grad()) : c.grad(), upper ? mT(f) : f));
             },
             {result(factor)});
  return {factor, info};
}

std::tuple<Tensor, Tensor> cholesky_ex(const Tensor& a, bool upper, bool check_errors) {
  const char* op = check_errors ? "linalg.cholesky_ex" : "linalg.cholesky";
  check_linalg_type(a, op);
  auto made = cholesky_named("LinalgCholeskyExBackward0", op, a, upper);
  if (check_errors)
    check_info(std::get<1>(made), [&](const std::string& where, int32_t code) { fail_cholesky(op, where, code); });
  return made;
}
Tensor linalg_cholesky(const Tensor& a, bool upper) {
  const auto [factor, info] = cholesky_ex(a, upper, false);
  check_info(info, [&](const std::string& where, int32_t code) { fail_cholesky("linalg.cholesky", where, code); });
  return factor;
}
Tensor cholesky(const Tensor& a, bool upper) {
  const auto [factor, info] = cholesky_named("CholeskyBackward0", "cholesky", a, upper);
  check_info(info, [&](const std::string& where, int32_t code) { fail_cholesky("cholesky", where, code); });
  return factor;
}

OPERATION(
    "cholesky_ex(Tensor self, *, bool upper=False, bool check_errors=False) -> (Tensor L, Tensor info)", cholesky_ex,
    "The triangular factor of symmetric positive-definite matrices (*, n, n), A = L L^T (A = U^T U if upper), and "
    "int32 codes of shape (*): 0, or the order of the first leading minor that is not positive.",
    {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("cholesky(Tensor self, *, bool upper=False) -> Tensor", linalg_cholesky,
          "The triangular factor of symmetric positive-definite matrices (*, n, n): A = L L^T, or A = U^T U if upper. "
          "Raises LinAlgError for a matrix that is not positive-definite.",
          {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("cholesky(Tensor self, bool upper=False) -> Tensor", cholesky,
          "The triangular factor of symmetric positive-definite matrices (*, n, n): A = L L^T, or A = U^T U if upper.",
          {.out = true, .out_dtype = Traits::Out::converted, .autocast = Autocast::float32})

// ---- LU -----------------------------------------------------------------------------------------------------------

[[noreturn]] void fail_lu(const char* op, const std::string& where, int32_t code) {
  fail(op, ": ", where, "U[", code, ",", code,
       "] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the "
       "factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)");
}

// g_l, g_u (either may be undefined): gradients of the factors of A = P L U.
Tensor lu_backward(const Tensor& g_l, const Tensor& g_u, const Tensor& p, const Tensor& l, const Tensor& u) {
  const int64_t m = rows_of(l), n = columns_of(u), k = std::min(m, n);
  const Tensor l1 = m > k ? narrow(l, -2, 0, k) : l, u1 = n > k ? narrow(u, -1, 0, k) : u;
  Tensor below, above;  // gradients of L^-1 dL (strictly lower) and dU U^-1 (upper)
  const auto add = [](Tensor& to, const Tensor& t) { to = to ? to + t : t; };
  if (g_l) add(below, matmul(mT(l1), m > k ? narrow(g_l, -2, 0, k) : g_l));
  if (g_u) add(above, matmul(n > k ? narrow(g_u, -1, 0, k) : g_u, mT(u1)));
  if (g_u && n > k) add(below, -matmul(narrow(g_u, -1, k, n - k), mT(narrow(u, -1, k, n - k))));
  if (g_l && m > k) add(above, -matmul(mT(narrow(l, -2, k, m - k)), narrow(g_l, -2, k, m - k)));
  Tensor middle;
  if (below) add(middle, tril(below, -1));
  if (above) add(middle, triu(above));
  if (!middle) return {};
  Tensor g = middle;
  if (n > k) {  // wide: L^-T [middle U1^-T, g_u2]
    g = solve_triangular(mT(u1), g, false, false);
    const Tensor rest = g_u ? narrow(g_u, -1, k, n - k) : zeros(with(batch_of(u), {k, n - k}), u.dtype());
    const Tensor both[] = {g, rest};
    return matmul(p, solve_triangular(mT(l1), cat(both, -1), true, true, true));
  }
  g = solve_triangular(mT(l1), g, true, true, true);
  if (m > k) {  // tall: [L1^-T middle; g_l2] U^-T
    const Tensor rest = g_l ? narrow(g_l, -2, k, m - k) : zeros(with(batch_of(l), {m - k, k}), l.dtype());
    const Tensor both[] = {g, rest};
    g = cat(both, -2);
  }
  return matmul(p, solve_triangular(mT(u1), g, false, false));
}

struct Lu {
  Tensor lu, pivots, info;
};
Lu lu_data(const Tensor& a) {
  return dispatch_lapack(a, "lu_cpu", [&]<class T>() {
    const Routine& getrf = lapack<T, "getrf">();
    const int64_t m = rows_of(a), n = columns_of(a), k = std::min(m, n);
    Lu out{copy_by_columns(a), empty(with(batch_of(a), {k}), DType::i32), zeros(info_shape(a), DType::i32)};
    each_matrix(k ? count_of(a) : 0, double(m * n * k) / 3, [&](int64_t i) {
      getrf(lapack_int(m), lapack_int(n), out.lu.data<T>() + i * m * n, leading(m), out.pivots.data<int32_t>() + i * k,
            out.info.data<int32_t>() + i);
    });
    return out;
  });
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> lu_factor_ex(const Tensor& a, bool pivot, bool check_errors) {
  check_matrix(a, "torch.linalg.lu_factor");
  check(pivot, "linalg.lu_factor: LU without pivoting is not implemented on the CPU");
  auto [lu, pivots, info] = lu_data(a);
  if (check_errors) {
    check_info(info,
               [&](const std::string& where, int32_t code) { fail_lu("torch.linalg.lu_factor_ex", where, code); });
  }
  record_all("LinalgLuFactorExBackward0", {&a}, {lu, pivots, info},
             [](BackwardCall& c) {
               if (!c.grad()) return;
               const auto [p, l, u] = lu_unpack(c.saved(0), c.saved(1));
               const int64_t m = rows_of(l), n = columns_of(u), k = std::min(m, n);
               const Tensor g_l = tril(n > k ? narrow(c.grad(), -1, 0, k) : c.grad(), -1);
               const Tensor g_u = triu(m > k ? narrow(c.grad(), -2, 0, k) : c.grad());
               c.set(0, lu_backward(g_l, g_u, p, l, u));
             },
             {result(lu), keep(pivots)});
  return {lu, pivots, info};
}

namespace {

std::tuple<Tensor, Tensor> lu_factor(const Tensor& a, bool pivot) {
  const auto [lu, pivots, info] = lu_factor_ex(a, pivot, false);
  check_info(info, [&](const std::string& where, int32_t code) { fail_lu("torch.linalg.lu_factor", where, code); });
  return {lu, pivots};
}
// What torch.lu calls: A may be singular where check_errors is not set.
std::tuple<Tensor, Tensor, Tensor> lu_with_info(const Tensor& a, bool pivot, bool check_errors) {
  return lu_factor_ex(a, pivot, check_errors);
}

OPERATION(
    "lu_factor_ex(Tensor A, *, bool pivot=True, bool check_errors=False) -> "
    "(Tensor LU, Tensor pivots, Tensor info)",
    lu_factor_ex,
    "L and U of A = P L U packed in one matrix (*, m, n), the rows' exchanges (int32, counted from 1), and int32 "
    "codes of shape (*): 0, or the place of a 0 on U's diagonal.",
    {.method = false, .out = true, .module = "linalg"})
OPERATION("lu_factor(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)", lu_factor,
          "L and U of A = P L U packed in one matrix (*, m, n), and the rows' exchanges (int32, counted from 1), as "
          "lu_solve takes them.",
          {.method = false, .out = true, .module = "linalg"})
OPERATION(
    "_lu_with_info(Tensor self, bool pivot=True, bool check_errors=True) -> "
    "(Tensor LU, Tensor pivots, Tensor info)",
    lu_with_info, "linalg.lu_factor_ex.", {.kind = OpKind::composite, .method = false})

// The matrix P of A = P L U from the rows' exchanges.
Tensor permutation_of(const Tensor& pivots, int64_t m, DType dtype) {
  const Tensor steps = dense(pivots);
  const int64_t k = pivots.shape().back();
  Tensor p = zeros(with(batch_of(pivots, 1), {m, m}), dtype);
  const int64_t count = m ? p.numel() / (m * m) : 0;
  dispatch(dtype, "lu_unpack", [&]<class T>() {
    if (without_elements(p)) return;
    std::vector<int64_t> rows(static_cast<size_t>(m));
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t r = 0; r < m; ++r) rows[r] = r;
      for (int64_t s = 0; s < k; ++s) {
        const int64_t other = steps.data<int32_t>()[i * k + s] - 1;
        check(other >= 0 && other < m,
              "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive."
              "Did you properly pass the result of lu_factor?");
        if (s < m) std::swap(rows[s], rows[other]);
      }
      for (int64_t r = 0; r < m; ++r) p.data<T>()[i * m * m + rows[r] * m + r] = T(1);
    }
  });
  return p;
}

// The k leading columns or rows, and a triangle of them.
Tensor lower_factor(const Tensor& lu) {
  const int64_t k = std::min(rows_of(lu), columns_of(lu));
  Tensor l = tril(columns_of(lu) > k ? narrow(lu, -1, 0, k) : lu, -1);
  fill_data(diagonal_view(l), Scalar(1));
  return l;
}
Tensor upper_factor(const Tensor& lu) {
  const int64_t k = std::min(rows_of(lu), columns_of(lu));
  return triu(rows_of(lu) > k ? narrow(lu, -2, 0, k) : lu);
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> lu_unpack(const Tensor& lu, const Tensor& pivots, bool data, bool permutation) {
  check(lu.dims() >= 2, "torch.lu_unpack: Expected tensor with 2 or more dimensions. Got size: ", Ints(lu.shape()),
        " instead");
  check(
      !permutation || pivots.dtype() == DType::i32,
      "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.\nNote: this function is "
      "intended to be used with the output produced by torch.linalg.lu_factor");
  const int64_t m = rows_of(lu), n = columns_of(lu);
  Tensor p, l, u;
  if (permutation) {
    check(pivots.dims() >= 1, "torch.lu_unpack: LU_pivots needs at least 1 dimension");
    p = permutation_of(pivots, m, lu.dtype());
  } else {
    p = empty(Dims{0}, lu.dtype());
  }
  if (!data) return {p, empty(Dims{0}, lu.dtype()), empty(Dims{0}, lu.dtype())};
  {
    const GradMode off(false);
    l = lower_factor(lu);
    u = upper_factor(lu);
  }
  record_all("LuUnpackBackward0", {&lu}, {l, u}, [m, n](BackwardCall& c) {
    const int64_t k = std::min(m, n);
    Tensor g;
    if (c.grad(0)) {
      g = tril(c.grad(0), -1);
      if (n > k) {
        const Tensor both[] = {g, zeros(with(batch_of(g), {m, n - k}), g.dtype())};
        g = cat(both, -1);
      }
    }
    if (c.grad(1)) {
      Tensor upper = triu(c.grad(1));
      if (m > k) {
        const Tensor both[] = {upper, zeros(with(batch_of(upper), {m - k, n}), upper.dtype())};
        upper = cat(both, -2);
      }
      g = g ? g + upper : upper;
    }
    c.set(0, g);
  });
  return {p, l, u};
}

namespace {

OPERATION(
    "lu_unpack(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True) -> "
    "(Tensor P, Tensor L, Tensor U)",
    lu_unpack, "P, L and U of A = P L U from what linalg.lu_factor gave.", {.method = false, .out = true})

std::tuple<Tensor, Tensor, Tensor> lu(const Tensor& a, bool pivot) {
  check(a.dims() >= 2, "linalg.lu: Expected tensor with 2 or more dimensions. Got size: ", Ints(a.shape()), " instead");
  check(pivot, "linalg.lu_factor: LU without pivoting is not implemented on the CPU");
  Tensor p, l, u;
  {
    const GradMode off(false);
    const auto packed = lu_data(a);
    std::tie(p, l, u) = lu_unpack(packed.lu, packed.pivots);
  }
  record_all("LinalgLuBackward0", {&a}, {l, u},
             [](BackwardCall& c) {
               const Tensor p = c.saved(0), l = c.saved(1), u = c.saved(2);
               c.set(0, lu_backward(c.grad(0) ? tril(c.grad(0), -1) : Tensor(), c.grad(1) ? triu(c.grad(1)) : Tensor(),
                                    p, l, u));
             },
             {keep(p), result(l), result(u)});
  return {p, l, u};
}
OPERATION(
    "lu(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)", lu,
    "A = P L U of matrices (*, m, n): a permutation (*, m, m), a lower triangle (*, m, k) with ones on the diagonal "
    "and an upper triangle (*, k, n), where k = min(m, n).",
    {.method = false, .out = true, .module = "linalg"})

// ---- LDL ----------------------------------------------------------------------------------------------------------

[[noreturn]] void no_derivative(const char* op) {
  fail(ErrorKind::not_implemented, "the derivative for '", op, "' is not implemented.");
}

std::tuple<Tensor, Tensor, Tensor> ldl_factor_ex(const Tensor& a, bool hermitian, bool check_errors) {
  check_square(a, "torch.linalg.ldl_factor_ex");
  check_linalg_type(a, "torch.linalg.ldl_factor_ex");
  return dispatch_lapack(a, "ldl_factor_kernel_cpu", [&]<class T>() {
    const Routine& sytrf = lapack<T, "sytrf">();
    const int64_t n = rows_of(a);
    Tensor ld = copy_by_columns(tril(detach(a)));
    Tensor pivots = empty(with(batch_of(a), {n}), DType::i32), info = zeros(info_shape(a), DType::i32);
    int code = 0;
    T best = 0;
    if (n && !without_elements(ld))
      sytrf('L', lapack_int(n), ld.data<T>(), leading(n), pivots.data<int32_t>(), &best, -1, &code);
    const int64_t room = std::max<int64_t>(1, static_cast<int64_t>(best));
    each_matrix(n ? count_of(a) : 0, double(n * n * n) / 3, [&](int64_t i) {
      std::vector<T> work(static_cast<size_t>(room));
      sytrf('L', lapack_int(n), ld.data<T>() + i * n * n, leading(n), pivots.data<int32_t>() + i * n, work.data(),
            lapack_int(room), info.data<int32_t>() + i);
    });
    if (check_errors) {
      check_info(info, [&](const std::string& where, int32_t at) {
        throw LinAlgError(str("torch.linalg.ldl_factor_ex: ", where, "D[", at, ",", at,
                              "] is zero: the factorization is complete, but cannot be used to solve equations."));
      });
    }
    record_all("NotImplemented", {&a}, {ld, pivots, info}, [](BackwardCall&) { no_derivative("ldl_factor"); });
    return std::tuple(ld, pivots, info);
  });
}
std::tuple<Tensor, Tensor> ldl_factor(const Tensor& a, bool hermitian) {
  const auto [ld, pivots, info] = ldl_factor_ex(a, hermitian, true);
  return {ld, pivots};
}
Tensor ldl_solve(const Tensor& ld, const Tensor& pivots, const Tensor& b, bool hermitian) {
  check_square(ld, "torch.linalg.ldl_solve", "LD");
  check_solvable(ld, b, true, "torch.linalg.ldl_solve");
  check_same_type(ld, b, "torch.linalg.ldl_solve", "LD", "B");
  check(pivots.dtype() == DType::i32, "torch.linalg.ldl_solve: Expected pivots to be integers. Got ",
        legacy_name(pivots.dtype()));
  check(pivots.shape() == batch_of(ld, 1),
        "torch.linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the "
        "same, but got pivots with shape ",
        Ints(pivots.shape()), " instead");
  return dispatch_lapack(ld, "ldl_solve_kernel_cpu", [&]<class T>() {
    const Routine& sytrs = lapack<T, "sytrs">();
    const int64_t n = rows_of(ld), k = columns_of(b);
    const Dims batch = broadcast_shapes(batch_of(ld), batch_of(b));
    const ReadMatrices factors(ld, batch);
    const Tensor steps = dense(expand(detach(pivots), with(batch, {n})));
    for (int64_t i = 0; i < (without_elements(steps) ? 0 : steps.numel()); ++i) {
      const int64_t p = std::abs(static_cast<int64_t>(steps.data<int32_t>()[i]));
      check(p >= 1 && p <= n, "torch.linalg.ldl_solve: pivots must be between 1 and ", n, " in size, but one is ", p);
    }
    Tensor x = copy_by_columns(b, with(batch, {n, k}));
    each_matrix(x.numel() > 0 ? numel_of(batch) : 0, double(n * n * k), [&](int64_t i) {
      int code = 0;
      sytrs('L', lapack_int(n), lapack_int(k), factors.at<T>(i), factors.ld(), steps.data<int32_t>() + i * n,
            x.data<T>() + i * n * k, leading(n), &code);
    });
    return record("NotImplemented", {&ld, &b}, x, [](BackwardCall&) { no_derivative("ldl_solve"); });
  });
}
OPERATION(
    "ldl_factor_ex(Tensor self, *, bool hermitian=False, bool check_errors=False) -> "
    "(Tensor LD, Tensor pivots, Tensor info)",
    ldl_factor_ex, "L and D of symmetric matrices (*, n, n), A = L D L^T, packed, with pivots and error codes.",
    {.method = false, .out = true, .differentiable = false, .module = "linalg"})
OPERATION("ldl_factor(Tensor self, *, bool hermitian=False) -> (Tensor LD, Tensor pivots)", ldl_factor,
          "L and D of symmetric matrices (*, n, n), A = L D L^T, packed, with the pivots that ldl_solve takes.",
          {.method = false, .out = true, .differentiable = false, .module = "linalg"})
OPERATION("ldl_solve(Tensor LD, Tensor pivots, Tensor B, *, bool hermitian=False) -> Tensor", ldl_solve,
          "X of A X = B from what ldl_factor made of A.",
          {.method = false, .out = true, .differentiable = false, .module = "linalg"})

// ---- QR -----------------------------------------------------------------------------------------------------------

struct Reflectors {
  Tensor a, tau;  // R in the upper triangle, reflectors below; (*, m, n) and (*, k)
};
Reflectors geqrf_data(const Tensor& a) {
  return dispatch_lapack(a, "geqrf_cpu", [&]<class T>() {
    const Routine& geqrf = lapack<T, "geqrf">();
    const int64_t m = rows_of(a), n = columns_of(a), k = std::min(m, n);
    Reflectors out{copy_by_columns(a), zeros(with(batch_of(a), {k}), a.dtype())};
    if (a.numel() == 0 || without_elements(a)) return out;
    int code = 0;
    T best = 0;
    geqrf(lapack_int(m), lapack_int(n), out.a.data<T>(), leading(m), out.tau.data<T>(), &best, -1, &code);
    const int64_t room = std::max<int64_t>(n, static_cast<int64_t>(best));
    each_matrix(count_of(a), double(m * n * k), [&](int64_t i) {
      std::vector<T> work(static_cast<size_t>(room));
      int result = 0;
      geqrf(lapack_int(m), lapack_int(n), out.a.data<T>() + i * m * n, leading(m), out.tau.data<T>() + i * k,
            work.data(), lapack_int(room), &result);
    });
    return out;
  });
}

std::tuple<Tensor, Tensor> geqrf(const Tensor& a) {
  check(a.dims() >= 2, "torch.geqrf: input must have at least 2 dimensions.");
  const Reflectors made = geqrf_data(a);
  record_all("GeqrfBackward0", {&a}, {made.a, made.tau}, [](BackwardCall&) { no_derivative("geqrf"); });
  return {made.a, made.tau};
}
OPERATION("geqrf(Tensor self) -> (Tensor a, Tensor tau)", geqrf,
          "The QR factorisation of matrices (*, m, n) as LAPACK leaves it: R in the upper triangle of a, below it the "
          "reflectors that householder_product makes Q of with tau.",
          {.out = true, .differentiable = false, .autocast = Autocast::float32})

Tensor qr_backward(const Tensor& g_q, const Tensor& g_r, const Tensor& q, const Tensor& r) {
  const int64_t m = rows_of(q), n = columns_of(r);
  Tensor inner;  // R gR^T - Q^T gQ, or its transpose's opposite
  if (m >= n) {
    if (g_r) inner = matmul(g_r, mT(r));
    if (g_q) inner = inner ? inner - matmul(mT(q), g_q) : -matmul(mT(q), g_q);
    const Tensor upper = triu(inner);
    Tensor g = matmul(q, halved_diagonal(upper + mT(upper)));
    if (g_q) g = g + g_q;
    return solve_triangular(mT(r), g, false, false);
  }
  if (g_q) inner = matmul(mT(q), g_q);
  if (g_r) inner = inner ? inner - matmul(g_r, mT(r)) : -matmul(g_r, mT(r));
  Tensor g = matmul(q, tril(inner - mT(inner), -1));
  g = solve_triangular(mT(narrow(r, -1, 0, m)), g, false, false);
  const Tensor both[] = {g, zeros(with(batch_of(r), {m, n - m}), r.dtype())};
  g = cat(both, -1);
  return g_r ? g + matmul(q, g_r) : g;
}

// Q of `columns` columns from k reflectors.
Tensor orthogonal_factor(const Reflectors& f, int64_t columns) {
  const Tensor& a = f.a;
  return dispatch_lapack(a, "orgqr_cpu", [&]<class T>() {
    const Routine& orgqr = lapack<T, "orgqr">();
    const int64_t m = rows_of(a), k = f.tau.shape().back();
    if (k == 0) {
      Tensor one = identity(batch_of(a), m, a.dtype());
      return columns == m ? one : clone(narrow(one, -1, 0, columns));
    }
    Tensor q = new_by_columns(with(batch_of(a), {m, columns}), a.dtype());
    const int64_t kept = std::min(columns, columns_of(a));
    copy_data(alias(q, q.layout().sliced(q.dims() - 1, 0, kept, 1)),
              alias(a, a.layout().sliced(a.dims() - 1, 0, kept, 1)));
    if (q.numel() == 0 || without_elements(q)) return q;
    int code = 0;
    T best = 0;
    orgqr(lapack_int(m), lapack_int(columns), lapack_int(k), q.data<T>(), leading(m), f.tau.data<T>(), &best, -1,
          &code);
    const int64_t room = std::max<int64_t>(columns, static_cast<int64_t>(best));
    each_matrix(q.numel() / (m * columns), double(m * columns * k), [&](int64_t i) {
      std::vector<T> work(static_cast<size_t>(room));
      int result = 0;
      orgqr(lapack_int(m), lapack_int(columns), lapack_int(k), q.data<T>() + i * m * columns, leading(m),
            f.tau.data<T>() + i * k, work.data(), lapack_int(room), &result);
    });
    return q;
  });
}

std::tuple<Tensor, Tensor> qr(const Tensor& a, std::string_view mode) {
  check_matrix(a, "linalg.qr");
  check_linalg_type(a, "linalg.qr");
  check(mode == "reduced" || mode == "complete" || mode == "r", "qr received unrecognized mode '", mode,
        "' but expected one of 'reduced' (default), 'r', or 'complete'");
  const int64_t m = rows_of(a), n = columns_of(a), k = std::min(m, n);
  const bool complete = mode == "complete", with_q = mode != "r";
  Tensor q, r;
  {
    const GradMode off(false);
    const Reflectors f = geqrf_data(a);
    const int64_t rows = complete ? m : k;
    r = triu(rows < m ? narrow(f.a, -2, 0, rows) : f.a);
    q = with_q ? orthogonal_factor(f, rows) : empty(Dims{0}, a.dtype());
  }
  record_all("LinalgQrBackward0", {&a}, {q, r},
             [complete, with_q, tall = m > n](BackwardCall& c) {
               check(with_q,
                     "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use "
                     "linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr.");
               check(!(complete && tall),
                     "The QR decomposition is not differentiable when mode='complete' and nrows > ncols.");
               c.set(0, qr_backward(c.grad(0), c.grad(1), c.saved(0), c.saved(1)));
             },
             {result(q), result(r)});
  return {q, r};
}
OPERATION(
    "qr(Tensor A, str mode='reduced') -> (Tensor Q, Tensor R)", qr,
    "A = Q R of matrices (*, m, n): Q with orthonormal columns, R an upper triangle. mode: 'reduced' (Q is (*, m, k) "
    "and R (*, k, n), k = min(m, n)), 'complete' (Q is (*, m, m)) or 'r' (R alone).",
    {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("qr(Tensor self, bool some=True) -> (Tensor Q, Tensor R)",
          (+[](const Tensor& a, bool some) { return qr(a, some ? "reduced" : "complete"); }),
          "A = Q R of matrices (*, m, n): linalg.qr with mode 'reduced', or 'complete' if not some.",
          {.out = true, .autocast = Autocast::float32})

// ---- products of reflectors ---------------------------------------------------------------------------------------

// Q_1 = H_1 H_2 … H_k C (or the reflectors in the opposite order), with H_i = I - tau_i v_i v_i^T. Given Q_1 and its
// gradient: gradients of v (their strictly lower part) and tau. Q_{i+1} = H_i^-1 Q_i is found on the way, in float64
// for float32, as the steps' roundings add up.
struct ReflectorGradients {
  Tensor v, tau;
};
ReflectorGradients reflectors_backward(const Tensor& g_q, const Tensor& product, const Tensor& reflectors,
                                       const Tensor& factors, bool opposite) {
  Tensor g = cast(g_q, DType::f64), q = cast(product, DType::f64);
  const Tensor v = cast(reflectors, DType::f64), tau = cast(factors, DType::f64);
  const int64_t k = tau.shape().back(), m = rows_of(v);
  std::vector<Tensor> g_v(static_cast<size_t>(k)), g_tau(static_cast<size_t>(k));
  const Tensor unit = tril(v, -1) + [&] {
    Tensor one = zeros(v.shape(), v.dtype());
    fill_data(diagonal_view(one), Scalar(1));
    return one;
  }();
  for (int64_t step = 0; step < k; ++step) {
    const int64_t i = opposite ? k - 1 - step : step;
    const Tensor w = narrow(unit, -1, i, 1), t = unsqueeze(narrow(tau, -1, i, 1), -1);  // (*, m, 1), (*, 1, 1)
    const Tensor inverse = t / (t * matmul(mT(w), w) - 1.0);
    q = q - inverse * matmul(w, matmul(mT(w), q));
    const Tensor across = matmul(mT(q), w), g_across = matmul(g, across);  // (*, n, 1), (*, m, 1)
    g_tau[i] = squeeze(-matmul(mT(w), g_across), -1);
    g_v[i] = -t * (g_across + matmul(q, matmul(mT(g), w)));
    g = g - t * matmul(w, matmul(mT(w), g));
  }
  if (k == 0) return {zeros_like(reflectors), zeros_like(factors)};
  ReflectorGradients out{cat(g_v, -1), cat(g_tau, -1)};
  if (columns_of(v) > k) {
    const Tensor both[] = {out.v, zeros(with(batch_of(v), {m, columns_of(v) - k}), v.dtype())};
    out.v = cat(both, -1);
  }
  return {cast(tril(out.v, -1), reflectors.dtype()), cast(out.tau, factors.dtype())};
}

Tensor householder_product(const Tensor& a, const Tensor& tau) {
  const char* op = "torch.linalg.householder_product: ";
  check(a.dims() >= 2, op, "input must have at least 2 dimensions.");
  check(rows_of(a) >= columns_of(a), op, "input.shape[-2] must be greater than or equal to input.shape[-1]");
  check(tau.dims() == a.dims() - 1, op,
        "Expected tau to have one dimension less than input, but got tau.ndim equal to ", tau.dims(),
        " and input.ndim is equal to ", a.dims());
  check(columns_of(a) >= tau.shape().back(), op, "input.shape[-1] must be greater than or equal to tau.shape[-1]");
  check(batch_of(tau, 1) == batch_of(a), op,
        "Expected batch dimensions of tau to be equal to input.shape[:-2], but got ", Ints(batch_of(tau, 1)));
  check(tau.dtype() == a.dtype(), op, "tau dtype ", legacy_name(tau.dtype()), " does not match input dtype ",
        legacy_name(a.dtype()));
  Tensor q;
  {
    const GradMode off(false);
    q = orthogonal_factor({a, dense(tau)}, columns_of(a));
  }
  return record("LinalgHouseholderProductBackward0", {&a, &tau}, q,
                [](BackwardCall& c) {
                  const auto g = reflectors_backward(c.grad(), c.saved(2), c.saved(0), c.saved(1), false);
                  if (c.needs(0)) c.set(0, g.v);
                  if (c.needs(1)) c.set(1, g.tau);
                },
                {keep(a), keep(tau), result(q)});
}
OPERATION(
    "householder_product(Tensor input, Tensor tau) -> Tensor", householder_product,
    "The first n columns of products of reflectors I - tau v v^T, whose v are below the diagonal of input (*, m, n) "
    "with a 1 on it: Q of what geqrf gives.",
    {.method = false,
     .out = true,
     .module = "linalg",
     .out_dtype = Traits::Out::converted,
     .autocast = Autocast::float32})
OPERATION("orgqr(Tensor self, Tensor input2) -> Tensor", householder_product, "linalg.householder_product.",
          {.out = true, .out_dtype = Traits::Out::converted, .autocast = Autocast::float32})

void check_ormqr(const Tensor& a, const Tensor& tau, const Tensor& other, bool left) {
  const char* op = "torch.ormqr: ";
  check(a.dims() >= 2, op, "input must have at least 2 dimensions.");
  check(other.dims() >= 2, op, "other must have at least 2 dimensions.");
  const int64_t length = left ? rows_of(other) : columns_of(other);
  const char* which = left ? "-2" : "-1";
  check(length == rows_of(a) || tau.dims() == 0 || length >= tau.shape().back(), op, "other.shape[", which,
        "] must be greater than or equal to tau.shape[-1]");
  check(length == rows_of(a), op, "other.shape[", which, "] must be equal to input.shape[-2]");
  wrap_dim(-1, tau.dims(), false);
  check(tau.dims() == a.dims() - 1, op,
        "Expected tau to have one dimension less than input, but got tau.ndim equal to ", tau.dims(),
        " and input.ndim is equal to ", a.dims());
  check(tau.shape().back() == std::min(rows_of(a), columns_of(a)), op,
        "tau.shape[-1] must be equal to min(other.shape[", which, "], input.shape[-1])");
  check(batch_of(tau, 1) == batch_of(a), op,
        "Expected batch dimensions of tau to be equal to input.shape[:-2], but got ", Ints(batch_of(tau, 1)));
  check(batch_of(other) == batch_of(a), op,
        "Expected batch dimensions of other to be equal to input.shape[:-2], but got ", Ints(batch_of(other)));
  check(tau.dtype() == a.dtype(), op, "Expected input and tau to have the same dtype, but input has dtype ",
        legacy_name(a.dtype()), " and tau has dtype ", legacy_name(tau.dtype()));
  check(other.dtype() == a.dtype(), op, "Expected input and other to have the same dtype, but input has dtype",
        legacy_name(a.dtype()), " and other has dtype ", legacy_name(other.dtype()));
}

Tensor ormqr(const Tensor& a, const Tensor& tau, const Tensor& other, bool left, bool transposed) {
  check_ormqr(a, tau, other, left);
  Tensor out = dispatch_lapack(a, "ormqr_cpu", [&]<class T>() {
    const Routine& ormqr = lapack<T, "ormqr">();
    const int64_t m = rows_of(other), n = columns_of(other), k = tau.shape().back(), length = rows_of(a);
    Tensor c = copy_by_columns(other);
    if (c.numel() == 0 || k == 0 || without_elements(c)) return c;
    const ReadMatrices v(a, batch_of(a));
    const Tensor factors = dense(tau);
    const char side = left ? 'L' : 'R', how = transposed ? 'T' : 'N';
    int code = 0;
    T best = 0;
    ormqr(side, how, lapack_int(m), lapack_int(n), lapack_int(k), v.at<T>(0), v.ld(), factors.data<T>(), c.data<T>(),
          leading(m), &best, -1, &code);
    const int64_t room = std::max<int64_t>({1, m, n, static_cast<int64_t>(best)});
    each_matrix(c.numel() / (m * n), double(m * n * k), [&](int64_t i) {
      // LAPACK writes a 1 on the diagonal and takes it back: threads that share a broadcast matrix must not see it.
      std::vector<T> own(v.at<T>(i), v.at<T>(i) + (k - 1) * v.ld() + length), work(static_cast<size_t>(room));
      int result = 0;
      ormqr(side, how, lapack_int(m), lapack_int(n), lapack_int(k), own.data(), v.ld(), factors.data<T>() + i * k,
            c.data<T>() + i * m * n, leading(m), work.data(), lapack_int(room), &result);
    });
    return c;
  });
  return record("OrmqrBackward0", {&a, &tau, &other}, out,
                [left, transposed](BackwardCall& c) {
                  const Tensor a = c.saved(0), tau = c.saved(1);
                  if (c.needs(2)) c.set(2, ormqr(a, tau, c.grad(), left, !transposed));
                  if (!c.needs(0) && !c.needs(1)) return;
                  const Tensor q = c.saved(2);
                  // From the right, C Q is (Q^T C^T)^T: the reflectors in the other order.
                  const auto g =
                      reflectors_backward(left ? c.grad() : mT(c.grad()), left ? q : mT(q), a, tau, left == transposed);
                  if (c.needs(0)) c.set(0, g.v);
                  if (c.needs(1)) c.set(1, g.tau);
                },
                {keep(a), keep(tau), result(out)});
}
OPERATION(
    "ormqr(Tensor self, Tensor input2, Tensor input3, bool left=True, bool transpose=False) -> Tensor", ormqr,
    "Q input3 (or input3 Q unless left; Q^T if transpose), Q being the whole product of the reflectors in self and "
    "input2 that geqrf gave, which is not formed.",
    {.out = true, .autocast = Autocast::float32})

}  // namespace

}  // namespace bulssi
