// Exponentials, logarithms, powers and hyperbolic functions of Vec<float> and Vec<double>.
//
// Shape of every function here: reduce the argument to a small interval, evaluate a polynomial, put the exponent back;
// no branches. The polynomials are minimax fits (Remez exchange) of the quantity named beside them, computed for this
// library in 100-digit arithmetic, highest power first. "ULP" bounds are the largest errors that the tests allow over
// all finite arguments with a finite normal result, on every ISA. Edge values are those of C99 Annex F.
#pragma once

#include "vec.h"

namespace bulssi::BULSSI_ISA::vecmath {

using BULSSI_ISA::abs;
using BULSSI_ISA::ceil;
using BULSSI_ISA::copysign;
using BULSSI_ISA::floor;
using BULSSI_ISA::fma;
using BULSSI_ISA::fmax;
using BULSSI_ISA::fmin;
using BULSSI_ISA::frexp;
using BULSSI_ISA::isfinite;
using BULSSI_ISA::isinf;
using BULSSI_ISA::isnan;
using BULSSI_ISA::max;
using BULSSI_ISA::min;
using BULSSI_ISA::rint;
using BULSSI_ISA::signbit;
using BULSSI_ISA::sqrt;
using BULSSI_ISA::trunc;

inline constexpr double inf = __builtin_inf();
inline constexpr double nan = __builtin_nan("");

namespace detail {
using namespace BULSSI_ISA::detail;

// Horner: the first coefficient belongs to the highest power.
template <class T, class... C>
BULSSI_INLINE Vec<T> poly(Vec<T> x, double first, C... rest) {
  Vec<T> r(first);
  ((r = r * x + double(rest)), ...);
  return r;
}

// A constant for each precision.
template <class T>
BULSSI_INLINE constexpr double pick(double single, double dbl) {
  return is_single<T> ? single : dbl;
}

// An unevaluated sum of two registers, |lo| <= ulp(hi) / 2: twice the precision.
template <class T>
struct Pair {
  Vec<T> hi, lo;
};
// a + b exactly, |a| >= |b| or a == 0 (Dekker 1971).
template <class T>
BULSSI_INLINE Pair<T> fast_two_sum(Vec<T> a, Vec<T> b) {
  a = opaque(a), b = opaque(b);  // a product in disguise would be contracted into the sums, differently in each
  Vec<T> s = a + b;
  return {s, b - (s - a)};
}
// a + b exactly (Knuth).
template <class T>
BULSSI_INLINE Pair<T> two_sum(Vec<T> a, Vec<T> b) {
  a = opaque(a), b = opaque(b);
  Vec<T> s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}
// a * b exactly, unless it over- or underflows.
template <class T>
BULSSI_INLINE Pair<T> two_prod(Vec<T> a, Vec<T> b) {
  Vec<T> p = opaque(a * b);
  if constexpr (has_fma) {
    return {p, fms(a, b, p)};
  } else {  // Dekker's splitting
    double split = is_single<T> ? 4097.0 : 134217729.0;
    Vec<T> ca = opaque(a * split), cb = opaque(b * split);
    Vec<T> ah = ca - (ca - a), al = a - ah, bh = cb - (cb - b), bl = b - bh;
    return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
  }
}

// ---- conversions between a register of float and two of double ----
#if defined(__AVX512F__)
BULSSI_INLINE Vec<double> widen_low(Vec<float> a) {
  return Vec<double>::N(_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)a.v)));
}
BULSSI_INLINE Vec<double> widen_high(Vec<float> a) {
  return Vec<double>::N(_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)a.v, 1)));
}
BULSSI_INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  __m256 a = _mm512_cvtpd_ps((__m512d)low.v), b = _mm512_cvtpd_ps((__m512d)high.v);
  return Vec<float>::N(_mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1));
}
#elif defined(__AVX2__)
BULSSI_INLINE Vec<double> widen_low(Vec<float> a) {
  return Vec<double>::N(_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)a.v)));
}
BULSSI_INLINE Vec<double> widen_high(Vec<float> a) {
  return Vec<double>::N(_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)a.v, 1)));
}
BULSSI_INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  __m128 a = _mm256_cvtpd_ps((__m256d)low.v), b = _mm256_cvtpd_ps((__m256d)high.v);
  return Vec<float>::N(_mm256_insertf128_ps(_mm256_castps128_ps256(a), b, 1));
}
#else
BULSSI_INLINE Vec<double> widen_low(Vec<float> a) {
  Vec<double> r;
  for (int i = 0; i < Vec<double>::lanes; i++) r.v[i] = a.v[i];
  return r;
}
BULSSI_INLINE Vec<double> widen_high(Vec<float> a) {
  Vec<double> r;
  for (int i = 0; i < Vec<double>::lanes; i++) r.v[i] = a.v[i + Vec<double>::lanes];
  return r;
}
BULSSI_INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  Vec<float> r;
  for (int i = 0; i < Vec<double>::lanes; i++) r.v[i] = float(low.v[i]), r.v[i + Vec<double>::lanes] = float(high.v[i]);
  return r;
}
#endif
// f, a function of doubles, applied to floats: correctly rounded but for f's own error.
template <class F, class... A>
BULSSI_INLINE Vec<float> through_double(F f, A... a) {
  return narrow(f(widen_low(a)...), f(widen_high(a)...));
}

