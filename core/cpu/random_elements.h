#pragma once

// The element types of the random functions: storage, conversion, and dispatch on ElementType. Internal.

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "random.h"

namespace bulssi::rng {

struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};

template <class T>
inline constexpr bool is_floating = std::is_floating_point_v<T> || std::is_same_v<T, F16> || std::is_same_v<T, BF16>;

// Bits of precision: integers up to 2^digits are exact.
template <class T>
inline constexpr int digits = std::numeric_limits<T>::digits;
template <>
inline constexpr int digits<F16> = 11;
template <>
inline constexpr int digits<BF16> = 8;

// Round to nearest even.
inline F16 to_f16(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return {static_cast<uint16_t>(sign | 0x7e00)};   // nan
  if (bits >= 0x477ff000) return {static_cast<uint16_t>(sign | 0x7c00)};  // rounds to infinity
  if (bits < 0x38800000) {  // below 2^-14: adding 0.5 leaves the multiple of 2^-24 in the low bits, rounded
    float shifted = std::bit_cast<float>(bits) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000))};
  }
  bits += 0xfff + (bits >> 13 & 1) - (uint32_t{112} << 23);  // half a unit less one, one more if odd; exponent bias
  return {static_cast<uint16_t>(sign | bits >> 13)};
}
inline BF16 to_bf16(float x) {
  if (x != x) return {0x7fc0};
  uint32_t bits = std::bit_cast<uint32_t>(x);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline float as_float(BF16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
inline float as_float(F16 x) {
  uint32_t magnitude = x.bits & 0x7fffu, sign = (x.bits & 0x8000u) << 16;
  if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;  // exact, subnormals too
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}
inline double as_double(double x) { return x; }
inline double as_double(float x) { return x; }
inline double as_double(F16 x) { return as_float(x); }
inline double as_double(BF16 x) { return as_float(x); }

// A number as an element. Doubles become half precision by way of float; those that an integer type cannot hold give
// what the processor's conversion gives, as PyTorch's do.
template <class T, class V>
T convert(V value) {
  if constexpr (std::is_same_v<T, F16>) {
    return to_f16(static_cast<float>(value));
  } else if constexpr (std::is_same_v<T, BF16>) {
    return to_bf16(static_cast<float>(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else if constexpr (std::is_integral_v<T> && std::is_floating_point_v<V>) {
    using Register = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
    constexpr V limit = -static_cast<V>(std::numeric_limits<Register>::min());
    bool fits = value >= -limit && value < limit;
    return static_cast<T>(fits ? static_cast<Register>(value) : std::numeric_limits<Register>::min());
  } else {
    return static_cast<T>(value);
  }
}

// Calls f with a value of the element type, of which only the type matters.
template <class F>
void with_floating(ElementType type, F f) {
  switch (type) {
    case ElementType::f32: return f(float{});
    case ElementType::f64: return f(double{});
    case ElementType::f16: return f(F16{});
    case ElementType::bf16: return f(BF16{});
    default: return;  // refused by the checks
  }
}
template <class F>
void with_type(ElementType type, F f) {
  switch (type) {
    case ElementType::i8: return f(int8_t{});
    case ElementType::i16: return f(int16_t{});
    case ElementType::i32: return f(int32_t{});
    case ElementType::i64: return f(int64_t{});
    case ElementType::u8: return f(uint8_t{});
    case ElementType::boolean: return f(bool{});
    default: return with_floating(type, f);
  }
}

// PyTorch's name of the type in messages about dtypes: Float, Long, Bool, ...
const char* type_name(ElementType type);

// A number as messages show it.
inline std::string number(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

}  // namespace bulssi::rng
