// Maximum and average pooling over windows of the last one to three dimensions of (batch, channels, *size).
#include "core/cpu/pool.h"

#include <limits>

#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/ops/basics.h"
#include "core/ops/channel_order.h"

namespace bulssi {

namespace {

DType pool_type(DType dtype, const char* op) {
  if (is_half(dtype)) return DType::f32;
  check(is_floating(dtype) || is_integral(dtype), ErrorKind::not_implemented, "\"", op, "\" not implemented for '",
        legacy_name(dtype), "'");
  return dtype;
}
Tensor prepared(const Tensor& t, DType dtype) { return dense(t.dtype() == dtype ? t : cast_data(t, dtype)); }

PoolShape shape_of(Ints x, Ints kernel, Ints stride, Ints padding, Ints dilation, Ints out, const char* op) {
  const size_t rank = kernel.size();
  check(rank >= 1 && rank <= 3 && x.size() == rank + 2 && stride.size() == rank && padding.size() == rank &&
            dilation.size() == rank && out.size() == rank,
        op,
        ": expected an input (N, C, *size) and one number per dimension of size in kernel, stride, padding, "
        "dilation and out; got an input of shape ",
        x, " and kernel ", kernel, ", stride ", stride, ", padding ", padding, ", dilation ", dilation, ", out ", out);
  PoolShape s;
  s.planes = x[0] * x[1];
  for (size_t i = 0; i < rank; ++i) {
    const size_t at = 3 - rank + i;
    check(kernel[i] > 0 && stride[i] > 0 && dilation[i] > 0 && padding[i] >= 0 && out[i] >= 0, op,
          ": kernel, stride and dilation must be positive and padding not negative, got ", kernel, ", ", stride, ", ",
          dilation, ", ", padding);
    constexpr int64_t most = std::numeric_limits<int32_t>::max();
    check(kernel[i] <= most && stride[i] <= most && dilation[i] <= most,
          "value cannot be converted to type int without overflow\n", op, ": kernel ", kernel, ", stride ", stride,
          " and dilation ", dilation, " must be below 2^31");
    check(padding[i] <= kernel[i] / 2, "pad should be at most half of effective kernel size, but got pad=", padding[i],
          ", kernel_size=", kernel[i], " and dilation=", dilation[i]);
    // Every window has to start inside the input or its padding in front, or it would be empty.
    check(out[i] == 0 || ((out[i] - 1) * stride[i] - padding[i] < x[2 + i] && x[2 + i] > 0), op, ": ", out[i],
          " windows do not fit an input of size ", x[2 + i], " with stride ", stride[i], " and padding ", padding[i]);
    s.in[at] = x[2 + i];
    s.out[at] = out[i];
    s.kernel[at] = kernel[i];
    s.stride[at] = stride[i];
    s.padding[at] = padding[i];
    s.dilation[at] = dilation[i];
  }
  return s;
}
Dims with_lead(Ints x, Ints size) {
  Dims shape{x[0], x[1]};
  shape.append(size.data(), size.data() + size.size());
  return shape;
}
int64_t plane_size(Ints shape) { return numel_of(shape.subspan(2)); }

// Elements of every plane by their place in it, and back: each is the other's gradient.
Tensor gather_planes(const Tensor& from, const Tensor& indices);
Tensor scatter_planes(const Tensor& from, const Tensor& indices, Ints shape) {
  const DType type = pool_type(from.dtype(), "max_pool2d_backward");
  const Tensor g = prepared(from, type);
  Tensor out = empty(shape, type);
  {
    const Unlocked unlocked(out.numel());
    if (!without_elements(out)) {
      plane_scatter(type, shape[0] * shape[1], plane_size(from.shape()), plane_size(shape), g->data(),
                    indices.data<int64_t>(), out->data());
    }
  }
  if (type != from.dtype()) out = cast_data(out, from.dtype());
  if (!recording(from)) return out;
  return record("MaxPool2DWithIndicesBackwardBackward0", {&from}, std::move(out),
                [](BackwardCall& c) { c.set(0, gather_planes(c.grad(), c.saved(0))); }, {keep(indices)});
}
Tensor gather_planes(const Tensor& from, const Tensor& indices) {
  const Tensor g = dense(from);
  Tensor out = empty(indices.shape(), from.dtype());
  if (!without_elements(out)) {
    const Unlocked unlocked(out.numel());
    plane_gather(from.dtype(), from.shape()[0] * from.shape()[1], plane_size(from.shape()), plane_size(indices.shape()),
                 g->data(), indices.data<int64_t>(), out->data());
  }
  if (!recording(from)) return out;
  return record("GatherBackward0", {&from}, std::move(out),
                [shape = from.shape()](BackwardCall& c) { c.set(0, scatter_planes(c.grad(), c.saved(0), shape)); },
                {keep(indices)});
}

std::tuple<Tensor, Tensor> max_pool(const Tensor& input, Ints kernel, Ints stride, Ints padding, Ints dilation,
                                    Ints out, bool) {
  const PoolShape s = shape_of(input.shape(), kernel, stride, padding, dilation, out, "max_pool");
  const DType type = pool_type(input.dtype(), "max_pool2d");
  const Tensor x = prepared(input, type);
  const Dims shape = with_lead(input.shape(), out);
  Tensor values = empty(shape, type), indices = empty(shape, DType::i64);
  {
    const Unlocked unlocked(values.numel() * s.taps());
    if (values.numel() > 0 && !without_elements(values))
      max_pool_kernel(type, s, x->data(), values->data(), indices.data<int64_t>());
  }
  if (type != input.dtype()) values = cast_data(values, input.dtype());
  values = in_channel_order(std::move(values), input);
  if (recording(input)) {
    constexpr const char* names[] = {"MaxPool2DWithIndicesBackward0", "MaxPool2DWithIndicesBackward0",
                                     "MaxPool3DWithIndicesBackward0"};
    values = record(names[kernel.size() - 1], {&input}, std::move(values),
                    [shape = input.shape()](BackwardCall& c) { c.set(0, scatter_planes(c.grad(), c.saved(0), shape)); },
                    {keep(indices)});
  }
  return {std::move(values), in_channel_order(std::move(indices), input)};
}
OPERATION(
    "max_pool(Tensor input, int[] kernel, int[] stride, int[] padding, int[] dilation, int[] out, "
    "bool with_indices) -> (Tensor values, Tensor indices)",
    max_pool,
    "The largest element of each of `out` windows over the last dimensions of (N, C, *size), and where it is in "
    "the flattened plane. The padding never wins.",
    {.method = false, .module = "nn"})

Tensor avg_pool_of(const Tensor& input, const PoolShape& s, Ints shape);
// The gradient of avg_pool_of: linear, and its own gradient is avg_pool_of again.
Tensor avg_pool_back(const Tensor& g, const PoolShape& s, Ints shape) {
  const DType type = pool_type(g.dtype(), "avg_pool2d_backward");
  const Tensor from = prepared(g, type);
  Tensor out = empty(shape, type);
  {
    const Unlocked unlocked(g.numel() * s.taps());
    if (out.numel() > 0 && !without_elements(out)) avg_pool_adjoint(type, s, from->data(), out->data());
  }
  if (type != g.dtype()) out = cast_data(out, g.dtype());
  return record("AvgPool2DBackwardBackward0", g, std::move(out),
                [s, shape = g.shape()](const Tensor& gg) { return avg_pool_of(gg, s, shape); });
}
Tensor avg_pool_of(const Tensor& input, const PoolShape& s, Ints shape) {
  const DType type = pool_type(input.dtype(), "avg_pool2d");
  check(type == DType::f32 || type == DType::f64 || type == DType::i64, ErrorKind::not_implemented,
        "\"avg_pool2d\" not implemented for '", legacy_name(input.dtype()), "'");
  const Tensor x = prepared(input, type);
  Tensor out = empty(shape, type);
  {
    const Unlocked unlocked(out.numel() * s.taps());
    if (out.numel() > 0 && !without_elements(out)) avg_pool_kernel(type, s, x->data(), out->data());
  }
  if (type != input.dtype()) out = cast_data(out, input.dtype());
  if (input.dims() == 4) out = in_channel_order(std::move(out), input);  // PyTorch keeps it for planes only
  const char* name = input.dims() == 5 ? "AvgPool3DBackward0" : "AvgPool2DBackward0";
  return record(name, input, std::move(out),
                [s, shape = input.shape()](const Tensor& g) { return avg_pool_back(g, s, shape); });
}
Tensor avg_pool(const Tensor& input, Ints kernel, Ints stride, Ints padding, Ints out, bool count_include_pad,
                std::optional<int64_t> divisor) {
  const Dims ones(kernel.size(), 1);
  PoolShape s = shape_of(input.shape(), kernel, stride, padding, ones, out, "avg_pool");
  check(!divisor || *divisor != 0, "divisor must be not zero");
  s.count_padding = count_include_pad;
  s.divisor = divisor.value_or(0);
  return avg_pool_of(input, s, with_lead(input.shape(), out));
}
OPERATION(
    "avg_pool(Tensor input, int[] kernel, int[] stride, int[] padding, int[] out, bool count_include_pad, "
    "int? divisor) -> Tensor",
    avg_pool,
    "The mean of each of `out` windows over the last dimensions of (N, C, *size): the sum by divisor, or by the "
    "elements that the window has in the (padded) input.",
    {.method = false, .module = "nn"})

}  // namespace

}  // namespace bulssi
