// Blocks of any dtype to and from the compute types; compiled once per ISA.
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include "core/cpu/kernel_table.h"

namespace bulssi::BULSSI_ISA {
namespace {

struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};
struct Bool {
  uint8_t value;
};

inline uint32_t word(float f) {
  uint32_t w;
  __builtin_memcpy(&w, &f, 4);
  return w;
}
inline float number(uint32_t w) {
  float f;
  __builtin_memcpy(&f, &w, 4);
  return f;
}

inline float widen(BF16 v) { return number(uint32_t(v.bits) << 16); }
inline float widen(F16 v) {
#if defined(__F16C__)
  return _cvtsh_ss(v.bits);
#else
  const uint32_t sign = uint32_t(v.bits & 0x8000) << 16, rest = v.bits & 0x7fff;
  if (rest >= 0x7c00) return number(sign | 0x7f800000 | (rest << 13));
  if (rest >= 0x0400) return number(sign | ((rest << 13) + 0x38000000));
  const float m = float(rest) * 0x1p-24f;
  return sign ? -m : m;
#endif
}
inline BF16 narrow(float v, BF16) {
  const uint32_t w = word(v);
  if ((w & 0x7fffffff) > 0x7f800000) return {0x7fc0};
  return {uint16_t((w + 0x7fff + ((w >> 16) & 1)) >> 16)};
}
inline F16 narrow(float v, F16) {
#if defined(__F16C__)
  return {uint16_t(_cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT))};
#else
  const uint32_t w = word(v), magnitude = w & 0x7fffffff;
  const uint16_t sign = uint16_t((w >> 16) & 0x8000);
  if (magnitude > 0x7f800000) return {uint16_t(sign | 0x7e00)};
  if (magnitude >= 0x477ff000) return {uint16_t(sign | 0x7c00)};
  if (magnitude < 0x38800000) return {uint16_t(sign | uint16_t(word(number(magnitude) + 0.5f) - 0x3f000000))};
  return {uint16_t(sign | uint16_t((magnitude + 0xfff + ((magnitude >> 13) & 1) - 0x38000000) >> 13))};
#endif
}

template <class T>
struct is_half {
  static constexpr bool value = false;
};
template <>
struct is_half<F16> {
  static constexpr bool value = true;
};
template <>
struct is_half<BF16> {
  static constexpr bool value = true;
};
template <class A, class B>
struct same {
  static constexpr bool value = false;
};
template <class A>
struct same<A, A> {
  static constexpr bool value = true;
};
template <class T>
struct floats {
  static constexpr bool value = same<T, float>::value || same<T, double>::value;
};

template <bool large>
struct WideOf {
  using type = int64_t;
};
template <>
struct WideOf<false> {
  using type = int32_t;
};

template <class To, class From>
inline To convert_one(From v) {
  if constexpr (same<From, To>::value)
    return v;
  else if constexpr (same<From, Bool>::value)
    return convert_one<To>(uint8_t(v.value != 0));
  else if constexpr (is_half<From>::value)
    return convert_one<To>(widen(v));
  else if constexpr (same<To, Bool>::value)
    return {uint8_t(v != From(0))};
  else if constexpr (is_half<To>::value)
    return narrow(float(v), To{});
  else if constexpr (floats<From>::value && !floats<To>::value) {
    // Out of range C++ leaves it undefined; as convert() in core/tensor/dtype.h.
    using Wide = typename WideOf<sizeof(To) == 8 || same<To, uint8_t>::value>::type;
    constexpr Wide least = Wide(1) << (sizeof(Wide) * 8 - 1);
    return To(v >= From(least) && v < -From(least) ? Wide(v) : least);
  } else
    return To(v);
}

template <class From, class To>
void block(int64_t n, const void* from, void* to) {
  const From* f = static_cast<const From*>(from);
  To* t = static_cast<To*>(to);
  int64_t i = 0;
#if defined(__AVX512F__)
  constexpr __mmask16 all = 0xffff;  // the forms without a mask make GCC 12 warn of its own header
  if constexpr (same<From, F16>::value && same<To, float>::value) {
    for (; i + 16 <= n; i += 16) {
      _mm512_storeu_ps(t + i, _mm512_maskz_cvtph_ps(all, _mm256_loadu_si256((const __m256i*)(f + i))));
    }
  } else if constexpr (same<From, float>::value && same<To, F16>::value) {
    for (; i + 16 <= n; i += 16) {
      _mm256_storeu_si256((__m256i*)(t + i),
                          _mm512_maskz_cvtps_ph(all, _mm512_loadu_ps(f + i), _MM_FROUND_TO_NEAREST_INT));
    }
  }
#elif defined(__F16C__)
  if constexpr (same<From, F16>::value && same<To, float>::value) {
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(t + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(f + i))));
  } else if constexpr (same<From, float>::value && same<To, F16>::value) {
    for (; i + 8 <= n; i += 8) {
      _mm_storeu_si128((__m128i*)(t + i), _mm256_cvtps_ph(_mm256_loadu_ps(f + i), _MM_FROUND_TO_NEAREST_INT));
    }
  }
#endif
  for (; i < n; ++i) t[i] = convert_one<To>(f[i]);
}

using Block = void (*)(int64_t, const void*, void*);
struct Table {  // as ConvertTable in cpu.h: dtypes in the order of DType, compute types in the order of Compute
  Block load[12][4] = {};
  Block store[4][12] = {};
};
template <class T>
constexpr void add(Table& t, int dtype) {
  t.load[dtype][0] = block<T, float>;
  t.load[dtype][1] = block<T, double>;
  t.load[dtype][2] = block<T, int64_t>;
  t.load[dtype][3] = block<T, uint8_t>;
  t.store[0][dtype] = block<float, T>;
  t.store[1][dtype] = block<double, T>;
  t.store[2][dtype] = block<int64_t, T>;
  t.store[3][dtype] = block<uint8_t, T>;
}
constexpr Table make() {
  Table t;
  add<uint8_t>(t, 0), add<int8_t>(t, 1), add<int16_t>(t, 2), add<int32_t>(t, 3), add<int64_t>(t, 4), add<F16>(t, 5);
  add<BF16>(t, 6), add<float>(t, 7), add<double>(t, 8), add<Bool>(t, 11);
  return t;
}
constexpr Table table = make();

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(void, convert, table)
