// The functions of vec.h and vecmath.h for double: plain text, no SIMD. This is the interpretation of formulas that
// tests compare the kernels with, so it takes the C library and simple loops where vecmath.h has fits of its own.
// Accuracy: a few eps (2^-52), times x^2 for the tails of ndtr. Edge values are those of vecmath.h.
#pragma once

#include <cmath>
#include <limits>

#include "special.h"

namespace bulssi::reference {

using special::airy_ai;
using special::chebyshev_t;
using special::chebyshev_u;
using special::chebyshev_v;
using special::chebyshev_w;
using special::cos;
using special::digamma;
using special::fmod;
using special::hermite_h;
using special::hermite_he;
using special::igamma;
using special::igammac;
using special::j0;
using special::j1;
using special::k0;
using special::k0e;
using special::k1;
using special::k1e;
using special::laguerre_l;
using special::legendre_p;
using special::lgamma;
using special::polygamma;
using special::sin;
using special::tan;
using special::tgamma;
using special::y0;
using special::y1;
using special::zeta;

inline constexpr double inf = std::numeric_limits<double>::infinity();
inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double pi = 3.14159265358979323846;

inline double select(bool mask, double a, double b) { return mask ? a : b; }
inline bool isnan(double x) { return x != x; }
inline bool isinf(double x) { return std::isinf(x); }
inline bool isfinite(double x) { return std::isfinite(x); }
inline bool signbit(double x) { return std::signbit(x); }
inline double abs(double x) { return std::fabs(x); }
inline double sqrt(double x) { return std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline double fma(double a, double b, double c) { return std::fma(a, b, c); }
inline double copysign(double a, double sign) { return std::copysign(a, sign); }
inline double floor(double x) { return std::floor(x); }
inline double ceil(double x) { return std::ceil(x); }
inline double trunc(double x) { return std::trunc(x); }
inline double rint(double x) { return std::nearbyint(x); }
inline double max(double a, double b) { return isnan(a) ? a : a > b ? a : b; }
inline double min(double a, double b) { return isnan(a) ? a : a < b ? a : b; }
inline double fmax(double a, double b) { return std::fmax(a, b); }
inline double fmin(double a, double b) { return std::fmin(a, b); }
inline double frexp(double x, double& e) {
  int i = 0;
  double r = std::frexp(x, &i);
  e = std::isfinite(x) ? i : 0;
  return r;
}

inline double exp(double x) { return std::exp(x); }
inline double exp2(double x) { return std::exp2(x); }
inline double expm1(double x) { return std::expm1(x); }
inline double log(double x) { return std::log(x); }
inline double log2(double x) { return std::log2(x); }
inline double log10(double x) { return std::log10(x); }
inline double log1p(double x) { return std::log1p(x); }
inline double sinh(double x) { return std::sinh(x); }
inline double cosh(double x) { return std::cosh(x); }
inline double tanh(double x) { return std::tanh(x); }
inline double asinh(double x) { return std::asinh(x); }
inline double acosh(double x) { return std::acosh(x); }
inline double atanh(double x) { return std::atanh(x); }
inline double asin(double x) { return std::asin(x); }
inline double acos(double x) { return std::acos(x); }
inline double atan(double x) { return std::atan(x); }
inline double atan2(double y, double x) { return std::atan2(y, x); }
inline double pow(double x, double y) { return std::pow(x, y); }
inline double cbrt(double x) { return std::cbrt(x); }
inline double hypot(double x, double y) { return std::hypot(x, y); }
inline double nextafter(double x, double y) { return std::nextafter(x, y); }
inline double erf(double x) { return std::erf(x); }
inline double erfc(double x) { return std::erfc(x); }

inline double sigmoid(double x) {
  double e = std::exp(-std::fabs(x));
  return x < 0 ? e / (1 + e) : 1 / (1 + e);
}
inline double softplus(double x) { return (x > 0 ? x : isnan(x) ? x : 0) + std::log1p(std::exp(-std::fabs(x))); }
inline double log_sigmoid(double x) { return -softplus(-x); }
inline double logaddexp(double x, double y) {
  double m = max(x, y);
  return isinf(m) && x == y ? m : m + std::log1p(std::exp(-std::fabs(x - y)));
}
inline double logaddexp2(double x, double y) {
  double m = max(x, y);
  return isinf(m) && x == y ? m : m + std::log1p(std::exp2(-std::fabs(x - y))) / std::log(2.0);
}
inline double sinc(double x) {
  if (x == 0) return 1;
  double n = std::nearbyint(x), s = std::sin(pi * (x - n));
  return (std::fmod(n, 2) != 0 ? -s : s) / (pi * x);
}
inline double remainder(double x, double y) {
  double r = std::fmod(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
inline double floor_divide(double x, double y) {
  if (y == 0) return x / y;
  double m = std::fmod(x, y), q = (x - m) / y;
  if (m != 0 && (m < 0) != (y < 0)) q -= 1;
  if (q == 0) return std::copysign(0.0, x / y);
  double f = std::floor(q);
  return q - f > 0.5 ? f + 1 : f;
}
inline double gcd(double x, double y) {
  x = std::fabs(x), y = std::fabs(y);
  while (y != 0) {
    double r = std::fmod(x, y);
    x = y, y = r;
  }
  return x;
}
inline double lcm(double x, double y) { return gcd(x, y) == 0 ? 0 : std::fabs(x * y) / gcd(x, y); }
inline double xlogy(double x, double y) { return x == 0 && !isnan(y) ? 0 : x * std::log(y); }
inline double xlog1py(double x, double y) { return x == 0 && !isnan(y) ? 0 : x * std::log1p(y); }
inline double entr(double x) { return x < 0 ? -inf : x == 0 ? 0 : -x * std::log(x); }

// e^(x^2) erfc(x); above 2 by the continued fraction DLMF 7.9.1.
inline double erfcx(double x) {
  if (!(x > 2)) return std::exp(x * x) * std::erfc(x);
  double f = x;
  for (int k = 100; k >= 1; k--) f = x + k / (2 * f);
  return 1 / (f * std::sqrt(pi));
}
inline double ndtr(double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }
inline double log_ndtr(double x) {
  if (x < -1) return std::log(erfcx(-x * std::sqrt(0.5)) / 2) - x * x / 2;
  return std::log1p(-ndtr(-x));
}
// The y with erfc(y) = q, 0 < q <= 1, by Newton's method on log erfc, which is concave: it converges from the left.
inline double erfcinv(double q) {
  double y = 0;
  for (int i = 0; i < 200; i++) {
    double step = std::log(erfcx(y) / q) - y * y;
    double next = y + step * erfcx(y) * std::sqrt(pi) / 2;
    if (std::fabs(next - y) <= 1e-16 * next) return next;
    y = next;
  }
  return y;
}
inline double erfinv(double x) {
  double a = std::fabs(x);
  if (!(a < 1)) return a == 1 ? std::copysign(inf, x) : nan;
  if (a > 0.5) return std::copysign(erfcinv(1 - a), x);
  double y = x;
  for (int i = 0; i < 50; i++) y -= (std::erf(y) - x) * std::exp(y * y) * std::sqrt(pi) / 2;
  return y;
}
inline double ndtri(double p) {
  if (!(p > 0 && p < 1)) return p == 0 ? -inf : p == 1 ? inf : nan;
  if (std::fabs(p - 0.5) < 0.25) return std::sqrt(2.0) * erfinv(2 * p - 1);
  return p < 0.5 ? -std::sqrt(2.0) * erfcinv(2 * p) : std::sqrt(2.0) * erfcinv(2 * (1 - p));
}

namespace detail {
// e^-a I_n(a), n 0 or 1: the power series (DLMF 10.25.2), beyond 40 the asymptotic one (10.40.1).
inline double scaled_bessel_i(int n, double a) {
  double term = 1, sum = 1;
  if (a <= 40) {
    for (int k = 1; term > 1e-18 * sum; k++) sum += term *= a * a / 4 / (double(k) * (k + n));
    return sum * (n ? a / 2 : 1) * std::exp(-a);
  }
  for (int k = 1; k < 40; k++) {
    term *= ((2.0 * k - 1) * (2 * k - 1) - 4 * n * n) / (8 * a * k);
    sum += term;
  }
  return sum / std::sqrt(2 * pi * a);
}
}  // namespace detail
inline double i0e(double x) { return isinf(x) ? 0 : detail::scaled_bessel_i(0, std::fabs(x)); }
inline double i1e(double x) {
  return isinf(x) ? std::copysign(0.0, x) : std::copysign(detail::scaled_bessel_i(1, std::fabs(x)), x);
}
inline double i0(double x) {
  double half = std::exp(std::fabs(x) / 2);
  return isinf(x) ? inf : half * i0e(x) * half;
}
inline double i1(double x) {
  double half = std::exp(std::fabs(x) / 2);
  return isinf(x) ? x : half * i1e(x) * half;
}

}  // namespace bulssi::reference
