// Airy's function and the orthogonal polynomials.
#include <cmath>
#include <complex>
#include <limits>

#include "special.h"

namespace bulssi::special {

namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double largest_degree = 1e6;  // beyond, a recurrence takes too long
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// The sum over both independent solutions at 0 (DLMF 9.4.1).
double airy_series(double x) {
  const double cube = x * x * x;
  double f = 1, g = x, even = f, odd = g;
  for (int k = 1; k < 40 && (std::fabs(even) > 1e-18 || std::fabs(odd) > 1e-18); ++k) {
    f += even *= cube / ((3.0 * k - 1) * (3.0 * k));
    g += odd *= cube / ((3.0 * k) * (3.0 * k + 1));
  }
  return 0.35502805388781723926 * f - 0.25881940379280679841 * g;
}

// The integral from 0 to infinity of exp(-root t^2) cos(t^3 / 3) dt. In u = t sqrt(|root|) the integrand falls as
// exp(-u^2) or, for the roots of negative arguments, exp(-0.87 u^2).
std::complex<double> airy_integral(std::complex<double> root) {
  const double scale = 1 / std::sqrt(std::abs(root)), step = 0.14;
  std::complex<double> sum = 0.5;
  for (int k = 1; k * step < 6.8; ++k) {
    const double t = k * step * scale;
    sum += std::exp(-root * (t * t)) * std::cos(t * t * t / 3);
  }
  return sum * step * scale;
}

// p(n) from p(0) = 1 and p(1), by next(k, p(k), p(k - 1)) = p(k + 1).
template <class Next>
double recurrence(double first, double n, Next next) {
  if (n > largest_degree) return nan;
  double before = 1, last = first;
  for (double k = 1; k < n && std::isfinite(last); ++k) {
    const double following = next(k, last, before);
    before = last;
    last = following;
  }
  return last;
}
bool even(double n) { return std::fmod(n, 2) == 0; }
// 1 or -1: the sign of x to the power of n.
double parity(double x, double n) { return x > 0 || even(n) ? 1 : -1; }

// Beyond [-1, 1] and for small degrees Chebyshev's polynomials come from 2 x p(k) - p(k - 1).
double chebyshev(double x, double n, double first) {
  if (n == 0) return std::isnan(x) ? x : 1;
  return recurrence(first, n, [x](double, double p, double before) { return 2 * x * p - before; });
}
constexpr double small_degree = 8;
constexpr double end_of_degrees = 9223372036854775808.0;  // what is no int64 has no polynomial, as in PyTorch

}  // namespace

double airy_ai(double x) {
  if (std::isnan(x) || x == -std::numeric_limits<double>::infinity()) return nan;
  if (std::fabs(x) < 1) return airy_series(x);
  const double z = std::fabs(x), root = std::sqrt(z), zeta = 2 * z * root / 3;
  if (x > 0) return zeta > 800 ? 0 : std::exp(-zeta) / pi * airy_integral(root).real();
  // Ai(-z) is twice the real part of exp(i pi / 3) Ai(z exp(i pi / 3)).
  const std::complex<double> turned = std::polar(root, pi / 6);
  return 2 / pi * (std::polar(1.0, pi / 3 - zeta) * airy_integral(turned)).real();
}

double chebyshev_t(double x, double n) {
  n = std::trunc(n);
  if (!(n >= 0 && n < end_of_degrees)) return 0;
  if (std::fabs(x) == 1) return parity(x, n);
  if (n > small_degree && std::fabs(x) < 1) return std::cos(n * std::acos(x));
  return chebyshev(x, n, x);
}
double chebyshev_u(double x, double n) {
  n = std::trunc(n);
  if (!(n >= 0 && n < end_of_degrees)) return 0;
  if (std::fabs(x) == 1) return parity(x, n) * (n + 1);
  const double angle = std::acos(x);
  if (n > small_degree && std::fabs(x) < 1) return std::sin((n + 1) * angle) / std::sin(angle);
  return chebyshev(x, n, 2 * x);
}
double chebyshev_v(double x, double n) {
  n = std::trunc(n);
  if (!(n >= 0 && n < end_of_degrees)) return 0;
  if (x == 1) return 1;
  if (x == -1) return parity(x, n) * (2 * n + 1);
  const double angle = std::acos(x);
  if (n > small_degree && std::fabs(x) < 1) return std::cos((n + 0.5) * angle) / std::cos(angle / 2);
  return chebyshev(x, n, 2 * x - 1);
}
double chebyshev_w(double x, double n) {
  n = std::trunc(n);
  if (!(n >= 0 && n < end_of_degrees)) return 0;
  if (x == 1) return 2 * n + 1;
  if (x == -1) return parity(x, n);
  const double angle = std::acos(x);
  if (n > small_degree && std::fabs(x) < 1) return std::sin((n + 0.5) * angle) / std::sin(angle / 2);
  return chebyshev(x, n, 2 * x + 1);
}
double hermite_h(double x, double n) {
  n = std::trunc(n);
  if (!(n >= 0 && n < end_of_degrees)) return 0;
  if (n == 0) return std::isnan(x) ? x : 1;
  return recurrence(2 * x, n, [x](double k, double p, double before) { return 2 * (x * p - k * before); });
}
double hermite_he(double x, double n) {
  n = std::trunc(n);
  if (!(n >= 0 && n < end_of_degrees)) return 0;
  if (n == 0) return std::isnan(x) ? x : 1;
  return recurrence(x, n, [x](double k, double p, double before) { return x * p - k * before; });
}
double laguerre_l(double x, double n) {
  n = std::trunc(n);
  if (!(n >= 0 && n < end_of_degrees)) return 0;
  if (x == 0) return 1;
  if (n == 0) return std::isnan(x) ? x : 1;
  return recurrence(1 - x, n,
                    [x](double k, double p, double before) { return ((2 * k + 1 - x) * p - k * before) / (k + 1); });
}
double legendre_p(double x, double n) {
  n = std::trunc(n);
  if (!(n >= 0 && n < end_of_degrees)) return 0;
  if (std::fabs(x) == 1) return parity(x, n);
  if (n == 0) return std::isnan(x) ? x : 1;
  return recurrence(x, n,
                    [x](double k, double p, double before) { return ((2 * k + 1) * x * p - k * before) / (k + 1); });
}

}  // namespace bulssi::special
