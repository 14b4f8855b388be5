// The math library of the kernels: functions of Vec<float> and Vec<double>, see the parts for bounds and sources.
#pragma once

#include "vecmath_exp.h"
#include "vecmath_special.h"
#include "vecmath_trig.h"
