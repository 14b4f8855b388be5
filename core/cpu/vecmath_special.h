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
  a = min_or_second(Vec<T>(pick<T>(20.0, 40.0)), a);
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
  Vec<T> a = abs(x), c = min_or_second(Vec<T>(top), a), p;
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
  return select(a < 1.0, x * detail::erf_poly(x * x), copysign(1.0 - detail::exp_bounded(p), x));
}
// 1 - erf(x), relatively accurate far to the right. 4 ULP. Float with fma: e^(-a^2) times a polynomial in (a - 3) / (a
// + 3).
template <class T>
inline Vec<T> erfc(Vec<T> x) {
  if constexpr (detail::is_single<T> && has_fma) {
    Vec<T> n, a = min_or_second(Vec<T>(10.2), abs(x)), t = (a - 3.0) / (a + 3.0);
    Vec<T> p = detail::poly(t, -0.0005442637268, 0.0007359430099, 0.004251985057, -0.02439873131, 0.07166830962,
                            -0.1501154468, 0.2456036699, -0.326233569, 0.1790011523);
    detail::Pair<T> square = detail::two_prod(a, a);
    Vec<T> r = detail::exp_reduce(-square.hi, n) - square.lo;
    Vec<T> e = scale(fma(fma(r * r, detail::exp_poly(r), r), p, p), n);
    e = select(x < 0.0, 2.0 - e, e);
    return select(a < 0.56, 1.0 - x * detail::erf_poly(x * x), e);
  }
  Vec<T> a = abs(x), e = detail::exp_minus_square(a) * detail::erfcx_positive(a);
  Vec<T> r = select(x < 0.0, 2.0 - e, e);
  return select(a < 0.5, 1.0 - x * detail::erf_poly(x * x), r);
}
// e^(x^2) erfc(x), the scaled complementary error function. 5 ULP.
template <class T>
inline Vec<T> erfcx(Vec<T> x) {
  Vec<T> a = abs(x), r = detail::erfcx_positive(a);
  a = min_or_second(Vec<T>(detail::pick<T>(20.0, 40.0)), a);
  detail::Pair<T> s = detail::two_prod(a, a);
  return select(x < 0.0, detail::exp_pair(s.hi, s.lo) * 2.0 - r, r);
}

// Standard normal distribution function, erfc(-x / sqrt(2)) / 2. 5 ULP, also far to the left: x^2 / 2 is taken exactly.
template <class T>
inline Vec<T> ndtr(Vec<T> x) {
  constexpr double far = detail::pick<T>(20.0, 40.0);
  Vec<T> a = abs(x), h = x * 0.70710678118654752;
  a = min_or_second(Vec<T>(far), a);
  detail::Pair<T> s = detail::two_prod(a, a);
  Vec<T> e = detail::exp_pair(s.hi * -0.5, s.lo * -0.5) * detail::erfcx_positive(a * 0.70710678118654752) * 0.5;
  Vec<T> r = select(x < 0.0, e, 1.0 - e);
  return select(abs(h) < 0.5, h * detail::erf_poly(h * h) * 0.5 + 0.5, r);
}
// log(ndtr(x)). 5 ULP.
template <class T>
inline Vec<T> log_ndtr(Vec<T> x) {
  Vec<T> a = abs(x), e = detail::erfcx_positive(a * 0.70710678118654752) * 0.5;
  Vec<T> left = log(e) - x * x * 0.5, tail = ndtr(-a);
  return select(x < -1.0, left, select(x > 0.0, log1p(-tail), log(tail)));
}

