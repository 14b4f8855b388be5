// Convolution and its transpose, in one to three dimensions. A convolution, its gradient for the input and its gradient
// for the weight are three operations whose gradients are again these three, so derivatives of any order are fused.
#include "core/cpu/conv.h"

#include <cstring>

#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/channel_order.h"

namespace bulssi {

namespace {

const Tensor none;

struct Options {
  Dims stride, padding, dilation;
  int64_t groups = 1;
};

// Halves are summed in f32; integers wrap, so the widest of them serves all.
DType compute_type(DType dtype, const char* op) {
  if (is_half(dtype)) return DType::f32;
  if (is_integral(dtype)) return DType::i64;
  check(is_floating(dtype), ErrorKind::not_implemented, "\"", op, "\" not implemented for '", legacy_name(dtype), "'");
  return dtype;
}
Tensor prepared(const Tensor& t, DType dtype) { return dense(t.dtype() == dtype ? t : cast_data(t, dtype)); }

// `x` (batch, groups * channels, *in) is what the kernel slides over, `y` (batch, groups * features, *out) has one
// value per position, `w` is (groups * features, channels, *kernel).
ConvShape shape_of(Ints x, Ints w, Ints y, const Options& o) {
  ConvShape s;
  s.batch = x[0];
  s.groups = o.groups;
  s.channels = x[1] / o.groups;
  s.features = y[1] / o.groups;
  const int rank = static_cast<int>(x.size()) - 2;
  for (int i = 0; i < rank; ++i) {
    const int at = 3 - rank + i;
    s.in[at] = x[2 + i];
    s.out[at] = y[2 + i];
    s.kernel[at] = w[2 + i];
    s.padding[at] = o.padding[i];
    // Beyond the padded input there is one position whatever the stride is; kernels make room for what it passes over.
    s.stride[at] = std::min(o.stride[i], std::max<int64_t>(1, s.in[at] + 2 * s.padding[at]));
    s.dilation[at] = o.dilation[i];
  }
  return s;
}

Tensor correlate(const Tensor& x, const Tensor& w, const Tensor& bias, Ints y_shape, const Options& o);
Tensor spread(const Tensor& y, const Tensor& w, const Tensor& bias, Ints x_shape, const Options& o);
Tensor weigh(const Tensor& x, const Tensor& y, Ints w_shape, const Options& o);

Tensor bias_gradient(const Tensor& g) {
  Dims dims{0};
  for (int i = 2; i < g.dims(); ++i) dims.push_back(i);
  return sum(g, Ints(dims), false, std::nullopt);
}

// y and x by value of a product that is linear in both of two tensors, done in the type it computes in.
template <class Kernel>
Tensor computed(const Tensor& a, const Tensor& b, const Tensor& bias, Ints shape, const Kernel& kernel) {
  const DType type = compute_type(a.dtype(), "slow_conv2d_cpu");
  const Tensor x = prepared(a, type), y = prepared(b, type), add = bias ? prepared(bias, type) : none;
  Tensor out = empty(shape, type);
  if (!without_elements(out)) kernel(type, x->data(), y->data(), bias ? add->data() : nullptr, out->data());
  return in_channel_order(type == a.dtype() ? out : cast_data(out, a.dtype()), a, b);
}

Tensor correlate(const Tensor& x, const Tensor& w, const Tensor& bias, Ints y_shape, const Options& o) {
  const ConvShape s = shape_of(x.shape(), w.shape(), y_shape, o);
  Tensor out = computed(x, w, bias, y_shape, [&](DType type, const void* a, const void* b, const void* c, void* y) {
    const Unlocked unlocked(s.work() / 16);
    if (numel_of(y_shape) > 0) conv_correlate(type, s, a, b, c, y);
  });
  if (!recording({&x, &w, &bias})) return out;
  return joint(record("ConvolutionBackward0", {&x, &w, &bias}, std::move(out),
                      [o, x_shape = x.shape(), w_shape = w.shape()](BackwardCall& c) {
                        if (c.needs(0)) c.set(0, spread(c.grad(), c.saved(1), none, x_shape, o));
                        if (c.needs(1)) c.set(1, weigh(c.saved(0), c.grad(), w_shape, o));
                        if (c.needs(2)) c.set(2, bias_gradient(c.grad()));
                      },
                      {kept_for(w, x), kept_for(x, w)}));
}

Tensor spread(const Tensor& y, const Tensor& w, const Tensor& bias, Ints x_shape, const Options& o) {
  const ConvShape s = shape_of(x_shape, w.shape(), y.shape(), o);
  Tensor out = computed(y, w, bias, x_shape, [&](DType type, const void* a, const void* b, const void* c, void* x) {
    const Unlocked unlocked(s.work() / 16);
    if (numel_of(x_shape) > 0) conv_spread(type, s, a, b, c, x);
  });
  if (!recording({&y, &w, &bias})) return out;
  return joint(record("ConvolutionBackward0", {&y, &w, &bias}, std::move(out),
                      [o, y_shape = y.shape(), w_shape = w.shape()](BackwardCall& c) {
                        if (c.needs(0)) c.set(0, correlate(c.grad(), c.saved(1), none, y_shape, o));
                        if (c.needs(1)) c.set(1, weigh(c.grad(), c.saved(0), w_shape, o));
                        if (c.needs(2)) c.set(2, bias_gradient(c.grad()));
                      },
                      {kept_for(w, y), kept_for(y, w)}));
}

Tensor weigh(const Tensor& x, const Tensor& y, Ints w_shape, const Options& o) {
  const ConvShape s = shape_of(x.shape(), w_shape, y.shape(), o);
  Tensor out = computed(x, y, none, w_shape, [&](DType type, const void* a, const void* b, const void*, void* w) {
    const Unlocked unlocked(s.work() / 16);
    if (s.batch * s.out_size() == 0)
      std::memset(w, 0, numel_of(w_shape) * itemsize(type));
    else if (numel_of(w_shape) > 0)
      conv_weigh(type, s, a, b, w);
  });
  if (!recording({&x, &y})) return out;
  return joint(record("ConvolutionBackwardBackward0", {&x, &y}, std::move(out),
                      [o, x_shape = x.shape(), y_shape = y.shape()](BackwardCall& c) {
                        if (c.needs(0)) c.set(0, spread(c.saved(1), c.grad(), none, x_shape, o));
                        if (c.needs(1)) c.set(1, correlate(c.saved(0), c.grad(), none, y_shape, o));
                      },
                      {kept_for(y, x), kept_for(x, y)}));
}

// ---- the operation ------------------------------------------------------------------------------------------------

Dims spatial(Ints given, int rank, const char* what, int64_t least) {
  check(given.size() == size_t(rank) || given.size() == 1, "expected ", what,
        " to be a single integer value or a list of ", rank, " values to match the convolution dimensions, but got ",
        what, "=", given);
  Dims all;
  for (int i = 0; i < rank; ++i) {
    all.push_back(given[given.size() == 1 ? 0 : i]);
    check(all[i] >= least, what,
          std::string_view(what) == "padding" ? ": negative padding is not supported"
                                              : ": non-positive values are not supported",
          " (", what, "=", given, ")");
  }
  return all;
}

void check_shapes(const Tensor& x, const Tensor& w, const Tensor& bias, bool transposed, int64_t groups) {
  check(groups > 0, "non-positive groups is not supported");
  check(x.dims() == w.dims() && x.dims() >= 3 && x.dims() <= 5, "Expected ", w.dims(), "-dimensional input for ",
        w.dims(), "-dimensional weight ", Ints(w.shape()), ", but got ", x.dims(), "-dimensional input of size ",
        Ints(x.shape()), " instead");
  const int64_t out = w.shape()[0];
  check(out >= groups && out % groups == 0, "Given groups=", groups, ", expected weight to be divisible by ", groups,
        " at dimension 0, but got weight of size ", Ints(w.shape()), " instead");
  const int64_t wanted = transposed ? out : w.shape()[1] * groups, features = transposed ? w.shape()[1] * groups : out;
  check(x.shape()[1] == wanted, "Given ", transposed ? "transposed=1" : str("groups=", groups).c_str(),
        ", weight of size ", Ints(w.shape()), ", expected input", Ints(x.shape()), " to have ", wanted,
        " channels, but got ", x.shape()[1], " channels instead");
  check(!bias || (bias.dims() == 1 && bias.shape()[0] == features), "Given ",
        transposed ? "transposed=1" : str("groups=", groups).c_str(), ", weight of size ", Ints(w.shape()),
        ", expected bias to be 1-dimensional with ", features, " elements, but got bias of size ",
        bias ? Ints(bias.shape()) : Ints(), " instead");
  const bool weight_agrees = x.dtype() == w.dtype();
  const DType other = weight_agrees && bias ? bias.dtype() : w.dtype();
  check(other == x.dtype(), "Input type (", legacy_name(x.dtype()), ") and ", weight_agrees ? "bias" : "weight",
        " type (", legacy_name(other), ") should be the same");
}

Tensor convolution(const Tensor& input, const Tensor& weight, const Tensor& bias, Ints stride, Ints padding,
                   Ints dilation, bool transposed, Ints output_padding, int64_t groups) {
  check_shapes(input, weight, bias, transposed, groups);
  const int rank = input.dims() - 2;
  const Options o{spatial(stride, rank, "stride", 1), spatial(padding, rank, "padding", 0),
                  spatial(dilation, rank, "dilation", 1), groups};
  const Dims extra = spatial(output_padding, rank, "output_padding", 0);
  Dims shape{input.shape()[0], transposed ? weight.shape()[1] * groups : weight.shape()[0]};
  Dims padded, kernel;
  using Wide = __int128;
  bool fits = true;
  for (int i = 0; i < rank; ++i) {
    check(o.padding[i] <= INT64_MAX / 2, "Given padding=", o.padding[i], " at dimension ", i,
          " , expected padding to be at most ", INT64_MAX / 2);
    // In 128 bits, which no product of the program's numbers leaves.
    const Wide n = input.shape()[2 + i], step = o.stride[i], around = 2 * Wide{o.padding[i]};
    const Wide reach = Wide{o.dilation[i]} * (weight.shape()[2 + i] - 1) + 1;
    const Wide size = transposed           ? (n - 1) * step - around + reach + extra[i]
                      : n + around < reach ? Wide{0}
                                           : (n + around - reach) / step + 1;
    for (const Wide number : {n + around, reach, size}) {
      check(number <= INT64_MAX / 2 && number >= INT64_MIN / 2,
            "the sizes of this convolution overflow: stride=", Ints(o.stride), ", padding=", Ints(o.padding),
            ", dilation=", Ints(o.dilation));
    }
    padded.push_back(static_cast<int64_t>(n + around));
    kernel.push_back(static_cast<int64_t>(reach));
    shape.push_back(static_cast<int64_t>(size));
    check(!transposed || extra[i] < std::max(o.stride[i], o.dilation[i]),
          "output padding must be smaller than either stride or dilation, but got output_padding ", Ints(extra),
          " stride ", Ints(o.stride), " dilation ", Ints(o.dilation));
    fits = fits && (transposed || padded[i] >= kernel[i]);
    check(weight.shape()[2 + i] > 0, "Kernel size can't be zero: weight has shape ", Ints(weight.shape()));
  }
  check(fits, "Calculated padded input size per channel: ", Ints(padded), ". Kernel size: ", Ints(kernel),
        ". Kernel size can't be greater than actual input size");
  for (int i = 0; i < rank; ++i) {
    check(shape[2 + i] > 0 || (!transposed && shape[2 + i] == 0),
          "Given input size per channel: ", Ints(input.shape().data() + 2, size_t(rank)),
          ". Calculated output size per channel: ", Ints(shape.data() + 2, size_t(rank)), ". Output size is too small");
  }
  if (input.numel() == 0 && input.shape()[0] > 0 && input.shape()[1] > 0) {
    Dims shown = input.shape();
    if (rank == 1) shown.insert(2, 1);  // as PyTorch computes it
    fail("Only zero batch or zero channel inputs are supported, but got input shape: ", Ints(shown));
  }
  return transposed ? spread(input, weight, bias, shape, o) : correlate(input, weight, bias, shape, o);
}
OPERATION(
    "convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, "
    "bool transposed, int[] output_padding, int groups) -> Tensor",
    convolution,
    "Cross-correlation of input (N, C, *size) with weight (O, C / groups, *kernel); transposed, its adjoint with "
    "weight (C, O / groups, *kernel). Sizes are given for every spatial dimension.",
    {.method = false, .autocast = Autocast::lower})

}  // namespace

}  // namespace bulssi
