#pragma once

// Elements as the random functions see them: precision, conversion, and dispatch on floating types. Internal.

#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <type_traits>

#include "core/tensor/dtype.h"

namespace bulssi::rng {

// Bits of precision: integers up to 2^digits are exact.
template <class T>
inline constexpr int digits = std::numeric_limits<T>::digits;
template <>
inline constexpr int digits<Half> = 11;
template <>
inline constexpr int digits<BFloat16> = 8;

// A number as an element. Doubles that an integer type cannot hold give what the processor's conversion to a register
// of 32 bits (for int64, of 64) gives, as PyTorch's do.
template <class T, class V>
T convert(V value) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool> && std::is_floating_point_v<V>) {
    using Register = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
    constexpr V limit = -static_cast<V>(std::numeric_limits<Register>::min());
    bool fits = value >= -limit && value < limit;
    return static_cast<T>(fits ? static_cast<Register>(value) : std::numeric_limits<Register>::min());
  } else {
    return bulssi::convert<T>(value);
  }
}

// Calls f.operator()<T>() with the C++ type of a floating dtype; others were refused by the checks.
template <class F>
void dispatch_floating(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    case DType::f16: return f.template operator()<Half>();
    case DType::bf16: return f.template operator()<BFloat16>();
    default: return;
  }
}

// A number as messages show it.
inline std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

}  // namespace bulssi::rng
