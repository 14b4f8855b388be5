#include "core/cpu/sample_gradients.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <numbers>

#include "core/cpu/special.h"

// Both densities are log-concave once x (or its odds) is replaced by its logarithm, y. The derivative of F is an
// integral over the tail on the side of x where the density falls, of e^(h(y) - h(y0)) (d log density / da).
// Where a series in x with positive terms is short it is summed; elsewhere (large parameters) the tail is integrated by
// Gauss-Legendre rules on pieces chosen so that the integrand is smooth on each.
namespace bulssi::special {
namespace {

constexpr double far = 45;  // tails end where the density has fallen by e^-far
constexpr int most_terms = 2000;
constexpr double enough = 1e-17;

struct Rule {
  static constexpr int size = 20;
  std::array<double, size> node, weight;  // on [0, 1]
};

Rule gauss_legendre() {
  Rule rule{};
  constexpr int n = Rule::size;
  for (int i = 0; i < n; ++i) {
    double x = std::cos(std::numbers::pi * (i + 0.75) / (n + 0.5)), slope = 1;
    for (int step = 0; step < 20; ++step) {  // Newton on the Legendre polynomial of degree n
      double p = 1, before = 0;
      for (int k = 1; k <= n; ++k) {
        const double next = ((2 * k - 1) * x * p - (k - 1) * before) / k;
        before = p;
        p = next;
      }
      slope = n * (x * p - before) / (x * x - 1);
      x -= p / slope;
    }
    rule.node[i] = (1 - x) / 2;
    rule.weight[i] = 1 / ((1 - x * x) * slope * slope);
  }
  return rule;
}

// The integral of f over [breaks[0], end], piece by piece between increasing breaks.
template <class F>
double integral(F f, std::initializer_list<double> breaks, double end) {
  static const Rule rule = gauss_legendre();
  double sum = 0, from = 0;
  for (const double b : breaks) {
    const double to = std::min(b, end), width = to - from;
    if (!(width > 0)) continue;
    for (int i = 0; i < Rule::size; ++i) sum += width * rule.weight[i] * f(from + width * rule.node[i]);
    from = to;
  }
  return sum;
}

// Where fall, convex and increasing, reaches `far`: Newton's method from a point beyond, which it never undershoots.
template <class Fall, class Slope>
double end_of_tail(double from, Fall fall, Slope slope) {
  for (int step = 0; step < 60; ++step) {
    const double change = (fall(from) - far) / slope(from);
    from -= change;
    if (!(change > 0.05 * from)) break;
  }
  return from;
}

// The sum over n of t_n (c + d_n), where t_n = first * ratio(0) … ratio(n - 1) > 0; next(n) returns {ratio, change of
// d}.
struct Term {
  double ratio, change;
};
template <class Next>
double series(double first, double c, Next next) {
  double sum = 0, size = 0, t = first;
  for (int n = 0; n < most_terms; ++n) {
    sum += t * c;
    size += t * std::abs(c);
    const Term step = next(n);
    t *= step.ratio;
    c += step.change;
    if (step.ratio < 0.9 && t * std::abs(c) < enough * size) break;
  }
  return sum;
}

double gamma_tail(double a, double x, double c) {
  if (x <= a) {  // t = x e^-v
    const double k = far / a;
    const auto fall = [=](double v) { return a * v + x * std::expm1(-v); };
    const double end =
        end_of_tail(k / 2 + std::sqrt(k * k / 4 + 2 * k), fall, [=](double v) { return a - x * std::exp(-v); });
    return x * integral([=](double v) { return std::exp(-fall(v)) * (v - c); }, {8, end}, end);
  }
  const double l = std::log1p(far / x);  // t = x e^v
  const double beyond = x < far ? l + std::log1p(l) : std::sqrt(2 * far / x);
  const auto fall = [=](double v) { return x * std::expm1(v) - a * v; };
  const double end = end_of_tail(beyond, fall, [=](double v) { return x * std::exp(v) - a; });
  return x * integral([=](double v) { return std::exp(-fall(v)) * (v + c); }, {end - 6, end}, end);
}

// The tail of odds z / (1 - z) times e^-v, of the density t^p (1 - t)^q; score(v, log1p(z expm1(-v))) is integrated.
template <class Score>
double beta_tail(double p, double q, double z, Score score) {
  const auto fall = [=](double v) { return p * v + (p + q) * std::log1p(z * std::expm1(-v)); };
  const auto slope = [=](double v) {
    const double left = z * std::exp(-v);
    return p - (p + q) * left / (1 - z + left);
  };
  const double bend = -std::log1p(-z);  // beyond, t is proportional to e^-v
  const double end = end_of_tail((far + (p + q) * bend) / p, fall, slope);
  return integral([=](double v) { return std::exp(-fall(v)) * score(v, std::log1p(z * std::expm1(-v))); },
                  {bend - 6, bend + 2, bend + 10, end}, end);
}

}  // namespace

double gamma_sample_gradient(double a, double x) {
  if (!(a > 0) || !(x >= 0) || std::isinf(a) || std::isinf(x)) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0) return 0;
  const double c = std::log(x) - digamma(a);
  if (a > 100 || x > a + 6 * std::sqrt(a) + 4) return gamma_tail(a, x, c);
  // P(a, x) = x^a e^-x / Gamma(a) times the sum of x^n / (a (a + 1) … (a + n)) (DLMF 8.11.4)
  return x * series(1 / a, 1 / a - c, [=](int n) {
           const double r = 1 / (a + n + 1);
           return Term{x * r, r};
         });
}

double beta_sample_gradient(double x, double a, double b) {
  if (!(a > 0) || !(b > 0) || !(x >= 0) || !(x <= 1) || std::isinf(a + b))
    return std::numeric_limits<double>::quiet_NaN();
  if (x == 0) return 0;
  const double total = a + b, lx = std::log(x), c = lx - digamma(a) + digamma(total);
  const bool lower = x <= a / total;
  const double z = lower ? x : 1 - x, p = lower ? a : b;
  if (total > 200 || z > 0.75) {
    const auto score = [=](double v, double l) { return lower ? v + l - c : c - l; };
    return x * beta_tail(p, total - p, z, score);
  }
  // I_z(p, q) = z^p (1 - z)^q / B(p, q) times the sum of (p + q)_n / (p)_(n + 1) z^n (DLMF 8.17.7, 8.17.8)
  const double d = c - (lower ? 1 / a : 0);
  return (lower ? -x : x) * series(1 / p, d, [=](int n) {
           const double r = 1 / (p + n + 1);
           return Term{z * (total + n) * r, 1 / (total + n) - (lower ? r : 0)};
         });
}

}  // namespace bulssi::special
