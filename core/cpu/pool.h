// Pooling over windows on plain memory: planes of up to three dimensions (ones in front where there are fewer).
//
// The same bits for any number of threads: planes are independent.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/tensor/dtype.h"

namespace bulssi {

struct PoolShape {
  int64_t planes = 1;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};
  bool count_padding = true;  // averages: do elements of the padding count?
  int64_t divisor = 0;        // averages: divide by this instead of the count, unless 0

  int64_t in_size() const { return in[0] * in[1] * in[2]; }
  int64_t out_size() const { return out[0] * out[1] * out[2]; }
  // Elements of a window, for estimates of work: beyond a limit all are as many.
  int64_t taps() const {
    return static_cast<int64_t>(std::min(static_cast<double>(kernel[0]) * kernel[1] * kernel[2], 1048576.0));
  }
};

// values[i] is the largest element of window i (nan wins), indices[i] its place in the plane. f32, f64, integers.
void max_pool_kernel(DType dtype, const PoolShape& s, const void* x, void* values, int64_t* indices);
// to[plane][indices[i]] += from[plane][i], after to is set to 0; and to[plane][i] = from[plane][indices[i]].
void plane_scatter(DType dtype, int64_t planes, int64_t from_size, int64_t to_size, const void* from,
                   const int64_t* indices, void* to);
void plane_gather(DType dtype, int64_t planes, int64_t from_size, int64_t to_size, const void* from,
                  const int64_t* indices, void* to);
// Averages, and the adjoint: every element of g spread evenly over its window. f32, f64, i64.
void avg_pool_kernel(DType dtype, const PoolShape& s, const void* x, void* y);
void avg_pool_adjoint(DType dtype, const PoolShape& s, const void* g, void* x);

}  // namespace bulssi
