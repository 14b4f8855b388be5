// Every pointwise formula, in one order.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {
inline constexpr int formula_base = __COUNTER__;
}
#include "core/ops/arithmetic.h"
#include "core/ops/compare.h"
#include "core/ops/math.h"
#include "core/ops/special.h"
#include "core/ops/activation.h"
#include "core/ops/loss.h"
namespace bulssi {
inline constexpr int formula_count = __COUNTER__ - formula_base - 1;
}  // namespace bulssi
