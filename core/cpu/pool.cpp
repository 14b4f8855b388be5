#include "core/cpu/pool.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/kernel_table.h"
#include "core/cpu/pool_kernels.h"
#include "core/cpu/reduce.h"

namespace bulssi {
TAKE_KERNELS(PoolKernels, pool)

namespace {

// The part of a window along one dimension that lies inside the input.
struct Range {
  int64_t from, to;  // first and one past last place, `step` apart
};
Range inside(const PoolShape& s, int d, int64_t o) {
  const int64_t step = s.dilation[d];
  int64_t from = o * s.stride[d] - s.padding[d];
  const int64_t to = std::min(from + (s.kernel[d] - 1) * step + 1, s.in[d]);
  if (from < 0) from += (-from + step - 1) / step * step;
  return {from, to};
}

int64_t plane_grain(int64_t work_per_plane) {
  return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, work_per_plane));
}

// f(position of the output, the window's ranges) for all positions of a plane.
template <class F>
void for_windows(const PoolShape& s, F&& f) {
  int64_t i = 0;
  for (int64_t a = 0; a < s.out[0]; ++a) {
    const Range d = inside(s, 0, a);
    for (int64_t b = 0; b < s.out[1]; ++b) {
      const Range h = inside(s, 1, b);
      for (int64_t c = 0; c < s.out[2]; ++c, ++i) f(i, d, h, inside(s, 2, c), a, b, c);
    }
  }
}

template <class T>
void max_plane(const PoolShape& s, const T* x, T* values, int64_t* indices) {
  for_windows(s, [&](int64_t i, Range d, Range h, Range w, int64_t, int64_t, int64_t) {
    int64_t best = (d.from * s.in[1] + h.from) * s.in[2] + w.from;
    T most = x[best];
    for (int64_t p = d.from; p < d.to; p += s.dilation[0]) {
      for (int64_t q = h.from; q < h.to; q += s.dilation[1]) {
        const int64_t row = (p * s.in[1] + q) * s.in[2];
        for (int64_t r = w.from; r < w.to; r += s.dilation[2]) {
          const T v = x[row + r];
          if (v > most || v != v) {
            most = v;
            best = row + r;
          }
        }
      }
    }
    values[i] = most;
    indices[i] = best;
  });
}

// Windows of 2 x 2 side by side, inside the input: the usual case.
bool is_halving(const PoolShape& s) {
  return s.out[0] == 1 && s.kernel[0] == 1 && s.padding[0] == 0 && s.kernel[1] == 2 && s.kernel[2] == 2 &&
         s.stride[1] == 2 && s.stride[2] == 2 && s.padding[1] == 0 && s.padding[2] == 0 && s.dilation[1] == 1 &&
         s.dilation[2] == 1 && s.out[1] * 2 <= s.in[1] && s.out[2] * 2 <= s.in[2] && s.in[0] == 1;
}
template <class T>
void max_halving(const PoolShape& s, const T* x, T* values, int64_t* indices) {
  const auto halve = pool_kernels().halve[sizeof(T) == 8];
  for (int64_t b = 0; b < s.out[1]; ++b) {
    const int64_t row = 2 * b * s.in[2], to = b * s.out[2];
    halve(s.out[2], x + row, s.in[2], row, values + to, indices + to);
  }
}

// By how much the sum of a window is divided.
int64_t count_of(const PoolShape& s, Range d, Range h, Range w, int64_t a, int64_t b, int64_t c) {
  if (s.divisor != 0) return s.divisor;
  if (!s.count_padding) {
    return std::max<int64_t>(0, d.to - d.from) * std::max<int64_t>(0, h.to - h.from) *
           std::max<int64_t>(0, w.to - w.from);
  }
  int64_t count = 1;
  const int64_t at[] = {a, b, c};
  for (int i = 0; i < 3; ++i) {
    const int64_t from = at[i] * s.stride[i] - s.padding[i];
    count *= std::min(from + s.kernel[i], s.in[i] + s.padding[i]) - from;
  }
  return count;
}

// Whether every window lies inside the input, so that all have the same count.
bool all_inside(const PoolShape& s) {
  for (int d = 0; d < 3; ++d) {
    if (s.padding[d] != 0 || (s.out[d] - 1) * s.stride[d] + s.kernel[d] > s.in[d]) return false;
  }
  return true;
}
// Row by row of the output: each element of the windows for all of them at a time, so that no sum waits for itself.
template <class T>
void avg_plane_inside(const PoolShape& s, const T* x, T* y) {
  const T count = static_cast<T>(s.divisor != 0 ? s.divisor : s.taps());
  const int64_t width = s.out[2], step = s.stride[2];
  for (int64_t a = 0; a < s.out[0]; ++a) {
    for (int64_t b = 0; b < s.out[1]; ++b, y += width) {
      if (std::is_floating_point_v<T> && width == 1 && s.kernel[2] == s.in[2] && s.kernel[0] == 1) {
        const auto sum = cpu::reduce_kernels().row[int(cpu::Monoid::sum)][int(cpu::compute_of(dtype_of<T>))];
        sum(s.kernel[1] * s.in[2], x + (a * s.stride[0] * s.in[1] + b * s.stride[1]) * s.in[2], nullptr, y);
      } else {
        std::fill_n(y, width, T(0));
        for (int64_t p = 0; p < s.kernel[0]; ++p) {
          for (int64_t q = 0; q < s.kernel[1]; ++q) {
            const T* row = x + ((a * s.stride[0] + p) * s.in[1] + b * s.stride[1] + q) * s.in[2];
            for (int64_t r = 0; r < s.kernel[2]; ++r)
              for (int64_t c = 0; c < width; ++c) y[c] += row[c * step + r];
          }
        }
      }
      for (int64_t c = 0; c < width; ++c) y[c] = y[c] / count;
    }
  }
}

