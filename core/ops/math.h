// Elementary and special functions.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct Sqrt {
  static constexpr Info info{.name = "sqrt", .domain = {0.1, 4}, .doc = "Square root."};
  static constexpr auto value(auto x) { return vecmath::sqrt(x); }
  static constexpr auto dx(auto g, auto, auto y) { return g / (y * 2.0); }
};
OP(Sqrt, sqrt)
struct Exp {
  static constexpr Info info{.name = "exp", .doc = "e to the power of self."};
  static constexpr auto value(auto x) { return vecmath::exp(x); }
  static constexpr auto dx(auto g, auto, auto y) { return g * y; }
};
OP(Exp, exp)
struct Log {
  static constexpr Info info{.name = "log", .domain = {0.1, 4}, .doc = "Natural logarithm."};
  static constexpr auto value(auto x) { return vecmath::log(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g / x; }
};
OP(Log, log)
struct Cos;
struct Sin {
  static constexpr Info info{.name = "sin", .doc = "Sine of self in radians."};
  static constexpr auto value(auto x) { return vecmath::sin(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * Fn<Cos>{}(x); }
};
struct Cos {
  static constexpr Info info{.name = "cos", .doc = "Cosine of self in radians."};
  static constexpr auto value(auto x) { return vecmath::cos(x); }
  static constexpr auto dx(auto g, auto x, auto) { return -g * Fn<Sin>{}(x); }
};
OP(Sin, sin)
OP(Cos, cos)
struct Tanh {
  static constexpr Info info{.name = "tanh", .doc = "Hyperbolic tangent."};
  static constexpr auto value(auto x) { return vecmath::tanh(x); }
  static constexpr auto dx(auto g, auto, auto y) { return g * (1.0 - y * y); }
};
OP(Tanh, tanh)
struct Erf {
  static constexpr Info info{.name = "erf",
                             .doc = "Error function: 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x."};
  static constexpr auto value(auto x) { return vecmath::erf(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * exp(-x * x) * 1.1283791670955126; }
};
OP(Erf, erf)

}  // namespace bulssi
