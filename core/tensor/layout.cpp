#include "core/tensor/layout.h"

namespace bulssi {

void fail_dim(int64_t dim, int64_t range) {
  check(range != 0, ErrorKind::index, "Dimension specified as ", dim, " but tensor has no dimensions");
  fail(ErrorKind::index, "Dimension out of range (expected to be in range of [", -range, ", ", range - 1, "], but got ",
       dim, ")");
}

Small<int, 6> Layout::order() const {
  Small<int, 6> walk;
  for (int i = 0; i < dims(); ++i) {
    walk.push_back(i);
    for (int at = i; at > 0 && std::abs(strides[walk[at - 1]]) < std::abs(strides[i]); --at) {
      std::swap(walk[at], walk[at - 1]);
    }
  }
  return walk;
}

bool Layout::dense() const {
  int64_t expected = 1;
  const auto walk = order();
  for (int k = dims(); k-- > 0;) {
    const int i = walk[k];
    if (shape[i] == 0) return true;
    if (shape[i] == 1) continue;
    if (strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

Layout Layout::diagonal(int a, int b, int64_t at) const {
  Layout made = squeezed(std::max(a, b)).squeezed(std::min(a, b));
  const int64_t rows = shape[a], columns = shape[b];
  const int64_t n =
      std::max<int64_t>(at >= 0 ? std::min(rows, columns - at) : std::min(std::max<int64_t>(rows + at, 0), columns), 0);
  if (n > 0) made.offset += at >= 0 ? at * strides[b] : -at * strides[a];
  made.shape.push_back(n);
  made.strides.push_back(strides[a] + strides[b]);
  return made;
}

std::optional<Layout> Layout::viewed(Ints wanted) const {
  if (numel() == 0) return Layout{Dims(wanted), Dims(wanted) == shape ? strides : contiguous_strides(wanted), offset};
  Layout made{Dims(wanted), Dims(wanted.size()), offset};
  if (dims() == 0) {
    for (auto& stride : made.strides) stride = 1;
    return made;
  }
  // Walk both shapes from the back in chunks: maximal runs of old dimensions that lie evenly in memory must be
  // covered exactly by new dimensions.
  int to = static_cast<int>(wanted.size()) - 1;
  int64_t base = strides.back();
  int64_t chunk = 1, covered = 1;
  for (int from = dims() - 1; from >= 0; --from) {
    chunk *= shape[from];
    if (from > 0 && (shape[from - 1] == 1 || strides[from - 1] == chunk * base)) continue;
    while (to >= 0 && (covered < chunk || wanted[to] == 1)) {
      made.strides[to] = covered * base;
      covered *= wanted[to];
      --to;
    }
    if (covered != chunk) return std::nullopt;
    if (from > 0) {
      base = strides[from - 1];
      chunk = covered = 1;
    }
  }
  if (to != -1) return std::nullopt;
  return made;
}

Dims broadcast_shapes(Ints a, Ints b) {
  const size_t n = std::max(a.size(), b.size());
  Dims out(n);
  for (size_t i = 0; i < n; ++i) {  // i counts from the back
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) {
      fail("The size of tensor a (", x, ") must match the size of tensor b (", y, ") at non-singleton dimension ",
           n - 1 - i, "\nThe shapes ", a, " and ", b,
           " cannot be broadcast: counted from the last dimension, sizes "
           "must be equal or 1.");
    }
    out[n - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

Dims infer_shape(Ints shape, int64_t numel) {
  Dims out(shape);
  int64_t known = 1;
  int unknown = -1;
  for (int i = 0; i < out.dims(); ++i) {
    if (out[i] == -1) {
      check(unknown < 0, "only one dimension can be inferred");
      unknown = i;
    } else {
      check(out[i] >= 0, "invalid shape dimension ", out[i], " at index ", i, " of shape ", shape);
      if (__builtin_mul_overflow(known, out[i], &known)) {
        fail("shape '", shape, "' is invalid for input of size ", numel);
      }
    }
  }
  if (unknown >= 0) {
    check(known != 0 || numel != 0, "cannot reshape tensor of 0 elements into shape ", shape,
          " because the unspecified dimension size -1 can be any value and is ambiguous");
    check(known != 0 && numel % known == 0, "shape '", shape, "' is invalid for input of size ", numel);
    out[unknown] = numel / known;
  } else {
    check(known == numel, "shape '", shape, "' is invalid for input of size ", numel);
  }
  return out;
}

}  // namespace bulssi
