// Activations.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct Relu {
  static constexpr Info info{.name = "relu", .dtypes = arithmetic, .doc = "max(self, 0).", .no_bool = "Boolean inputs not supported for relu"};
  static constexpr auto value(auto x) { return select(x <= 0.0, 0.0, x); }
  static constexpr auto dx(auto g, auto, auto y) { return select(y > 0.0, g, 0.0); }
};
OP(Relu, relu)
struct Sigmoid {
  static constexpr Info info{.name = "sigmoid", .doc = "1 / (1 + exp(-self))."};
  static constexpr auto value(auto x) { return vecmath::sigmoid(x); }
  static constexpr auto dx(auto g, auto, auto y) { return g * (1.0 - y) * y; }
};
OP(Sigmoid, sigmoid)

}  // namespace bulssi