template <class T>
void avg_plane(const PoolShape& s, const T* x, T* y) {
  if (all_inside(s)) return avg_plane_inside(s, x, y);
  for_windows(s, [&](int64_t i, Range d, Range h, Range w, int64_t a, int64_t b, int64_t c) {
    T sum = 0;
    for (int64_t p = d.from; p < d.to; ++p) {
      for (int64_t q = h.from; q < h.to; ++q) {
        const T* row = x + (p * s.in[1] + q) * s.in[2];
        for (int64_t r = w.from; r < w.to; ++r) sum += row[r];
      }
    }
    const int64_t count = count_of(s, d, h, w, a, b, c);
    y[i] = count == 0 ? T(0) : sum / static_cast<T>(count);
  });
}
template <class T>
void avg_plane_adjoint(const PoolShape& s, const T* g, T* x) {
  std::memset(x, 0, s.in_size() * sizeof(T));
  for_windows(s, [&](int64_t i, Range d, Range h, Range w, int64_t a, int64_t b, int64_t c) {
    const int64_t count = count_of(s, d, h, w, a, b, c);
    if (count == 0) return;
    const T part = g[i] / static_cast<T>(count);
    for (int64_t p = d.from; p < d.to; ++p) {
      for (int64_t q = h.from; q < h.to; ++q) {
        T* row = x + (p * s.in[1] + q) * s.in[2];
        for (int64_t r = w.from; r < w.to; ++r) row[r] += part;
      }
    }
  });
}

}  // namespace

void max_pool_kernel(DType dtype, const PoolShape& s, const void* x, void* values, int64_t* indices) {
  dispatch(dtype, "max_pool2d", [&]<class T>() {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
      const bool halving = std::is_floating_point_v<T> && is_halving(s);
      parallel_for(s.planes, plane_grain(s.out_size() * s.taps()), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          const T* from = static_cast<const T*>(x) + p * s.in_size();
          T* to = static_cast<T*>(values) + p * s.out_size();
          if constexpr (std::is_floating_point_v<T>) {
            if (halving) {
              max_halving<T>(s, from, to, indices + p * s.out_size());
              continue;
            }
          }
          max_plane<T>(s, from, to, indices + p * s.out_size());
        }
      });
    } else {
      fail(ErrorKind::not_implemented, "\"max_pool2d\" not implemented for '", legacy_name(dtype), "'");
    }
  });
}

// The indices are results that the program may have changed since.
static void check_place(int64_t index, int64_t size) {
  check(static_cast<uint64_t>(index) < static_cast<uint64_t>(size), ErrorKind::index, "the index ", index,
        " of an element that was the largest is out of bounds for a plane of ", size, " elements");
}

void plane_scatter(DType dtype, int64_t planes, int64_t from_size, int64_t to_size, const void* from,
                   const int64_t* indices, void* to) {
  dispatch(dtype, "max_pool2d_backward", [&]<class T>() {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
      parallel_for(planes, plane_grain(from_size + to_size), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          const T* g = static_cast<const T*>(from) + p * from_size;
          const int64_t* at = indices + p * from_size;
          T* sum = static_cast<T*>(to) + p * to_size;
          std::memset(sum, 0, to_size * sizeof(T));
          for (int64_t i = 0; i < from_size; ++i) {
            check_place(at[i], to_size);
            sum[at[i]] = static_cast<T>(sum[at[i]] + g[i]);
          }
        }
      });
    }
  });
}
void plane_gather(DType dtype, int64_t planes, int64_t from_size, int64_t to_size, const void* from,
                  const int64_t* indices, void* to) {
  dispatch_size(itemsize(dtype), [&]<class T>() {
    parallel_for(planes, plane_grain(to_size), [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const T* source = static_cast<const T*>(from) + p * from_size;
        for (int64_t i = p * to_size; i < (p + 1) * to_size; ++i) {
          check_place(indices[i], from_size);
          static_cast<T*>(to)[i] = source[indices[i]];
        }
      }
    });
  });
}

namespace {
template <class Plane>
void average(DType dtype, const PoolShape& s, Plane&& plane) {
  parallel_for(s.planes, plane_grain(s.out_size() * s.taps()), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      if (dtype == DType::f32)
        plane.template operator()<float>(p);
      else if (dtype == DType::f64)
        plane.template operator()<double>(p);
      else
        plane.template operator()<int64_t>(p);
    }
  });
}
}  // namespace

void avg_pool_kernel(DType dtype, const PoolShape& s, const void* x, void* y) {
  average(dtype, s, [&]<class T>(int64_t p) {
    avg_plane<T>(s, static_cast<const T*>(x) + p * s.in_size(), static_cast<T*>(y) + p * s.out_size());
  });
}
void avg_pool_adjoint(DType dtype, const PoolShape& s, const void* g, void* x) {
  average(dtype, s, [&]<class T>(int64_t p) {
    avg_plane_adjoint<T>(s, static_cast<const T*>(g) + p * s.out_size(), static_cast<T*>(x) + p * s.in_size());
  });
}

}  // namespace bulssi
