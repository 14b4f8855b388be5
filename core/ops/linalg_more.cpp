// Least squares, exponentials of matrices, and operations that are written with other factorisations.
#include <array>
#include <cmath>

#include "core/op/registry.h"
#include "core/ops/linalg.h"

namespace bulssi {

namespace {

// ---- least squares ------------------------------------------------------------------------------------------------

struct LeastSquares {
  Tensor solution, rank, singular_values;  // (*, n, k), (*) int64, (*, min(m, n))
};

enum class Driver { gels, gelsy, gelsd, gelss };

// One problem: A (m, n) is overwritten, b (max(m, n), k) becomes the solution.
template <class T>
class LeastSquaresCall {
 public:
  LeastSquaresCall(Driver driver, int64_t m, int64_t n, int64_t k, double rcond)
      : driver_(driver), m_(lapack_int(m)), n_(lapack_int(n)), k_(lapack_int(k)), rcond_(static_cast<T>(rcond)) {
    T best = 0;
    int ints = 1, rank = 0;
    call(nullptr, nullptr, nullptr, &rank, &best, -1, &ints);
    room_ = lapack_int(static_cast<int64_t>(double(best) * (1 + 2 * epsilon_of(dtype_of<T>))) + 1);
    ints_ = std::max(ints, driver == Driver::gelsy ? n_ : 1);
  }
  // The code of the error, 0 for none.
  int operator()(T* a, T* b, T* values, int* rank) const {
    std::vector<T> work(static_cast<size_t>(room_));
    std::vector<int> ints(static_cast<size_t>(ints_), 0);
    return call(a, b, values, rank, work.data(), room_, ints.data());
  }

