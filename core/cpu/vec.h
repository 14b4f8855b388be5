// One SIMD register of T, as wide as the ISA this file is being compiled for.
//
// Everything lives in namespace bulssi::BULSSI_ISA (the macro is given on the command line), so that no weak symbol is
// shared between the objects of two ISAs: the linker would keep one copy, and an old processor would run a new one's.
// Compile with -fno-math-errno -fno-trapping-math -ffp-contract=fast, never with -ffast-math: NaN and infinity matter,
// and the error-free transformations in vecmath.h rely on the order of operations.
//
// Vec<T> is a compiler vector; intrinsics appear only where GCC 12 makes bad code of the portable form (rounding, fma,
// packing of masks). Constants in formulas are double; an operation between Vec<T> and a number converts the number.
#pragma once

#include <cstdint>
#include <utility>
#if defined(__x86_64__)
// GCC 12's own intrinsics trip its warning about uninitialised variables (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif

#ifndef BULSSI_ISA
#define BULSSI_ISA generic
#endif
#define BULSSI_INLINE inline __attribute__((always_inline))

namespace bulssi::BULSSI_ISA {

#if defined(__AVX512F__)
inline constexpr int width = 64;  // bytes in a register
#elif defined(__AVX2__)
inline constexpr int width = 32;
#else
inline constexpr int width = 16;
#endif
#if defined(__FMA__) || defined(__aarch64__)
inline constexpr bool has_fma = true;
#else
inline constexpr bool has_fma = false;
#endif

namespace detail {
template <int bytes>
struct Ints;
template <>
struct Ints<1> {
  using Signed = int8_t;
  using Unsigned = uint8_t;
};
template <>
struct Ints<2> {
  using Signed = int16_t;
  using Unsigned = uint16_t;
};
template <>
struct Ints<4> {
  using Signed = int32_t;
  using Unsigned = uint32_t;
};
template <>
struct Ints<8> {
  using Signed = int64_t;
  using Unsigned = uint64_t;
};
template <class T>
inline constexpr bool is_float = std::is_floating_point_v<T>;
template <class T>
inline constexpr bool is_single = std::is_same_v<T, float>;
}  // namespace detail

template <class T>
struct Mask;

template <class T>
struct Vec {
  using I = typename detail::Ints<sizeof(T)>::Signed;
  using U = typename detail::Ints<sizeof(T)>::Unsigned;
  typedef T N __attribute__((vector_size(width)));   // the compiler's own type
  typedef I NI __attribute__((vector_size(width)));  // as signed integers of the same size: also the type of masks
  typedef U NU __attribute__((vector_size(width)));
  static constexpr int lanes = width / int(sizeof(T));
  static constexpr int bits = 8 * int(sizeof(T));

  N v;

  Vec() = default;
  BULSSI_INLINE Vec(N n) : v(n) {}
  // Every lane is `s`. A floating `s` for an integer T must fit in int64_t.
  template <class S>
    requires(std::is_arithmetic_v<S>)
  BULSSI_INLINE Vec(S s) : v(cast(s) - N{}) {}  // x - 0 is x for every x, -0 included; x + 0 is not

  static BULSSI_INLINE Vec load(const T* p) {
    Vec r;
    __builtin_memcpy(&r.v, p, width);
    return r;
  }
  BULSSI_INLINE void store(T* p) const { __builtin_memcpy(p, &v, width); }
  BULSSI_INLINE T operator[](int lane) const { return v[lane]; }