// ---- exp ----
template <class T>
inline constexpr double round_magic = is_single<T> ? 12582912.0 : 6755399441055744.0;  // 1.5 * 2^(bits of mantissa)

// x = n ln 2 + r: n integral, |r| <= ln 2 / 2. Limits keep n in the range that scale() takes; NaN goes through.
template <class T>
BULSSI_INLINE Vec<T> exp_reduce(Vec<T> x, Vec<T>& n) {
  n = opaque(x * 1.4426950408889634 + round_magic<T>) - round_magic<T>;
  Vec<T> r = x - n * pick<T>(0x1.62e4p-1, 0x1.62e42fefa3p-1);  // exact: n * constant has no more bits than T holds
  return r - n * pick<T>(0x1.7f7d1cp-20, 0x1.3de6af278ece6p-42);
}
// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2
template <class T>
BULSSI_INLINE Vec<T> exp_poly(Vec<T> r) {
  if constexpr (is_single<T>)
    return poly(r, 0.0013813155334778185, 0.0083694188898422936, 0.041668456640735138, 0.16666514791040798,
                0.49999993050933078);
  else
    return poly(r, 2.0835003565374543e-09, 2.5113109891772185e-08, 2.7557557837876305e-07, 2.7557231893673712e-06,
                2.4801586950758733e-05, 0.00019841269899216176, 0.0013888888889105591, 0.00833333333331596,
                0.041666666666666109, 0.16666666666666685, 0.5);
}
template <class T>
BULSSI_INLINE Vec<T> clamp_exp(Vec<T> x) {  // beyond these the result is 0 or infinity
  return clamp(x, pick<T>(-105.0, -747.0), pick<T>(90.0, 711.0));
}
// e^x = p 2^n, 0.7 <= p <= 1.42
template <class T>
BULSSI_INLINE Vec<T> exp_parts(Vec<T> x, Vec<T>& n) {
  Vec<T> r = exp_reduce(clamp_exp(x), n);
  return r * r * exp_poly(r) + r + 1.0;
}
// e^x for |x| <= 80 (float), 700 (double), or NaN: no limits to check, and a power of two that is a normal number.
template <class T>
BULSSI_INLINE Vec<T> exp_bounded(Vec<T> x) {
  Vec<T> n, r = exp_reduce(x, n), p = r * r * exp_poly(r) + r + 1.0;
#if defined(__AVX512F__)
  return scale(p, n);
#else
  return p * exp2i(n);
#endif
}
// e^(x + dx), dx small beside x; for arguments known to more than T's precision.
template <class T>
BULSSI_INLINE Vec<T> exp_pair(Vec<T> x, Vec<T> dx) {
  Vec<T> n, r = exp_reduce(clamp_exp(x), n);
  r = r + select(abs(dx) < 1.0, dx, 0.0);  // where x is huge, dx may be NaN
  return scale(r * r * exp_poly(r) + r + 1.0, n);
}

