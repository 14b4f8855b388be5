// Pointwise arithmetic.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct Add {
  static constexpr Info info{.name = "add", .dtypes = arithmetic, .doc = "Sum of self and other."};
  static constexpr auto value(auto x, auto y) { return x + y; }
  static constexpr auto dx(auto g, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto) { return g; }
};
OP(Add, add)

struct AddScaled {
  static constexpr Info info{.name = "add", .dtypes = arithmetic,
                             .doc = "self + alpha * other.",
                             .signature = "(Tensor self, Tensor other, *, Scalar alpha)"};
  static constexpr auto value(auto x, auto y, auto alpha) { return x + y * alpha; }
  static constexpr auto dx(auto g, auto, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto, auto alpha) { return g * alpha; }
};
OP(AddScaled, add_scaled)

struct Sub {
  static constexpr Info info{.name = "sub", .dtypes = arithmetic, .doc = "Difference of self and other.",
                             .no_bool = "Subtraction, the `-` operator, with a bool tensor is not supported. If you "
                                        "are trying to invert a mask, use the `~` or `logical_not()` operator instead.",
                             .aliases = "subtract"};
  static constexpr auto value(auto x, auto y) { return x - y; }
  static constexpr auto dx(auto g, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto) { return -g; }
};
OP(Sub, sub)

struct Mul {
  static constexpr Info info{.name = "mul", .dtypes = arithmetic, .doc = "Product of self and other.",
                             .aliases = "multiply"};
  static constexpr auto value(auto x, auto y) { return x * y; }
  static constexpr auto dx(auto g, auto, auto y, auto) { return g * y; }
  static constexpr auto dy(auto g, auto x, auto, auto) { return g * x; }
};
OP(Mul, mul)

struct Div {
  static constexpr Info info{.name = "div", .domain = {0.5, 3}, .doc = "Quotient of self and other.",
                             .aliases = "divide true_divide"};
  static constexpr auto value(auto x, auto y) { return x / y; }
  static constexpr auto dx(auto g, auto, auto y, auto) { return g / y; }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return -g * ((x / y) / y); }
};
OP(Div, div)

struct Neg {
  static constexpr Info info{.name = "neg", .dtypes = arithmetic, .doc = "-self.",
                             .no_bool = "Negation, the `-` operator, on a bool tensor is not supported. If you are "
                                        "trying to invert a mask, use the `~` or `logical_not()` operator instead.",
                             .aliases = "negative"};
  static constexpr auto value(auto x) { return -x; }
  static constexpr auto dx(auto g, auto, auto) { return -g; }
};
OP(Neg, neg)

struct Where {
  static constexpr Info info{.name = "where", .dtypes = arithmetic,
                             .doc = "self where condition holds, other elsewhere.",
                             .signature = "(Tensor condition, Tensor self, Tensor other)",
                             .forms = {.method = false, .inplace = false}, .condition = true};
  static constexpr auto value(auto c, auto x, auto y) { return select(c, x, y); }
  static constexpr auto dy(auto g, auto c, auto, auto, auto) { return select(c, g, 0.0); }
  static constexpr auto dz(auto g, auto c, auto, auto, auto) { return select(c, 0.0, g); }
};
OP(Where, where)

}  // namespace bulssi
