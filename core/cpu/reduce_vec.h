// What kernels over rows need beyond vec.h: partial registers and horizontal combination. Per ISA.
#pragma once
#include "core/cpu/vec.h"
#include "core/cpu/vecmath.h"

namespace bulssi::BULSSI_ISA {

template <class T>
BULSSI_INLINE Mask<T> first_lanes(int k) {
  using I = typename Vec<T>::I;
  return [k]<int... L>(std::integer_sequence<int, L...>) {
    return Mask<T>{typename Vec<T>::NI(typename Vec<T>::NI{I(L)...} < I(k))};
  }(std::make_integer_sequence<int, Vec<T>::lanes>{});
}

// k elements, 0 < k < lanes; the other lanes are 0. Reads nothing beyond them.
template <class T>
BULSSI_INLINE Vec<T> load_some(const T* p, int k) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return typename Vec<T>::N(_mm512_maskz_loadu_epi32(__mmask16((1u << k) - 1), p));
  if constexpr (sizeof(T) == 8) return typename Vec<T>::N(_mm512_maskz_loadu_epi64(__mmask8((1u << k) - 1), p));
  if constexpr (sizeof(T) == 1) {
    return typename Vec<T>::N(_mm512_maskz_loadu_epi8(__mmask64((uint64_t(1) << k) - 1), p));
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    return typename Vec<T>::N(_mm256_maskload_epi32(reinterpret_cast<const int*>(p), __m256i(first_lanes<T>(k).m)));
  }
  if constexpr (sizeof(T) == 8) {
    return
        typename Vec<T>::N(_mm256_maskload_epi64(reinterpret_cast<const long long*>(p), __m256i(first_lanes<T>(k).m)));
  }
#endif
  T room[Vec<T>::lanes] = {};
  for (int i = 0; i < k; ++i) room[i] = p[i];
  return Vec<T>::load(room);
}
template <class T>
BULSSI_INLINE void store_some(Vec<T> v, T* p, int k) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_epi32(p, __mmask16((1u << k) - 1), __m512i(v.v));
  if constexpr (sizeof(T) == 8) return _mm512_mask_storeu_epi64(p, __mmask8((1u << k) - 1), __m512i(v.v));
#endif
  T room[Vec<T>::lanes];
  v.store(room);
  for (int i = 0; i < k; ++i) p[i] = room[i];
}
// Calls f(load, store, offset) … see for_vectors below: full registers, then one partial.
template <class T>
struct Piece {
  int64_t at;
  int count;  // lanes in use
  BULSSI_INLINE Vec<T> load(const T* p) const {
    return count == Vec<T>::lanes ? Vec<T>::load(p + at) : load_some(p + at, count);
  }
  BULSSI_INLINE void store(Vec<T> v, T* p) const {
    if (count == Vec<T>::lanes)
      v.store(p + at);
    else
      store_some(v, p + at, count);
  }
};
// f(Piece) over n elements, register by register; the last may be partial.
template <class T, class F>
BULSSI_INLINE void for_vectors(int64_t n, F f) {
  constexpr int L = Vec<T>::lanes;
  int64_t i = 0;
  for (; i + L <= n; i += L) f(Piece<T>{i, L});
  if (i < n) f(Piece<T>{i, int(n - i)});
}

template <int step, class T, int... L>
BULSSI_INLINE Vec<T> rotate_lanes(Vec<T> v, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(v.v, v.v, ((L + step) % int(sizeof...(L)))...);
}
// All lanes combined, in a fixed tree; in every lane.
template <class F, class T>
BULSSI_INLINE Vec<T> across(Vec<T> v, F combine) {
  constexpr auto all = std::make_integer_sequence<int, Vec<T>::lanes>{};
  if constexpr (Vec<T>::lanes >= 64) v = combine(v, rotate_lanes<32>(v, all));
  if constexpr (Vec<T>::lanes >= 32) v = combine(v, rotate_lanes<16>(v, all));
  if constexpr (Vec<T>::lanes >= 16) v = combine(v, rotate_lanes<8>(v, all));
  if constexpr (Vec<T>::lanes >= 8) v = combine(v, rotate_lanes<4>(v, all));
  if constexpr (Vec<T>::lanes >= 4) v = combine(v, rotate_lanes<2>(v, all));
  return combine(v, rotate_lanes<1>(v, all));
}
template <class T>
BULSSI_INLINE T total(Vec<T> v) {
  return across(v, [](Vec<T> a, Vec<T> b) { return a + b; })[0];
}
// The lanes in use of v, and `other` in the rest.
template <class T>
BULSSI_INLINE Vec<T> pick_lanes(Piece<T> p, Vec<T> v, T other) {
  return p.count == Vec<T>::lanes ? v : select(first_lanes<T>(p.count), v, Vec<T>(other));
}

}  // namespace bulssi::BULSSI_ISA
