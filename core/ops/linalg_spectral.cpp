// Eigenvalues of symmetric matrices, singular values, and what is made of them: pseudo-inverses, ranks.
#include <limits>

#include "core/op/registry.h"
#include "core/ops/linalg.h"

namespace bulssi {

namespace {

// ---- symmetric eigenproblems --------------------------------------------------------------------------------------

char triangle_letter(std::string_view uplo) {
  const char letter = uplo.size() == 1 ? static_cast<char>(uplo[0] & ~0x20) : ' ';
  check(letter == 'L' || letter == 'U', "Expected UPLO argument to be 'L' or 'U', but got ", uplo);
  return letter;
}

struct Eigen {
  Tensor values, vectors;
};
Eigen eigen_data(const Tensor& a, char uplo, bool with_vectors) {
  return dispatch_lapack(a, "linalg_eigh_cpu", [&]<class T>() {
    const Routine& syevd = lapack<T, "syevd">();
    const int64_t n = rows_of(a);
    Eigen out{empty(batch_of(a, 1), a.dtype()), copy_by_columns(a)};
    if (a.numel() == 0 || without_elements(a)) return out;
    Tensor info = zeros(batch_of(a), DType::i32);
    const char job = with_vectors ? 'V' : 'N';
    int code = 0, best_ints = 0;
    T best = 0;
    syevd(job, uplo, lapack_int(n), out.vectors.data<T>(), leading(n), out.values.data<T>(), &best, -1, &best_ints, -1,
          &code);
    const size_t room = static_cast<size_t>(std::max<double>(1, double(best))), ints = std::max(1, best_ints);
    each_matrix(info.numel(), 9.0 * double(n) * double(n * n), [&](int64_t i) {
      std::vector<T> work(room);
      std::vector<int> int_work(ints);
      syevd(job, uplo, lapack_int(n), out.vectors.data<T>() + i * n * n, leading(n), out.values.data<T>() + i * n,
            work.data(), lapack_int(int64_t(room)), int_work.data(), lapack_int(int64_t(ints)),
            info.data<int32_t>() + i);
    });
    check_info(info, [](const std::string& where, int32_t at) {
      throw LinAlgError(str("linalg.eigh: ", where,
                            "The algorithm failed to converge because the input matrix is ill-conditioned or has too "
                            "many repeated eigenvalues (error code: ",
                            at, ")."));
    });
    return out;
  });
}

// Differences x_j - x_i with 1 on the diagonal (where a 0 would be divided by).
Tensor differences(const Tensor& x) {
  const int64_t n = x.shape().back();
  return unsqueeze(x, -2) - unsqueeze(x, -1) + identity(batch_of(x, 1), n, x.dtype());
}
Tensor skew(const Tensor& t) { return t - mT(t); }

Tensor eigh_backward(const Tensor& g_values, const Tensor& g_vectors, const Tensor& values, const Tensor& vectors) {
  if (!g_vectors) return matmul(vectors * unsqueeze(g_values, -2), mT(vectors));
  Tensor inner = skew(matmul(mT(vectors), g_vectors)) * 0.5 / differences(values);
  if (g_values) inner = inner + diagonal_matrix(g_values);
  return matmul(vectors, matmul(inner, mT(vectors)));
}

void check_eigh(const Tensor& a) { check_square(a, "linalg.eigh"); }

}  // namespace

std::tuple<Tensor, Tensor> eigh(const Tensor& a, std::string_view uplo) {
  check_eigh(a);
  const Eigen e = eigen_data(a, triangle_letter(uplo), true);
  record_all("LinalgEighBackward0", {&a}, {e.values, e.vectors},
             [](BackwardCall& c) { c.set(0, eigh_backward(c.grad(0), c.grad(1), c.saved(0), c.saved(1))); },
             {result(e.values), result(e.vectors)});
  return {e.values, e.vectors};
}
Tensor eigvalsh(const Tensor& a, std::string_view uplo) {
  if (recording(a)) return std::get<0>(eigh(a, uplo));
  check_eigh(a);
  return eigen_data(a, triangle_letter(uplo), false).values;
}

namespace {

OPERATION(
    "eigh(Tensor self, str UPLO='L') -> (Tensor eigenvalues, Tensor eigenvectors)", eigh,
    "Eigenvalues (*, n), in ascending order, and orthonormal eigenvectors, the columns of (*, n, n), of symmetric "
    "matrices, of which the lower triangle is read (the upper one for UPLO 'U'). Gradients of the vectors exist "
    "where no eigenvalue is repeated.",
    {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("eigvalsh(Tensor self, str UPLO='L') -> Tensor", eigvalsh,
          "Eigenvalues (*, n), in ascending order, of symmetric matrices, of which one triangle is read.",
          {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})

// ---- singular values ----------------------------------------------------------------------------------------------

struct Svd {
  Tensor u, s, vh;
};
[[noreturn]] void fail_svd(const std::string& where, int code) {
  if (code < 0) {
    throw LinAlgError(str("linalg.svd: ", where,
                          "The algorithm failed to converge because the input matrix contained non-finite values."));
  }
  throw LinAlgError(str("linalg.svd: ", where,
                        "The algorithm failed to converge because the input matrix is ill-conditioned or has too many "
                        "repeated singular values (error code: ",
                        code, ")."));
}

// job: 'A' (square U and V), 'S' (k vectors) or 'N' (none).
Svd svd_data(const Tensor& a, char job) {
  return dispatch_lapack(a, "linalg_svd_cpu", [&]<class T>() {
    const Routine& gesdd = lapack<T, "gesdd">();
    const int64_t m = rows_of(a), n = columns_of(a), k = std::min(m, n);
    const int64_t left = job == 'A' ? m : k, right = job == 'A' ? n : k;
    const Dims batch = batch_of(a);
    Svd out;
    out.s = empty(with(batch, {k}), a.dtype());
    if (job != 'N') {
      out.u = new_by_columns(with(batch, {m, left}), a.dtype());
      out.vh = new_by_columns(with(batch, {right, n}), a.dtype());
    }
    if (a.numel() == 0) {
      if (job == 'A') copy_data(out.u, identity(batch, m, a.dtype())), copy_data(out.vh, identity(batch, n, a.dtype()));
      return out;
    }
    if (without_elements(a)) return out;
    Tensor work_a = copy_by_columns(a), info = zeros(batch, DType::i32);
    const auto call = [&](int64_t i, T* work, int room, int* ints, int* code) {
      T* u = job == 'N' ? nullptr : out.u.data<T>() + i * m * left;
      T* vh = job == 'N' ? nullptr : out.vh.data<T>() + i * right * n;
      gesdd(job, lapack_int(m), lapack_int(n), work_a.data<T>() + i * m * n, leading(m), out.s.data<T>() + i * k, u,
            leading(m), vh, leading(right), work, room, ints, code);
    };
    T best = 0;
    int code = 0, none = 0;
    call(0, &best, -1, &none, &code);
    // A float cannot hold every size: the next one up is asked for.
    const int room = lapack_int(static_cast<int64_t>(double(best) * (1 + 2 * epsilon_of(a.dtype()))) + 1);
    each_matrix(info.numel(), 20.0 * double(m) * double(n) * double(k), [&](int64_t i) {
      std::vector<T> work(static_cast<size_t>(room));
      std::vector<int> ints(static_cast<size_t>(8 * k));
      call(i, work.data(), room, ints.data(), info.data<int32_t>() + i);
    });
    check_info(info, fail_svd);
    return out;
  });
}

// With g_u and g_v zero (undefined) only the values count: U diag(g) V^T.
Tensor svd_backward(const Tensor& g_u, const Tensor& g_s, const Tensor& g_vh, const Tensor& u, const Tensor& s,
                    const Tensor& vh) {
  const int64_t m = rows_of(u), n = columns_of(vh), k = s.shape().back();
  const Tensor row = unsqueeze(s, -2), column = unsqueeze(s, -1);
  if (!g_u && !g_vh) return m >= n ? matmul(u, unsqueeze(g_s, -1) * vh) : matmul(u * unsqueeze(g_s, -2), vh);
  // s_j^2 - s_i^2 as a product, so that near ones keep their digits.
  const Tensor gaps = differences(s) * (row + column);
  const Tensor one = identity(batch_of(s, 1), k, s.dtype());
  const Tensor safe = select(one != 0.0, 1.0, gaps);
  Tensor inner;
  if (g_u) inner = skew(matmul(mT(u), g_u)) / safe * row;
  if (g_vh) {
    const Tensor part = column * (skew(matmul(vh, mT(g_vh))) / safe);
    inner = inner ? inner + part : part;
  }
  if (g_s) inner = inner + diagonal_matrix(g_s);
  Tensor g = matmul(u, matmul(inner, vh));
  if (g_u && m > k) {  // what leaves the span of U
    const Tensor scaled = g_u / row;
    g = g + matmul(scaled - matmul(u, matmul(mT(u), scaled)), vh);
  }
  if (g_vh && n > k) {
    const Tensor scaled = g_vh / column;
    g = g + matmul(u, scaled - matmul(matmul(scaled, mT(vh)), vh));
  }
  return g;
}

void check_svd(const Tensor& a) {
  check_linalg_type(a, "linalg.svd");
  check_matrix(a, "linalg.svd");
}
void check_driver(const std::optional<std::string_view>& driver) {
  check(!driver,
        "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend.");
}
Tensor first_of(const Tensor& t, int64_t dim, int64_t n) { return t && t.size(dim) > n ? narrow(t, dim, 0, n) : t; }

}  // namespace

std::tuple<Tensor, Tensor, Tensor> svd(const Tensor& a, bool full_matrices) {
  check_svd(a);
  const Svd f = svd_data(a, full_matrices ? 'A' : 'S');
  record_all("LinalgSvdBackward0", {&a}, {f.u, f.s, f.vh},
             [](BackwardCall& c) {
               const Tensor u = c.saved(0), s = c.saved(1), vh = c.saved(2);
               const int64_t k = s.shape().back();
               c.set(0, svd_backward(first_of(c.grad(0), -1, k), c.grad(1), first_of(c.grad(2), -2, k),
                                     first_of(u, -1, k), s, first_of(vh, -2, k)));
             },
             {result(f.u), result(f.s), result(f.vh)});
  return {f.u, f.s, f.vh};
}
Tensor svdvals(const Tensor& a) {
  if (recording(a)) return std::get<1>(svd(a, false));
  check_svd(a);
  return svd_data(a, 'N').s;
}

namespace {

OPERATION(
    "svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)",
    (+[](const Tensor& a, bool full_matrices, std::optional<std::string_view> driver) {
      check_driver(driver);
      return svd(a, full_matrices);
    }),
    "A = U diag(S) Vh of matrices (*, m, n): singular values (*, k) in descending order, k = min(m, n), and "
    "orthonormal "
    "columns of U (*, m, m) and rows of Vh (*, n, n), or only k of each unless full_matrices. Gradients of U and Vh "
    "exist where no singular value is repeated (or 0, if A is not square).",
    {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("svdvals(Tensor A, *, str? driver=None) -> Tensor",
          (+[](const Tensor& a, std::optional<std::string_view> driver) {
            check_driver(driver);
            return svdvals(a);
          }),
          "Singular values (*, k), in descending order, of matrices (*, m, n), k = min(m, n).",
          {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("svd(Tensor self, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor V)",
          (+[](const Tensor& a, bool some, bool compute_uv) {
            if (compute_uv) {
              const auto [u, s, vh] = svd(a, !some);
              return std::tuple(u, s, mT(vh));
            }
            const Tensor s = svdvals(a);
            const int64_t m = rows_of(a), n = columns_of(a);
            return std::tuple(zeros(with(batch_of(a), {m, m}), a.dtype()), s,
                              zeros(with(batch_of(a), {n, n}), a.dtype()));
          }),
          "A = U diag(S) V^T of matrices (*, m, n), with min(m, n) columns of U and V, or all unless some; U and V are "
          "zeros unless compute_uv. linalg.svd gives V^T.",
          {.out = true, .autocast = Autocast::float32})

// ---- ranks and pseudo-inverses ------------------------------------------------------------------------------------

// The size below which a singular value counts as 0, of shape (*): max(atol, rtol * the largest). Defaults: rtol is
// epsilon * max(m, n) unless atol is positive.
struct Tolerance {
  Tensor atol, rtol;
};
Tolerance tolerance(const Tensor& a, const Tensor& atol, const Tensor& rtol) {
  const double usual = epsilon_of(a.dtype()) * double(std::max(rows_of(a), columns_of(a)));
  Tolerance t{atol, rtol};
  const DType dtype = a.dtype();
  if (!t.atol) t.atol = zeros({}, dtype);
  if (!t.rtol) {
    t.rtol = full({}, Scalar(usual), dtype);
    if (atol) t.rtol = select(atol > 0.0, zeros({}, dtype), t.rtol);
  }
  return t;
}
Tensor number_tensor(const std::optional<double>& value, DType dtype) {
  return value ? full({}, Scalar(*value), dtype) : Tensor();
}
// The sizes of eigenvalues, or singular values.
Tensor spectrum(const Tensor& a, bool hermitian) { return hermitian ? abs(eigvalsh(a)) : svdvals(a); }

Tensor matrix_rank(const Tensor& a, const Tensor& atol, const Tensor& rtol, bool hermitian) {
  const GradMode off(false);
  check_matrix(a, "torch.linalg.matrix_rank", "input");
  check(a.dtype() == DType::f32 || a.dtype() == DType::f64 || a.numel() == 0,
        "This function doesn't handle types other than float and double");
  const Tolerance t = tolerance(a, atol, rtol);
  if (a.numel() == 0) {
    return zeros(broadcast_shapes(batch_of(a), broadcast_shapes(t.atol.shape(), t.rtol.shape())), DType::i64);
  }
  const Tensor s = spectrum(a, hermitian);
  const int64_t last[] = {-1};
  const Tensor limit = Tensor::apply<Maximum>(t.atol, t.rtol * amax(s, last, false));
  return sum(s > unsqueeze(limit, -1), Ints(last), false, std::nullopt);
}
Tensor rank_with_numbers(const Tensor& a, std::optional<double> atol, std::optional<double> rtol, bool hermitian) {
  const DType dtype = is_floating(a.dtype()) ? a.dtype() : default_dtype();
  return matrix_rank(a, number_tensor(atol, dtype), number_tensor(rtol, dtype), hermitian);
}
OPERATION("matrix_rank(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor",
          rank_with_numbers,
          "How many singular values of matrices (*, m, n) exceed max(atol, rtol * the largest); int64, of shape (*).",
          {.method = false, .out = true, .differentiable = false, .module = "linalg", .autocast = Autocast::float32})
OPERATION("matrix_rank(Tensor input, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
          matrix_rank, "How many singular values exceed max(atol, rtol * the largest).",
          {.method = false, .out = true, .differentiable = false, .module = "linalg", .autocast = Autocast::float32})
OPERATION("matrix_rank(Tensor self, float tol, bool hermitian=False) -> Tensor",
          (+[](const Tensor& a, double tol, bool hermitian) { return rank_with_numbers(a, tol, 0.0, hermitian); }),
          "How many singular values exceed tol.",
          {.method = false, .out = true, .differentiable = false, .module = "linalg", .autocast = Autocast::float32})
OPERATION("matrix_rank(Tensor input, Tensor tol, bool hermitian=False) -> Tensor",
          (+[](const Tensor& a, const Tensor& tol, bool hermitian) {
            return matrix_rank(a, tol, zeros({}, tol.dtype()), hermitian);
          }),
          "How many singular values exceed tol.",
          {.method = false, .out = true, .differentiable = false, .module = "linalg", .autocast = Autocast::float32})

}  // namespace

// Golub and Pereyra (1973), "The differentiation of pseudo-inverses"; x is the pseudo-inverse of a.
Tensor pinv_backward(const Tensor& g, const Tensor& x, const Tensor& a) {
  const Tensor xt = mT(x), gt = mT(g);
  if (rows_of(a) <= columns_of(a)) {
    const Tensor k = matmul(gt, x), kx = matmul(k, xt);
    return kx - mT(matmul(x, k)) - matmul(matmul(a, x), kx) + matmul(matmul(xt, x), gt - matmul(k, a));
  }
  const Tensor k = matmul(x, gt), xk = matmul(xt, k);
  return xk - mT(matmul(k, x)) - matmul(matmul(xk, x), a) + matmul(matmul(gt - matmul(a, k), x), xt);
}

namespace {

Tensor pinv_data(const Tensor& a, const Tensor& atol, const Tensor& rtol, bool hermitian) {
  const GradMode off(false);
  const Tolerance t = tolerance(a, atol, rtol);
  Tensor u, s, vh;
  if (hermitian) {
    Tensor values;
    std::tie(values, u) = eigh(a);
    s = values;
    vh = mT(u);
  } else {
    std::tie(u, s, vh) = svd(a, false);
  }
  const int64_t last[] = {-1};
  const Tensor size = abs(s), limit = Tensor::apply<Maximum>(t.atol, t.rtol * amax(size, last, false));
  const Tensor inverted = select(size > unsqueeze(limit, -1), 1.0 / s, zeros({}, a.dtype()));
  return matmul(mT(vh) * unsqueeze(inverted, -2), mT(u));
}

}  // namespace

Tensor pinv(const Tensor& a, const Tensor& atol, const Tensor& rtol, bool hermitian) {
  if ((a.dtype() != DType::f32 && a.dtype() != DType::f64) || a.dims() < 2) {
    fail("linalg.pinv(", legacy_name(a.dtype()), "{", Ints(a.shape()),
         "}): expected a tensor with 2 or more dimensions of float, double, cfloat or cdouble types");
  }
  if (a.numel() == 0) {
    const Tensor made = empty(with(batch_of(a), {columns_of(a), rows_of(a)}), a.dtype());
    return record("LinalgPinvBackward0", a, made, [](const Tensor& g) { return zeros_like(mT(g)); });
  }
  Tensor x = pinv_data(a, atol, rtol, hermitian);
  const Dims shape = a.shape();
  return record("LinalgPinvBackward0", {&a}, x,
                [shape](BackwardCall& c) { c.set(0, sum_to(pinv_backward(c.grad(), c.saved(1), c.saved(0)), shape)); },
                {keep(a), result(x)});
}

namespace {

Tensor pinv_with_numbers(const Tensor& a, std::optional<double> atol, std::optional<double> rtol, bool hermitian) {
  const DType dtype = is_floating(a.dtype()) ? a.dtype() : default_dtype();
  return pinv(a, number_tensor(atol, dtype), number_tensor(rtol, dtype), hermitian);
}
#define BULSSI_PINV_DOC                                                                                           \
  "Pseudo-inverses (*, n, m) of matrices (*, m, n) (Moore and Penrose), from singular values, or eigenvalues if " \
  "hermitian; those up to max(atol, rtol * the largest) count as 0."
OPERATION("pinv(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor", pinv_with_numbers,
          BULSSI_PINV_DOC, {.method = false, .out = true, .module = "linalg", .out_dtype = Traits::Out::converted})
OPERATION("pinv(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor", pinv,
          BULSSI_PINV_DOC, {.method = false, .out = true, .module = "linalg", .out_dtype = Traits::Out::converted})
OPERATION("pinv(Tensor self, float rcond, bool hermitian=False) -> Tensor",
          (+[](const Tensor& a, double rcond, bool hermitian) { return pinv_with_numbers(a, 0.0, rcond, hermitian); }),
          BULSSI_PINV_DOC, {.method = false, .out = true, .module = "linalg", .out_dtype = Traits::Out::converted})
OPERATION("pinv(Tensor self, Tensor rcond, bool hermitian=False) -> Tensor",
          (+[](const Tensor& a, const Tensor& rcond, bool hermitian) {
            return pinv(a, zeros({}, rcond.dtype()), rcond, hermitian);
          }),
          BULSSI_PINV_DOC, {.method = false, .out = true, .module = "linalg", .out_dtype = Traits::Out::converted})
OPERATION("pinverse(Tensor self, float rcond=1e-15) -> Tensor",
          (+[](const Tensor& a, double rcond) { return pinv_with_numbers(a, 0.0, rcond, false); }),
          "Pseudo-inverses: linalg.pinv.", {.autocast = Autocast::float32})

}  // namespace

}  // namespace bulssi
