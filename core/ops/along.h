// Walking tensors of equal shape row by row, for operations that index along one dimension.
#pragma once
#include <atomic>

#include "core/base/threads.h"
#include "core/cpu/gather.h"
#include "core/ops/index.h"

namespace bulssi {

// Integers wrap, bools are or-ed.
struct AddTo {
  template <class T>
  void operator()(T& to, T from) const {
    if constexpr (std::is_same_v<T, bool>)
      to = to | from;
    else if constexpr (std::is_integral_v<T>)
      to = static_cast<T>(uint64_t(to) + uint64_t(from));
    else
      to = T(static_cast<Accumulate<T>>(to) + static_cast<Accumulate<T>>(from));
  }
};

// A 0-d tensor counts as one of a single element.
inline Layout at_least_1d(const Tensor& t) {
  Layout l = t.layout();
  if (l.dims() == 0) l.shape.push_back(1), l.strides.push_back(1);
  return l;
}

// Fails on the first index outside [0, size).
inline void check_range(const int64_t* index, int64_t n, int64_t size, int64_t dim,
                        ErrorKind kind = ErrorKind::runtime) {
  if (!cpu::gather_kernels().outside(n, index, size)) return;
  for (int64_t i = 0; i < n; ++i) {
    if (uint64_t(index[i]) >= uint64_t(size)) {
      fail(kind, "index ", index[i], " is out of bounds for dimension ", dim, " with size ", size);
    }
  }
}

// Is some element of a dense index outside [0, size)?
inline bool any_outside(const Tensor& index, int64_t size) {
  if (without_elements(index)) return false;
  std::atomic<bool> found = false;
  parallel_for(index.numel(), 131072, [&](int64_t begin, int64_t end) {
    if (cpu::gather_kernels().outside(end - begin, index.data<int64_t>() + begin, size)) found = true;
  });
  return found;
}

// to[i] += from[i], which do not overlap; of float and double factor times that.
template <class T>
void add_row(int64_t n, const T* from, T* to, std::type_identity_t<T> factor = T(1)) {
  if constexpr (std::is_same_v<T, float>)
    cpu::gather_kernels().add_f32(n, factor, from, to);
  else if constexpr (std::is_same_v<T, double>)
    cpu::gather_kernels().add_f64(n, factor, from, to);
  else
    for (int64_t i = 0; i < n; ++i) AddTo{}(to[i], from[i]);
}

template <class T>
SumRows<T> sum_rows() {
  if constexpr (std::is_same_v<T, float>)
    return cpu::gather_kernels().sum_rows_f32;
  else
    return cpu::gather_kernels().sum_rows_f64;
}

// to[i] += weight[i] * from[index[i]]
inline void add_picked(int64_t n, const int64_t* index, const float* weight, const float* from, float* to) {
  cpu::gather_kernels().pick_f32(n, index, weight, from, to);
}
inline void add_picked(int64_t n, const int64_t* index, const double* weight, const double* from, double* to) {
  cpu::gather_kernels().pick_f64(n, index, weight, from, to);
}

// Calls f(row, offset of the row in a, offset in b) for the rows [begin, end) of `shape` (its last dimension is the
// row); strides of a and b are given per dimension.
template <class F>
void each_row(const Dims& shape, const Dims& a, const Dims& b, int64_t begin, int64_t end, F&& f) {
  const int outer = shape.dims() - 1;
  Dims at(static_cast<size_t>(outer));
  int64_t rest = begin, oa = 0, ob = 0;
  for (int d = outer; d-- > 0;) {
    at[d] = rest % shape[d];
    rest /= shape[d];
    oa += at[d] * a[d];
    ob += at[d] * b[d];
  }
  for (int64_t row = begin; row < end; ++row) {
    f(row, oa, ob);
    for (int d = outer; d-- > 0;) {
      oa += a[d];
      ob += b[d];
      if (++at[d] < shape[d]) break;
      oa -= shape[d] * a[d];
      ob -= shape[d] * b[d];
      at[d] = 0;
    }
  }
}

// What gather and scatter have in common: a tensor `whole` addressed along `dim` by `index`, beside a tensor `other`
// of at least the index's shape (the result of gather, the source of scatter).
struct Along {
  Dims shape;         // of the index
  Dims whole, other;  // strides; whole's along dim is 0 here, and `step` below
  int64_t step = 1, size = 1, rows = 0, width = 0;
  int dim;
  Tensor index;  // dense int64
  Along(const Layout& whole_layout, int wrapped_dim, const Tensor& index_tensor, const Layout& other_layout)
      : dim(wrapped_dim), index(index_data(index_tensor)) {
    shape = index.shape();
    if (shape.empty()) shape.push_back(1);
    whole = whole_layout.strides;
    other = other_layout.strides;
    step = whole[dim];
    size = whole_layout.shape[dim];
    whole[dim] = 0;
    width = shape.back();
    rows = width ? index.numel() / width : 0;
  }
  void check_bounds() const {
    parallel_for(index.numel(), 262144, [&](int64_t begin, int64_t end) {
      check_range(index.data<int64_t>() + begin, end - begin, size, dim);
    });
  }
  // f(index of a row, its offsets in whole and other, first and last column) so that no two threads meet in `whole`.
  template <class F>
  void each_apart(F&& f) const {
    if (dim == shape.dims() - 1) {
      parallel_for(rows, std::max<int64_t>(1, 32768 / std::max<int64_t>(width, 1)), [&](int64_t begin, int64_t end) {
        each_row(shape, whole, other, begin, end, [&](int64_t row, int64_t w, int64_t o) { f(row, w, o, 0, width); });
      });
    } else {
      parallel_for(width, std::max<int64_t>(64, 32768 / std::max<int64_t>(rows, 1)), [&](int64_t c0, int64_t c1) {
        each_row(shape, whole, other, 0, rows, [&](int64_t row, int64_t w, int64_t o) { f(row, w, o, c0, c1); });
      });
    }
  }
};

}  // namespace bulssi
