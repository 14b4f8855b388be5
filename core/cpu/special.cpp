#include "special.h"

#include <math.h>  // lgamma_r, j0 and friends are POSIX's, not std's

#include <cmath>
#include <limits>

namespace bulssi::special {

namespace {
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double pi = 3.14159265358979323846;
constexpr double euler = 0.57721566490153286061;

// The first coefficient belongs to the highest power.
template <int n>
double poly(double x, const double (&c)[n]) {
  double r = c[0];
  for (int i = 1; i < n; i++) r = r * x + c[i];
  return r;
}
}  // namespace

double sin(double x) { return std::sin(x); }
double cos(double x) { return std::cos(x); }
double tan(double x) { return std::tan(x); }
double fmod(double x, double y) { return std::fmod(x, y); }
double tgamma(double x) { return std::tgamma(x); }

double lgamma(double x) {
  int sign;  // std::lgamma would write a global variable
  return ::lgamma_r(x, &sign);
}

double j0(double x) { return ::j0(x); }
double j1(double x) { return ::j1(x); }
double y0(double x) { return x > 0 ? ::y0(x) : x == 0 ? -inf : nan; }
double y1(double x) { return x > 0 ? ::y1(x) : x == 0 ? -inf : nan; }

namespace {
// K0 and K1 for 0 < x <= 1 by their series about 0.
double k0_series(double x) {
  double z = x * x / 4, term = 1, harmonic = 0, i0 = 1, sum = 0;
  for (int k = 1; term > 1e-19; k++) {
    term *= z / (double(k) * k);
    harmonic += 1.0 / k;
    i0 += term;
    sum += term * harmonic;
  }
  return sum - (std::log(x / 2) + euler) * i0;
}
double k1_series(double x) {
  double z = x * x / 4, term = 1, psi = 1 - 2 * euler, i1 = 1, sum = psi;  // psi(k + 1) + psi(k + 2)
  for (int k = 1; term > 1e-19; k++) {
    term *= z / (double(k) * (k + 1));
    psi += 1.0 / k + 1.0 / (k + 1);
    i1 += term;
    sum += term * psi;
  }
  return 1 / x + x / 2 * (std::log(x / 2) * i1 - sum / 2);
}
// e^x sqrt(x) K(x) in t = 2 / x - 1, x >= 1; minimax.
constexpr double k0_large[] = {
    -2.9022873391293117e-08, 2.733379930800992e-08,  1.9347869972657081e-07,  -1.6833356044797582e-07,
    -6.0248876554180606e-07, 4.8679220787861292e-07, 1.1334113189638928e-06,  -8.4515458779349939e-07,
    -1.4401853005103558e-06, 9.9178637731864067e-07, 1.279639975323847e-06,   -7.9698079728481309e-07,
    -8.5214552942138835e-07, 5.051034995804229e-07,  3.4497409693599309e-07,  -1.1673193248744526e-07,
    -2.8443265831959651e-07, 3.2310038215793891e-07, -4.3773738971586842e-07, 8.5976696926347758e-07,
    -1.6679436143207057e-06, 3.2679484964509246e-06, -6.6586738646543765e-06, 1.4181408020335375e-05,
    -3.1814830857367245e-05, 7.6082670738279975e-05, -0.00019727981948571227, 0.00056923988800507478,
    -0.0019084014862970613,  0.0080673865483773324,  -0.052279011491757552,   1.1901571834152027};
constexpr double k1_large[] = {
    3.4159143630920634e-08, -2.9305904621235308e-08, -2.3040992576779649e-07, 1.7967508840305308e-07,
    7.2515778702989797e-07, -5.1769108303581889e-07, -1.3786762940986522e-06, 8.9514202325308284e-07,
    1.7695265539343371e-06, -1.0468022852279224e-06, -1.5893226411701397e-06, 8.3634122008047614e-07,
    1.0668937916045218e-06, -5.3171237590600807e-07, -4.4237293614355522e-07, 1.1058908714851383e-07,
    3.4889526410022309e-07, -3.7374213482524601e-07, 5.1970363847801472e-07,  -1.0392517559529592e-06,
    2.0336534020127528e-06, -4.0331107110812796e-06, 8.3420365595519225e-06,  -1.8092592729117574e-05,
    4.1523200019395871e-05, -0.0001022719651624886,  0.00027603883813623906,  -0.00084439274103316996,
    0.0031120066456618786,  -0.015852854565988624,   0.18797890654571833,     1.4615569735231244};
}  // namespace

double k0(double x) {
  if (!(x > 0)) return x == 0 ? inf : nan;
  return x <= 1 ? k0_series(x) : std::exp(-x) * (poly(2 / x - 1, k0_large) / std::sqrt(x));
}
double k1(double x) {
  if (!(x > 0)) return x == 0 ? inf : nan;
  return x <= 1 ? k1_series(x) : std::exp(-x) * (poly(2 / x - 1, k1_large) / std::sqrt(x));
}
double k0e(double x) {
  if (!(x > 0)) return x == 0 ? inf : nan;
  return x <= 1 ? std::exp(x) * k0_series(x) : poly(2 / x - 1, k0_large) / std::sqrt(x);
}
double k1e(double x) {
  if (!(x > 0)) return x == 0 ? inf : nan;
  return x <= 1 ? std::exp(x) * k1_series(x) : poly(2 / x - 1, k1_large) / std::sqrt(x);
}

double digamma(double x) {
  if (x == 0) return std::copysign(inf, -x);
  double r = 0;
  if (x < 0) {  // psi(x) = psi(1 - x) - pi / tan(pi x)
    double f = x - std::nearbyint(x);
    if (f == 0) return nan;
    r = -pi / std::tan(pi * f);
    x = 1 - x;
  }
  for (; x < 10; x += 1) r -= 1 / x;
  double z = 1 / (x * x);
  if (x > 1e17) return r + std::log(x);
  constexpr double c[] = {1.0 / 12, -691.0 / 32760, 1.0 / 132, -1.0 / 240, 1.0 / 252, -1.0 / 120, 1.0 / 12};
  return r + (std::log(x) - 0.5 / x - z * poly(z, c));
}

namespace {
// zeta(x, q) for q > 0, x > 1
double zeta_positive(double x, double q) {
  double sum = 0, a = q;
  for (int k = 0; k < 12 && a < 1e8; k++, a += 1) {
    double term = std::pow(a, -x);
    sum += term;
    if (term < 1e-18 * sum) return sum;
  }
  double p = std::pow(a, -x);
  sum += p * a / (x - 1) + p / 2;
  // B_2k / (2k)!
  constexpr double b[] = {1.0 / 12,
                          -1.0 / 720,
                          1.0 / 30240,
                          -1.0 / 1209600,
                          1.0 / 47900160,
                          -691.0 / 1307674368000,
                          1.0 / 74724249600,
                          -3617.0 / 10670622842880000,
                          43867.0 / 5109094217170944000,
                          -174611.0 / 802857662698291200000.0,
                          77683.0 / 14101100039391805440000.0,
                          -236364091.0 / 1693824136731743669452800000.0};
  double factor = x * p / a;
  for (int k = 0; k < 12; k++) {
    double term = b[k] * factor;
    sum += term;
    if (std::fabs(term) < 1e-17 * std::fabs(sum)) break;
    factor *= (x + 2 * k + 1) / a * ((x + 2 * k + 2) / a);
  }
  return sum;
}
}  // namespace

double zeta(double x, double q) {
  if (std::isnan(x) || std::isnan(q)) return nan;
  if (x == 1) return inf;
  if (x < 1) return nan;
  if (q <= 0) {
    if (q == std::floor(q)) return inf;
    if (x != std::floor(x)) return nan;
    // The n terms with a negative base are those of two other zetas, whatever n is.
    double n = std::ceil(-q), g = -q - (n - 1);
    bool odd = std::fmod(x, 2) != 0;
    double negative = zeta_positive(x, g) - zeta_positive(x, g + n);
    return (odd ? -negative : negative) + zeta_positive(x, 1 - g);
  }
  if (std::isinf(q)) return 0;
  return zeta_positive(x, q);
}

double polygamma(double n, double x) {
  if (!(n >= 0) || n != std::floor(n)) return nan;
  if (n == 0) return digamma(x);
  double z = zeta(n + 1, x);
  double r = n < 170 ? std::tgamma(n + 1) * z : std::exp(lgamma(n + 1) + std::log(std::fabs(z)));
  if (n >= 170 && z < 0) r = -r;
  return std::fmod(n, 2) == 0 ? -r : r;
}

namespace {
// log(1 + u) - u without cancellation, |u| <= 1/2
double log1pmx(double u) {
  double s = u / (2 + u), z = s * s, power = z, sum = 0;
  for (int k = 3; power > 1e-19; k += 2, power *= z) sum += power / k;
  return 2 * s * sum - u * s;
}
// log Gamma(1 + a), accurate for small a: -log(1 + a) + (1 - euler) a + sum over k >= 2 of (-1)^k (zeta(k) - 1) a^k / k
double lgamma1p(double a) {
  if (std::fabs(a) > 0.25) return lgamma(1 + a);
  constexpr double c[] = {-1.0043224823968099e-07, 2.1207184805554665e-07,  -4.4924691987645662e-07,
                          9.5514121304074194e-07,  -2.0392157538013662e-06, 4.3748667899074882e-06,
                          -9.4394882752683967e-06, 2.0507212775670691e-05,  -4.4926236738133142e-05,
                          9.9457512781808531e-05,  -0.00022315475845357939, 0.00050966952474304245,
                          -0.001192753911703261,   0.0028905103307415234,   -0.0073855510286739857,
                          0.020580808427784546,    -0.067352301053198102,   0.3224670334241132};
  return a * (1 - euler + a * poly(a, c)) - std::log1p(a);
}
// x^a e^-x / Gamma(a + 1)
double gamma_prefix(double a, double x) {
  if (a < 20) {
    double power = std::pow(x, a);
    if (std::isfinite(power) && power > 0 && x < 700) return power * std::exp(-x) / std::tgamma(a + 1);
    return std::exp(a * std::log(x) - x - lgamma1p(a));
  }
  constexpr double c[] = {1.0 / 1188, -1.0 / 1680, 1.0 / 1260, -1.0 / 360, 1.0 / 12};
  double stirling = poly(1 / (a * a), c) / a;
  double u = (x - a) / a, l = std::fabs(u) < 0.5 ? log1pmx(u) : std::log(x / a) - u;
  return std::exp(a * l - stirling) / std::sqrt(2 * pi * a);
}
double lower_series(double a, double x) {
  double term = 1, sum = 1;
  for (double k = a + 1; term > 1e-17 * sum; k += 1) sum += term *= x / k;
  return gamma_prefix(a, x) * sum;
}
// Legendre's continued fraction by Lentz's method
double upper_fraction(double a, double x) {
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (double k = 1; k < 1e6; k += 1) {
    double an = -k * (k - a);
    b += 2;
    d = an * d + b;
    if (std::fabs(d) < 1e-300) d = 1e-300;
    c = b + an / c;
    if (std::fabs(c) < 1e-300) c = 1e-300;
    d = 1 / d;
    double step = c * d;
    h *= step;
    if (std::fabs(step - 1) < 1e-16) break;
  }
  return gamma_prefix(a, x) * a * h;
}
// Q for x near 0, where 1 - P would cancel
double upper_small(double a, double x) {
  double term = 1, sum = 0;
  for (double k = 1; k < 100; k += 1) {
    term *= -x / k;
    sum += term / (a + k);
    if (std::fabs(term) < 1e-18 * std::fabs(sum)) break;
  }
  double l = a * std::log(x) - lgamma1p(a);
  return -std::expm1(l) - std::exp(l) * a * sum;
}
// Q by Temme's expansion, a > 1e6: the term c1 / a would be about 1e-9 of the correction
double upper_uniform(double a, double x) {
  double u = (x - a) / a, eta = std::copysign(std::sqrt(-2 * log1pmx(u)), u);
  constexpr double c[] = {8.2967113409530860e-7,
                          -1.8540622107151600e-6,
                          -2.1854485106799922e-6,
                          3.9192631785224378e-5,
                          -1.7875514403292181e-4,
                          3.5273368606701940e-4,
                          1.1574074074074074e-3,
                          -1.4814814814814815e-2,
                          1.0 / 12,
                          -1.0 / 3};
  double c0 = std::fabs(eta) < 0.1 ? poly(eta, c) : 1 / u - 1 / eta;
  double half = a * eta * eta / 2;
  return 0.5 * std::erfc(eta * std::sqrt(a / 2)) + std::exp(-half) / std::sqrt(2 * pi * a) * c0;
}
bool near_diagonal(double a, double x) { return a > 1e6 && std::fabs(x - a) < 0.3 * a; }
}  // namespace

double igamma(double a, double x) {
  if (!(a >= 0) || !(x >= 0)) return nan;
  if (a == 0) return x > 0 ? 1 : nan;
  if (x == 0) return 0;
  if (std::isinf(a)) return std::isinf(x) ? nan : 0;
  if (std::isinf(x)) return 1;
  if (near_diagonal(a, x)) return 1 - upper_uniform(a, x);
  return x > 1 && x > a ? 1 - igammac(a, x) : lower_series(a, x);
}

double igammac(double a, double x) {
  if (!(a >= 0) || !(x >= 0)) return nan;
  if (a == 0) return x > 0 ? 0 : nan;
  if (x == 0) return 1;
  if (std::isinf(a)) return std::isinf(x) ? nan : 1;
  if (std::isinf(x)) return 0;
  if (near_diagonal(a, x)) return upper_uniform(a, x);
  if (x > 1.1) return x < a ? 1 - lower_series(a, x) : upper_fraction(a, x);
  bool mostly_lower = x <= 0.5 ? -0.4 / std::log(x) < a : x * 1.1 < a;
  return mostly_lower ? 1 - lower_series(a, x) : upper_small(a, x);
}

}  // namespace bulssi::special
