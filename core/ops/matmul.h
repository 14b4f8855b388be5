// Matrix products as operations, for the files that are written with them.
#pragma once
#include "core/tensor/tensor.h"

namespace bulssi {

// matmul.cpp
Tensor mm(const Tensor& self, const Tensor& mat2);       // (m, k) (k, n)
Tensor bmm(const Tensor& self, const Tensor& mat2);      // (b, m, k) (b, k, n)
Tensor mv(const Tensor& self, const Tensor& vec);        // (m, k) (k)
Tensor dot(const Tensor& self, const Tensor& tensor);    // (n) (n)
Tensor matmul(const Tensor& self, const Tensor& other);  // any number of dimensions but 0
Tensor outer(const Tensor& self, const Tensor& vec2);    // (m) (n)

// The last two dimensions of a tensor as gemm wants them: rows or columns side by side, without a copy if possible.
struct MatrixArgument {
  explicit MatrixArgument(const Tensor& t);
  Tensor tensor;  // t, or a dense copy
  const char* data;
  bool transposed;
  int64_t ld;
};
// out = alpha a b + beta out [+ bias in every row], unrecorded and unchecked, over the last two dimensions; the leading
// ones of a and b broadcast to those of out, which is contiguous.
void product_data(const Tensor& a, const Tensor& b, const Tensor& out, const Scalar& alpha = Scalar(1),
                  const Scalar& beta = Scalar(0), const void* bias = nullptr);

// linear.cpp
Tensor addmm(const Tensor& self, const Tensor& mat1, const Tensor& mat2, Scalar beta = Scalar(1),
             Scalar alpha = Scalar(1));
Tensor baddbmm(const Tensor& self, const Tensor& batch1, const Tensor& batch2, Scalar beta = Scalar(1),
               Scalar alpha = Scalar(1));
// input (…, k), weight (n, k) or (k), bias (n) or undefined.
Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias);

void check_same_type(const Tensor& a, const Tensor& b, const char* op);  // as of two matrices

}  // namespace bulssi
