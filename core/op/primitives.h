// The functions that formulas are made of. `vecmath::erf(x)` means, by the type of x: the SIMD routine of the ISA being
// compiled, the scalar reference, an entry of an expression, or just what it reads.
#pragma once
#include <type_traits>

#include "core/op/expr.h"
#include "core/op/formula.h"
#ifdef BULSSI_ISA
#include "core/cpu/vec.h"
#include "core/cpu/vecmath.h"
namespace bulssi::BULSSI_ISA::primitives {
using namespace bulssi::BULSSI_ISA;
using namespace bulssi::BULSSI_ISA::vecmath;
}  // namespace bulssi::BULSSI_ISA::primitives
#define BULSSI_ROUTINES ::bulssi::BULSSI_ISA::primitives
#else
#include "core/cpu/reference_math.h"
#define BULSSI_ROUTINES ::bulssi::reference
#endif

namespace bulssi::vecmath {

#define PRIMITIVE(name)                                                                        \
  template <class X, class... Rest>                                                            \
  constexpr auto name(X x, Rest... rest) {                                                     \
    if constexpr (std::is_same_v<X, Uses>) return Uses::apply<void>(x, rest...);               \
    else if constexpr (std::is_same_v<X, Expr>) {                                           \
      constexpr auto routine = [](auto... d) { return double(BULSSI_ROUTINES::name(d...)); };  \
      return Expr::primitive(#name, routine, x, Expr(rest)...);                                \
    }                                                                                          \
    else return BULSSI_ROUTINES::name(x, rest...);                                             \
  }
PRIMITIVE(abs) PRIMITIVE(sqrt) PRIMITIVE(floor) PRIMITIVE(ceil) PRIMITIVE(trunc) PRIMITIVE(rint)
PRIMITIVE(exp) PRIMITIVE(exp2) PRIMITIVE(expm1) PRIMITIVE(log) PRIMITIVE(log2) PRIMITIVE(log10) PRIMITIVE(log1p)
PRIMITIVE(sin) PRIMITIVE(cos) PRIMITIVE(tan) PRIMITIVE(asin) PRIMITIVE(acos) PRIMITIVE(atan) PRIMITIVE(atan2)
PRIMITIVE(sinh) PRIMITIVE(cosh) PRIMITIVE(tanh) PRIMITIVE(asinh) PRIMITIVE(acosh) PRIMITIVE(atanh) PRIMITIVE(sigmoid)
PRIMITIVE(erf) PRIMITIVE(erfc) PRIMITIVE(pow) PRIMITIVE(fmod) PRIMITIVE(remainder) PRIMITIVE(copysign)
PRIMITIVE(max) PRIMITIVE(min) PRIMITIVE(fmax) PRIMITIVE(fmin) PRIMITIVE(isnan) PRIMITIVE(isinf) PRIMITIVE(signbit)
PRIMITIVE(floor_divide)
#undef PRIMITIVE

}  // namespace bulssi::vecmath
