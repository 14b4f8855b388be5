// Shape, strides and offset, and the arithmetic of views. Nothing here touches memory.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>

#include "core/base/error.h"
#include "core/base/small.h"

namespace bulssi {

using Dims = Small<int64_t, 6>;
using Ints = std::span<const int64_t>;

inline int64_t numel_of(Ints shape) {
  int64_t n = 1;
  bool overflow = false;
  bool empty = false;
  for (int64_t s : shape) {
    if (s == 0)
      empty = true;
    else
      overflow |= __builtin_mul_overflow(n, s, &n);
  }
  if (empty) return 0;
  check(!overflow, "numel: integer multiplication overflow: the shape ", shape, " has more than 2^63 elements");
  return n;
}

inline Dims contiguous_strides(Ints shape) {
  Dims strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    // Without overflow only in a shape that has elements: [2**62, 4, 0] has strides, which are never used.
    step = static_cast<int64_t>(static_cast<uint64_t>(step) * static_cast<uint64_t>(std::max<int64_t>(shape[i], 1)));
  }
  return strides;
}

[[noreturn, gnu::cold]] void fail_dim(int64_t dim, int64_t range);
// A dimension given by the user, in [-n, n), made non-negative. 0-d tensors accept -1 and 0.
inline int wrap_dim(int64_t dim, int64_t n, bool wrap_scalar = true) {
  const int64_t range = n == 0 && wrap_scalar ? 1 : n;
  if (dim < -range || dim >= range) fail_dim(dim, range);
  return static_cast<int>(dim < 0 ? dim + range : dim);
}

struct Layout {
  Dims shape;
  Dims strides;  // in elements; 0 repeats, negative runs backwards
  int64_t offset = 0;

  int dims() const { return shape.dims(); }
  int64_t numel() const { return numel_of(shape); }
  bool contiguous() const {
    int64_t expected = 1;
    for (int i = dims(); i-- > 0;) {
      if (shape[i] == 0) return true;
    }
    for (int i = dims(); i-- > 0;) {
      if (shape[i] == 1) continue;
      if (strides[i] != expected) return false;
      expected *= shape[i];
    }
    return true;
  }
  static Layout of(Ints shape) { return {Dims(shape), contiguous_strides(shape), 0}; }

  // The lowest and the highest element offset in use; {0, -1} when there is none.
  std::pair<int64_t, int64_t> extent() const {
    int64_t low = offset, high = offset;
    for (int i = 0; i < dims(); ++i) {
      if (shape[i] == 0) return {0, -1};
      (strides[i] < 0 ? low : high) += (shape[i] - 1) * strides[i];
    }
    return {low, high};
  }

  // Dimensions by falling stride: the order in which memory is walked best.
  Small<int, 6> order() const;
  // No two indices meet, and the elements fill their extent.
  bool dense() const;
  // Some element is surely reachable by two indices (PyTorch's test: a stride of 0 over a size above 1), or dims
  // interleave so that it cannot be excluded.
  bool overlaps_itself() const {
    for (int i = 0; i < dims(); ++i) {
      if (shape[i] == 0) return false;
    }
    for (int i = 0; i < dims(); ++i) {
      if (shape[i] > 1 && strides[i] == 0) return true;
    }
    return false;
  }

  Layout transposed(int a, int b) const {
    Layout made = *this;
    if (dims() == 0) return made;
    std::swap(made.shape[a], made.shape[b]);
    std::swap(made.strides[a], made.strides[b]);
    return made;
  }
  Layout permuted(Ints dims_) const {
    Layout made = *this;
    for (size_t i = 0; i < dims_.size(); ++i) {
      made.shape[i] = shape[dims_[i]];
      made.strides[i] = strides[dims_[i]];
    }
    return made;
  }
  Layout selected(int dim, int64_t index) const {
    Layout made = *this;
    made.offset += index * strides[dim];
    made.shape.erase(dim);
    made.strides.erase(dim);
    return made;
  }
  // Elements start, start + step, … of a dimension, `count` of them.
  Layout sliced(int dim, int64_t start, int64_t count, int64_t step) const {
    Layout made = *this;
    if (count > 0) made.offset += start * strides[dim];
    made.shape[dim] = count;
    made.strides[dim] *= step;
    return made;
  }
  Layout unsqueezed(int dim) const {
    Layout made = *this;
    made.strides.insert(dim, dim < dims() ? shape[dim] * strides[dim] : 1);
    made.shape.insert(dim, 1);
    return made;
  }
  Layout squeezed(int dim) const {
    Layout made = *this;
    made.shape.erase(dim);
    made.strides.erase(dim);
    return made;
  }
  // The elements [i, i + offset] of dimensions a and b ([i - offset, i] for negative offsets) as the last dimension.
  Layout diagonal(int a, int b, int64_t offset) const;
  // The same elements broadcast to `wanted` (sizes must already agree): repeated dimensions get stride 0.
  Layout broadcast(Ints wanted) const {
    Layout made{Dims(wanted), Dims(wanted.size()), offset};
    const int lead = static_cast<int>(wanted.size()) - dims();
    for (int i = 0; i < dims(); ++i) {
      made.strides[lead + i] = shape[i] == wanted[lead + i] ? strides[i] : 0;
    }
    return made;
  }
  // The strides that show these elements in another shape without copying, if there are any.
  std::optional<Layout> viewed(Ints wanted) const;
};

// The common shape of two shapes under broadcasting; fails as PyTorch does.
Dims broadcast_shapes(Ints a, Ints b);
// `shape` with its one -1 replaced by what `numel` leaves.
Dims infer_shape(Ints shape, int64_t numel);

}  // namespace bulssi