namespace detail {
// erfinv(x) / x in w = -log(1 - x^2) (the variable of Giles, GPU Computing Gems Jade, 2010).
// w <= 5: full precision. Above, in sqrt(w): 2^-27, to start from.
template <class T>
BULSSI_INLINE Vec<T> erfinv_center_single(Vec<T> w) {  // enough for floats
  return poly(w - 2.5, -8.790904799e-09, 2.323310505e-08, 4.661689054e-07, -3.462710712e-06, -4.963341894e-06,
              0.000218344464, -0.001252741884, -0.004177386816, 0.2466402862, 1.501409359);
}
template <class T>
BULSSI_INLINE Vec<T> erfinv_center(Vec<T> w) {
  if constexpr (is_single<T>)
    return erfinv_center_single(w);
  else
    return poly(w - 2.5, -6.7663647206765585e-20, 1.6930834175249625e-19, 4.8667929222468267e-18,
                -2.6803017877350765e-17, -1.3598915029327445e-16, 1.8963695991026113e-15, -2.886376358408907e-15,
                -7.6123864652738734e-14, 5.356616428956228e-13, 9.1155241799667845e-13, -3.1102877855510684e-11,
                1.1960702962658631e-10, 9.0730384489932625e-10, -1.0861169017384107e-08, 1.3416803493648539e-08,
                4.7872521861453793e-07, -3.4166195963599221e-06, -4.9960795989070488e-06, 0.00021825026434397812,
                -0.0012527079078110159, -0.0041773177243836102, 0.246640276744167, 1.501409351110792);
}
template <class T>
BULSSI_INLINE Vec<T> erfinv_tail(Vec<T> w) {  // w <= 37
  return poly(sqrt(w) - 4.0, 1.679151891e-08, 5.15416351e-08, -7.354912613e-07, 1.048596701e-06, 3.807104604e-06,
              -1.326909791e-05, 1.822710198e-05, -2.58873876e-05, 5.544762143e-05, -0.0001230015663, 0.0003212360698,
              -0.0008672396133, 0.001259794329, 1.009493079, 3.839783798);
}
BULSSI_INLINE Vec<double> erfinv_far(Vec<double> w) {  // 36 <= w <= 755
  return poly(sqrt(w) - 16.0, -2.40689841e-17, 4.177727793e-16, 3.656518366e-15, -7.260447357e-14, -4.557083032e-13,
              7.369464235e-12, 3.016869185e-11, -7.33491581e-10, 1.105924526e-08, -2.735676034e-07, 6.367794604e-06,
              -0.0001420633342, 1.003241243, 15.91701704);
}
// The solution y > 0 of erfc(y) = q from one near it: a step of Halley's method, scaled by e^(y^2).
BULSSI_INLINE Vec<double> erfcinv_step(Vec<double> y, Vec<double> q) {
  Pair<double> s = two_prod(y, y);
  Vec<double> h = exp_pair(s.hi * 0.5, s.lo * 0.5);
  Vec<double> u = (q * h * h - erfcx_positive(y)) * 0.88622692545275801;
  return y - u / (u * y + 1.0);
}
}  // namespace detail

// Inverse error function, infinite at +-1, NaN beyond. 4 ULP.
template <class T>
inline Vec<T> erfinv(Vec<T> x) {
  Vec<T> a = abs(x), q = 1.0 - a, w = -log(q * (a + 1.0)), r = a * detail::erfinv_center(w);
  if (any(w >= 5.0)) [[unlikely]] {
    Vec<T> tail = a * detail::erfinv_tail(w);
    if constexpr (!detail::is_single<T>) tail = detail::erfcinv_step(tail, q);
    r = select(w < 5.0, r, tail);
  }
  return copysign(select(a < 1.0, r, select(a == 1.0, inf, nan)), x);
}

namespace detail {
// The inverse of ndtr in doubles; `rough` is enough for floats.
template <bool rough>
BULSSI_INLINE Vec<double> ndtri_double(Vec<double> p) {
  using V = Vec<double>;
  V q = select(p > 0.5, 1.0 - p, p), x = 1.0 - q * 2.0, w = -log(q * 4.0 * (1.0 - q)), r;
  if constexpr (rough)
    r = x * erfinv_center_single(w);
  else
    r = x * erfinv_center(w);
  if (any(w >= 5.0)) [[unlikely]] {
    V tail = x * select(w < 36.0, erfinv_tail(w), erfinv_far(w));
    if constexpr (!rough) tail = erfcinv_step(tail, q * 2.0);
    r = select(w < 5.0, r, tail);
  }
  r = select(q > 0.0, r * 1.4142135623730951, select(q == 0.0, inf, nan));
  return select(p < 0.5, -r, r);
}
}  // namespace detail

// The inverse of ndtr: -infinity at 0, infinity at 1, NaN outside. 5 ULP, away from 1/2 relative to the result.
template <class T>
inline Vec<T> ndtri(Vec<T> p) {
  if constexpr (detail::is_single<T>)
    return detail::through_double([](auto x) { return detail::ndtri_double<true>(x); }, p);
  else
    return detail::ndtri_double<false>(p);
}