  // Integer arithmetic wraps, so it is done on unsigned lanes, where wrapping is defined.
  friend BULSSI_INLINE Vec operator+(Vec a, Vec b) {
    if constexpr (detail::is_float<T>)
      return a.v + b.v;
    else
      return N(NU(a.v) + NU(b.v));
  }
  friend BULSSI_INLINE Vec operator-(Vec a, Vec b) {
    if constexpr (detail::is_float<T>)
      return a.v - b.v;
    else
      return N(NU(a.v) - NU(b.v));
  }
  friend BULSSI_INLINE Vec operator*(Vec a, Vec b) {
    if constexpr (detail::is_float<T>)
      return a.v * b.v;
    else
      return N(NU(a.v) * NU(b.v));
  }
  // Integers: rounds towards zero as in C; x / 0 is 0 and MIN / -1 is MIN (no trap).
  friend BULSSI_INLINE Vec operator/(Vec a, Vec b) {
    if constexpr (detail::is_float<T>)
      return a.v / b.v;
    else
      return each(a, b, [](T x, T y) -> T { return divide(x, y); });
  }
  // Integers only: the remainder of operator/, with the sign of the dividend as in C.
  friend BULSSI_INLINE Vec operator%(Vec a, Vec b) {
    return each(a, b, [](T x, T y) -> T { return remainder(x, y); });
  }
  friend BULSSI_INLINE Vec operator-(Vec a) {
    if constexpr (detail::is_float<T>)
      return -a.v;
    else
      return N(-NU(a.v));
  }
  friend BULSSI_INLINE Vec operator+(Vec a) { return a; }
  BULSSI_INLINE Vec& operator+=(Vec b) { return *this = *this + b; }
  BULSSI_INLINE Vec& operator-=(Vec b) { return *this = *this - b; }
  BULSSI_INLINE Vec& operator*=(Vec b) { return *this = *this * b; }
  BULSSI_INLINE Vec& operator/=(Vec b) { return *this = *this / b; }

  // An unordered comparison (a NaN on either side) is false, except != which is true.
  friend BULSSI_INLINE Mask<T> operator<(Vec a, Vec b) { return {NI(a.v < b.v)}; }
  friend BULSSI_INLINE Mask<T> operator>(Vec a, Vec b) { return {NI(a.v > b.v)}; }
  friend BULSSI_INLINE Mask<T> operator<=(Vec a, Vec b) { return {NI(a.v <= b.v)}; }
  friend BULSSI_INLINE Mask<T> operator>=(Vec a, Vec b) { return {NI(a.v >= b.v)}; }
  friend BULSSI_INLINE Mask<T> operator==(Vec a, Vec b) { return {NI(a.v == b.v)}; }
  friend BULSSI_INLINE Mask<T> operator!=(Vec a, Vec b) { return {NI(a.v != b.v)}; }

  // Integers only. A shift by a negative count or by at least the width moves every bit out: 0 (>> of a negative: -1).
  friend BULSSI_INLINE Vec operator&(Vec a, Vec b) { return a.v & b.v; }
  friend BULSSI_INLINE Vec operator|(Vec a, Vec b) { return a.v | b.v; }
  friend BULSSI_INLINE Vec operator^(Vec a, Vec b) { return a.v ^ b.v; }
  friend BULSSI_INLINE Vec operator~(Vec a) { return ~a.v; }
  friend BULSSI_INLINE Vec operator<<(Vec a, Vec b) {
    NU count = NU(b.v), limit = NU{} + U(bits);
    return count < limit ? N(NU(a.v) << (count & U(bits - 1))) : N{};
  }
  friend BULSSI_INLINE Vec operator>>(Vec a, Vec b) {
    NU count = NU(b.v), limit = NU{} + U(bits);
    N all_out = a.v < 0 ? N(NI{} - 1) : N{};
    return count < limit ? N(a.v >> N(count & U(bits - 1))) : all_out;
  }

  template <class F>
  static BULSSI_INLINE Vec each(Vec a, Vec b, F f) {
    Vec r;
    for (int i = 0; i < lanes; i++) r.v[i] = f(a.v[i], b.v[i]);
    return r;
  }
  static BULSSI_INLINE T divide(T x, T y) {
    if (y == 0) return 0;
    if constexpr (T(-1) < T(0)) {
      if (y == T(-1)) return T(U(0) - U(x));
    }
    return T(x / y);
  }
  static BULSSI_INLINE T remainder(T x, T y) {
    if (y == 0) return 0;
    if constexpr (T(-1) < T(0)) {
      if (y == T(-1)) return 0;
    }
    return T(x % y);
  }

