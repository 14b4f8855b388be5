// Checking and following index vectors; compiled once per ISA.
#include "core/cpu/gather.h"
#include "core/cpu/kernel_table.h"
#include "core/cpu/vec.h"

namespace bulssi::BULSSI_ISA {
namespace {

bool outside(int64_t n, const int64_t* index, int64_t size) {
  uint64_t bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= uint64_t(uint64_t(index[i]) >= uint64_t(size));
  return bad != 0;
}

template <bool add>
bool place_each(int64_t n, const int64_t* index, int64_t size, int64_t stride, int64_t* to) {
  uint64_t bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t v = index[i] + (index[i] < 0 ? size : 0);
    bad |= uint64_t(uint64_t(v) >= uint64_t(size));
    to[i] = (add ? to[i] : 0) + v * stride;
  }
  return bad != 0;
}
bool place(int64_t n, const int64_t* index, int64_t size, int64_t stride, bool add, int64_t* to) {
  return add ? place_each<true>(n, index, size, stride, to) : place_each<false>(n, index, size, stride, to);
}

template <class T>
void read(int64_t n, const int64_t* offsets, const void* from, void* to) {
  const T* f = static_cast<const T*>(from);
  T* t = static_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) t[i] = f[offsets[i]];
}

// Blocks of known length become shuffles of registers.
template <class T>
void reverse(int64_t n, const void* from, void* to) {
  constexpr int64_t block = 64 / int64_t{sizeof(T)};
  const T* f = static_cast<const T*>(from);
  T* t = static_cast<T*>(to);
  int64_t i = 0;
  for (; i + block <= n; i += block) {
    T piece[block];
    for (int64_t j = 0; j < block; ++j) piece[j] = f[j - i - block + 1];
    for (int64_t j = 0; j < block; ++j) t[i + j] = piece[block - 1 - j];
  }
  for (; i < n; ++i) t[i] = f[-i];
}

template <class T>
void add(int64_t n, T factor, const T* __restrict from, T* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

// `vectors` registers' worth of columns at a time, so that the sums stay in registers.
template <class T, int vectors>
int64_t sum_columns(int64_t a, int64_t width, int64_t count, const int64_t* index, int64_t skip, const T* factor,
                    const T* from, T* to) {
  constexpr int lanes = Vec<T>::lanes;
  for (; a + vectors * lanes <= width; a += vectors * lanes) {
    typename Vec<T>::N sum[vectors] = {};
    for (int64_t i = 0; i < count; ++i) {
      if (index[i] == skip) continue;
      const T* row = from + index[i] * width + a;
      const T scale = factor ? factor[i] : T(1);
      for (int v = 0; v < vectors; ++v) sum[v] += scale * Vec<T>::load(row + v * lanes).v;
    }
    for (int v = 0; v < vectors; ++v) Vec<T>(sum[v]).store(to + a + v * lanes);
  }
  return a;
}
template <class T>
void sum_rows(int64_t width, int64_t count, const int64_t* index, int64_t skip, const T* factor, const T* from, T* to) {
  int64_t a = sum_columns<T, 4>(0, width, count, index, skip, factor, from, to);
  a = sum_columns<T, 1>(a, width, count, index, skip, factor, from, to);
  for (; a < width; ++a) {
    T sum = 0;
    for (int64_t i = 0; i < count; ++i)
      if (index[i] != skip) sum += (factor ? factor[i] : T(1)) * from[index[i] * width + a];
    to[a] = sum;
  }
}

template <class T>
void pick(int64_t n, const int64_t* __restrict index, const T* __restrict weight, const T* __restrict from,
          T* __restrict to) {
  for (int64_t i = 0; i < n; ++i) to[i] += weight[i] * from[index[i]];
}

constexpr GatherKernels table{outside,
                              place,
                              {read<uint8_t>, read<uint16_t>, read<uint32_t>, read<uint64_t>},
                              {reverse<uint8_t>, reverse<uint16_t>, reverse<uint32_t>, reverse<uint64_t>},
                              add<float>,
                              add<double>,
                              sum_rows<float>,
                              sum_rows<double>,
                              pick<float>,
                              pick<double>};

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::GatherKernels, gather, table)