// ---- the gamma function and its kin ----
namespace detail {
// One lane at a time.
template <class T>
__attribute__((noinline)) Vec<T> each_lane(Vec<T> x, double (*f)(double)) {
  for (int i = 0; i < Vec<T>::lanes; i++) x.v[i] = T(f(double(x.v[i])));
  return x;
}
template <class T>
__attribute__((noinline)) Vec<T> each_lane(Vec<T> x, Vec<T> y, double (*f)(double, double)) {
  for (int i = 0; i < Vec<T>::lanes; i++) x.v[i] = T(f(double(x.v[i]), double(y.v[i])));
  return x;
}
// log |Gamma(x)| to about 1e-14 absolutely: enough for floats, near its zeros too.
BULSSI_INLINE Vec<double> lgamma_coarse(Vec<double> x) {
  using V = Vec<double>;
  Mask<double> negative = x < 0.5;
  V a = select(negative, 1.0 - x, x), product = 1.0;
  for (int i = 0; i < 7; i++) {  // up to 7.5
    Mask<double> low = a < 7.0;
    product = product * select(low, a, 1.0);
    a = a + select(low, V(1.0), V(0.0));
  }
  V z = 1.0 / (a * a);  // Stirling's series, DLMF 5.11.1
  V s = poly(z, 6.4102564102564103e-03, -1.9175269175269175e-03, 8.4175084175084175e-04, -5.9523809523809524e-04,
             7.9365079365079365e-04, -2.7777777777777778e-03, 8.3333333333333333e-02) /
        a;
  V r = (a - 0.5) * log(a) - a + (s + 0.91893853320467274) - log(product);
  if (any(negative)) {
    V f = x - rint(x), sine = abs(sin_poly(f * 3.1415926535897932));
    r = select(negative, 1.1447298858494002 - log(sine) - r, r);
  }
  r = select((x == 1.0) | (x == 2.0), 0.0, select(x < inf, r, x));
  return select(abs(x) == inf, inf, r);
}
// digamma by recurrence up to `from` and the asymptotic series, DLMF 5.11.2. The sum of 1 / a is one fraction, so that
// there is one division.
template <int from>
BULSSI_INLINE Vec<double> digamma_double(Vec<double> x) {
  using V = Vec<double>;
  Mask<double> negative = x < 0.0;
  V a = select(negative, 1.0 - x, x), r = 0.0;
  if (any(a < double(from))) {
    V above = 0.0, below = 1.0;
    for (int i = 0; i < from; i++) {
      Mask<double> low = a < double(from);
      above = select(low, above * a + below, above);
      below = select(low, below * a, below);
      a = select(low, a + 1.0, a);
    }
    r = -(above / below);
  }
  V inverse = 1.0 / a, z = inverse * inverse;
  r = r + (log(a) - 0.5 * inverse -
           z * poly(z, 1.0 / 12, -691.0 / 32760, 1.0 / 132, -1.0 / 240, 1.0 / 252, -1.0 / 120, 1.0 / 12));
  if (any(negative)) [[unlikely]] {
    V f = x - rint(x);
    r = select(negative, r - 3.1415926535897932 / tan(f * 3.1415926535897932), r);
    r = select(negative & (f == 0.0), nan, r);
  }
  return select(x == 0.0, copysign(V(inf), -x), r);
}
// The derivative of digamma in the same way; infinite at 0 and the negative integers.
template <int from>
BULSSI_INLINE Vec<double> trigamma_double(Vec<double> x) {
  using V = Vec<double>;
  Mask<double> negative = x < 0.0;
  V a = select(negative, 1.0 - x, x), r = 0.0;
  if (any(a < double(from))) {
    V above = 0.0, below = 1.0;
    for (int i = 0; i < from; i++) {
      Mask<double> low = a < double(from);
      V square = a * a;
      above = select(low, above * square + below, above);
      below = select(low, below * square, below);
      a = select(low, a + 1.0, a);
    }
    r = above / below;
  }
  V inverse = 1.0 / a, z = inverse * inverse;  // DLMF 5.15.9
  r = r + (inverse + z * 0.5 +
           inverse * z * poly(z, 7.0 / 6, -691.0 / 2730, 5.0 / 66, -1.0 / 30, 1.0 / 42, -1.0 / 30, 1.0 / 6));
  if (any(negative)) [[unlikely]] {
    V s = sin_poly((x - rint(x)) * 3.1415926535897932);
    r = select(negative, 9.869604401089358 / (s * s) - r, r);
  }
  return select(x == 0.0, V(inf), r);
}
}  // namespace detail