 private:
  template <class S>
  static constexpr BULSSI_INLINE T cast(S s) {
    if constexpr (detail::is_float<S> && !detail::is_float<T>)
      return T(int64_t(s));
    else
      return T(s);
  }
};

// One truth value for each lane of Vec<T>: all bits set or none.
template <class T>
struct Mask {
  using NI = typename Vec<T>::NI;
  using N = typename Vec<T>::N;
  static constexpr int lanes = Vec<T>::lanes;
  NI m;

  friend BULSSI_INLINE Mask operator&(Mask a, Mask b) { return {a.m & b.m}; }
  friend BULSSI_INLINE Mask operator|(Mask a, Mask b) { return {a.m | b.m}; }
  friend BULSSI_INLINE Mask operator^(Mask a, Mask b) { return {a.m ^ b.m}; }
  friend BULSSI_INLINE Mask operator!(Mask a) { return {~a.m}; }
  // Where m holds, a; elsewhere b.
  friend BULSSI_INLINE Vec<T> select(Mask m, Vec<T> a, Vec<T> b) { return m.m ? a.v : b.v; }

  BULSSI_INLINE void store_bool(uint8_t* p) const;        // writes `lanes` bytes, 0 or 1
  static BULSSI_INLINE Mask load_bool(const uint8_t* p);  // reads `lanes` bytes; any value but 0 is true
};

// Does the mask hold anywhere?
template <class T>
BULSSI_INLINE bool any(Mask<T> k) {
#if defined(__AVX512F__)
  __m512i x = (__m512i)k.m;
  return _mm512_test_epi32_mask(x, x) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8((__m256i)k.m) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8((__m128i)k.m) != 0;
#else
  uint64_t w[width / 8];
  __builtin_memcpy(w, &k.m, width);
  uint64_t r = 0;
  for (uint64_t i : w) r |= i;
  return r != 0;
#endif
}
template <class T>
BULSSI_INLINE bool all(Mask<T> k) {
  return !any(!k);
}

template <class T>
BULSSI_INLINE void Mask<T>::store_bool(uint8_t* p) const {
  constexpr int size = sizeof(T);
#if defined(__AVX512F__)
  __m512i x = (__m512i)(m & 1);
  if constexpr (size == 1)
    _mm512_storeu_si512(p, x);
  else if constexpr (size == 2)
    _mm256_storeu_si256((__m256i_u*)p, _mm512_cvtepi16_epi8(x));
  else if constexpr (size == 4)
    _mm_storeu_si128((__m128i_u*)p, _mm512_cvtepi32_epi8(x));
  else
    _mm_storel_epi64((__m128i_u*)p, _mm512_cvtepi64_epi8(x));
#elif defined(__SSE4_1__)
#if defined(__AVX2__)
  __m256i x = (__m256i)(m & 1);
  if constexpr (size == 1) {
    _mm256_storeu_si256((__m256i_u*)p, x);
    return;
  }
  __m128i a = _mm256_castsi256_si128(x), b = _mm256_extracti128_si256(x, 1);
#else
  __m128i a = (__m128i)(m & 1), b = a;
  if constexpr (size == 1) {
    _mm_storeu_si128((__m128i_u*)p, a);
    return;
  }
#endif
  if constexpr (size == 8) a = (__m128i)_mm_shuffle_ps((__m128)a, (__m128)b, 0x88), b = a;
  if constexpr (size >= 4) a = _mm_packs_epi32(a, b), b = a;
  a = _mm_packus_epi16(a, b);
  __builtin_memcpy(p, &a, lanes);
#else
  for (int i = 0; i < lanes; i++) p[i] = uint8_t(m[i] & 1);
#endif
}

template <class T>
BULSSI_INLINE Mask<T> Mask<T>::load_bool(const uint8_t* p) {
  constexpr int size = sizeof(T);
#if defined(__SSE4_1__)
  if constexpr (size == 1) {
    typename Vec<T>::NI x;
    __builtin_memcpy(&x, p, width);
    return {NI(x != 0)};
  } else {
#if defined(__AVX512F__)
    __m512i x;
    if constexpr (size == 2)
      x = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i_u*)p));
    else if constexpr (size == 4)
      x = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i_u*)p));
    else
      x = _mm512_cvtepi8_epi64(_mm_loadl_epi64((const __m128i_u*)p));
