// Functions too rare or too irregular for SIMD code, as plain functions of doubles, compiled once for every ISA
// (special.cpp). vecmath.h calls them lane by lane; reference_math.h offers them as the reference.
// Bounds are relative errors in units of 2^-52 ("eps"), away from zeros of the function.
#pragma once

namespace bulssi::special {

// The C library's, exact in their argument reduction for every magnitude.
double sin(double x);
double cos(double x);
double tan(double x);
double fmod(double x, double y);

// log |Gamma(x)|; infinite at 0 and the negative integers. The C library's.
double lgamma(double x);
// Gamma(x). The C library's.
double tgamma(double x);

// Bessel functions of the first and second kind, orders 0 and 1 (the C library's). y of a negative number is NaN,
// y(0) is -infinity. 8 eps.
double j0(double x);
double j1(double x);
double y0(double x);
double y1(double x);

// Modified Bessel functions of the second kind, orders 0 and 1, and the same times e^x. 4 eps. NaN below zero.
// Power series below 1 (DLMF 10.31.1-2), a polynomial in 2 / x - 1 for e^x sqrt(x) K(x) above.
double k0(double x);
double k1(double x);
double k0e(double x);
double k1e(double x);

// Hurwitz zeta: the sum over k >= 0 of (q + k)^-x, x > 1. 10 eps. Infinite at x = 1 and at the poles q = 0, -1, …; NaN
// for x < 1, and for negative q unless x is an integer. Euler-Maclaurin summation (DLMF 25.11.5).
double zeta(double x, double q);
// The n-th derivative of digamma, n a non-negative integer (NaN otherwise): (-1)^(n+1) n! zeta(n + 1, x). 20 eps.
double polygamma(double n, double x);
// d/dx log Gamma(x). 8 eps. NaN at negative integers, -+infinity at +-0. Recurrence and asymptotic series
// (DLMF 5.11.2).
double digamma(double x);

// Regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 - P(a, x), a >= 0, x >= 0, NaN outside. 100 eps, of at
// least 1e-9; below that, in proportion to the logarithm. Series and continued fraction (DLMF 8.11.4, 8.9.2); for a >
// 1e6 near x = a Temme's uniform expansion (SIAM J. Math. Anal. 10, 1979).
double igamma(double a, double x);
double igammac(double a, double x);

// Airy's function Ai; NaN at -infinity. 10 eps, below zero absolutely where it is near a zero of the function, times
// |x|^1.5 far below. Power series near zero; else integrals over its steepest descent by the trapezoidal rule, which
// converges exponentially (DLMF 9.5.8 and 9.2.11).
double airy_ai(double x);

// Orthogonal polynomials of degree n, rounded towards zero; 0 for n < 0. Three-term recurrences (DLMF 18.9), between -1
// and 1 the trigonometric forms of Chebyshev's (DLMF 18.5.1-4), so that a large degree costs nothing there. NaN where a
// recurrence would take more than 10^6 steps.
double chebyshev_t(double x, double n);
double chebyshev_u(double x, double n);
double chebyshev_v(double x, double n);
double chebyshev_w(double x, double n);
double hermite_h(double x, double n);
double hermite_he(double x, double n);
double laguerre_l(double x, double n);
double legendre_p(double x, double n);

}  // namespace bulssi::special