// log |Gamma(x)|; infinite at 0 and the negative integers. 2 ULP, absolutely where the value is below 1.
template <class T>
inline Vec<T> lgamma(Vec<T> x) {
  if constexpr (detail::is_single<T>)
    return detail::through_double([](auto a) { return detail::lgamma_coarse(a); }, x);
  else
    return detail::each_lane(x, &special::lgamma);
}
// The logarithmic derivative of Gamma; NaN at negative integers, -+infinity at +-0. 8 ULP, absolutely below 1.
template <class T>
inline Vec<T> digamma(Vec<T> x) {
  if constexpr (detail::is_single<T>)
    return detail::through_double([](auto a) { return detail::digamma_double<7>(a); }, x);
  else
    return detail::digamma_double<10>(x);
}
// Gamma(x). 5 ULP.
template <class T>
inline Vec<T> tgamma(Vec<T> x) {
  return detail::each_lane(x, &special::tgamma);
}
namespace detail {
// The Hurwitz zeta function for floats, 1 < x <= 1000 and 0 < q <= 1e6, by Euler and Maclaurin's formula
// (DLMF 25.11.5).
BULSSI_INLINE Vec<double> zeta_moderate(Vec<double> x, Vec<double> q) {
  using V = Vec<double>;
  constexpr int direct = 6;
  V sum = 0.0;
  for (int k = 0; k < direct; k++) sum = sum + pow_positive_single(q + double(k), -x);
  V a = q + double(direct), power = pow_positive_single(a, -x), inverse = 1.0 / a, s = x * inverse, u = inverse;
  // x (x + 1) ... (x + 2k) / a^(2k + 1) B_2k+2 / (2k + 2)!
  constexpr double b[] = {1.0 / 12, -1.0 / 720, 1.0 / 30240, -1.0 / 1209600, 1.0 / 47900160};
  V tail = s * b[0], factor = s;
  for (int k = 1; k < 5; k++) {
    factor = factor * (s + u * (2.0 * k - 1.0)) * (s + u * (2.0 * k));
    tail = tail + factor * b[k];
  }
  return sum + power * (a / (x - 1.0) + 0.5 + tail);
}
// The regularised lower incomplete gamma function for floats, 0 < a <= 30 and 0 < x <= 20, by its series about 0 (DLMF
// 8.11.4), two terms at a time.
BULSSI_INLINE Vec<double> igamma_moderate(Vec<double> a, Vec<double> x) {
  using V = Vec<double>;
  V d = a + 1.0, term = 1.0, sum = 1.0, square = x * x;
  for (int k = 0; k < 40; k++) {
    V over = term / (d * (d + 1.0)), second = over * square;
    sum = sum + over * x * (d + 1.0) + second;
    if (!any(second > sum * 1e-12)) break;
    term = second;
    d = d + 2.0;
  }
  return exp(a * log(x) - x - lgamma_coarse(a + 1.0)) * sum;
}
}  // namespace detail

// Derivative n of digamma. See special.h, which works lane by lane in double; the first two are done here.
template <class T>
inline Vec<T> polygamma(Vec<T> n, Vec<T> x) {
  if (all(n == 1.0)) {
    if constexpr (detail::is_single<T>)
      return detail::through_double([](auto a) { return detail::trigamma_double<7>(a); }, x);
    else
      return detail::trigamma_double<12>(x);
  }
  return detail::each_lane(n, x, &special::polygamma);
}
BULSSI_MIXED(polygamma)
// See special.h for these, which work lane by lane in double; floats of moderate size are done here.
template <class T>
inline Vec<T> zeta(Vec<T> x, Vec<T> q) {
  if constexpr (detail::is_single<T>) {
    if (all((x > 1.0) & (x <= 1000.0) & (q > 0.0) & (q <= 1e6)))
      return detail::through_double([](auto s, auto a) { return detail::zeta_moderate(s, a); }, x, q);
  }
  return detail::each_lane(x, q, &special::zeta);
}
BULSSI_MIXED(zeta)
template <class T>
inline Vec<T> igamma(Vec<T> a, Vec<T> x) {
  if constexpr (detail::is_single<T>) {
    if (all((a > 0.0) & (a <= 30.0) & (x > 0.0) & (x <= 20.0)))
      return detail::through_double([](auto s, auto t) { return detail::igamma_moderate(s, t); }, a, x);
  }
  return detail::each_lane(a, x, &special::igamma);
}
BULSSI_MIXED(igamma)
template <class T>
inline Vec<T> igammac(Vec<T> a, Vec<T> x) {
  if constexpr (detail::is_single<T>) {
    if (all((a > 0.0) & (a <= 30.0) & (x > 0.0) & (x <= 20.0))) {
      Vec<T> r = detail::through_double([](auto s, auto t) { return 1.0 - detail::igamma_moderate(s, t); }, a, x);
      if (all(r > 1e-3)) return r;  // below, the difference has lost too many digits
    }
  }
  return detail::each_lane(a, x, &special::igammac);
}
BULSSI_MIXED(igammac)