 private:
  int call(T* a, T* b, T* values, int* rank, T* work, int room, int* ints) const {
    const int lda = std::max(1, m_), ldb = std::max({1, m_, n_});
    int code = 0;
    switch (driver_) {
      case Driver::gels: lapack<T, "gels">()('N', m_, n_, k_, a, lda, b, ldb, work, room, &code); break;
      case Driver::gelsy:
        lapack<T, "gelsy">()(m_, n_, k_, a, lda, b, ldb, ints, rcond_, rank, work, room, &code);
        break;
      case Driver::gelsd:
        lapack<T, "gelsd">()(m_, n_, k_, a, lda, b, ldb, values, rcond_, rank, work, room, ints, &code);
        break;
      case Driver::gelss:
        lapack<T, "gelss">()(m_, n_, k_, a, lda, b, ldb, values, rcond_, rank, work, room, &code);
        break;
    }
    return code;
  }
  Driver driver_;
  int m_, n_, k_, room_ = 1, ints_ = 1;
  T rcond_;
};

LeastSquares lstsq_data(const Tensor& a, const Tensor& b, double rcond, Driver driver) {
  return dispatch_lapack(a, "linalg_lstsq_cpu", [&]<class T>() {
    const int64_t m = rows_of(a), n = columns_of(a), k = columns_of(b), rows = std::max(m, n), few = std::min(m, n);
    const Dims batch = broadcast_shapes(batch_of(a), batch_of(b));
    const bool ranked = driver != Driver::gels, valued = driver == Driver::gelsd || driver == Driver::gelss;
    LeastSquares out{zeros(with(batch, {n, k}), a.dtype()), zeros(ranked ? batch : Dims{0}, DType::i64),
                     zeros(valued ? with(batch, {few}) : Dims{0}, a.dtype())};
    const int64_t count = numel_of(batch);
    if (few == 0 || count == 0 || without_elements(a)) return out;
    if (k == 0) {  // LAPACK does not look at A then
      const Tensor none = zeros(with(batch_of(b), {m, 1}), b.dtype());
      LeastSquares made = lstsq_data(a, none, rcond, driver);
      made.solution = out.solution;
      return made;
    }
    Tensor matrices = copy_by_columns(a, with(batch, {m, n}));
    Tensor x = new_by_columns(with(batch, {rows, k}), a.dtype());
    fill_data(x, Scalar(0));
    copy_data(alias(x, x.layout().sliced(x.dims() - 2, 0, m, 1)), b);
    Tensor info = zeros(batch, DType::i32);
    const LeastSquaresCall<T> call(driver, m, n, k, rcond);
    each_matrix(count, 4.0 * double(m) * double(n) * double(few + k), [&](int64_t i) {
      int rank = 0;
      T* values = valued ? out.singular_values.data<T>() + i * few : nullptr;
      info.data<int32_t>()[i] = call(matrices.data<T>() + i * m * n, x.data<T>() + i * rows * k, values, &rank);
      if (ranked) out.rank.data<int64_t>()[i] = rank;
    });
    check_info(info, [](const std::string& where, int32_t code) {
      throw LinAlgError(str("torch.linalg.lstsq: ", where,
                            "The least squares solution could not be computed because the input matrix does not have "
                            "full rank (error code: ",
                            code, ")."));
    });
    out.solution = alias(x, x.layout().sliced(x.dims() - 2, 0, n, 1));
    return out;
  });
}

Driver driver_of(std::optional<std::string_view> name) {
  if (!name || name == "gelsy") return Driver::gelsy;
  if (name == "gels") return Driver::gels;
  if (name == "gelsd") return Driver::gelsd;
  check(name == "gelss", "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)\nIt is '",
        *name, "'.");
  return Driver::gelss;
}

// Sums of squares of B - A X for each column, where the matrices have full rank; else an empty tensor.
Tensor residuals_of(const Tensor& a, const Tensor& b, const LeastSquares& s, Driver driver) {
  const int64_t m = rows_of(a), n = columns_of(a);
  bool wanted = m > n && driver != Driver::gelsy;
  for (int64_t i = 0; i < (without_elements(s.rank) ? 0 : s.rank.numel()); ++i)
    wanted = wanted && s.rank.data<int64_t>()[i] == n;
  if (!wanted) return empty(Dims{0}, a.dtype());
  const GradMode off(false);
  const Tensor r = matmul(a, s.solution) - b;
  const int64_t dim[] = {-2};
  return sum(r * r, Ints(dim), false, std::nullopt);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> lstsq(const Tensor& a, const Tensor& given, std::optional<double> rcond,
                                                 std::optional<std::string_view> driver_name) {
  const char* op = "torch.linalg.lstsq: ";
  check(a.dims() >= 2, op, "input must have at least 2 dimensions.");
  check(given.dims() >= 1, op, "other must have at least 1 dimension.");
  check(a.dtype() == given.dtype(), op, "Expected input and other to have the same dtype, but got input's dtype ",
        legacy_name(a.dtype()), " and other's dtype ", legacy_name(given.dtype()));
  check(a.dtype() == DType::f32 || a.dtype() == DType::f64,
        "This function doesn't handle types other than float and double");
  const int difference = a.dims() - given.dims();
  check(difference >= 0 && difference <= 1, op,
        "input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1");
  const bool vector = difference == 1 && is_vector_side(a, given);
  const Tensor b = vector ? unsqueeze(given, -1) : given;
  check(rows_of(a) == rows_of(b), op, "input.size(-2) should match other.size(-2)\nThe shapes are ", Ints(a.shape()),
        " and ", Ints(given.shape()));
  const Driver driver = driver_of(driver_name);
  const double usual = epsilon_of(a.dtype()) * double(std::max(rows_of(a), columns_of(a)));
  const LeastSquares s = lstsq_data(a, b, rcond.value_or(usual), driver);
  Tensor x = s.solution, residuals = residuals_of(a, b, s, driver);
  record_all("LinalgLstsqBackward0", {&a, &b}, {x, residuals},
             [](BackwardCall& c) {
               const Tensor a = c.saved(0), b = c.saved(1);
               Tensor g_a, g_b;
               if (c.grad(0)) {
                 const Tensor inverse = pinv(a, Tensor(), Tensor());
                 g_b = matmul(mT(inverse), c.grad(0));
                 if (c.needs(0)) g_a = pinv_backward(matmul(c.grad(0), mT(b)), inverse, a);
               }
               if (c.grad(1) && c.grad(1).numel() > 0) {
                 const Tensor x = c.saved(2), r = (matmul(a, x) - b) * (unsqueeze(c.grad(1), -2) * 2.0);
                 const Tensor more = matmul(r, mT(x));
                 g_a = g_a ? g_a + more : more;
                 g_b = g_b ? g_b - r : -r;
               }
               if (c.needs(0) && g_a) c.set(0, sum_to(g_a, a.shape()));
               if (c.needs(1) && g_b) c.set(1, sum_to(g_b, b.shape()));
             },
             {keep(a), keep(b), result(x)});
  return {vector ? squeeze(x, -1) : x, vector && residuals.dims() > 1 ? squeeze(residuals, -1) : residuals, s.rank,
          s.singular_values};
}
OPERATION(
    "lstsq(Tensor self, Tensor b, float? rcond=None, *, str? driver=None) -> "
    "(Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)",
    lstsq,
    "The X that makes the sum of squares of A X - B least (the smallest such X if several do), for matrices (*, m, n) "
    "and (*, m, k) or vectors (*, m). driver: 'gelsy' (pivoted QR, the default), 'gels' (QR, of full rank), 'gelsd' or "
    "'gelss' (singular values; those below rcond times the largest count as 0). Residuals are given where m > n, the "
    "rank is full and the driver is not 'gelsy'; what a driver does not find is empty.",
    {.method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})

// ---- exponentials -------------------------------------------------------------------------------------------------

// Higham (2005), "The scaling and squaring method for the matrix exponential revisited": the Padé approximant of degree
// 13 (7 for float) is exact to rounding up to this 1-norm; larger matrices are halved before and squared after.
template <size_t N>
Tensor pade(const Tensor& a, const std::array<double, N>& b) {
  const Tensor one = identity(batch_of(a), rows_of(a), a.dtype()), a2 = matmul(a, a);
  Tensor power = one, odd, even;
  for (size_t i = 0; i < N; i += 2) {
    if (i) power = i == 2 ? a2 : matmul(power, a2);
    even = even ? even + power * b[i] : power * b[i];
    if (i + 1 < N) odd = odd ? odd + power * b[i + 1] : power * b[i + 1];
  }
  const Tensor u = matmul(a, odd);
  const auto [lu, pivots, info] = lu_factor_ex(even - u);
  return lu_solve(lu, pivots, even + u);
}

Tensor matrix_exp_data(const Tensor& a) {
  const GradMode off(false);
  const bool wide = a.dtype() == DType::f64;
  static constexpr std::array<double, 14> b13{64764752532480000,
                                              32382376266240000,
                                              7771770303897600,
                                              1187353796428800,
                                              129060195264000,
                                              10559470521600,
                                              670442572800,
                                              33522128640,
                                              1323241920,
                                              40840800,
                                              960960,
                                              16380,
                                              182,
                                              1};
  static constexpr std::array<double, 8> b7{17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1};
  const double limit = wide ? 5.371920351148152 : 3.925724783138660;
  const int64_t dims[] = {-2, -1};
  const Tensor norms = dense(cast_data(matrix_norm(a, 1.0, dims, false), DType::f64));
  Tensor scale = empty(norms.shape(), DType::f64), steps = empty(norms.shape(), DType::i64);
  int64_t most = 0;
  for (int64_t i = 0; i < (without_elements(norms) ? 0 : norms.numel()); ++i) {
    const double n = norms.data<double>()[i];
    const int64_t s = std::isfinite(n) && n > limit ? static_cast<int64_t>(std::ceil(std::log2(n / limit))) : 0;
    steps.data<int64_t>()[i] = s;
    scale.data<double>()[i] = std::ldexp(1.0, -static_cast<int>(s));
    most = std::max(most, s);
  }
  const auto over = [](const Tensor& t) { return unsqueeze(unsqueeze(t, -1), -1); };
  const Tensor scaled = a * over(cast_data(scale, a.dtype()));
  Tensor x = wide ? pade(scaled, b13) : pade(scaled, b7);
  for (int64_t k = 0; k < most; ++k) x = select(over(steps > double(k)), matmul(x, x), x);
  return x;
}

Tensor matrix_exp(const Tensor& a) {
  check_linalg_type(a, "linalg.matrix_exp");
  check_square(a, "linalg.matrix_exp");
  if (a.dtype() == DType::f16 || a.dtype() == DType::bf16) return cast(matrix_exp(cast(a, DType::f32)), a.dtype());
  Tensor x = a.numel() == 0 ? empty(a.shape(), a.dtype()) : matrix_exp_data(a);
  // Mathias (1996): exp([[A^T, g], [0, A^T]]) has the gradient in its upper right corner.
  return record("LinalgMatrixExpBackward0", {&a}, x,
                [](BackwardCall& c) {
                  const Tensor at = mT(c.saved(0)), nothing = zeros(at.shape(), at.dtype());
                  const int64_t n = rows_of(at);
                  const Tensor upper[] = {at, c.grad()}, lower[] = {nothing, at};
                  const Tensor both[] = {cat(upper, -1), cat(lower, -1)};
                  const Tensor e = matrix_exp(cat(both, -2));
                  c.set(0, narrow(narrow(e, -2, 0, n), -1, n, n));
                },
                {keep(a)});
}
OPERATION("matrix_exp(Tensor self) -> Tensor", matrix_exp,
          "Exponentials of square matrices (*, n, n): the sums of A^k / k! (Higham, 2005).",
          {.aliases = "linalg.matrix_exp"})

// ---- tensors as matrices ------------------------------------------------------------------------------------------

int64_t product_of(Ints sizes) { return numel_of(sizes); }

Tensor tensorinv(const Tensor& a, int64_t ind) {
  check(ind > 0, "Expected a strictly positive integer for 'ind', but got ", ind);
  const size_t lead = static_cast<size_t>(std::min<int64_t>(ind, a.dims()));
  const Dims first(Ints(a.shape().data(), lead)), last(Ints(a.shape().data() + lead, a.shape().size() - lead));
  const int64_t rows = product_of(first), columns = product_of(last);
  check(rows == columns,
        "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but "
        "got ",
        columns, " != ", rows);
  const auto [x, info] = inv_ex(reshape(a, Dims{rows, columns}));
  check_info(info, [](const std::string& where, int32_t code) {
    throw LinAlgError(str("inv: ", where, "The diagonal element ", code,
                          " is zero, the inversion could not be completed because the input matrix is singular."));
  });
  Dims shape(last);
  shape.append(first.begin(), first.end());
  return reshape(x, shape);
}
OPERATION(
    "tensorinv(Tensor self, int ind=2) -> Tensor", tensorinv,
    "The inverse of self as a matrix whose rows are its first ind dimensions: tensordot(tensorinv(A), A, ind) is an "
    "identity.",
    {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})

Tensor tensorsolve(const Tensor& given, const Tensor& b, std::optional<Ints> dims) {
  Tensor a = given;
  if (dims) {
    Small<bool, 16> moved(std::max(a.dims(), 1), false);
    Dims order, behind;
    for (int64_t d : *dims) {
      const int at = wrap_dim(d, a.dims());
      check(!moved[at], "movedim: repeated dim in `source` (", Ints(*dims), ")");
      moved[at] = true;
      behind.push_back(at);
    }
    for (int64_t i = 0; i < a.dims(); ++i) {
      if (!moved[i]) order.push_back(i);
    }
    order.append(behind.begin(), behind.end());
    if (a.dims() > 0) a = permute(a, order);
  }
  const size_t lead = static_cast<size_t>(std::min(b.dims(), a.dims()));
  const Dims last(Ints(a.shape().data() + lead, a.shape().size() - lead));
  const int64_t rows = b.numel(), columns = product_of(last);
  check(rows == columns && a.numel() == rows * columns,
        "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
        "prod(self.shape[:other.ndim]), but got ",
        columns, " != ", rows);
  return reshape(solve(reshape(a, Dims{rows, columns}), reshape(b, Dims{b.numel()})), last);
}
OPERATION("tensorsolve(Tensor self, Tensor other, int[]? dims=None) -> Tensor", tensorsolve,
          "X of tensordot(self, X, X.ndim) = other; the dimensions dims of self are moved to its end first.",
          {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})

// ---- products -----------------------------------------------------------------------------------------------------

Tensor vecdot(const Tensor& x, const Tensor& y, int64_t dim) {
  const char* op = "linalg.vecdot";
  check_linalg_type(x, op);
  check_same_type(x, y, op, "x", "y");
  const Dims shape = broadcast_shapes(x.shape(), y.shape());
  const int64_t along[] = {wrap_dim(dim, static_cast<int64_t>(shape.size()))};
  return sum(x * y, Ints(along), false, std::nullopt);
}
OPERATION("vecdot(Tensor x, Tensor y, *, int dim=-1) -> Tensor", vecdot,
          "Dot products of vectors along dim of two tensors that are broadcast.",
          {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg", .autocast = Autocast::lower})

Tensor powers(const Tensor& given, int64_t n) {
  const Tensor x = given.dims() ? given : unsqueeze(given, 0);
  const Tensor one = fill_(empty(with(x.shape(), {1}), x.dtype()), Scalar(1));
  if (n == 1) return one;
  const Tensor both[] = {one, cumprod(expand(unsqueeze(x, -1), with(x.shape(), {n - 1})), -1)};
  return cat(both, -1);
}
OPERATION("vander(Tensor x, *, int? N=None) -> Tensor", (+[](const Tensor& x, std::optional<int64_t> columns) {
            check(x.dtype() != DType::f16 && x.dtype() != DType::bf16 && x.dtype() != DType::boolean,
                  "linalg.vander supports floating point, complex, and integer tensors, but got ",
                  legacy_name(x.dtype()));
            const int64_t n = columns.value_or(x.dims() ? x.shape().back() : 1);
            check(n > 1, "N must be greater than 1.");
            return powers(is_integral(x.dtype()) ? cast(x, DType::i64) : x, n);
          }),
          "Powers 0 to N - 1 of the elements of x (*, n), as a new last dimension of N (n by default).",
          {.kind = OpKind::composite, .method = false, .module = "linalg"})
OPERATION(
    "vander(Tensor x, int? N=None, bool increasing=False) -> Tensor",
    (+[](const Tensor& x, std::optional<int64_t> columns, bool increasing) {
      check(x.dims() == 1, "x must be a one-dimensional tensor.");
      const int64_t n = columns.value_or(x.shape()[0]);
      check(n >= 0, "N must be non-negative.");
      const Tensor exact = is_floating(x.dtype()) ? x : cast(x, DType::i64);
      if (n == 0) return empty(Dims{x.shape()[0], 0}, exact.dtype());
      const Tensor made = powers(exact, n);
      const int64_t last[] = {-1};
      return increasing ? made : flip(made, last);
    }),
    "Powers of the elements of a vector as the columns of a matrix, N of them (as many as x has elements by default), "
    "from the highest to 0, or increasing.",
    {.kind = OpKind::composite, .method = false})

}  // namespace

}  // namespace bulssi
