// Trigonometric functions of Vec<float> and Vec<double>, and the exact remainders. Conventions: see vecmath_exp.h.
#pragma once

#include "special.h"
#include "vecmath_exp.h"

namespace bulssi::BULSSI_ISA::vecmath {

namespace detail {
// r, with the lanes of m replaced by f of the arguments' lanes: for arguments too rare to have vector code.
template <class T, class... A>
__attribute__((noinline, cold)) Vec<T> patch_lanes(Mask<T> m, Vec<T> r, double (*f)(A...),
                                                   std::type_identity_t<Vec<T>> x) {
  for (int i = 0; i < Vec<T>::lanes; i++)
    if (m.m[i]) r.v[i] = T(f(double(x.v[i])));
  return r;
}

// a - n pi unit, unit 1 or 1/2, by Cody and Waite: pi in parts whose products with n are exact.
template <class T>
BULSSI_INLINE Vec<T> minus_pi(Vec<T> a, Vec<T> n, double unit) {
  if constexpr (has_fma) {
    a = a - n * (pick<T>(0x1.921fb6p+1, 0x1.921fb54442d18p+1) * unit);
    a = a - n * (pick<T>(-0x1.777a5cp-24, 0x1.1a62633145c07p-53) * unit);
    return a - n * (pick<T>(-0x1.ee59dap-49, -0x1.f1976b7ed8fbcp-109) * unit);
  } else {
    a = a - n * (pick<T>(0x1.92p+1, 0x1.921fb544p+1) * unit);
    a = a - n * (pick<T>(0x1.fb4p-11, 0x1.0b4611a6p-33) * unit);
    a = a - n * (pick<T>(0x1.444p-23, 0x1.3198a2ep-68) * unit);
    return a - n * (pick<T>(0x1.68c234p-38, 0x1.b839a252049c1p-103) * unit);
  }
}
// Beyond this, minus_pi loses precision, and lanes are patched with an exact reduction.
template <class T>
inline constexpr double trig_limit = has_fma ? (is_single<T> ? 1e5 : 1e9) : (is_single<T> ? 8000.0 : 3e6);

// sin(r), |r| <= pi / 2
template <class T>
BULSSI_INLINE Vec<T> sin_poly(Vec<T> r) {
  Vec<T> z = r * r, p;  // (sin(r) - r) / r^3 in r^2
  if constexpr (is_single<T>)
    p = poly(z, 2.605750339e-06, -0.0001980958991, 0.00833306608, -0.1666665954);
  else
    p = poly(z, 2.7219564646747156e-15, -7.6430946970824572e-13, 1.6058945015131562e-10, -2.5052107011076811e-08,
             2.7557319213088301e-06, -0.00019841269841223841, 0.0083333333333332465, -0.16666666666666666);
  Vec<T> y = r * z * p + r;  // near pi / 2 the rounding could pass 1
  return clamp(y, -1.0, 1.0);
}
// -x where the integral number in t's low mantissa bits is odd (t = number + round_magic)
template <class T>
BULSSI_INLINE Vec<T> negate_odd(Vec<T> x, Vec<T> t) {
  using V = Vec<T>;
  using NI = typename V::NI;
  return typename V::N(NI(x.v) ^ (NI(t.v) << (V::bits - 1)));
}
}  // namespace detail

// Sine, any magnitude. 2 ULP.
template <class T>
inline Vec<T> sin(Vec<T> x) {
  using V = Vec<T>;
  V a = abs(x), t = a * 0.31830988618379067 + detail::round_magic<T>, n = t - detail::round_magic<T>;
  V r = detail::negate_odd(detail::sin_poly(detail::minus_pi(a, n, 1.0)), t);
  r = typename V::N(typename V::NI(r.v) ^ typename V::NI(copysign(V(0.0), x).v));
  Mask<T> huge = a > detail::trig_limit<T>;
  if (any(huge)) [[unlikely]]
    return detail::patch_lanes(huge, r, &special::sin, x);
  return r;
}
// Cosine, any magnitude. 2 ULP. cos(x) = (-1)^(n+1) sin(x - (n + 1/2) pi)
template <class T>
inline Vec<T> cos(Vec<T> x) {
  using V = Vec<T>;
  V a = abs(x), t = (a * 0.31830988618379067 - 0.5) + detail::round_magic<T>, n = t - detail::round_magic<T>;
  V r = detail::negate_odd(detail::sin_poly(-detail::minus_pi(a, n + 0.5, 1.0)), t);
  Mask<T> huge = a > detail::trig_limit<T>;
  if (any(huge)) [[unlikely]]
    return detail::patch_lanes(huge, r, &special::cos, x);
  return r;
}
// Tangent, any magnitude. 3 ULP.
template <class T>
inline Vec<T> tan(Vec<T> x) {
  using V = Vec<T>;
  using NI = typename V::NI;
  V a = abs(x), t = a * 0.63661977236758134 + detail::round_magic<T>, n = t - detail::round_magic<T>;
  V r = detail::minus_pi(a, n, 0.5), z = r * r, num, den;  // |r| <= pi / 4
  Mask<T> odd = {NI((NI(t.v) & 1) != 0)};
  if constexpr (detail::is_single<T>) {  // (tan(r) - r) / r^3 in r^2
    V y = r * z *
              detail::poly(z, 0.004414864324, 7.586213131e-06, 0.01090383571, 0.02125442518, 0.0540656417, 0.1333260909,
                           0.3333335146) +
          r;
    num = select(odd, -1.0, y), den = select(odd, y, 1.0);
  } else {  // (sin(r) - r) / r^3, (cos(r) - 1 + r^2 / 2) / r^4
    V s = r * z *
              detail::poly(z, 1.5896798388807788e-10, -2.5050758173370478e-08, 2.7557313692383723e-06,
                           -0.00019841269829809532, 0.0083333333333224166, -0.16666666666666632) +
          r;
    V c = 1.0 - (z * 0.5 - z * z *
                               detail::poly(z, -1.1359629324487575e-11, 2.0875722951452559e-09, -2.7557314350259821e-07,
                                            2.480158728947613e-05, -0.0013888888888874116, 0.041666666666666602));
    num = select(odd, -c, s), den = select(odd, s, c);
  }
  V y = num / den;
  y = typename V::N(NI(y.v) ^ NI(copysign(V(0.0), x).v));
  Mask<T> huge = a > detail::trig_limit<T>;
  if (any(huge)) [[unlikely]]
    return detail::patch_lanes(huge, y, &special::tan, x);
  return y;
}
// sin(pi x) / (pi x), 1 at 0, NaN at infinity. The reduction by n is exact, so zeros at the integers are exact. 2.5
// ULP.
template <class T>
inline Vec<T> sinc(Vec<T> x) {
  using V = Vec<T>;
  V a = abs(x), n = rint(a), r = (a - n) * 3.1415926535897932;
  V half = n * 0.5, s = detail::sin_poly(r);
  s = select(rint(half) != half, -s, s);
  return select(x == 0.0, 1.0, s / (a * 3.1415926535897932));
}

namespace detail {
// (asin(x) - x) / x^3 in z = x^2 <= 1/4
template <class T>
BULSSI_INLINE Vec<T> asin_poly(Vec<T> z) {
  if constexpr (is_single<T>)
    return poly(z, 0.04223048933, 0.02414102752, 0.04547833439, 0.07495232746, 0.1666675413);
  else
    return poly(z, 0.032702142482233777, -0.021116716557816433, 0.021790667054659835, 0.0036721670161334583,
                0.010789328852945035, 0.011397291090966393, 0.013981018853761046, 0.017351595466514432,
                0.022372215908166827, 0.0303819426751866, 0.044642857175288202, 0.074999999999700959,
                0.16666666666666763);
}
// (atan(t) - t) / t^3 in z = t^2, |t| <= tan(pi / 8)
template <class T>
BULSSI_INLINE Vec<T> atan_poly(Vec<T> z) {
  if constexpr (is_single<T>)
    return poly(z, -0.0608174129, 0.1059535915, -0.1424376674, 0.1999848538, -0.3333331544);
  else
    return poly(z, -0.017911198142334949, 0.038068403479003921, -0.05039463632517157, 0.058479261850837655,
                -0.06663109314901082, 0.0769206069230291, -0.090908977851342734, 0.11111110784423513,
                -0.14285714280215825, 0.19999999999953777, -0.33333333333333198);
}
// pi / 2 in two parts
template <class T>
inline constexpr double half_pi = is_single<T> ? 0x1.921fb6p+0 : 0x1.921fb54442d18p+0;
template <class T>
inline constexpr double half_pi_low = is_single<T> ? -0x1.777a5cp-25 : 0x1.1a62633145c07p-54;
}  // namespace detail

// Arc sine, NaN beyond +-1. 2 ULP. Above 1/2 as pi/2 - 2 asin(sqrt((1 - a) / 2)).
template <class T>
inline Vec<T> asin(Vec<T> x) {
  Vec<T> a = abs(x), w = (1.0 - a) * 0.5;
  Mask<T> small = a < 0.5;
  Vec<T> z = select(small, a * a, w), s = select(small, a, sqrt(w));
  Vec<T> c = s * z * detail::asin_poly(z);
  Vec<T> big = (detail::half_pi<T> - s * 2.0) - (c * 2.0 - detail::half_pi_low<T>);
  return copysign(select(small, s + c, big), x);
}
// Arc cosine, NaN beyond +-1. 2 ULP.
template <class T>
inline Vec<T> acos(Vec<T> x) {
  Vec<T> a = abs(x), w = (1.0 - a) * 0.5;
  Mask<T> small = a < 0.5, negative = x < 0.0;
  Vec<T> z = select(small, a * a, w), s = select(small, a, sqrt(w));
  Vec<T> c = s * z * detail::asin_poly(z), signed_s = copysign(s, x), signed_c = copysign(c, x);
  Vec<T> middle = detail::half_pi<T> - (signed_s - (detail::half_pi_low<T> - signed_c));
  Vec<T> twice = (s + c) * 2.0;
  Vec<T> far = (2.0 * detail::half_pi<T> - s * 2.0) - (c * 2.0 - 2.0 * detail::half_pi_low<T>);
  return select(small, middle, select(negative, far, twice));
}
// Arc tangent. 2 ULP. Reduced to |t| <= tan(pi / 8) by adding pi/4 or pi/2 (Cephes's scheme).
template <class T>
inline Vec<T> atan(Vec<T> x) {
  Vec<T> a = abs(x);
  Mask<T> mid = a > 0.4142135623730950, big = a > 2.414213562373095;
  Vec<T> num = select(big, -1.0, select(mid, a - 1.0, a));
  Vec<T> den = select(big, a, select(mid, a + 1.0, 1.0));
  Vec<T> t = num / den, c = t * (t * t) * detail::atan_poly(t * t);
  Vec<T> k = select(big, 1.0, select(mid, Vec<T>(0.5), Vec<T>(0.0)));
  return copysign(k * detail::half_pi<T> + (t + (c + k * detail::half_pi_low<T>)), x);
}
// The angle of the point (x, y), in [-pi, pi], all edges as C99's. 2 ULP.
template <class T>
inline Vec<T> atan2(Vec<T> y, Vec<T> x) {
  using V = Vec<T>;
  V ax = abs(x), ay = abs(y);
  Mask<T> swap = ay > ax;
  V a = select(swap, ax, ay), b = select(swap, ay, ax);
  V down = select(b > detail::largest<T> * 0.25, 0.25, V(1.0));  // a + b must not overflow
  a = a * down, b = b * down;
  Mask<T> both_infinite = a == inf, mid = (a > b * 0.4142135623730950) | both_infinite;
  V num = select(both_infinite, 0.0, select(mid, a - b, a));
  V den = select(both_infinite | (b == 0.0), 1.0, select(mid, a + b, b));
  V t = num / den, c = t * (t * t) * detail::atan_poly(t * t);
  // a base of k quarter turns plus or minus t
  V k = select(mid, V(0.5), V(0.0));
  k = select(swap, 1.0 - k, k);
  Mask<T> left = signbit(x);
  k = select(left, 2.0 - k, k);
  Mask<T> minus = swap ^ left;
  t = select(minus, -t, t), c = select(minus, -c, c);
  V r = k * detail::half_pi<T> + (t + (c + k * detail::half_pi_low<T>));
  return select(isnan(x) | isnan(y), x + y, copysign(r, y));
}
BULSSI_MIXED(atan2)

// sqrt(x^2 + y^2) without overflow on the way; infinite if either is, even beside NaN. 1.5 ULP.
template <class T>
inline Vec<T> hypot(Vec<T> x, Vec<T> y) {
  using V = Vec<T>;
  V ax = abs(x), ay = abs(y);
  Mask<T> swap = ay > ax;
  V b = select(swap, ay, ax), a = select(swap, ax, ay);
  Mask<T> large = b > detail::pick<T>(0x1p60, 0x1p500), small = b < detail::pick<T>(0x1p-60, 0x1p-500);
  V down =
      select(large, detail::pick<T>(0x1p-70, 0x1p-600), select(small, V(detail::pick<T>(0x1p90, 0x1p600)), V(1.0)));
  V up = select(large, detail::pick<T>(0x1p70, 0x1p600), select(small, V(detail::pick<T>(0x1p-90, 0x1p-600)), V(1.0)));
  a = a * down, b = b * down;
  V r = sqrt(fma(b, b, a * a)) * up;
  return select((ax == inf) | (ay == inf), inf, select(isnan(x) | isnan(y), x + y, r));
}
BULSSI_MIXED(hypot)

// x - y trunc(x / y), exactly, with x's sign; NaN for infinite x or zero y, x for infinite y.
template <class T>
inline Vec<T> fmod(Vec<T> x, Vec<T> y) {
  using V = Vec<T>;
  V a = abs(x), b = abs(y), q = trunc(a / b);
  // q may be one off when a / b was rounded across an integer; the remainder then shows it and is put right.
  V r;
  if constexpr (has_fma) {
    r = fma(-q, b, a);
  } else {
    detail::Pair<T> p = detail::two_prod(q, b);
    r = (a - p.hi) - p.lo;
  }
  r = select(r < 0.0, r + b, r);
  r = select(r >= b, r - b, r);
  r = copysign(select(b == inf, a, r), x);
  // Here q is not a number of T, or the products under- or overflow: one lane at a time.
  constexpr double top = detail::pick<T>(0x1p22, 0x1p50), low = detail::pick<T>(0x1p-70, 0x1p-900);
  constexpr double high = detail::pick<T>(0x1p100, 0x1p900);
  Mask<T> hard = (!(q < top)) | (b < low) | (a > high) | ((b > high) & (b < inf));
  if (any(hard)) [[unlikely]] {
    for (int i = 0; i < V::lanes; i++)
      if (hard.m[i]) r.v[i] = T(special::fmod(double(x.v[i]), double(y.v[i])));
  }
  return r;
}
BULSSI_MIXED(fmod)
// Python's x % y: fmod with y's sign (torch.remainder).
template <class T>
inline Vec<T> remainder(Vec<T> x, Vec<T> y) {
  Vec<T> r = fmod(x, y);
  return select((r != 0.0) & ((r < 0.0) ^ (y < 0.0)), r + y, r);
}
BULSSI_MIXED(remainder)
// Python's x // y, consistent with remainder; x / y where y is 0.
template <class T>
inline Vec<T> floor_divide(Vec<T> x, Vec<T> y) {
  using V = Vec<T>;
  V m = fmod(x, y), q = (x - m) / y;
  q = select((m != 0.0) & ((m < 0.0) ^ (y < 0.0)), q - 1.0, q);
  V f = floor(q);
  f = select(q - f > 0.5, f + 1.0, f);
  f = select(q == 0.0, copysign(V(0.0), x / y), f);
  return select(y == 0.0, x / y, f);
}
BULSSI_MIXED(floor_divide)

// The next number after x towards y; y if they are equal.
template <class T>
inline Vec<T> nextafter(Vec<T> x, Vec<T> y) {
  using V = Vec<T>;
  using NU = typename V::NU;
  NU i = NU(x.v);
  NU away = i + 1, back = i - 1;  // as integers, floats of one sign are ordered by magnitude
  Mask<T> grow = (x > 0.0) ^ (x > y);
  V r = select(grow, V(typename V::N(away)), V(typename V::N(back)));
  r = select(x == 0.0, copysign(V(typename V::N(NU{} + 1)), y), r);
  return select(isnan(x) | isnan(y), x + y, select(x == y, y, r));
}
BULSSI_MIXED(nextafter)

}  // namespace bulssi::BULSSI_ISA::vecmath
