// Matrix products on plain memory. Matrices are row-major: op(a) is m x k, op(b) is k x n, c is m x n, and lda, ldb,
// ldc are the distances between the rows of the matrices as they are stored (a is k x m when trans_a). c must not
// overlap a or b.
//
// The same bits for any number of threads: every split depends on the shapes alone.
#pragma once
#include <cstdint>

#include "core/tensor/dtype.h"

namespace bulssi {

// c = alpha op(a) op(b) + beta c [+ bias in every row]. With beta == 0, c is not read. All integer types wrap; bool is
// not supported; f16 and bf16 are summed in f32 and rounded once. alpha and beta are converted to the type they compute
// in.
void gemm(DType dtype, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const Scalar& alpha, const void* a,
          int64_t lda, const void* b, int64_t ldb, const Scalar& beta, void* c, int64_t ldc,
          const void* bias = nullptr);

// `batch` independent products; the strides, in elements, lead from one matrix to the next (0 repeats a or b).
void gemm_batched(DType dtype, int64_t batch, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                  const Scalar& alpha, const void* a, int64_t lda, int64_t stride_a, const void* b, int64_t ldb,
                  int64_t stride_b, const Scalar& beta, void* c, int64_t ldc, int64_t stride_c);

// op(b), k x n, packed once for many products with few rows. f32 and f64.
class PackedMatrix {
 public:
  PackedMatrix(DType dtype, bool trans_b, int64_t n, int64_t k, const void* b, int64_t ldb);
  ~PackedMatrix();
  PackedMatrix(const PackedMatrix&) = delete;
  PackedMatrix& operator=(const PackedMatrix&) = delete;
  // c = a op(b) [+ c] [+ bias in every row]; a is m x k.
  void product(int64_t m, const void* a, int64_t lda, bool add, void* c, int64_t ldc, const void* bias) const;

 private:
  DType dtype_;
  int64_t n_, k_;
  size_t bytes_ = 0;
  void* p_ = nullptr;  // block of k by block of k, each panel by panel
};

// y = alpha op(a) x + beta y for a stored as m x n; steps are the distances between the elements of x and of y.
void gemv(DType dtype, bool trans, int64_t m, int64_t n, const Scalar& alpha, const void* a, int64_t lda, const void* x,
          int64_t x_step, const Scalar& beta, void* y, int64_t y_step);

// *out = sum of a[i * a_step] * b[i * b_step].
void dot(DType dtype, int64_t n, const void* a, int64_t a_step, const void* b, int64_t b_step, void* out);

}  // namespace bulssi
