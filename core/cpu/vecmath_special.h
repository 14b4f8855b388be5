// Error functions and other special functions of Vec<float> and Vec<double>. Conventions: see vecmath_exp.h.
#pragma once

#include "special.h"
#include "vecmath_exp.h"
#include "vecmath_trig.h"

namespace bulssi::BULSSI_ISA::vecmath {

// ---- the error function and its kin ----
namespace detail {
// e^(a^2) erfc(a) for a >= 0, infinity included. A polynomial in t = (a - 3) / (a + 3) for that times 1 + 2a
// (Shepherd and Laframboise, Math. Comp. 36, 1981).
template <class T>
BULSSI_INLINE Vec<T> erfcx_positive(Vec<T> a) {
  Vec<T> t = (a - 3.0) / (a + 3.0), p;
  if constexpr (is_single<T>)
    p = poly(t, 7.600612822e-05, -9.306654104e-05, -0.00072304745, 0.001876320651, 0.002495914554, -0.02376460045,
             0.06831786742, -0.1192749353, 0.1296439029, -0.04756219572, -0.13562106, 1.253008057);
  else
    p = poly(t, 8.2274196192973041e-10, 9.9416064068052394e-10, -8.1208782968544766e-09, -1.3357291846887402e-08,
             4.081853079921474e-08, 1.0194429469739134e-07, -1.4011956664819832e-07, -6.1675096795960286e-07,
             3.5543266369783347e-07, 3.4725010910672134e-06, -7.3062952766882336e-07, -2.010061582266326e-05,
             4.9491167831687435e-06, 0.00012509936964367577, -0.00010515969854004399, -0.00077983227609009322,
             0.0018886903415026761, 0.002529391816622054, -0.02377051491683075, 0.068308027343935804,
             -0.11927366341540339, 0.12964515870276211, -0.047562294353448865, -0.1356211061245812, 1.2530080582697296);
  Mask<T> far = a > 1e10;  // there 1 / (a sqrt(pi))
  return select(far, 0.56418958354775629, p) / select(far, a, a * 2.0 + 1.0);
}
// e^(-a^2), the square in two parts
template <class T>
BULSSI_INLINE Vec<T> exp_minus_square(Vec<T> a) {
  a = select(a > pick<T>(20.0, 40.0), pick<T>(20.0, 40.0), a);
  Pair<T> s = two_prod(a, a);
  return exp_pair(-s.hi, -s.lo);
}
// erf(x) / x in z = x^2 <= 1
template <class T>
BULSSI_INLINE Vec<T> erf_poly(Vec<T> z) {
  if constexpr (is_single<T>)
    return poly(z, 7.888799698e-05, -0.0008020754098, 0.00518952652, -0.02685444053, 0.1128360009, -0.3761262713,
                1.128379166);
  else
    return poly(z, 5.9490207165923115e-11, -1.1367835472464764e-09, 1.4658421142215636e-08, -1.6350101615081372e-07,
                1.6460979512873912e-06, -1.492559388319972e-05, 0.00012055331050377765, -0.00085483269790357687,
                0.005223977624784288, -0.026866170645073024, 0.11283791670954857, -0.37612638903183748,
                1.1283791670955126);
}
}  // namespace detail

// Error function. 2.5 ULP. Above 1: 1 - e^p, p a polynomial for log(erfc(a)).
template <class T>
BULSSI_INLINE Vec<T> erf(Vec<T> x) {
  constexpr double top = detail::pick<T>(4.0, 6.0);  // erf rounds to 1 before
  Vec<T> a = abs(x), c = select(a > top, top, a), p;
  if constexpr (detail::is_single<T>)
    p = detail::poly(c, -1.817855203e-05, 0.0003969086279, -0.003971941928, 0.02455508572, -0.107354949, -0.6342260803,
                     -1.129065447, 7.909546617e-05);
  else
    p = detail::poly(c, 6.0795998720653415e-17, -4.7980689639538999e-15, 1.7921706751959412e-13,
                     -4.2145183338604557e-12, 7.0014692011936649e-11, -8.7379669073396869e-10, 8.5024289894818543e-09,
                     -6.6038098208401654e-08, 4.1532652286163149e-07, -2.1292046521694979e-06, 8.8805708391331086e-06,
                     -2.9678345718850584e-05, 7.60383422516038e-05, -0.00012986329086852249, 4.8005373026786969e-05,
                     0.00052411667029714823, -0.0016508859026373632, 0.00018658768970609971, 0.019135598162875578,
                     -0.10277331648169749, -0.63662023459025074, -1.1283789565289251, -2.9380526001757085e-08);
  return select(a < 1.0, x * detail::erf_poly(x * x), copysign(1.0 - exp(p), x));
}
// 1 - erf(x), relatively accurate far to the right. 4 ULP.
template <class T>
inline Vec<T> erfc(Vec<T> x) {
  Vec<T> a = abs(x), e = detail::exp_minus_square(a) * detail::erfcx_positive(a);
  Vec<T> r = select(x < 0.0, 2.0 - e, e);
  return select(a < 0.5, 1.0 - x * detail::erf_poly(x * x), r);
}
// e^(x^2) erfc(x), the scaled complementary error function. 5 ULP.
template <class T>
inline Vec<T> erfcx(Vec<T> x) {
  Vec<T> a = abs(x), r = detail::erfcx_positive(a);
  a = select(a > detail::pick<T>(20.0, 40.0), detail::pick<T>(20.0, 40.0), a);
  detail::Pair<T> s = detail::two_prod(a, a);
  return select(x < 0.0, detail::exp_pair(s.hi, s.lo) * 2.0 - r, r);
}

}  // namespace bulssi::BULSSI_ISA::vecmath