#else
    __m128i s = _mm_setzero_si128();
    __builtin_memcpy(&s, p, lanes);
#if defined(__AVX2__)
    __m256i x;
    if constexpr (size == 2)
      x = _mm256_cvtepi8_epi16(s);
    else if constexpr (size == 4)
      x = _mm256_cvtepi8_epi32(s);
    else
      x = _mm256_cvtepi8_epi64(s);
#else
    __m128i x;
    if constexpr (size == 2)
      x = _mm_cvtepi8_epi16(s);
    else if constexpr (size == 4)
      x = _mm_cvtepi8_epi32(s);
    else
      x = _mm_cvtepi8_epi64(s);
#endif
#endif
    return {NI(NI(x) != 0)};
  }
#else
  Mask r;
  for (int i = 0; i < lanes; i++) r.m[i] = p[i] ? -1 : 0;
  return r;
#endif
}

// Functions of two registers of which one may be a number.
#define BULSSI_MIXED(fn)                                         \
  template <class T>                                             \
  BULSSI_INLINE Vec<T> fn(Vec<T> a, std::type_identity_t<T> b) { \
    return fn(a, Vec<T>(b));                                     \
  }                                                              \
  template <class T>                                             \
  BULSSI_INLINE Vec<T> fn(std::type_identity_t<T> a, Vec<T> b) { \
    return fn(Vec<T>(a), b);                                     \
  }

// An empty barrier: the compiler must take `a` as it is here, neither contracting it nor reordering around it.
template <class T>
BULSSI_INLINE Vec<T> opaque(Vec<T> a) {
#if defined(__x86_64__)
  __asm__("" : "+v"(a.v));
#else
  __asm__("" : "+w"(a.v));
#endif
  return a;
}

template <class T>
BULSSI_INLINE Vec<T> abs(Vec<T> a) {
  using V = Vec<T>;
  if constexpr (detail::is_float<T>)
    return typename V::N(typename V::NI(a.v) & ~typename V::NI(V(-0.0).v));
  else if constexpr (T(-1) < T(0))
    return select(a < 0, -a, a);
  else
    return a;
}
template <class T>
BULSSI_INLINE Vec<T> copysign(Vec<T> a, Vec<T> sign) {
  using NI = typename Vec<T>::NI;
  NI s = NI(Vec<T>(-0.0).v);
  return typename Vec<T>::N((NI(a.v) & ~s) | (NI(sign.v) & s));
}
BULSSI_MIXED(copysign)
// True for -0 and negative NaN too.
template <class T>
BULSSI_INLINE Mask<T> signbit(Vec<T> a) {
  if constexpr (T(-1) < T(0))
    return {typename Vec<T>::NI(typename Vec<T>::NI(a.v) < 0)};
  else
    return {typename Vec<T>::NI{}};
}
template <class T>
BULSSI_INLINE Mask<T> isnan(Vec<T> a) {
  return a != a;
}
template <class T>
BULSSI_INLINE Mask<T> isinf(Vec<T> a) {
  if constexpr (detail::is_float<T>)
    return abs(a) == __builtin_inf();
  else
    return {typename Vec<T>::NI{}};
}
template <class T>
BULSSI_INLINE Mask<T> isfinite(Vec<T> a) {
  if constexpr (detail::is_float<T>)
    return abs(a) < __builtin_inf();
  else
    return a == a;
}

