// Functions of integers, lane by lane.
#pragma once
#include "core/cpu/vec.h"

namespace bulssi::BULSSI_ISA::vecmath {

template <class T>
  requires(!detail::is_float<T>)
inline Vec<T> pow(Vec<T> x, Vec<T> n) {  // wraps; a negative n gives 0, but 1 and -1 keep their powers
  return Vec<T>::each(x, n, [](T b, T e) -> T {
    using U = typename Vec<T>::U;
    if constexpr (T(-1) < T(0)) {
      if (e < 0) return b == 1 ? T(1) : b == T(-1) ? (e & 1 ? T(-1) : T(1)) : T(0);
    }
    U r = 1, base = U(b);
    for (; e > 0; e = T(e >> 1), base *= base) {
      if (e & 1) r *= base;
    }
    return T(r);
  });
}
// Towards zero's remainder, Python's remainder and Python's quotient; x / 0 is refused before kernels run.
template <class T>
  requires(!detail::is_float<T>)
inline Vec<T> fmod(Vec<T> x, Vec<T> y) {
  return x % y;
}
template <class T>
  requires(!detail::is_float<T>)
inline Vec<T> remainder(Vec<T> x, Vec<T> y) {
  return floor_mod(x, y);
}
template <class T>
  requires(!detail::is_float<T>)
inline Vec<T> floor_divide(Vec<T> x, Vec<T> y) {
  return floor_div(x, y);
}
template <class T>
  requires(!detail::is_float<T>)
inline T gcd_of(T a, T b) {
  using U = typename Vec<T>::U;
  U x = a < T(0) ? U(0) - U(a) : U(a), y = b < T(0) ? U(0) - U(b) : U(b);
  while (y) {
    const U r = x % y;
    x = y;
    y = r;
  }
  return T(x);
}
template <class T>
  requires(!detail::is_float<T>)
inline Vec<T> gcd(Vec<T> x, Vec<T> y) {
  return Vec<T>::each(x, y, [](T a, T b) -> T { return gcd_of(a, b); });
}
template <class T>
  requires(!detail::is_float<T>)
inline Vec<T> lcm(Vec<T> x, Vec<T> y) {
  return Vec<T>::each(x, y, [](T a, T b) -> T {
    using U = typename Vec<T>::U;
    const T g = gcd_of(a, b);
    if (g == 0) return 0;
    const T r = T(U(Vec<T>::divide(a, g)) * U(b));
    return r < T(0) ? T(U(0) - U(r)) : r;
  });
}

}  // namespace bulssi::BULSSI_ISA::vecmath
