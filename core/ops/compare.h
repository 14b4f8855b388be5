// Comparisons and logic.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct Eq {
  static constexpr Info info{.name = "eq", .dtypes = arithmetic, .doc = "self == other.", .result = Result::boolean};
  static constexpr auto value(auto x, auto y) { return x == y; }
};
OP(Eq, eq)
struct Ne {
  static constexpr Info info{.name = "ne", .dtypes = arithmetic, .doc = "self != other.", .result = Result::boolean,
                             .aliases = "not_equal"};
  static constexpr auto value(auto x, auto y) { return x != y; }
};
OP(Ne, ne)
struct Lt {
  static constexpr Info info{.name = "lt", .dtypes = arithmetic, .doc = "self < other.", .result = Result::boolean,
                             .aliases = "less"};
  static constexpr auto value(auto x, auto y) { return x < y; }
};
OP(Lt, lt)
struct Le {
  static constexpr Info info{.name = "le", .dtypes = arithmetic, .doc = "self <= other.", .result = Result::boolean,
                             .aliases = "less_equal"};
  static constexpr auto value(auto x, auto y) { return x <= y; }
};
OP(Le, le)
struct Gt {
  static constexpr Info info{.name = "gt", .dtypes = arithmetic, .doc = "self > other.", .result = Result::boolean,
                             .aliases = "greater"};
  static constexpr auto value(auto x, auto y) { return x > y; }
};
OP(Gt, gt)
struct Ge {
  static constexpr Info info{.name = "ge", .dtypes = arithmetic, .doc = "self >= other.", .result = Result::boolean,
                             .aliases = "greater_equal"};
  static constexpr auto value(auto x, auto y) { return x >= y; }
};
OP(Ge, ge)
struct LogicalAnd {
  static constexpr Info info{.name = "logical_and", .dtypes = arithmetic, .doc = "Both are not zero.",
                             .result = Result::boolean};
  static constexpr auto value(auto x, auto y) { return (x != 0.0) & (y != 0.0); }
};
OP(LogicalAnd, logical_and)
struct LogicalOr {
  static constexpr Info info{.name = "logical_or", .dtypes = arithmetic, .doc = "At least one is not zero.",
                             .result = Result::boolean};
  static constexpr auto value(auto x, auto y) { return (x != 0.0) | (y != 0.0); }
};
OP(LogicalOr, logical_or)
struct LogicalNot {
  static constexpr Info info{.name = "logical_not", .dtypes = arithmetic, .doc = "Is zero.",
                             .result = Result::boolean};
  static constexpr auto value(auto x) { return x == 0.0; }
};
OP(LogicalNot, logical_not)

}  // namespace bulssi