// ---- x log y, 0 where x is 0 even if the logarithm is not finite, NaN if y is NaN ----
// 2 ULP of the logarithm's own argument.
template <class T>
inline Vec<T> xlogy(Vec<T> x, Vec<T> y) {
  return select((x == 0.0) & !isnan(y), 0.0, x * log(y));
}
BULSSI_MIXED(xlogy)
template <class T>
inline Vec<T> xlog1py(Vec<T> x, Vec<T> y) {
  return select((x == 0.0) & !isnan(y), 0.0, x * log1p(y));
}
BULSSI_MIXED(xlog1py)
// -x log x: 0 at 0, -infinity below. 2 ULP.
template <class T>
inline Vec<T> entr(Vec<T> x) {
  return select(x < 0.0, -inf, select(x == 0.0, 0.0, -x * log(x)));
}

// ---- Bessel functions ----
namespace detail {
// I0 and I1(x) / x in z = x^2, x <= 7.75, and e^-x sqrt(x) I(x) in t = 15.5 / x - 1 beyond (the split of Boost.Math).
template <class T>
BULSSI_INLINE Vec<T> i0_small(Vec<T> z) {
  if constexpr (is_single<T>)
    return poly(z, 5.504566837e-17, 6.281811335e-15, 2.592640333e-12, 4.642772676e-10, 6.795525835e-08, 6.780026763e-06,
                0.0004340384673, 0.01562496768, 0.2500000342, 0.9999999948);
  else
    return poly(z, -3.4885810946993651e-40, 1.8190793152580144e-37, -4.2618153093013744e-35, 6.768465239620379e-33,
                -1.1807570917644671e-31, 4.2690442779719906e-28, 2.5757153198342945e-25, 1.4971959800335076e-22,
                7.2420036705623874e-20, 2.896909102699454e-17, 9.3859660282958479e-15, 2.4028075615066798e-12,
                4.709502795994132e-10, 6.7816840278442169e-08, 6.7816840277751016e-06, 0.00043402777777778431,
                0.015624999999999991, 0.25, 1);
}
template <class T>
BULSSI_INLINE Vec<T> i0_large(Vec<T> t) {
  if constexpr (is_single<T>)
    return poly(t, 1.379995431e-07, 4.530972421e-07, 1.736791885e-06, 1.243337096e-05, 0.000146305073, 0.003478068887,
                0.4022850565);
  else
    return poly(t, 5.8796287107343863e-11, -7.6278036180238608e-11, -4.5797142459833134e-10, 5.7229363070029259e-10,
                1.6701860568704242e-09, -2.0057820360000781e-09, -3.894562123678522e-09, 4.417484981714126e-09,
                6.8727702100484057e-09, -6.8779202075256295e-09, -1.0631250878371396e-08, 7.464904270925156e-09,
                1.5957049418977046e-08, -2.1975828652000971e-09, -2.1048737697200857e-08, -1.6238885997903505e-08,
                6.1010195859673606e-09, 3.0105574955380116e-08, 5.6370007670061249e-08, 1.1886634174557004e-07,
                3.6969897750665252e-07, 1.7408594954354523e-06, 1.2470619495611299e-05, 0.00014630498370402987,
                0.0034780646235955995, 0.4022850564674586);
}
template <class T>
BULSSI_INLINE Vec<T> i1_small(Vec<T> z) {
  if constexpr (is_single<T>)
    return poly(z, 2.653092427e-18, 3.728432276e-16, 1.59684594e-13, 3.328600481e-11, 5.659243464e-09, 6.780664253e-07,
                5.425420131e-05, 0.002604164157, 0.06250000314, 0.4999999994);
  else
    return poly(z, 2.6182283088886285e-35, 1.4247942995938089e-32, 1.4000748838434203e-29, 9.967556297169639e-27,
                6.2361831810078532e-24, 3.2918720460538336e-21, 1.448453720887879e-18, 5.2144256364423326e-16,
                1.5017547262820347e-13, 3.3639305684165058e-11, 5.651403356554087e-09, 6.7816840277741369e-07,
                5.425347222222327e-05, 0.0026041666666666652, 0.0625, 0.5);
}
template <class T>
BULSSI_INLINE Vec<T> i1_large(Vec<T> t) {
  if constexpr (is_single<T>)
    return poly(t, -1.570636462e-07, -5.253632945e-07, -2.141957627e-06, -1.67637767e-05, -0.000235172084,
                -0.01007873376, 0.3890837279);
  else
    return poly(t, -5.9386444217884611e-11, 8.0864028348027846e-11, 4.6141875332924181e-10, -6.0714284990795601e-10,
                -1.6789091772269876e-09, 2.1308213112014357e-09, 3.9092151724198417e-09, -4.7067048777669566e-09,
                -6.9064269109080005e-09, 7.3804872681727225e-09, 1.075926170434236e-08, -8.1755424634422363e-09,
                -1.6411486017392974e-08, 2.9098134829508975e-09, 2.2230062906648272e-08, 1.6577970476379236e-08,
                -7.2154614585176263e-09, -3.27817980999246e-08, -6.1748856268699391e-08, -1.3363266820578719e-07,
                -4.3216583641351637e-07, -2.1490095470279014e-06, -1.6805827213220919e-05, -0.00023517122407176733,
                -0.010078728909315758, 0.38908372789601825);
}
// e^a sqrt(1 / a) c without early overflow
template <class T>
BULSSI_INLINE Vec<T> grow(Vec<T> a, Vec<T> c) {
  Vec<T> half = exp(a * 0.5);
  return half * (c / sqrt(a)) * half;
}
}  // namespace detail

