// Functions too rare or too irregular for SIMD code, as plain functions of doubles, compiled once for every ISA
// (special.cpp). vecmath.h calls them lane by lane; reference_math.h offers them as the reference.
#pragma once

namespace bulssi::special {

// The C library's, exact in their argument reduction for every magnitude.
double sin(double x);
double cos(double x);
double tan(double x);
double fmod(double x, double y);

}  // namespace bulssi::special
