// Maximum pooling of 2 x 2 windows; compiled once per ISA.
#include "core/cpu/kernel_table.h"
#include "core/cpu/pool_kernels.h"

#include "core/cpu/reduce_vec.h"

namespace bulssi::BULSSI_ISA {
namespace {

// Every second element of two registers, from `odd` on.
template <int odd, class N, int... I>
BULSSI_INLINE N every_second(N a, N b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + odd)...);
}

// The first `count` elements; the other lanes are 0.
template <class T>
BULSSI_INLINE Vec<T> load_up_to(const T* p, int64_t count) {
  return count >= Vec<T>::lanes ? Vec<T>::load(p) : count > 0 ? load_some(p, int(count)) : Vec<T>(0);
}

template <class T>
void halve(int64_t n, const void* x, int64_t width, int64_t row, void* values, int64_t* indices) {
  using V = Vec<T>;
  using I = typename V::I;
  constexpr int L = V::lanes;
  constexpr auto lanes = std::make_integer_sequence<int, L>();
  const T *top = static_cast<const T*>(x), *low = top + width;
  typename V::NI ramp;
  for (int k = 0; k < L; ++k) ramp[k] = 2 * k;
  for_vectors<T>(n, [&](Piece<T> p) {
    const int64_t at = 2 * p.at, first = 2 * p.count, second = first - L;
    const V a = load_up_to(top + at, first), b = load_up_to(top + at + L, second), d = load_up_to(low + at, first),
            e = load_up_to(low + at + L, second);
    V most = every_second<0>(a.v, b.v, lanes);
    typename V::NI best = ramp;
    // In order, and a nan wins over everything before it.
    const auto take = [&](V v, I place) {
      const Mask<T> wins = (v > most) | (v != v);
      most = select(wins, v, most);
      best = wins.m ? ramp + place : best;
    };
    take(every_second<1>(a.v, b.v, lanes), 1);
    take(every_second<0>(d.v, e.v, lanes), I(width));
    take(every_second<1>(d.v, e.v, lanes), I(width + 1));
    p.store(most, static_cast<T*>(values));
    I places[L];
    int64_t wide[L];
    __builtin_memcpy(places, &best, sizeof places);
    for (int k = 0; k < L; ++k) wide[k] = places[k] + (row + at);
    __builtin_memcpy(indices + p.at, wide, size_t(p.count) * sizeof(int64_t));
  });
}

constexpr PoolKernels table{{halve<float>, halve<double>}};

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::PoolKernels, pool, table)
