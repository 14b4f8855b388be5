// Special functions.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct Erf {
  static constexpr Info info{.name = "erf",
                             .doc = "Error function: 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.",
                             .aliases = "special.erf"};
  static constexpr auto value(auto x) { return vecmath::erf(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * exp(-x * x) * 1.1283791670955126; }
};
OP(Erf, erf)

struct Erfc {
  static constexpr Info info{
      .name = "erfc", .doc = "1 - erf(self), accurate for large self.", .aliases = "special.erfc"};
  static constexpr auto value(auto x) { return vecmath::erfc(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * exp(-x * x) * -1.1283791670955126; }
};
OP(Erfc, erfc)

struct Erfinv {
  static constexpr Info info{
      .name = "erfinv", .domain = {-0.9, 0.9}, .doc = "Inverse of erf.", .aliases = "special.erfinv"};
  static constexpr auto value(auto x) { return vecmath::erfinv(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * exp(r * r) * 0.88622692545275801; }
};
OP(Erfinv, erfinv)

struct Erfcx {
  static constexpr Info info{
      .name = "erfcx", .doc = "exp(x^2) * erfc(x).", .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::erfcx(x); }
  static constexpr auto dx(auto g, auto x, auto r) { return g * (x * r * 2.0 - 1.1283791670955126); }
};
OP(Erfcx, erfcx)

struct Digamma;
struct Polygamma;
struct Lgamma {
  static constexpr Info info{.name = "lgamma",
                             .domain = {0.1, 4},
                             .doc = "Logarithm of the absolute value of the gamma function.",
                             .aliases = "special.gammaln"};
  static constexpr auto value(auto x) { return vecmath::lgamma(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * Fn<Digamma>{}(x); }
};
OP(Lgamma, lgamma)

struct Digamma {
  static constexpr Info info{
      .name = "digamma", .domain = {0.1, 4}, .doc = "Derivative of lgamma.", .aliases = "special.digamma special.psi"};
  static constexpr auto value(auto x) { return vecmath::digamma(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * Fn<Polygamma>{}(x, 1.0); }
};
OP(Digamma, digamma)

struct Polygamma {
  static constexpr Info info{.name = "polygamma_",
                             .domain = {0.1, 4},
                             .doc = "Derivative n of digamma.",
                             .signature = "(Tensor self, Scalar n)",
                             .node = "PolygammaBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x, auto n) { return vecmath::polygamma(n, x); }
  static constexpr auto dx(auto g, auto x, auto, auto n) { return g * Fn<Polygamma>{}(x, n + 1.0); }
};
OP(Polygamma, polygamma_)

struct Zeta {
  static constexpr Info info{.name = "zeta",
                             .domain = {1.1, 4},
                             .doc = "Hurwitz zeta function.",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return vecmath::zeta(x, y); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return g * (-x * Fn<Zeta>{}(x + 1.0, y)); }
};
OP(Zeta, zeta)

struct Igamma {
  static constexpr Info info{.name = "igamma",
                             .dtypes = only_floating,
                             .domain = {0.5, 4},
                             .doc = "Regularised lower incomplete gamma function.",
                             .aliases = "special.gammainc"};
  static constexpr auto value(auto x, auto y) { return vecmath::igamma(x, y); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return g * exp((x - 1.0) * log(y) - y - lgamma(x)); }
};
OP(Igamma, igamma)

struct Igammac {
  static constexpr Info info{.name = "igammac",
                             .dtypes = only_floating,
                             .domain = {0.5, 4},
                             .doc = "Regularised upper incomplete gamma function.",
                             .aliases = "special.gammaincc"};
  static constexpr auto value(auto x, auto y) { return vecmath::igammac(x, y); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return -g * exp((x - 1.0) * log(y) - y - lgamma(x)); }
};
OP(Igammac, igammac)

struct I1;
struct I1e;
struct I0 {
  static constexpr Info info{
      .name = "i0", .doc = "Modified Bessel function of the first kind, order 0.", .aliases = "special.i0"};
  static constexpr auto value(auto x) { return select(abs(x) == __builtin_inf(), __builtin_nan(""), vecmath::i0(x)); }
  static constexpr auto dx(auto g, auto x, auto) { return g * Fn<I1>{}(x); }
};
OP(I0, i0)

struct I0e {
  static constexpr Info info{
      .name = "i0e", .doc = "exp(-|x|) * i0(x).", .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::i0e(x); }
  static constexpr auto dx(auto g, auto x, auto r) { return g * (Fn<I1e>{}(x)-sgn(x) * r); }
};
OP(I0e, i0e)

struct I1 {
  static constexpr Info info{.name = "i1",
                             .doc = "Modified Bessel function of the first kind, order 1.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return select(abs(x) == __builtin_inf(), __builtin_nan(""), vecmath::i1(x)); }
  static constexpr auto dx(auto g, auto x, auto r) {
    return g * select(x == 0.0, 0.5, i0(x) - r / select(x == 0.0, 1.0, x));
  }
};
OP(I1, i1)

struct I1e {
  static constexpr Info info{
      .name = "i1e", .doc = "exp(-|x|) * i1(x).", .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::i1e(x); }
  static constexpr auto dx(auto g, auto x, auto r) {
    return g * select(x == 0.0, 0.5, i0e(x) - r * (sgn(x) + 1.0 / select(x == 0.0, 1.0, x)));
  }
};
OP(I1e, i1e)

struct BesselJ0 {
  static constexpr Info info{.name = "bessel_j0",
                             .doc = "Bessel function of the first kind, order 0.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::j0(x); }
};
OP(BesselJ0, bessel_j0)

struct BesselJ1 {
  static constexpr Info info{.name = "bessel_j1",
                             .doc = "Bessel function of the first kind, order 1.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::j1(x); }
};
OP(BesselJ1, bessel_j1)

struct BesselY0 {
  static constexpr Info info{.name = "bessel_y0",
                             .domain = {0.1, 4},
                             .doc = "Bessel function of the second kind, order 0.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::y0(x); }
};
OP(BesselY0, bessel_y0)

struct BesselY1 {
  static constexpr Info info{.name = "bessel_y1",
                             .domain = {0.1, 4},
                             .doc = "Bessel function of the second kind, order 1.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::y1(x); }
};
OP(BesselY1, bessel_y1)

struct ModifiedI0 {
  static constexpr Info info{.name = "modified_bessel_i0",
                             .doc = "Modified Bessel function of the first kind, order 0.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::i0(x); }
};
OP(ModifiedI0, modified_bessel_i0)

struct ModifiedI1 {
  static constexpr Info info{.name = "modified_bessel_i1",
                             .doc = "Modified Bessel function of the first kind, order 1.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::i1(x); }
};
OP(ModifiedI1, modified_bessel_i1)

struct ModifiedK0 {
  static constexpr Info info{.name = "modified_bessel_k0",
                             .domain = {0.1, 4},
                             .doc = "Modified Bessel function of the second kind, order 0.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::k0(x); }
};
OP(ModifiedK0, modified_bessel_k0)

struct ModifiedK1 {
  static constexpr Info info{.name = "modified_bessel_k1",
                             .domain = {0.1, 4},
                             .doc = "Modified Bessel function of the second kind, order 1.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::k1(x); }
};
OP(ModifiedK1, modified_bessel_k1)

struct ScaledK0 {
  static constexpr Info info{.name = "scaled_modified_bessel_k0",
                             .domain = {0.1, 4},
                             .doc = "exp(x) * modified_bessel_k0(x).",
                             .signature = "(Tensor x)",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::k0e(x); }
};
OP(ScaledK0, scaled_modified_bessel_k0)

struct ScaledK1 {
  static constexpr Info info{.name = "scaled_modified_bessel_k1",
                             .domain = {0.1, 4},
                             .doc = "exp(x) * modified_bessel_k1(x).",
                             .signature = "(Tensor x)",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::k1e(x); }
};
OP(ScaledK1, scaled_modified_bessel_k1)

struct AiryAi {
  static constexpr Info info{.name = "airy_ai",
                             .doc = "Airy function Ai.",
                             .signature = "(Tensor x)",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::airy_ai(x); }
};
OP(AiryAi, airy_ai)

struct SphericalJ0 {
  static constexpr Info info{.name = "spherical_bessel_j0",
                             .doc = "Spherical Bessel function of the first kind, order 0: sin(x) / x.",
                             .signature = "(Tensor x)",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) {
    return select(vecmath::isinf(x), 0.0, select(x == 0.0, 1.0, vecmath::sin(x) / select(x == 0.0, 1.0, x)));
  }
};
OP(SphericalJ0, spherical_bessel_j0)

// Orthogonal polynomials: degrees are rounded towards zero; the value is 0 for negative ones.
struct ChebyshevT {
  static constexpr Info info{.name = "chebyshev_polynomial_t",
                             .domain = {0.1, 4},
                             .doc = "Chebyshev polynomial of the first kind of degree n at x.",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::chebyshev_t(x, n); }
};
OP(ChebyshevT, chebyshev_polynomial_t)

struct ChebyshevU {
  static constexpr Info info{.name = "chebyshev_polynomial_u",
                             .domain = {0.1, 4},
                             .doc = "Chebyshev polynomial of the second kind of degree n at x.",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::chebyshev_u(x, n); }
};
OP(ChebyshevU, chebyshev_polynomial_u)

struct ChebyshevV {
  static constexpr Info info{.name = "chebyshev_polynomial_v",
                             .domain = {0.1, 4},
                             .doc = "Chebyshev polynomial of the third kind of degree n at x.",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::chebyshev_v(x, n); }
};
OP(ChebyshevV, chebyshev_polynomial_v)

struct ChebyshevW {
  static constexpr Info info{.name = "chebyshev_polynomial_w",
                             .domain = {0.1, 4},
                             .doc = "Chebyshev polynomial of the fourth kind of degree n at x.",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::chebyshev_w(x, n); }
};
OP(ChebyshevW, chebyshev_polynomial_w)

struct ShiftedChebyshevT {
  static constexpr Info info{.name = "shifted_chebyshev_polynomial_t",
                             .domain = {0.1, 4},
                             .doc = "chebyshev_polynomial_t at 2 x - 1: orthogonal on [0, 1].",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::chebyshev_t(x * 2.0 - 1.0, n); }
};
OP(ShiftedChebyshevT, shifted_chebyshev_polynomial_t)

struct ShiftedChebyshevU {
  static constexpr Info info{.name = "shifted_chebyshev_polynomial_u",
                             .domain = {0.1, 4},
                             .doc = "chebyshev_polynomial_u at 2 x - 1: orthogonal on [0, 1].",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::chebyshev_u(x * 2.0 - 1.0, n); }
};
OP(ShiftedChebyshevU, shifted_chebyshev_polynomial_u)

struct ShiftedChebyshevV {
  static constexpr Info info{.name = "shifted_chebyshev_polynomial_v",
                             .domain = {0.1, 4},
                             .doc = "chebyshev_polynomial_v at 2 x - 1: orthogonal on [0, 1].",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::chebyshev_v(x * 2.0 - 1.0, n); }
};
OP(ShiftedChebyshevV, shifted_chebyshev_polynomial_v)

struct ShiftedChebyshevW {
  static constexpr Info info{.name = "shifted_chebyshev_polynomial_w",
                             .domain = {0.1, 4},
                             .doc = "chebyshev_polynomial_w at 2 x - 1: orthogonal on [0, 1].",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::chebyshev_w(x * 2.0 - 1.0, n); }
};
OP(ShiftedChebyshevW, shifted_chebyshev_polynomial_w)

struct HermiteH {
  static constexpr Info info{.name = "hermite_polynomial_h",
                             .domain = {0.1, 4},
                             .doc = "Hermite polynomial (the physicists') of degree n at x.",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::hermite_h(x, n); }
};
OP(HermiteH, hermite_polynomial_h)

struct HermiteHe {
  static constexpr Info info{.name = "hermite_polynomial_he",
                             .domain = {0.1, 4},
                             .doc = "Hermite polynomial (the probabilists') of degree n at x.",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::hermite_he(x, n); }
};
OP(HermiteHe, hermite_polynomial_he)

struct LaguerreL {
  static constexpr Info info{.name = "laguerre_polynomial_l",
                             .domain = {0.1, 4},
                             .doc = "Laguerre polynomial of degree n at x.",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::laguerre_l(x, n); }
};
OP(LaguerreL, laguerre_polynomial_l)

struct LegendreP {
  static constexpr Info info{.name = "legendre_polynomial_p",
                             .domain = {0.1, 4},
                             .doc = "Legendre polynomial of degree n at x.",
                             .signature = "(Tensor x, Tensor n)",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto n) { return vecmath::legendre_p(x, n); }
};
OP(LegendreP, legendre_polynomial_p)

struct Entr {
  static constexpr Info info{.name = "entr",
                             .domain = {0.1, 4},
                             .doc = "-x * log(x).",
                             .node = "SpecialEntrBackward0",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::entr(x); }
  static constexpr auto dx(auto g, auto x, auto) {
    return g * select(x > 0.0, -1.0 - log(x), select(x == 0.0, __builtin_inf(), __builtin_nan("")));
  }
};
OP(Entr, entr)

struct Ndtr {
  static constexpr Info info{.name = "ndtr",
                             .doc = "Standard normal distribution function.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::ndtr(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * exp(x * x * -0.5) * 0.3989422804014327; }
};
OP(Ndtr, ndtr)

struct Ndtri {
  static constexpr Info info{.name = "ndtri",
                             .domain = {0.05, 0.95},
                             .doc = "Inverse of ndtr.",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::ndtri(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * exp(r * r * 0.5) * 2.5066282746310005; }
};
OP(Ndtri, ndtri)

struct LogNdtr {
  static constexpr Info info{.name = "log_ndtr",
                             .doc = "Logarithm of ndtr.",
                             .node = "SpecialLogNdtrBackward0",
                             .forms = {.method = false, .inplace = false, .module = "special"}};
  static constexpr auto value(auto x) { return vecmath::log_ndtr(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * 0.79788456080286536 / erfcx(x * -0.70710678118654752); }
};
OP(LogNdtr, log_ndtr)

struct Sinc {
  static constexpr Info info{.name = "sinc", .doc = "sin(pi x) / (pi x).", .aliases = "special.sinc"};
  // The rounding of pi x is PyTorch's: zeros are not exact.
  static constexpr auto value(auto x) {
    const auto z = x * 3.14159265358979324;
    return select(x == 0.0, 1.0, sin(z) / z);
  }
  // Near 0 the difference loses all digits; there the Taylor series of the derivative of sin(z) / z.
  static constexpr auto dx(auto g, auto x, auto) {
    const auto z = x * 3.14159265358979324, t = z * z;
    const auto series =
        (((((t / 518918400.0 - 1 / 3991680.0) * t + 1 / 45360.0) * t - 1 / 840.0) * t + 1 / 30.0) * t - 1 / 3.0) * z;
    return g * select(t < 0.1, series * 3.14159265358979324,
                      (cos(z) - sin(z) / select(t < 0.1, 1.0, z)) / select(t < 0.1, 1.0, x));
  }
};
OP(Sinc, sinc)

struct Xlog1py {
  static constexpr Info info{.name = "xlog1py",
                             .domain = {0.1, 4},
                             .doc = "self * log1p(other), 0 where self is 0.",
                             .forms = {.method = false, .inplace = false, .module = "special"},
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return vecmath::xlog1py(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return g * select((x == 0.0) & (y <= -1.0), 0.0, log1p(y)); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return g * (x / (y + 1.0)); }
};
OP(Xlog1py, xlog1py)

struct Logit {
  static constexpr Info info{.name = "logit_",
                             .domain = {0.1, 0.9},
                             .doc = "log(x / (1 - x)).",
                             .node = "LogitBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) { return vecmath::log(x / (1.0 - x)); }
  static constexpr auto dx(auto g, auto x, auto) {
    return select((x < 0.0) | (x > 1.0), __builtin_nan(""), g / (x * (1.0 - x)));
  }
};
OP(Logit, logit_)

struct LogitEps {
  static constexpr Info info{.name = "logit_eps",
                             .domain = {0.1, 0.9},
                             .doc = "logit of self moved into [eps, 1 - eps].",
                             .signature = "(Tensor self, Scalar eps)",
                             .node = "LogitBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x, auto eps) {
    return vecmath::log(vecmath::fmin(vecmath::fmax(x, eps), 1.0 - eps) /
                        (1.0 - vecmath::fmin(vecmath::fmax(x, eps), 1.0 - eps)));
  }
  static constexpr auto dx(auto g, auto x, auto, auto eps) {
    return select((x < eps) | (x > 1.0 - eps), 0.0, g / (x * (1.0 - x)));
  }
};
OP(LogitEps, logit_eps)

}  // namespace bulssi
