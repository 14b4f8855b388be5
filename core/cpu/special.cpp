#include "special.h"

#include <cmath>

namespace bulssi::special {

double sin(double x) { return std::sin(x); }
double cos(double x) { return std::cos(x); }
double tan(double x) { return std::tan(x); }
double fmod(double x, double y) { return std::fmod(x, y); }

}  // namespace bulssi::special
