// Convolution without columns: register tiles that read a padded copy of the input in place.
#pragma once
#include "core/cpu/conv.h"

namespace bulssi {

// The three products of conv.h, for f32 and f64. False, and nothing done, for shapes that are served better by columns:
// those whose rows are so short that most lanes of a register would be idle.
template <class T>
bool correlate_directly(const ConvShape& s, const T* x, const T* w, const T* bias, T* y);
template <class T>
bool spread_directly(const ConvShape& s, const T* y, const T* w, const T* bias, T* x);
template <class T>
bool weigh_directly(const ConvShape& s, const T* x, const T* y, T* w);

}  // namespace bulssi
