// Norms of matrices and condition numbers.
#include <cmath>
#include <limits>

#include "core/op/registry.h"
#include "core/ops/linalg.h"

namespace bulssi {

namespace {

using OptDims = std::optional<Ints>;
using OptType = std::optional<DType>;

// a in the dtype to compute in.
Tensor norm_argument(const Tensor& a, OptType dtype) {
  const char* op = "linalg.matrix_norm";
  check_matrix(a, op);
  check(is_differentiable(a.dtype()), op, ": Expected a floating point or complex tensor as input. Got ",
        legacy_name(a.dtype()));
  if (!dtype) return a;
  check(is_differentiable(*dtype), op, ": dtype should be floating point or complex, but got ", legacy_name(*dtype));
  check(promote(a.dtype(), *dtype) == *dtype, op, ": the dtype of the input (", legacy_name(a.dtype()),
        ") should be convertible without narrowing to the specified dtype (", legacy_name(*dtype), ")");
  return cast(a, *dtype);
}

struct Pair {
  int64_t rows, columns;
};
Pair matrix_dims(const Tensor& a, Ints dims) {
  std::string given;
  for (size_t i = 0; i < dims.size(); ++i) given += str(i ? " " : "", dims[i]);
  check(dims.size() == 2, "linalg.matrix_norm: dim must be a 2-tuple. Got ", given);
  const Pair p{wrap_dim(dims[0], a.dims()), wrap_dim(dims[1], a.dims())};
  check(p.rows != p.columns, "linalg.matrix_norm: dims must be different. Got (", dims[0], ", ", dims[1], ")");
  return p;
}

// The largest (or smallest) along a dimension, which is removed; the largest of no sizes is 0.
Tensor extreme(const Tensor& sizes, int64_t dim, bool largest) {
  const int64_t dims[] = {dim};
  if (largest && sizes.size(dim) == 0) return sum(sizes, Ints(dims), false, std::nullopt);
  return largest ? amax(sizes, dims, false) : amin(sizes, dims, false);
}
Tensor keep_dims(Tensor t, const Pair& p, bool keepdim) {
  if (!keepdim) return t;
  t = unsqueeze(t, std::min(p.rows, p.columns));
  return unsqueeze(t, std::max(p.rows, p.columns));
}
// Singular values of the matrices in two dimensions.
Tensor singular_values(const Tensor& a, const Pair& p) {
  check_linalg_type(a, "linalg.matrix_norm", false);
  Dims order;
  for (int64_t i = 0; i < a.dims(); ++i) {
    if (i != p.rows && i != p.columns) order.push_back(i);
  }
  order.push_back(p.rows);
  order.push_back(p.columns);
  return svdvals(permute(a, order));
}

}  // namespace

Tensor matrix_norm(const Tensor& given, double order, Ints dims, bool keepdim, OptType dtype) {
  const Tensor a = norm_argument(given, dtype);
  const double size = std::abs(order);
  const Pair p = matrix_dims(a, dims);
  check(size == 1 || size == 2 || std::isinf(size), "linalg.matrix_norm: Order ", order, " not supported.");
  if (size == 2) return keep_dims(extreme(singular_values(a, p), -1, order > 0), p, keepdim);
  // Sums along columns (1) or rows (infinity), then the largest or the smallest.
  const int64_t summed[] = {size == 1 ? p.rows : p.columns};
  int64_t left = size == 1 ? p.columns : p.rows;
  const Tensor sums = vector_norm(a, 1, Ints(summed), false);
  if (left > summed[0]) --left;
  return keep_dims(extreme(sums, left, order > 0), p, keepdim);
}
Tensor matrix_norm(const Tensor& given, std::string_view order, Ints dims, bool keepdim, OptType dtype) {
  const Tensor a = norm_argument(given, dtype);
  check(order == "fro" || order == "nuc", "linalg.matrix_norm: Order ", order, " not supported.");
  const Pair p = matrix_dims(a, dims);
  if (order == "fro") {
    const int64_t both[] = {p.rows, p.columns};
    return vector_norm(a, 2, Ints(both), keepdim);
  }
  const int64_t last[] = {-1};
  return keep_dims(sum(singular_values(a, p), Ints(last), false, std::nullopt), p, keepdim);
}

namespace {

#define BULSSI_MATRIX_NORM_DOC                                                                                         \
  "Norms of the matrices in two dimensions: 'fro' (Frobenius), 'nuc' (sum of singular values), inf and -inf (largest " \
  "and smallest sum of a row's sizes), 1 and -1 (of a column's), 2 and -2 (largest and smallest singular value)."
OPERATION(
    "matrix_norm(Tensor self, Scalar ord, int[] dim=[-2, -1], bool keepdim=False, *, ScalarType? dtype=None) -> "
    "Tensor",
    (+[](const Tensor& a, Scalar order, Ints dims, bool keepdim, OptType dtype) {
      return matrix_norm(a, order.as_double(), dims, keepdim, dtype);
    }),
    BULSSI_MATRIX_NORM_DOC, {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg"})
OPERATION(
    "matrix_norm(Tensor self, str ord='fro', int[] dim=[-2, -1], bool keepdim=False, *, ScalarType? dtype=None) -> "
    "Tensor",
    (+[](const Tensor& a, std::string_view order, Ints dims, bool keepdim, OptType dtype) {
      return matrix_norm(a, order, dims, keepdim, dtype);
    }),
    BULSSI_MATRIX_NORM_DOC, {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg"})

// The dimensions that linalg.norm with an order takes: those given, or all of one or two.
Dims norm_dims(const Tensor& a, OptDims dims) {
  if (dims) {
    check(dims->size() == 1 || dims->size() == 2, "linalg.norm: If dim is specified, it must be of length 1 or 2. Got ",
          *dims);
    return Dims(*dims);
  }
  check(a.dims() == 1 || a.dims() == 2,
        "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got ", a.dims(), "D.");
  return a.dims() == 1 ? Dims{0} : Dims{0, 1};
}
Tensor norm(const Tensor& a, std::optional<Scalar> order, OptDims dims, bool keepdim, OptType dtype) {
  if (!order) return vector_norm(a, 2, dims, keepdim, dtype);
  const Dims along = norm_dims(a, dims);
  if (along.size() == 2) return matrix_norm(a, order->as_double(), along, keepdim, dtype);
  return vector_norm(a, order->as_double(), Ints(along), keepdim, dtype);
}
Tensor norm_named(const Tensor& a, std::string_view order, OptDims dims, bool keepdim, OptType dtype) {
  return matrix_norm(a, order, norm_dims(a, dims), keepdim, dtype);
}
#define BULSSI_NORM_DOC                                                                              \
  "The norm of all elements (ord None), of vectors along one dimension, or of the matrices in two: " \
  "linalg.vector_norm "                                                                              \
  "and linalg.matrix_norm."
OPERATION(
    "norm(Tensor self, Scalar? ord=None, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    norm, BULSSI_NORM_DOC, {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg"})
OPERATION("norm(Tensor self, str ord, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
          norm_named, BULSSI_NORM_DOC, {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg"})

Tensor nuclear_norm(const Tensor& a, bool keepdim) { return matrix_norm(a, "nuc", Dims{-2, -1}, keepdim); }
OPERATION("nuclear_norm(Tensor self, bool keepdim=False) -> Tensor", nuclear_norm,
          "Sums of the singular values of matrices.", {.kind = OpKind::composite, .method = false, .out = true})
OPERATION("nuclear_norm(Tensor self, int[2] dim, bool keepdim=False) -> Tensor",
          (+[](const Tensor& a, Ints dims, bool keepdim) { return matrix_norm(a, "nuc", dims, keepdim); }),
          "Sums of the singular values of the matrices in two dimensions.",
          {.kind = OpKind::composite, .method = false, .out = true})
OPERATION("frobenius_norm(Tensor self, int[1] dim, bool keepdim=False) -> Tensor",
          (+[](const Tensor& a, Ints dims, bool keepdim) {
            check(dims.size() <= 2, "Expected at most 2 dimensions, but got ", dims.size(), " dimensions instead.");
            return vector_norm(a, 2, dims, keepdim);
          }),
          "Square roots of the sums of squares over one or two dimensions.",
          {.kind = OpKind::composite, .method = false, .out = true, .out_dtype = Traits::Out::exact})
// What weight_norm divides by.
OPERATION("norm_except_dim(Tensor v, int pow=2, int dim=0) -> Tensor",
          (+[](const Tensor& v, int64_t power, int64_t dim) {
            if (dim == -1) return vector_norm(v, double(power), std::nullopt, false);
            const int kept = wrap_dim(dim, v.dims());
            Dims others;
            for (int64_t i = 0; i < v.dims(); ++i) {
              if (i != kept) others.push_back(i);
            }
            return others.empty() ? abs(v) : vector_norm(v, double(power), Ints(others), true);
          }),
          "The pow-norm over all dimensions but dim, which stay with size 1; over all of them for dim -1.",
          {.kind = OpKind::composite, .method = false})

// ---- condition numbers --------------------------------------------------------------------------------------------

void check_cond(const Tensor& a) {
  check(a.dims() >= 2, "linalg.cond: The input tensor must have at least 2 dimensions.\nIts shape is ",
        Ints(a.shape()));
}
Tensor empty_cond(const Tensor& a) { return zeros(batch_of(a), is_floating(a.dtype()) ? a.dtype() : default_dtype()); }

template <class Order>
Tensor cond_by_inverse(const Tensor& a, const Order& order, const std::string& shown) {
  check_square(a, str("linalg.cond(ord=", shown, ")").c_str());
  const auto [inverse, info] = inv_ex(a);
  const double infinite = std::numeric_limits<double>::infinity();
  const Tensor singular = unsqueeze(unsqueeze(info > 0.0, -1), -1);
  const int64_t dims[] = {-2, -1};
  const Tensor product =
      matrix_norm(a, order, dims, false) * matrix_norm(select(singular, infinite, inverse), order, dims, false);
  return Tensor::apply<NanToNum>(product, infinite, infinite, -infinite);  // 0 times infinity
}

Tensor cond(const Tensor& a, std::optional<Scalar> p) {
  check_cond(a);
  if (a.numel() == 0) return empty_cond(a);
  const double order = p ? p->as_double() : 2;
  if (std::abs(order) == 2) {
    const Tensor s = svdvals(a);
    const int64_t k = s.shape().back();
    const Tensor largest = narrow(s, -1, 0, 1), smallest = narrow(s, -1, k - 1, 1);
    return squeeze(order > 0 ? largest / smallest : smallest / largest, -1);
  }
  const std::string shown = std::isinf(order) ? (order > 0 ? "inf" : "-inf") : str(order);
  check(std::abs(order) == 1 || std::isinf(order), "linalg.cond got an invalid norm type: ", shown);
  return cond_by_inverse(a, order, shown);
}
Tensor cond_named(const Tensor& a, std::string_view p) {
  check_cond(a);
  check(p == "fro" || p == "nuc", "linalg.cond got an invalid norm type: ", p);
  if (a.numel() == 0) return empty_cond(a);
  if (p == "fro") return cond_by_inverse(a, p, "fro");
  check_square(a, "linalg.cond(ord=nuc)");
  const Tensor s = svdvals(a);
  const int64_t last[] = {-1};
  return sum(s, Ints(last), false, std::nullopt) * sum(1.0 / s, Ints(last), false, std::nullopt);
}
#define BULSSI_COND_DOC                                                                                                \
  "Condition numbers of matrices: the norm p of A times that of its inverse; for 2 (the default) and -2 the ratio of " \
  "the "                                                                                                               \
  "largest and the smallest singular value."
OPERATION("cond(Tensor self, Scalar? p=None) -> Tensor", cond, BULSSI_COND_DOC,
          {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})
OPERATION("cond(Tensor self, str p) -> Tensor", cond_named, BULSSI_COND_DOC,
          {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg", .autocast = Autocast::float32})

}  // namespace

}  // namespace bulssi
