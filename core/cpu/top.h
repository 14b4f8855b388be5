// Kernels that find the elements which may be among the first k of a row. Plain data only: included on both sides of
// the ISA border.
#pragma once
#include <cstdint>
#include <type_traits>

namespace bulssi {

struct TopKernels {
  static constexpr int kBests = 64;
  static constexpr int64_t kMost = 1024;
  // Positions in [0, n), n <= kMost, whose element is not worse than `limit` (strict: is better), in order; how many. A
  // NaN, and anything beside a limit that is one, counts as not worse: the caller decides. [strict][largest][type]
  int64_t (*passing[2][2][4])(const void* p, int64_t n, const void* limit, int32_t* positions);
  // Element j is the best of those at j, j + kBests, ...; n is at least kBests. NaNs may be passed over.
  // [largest][type]
  void (*bests[2][4])(const void* p, int64_t n, void* out);
};
// The type's place in the tables above; -1: there are no kernels for it.
template <class T>
inline constexpr int top_type = std::is_same_v<T, float>     ? 0
                                : std::is_same_v<T, double>  ? 1
                                : std::is_same_v<T, int32_t> ? 2
                                : std::is_same_v<T, int64_t> ? 3
                                                             : -1;

namespace cpu {
const TopKernels& top_kernels();  // of the chosen ISA
}

}  // namespace bulssi