// ---- log ----
// x = m 2^e for a positive finite x (denormals too), sqrt(1/2) <= m < sqrt(2). With AVX-512, e is infinite with the
// sign of log x for x zero and infinite, and m is NaN for negative x.
template <class T>
BULSSI_INLINE Vec<T> log_reduce(Vec<T> x, Vec<T>& e) {
#if defined(__AVX512F__)
  Vec<T> m;
  if constexpr (is_single<T>) {
    e = typename Vec<T>::N(_mm512_getexp_ps((__m512)x.v));
    m = typename Vec<T>::N(_mm512_getmant_ps((__m512)x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_nan));
  } else {
    e = typename Vec<T>::N(_mm512_getexp_pd((__m512d)x.v));
    m = typename Vec<T>::N(_mm512_getmant_pd((__m512d)x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_nan));
  }
  Mask<T> upper = m > 1.4142135623730951;
  e = select(upper, e + 1.0, e);
  return select(upper, m * 0.5, m);
#else
  using V = Vec<T>;
  using NU = typename V::NU;
  using U = typename V::U;
  constexpr int bits = mantissa_bits<T>;
  constexpr U half = is_single<T> ? U(0x3f3504f3) : U(0x3fe6a09e667f3bcd);  // sqrt(1/2)
  constexpr U one = is_single<T> ? U(0x3f800000) : U(0x3ff0000000000000);
  Mask<T> tiny = x < smallest_normal<T>;
  NU i = NU(select(tiny, x * pick<T>(0x1p24, 0x1p54), x).v);
  NU k = ((i + (one - half)) >> bits) - U(exponent_bias<T>);  // a logical shift: v3 has no other for 64 bits
  e = to_float<T>(typename V::NI(k)) - select(tiny, pick<T>(24.0, 54.0), 0.0);
  return typename V::N(i - (k << bits));
#endif
}
// log(1 + f) = f - (f^2 / 2 - rest), sqrt(1/2) <= 1 + f < sqrt(2)
template <class T>
BULSSI_INLINE Vec<T> log1p_rest(Vec<T> f, Vec<T> half_square) {
  if constexpr (is_single<T>) {  // f^3 times (log(1 + f) - f + f^2 / 2) / f^3
    return f * f * f *
           poly(f, -0.0763560255, 0.1276328622, -0.131605824, 0.1420155903, -0.1662329913, 0.2000123314, -0.2500082268,
                0.3333333166);
  } else {  // with s = f / (2 + f): log(1 + f) = 2 atanh(s), as in fdlibm
    Vec<T> s = f / (f + 2.0), z = s * s;
    Vec<T> r = z * poly(z, 0.14804565239440479, 0.15313234115997057, 0.18183594399940939, 0.22222198032003657,
                        0.28571428747270688, 0.39999999999394625, 0.66666666666667374);
    return s * (half_square + r);
  }
}
// log((1 + f) 2^e)
template <class T>
BULSSI_INLINE Vec<T> log_sum(Vec<T> f, Vec<T> e) {
  Vec<T> h = f * f * 0.5;
  Vec<T> low = log1p_rest(f, h) + e * pick<T>(0x1.7f7d1cp-20, 0x1.3de6af278ece6p-42);
  return e * pick<T>(0x1.62e4p-1, 0x1.62e42fefa3p-1) - ((h - low) - f);
}
#if defined(__AVX512F__)
inline constexpr bool log_has_edges = true;
#else
inline constexpr bool log_has_edges = false;
#endif
// What log-like functions return outside (0, inf).
template <class T>
BULSSI_INLINE Vec<T> log_edges(Vec<T> x, Vec<T> r) {
#if defined(__AVX512F__)
  // What to put for each kind of x, four bits each: quiet and signalling NaN as they are, -inf for 0, nothing for 1,
  // NaN for -inf, inf for inf, NaN for a negative x, nothing for a positive one.
  constexpr int fixes = 0x03530421;
  if constexpr (is_single<T>)
    return typename Vec<T>::N(_mm512_fixupimm_ps((__m512)r.v, (__m512)x.v, _mm512_set1_epi32(fixes), 0));
  else
    return typename Vec<T>::N(_mm512_fixupimm_pd((__m512d)r.v, (__m512d)x.v, _mm512_set1_epi64(fixes), 0));
#endif
  r = select(x < inf, r, x);
  r = select(x < 0.0, nan, r);
  return select(x == 0.0, -inf, r);
}
// log(1 + f) / log(base) + e log(2) / log(base), the constants in two parts each.
template <class T>
BULSSI_INLINE Vec<T> log_base(Vec<T> x, double c_hi, double c_lo, double e_hi, double e_lo) {
  Vec<T> e, f = log_reduce(x, e) - 1.0;
  Vec<T> h = f * f * 0.5;
  Pair<T> log = fast_two_sum(f, -h);
  log.lo = log.lo + (fma(f * -0.5, f, h) + log1p_rest(f, h));  // fma: what rounding lost from h
  Pair<T> p = two_prod(log.hi, Vec<T>(c_hi));
  p.lo = p.lo + (log.hi * c_lo + log.lo * c_hi) + e * e_lo;
  Pair<T> s = two_sum(opaque(e * e_hi), p.hi);
  return log_edges(x, s.hi + (s.lo + p.lo));
}
// The same to base B = 2 or 10 for floats. `Head` is a power of two near 1 / log(B), and the polynomial is for
// log_B(1 + f) / f - Head: so the largest part, Head f, is exact. Needs fma for its precision.
template <int B>
BULSSI_INLINE Vec<float> log_base_single(Vec<float> x) {
  using V = Vec<float>;
  V e, f = log_reduce(x, e) - 1.0, head, q, low;
  if constexpr (B == 2) {
    q = poly(f, 0.09703385809, -0.1690633724, 0.1720568506, -0.178908707, 0.2050434893, -0.2404672088, 0.2885761734,
             -0.3606741493, 0.4808978892, -0.7213475157, 0.4426950418);
    head = f;
    low = V(0.0);
  } else {
    q = poly(f, 0.02921010327, -0.05089314709, 0.05179427279, -0.05385688712, 0.06172424071, -0.07238784283,
             0.08687008423, -0.1085737376, 0.1447646895, -0.2171472395, -0.06570551782);
    head = f * 0.5;
    low = e * 0x1.3509f8p-18;
  }
  V whole = opaque(B == 2 ? e : e * 0x1.344p-2), sum = opaque(whole + head);
  low = low + (head - (sum - whole));  // what the sum rounded away: |whole| > |head|
  V r = select(e == 0.0, fma(f, q, head), sum + fma(f, q, low));
  return log_edges(x, r);
}
}  // namespace detail
}  // namespace bulssi::BULSSI_ISA::vecmath