// ---- the larger and the smaller ----
// One instruction each; b if either is NaN.
template <class T>
BULSSI_INLINE Vec<T> max_or_second(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)  // GCC 12 makes a comparison and a masked move where one side is a constant
  if constexpr (std::is_same_v<T, float>) return typename Vec<T>::N(_mm512_max_ps((__m512)a.v, (__m512)b.v));
#endif
  return a.v > b.v ? a.v : b.v;
}
template <class T>
BULSSI_INLINE Vec<T> min_or_second(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return typename Vec<T>::N(_mm512_min_ps((__m512)a.v, (__m512)b.v));
#endif
  return a.v < b.v ? a.v : b.v;
}
// low <= x <= high, NaN as it is.
template <class T>
BULSSI_INLINE Vec<T> clamp(Vec<T> x, double low, double high) {
  return min_or_second(Vec<T>(high), max_or_second(Vec<T>(low), x));
}
// NaN if either is NaN (torch.maximum).
template <class T>
BULSSI_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  Vec<T> r = max_or_second(a, b);
  if constexpr (detail::is_float<T>)
    return select(a != a, a, r);
  else
    return r;
}
BULSSI_MIXED(max)
template <class T>
BULSSI_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
  Vec<T> r = min_or_second(a, b);
  if constexpr (detail::is_float<T>)
    return select(a != a, a, r);
  else
    return r;
}
BULSSI_MIXED(min)
// A number if either is a number (C's fmax, torch.fmax).
template <class T>
BULSSI_INLINE Vec<T> fmax(Vec<T> a, Vec<T> b) {
  Vec<T> r = max_or_second(a, b);
  if constexpr (detail::is_float<T>)
    return select(b != b, a, r);
  else
    return r;
}
BULSSI_MIXED(fmax)
template <class T>
BULSSI_INLINE Vec<T> fmin(Vec<T> a, Vec<T> b) {
  Vec<T> r = min_or_second(a, b);
  if constexpr (detail::is_float<T>)
    return select(b != b, a, r);
  else
    return r;
}
BULSSI_MIXED(fmin)

// ---- rounding: any magnitude; NaN, infinity and the sign of zero are kept; integers are returned as they are ----
#if defined(__AVX512F__)
#define BULSSI_ROUND(fn, mode)                                             \
  template <class T>                                                       \
  BULSSI_INLINE Vec<T> fn(Vec<T> a) {                                      \
    if constexpr (std::is_same_v<T, float>)                                \
      return typename Vec<T>::N(_mm512_roundscale_ps((__m512)a.v, mode));  \
    else if constexpr (std::is_same_v<T, double>)                          \
      return typename Vec<T>::N(_mm512_roundscale_pd((__m512d)a.v, mode)); \
    else                                                                   \
      return a;                                                            \
  }
#elif defined(__AVX2__)
#define BULSSI_ROUND(fn, mode)                                        \
  template <class T>                                                  \
  BULSSI_INLINE Vec<T> fn(Vec<T> a) {                                 \
    if constexpr (std::is_same_v<T, float>)                           \
      return typename Vec<T>::N(_mm256_round_ps((__m256)a.v, mode));  \
    else if constexpr (std::is_same_v<T, double>)                     \
      return typename Vec<T>::N(_mm256_round_pd((__m256d)a.v, mode)); \
    else                                                              \
      return a;                                                       \
  }
#elif defined(__SSE4_1__)
#define BULSSI_ROUND(fn, mode)                                     \
  template <class T>                                               \
  BULSSI_INLINE Vec<T> fn(Vec<T> a) {                              \
    if constexpr (std::is_same_v<T, float>)                        \
      return typename Vec<T>::N(_mm_round_ps((__m128)a.v, mode));  \
    else if constexpr (std::is_same_v<T, double>)                  \
      return typename Vec<T>::N(_mm_round_pd((__m128d)a.v, mode)); \
    else                                                           \
      return a;                                                    \
  }
