// Kernels over index vectors. Plain data only: included on both sides of the ISA border.
#pragma once
#include <cstdint>

namespace bulssi {

// to = the sum of factor[i] (null: one) times row index[i] of `from`, over all i but those with index[i] == skip.
template <class T>
using SumRows = void (*)(int64_t width, int64_t count, const int64_t* index, int64_t skip, const T* factor,
                         const T* from, T* to);

struct GatherKernels {
  // Is some index outside [0, size)?
  bool (*outside)(int64_t n, const int64_t* index, int64_t size);
  // to[i] (+)= index[i] * stride, with negative indices counted from `size`; true if some index is out of bounds.
  bool (*place)(int64_t n, const int64_t* index, int64_t size, int64_t stride, bool add, int64_t* to);
  // to[i] = from[offsets[i]]. By log2 of the item size.
  void (*read[4])(int64_t n, const int64_t* offsets, const void* from, void* to);
  // to[i] = from[-i]. By log2 of the item size.
  void (*reverse[4])(int64_t n, const void* from, void* to);
  // to[i] += factor * from[i]; they do not overlap.
  void (*add_f32)(int64_t n, float factor, const float* from, float* to);
  void (*add_f64)(int64_t n, double factor, const double* from, double* to);
  SumRows<float> sum_rows_f32;
  SumRows<double> sum_rows_f64;
  // to[i] += weight[i] * from[index[i]]
  void (*pick_f32)(int64_t n, const int64_t* index, const float* weight, const float* from, float* to);
  void (*pick_f64)(int64_t n, const int64_t* index, const double* weight, const double* from, double* to);
};

namespace cpu {
const GatherKernels& gather_kernels();  // of the chosen ISA
}

}  // namespace bulssi