#include "vecmath_tables.h"  // in terms of the above

namespace bulssi::BULSSI_ISA::vecmath {

// 1 / sqrt(x). 1.25 ULP.
template <class T>
BULSSI_INLINE Vec<T> rsqrt(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (detail::is_single<T>) {  // Newton's step from 14 bits
    Vec<T> y = typename Vec<T>::N(_mm512_rsqrt14_ps((__m512)x.v)), h = y * 0.5;
    Vec<T> r = fma(h, fma(-(x * y), y, 1.0f), y);
    return select((x > 0.0) & (x < inf), r, y);
  }
#endif
  return 1.0 / sqrt(x);
}

// e^x. 1.25 ULP. Range reduction of Cody and Waite, polynomial of degree 6 (float), 12 (double).
template <class T>
BULSSI_INLINE Vec<T> exp(Vec<T> x) {
  Vec<T> n, p = detail::exp_parts(x, n);
  return scale(p, n);
}

// 2^x. 1.25 ULP.
template <class T>
BULSSI_INLINE Vec<T> exp2(Vec<T> x) {
  x = clamp(x, detail::pick<T>(-152.0, -1077.0), detail::pick<T>(129.0, 1025.0));
  Vec<T> n = opaque(x + detail::round_magic<T>) - detail::round_magic<T>, r = x - n, p;
  if constexpr (detail::is_single<T>)  // (2^r - 1) / r
    p = detail::poly(r, 0.00015476584947208343, 0.0013400537411341056, 0.0096180029140908885, 0.055503271239019145,
                     0.24022651353459729, 0.69314720655749162);
  else
    p = detail::poly(r, 4.4573760410648657e-10, 7.0739361443625032e-09, 1.0178046555033787e-07, 1.3215434399985802e-06,
                     1.5252733867268569e-05, 0.00015403530458857825, 0.0013333558146379366, 0.0096181291075927693,
                     0.055504108664821743, 0.24022650695910133, 0.69314718055994529);
  return scale(r * p + 1.0, n);
}

// e^x - 1, relatively accurate near 0. 1.5 ULP.
template <class T>
BULSSI_INLINE Vec<T> expm1(Vec<T> x) {
  constexpr double bias = detail::exponent_bias<T>;
  // e^-20 (e^-40) is below a quarter of an ULP of the result, -1
  Vec<T> n, c = clamp(x, detail::pick<T>(-20.0, -40.0), detail::pick<T>(90.0, 711.0));
  Vec<T> r = detail::exp_reduce(c, n);
  Vec<T> rest = r * r * detail::exp_poly(r);
  Vec<T> u = 1.0 - exp2i(-min_or_second(n, Vec<T>(bias)));  // e^x - 1 = ((1 - 2^-n) + r + rest) 2^n
  detail::Pair<T> s = detail::fast_two_sum(u, r);
  return copysign(scale(s.hi + (s.lo + rest), n), x);
}

// Natural logarithm. 1 ULP.
template <class T>
BULSSI_INLINE Vec<T> log(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (detail::is_single<T>) return detail::log_by_table<detail::Base::e>(x);
#endif
  Vec<T> e, m = detail::log_reduce(x, e);
  Vec<T> r = detail::log_sum(m - 1.0, e);
  if constexpr (detail::log_has_edges)
    return r;
  else
    return detail::log_edges(x, r);
}

// log(1 + x), relatively accurate near 0. 1.5 ULP. What 1 + x rounds away is added to the reduced argument.
template <class T>
BULSSI_INLINE Vec<T> log1p(Vec<T> x) {
  Vec<T> u = x + 1.0;
  Vec<T> lost = select(x < 1.0, x - (u - 1.0), 1.0 - (u - x));
  Vec<T> e, m = detail::log_reduce(u, e);
  Vec<T> r;
  if constexpr (detail::log_has_edges) {
    r = detail::log_sum((m - 1.0) + scale(lost, -e), e);
    r = select(x == -1.0, -inf, select(x < inf, r, x));
  } else {
    constexpr double bias = detail::exponent_bias<T>;
    r = detail::log_sum((m - 1.0) + lost * exp2i(-min_or_second(e, Vec<T>(bias))), e);
    r = detail::log_edges(u, r);
  }
  return select(abs(x) < detail::pick<T>(0x1p-40, 0x1p-80), x, r);  // also keeps -0 and denormals
}

// Binary logarithm; exact for powers of two. 1 ULP.
template <class T>
BULSSI_INLINE Vec<T> log2(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (detail::is_single<T>) return detail::log_by_table<detail::Base::two>(x);
#endif
  if constexpr (detail::is_single<T> && has_fma)
    return detail::log_base_single<2>(x);
  else if constexpr (detail::is_single<T>)
    return detail::log_base(x, 0x1.715476p+0, 0x1.4ae0cp-26, 1.0, 0.0);
  else
    return detail::log_base(x, 0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56, 1.0, 0.0);
}

// Decimal logarithm. 1 ULP.
template <class T>
BULSSI_INLINE Vec<T> log10(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (detail::is_single<T>) return detail::log_by_table<detail::Base::ten>(x);
#endif
  if constexpr (detail::is_single<T> && has_fma)
    return detail::log_base_single<10>(x);
  else if constexpr (detail::is_single<T>)
    return detail::log_base(x, 0x1.bcb7b2p-2, -0x1.5b235ep-27, 0x1.344p-2, 0x1.3509f8p-18);
  else
    return detail::log_base(x, 0x1.bcb7b1526e50ep-2, 0x1.95355baaafad3p-57, 0x1.34413509f7p-2, 0x1.3fde623e2566bp-43);
}

// 1 / (1 + e^-x); no overflow on the way, and e^x itself far below zero. 2.5 ULP.
template <class T>
BULSSI_INLINE Vec<T> sigmoid(Vec<T> x) {
  Vec<T> e = exp(-abs(x)), r = 1.0 / (e + 1.0);
  return select(x < 0.0, e * r, r);
}

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|). 2 ULP.
template <class T>
BULSSI_INLINE Vec<T> softplus(Vec<T> x) {
  return select(x > 0.0, x, select(x <= 0.0, 0.0, x)) + log1p(exp(-abs(x)));
}
// log(sigmoid(x)). 2 ULP.
template <class T>
BULSSI_INLINE Vec<T> log_sigmoid(Vec<T> x) {
  return -softplus(-x);
}
// log(e^x + e^y). 3 ULP of the larger of |max(x, y)| and |result|.
template <class T>
BULSSI_INLINE Vec<T> logaddexp(Vec<T> x, Vec<T> y) {
  Vec<T> m = max(x, y);
  Vec<T> r = m + log1p(exp(-abs(x - y)));
  return select(isinf(m) & (x == y), m, r);  // inf - inf
}
BULSSI_MIXED(logaddexp)
// log2(2^x + 2^y), as logaddexp.
template <class T>
BULSSI_INLINE Vec<T> logaddexp2(Vec<T> x, Vec<T> y) {
  Vec<T> m = max(x, y);
  Vec<T> r = m + log1p(exp2(-abs(x - y))) * 1.4426950408889634;
  return select(isinf(m) & (x == y), m, r);
}
BULSSI_MIXED(logaddexp2)

