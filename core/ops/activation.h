// Activations.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct SoftplusPlain;

struct Relu {
  static constexpr Info info{.name = "relu",
                             .dtypes = arithmetic,
                             .doc = "max(self, 0).",
                             .forms = {.out = false},
                             .no_bool = "Boolean inputs not supported for relu",
                             .joint = true};
  static constexpr auto value(auto x) { return select(x < 0.0, 0.0, x); }
  static constexpr auto dx(auto g, auto, auto r) { return select(r <= 0.0, 0.0, g); }
};
OP(Relu, relu)

struct Relu6 {
  static constexpr Info info{.name = "relu6",
                             .dtypes = arithmetic,
                             .doc = "min(max(self, 0), 6).",
                             .node = "HardtanhBackward0",
                             .forms = {.method = false, .out = false, .module = "nn"},
                             .no_bool = "Bool inputs not supported for hardtanh",
                             .joint = true};
  static constexpr auto value(auto x) { return select(x < 0.0, 0.0, select(x >= 6.0, 6.0, x)); }
  static constexpr auto dx(auto g, auto x, auto) { return select((x > 0.0) & (x < 6.0), g, 0.0); }
};
OP(Relu6, relu6)

struct Sigmoid {
  static constexpr Info info{.name = "sigmoid", .doc = "1 / (1 + exp(-self)).", .aliases = "special.expit"};
  static constexpr auto value(auto x) { return vecmath::sigmoid(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * (1.0 - r) * r; }
};
OP(Sigmoid, sigmoid)

struct LeakyRelu {
  static constexpr Info info{.name = "leaky_relu",
                             .dtypes = only_floating,
                             .doc = "self where positive, negative_slope * self elsewhere.",
                             .signature = "(Tensor self, Scalar negative_slope=0.01)",
                             .forms = {.method = false, .out = false, .module = "nn"},
                             .joint = true,
                             .in_place_as = "leaky_relu_of_result"};
  static constexpr auto value(auto x, auto slope) { return select(x > 0.0, x, x * slope); }
  static constexpr auto dx(auto g, auto x, auto, auto slope) { return select(x > 0.0, g, g * slope); }
};
OP(LeakyRelu, leaky_relu)

// In place, the old self is gone: these activations derive from the result, which must tell the sign of self.
void check_leaky_relu_of_result(const Scalar* attributes);
void check_elu_of_result(const Scalar* attributes);
inline constexpr Forms hidden{.function = false, .method = false, .inplace = false, .out = false};

struct LeakyReluOfResult {
  static constexpr Info info{.name = "leaky_relu_of_result",
                             .dtypes = only_floating,
                             .signature = "(Tensor self, Scalar negative_slope=0.01)",
                             .node = "LeakyReluBackward1",
                             .forms = hidden,
                             .joint = true,
                             .check_backward = check_leaky_relu_of_result};
  static constexpr auto value(auto x, auto slope) { return select(x > 0.0, x, x * slope); }
  static constexpr auto dx(auto g, auto, auto r, auto slope) { return select(r > 0.0, g, g * slope); }
};
OP(LeakyReluOfResult, leaky_relu_of_result)

struct Elu {
  static constexpr Info info{
      .name = "elu",
      .dtypes = only_floating,
      .doc = "self where positive, alpha * (exp(input_scale * self) - 1) elsewhere, times scale.",
      .signature = "(Tensor self, Scalar alpha=1.0, Scalar scale=1.0, Scalar input_scale=1.0)",
      .kernel = "elu_cpu",
      .forms = {.method = false, .out = false, .module = "nn"},
      .in_place_as = "elu_of_result"};
  static constexpr auto value(auto x, auto alpha, auto scale, auto in) {
    return select(x > 0.0, x * scale, vecmath::expm1(x * in) * alpha * scale);
  }
  static constexpr auto dx(auto g, auto x, auto, auto alpha, auto scale, auto in) {
    // As PyTorch, flat at 0: the second derivative is none there.
    return select(x < 0.0, g * exp(select(x < 0.0, x * in, 0.0)) * (alpha * scale * in),
                  select(x > 0.0, g * scale, g * (alpha * scale * in)));
  }
};
OP(Elu, elu)

struct EluOfResult {
  static constexpr Info info{.name = "elu_of_result",
                             .dtypes = only_floating,
                             .signature = "(Tensor self, Scalar alpha=1.0, Scalar scale=1.0, Scalar input_scale=1.0)",
                             .node = "EluBackward1",
                             .forms = hidden,
                             .check_backward = check_elu_of_result};
  static constexpr auto value(auto x, auto alpha, auto scale, auto in) {
    return select(x > 0.0, x * scale, vecmath::expm1(x * in) * alpha * scale);
  }
  static constexpr auto dx(auto g, auto, auto r, auto alpha, auto scale, auto in) {
    return select(r < 0.0, g * (r + alpha * scale) * in, select(r > 0.0, g * scale, g * (alpha * scale * in)));
  }
};
OP(EluOfResult, elu_of_result)

struct Selu {
  static constexpr Info info{.name = "selu",
                             .dtypes = only_floating,
                             .doc = "Self-normalising exponential linear unit (Klambauer et al. 2017).",
                             .kernel = "elu_cpu",
                             .node = "EluBackward0",
                             .forms = {.method = false, .out = false},
                             .in_place_as = "selu_of_result"};
  static constexpr auto value(auto x) {
    return select(x > 0.0, x * 1.0507009873554805, vecmath::expm1(x) * 1.7580993408473768);
  }
  static constexpr auto dx(auto g, auto x, auto) {
    return select(x < 0.0, g * exp(select(x < 0.0, x, 0.0)) * 1.7580993408473768,
                  select(x > 0.0, g * 1.0507009873554805, g * 1.7580993408473768));
  }
};
OP(Selu, selu)

struct SeluOfResult {
  static constexpr Info info{
      .name = "selu_of_result", .dtypes = only_floating, .node = "EluBackward1", .forms = hidden};
  static constexpr auto value(auto x) {
    return select(x > 0.0, x * 1.0507009873554805, vecmath::expm1(x) * 1.7580993408473768);
  }
  static constexpr auto dx(auto g, auto, auto r) {
    return select(r < 0.0, g * (r + 1.7580993408473768),
                  select(r > 0.0, g * 1.0507009873554805, g * 1.7580993408473768));
  }
};
OP(SeluOfResult, selu_of_result)

void check_celu(DType, const Scalar* alpha);  // composite.cpp
struct Celu {
  static constexpr Info info{.name = "celu",
                             .dtypes = only_floating,
                             .doc = "max(0, self) + min(0, alpha * (exp(self / alpha) - 1)).",
                             .signature = "(Tensor self, Scalar alpha=1.0)",
                             .kernel = "elu_cpu",
                             .node = "CeluBackward0",
                             .forms = {.method = false, .out = false},
                             .in_place_as = "celu_of_result",
                             .check = check_celu};
  static constexpr auto value(auto x, auto alpha) { return select(x > 0.0, x, vecmath::expm1(x / alpha) * alpha); }
  static constexpr auto dx(auto g, auto x, auto, auto alpha) {
    return select(x < 0.0, g * exp(select(x < 0.0, x / alpha, 0.0)), g);
  }
};
OP(Celu, celu)

struct CeluOfResult {
  static constexpr Info info{.name = "celu_of_result",
                             .dtypes = only_floating,
                             .signature = "(Tensor self, Scalar alpha=1.0)",
                             .node = "CeluBackward1",
                             .forms = hidden,
                             .check_backward = check_elu_of_result};
  static constexpr auto value(auto x, auto alpha) { return select(x > 0.0, x, vecmath::expm1(x / alpha) * alpha); }
  static constexpr auto dx(auto g, auto, auto r, auto alpha) { return select(r < 0.0, g * (r + alpha) / alpha, g); }
};
OP(CeluOfResult, celu_of_result)

struct Gelu {
  static constexpr Info info{.name = "gelu_exact",
                             .dtypes = only_floating,
                             .doc = "self * Phi(self) (Hendrycks and Gimpel 2016).",
                             .kernel = "GeluKernelImpl",
                             .node = "GeluBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) { return x * 0.5 * (vecmath::erf(x * 0.70710678118654752) + 1.0); }
  static constexpr auto dx(auto g, auto x, auto) {
    return g * ((erf(x * 0.70710678118654752) + 1.0) * 0.5 + x * exp(x * x * -0.5) * 0.3989422804014327);
  }
};
OP(Gelu, gelu_exact)

struct GeluTanh {
  static constexpr Info info{.name = "gelu_tanh",
                             .dtypes = only_floating,
                             .doc = "gelu with tanh for the error function.",
                             .node = "GeluBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) {
    return x * 0.5 * (vecmath::tanh((x + x * x * x * 0.044715) * 0.79788456080286536) + 1.0);
  }
  static constexpr auto dx(auto g, auto x, auto) {
    return g * ((tanh((x + x * x * x * 0.044715) * 0.79788456080286536) + 1.0) * 0.5 +
                x * 0.5 * (1.0 - Fn<Square>{}(tanh((x + x * x * x * 0.044715) * 0.79788456080286536))) *
                    ((x * x * 0.134145 + 1.0) * 0.79788456080286536));
  }
};
OP(GeluTanh, gelu_tanh)

struct Silu {
  static constexpr Info info{.name = "silu",
                             .dtypes = only_floating,
                             .doc = "self * sigmoid(self).",
                             .forms = {.method = false, .out = false, .module = "nn"}};
  static constexpr auto value(auto x) { return x * vecmath::sigmoid(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * (sigmoid(x) * (x * (1.0 - sigmoid(x)) + 1.0)); }
};
OP(Silu, silu)

struct Mish {
  static constexpr Info info{.name = "mish",
                             .dtypes = only_floating,
                             .doc = "self * tanh(softplus(self)) (Misra 2019).",
                             .forms = {.method = false, .out = false, .module = "nn"}};
  static constexpr auto value(auto x) { return x * vecmath::tanh(vecmath::softplus(x)); }
  static constexpr auto dx(auto g, auto x, auto) {
    return g * (tanh(Fn<SoftplusPlain>{}(x)) + x * sigmoid(x) * (1.0 - Fn<Square>{}(tanh(Fn<SoftplusPlain>{}(x)))));
  }
};
OP(Mish, mish)

struct SoftplusPlain {
  static constexpr Info info{.name = "softplus_plain",
                             .dtypes = only_floating,
                             .doc = "log(1 + exp(self)).",
                             .node = "SoftplusBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) { return vecmath::softplus(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * sigmoid(x); }
};
OP(SoftplusPlain, softplus_plain)

struct Softplus {
  static constexpr Info info{.name = "softplus",
                             .dtypes = only_floating,
                             .doc = "log(1 + exp(beta * self)) / beta; linear above threshold.",
                             .signature = "(Tensor self, Scalar beta=1, Scalar threshold=20)",
                             .forms = {.method = false, .inplace = false, .module = "nn"}};
  static constexpr auto value(auto x, auto beta, auto limit) {
    return select(x * beta > limit, x, vecmath::softplus(x * beta) / beta);
  }
  static constexpr auto dx(auto g, auto x, auto, auto beta, auto limit) {
    return select(x * beta > limit, g, g * sigmoid(x * beta));
  }
};
OP(Softplus, softplus)

void check_hardtanh(DType dtype, const Scalar* bounds);  // composite.cpp
struct Hardtanh {
  static constexpr Info info{.name = "hardtanh",
                             .dtypes = arithmetic,
                             .doc = "self kept between min_val and max_val.",
                             .signature = "(Tensor self, Scalar min_val=-1, Scalar max_val=1)",
                             .forms = {.method = false, .out = false, .module = "nn"},
                             .no_bool = "Bool inputs not supported for hardtanh",
                             .joint = true,
                             .check = check_hardtanh};
  static constexpr auto value(auto x, auto low, auto high) {
    const auto raised = select((x < low) | ((low != low) & (x == x)), low, x);
    return select(raised > high, high, raised);
  }
  static constexpr auto dx(auto g, auto x, auto, auto low, auto high) { return select((x > low) & (x < high), g, 0.0); }
};
OP(Hardtanh, hardtanh)

struct Hardsigmoid {
  static constexpr Info info{.name = "hardsigmoid",
                             .dtypes = only_floating,
                             .doc = "min(max(self + 3, 0), 6) / 6.",
                             .forms = {.method = false, .out = false, .module = "nn"},
                             .once = true};
  static constexpr auto value(auto x) {
    const auto moved = x + 3.0;
    return select(moved < 0.0, 0.0, select(moved > 6.0, 6.0, moved)) / 6.0;
  }
  static constexpr auto dx(auto g, auto x, auto) {
    return select((x > -3.0) & (x < 3.0), g * 0.16666666666666667, 0.0);
  }
};
OP(Hardsigmoid, hardsigmoid)

struct Hardswish {
  static constexpr Info info{.name = "hardswish",
                             .dtypes = only_floating,
                             .doc = "self * hardsigmoid(self).",
                             .forms = {.method = false, .out = false, .module = "nn"}};
  static constexpr auto value(auto x) { return x * select(x <= -3.0, 0.0, select(x >= 3.0, 6.0, x + 3.0)) / 6.0; }
  static constexpr auto dx(auto g, auto x, auto) {
    return select(x <= -3.0, 0.0, select(x >= 3.0, g, g * (x / 3.0 + 0.5)));
  }
};
OP(Hardswish, hardswish)

void check_softshrink(DType dtype, const Scalar* lambd);  // composite.cpp
struct Softshrink {
  static constexpr Info info{.name = "softshrink",
                             .dtypes = only_floating,
                             .doc = "self moved towards zero by lambd.",
                             .signature = "(Tensor self, Scalar lambd=0.5)",
                             .kernel = "softshrink_check",
                             .forms = {.method = false, .inplace = false, .module = "nn"},
                             .joint = true,
                             .check = check_softshrink};
  static constexpr auto value(auto x, auto l) { return select(x > l, x - l, select(x < -l, x + l, x * 0.0)); }
  static constexpr auto dx(auto g, auto x, auto, auto l) { return select((x >= -l) & (x <= l), 0.0, g); }
};
OP(Softshrink, softshrink)

struct Hardshrink {
  static constexpr Info info{.name = "hardshrink",
                             .dtypes = only_floating,
                             .doc = "self where its magnitude exceeds lambd, else 0.",
                             .signature = "(Tensor self, Scalar lambd=0.5)",
                             .forms = {.inplace = false},
                             .joint = true};
  static constexpr auto value(auto x, auto l) { return select((x >= -l) & (x <= l), 0.0, x); }
  static constexpr auto dx(auto g, auto x, auto, auto l) { return select((x >= -l) & (x <= l), 0.0, g); }
};
OP(Hardshrink, hardshrink)

struct LogSigmoid {
  static constexpr Info info{.name = "logsigmoid",
                             .dtypes = only_floating,
                             .doc = "log(sigmoid(self)).",
                             .kernel = "log_sigmoid_cpu",
                             .node = "LogSigmoidBackward0",
                             .forms = {.method = false, .inplace = false, .module = "nn"}};
  static constexpr auto value(auto x) { return vecmath::log_sigmoid(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * sigmoid(-x); }
};
OP(LogSigmoid, logsigmoid)

struct Threshold {
  static constexpr Info info{.name = "threshold",
                             .dtypes = arithmetic,
                             .doc = "self where above threshold, value elsewhere.",
                             .signature = "(Tensor self, Scalar threshold, Scalar value)",
                             .node_in_place = "ThresholdBackward1",
                             .forms = {.method = false, .out = false},
                             .joint = true};
  static constexpr auto value(auto x, auto t, auto v) { return select(x > t, x, select(x != x, x, v)); }
  static constexpr auto dx(auto g, auto x, auto, auto t, auto) { return select(x > t, g, 0.0); }
};
OP(Threshold, threshold)

struct Prelu {
  static constexpr Info info{.name = "prelu_",
                             .dtypes = only_floating,
                             .doc = "self where positive, weight * self elsewhere.",
                             .node = "PreluKernelBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false},
                             .joint = true};
  static constexpr auto value(auto x, auto y) { return select(x > 0.0, x, x * y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return select(x > 0.0, g, g * y); }
  static constexpr auto dy(auto g, auto x, auto, auto) { return select(x > 0.0, 0.0, g * x); }
};
OP(Prelu, prelu_)

}  // namespace bulssi
