// The monoids behind reductions and scans: unit, map of an element (with a parameter), combination. Per ISA.
#pragma once
#include "core/cpu/reduce_vec.h"

namespace bulssi::BULSSI_ISA {

template <class T>
inline constexpr T lowest = detail::is_float<T> ? T(-__builtin_inf())
                            : T(-1) < T(0)      ? T(uint64_t(1) << (8 * sizeof(T) - 1))
                                                : T(0);
template <class T>
inline constexpr T highest = detail::is_float<T> ? T(__builtin_inf()) : T(~lowest<T>);
template <>
inline constexpr float highest<float> = __builtin_inff();
template <>
inline constexpr double highest<double> = __builtin_inf();

struct Sum {
  template <class T>
  static constexpr T unit = T(0);
  template <class V>
  static BULSSI_INLINE V map(V x, V) {
    return x;
  }
  template <class V>
  static BULSSI_INLINE V combine(V a, V b) {
    return a + b;
  }
};
struct Product : Sum {
  template <class T>
  static constexpr T unit = T(1);
  template <class V>
  static BULSSI_INLINE V combine(V a, V b) {
    return a * b;
  }
};
struct Maximum : Sum {
  template <class T>
  static constexpr T unit = lowest<T>;
  template <class V>
  static BULSSI_INLINE V combine(V a, V b) {
    return max(a, b);
  }
};
struct Minimum : Sum {
  template <class T>
  static constexpr T unit = highest<T>;
  template <class V>
  static BULSSI_INLINE V combine(V a, V b) {
    return min(a, b);
  }
};
struct Any : Maximum {
  template <class T>
  static constexpr T unit = T(0);
  template <class V>
  static BULSSI_INLINE V map(V x, V) {
    return select(x != V(0), V(1), V(0));
  }
};
struct All : Minimum {
  template <class T>
  static constexpr T unit = T(1);
  template <class V>
  static BULSSI_INLINE V map(V x, V) {
    return select(x != V(0), V(1), V(0));
  }
};
struct NanSum : Sum {
  template <class V>
  static BULSSI_INLINE V map(V x, V) {
    return select(x != x, V(0), x);
  }
};
struct Squares : Sum {
  template <class V>
  static BULSSI_INLINE V map(V x, V c) {
    return (x - c) * (x - c);
  }
};
struct Absolutes : Sum {
  template <class V>
  static BULSSI_INLINE V map(V x, V) {
    return abs(x);
  }
};
struct MaxAbs : Maximum {
  template <class T>
  static constexpr T unit = T(0);
  template <class V>
  static BULSSI_INLINE V map(V x, V) {
    return abs(x);
  }
};
struct MinAbs : Minimum {
  template <class V>
  static BULSSI_INLINE V map(V x, V) {
    return abs(x);
  }
};
struct Powers : Sum {
  template <class V>
  static BULSSI_INLINE V map(V x, V c) {
    return vecmath::pow(abs(x), c);
  }
};
struct Exponentials : Sum {
  template <class V>
  static BULSSI_INLINE V map(V x, V c) {
    return vecmath::exp(x - c);
  }
};

}  // namespace bulssi::BULSSI_ISA