// ---- hyperbolic ----
// Hyperbolic sine: an odd polynomial below 1, (e^a - e^-a) / 2 above. 2 ULP.
template <class T>
BULSSI_INLINE Vec<T> sinh(Vec<T> x) {
  Vec<T> a = abs(x), n, p = detail::exp_parts(a, n), z = x * x, q;
  Vec<T> e = scale(p, n - 1.0);        // e^a / 2 does not overflow before the result does
  if constexpr (detail::is_single<T>)  // (sinh(x) - x) / x^3 in x^2
    q = detail::poly(z, 2.817445763e-06, 0.0001983606523, 0.008333350603, 0.1666666649);
  else
    q = detail::poly(z, 7.7600840826429186e-13, 1.6057228653583484e-10, 2.5052123316877002e-08, 2.7557319157794516e-06,
                     0.00019841269841421532, 0.0083333333333331788, 0.16666666666666666);
  return copysign(select(a < 1.0, a * z * q + a, e - 0.25 / e), x);
}
// Hyperbolic cosine. 2 ULP.
template <class T>
BULSSI_INLINE Vec<T> cosh(Vec<T> x) {
  Vec<T> n, p = detail::exp_parts(abs(x), n);
  Vec<T> e = scale(p, n - 1.0);
  return e + 0.25 / e;
}
// Hyperbolic tangent: an odd polynomial below 0.55, 1 - 2 / (e^2a + 1) above; a table of polynomials with AVX-512. 2
// ULP.
template <class T>
BULSSI_INLINE Vec<T> tanh(Vec<T> x) {
#if defined(__AVX512F__)
  if constexpr (detail::is_single<T>)
    return copysign(detail::tanh_by_table(min_or_second(Vec<T>(9.5f), abs(x))), x);  // the result rounds to 1 before
#endif
  Vec<T> a = abs(x), z = x * x, q;
  Vec<T> c = min_or_second(Vec<T>(detail::pick<T>(20.0, 40.0)), a + a);  // the same
  Vec<T> big = 1.0 - 2.0 / (detail::exp_bounded(c) + 1.0);
  if constexpr (detail::is_single<T>)  // (tanh(x) - x) / x^3 in x^2
    q = detail::poly(z, -0.006282469165, 0.02107775592, -0.05385385753, 0.1333260168, -0.3333331805);
  else
    q = detail::poly(z, -1.9487174474688882e-05, 8.3342288478357063e-05, -0.00023343033019411515,
                     0.00058847775709707081, -0.0014555549698554628, 0.0035920946589914462, -0.008863232950438088,
                     0.021869488413757451, -0.053968253965020814, 0.13333333333329411, -0.3333333333333332);
  return copysign(select(a < 0.55, a * z * q + a, big), x);
}
// Inverse hyperbolic sine, as log1p(a + a^2 / (1 + sqrt(1 + a^2))). 3 ULP.
template <class T>
inline Vec<T> asinh(Vec<T> x) {
  Vec<T> a = abs(x), z = a * a;
  Mask<T> huge = a > detail::pick<T>(0x1p30, 0x1p60);  // there log(2a)
  Vec<T> u = select(huge, a, a + z / (sqrt(z + 1.0) + 1.0));
  return copysign(log1p(u) + select(huge, 0.6931471805599453, 0.0), x);
}
// Inverse hyperbolic cosine, NaN below 1. 3 ULP.
template <class T>
inline Vec<T> acosh(Vec<T> x) {
  Vec<T> t = x - 1.0;
  Mask<T> huge = x > detail::pick<T>(0x1p30, 0x1p60);
  Vec<T> u = select(huge, t, t + sqrt(t * (t + 2.0)));
  return select(x < 1.0, nan, log1p(u) + select(huge, 0.6931471805599453, 0.0));
}
// Inverse hyperbolic tangent, infinite at +-1, NaN beyond. 3 ULP.
template <class T>
inline Vec<T> atanh(Vec<T> x) {
  Vec<T> a = abs(x);
  return copysign(log1p(a * 2.0 / (1.0 - a)) * 0.5, x);
}

