// Convolution on plain memory, as the three products of which each is the adjoint of the others in two of its
// arguments:
//   correlate   y = w * x          the convolution itself
//   spread      x = w' y           its gradient for x, which is the transposed convolution
//   weigh       w = y x'           its gradient for w
// All arrays are dense, row by row: x is (batch, groups, channels, in), y is (batch, groups, features, out), w is
// (groups, features, channels, kernel). One and two spatial dimensions have ones in front.
//
// The same bits for any number of threads: every split depends on the shapes alone.
#pragma once
#include <cstdint>

#include "core/tensor/dtype.h"

namespace bulssi {

struct ConvShape {
  int64_t batch = 1, groups = 1, channels = 1, features = 1;  // channels and features of one group
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};

  int64_t in_size() const { return in[0] * in[1] * in[2]; }
  int64_t out_size() const { return out[0] * out[1] * out[2]; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t depth() const { return channels * taps(); }
  int64_t work() const { return batch * groups * features * depth() * out_size(); }
};

// dtype is f32, f64 or i64. bias: one number per feature, or null.
void conv_correlate(DType dtype, const ConvShape& s, const void* x, const void* w, const void* bias, void* y);
void conv_spread(DType dtype, const ConvShape& s, const void* y, const void* w, const void* bias, void* x);
void conv_weigh(DType dtype, const ConvShape& s, const void* x, const void* y, void* w);

}  // namespace bulssi
