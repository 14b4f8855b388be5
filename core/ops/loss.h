// What losses sum up, per element: one kernel forward and one per argument backward. The names are those in PyTorch's
// errors for dtypes that they do not take.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct SquaredError {
  static constexpr Info info{.name = "mse_cpu",
                             .dtypes = only_floating,
                             .doc = "(self - other)^2.",
                             .forms = {.method = false, .inplace = false, .out = false, .module = "nn"}};
  static constexpr auto value(auto x, auto y) {
    const auto d = x - y;
    return d * d;
  }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return (x - y) * 2.0 * g; }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return (y - x) * 2.0 * g; }
};
OP(SquaredError, squared_error)

// x within [-limit, limit].
constexpr auto within(auto x, auto limit) { return select(x > limit, limit, select(x < -limit, -limit, x)); }

struct HuberError {
  static constexpr Info info{
      .name = "huber_cpu",
      .dtypes = only_floating,
      .doc = "Half the square of self - other where its magnitude is below delta, continued by straight lines.",
      .signature = "(Tensor self, Tensor other, Scalar delta)",
      .forms = {.method = false, .inplace = false, .out = false, .module = "nn"}};
  static constexpr auto value(auto x, auto y, auto delta) {
    const auto d = x - y;
    const auto near = within(d, delta);
    return near * (d - near * 0.5);
  }
  static constexpr auto dx(auto g, auto x, auto y, auto, auto delta) { return within(x - y, delta) * g; }
  static constexpr auto dy(auto g, auto x, auto y, auto, auto delta) { return within(y - x, delta) * g; }
};
OP(HuberError, huber_error)

struct SmoothL1Error {
  static constexpr Info info{.name = "smooth_l1_cpu",
                             .dtypes = only_floating,
                             .doc = "huber_cpu / beta, with delta = beta above 0.",
                             .signature = "(Tensor self, Tensor other, Scalar beta)",
                             .forms = {.method = false, .inplace = false, .out = false, .module = "nn"}};
  static constexpr auto value(auto x, auto y, auto beta) { return HuberError::value(x, y, beta) / beta; }
  static constexpr auto dx(auto g, auto x, auto y, auto, auto beta) { return within(x - y, beta) / beta * g; }
  static constexpr auto dy(auto g, auto x, auto y, auto, auto beta) { return within(y - x, beta) / beta * g; }
};
OP(SmoothL1Error, smooth_l1_error)

}  // namespace bulssi