// ---- powers ----
namespace detail {
// x^y for x >= 0 without the edges that pow adds. The logarithm is to base e in pair arithmetic, about 2^-67.
BULSSI_INLINE Vec<double> pow_positive(Vec<double> x, Vec<double> y) {
  using V = Vec<double>;
  V e, m = log_reduce(x, e), f = m - 1.0;
  Pair<double> t = fast_two_sum(V(1.5), m - 0.5);  // 2 + f, both parts exact
  V r = 1.0 / t.hi, s = opaque(f * r);             // s + ds = f / (2 + f)
  Pair<double> p = two_prod(s, t.hi);
  V ds = r * (((f - p.hi) - p.lo) - s * t.lo);
  Pair<double> z = two_prod(s, s);
  z.lo = z.lo + s * ds * 2.0;
  // atanh(s) = s + s z (1/3 + z q): q = (atanh(s)/s - 1 - z/3) / z^2
  V q = z.hi * poly(z.hi, 0.066023444131419501, 0.066279707150262754, 0.07693396914753875, 0.090908918007720899,
                    0.11111111264169621, 0.14285714285027232, 0.20000000000001172);
  Pair<double> c = fast_two_sum(V(0x1.5555555555555p-2), q);
  c.lo = c.lo + 0x1.5555555555555p-56;
  Pair<double> w = two_prod(z.hi, c.hi);
  w.lo = w.lo + (z.hi * c.lo + z.lo * c.hi);
  Pair<double> u = two_prod(s, w.hi);
  u.lo = u.lo + (s * w.lo + ds * w.hi);
  Pair<double> a = fast_two_sum(s, u.hi);
  a.lo = (a.lo + ds) + u.lo;
  Pair<double> l = two_sum(opaque(e * 0x1.62e42fefa3p-1), a.hi * 2.0);
  l.lo = l.lo + (a.lo * 2.0 + e * 0x1.3de6af278ece6p-42);
  l = fast_two_sum(l.hi, l.lo);
  l.hi = select(x == 0.0, -inf, select(x < inf, l.hi, x));
  Pair<double> g = two_prod(l.hi, y);
  return exp_pair(g.hi, g.lo + l.lo * y);
}
// The same for floats widened to double: the result needs no more than about 2^-30.
BULSSI_INLINE Vec<double> pow_positive_single(Vec<double> x, Vec<double> y) {
  Vec<double> e, m = log_reduce(x, e), s = (m - 1.0) / (m + 1.0), z = s * s;
  Vec<double> log2 = e + s * poly(z, 0.1959220343248482 * 1.4426950408889634, 0.22175666365230884 * 1.4426950408889634,
                                  0.28572120700856457 * 1.4426950408889634, 0.39999995522800069 * 1.4426950408889634,
                                  0.66666666676060082 * 1.4426950408889634, 2.8853900817779268);
  log2 = select(x == 0.0, -inf, select(x < inf, log2, x));
  Vec<double> t = y * log2;
  t = clamp(t, -400.0, 400.0);
  Vec<double> n = opaque(t + round_magic<double>) - round_magic<double>, r = t - n;
  Vec<double> p = poly(r, 0.00015476584947208343, 0.0013400537411341056, 0.0096180029140908885, 0.055503271239019145,
                       0.24022651353459729, 0.69314720655749162);
  return (r * p + 1.0) * exp2i(n);
}
}  // namespace detail