#else
#define BULSSI_ROUND(fn, mode)                                                      \
  template <class T>                                                                \
  BULSSI_INLINE Vec<T> fn(Vec<T> a) {                                               \
    if constexpr (!detail::is_float<T>) return a;                                   \
    Vec<T> r;                                                                       \
    for (int i = 0; i < Vec<T>::lanes; i++)                                         \
      r.v[i] = sizeof(T) == 4 ? __builtin_##fn##f(a.v[i]) : __builtin_##fn(a.v[i]); \
    return r;                                                                       \
  }
#endif
BULSSI_ROUND(rint, 8)  // to nearest, halves to even
BULSSI_ROUND(floor, 9)
BULSSI_ROUND(ceil, 10)
BULSSI_ROUND(trunc, 11)
#undef BULSSI_ROUND

// ---- arithmetic ----
template <class T>
BULSSI_INLINE Vec<T> sqrt(Vec<T> a) {
  static_assert(detail::is_float<T>);
  Vec<T> r;
  for (int i = 0; i < Vec<T>::lanes; i++)
    r.v[i] = sizeof(T) == 4 ? __builtin_sqrtf(float(a.v[i])) : __builtin_sqrt(a.v[i]);
  return r;
}
// a * b + c with one rounding where the ISA has it (v3, v4, NEON), with two on v2. Integers wrap.
template <class T>
BULSSI_INLINE Vec<T> fma(Vec<T> a, std::type_identity_t<Vec<T>> b, std::type_identity_t<Vec<T>> c) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>)
    return typename Vec<T>::N(_mm512_fmadd_ps((__m512)a.v, (__m512)b.v, (__m512)c.v));
  if constexpr (std::is_same_v<T, double>)
    return typename Vec<T>::N(_mm512_fmadd_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v));
#elif defined(__FMA__)
  if constexpr (std::is_same_v<T, float>)
    return typename Vec<T>::N(_mm256_fmadd_ps((__m256)a.v, (__m256)b.v, (__m256)c.v));
  if constexpr (std::is_same_v<T, double>)
    return typename Vec<T>::N(_mm256_fmadd_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v));
#endif
  return a * b + c;
}
// a * b - c likewise. Its own function, because GCC 12 negates c before it calls the intrinsic.
template <class T>
BULSSI_INLINE Vec<T> fms(Vec<T> a, std::type_identity_t<Vec<T>> b, std::type_identity_t<Vec<T>> c) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>)
    return typename Vec<T>::N(_mm512_fmsub_ps((__m512)a.v, (__m512)b.v, (__m512)c.v));
  if constexpr (std::is_same_v<T, double>)
    return typename Vec<T>::N(_mm512_fmsub_pd((__m512d)a.v, (__m512d)b.v, (__m512d)c.v));
#elif defined(__FMA__)
  if constexpr (std::is_same_v<T, float>)
    return typename Vec<T>::N(_mm256_fmsub_ps((__m256)a.v, (__m256)b.v, (__m256)c.v));
  if constexpr (std::is_same_v<T, double>)
    return typename Vec<T>::N(_mm256_fmsub_pd((__m256d)a.v, (__m256d)b.v, (__m256d)c.v));
#endif
  return a * b - c;
}

// Python's // and % on integers: the quotient rounds down, the remainder has the divisor's sign.
// x // 0 and x % 0 are 0: callers check for zero where it is an error.
template <class T>
BULSSI_INLINE Vec<T> floor_div(Vec<T> a, Vec<T> b) {
  static_assert(!detail::is_float<T>, "vecmath::floor_divide is the one for floating types");
  return Vec<T>::each(a, b, [](T x, T y) -> T {
    T q = Vec<T>::divide(x, y), r = Vec<T>::remainder(x, y);
    return r != 0 && (r < 0) != (y < 0) ? T(q - 1) : q;
  });
}
BULSSI_MIXED(floor_div)
template <class T>
BULSSI_INLINE Vec<T> floor_mod(Vec<T> a, Vec<T> b) {
  static_assert(!detail::is_float<T>, "vecmath::remainder is the one for floating types");
  return Vec<T>::each(a, b, [](T x, T y) -> T {
    T r = Vec<T>::remainder(x, y);
    return r != 0 && (r < 0) != (y < 0) ? T(r + y) : r;
  });
}
BULSSI_MIXED(floor_mod)

