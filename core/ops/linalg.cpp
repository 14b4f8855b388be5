// What the linear algebra files share.
#include "core/ops/linalg.h"

#include <limits>

namespace bulssi {

// ---- matrices by columns ------------------------------------------------------------------------------------------

Tensor new_by_columns(Ints shape, DType dtype) {
  const size_t n = shape.size();
  Dims stored(shape);
  std::swap(stored[n - 2], stored[n - 1]);
  Layout layout{Dims(shape), contiguous_strides(stored), 0};
  std::swap(layout.strides[n - 2], layout.strides[n - 1]);
  return empty_strided(layout, dtype);
}

Tensor copy_by_columns(const Tensor& t, Ints shape) {
  Tensor made = new_by_columns(shape, t.dtype());
  copy_data(made, t);
  return made;
}

int lapack_int(int64_t n) {
  check(n <= std::numeric_limits<int>::max(), "linear algebra: a size of ", n,
        " is beyond the 2147483647 that LAPACK counts to");
  return static_cast<int>(n);
}

ReadMatrices::ReadMatrices(const Tensor& t, Ints batch) : tensor_(t), batch_(batch) {
  const int64_t rows = rows_of(t), columns = columns_of(t);
  const int lead = t.dims() - 2;
  const auto fits = [&](const Tensor& x) {
    const int64_t down = x.strides()[lead], along = x.strides()[lead + 1];
    return (down == 1 || rows <= 1) && (columns <= 1 || along >= std::max<int64_t>(rows, 1));
  };
  if (!fits(t)) {
    Layout once = t.layout();  // a broadcast batch is copied once
    for (int i = 0; i < lead; ++i) {
      if (once.strides[i] == 0) once.shape[i] = std::min<int64_t>(once.shape[i], 1);
    }
    tensor_ = copy_by_columns(alias(t, once));
  }
  ld_ = leading(columns <= 1 ? rows : tensor_.strides()[lead + 1]);
  for (int i = 0; i < batch_.dims(); ++i) {
    const int k = i - (batch_.dims() - lead);
    steps_.push_back(k < 0 || tensor_.shape()[k] == 1 ? 0 : tensor_.strides()[k]);
  }
}

// ---- checks -------------------------------------------------------------------------------------------------------

void check_linalg_type(const Tensor& t, const char* op, bool low_precision) {
  check(is_differentiable(t.dtype()), op, ": Expected a floating point or complex tensor as input. Got ",
        legacy_name(t.dtype()));
  check(low_precision || t.dtype() == DType::f32 || t.dtype() == DType::f64, op,
        ": Low precision dtypes not supported. Got ", legacy_name(t.dtype()));
}
void check_matrix(const Tensor& t, const char* op, const char* argument) {
  check(t.dims() >= 2, op, ": The input tensor ", argument, " must have at least 2 dimensions.\nIts shape is ",
        Ints(t.shape()));
}
void check_square(const Tensor& t, const char* op, const char* argument) {
  check_matrix(t, op, argument);
  check(rows_of(t) == columns_of(t), op, ": ", argument, " must be batches of square matrices, but they are ",
        rows_of(t), " by ", columns_of(t), " matrices");
}
void check_same_type(const Tensor& a, const Tensor& b, const char* op, const char* a_name, const char* b_name) {
  check(a.dtype() == b.dtype(), op, ": Expected ", a_name, " and ", b_name, " to have the same dtype, but found ",
        a_name, " of type ", legacy_name(a.dtype()), " and ", b_name, " of type ", legacy_name(b.dtype()), " instead");
}
void check_solvable(const Tensor& a, const Tensor& b, bool left, const char* op) {
  check_square(a, op);
  check_matrix(b, op, "B");
  const bool fits = left ? rows_of(a) == rows_of(b) : columns_of(a) == columns_of(b);
  check(fits, op, ": Incompatible shapes of A and B for the equation ", left ? "AX = B" : "XA = B", " (", rows_of(a),
        "x", columns_of(a), " and ", rows_of(b), "x", columns_of(b), ")");
}
bool is_vector_side(const Tensor& a, const Tensor& b) {
  return b.dims() == 1 || (a.dims() - 1 == b.dims() && b.shape() == batch_of(a, 1));
}
double epsilon_of(DType dtype) {
  return dtype == DType::f64 ? std::numeric_limits<double>::epsilon() : double(std::numeric_limits<float>::epsilon());
}

// ---- recorded helpers ---------------------------------------------------------------------------------------------

Tensor identity(Ints batch, int64_t n, DType dtype) {
  Tensor one = zeros(with(Dims(batch), {n, n}), dtype);
  fill_data(diagonal_view(one), Scalar(1));
  return one;
}
Tensor halved_diagonal(const Tensor& t) { return t - diagonal_matrix(diagonal_view(t)) * 0.5; }
Tensor broadcast_batch(const Tensor& t, Ints batch, int last) {
  Dims shape(batch);
  shape.append(t.shape().end() - last, t.shape().end());
  return shape == t.shape() ? t : expand(t, shape);
}

}  // namespace bulssi