// x^y with the edge values of C99 (pow(1, y) = pow(x, 0) = 1 even for NaN; a negative x needs an integral y).
// 1 ULP: double in pair arithmetic, float through double.
template <class T>
inline Vec<T> pow(Vec<T> x, Vec<T> y) {
  using V = Vec<T>;
  V a = abs(x), r;
  if constexpr (detail::is_single<T>)
    r = detail::through_double([](auto u, auto v) { return detail::pow_positive_single(u, v); }, a, y);
  else
    r = detail::pow_positive(a, y);
  V half = y * 0.5;
  Mask<T> integral = rint(y) == y, odd = integral & (rint(half) != half);  // infinities are even integers
  r = select((x < 0.0) & !integral & (a < inf), nan, r);
  r = select(odd, copysign(r, x), r);
  r = select((x == 1.0) | (y == 0.0) | ((a == 1.0) & (abs(y) == inf)), 1.0, select(isnan(x) | isnan(y), x + y, r));
  return r;
}
BULSSI_MIXED(pow)

// Cube root. 1 ULP. The exponent by thirds, a polynomial start, then Halley's method (cubic: 2^-9, 2^-27, 2^-82).
template <class T>
inline Vec<T> cbrt(Vec<T> x) {
  using V = Vec<T>;
  V e, m = frexp(abs(x), e);                              // m in [1/2, 1)
  V q = floor((e + 0.5) * (1.0 / 3.0)), k = e - q * 3.0;  // e = 3 q + k, k in {0, 1, 2}
  m = m * select(k > 1.5, 4.0, select(k > 0.5, V(2.0), V(1.0)));
  V y = detail::poly(m, -0.005487295451, 0.06085311548, -0.2659683915, 0.7130496724, 0.4978843599);  // 2^-9
  for (int i = 0; i < (detail::is_single<T> ? 1 : 2); i++) {
    V c = y * y * y;
    y = y - y * ((c - m) / (c + c + m));
  }
  return select(isfinite(x) & (x != 0.0), copysign(scale(y, q), x), x);
}

}  // namespace bulssi::BULSSI_ISA::vecmath
