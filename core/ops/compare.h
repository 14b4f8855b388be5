// Comparisons, logic and tests of numbers.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct Eq {
  static constexpr Info info{.name = "eq",
                             .dtypes = arithmetic,
                             .doc = "self == other.",
                             .result = Result::boolean,
                             .numbers = 1,
                             .in_place = InPlace::zeros};
  static constexpr auto value(auto x, auto y) { return x == y; }
};
OP(Eq, eq)

struct Ne {
  static constexpr Info info{.name = "ne",
                             .dtypes = arithmetic,
                             .doc = "self != other.",
                             .result = Result::boolean,
                             .aliases = "not_equal",
                             .numbers = 1,
                             .in_place = InPlace::zeros};
  static constexpr auto value(auto x, auto y) { return x != y; }
};
OP(Ne, ne)

struct Lt {
  static constexpr Info info{.name = "lt",
                             .dtypes = arithmetic,
                             .doc = "self < other.",
                             .result = Result::boolean,
                             .aliases = "less",
                             .numbers = 1,
                             .in_place = InPlace::zeros};
  static constexpr auto value(auto x, auto y) { return x < y; }
};
OP(Lt, lt)

struct Le {
  static constexpr Info info{.name = "le",
                             .dtypes = arithmetic,
                             .doc = "self <= other.",
                             .result = Result::boolean,
                             .aliases = "less_equal",
                             .numbers = 1,
                             .in_place = InPlace::zeros};
  static constexpr auto value(auto x, auto y) { return x <= y; }
};
OP(Le, le)

struct Gt {
  static constexpr Info info{.name = "gt",
                             .dtypes = arithmetic,
                             .doc = "self > other.",
                             .result = Result::boolean,
                             .aliases = "greater",
                             .numbers = 1,
                             .in_place = InPlace::zeros};
  static constexpr auto value(auto x, auto y) { return x > y; }
};
OP(Gt, gt)

struct Ge {
  static constexpr Info info{.name = "ge",
                             .dtypes = arithmetic,
                             .doc = "self >= other.",
                             .result = Result::boolean,
                             .aliases = "greater_equal",
                             .numbers = 1,
                             .in_place = InPlace::zeros};
  static constexpr auto value(auto x, auto y) { return x >= y; }
};
OP(Ge, ge)

struct LogicalAnd {
  static constexpr Info info{.name = "logical_and",
                             .dtypes = arithmetic,
                             .doc = "Both are not zero.",
                             .result = Result::boolean,
                             .in_place = InPlace::unrecorded};
  static constexpr auto value(auto x, auto y) { return (x != 0.0) & (y != 0.0); }
};
OP(LogicalAnd, logical_and)

struct LogicalOr {
  static constexpr Info info{.name = "logical_or",
                             .dtypes = arithmetic,
                             .doc = "At least one is not zero.",
                             .result = Result::boolean,
                             .in_place = InPlace::unrecorded};
  static constexpr auto value(auto x, auto y) { return (x != 0.0) | (y != 0.0); }
};
OP(LogicalOr, logical_or)

struct LogicalXor {
  static constexpr Info info{.name = "logical_xor",
                             .dtypes = arithmetic,
                             .doc = "Exactly one is not zero.",
                             .result = Result::boolean,
                             .in_place = InPlace::unrecorded};
  static constexpr auto value(auto x, auto y) { return ((x != 0.0) & (y == 0.0)) | ((x == 0.0) & (y != 0.0)); }
};
OP(LogicalXor, logical_xor)

struct LogicalNot {
  static constexpr Info info{.name = "logical_not",
                             .dtypes = arithmetic,
                             .doc = "Is zero.",
                             .result = Result::boolean,
                             .in_place = InPlace::unrecorded};
  static constexpr auto value(auto x) { return x == 0.0; }
};
OP(LogicalNot, logical_not)

struct Isnan {
  static constexpr Info info{.name = "isnan",
                             .dtypes = arithmetic,
                             .doc = "Is not a number.",
                             .result = Result::boolean,
                             .forms = {.inplace = false, .out = false}};
  static constexpr auto value(auto x) { return x != x; }
};
OP(Isnan, isnan)

struct Isinf {
  static constexpr Info info{.name = "isinf",
                             .dtypes = arithmetic,
                             .doc = "Is an infinity.",
                             .result = Result::boolean,
                             .forms = {.inplace = false, .out = false}};
  static constexpr auto value(auto x) { return vecmath::isinf(x); }
};
OP(Isinf, isinf)

struct Isfinite {
  static constexpr Info info{.name = "isfinite",
                             .dtypes = arithmetic,
                             .doc = "Is neither infinite nor NaN.",
                             .result = Result::boolean,
                             .forms = {.inplace = false, .out = false}};
  static constexpr auto value(auto x) { return vecmath::isfinite(x); }
};
OP(Isfinite, isfinite)

struct Isposinf {
  static constexpr Info info{.name = "isposinf",
                             .dtypes = arithmetic,
                             .doc = "Is +infinity.",
                             .result = Result::boolean,
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x) { return vecmath::isinf(x) & (x > 0.0); }
};
OP(Isposinf, isposinf)

struct Isneginf {
  static constexpr Info info{.name = "isneginf",
                             .dtypes = arithmetic,
                             .doc = "Is -infinity.",
                             .result = Result::boolean,
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x) { return vecmath::isinf(x) & (x < 0.0); }
};
OP(Isneginf, isneginf)

struct Signbit {
  static constexpr Info info{.name = "signbit",
                             .dtypes = arithmetic,
                             .doc = "Has its sign bit set (-0 too).",
                             .result = Result::boolean,
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x) { return vecmath::signbit(x); }
};
OP(Signbit, signbit)

}  // namespace bulssi
