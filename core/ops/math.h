// Elementary functions.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct Cos;
struct Sqrt {
  static constexpr Info info{.name = "sqrt", .domain = {0.1, 4}, .doc = "Square root."};
  static constexpr auto value(auto x) { return vecmath::sqrt(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g / (r * 2.0); }
};
OP(Sqrt, sqrt)

struct Rsqrt {
  static constexpr Info info{.name = "rsqrt", .domain = {0.1, 4}, .doc = "1 / sqrt(self)."};
  static constexpr auto value(auto x) { return vecmath::rsqrt(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * -0.5 * (r * r * r); }
};
OP(Rsqrt, rsqrt)

struct Exp {
  static constexpr Info info{.name = "exp", .doc = "e to the power of self."};
  static constexpr auto value(auto x) { return vecmath::exp(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * r; }
};
OP(Exp, exp)

struct Exp2 {
  static constexpr Info info{.name = "exp2", .doc = "2 to the power of self.", .aliases = "special.exp2"};
  static constexpr auto value(auto x) { return vecmath::exp2(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * r * 0.69314718055994531; }
};
OP(Exp2, exp2)

struct Expm1 {
  static constexpr Info info{.name = "expm1", .doc = "exp(self) - 1, accurate near 0.", .aliases = "special.expm1"};
  static constexpr auto value(auto x) { return vecmath::expm1(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * (r + 1.0); }
};
OP(Expm1, expm1)

struct Log {
  static constexpr Info info{.name = "log", .domain = {0.1, 4}, .doc = "Natural logarithm."};
  static constexpr auto value(auto x) { return vecmath::log(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g / x; }
};
OP(Log, log)

struct Log2 {
  static constexpr Info info{.name = "log2", .domain = {0.1, 4}, .doc = "Logarithm to base 2."};
  static constexpr auto value(auto x) { return vecmath::log2(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g / (x * 0.69314718055994531); }
};
OP(Log2, log2)

struct Log10 {
  static constexpr Info info{.name = "log10", .domain = {0.1, 4}, .doc = "Logarithm to base 10."};
  static constexpr auto value(auto x) { return vecmath::log10(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g / (x * 2.30258509299404568); }
};
OP(Log10, log10)

struct Log1p {
  static constexpr Info info{
      .name = "log1p", .domain = {-0.5, 3}, .doc = "log(1 + self), accurate near 0.", .aliases = "special.log1p"};
  static constexpr auto value(auto x) { return vecmath::log1p(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g / (x + 1.0); }
};
OP(Log1p, log1p)

struct Sin {
  static constexpr Info info{.name = "sin", .doc = "Sine of self in radians."};
  static constexpr auto value(auto x) { return vecmath::sin(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * Fn<Cos>{}(x); }
};
OP(Sin, sin)

struct Cos {
  static constexpr Info info{.name = "cos", .doc = "Cosine of self in radians."};
  static constexpr auto value(auto x) { return vecmath::cos(x); }
  static constexpr auto dx(auto g, auto x, auto) { return -g * sin(x); }
};
OP(Cos, cos)

struct Tan {
  static constexpr Info info{.name = "tan", .domain = {-1.2, 1.2}, .doc = "Tangent of self in radians."};
  static constexpr auto value(auto x) { return vecmath::tan(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * (r * r + 1.0); }
};
OP(Tan, tan)

struct Asin {
  static constexpr Info info{
      .name = "asin", .domain = {-0.9, 0.9}, .doc = "Inverse sine, in radians.", .aliases = "arcsin"};
  static constexpr auto value(auto x) { return vecmath::asin(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * rsqrt(1.0 - x * x); }
};
OP(Asin, asin)

struct Acos {
  static constexpr Info info{
      .name = "acos", .domain = {-0.9, 0.9}, .doc = "Inverse cosine, in radians.", .aliases = "arccos"};
  static constexpr auto value(auto x) { return vecmath::acos(x); }
  static constexpr auto dx(auto g, auto x, auto) { return -g * rsqrt(1.0 - x * x); }
};
OP(Acos, acos)

struct Atan {
  static constexpr Info info{.name = "atan", .doc = "Inverse tangent, in radians.", .aliases = "arctan"};
  static constexpr auto value(auto x) { return vecmath::atan(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g / (x * x + 1.0); }
};
OP(Atan, atan)

struct Atan2 {
  static constexpr Info info{
      .name = "atan2", .doc = "Angle of the point (other, self), in radians.", .aliases = "arctan2"};
  static constexpr auto value(auto x, auto y) { return vecmath::atan2(x, y); }
  // At the origin the gradient is 0, as in PyTorch.
  static constexpr auto inverse_square(auto x, auto y) {
    const auto square = x * x + y * y;
    return select(square == 0.0, square, 1.0 / square);
  }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return g * y * inverse_square(x, y); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return -g * x * inverse_square(x, y); }
};
OP(Atan2, atan2)

struct Cosh;
struct Sinh {
  static constexpr Info info{.name = "sinh", .doc = "Hyperbolic sine."};
  static constexpr auto value(auto x) { return vecmath::sinh(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * Fn<Cosh>{}(x); }
};
OP(Sinh, sinh)

struct Cosh {
  static constexpr Info info{.name = "cosh", .doc = "Hyperbolic cosine."};
  static constexpr auto value(auto x) { return vecmath::cosh(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * sinh(x); }
};
OP(Cosh, cosh)

struct Tanh {
  static constexpr Info info{.name = "tanh", .doc = "Hyperbolic tangent."};
  static constexpr auto value(auto x) { return vecmath::tanh(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * (1.0 - r * r); }
};
OP(Tanh, tanh)

struct Asinh {
  static constexpr Info info{.name = "asinh", .doc = "Inverse hyperbolic sine.", .aliases = "arcsinh"};
  static constexpr auto value(auto x) { return vecmath::asinh(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * rsqrt(x * x + 1.0); }
};
OP(Asinh, asinh)

struct Acosh {
  static constexpr Info info{
      .name = "acosh", .domain = {1.1, 4}, .doc = "Inverse hyperbolic cosine.", .aliases = "arccosh"};
  static constexpr auto value(auto x) { return vecmath::acosh(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * (rsqrt(x - 1.0) * rsqrt(x + 1.0)); }
};
OP(Acosh, acosh)

struct Atanh {
  static constexpr Info info{
      .name = "atanh", .domain = {-0.9, 0.9}, .doc = "Inverse hyperbolic tangent.", .aliases = "arctanh"};
  static constexpr auto value(auto x) { return vecmath::atanh(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g / (1.0 - x * x); }
};
OP(Atanh, atanh)

struct Deg2rad {
  static constexpr Info info{.name = "deg2rad", .doc = "Degrees to radians.", .node = "Deg2RadBackward0"};
  static constexpr auto value(auto x) { return x * 0.017453292519943295; }
  static constexpr auto dx(auto g, auto, auto) { return g * 0.017453292519943295; }
};
OP(Deg2rad, deg2rad)

struct Rad2deg {
  static constexpr Info info{.name = "rad2deg", .doc = "Radians to degrees.", .node = "Rad2DegBackward0"};
  static constexpr auto value(auto x) { return x * 57.29577951308232; }
  static constexpr auto dx(auto g, auto, auto) { return g * 57.29577951308232; }
};
OP(Rad2deg, rad2deg)

struct Logaddexp {
  static constexpr Info info{.name = "logaddexp",
                             .dtypes = only_floating,
                             .doc = "log(exp(self) + exp(other)) without overflow.",
                             .forms = {.inplace = false},
                             .aliases = "special.logaddexp"};
  static constexpr auto value(auto x, auto y) { return vecmath::logaddexp(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return g / (exp(y - x) + 1.0); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return g / (exp(x - y) + 1.0); }
};
OP(Logaddexp, logaddexp)

struct Logaddexp2 {
  static constexpr Info info{.name = "logaddexp2",
                             .dtypes = only_floating,
                             .doc = "log2(2^self + 2^other) without overflow.",
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x, auto y) { return vecmath::logaddexp2(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return g / (exp2(y - x) + 1.0); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return g / (exp2(x - y) + 1.0); }
};
OP(Logaddexp2, logaddexp2)

struct Xlogy {
  static constexpr Info info{.name = "xlogy",
                             .domain = {0.1, 4},
                             .doc = "self * log(other), 0 where self is 0.",
                             .node_of_number = "XlogyBackward2",
                             .node_of_first_number = "XlogyBackward1",
                             .aliases = "special.xlogy",
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return vecmath::xlogy(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return g * select((x == 0.0) & (y <= 0.0), 0.0, log(y)); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return g * (x / y); }
};
OP(Xlogy, xlogy)

}  // namespace bulssi
