// Counting, packing and finding the set elements of masks; compiled once per ISA.
#include "core/cpu/kernel_table.h"
#include "core/cpu/mask.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bulssi::BULSSI_ISA {
namespace {

int64_t count(int64_t n, const uint8_t* mask) {
  int64_t total = 0, i = 0;
#if defined(__AVX512BW__)
  for (; i + 64 <= n; i += 64) {
    const __m512i m = _mm512_loadu_si512(mask + i);
    total += _mm_popcnt_u64(_mm512_test_epi8_mask(m, m));
  }
#endif
  for (; i < n;) {
    uint8_t part = 0;  // at most 255 per round, so that the loop runs on bytes
    const int64_t end = i + 255 < n ? i + 255 : n;
    for (; i < end; ++i) part = uint8_t(part + (mask[i] != 0));
    total += part;
  }
  return total;
}

// The loop ends with the last set element, so it never writes beyond `total`.
template <class T>
void compress_plain(const uint8_t* mask, int64_t i, int64_t k, int64_t total, const T* from, T* to) {
  for (; k < total; ++i) {
    to[k] = from[i];
    k += mask[i] != 0;
  }
}

template <class T>
void compress(int64_t n, const uint8_t* mask, int64_t total, const void* from, void* to) {
  int64_t i = 0, k = 0;
  const T* f = static_cast<const T*>(from);
  T* t = static_cast<T*>(to);
#if defined(__AVX512VL__) && defined(__AVX512BW__)
  if constexpr (sizeof(T) == 4) {
    for (; i + 16 <= n; i += 16) {
      const __m128i m = _mm_loadu_si128(reinterpret_cast<const __m128i*>(mask + i));
      const __mmask16 set = _mm_test_epi8_mask(m, m);
      const int found = __builtin_popcount(set);
      const __m512i packed = _mm512_maskz_compress_epi32(set, _mm512_loadu_si512(f + i));
      _mm512_mask_storeu_epi32(t + k, __mmask16((1u << found) - 1), packed);
      k += found;
    }
  } else if constexpr (sizeof(T) == 8) {
    for (; i + 8 <= n; i += 8) {
      const __m128i m = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(mask + i));
      const __mmask8 set = __mmask8(_mm_test_epi8_mask(m, m));
      const int found = __builtin_popcount(set);
      const __m512i packed = _mm512_maskz_compress_epi64(set, _mm512_loadu_si512(f + i));
      _mm512_mask_storeu_epi64(t + k, __mmask8((1u << found) - 1), packed);
      k += found;
    }
  }
#endif
  compress_plain(mask, i, k, total, f, t);
}

void positions(int64_t n, const uint8_t* mask, int64_t total, int64_t first, int64_t* to) {
  int64_t i = 0, k = 0;
#if defined(__AVX512VL__) && defined(__AVX512BW__)
  __m512i at = _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
  for (; i + 8 <= n; i += 8) {
    const __m128i m = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(mask + i));
    const __mmask8 set = __mmask8(_mm_test_epi8_mask(m, m));
    const int found = __builtin_popcount(set);
    _mm512_mask_storeu_epi64(to + k, __mmask8((1u << found) - 1), _mm512_maskz_compress_epi64(set, at));
    at = _mm512_add_epi64(at, _mm512_set1_epi64(8));
    k += found;
  }
#endif
  for (; k < total; ++i) {
    to[k] = first + i;
    k += mask[i] != 0;
  }
}

template <class T>
void fill(int64_t n, const uint8_t* mask, const void* value, void* to) {
  const T v = *static_cast<const T*>(value);
  T* t = static_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) t[i] = mask[i] ? v : t[i];
}

constexpr MaskKernels table{count,
                            {compress<uint8_t>, compress<uint16_t>, compress<uint32_t>, compress<uint64_t>},
                            positions,
                            {fill<uint8_t>, fill<uint16_t>, fill<uint32_t>, fill<uint64_t>}};

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::MaskKernels, mask, table)