// Modified Bessel functions of the first kind, orders 0 and 1, and the same times e^-|x|. 5 ULP.
template <class T>
inline Vec<T> i0(Vec<T> x) {
  Vec<T> a = abs(x), z = a * a, t = 15.5 / a - 1.0;
  Vec<T> r = select(a < 7.75, detail::i0_small(z), detail::grow(a, detail::i0_large(t)));
  return select(a == inf, inf, r);
}
template <class T>
inline Vec<T> i0e(Vec<T> x) {
  Vec<T> a = abs(x), z = a * a, t = 15.5 / a - 1.0;
  return select(a < 7.75, detail::i0_small(z) * exp(-a), detail::i0_large(t) / sqrt(a));
}
template <class T>
inline Vec<T> i1(Vec<T> x) {
  Vec<T> a = abs(x), z = a * a, t = 15.5 / a - 1.0;
  Vec<T> r = select(a < 7.75, detail::i1_small(z) * a, detail::grow(a, detail::i1_large(t)));
  return copysign(select(a == inf, inf, r), x);
}
template <class T>
inline Vec<T> i1e(Vec<T> x) {
  Vec<T> a = abs(x), z = a * a, t = 15.5 / a - 1.0;
  return copysign(select(a < 7.75, detail::i1_small(z) * a * exp(-a), detail::i1_large(t) / sqrt(a)), x);
}
// See special.h for these, which work lane by lane in double.
#define BULSSI_LANES(fn)                       \
  template <class T>                           \
  inline Vec<T> fn(Vec<T> x) {                 \
    return detail::each_lane(x, &special::fn); \
  }
BULSSI_LANES(j0)
BULSSI_LANES(j1)
BULSSI_LANES(y0)
BULSSI_LANES(y1)
BULSSI_LANES(k0)
BULSSI_LANES(k1)
BULSSI_LANES(k0e)
BULSSI_LANES(k1e)
BULSSI_LANES(airy_ai)
#undef BULSSI_LANES
#define BULSSI_LANES(fn)                          \
  template <class T>                              \
  inline Vec<T> fn(Vec<T> x, Vec<T> n) {          \
    return detail::each_lane(x, n, &special::fn); \
  }
BULSSI_LANES(chebyshev_t)
BULSSI_LANES(chebyshev_u)
BULSSI_LANES(chebyshev_v)
BULSSI_LANES(chebyshev_w)
BULSSI_LANES(hermite_h)
BULSSI_LANES(hermite_he)
BULSSI_LANES(laguerre_l)
BULSSI_LANES(legendre_p)
#undef BULSSI_LANES

}  // namespace bulssi::BULSSI_ISA::vecmath
