// The functions that formulas are made of. `vecmath::erf(x)` means, by the type of x: the SIMD routine of the ISA being
// compiled, the scalar reference, an entry of an expression, or just what it reads.
#pragma once
#include <type_traits>

#include "core/op/expr.h"
#include "core/op/formula.h"
#ifdef BULSSI_ISA
#include "core/cpu/vec.h"
#include "core/cpu/vecmath.h"
#include "core/cpu/vecmath_int.h"
// clang-format off: it lays out the lists of macros below differently each time
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

#define PRIMITIVE(name)                                                                       \
  template <class X, class... Rest>                                                           \
  constexpr auto name(X x, Rest... rest) {                                                    \
    if constexpr (std::is_same_v<X, Uses>)                                                    \
      return Uses::apply<void>(x, rest...);                                                   \
    else if constexpr (std::is_same_v<X, Expr>) {                                             \
      constexpr auto routine = [](auto... d) { return double(BULSSI_ROUTINES::name(d...)); }; \
      return Expr::primitive(#name, routine, x, Expr(rest)...);                               \
    } else                                                                                    \
      return BULSSI_ROUTINES::name(x, rest...);                                               \
  }
PRIMITIVE(abs)
PRIMITIVE(sqrt) PRIMITIVE(rsqrt) PRIMITIVE(floor) PRIMITIVE(ceil) PRIMITIVE(trunc) PRIMITIVE(rint) PRIMITIVE(exp) PRIMITIVE(exp2)
    PRIMITIVE(expm1) PRIMITIVE(log) PRIMITIVE(log2) PRIMITIVE(log10) PRIMITIVE(log1p) PRIMITIVE(sin) PRIMITIVE(cos)
        PRIMITIVE(tan) PRIMITIVE(asin) PRIMITIVE(acos) PRIMITIVE(atan) PRIMITIVE(atan2) PRIMITIVE(sinh) PRIMITIVE(cosh)
            PRIMITIVE(tanh) PRIMITIVE(asinh) PRIMITIVE(acosh) PRIMITIVE(atanh) PRIMITIVE(sigmoid) PRIMITIVE(softplus)
                PRIMITIVE(log_sigmoid) PRIMITIVE(logaddexp) PRIMITIVE(logaddexp2) PRIMITIVE(erf) PRIMITIVE(erfc)
                    PRIMITIVE(erfcx) PRIMITIVE(erfinv) PRIMITIVE(ndtr) PRIMITIVE(ndtri) PRIMITIVE(log_ndtr)
                        PRIMITIVE(lgamma) PRIMITIVE(digamma) PRIMITIVE(polygamma) PRIMITIVE(zeta) PRIMITIVE(igamma)
                            PRIMITIVE(igammac) PRIMITIVE(i0) PRIMITIVE(i0e) PRIMITIVE(i1) PRIMITIVE(i1e) PRIMITIVE(j0)
                                PRIMITIVE(j1) PRIMITIVE(y0) PRIMITIVE(y1) PRIMITIVE(k0) PRIMITIVE(k1) PRIMITIVE(k0e)
                                    PRIMITIVE(k1e) PRIMITIVE(sinc) PRIMITIVE(entr) PRIMITIVE(xlogy) PRIMITIVE(xlog1py)
                                        PRIMITIVE(pow) PRIMITIVE(fmod) PRIMITIVE(remainder) PRIMITIVE(floor_divide)
                                            PRIMITIVE(hypot) PRIMITIVE(nextafter) PRIMITIVE(copysign) PRIMITIVE(max)
                                                PRIMITIVE(min) PRIMITIVE(fmax) PRIMITIVE(fmin) PRIMITIVE(isnan)
                                                    PRIMITIVE(isinf) PRIMITIVE(isfinite) PRIMITIVE(signbit)
                                                        PRIMITIVE(gcd) PRIMITIVE(lcm)
                                                            PRIMITIVE(airy_ai) PRIMITIVE(chebyshev_t)
 PRIMITIVE(chebyshev_u) PRIMITIVE(chebyshev_v) PRIMITIVE(chebyshev_w) PRIMITIVE(hermite_h) PRIMITIVE(hermite_he) PRIMITIVE(laguerre_l) PRIMITIVE(legendre_p)
#undef PRIMITIVE

}  // namespace bulssi::vecmath
