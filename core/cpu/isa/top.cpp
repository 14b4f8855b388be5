// Skipping what cannot be among the first k; compiled once per ISA.
#include "core/cpu/kernel_table.h"
#include "core/cpu/top.h"

#include "core/cpu/vec.h"

namespace bulssi::BULSSI_ISA {
namespace {

// Negated comparisons, so that NaN passes.
template <bool Strict, bool Largest, class X>
BULSSI_INLINE auto passes(X x, X limit) {
  if constexpr (Largest)
    return Strict ? !(x <= limit) : !(x < limit);
  else
    return Strict ? !(x >= limit) : !(x > limit);
}

// Bit i is lane i.
template <class T>
BULSSI_INLINE uint32_t bits(Mask<T> m) {
#if defined(__AVX512DQ__)
  if constexpr (sizeof(T) == 4)
    return _mm512_movepi32_mask((__m512i)m.m);
  else
    return _mm512_movepi64_mask((__m512i)m.m);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return uint32_t(_mm256_movemask_ps((__m256)m.m));
  else
    return uint32_t(_mm256_movemask_pd((__m256d)m.m));
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4)
    return uint32_t(_mm_movemask_ps((__m128)m.m));
  else
    return uint32_t(_mm_movemask_pd((__m128d)m.m));
#else
  uint32_t r = 0;
  for (int i = 0; i < Vec<T>::lanes; ++i) r |= uint32_t(m.m[i] != 0) << i;
  return r;
#endif
}

template <class T, bool Strict, bool Largest>
int64_t passing(const void* memory, int64_t n, const void* bound, int32_t* positions) {
  constexpr int lanes = Vec<T>::lanes;
  const T* p = static_cast<const T*>(memory);
  const T limit = *static_cast<const T*>(bound);
  const Vec<T> limits(limit);
  int64_t found = 0, i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    Mask<T> m[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) m[j] = passes<Strict, Largest>(Vec<T>::load(p + i + j * lanes), limits);
    if (!any((m[0] | m[1]) | (m[2] | m[3]))) continue;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      for (uint32_t left = bits(m[j]); left; left &= left - 1)
        positions[found++] = int32_t(i) + j * lanes + __builtin_ctz(left);
    }
  }
  for (; i < n; ++i) {
    positions[found] = int32_t(i);
    found += passes<Strict, Largest>(p[i], limit);
  }
  return found;
}

template <class T, bool Largest>
void bests(const void* memory, int64_t n, void* out) {
  constexpr int lanes = Vec<T>::lanes, count = TopKernels::kBests / lanes;
  const T* p = static_cast<const T*>(memory);
  Vec<T> best[count];
  for (int j = 0; j < count; ++j) best[j] = Vec<T>::load(p + j * lanes);
  for (int64_t i = TopKernels::kBests; i + TopKernels::kBests <= n; i += TopKernels::kBests) {
    for (int j = 0; j < count; ++j) {
      const Vec<T> x = Vec<T>::load(p + i + j * lanes);
      best[j] = Largest ? max_or_second(x, best[j]) : min_or_second(x, best[j]);
    }
  }
  for (int j = 0; j < count; ++j) best[j].store(static_cast<T*>(out) + j * lanes);
}

#define BULSSI_PASSING(strict, largest)                                                                  \
  {passing<float, strict, largest>, passing<double, strict, largest>, passing<int32_t, strict, largest>, \
   passing<int64_t, strict, largest>}
#define BULSSI_BESTS(largest) \
  {bests<float, largest>, bests<double, largest>, bests<int32_t, largest>, bests<int64_t, largest>}
constexpr TopKernels table{{{BULSSI_PASSING(false, false), BULSSI_PASSING(false, true)},
                            {BULSSI_PASSING(true, false), BULSSI_PASSING(true, true)}},
                           {BULSSI_BESTS(false), BULSSI_BESTS(true)}};

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::TopKernels, top, table)
