// Sorting: keys of every dtype as unsigned integers in the same order.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

#include "core/tensor/tensor.h"

namespace bulssi {

// An unsigned integer that orders as T does: NaN above everything, -0 equal to 0.
template <class T>
struct SortKey;
template <>
struct SortKey<bool> {
  using Type = uint32_t;
  static constexpr int bits = 1;
  static Type of(bool v) { return v; }
};
template <class T>
  requires std::is_integral_v<T>
struct SortKey<T> {
  using Type = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  static constexpr int bits = 8 * sizeof(T);
  static Type of(T v) {
    using U = std::make_unsigned_t<T>;
    return static_cast<U>(static_cast<U>(v) ^ (std::is_signed_v<T> ? U(U(1) << (bits - 1)) : U(0)));
  }
};
template <>
struct SortKey<float> {
  using Type = uint32_t;
  static constexpr int bits = 32;
  static Type of(float v) {
    if (v != v) return 0xffffffffu;
    const uint32_t w = std::bit_cast<uint32_t>(v + 0.0f);  // -0 becomes 0
    return w ^ (static_cast<uint32_t>(static_cast<int32_t>(w) >> 31) | 0x80000000u);
  }
};
template <>
struct SortKey<double> {
  using Type = uint64_t;
  static constexpr int bits = 64;
  static Type of(double v) {
    if (v != v) return ~uint64_t{0};
    const uint64_t w = std::bit_cast<uint64_t>(v + 0.0);
    return w ^ (static_cast<uint64_t>(static_cast<int64_t>(w) >> 63) | 0x8000000000000000u);
  }
};
template <class T>
struct HalfKey {
  using Type = uint32_t;
  static constexpr int bits = 16;
  static Type of(T v) {
    if (float(v) != float(v)) return 0xffffu;
    const uint16_t w = v.bits == 0x8000 ? uint16_t(0) : v.bits;
    return static_cast<uint16_t>(w ^ (w & 0x8000 ? 0xffff : 0x8000));
  }
};
template <>
struct SortKey<Half> : HalfKey<Half> {};
template <>
struct SortKey<BFloat16> : HalfKey<BFloat16> {};

// Equal elements keep their order, so a sort is unique whatever the number of threads.
struct Sorted {
  Tensor values, indices;
};
// Unrecorded; `dim` wrapped. Values and indices are dense.
Sorted sort_data(const Tensor& self, int dim, bool descending);
// Puts `indices`-gathered values into the graph of self: the gradient goes back where it was taken.
Tensor taken_along(const char* node, const Tensor& self, const Tensor& values, const Tensor& indices, int dim);

}  // namespace bulssi