// ---- exponents ----
// The integer nearest to a: |a| < 2^31 for float, < 2^51 for double.
template <class T>
BULSSI_INLINE Vec<typename Vec<T>::I> to_int(Vec<T> a) {
  using NI = typename Vec<T>::NI;
  if constexpr (sizeof(T) == 8) {
    Vec<T> magic(
        6755399441055744.0);  // 1.5 * 2^52: the sum's low bits are the integer. No ISA below v4 converts these.
    return NI(typename Vec<T>::NU(opaque(a + magic).v) - typename Vec<T>::NU(magic.v));
  } else {
    return __builtin_convertvector(rint(a).v, NI);
  }
}
// i as T: |i| <= 2^24 for float, < 2^51 for double.
template <class T>
BULSSI_INLINE Vec<T> to_float(Vec<typename Vec<T>::I> i) {
  using V = Vec<T>;
  if constexpr (sizeof(T) == 8) {
    V magic(6755399441055744.0);
    return V(typename V::N(typename V::NU(i.v) + typename V::NU(magic.v))) - magic;
  } else {
    return __builtin_convertvector(i.v, typename V::N);
  }
}

namespace detail {
template <class T>
inline constexpr int mantissa_bits = sizeof(T) == 4 ? 23 : 52;
template <class T>
inline constexpr int exponent_bias = sizeof(T) == 4 ? 127 : 1023;
template <class T>
inline constexpr double smallest_normal = sizeof(T) == 4 ? 0x1p-126 : 0x1p-1022;
template <class T>
inline constexpr double largest = sizeof(T) == 4 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;
}  // namespace detail

// 2^n for an integral n whose power is a normal number; n one below that range gives 0.
template <class T>
BULSSI_INLINE Vec<T> exp2i(Vec<T> n) {
  using V = Vec<T>;
  typename V::NU i = typename V::NU(to_int(n).v) + typename V::U(detail::exponent_bias<T>);
  return typename V::N(i << detail::mantissa_bits<T>);
}
// a * 2^n for a normal a of moderate size (2^-30 to 2^30) and any integral n within +-2 * exponent_bias: overflows to
// infinity, and rounds once where the result is denormal.
template <class T>
BULSSI_INLINE Vec<T> scale(Vec<T> a, Vec<T> n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return typename Vec<T>::N(_mm512_scalef_ps((__m512)a.v, (__m512)n.v));
  else
    return typename Vec<T>::N(_mm512_scalef_pd((__m512d)a.v, (__m512d)n.v));
#else
  Vec<T> half = floor(n * 0.5);
  return a * exp2i(half) * exp2i(n - half);
#endif
}
// a = r * 2^e with 0.5 <= |r| < 1, e integral. Zero, infinity and NaN give r = a and e = 0, as in C.
template <class T>
BULSSI_INLINE Vec<T> frexp(Vec<T> a, Vec<T>& e) {
  using V = Vec<T>;
  using NI = typename V::NI;
  using I = typename V::I;
  constexpr int bits = detail::mantissa_bits<T>, bias = detail::exponent_bias<T>;
  Mask<T> tiny = abs(a) < detail::smallest_normal<T>;
  V b = select(tiny, a * V(I(1) << (bits + 1)), a);
  NI i = NI(b.v);
  NI field = (i >> bits) & I(2 * bias + 1);
  Mask<T> plain = isfinite(a) & (a != 0.0);
  V r = typename V::N((i & ~(NI{} + (I(2 * bias + 1) << bits))) | (NI{} + (I(bias - 1) << bits)));
  e = select(plain, to_float<T>(field - I(bias - 1)) - select(tiny, V(bits + 1), V(0.0)), V(0.0));
  return select(plain, r, a);
}

}  // namespace bulssi::BULSSI_ISA
