// Operations with boolean masks.
#include "core/cpu/mask.h"

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/index.h"

namespace bulssi {

Tensor mask_data(const Tensor& t) { return dense(cast_data(t, DType::boolean)); }

MaskCount::MaskCount(const Tensor& mask) {
  const int64_t n = mask.numel(), blocks = (n + block - 1) / block;
  const auto* m = mask.data<uint8_t>();
  starts.resize(size_t(blocks) + 1);
  parallel_for(blocks, 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      starts[size_t(b) + 1] = cpu::mask_kernels().count(std::min(block, n - b * block), m + b * block);
    }
  });
  for (size_t b = 0; b < size_t(blocks); ++b) starts[b + 1] += starts[b];
  total = starts[size_t(blocks)];
}

namespace {

// Calls f(first element, elements, set elements before, set elements inside) for each block, in parallel.
template <class F>
void each_mask_block(const MaskCount& count, int64_t n, F&& f) {
  parallel_for(static_cast<int64_t>(count.starts.size()) - 1, 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t before = count.starts[size_t(b)], inside = count.starts[size_t(b) + 1] - before;
      if (inside > 0) f(b * MaskCount::block, std::min(MaskCount::block, n - b * MaskCount::block), before, inside);
    }
  });
}

int log2_size(DType d) {
  const int size = itemsize(d);
  return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : size == 8 ? 3 : -1;
}

}  // namespace

Tensor mask_positions(const Tensor& mask) {
  const Tensor m = mask_data(mask);
  const MaskCount count(m);
  const int64_t shape[] = {count.total};
  Tensor out = empty(shape, DType::i64);
  const Unlocked unlocked(m.numel());
  each_mask_block(count, m.numel(), [&](int64_t at, int64_t n, int64_t before, int64_t inside) {
    cpu::mask_kernels().positions(n, m.data<uint8_t>() + at, inside, at, out.data<int64_t>() + before);
  });
  return out;
}

namespace {

// Row-major positions (ascending) to one column of coordinates per dimension.
void unravel(const int64_t* positions, int64_t n, const Dims& shape, int64_t* const* columns) {
  const int dims = shape.dims();
  parallel_for(n, 16384, [&](int64_t begin, int64_t end) {
    const int64_t last = shape[dims - 1];
    int64_t row_end = -1, row_start = 0;  // of the current row of the last dimension
    Dims at(shape.size());
    for (int64_t i = begin; i < end; ++i) {
      const int64_t p = positions[i];
      if (p >= row_end) {
        int64_t row = p / last;
        row_start = row * last;
        row_end = row_start + last;
        for (int d = dims - 1; d-- > 0;) {
          at[d] = row % shape[d];
          row /= shape[d];
        }
      }
      for (int d = 0; d < dims - 1; ++d) columns[d][i] = at[d];
      columns[dims - 1][i] = p - row_start;
    }
  });
}

}  // namespace

std::vector<Tensor> nonzero_columns(const Tensor& t) {
  std::vector<Tensor> out;
  if (t.dims() == 0) return out;
  Tensor positions = mask_positions(t);
  if (t.dims() == 1) return {positions};
  Small<int64_t*, 6> columns;
  for (int d = 0; d < t.dims(); ++d) {
    out.push_back(empty(positions.shape(), DType::i64));
    columns.push_back(out.back().data<int64_t>());
  }
  unravel(positions.data<int64_t>(), positions.numel(), t.shape(), columns.data());
  return out;
}

// The result lies column by column, so that as_tuple is a matter of views.
Tensor nonzero(const Tensor& t) {
  const Tensor positions = mask_positions(t);
  const int64_t n = positions.numel(), dims = t.dims();
  const int64_t shape[] = {dims, n};
  if (dims == 0) return empty(Dims{n, 0}, DType::i64);
  if (dims == 1) return alias(positions, Layout{Dims{n, 1}, Dims{1, 1}, 0});
  Tensor out = empty(shape, DType::i64);
  Small<int64_t*, 6> columns;
  for (int64_t d = 0; d < dims; ++d) columns.push_back(out.data<int64_t>() + d * n);
  unravel(positions.data<int64_t>(), n, t.shape(), columns.data());
  return alias(out, Layout{Dims{n, dims}, Dims{1, n}, 0});
}

namespace {
std::vector<Tensor> nonzero_parts(const Tensor& t) {
  const Tensor whole = nonzero(t.dims() == 0 ? alias(t, Layout::of(Dims{1})) : t);
  std::vector<Tensor> parts;
  for (int d = 0; d < std::max(1, t.dims()); ++d) parts.push_back(alias(whole, whole.layout().selected(1, d)));
  return parts;
}
}  // namespace
OPERATION("nonzero(Tensor self) -> Tensor", nonzero,
          "The indices of the elements that are not zero, [n, dimensions], in row-major order.",
          {.out = true, .differentiable = false})
OPERATION("nonzero(Tensor self, *, bool as_tuple) -> Tensor[]", (+[](const Tensor& self, bool as_tuple) {
            return as_tuple ? outcome(nonzero_parts(self)) : outcome(nonzero(self));
          }),
          "With as_tuple, one index tensor per dimension, fit for x[…].", {.differentiable = false})
OPERATION("nonzero_static(Tensor self, *, int size, int fill_value=-1) -> Tensor",
          (+[](const Tensor& self, int64_t size, int64_t fill) {
            check(size >= 0, "nonzero_static: 'size' must be an non-negative integer");
            const Tensor found = nonzero(self);
            Tensor out = full(Dims{size, self.dims()}, Scalar(fill), DType::i64);
            const int64_t n = std::min(size, found.shape()[0]);
            copy_data(alias(out, out.layout().sliced(0, 0, n, 1)), alias(found, found.layout().sliced(0, 0, n, 1)));
            return out;
          }),
          "nonzero with a fixed number of rows: cut off, or filled up with fill_value.", {.differentiable = false})
OPERATION("argwhere(Tensor self) -> Tensor", nonzero, "The indices of the elements that are not zero, [n, dimensions].",
          {.differentiable = false})
OPERATION("where(Tensor condition) -> Tensor[]", nonzero_parts, "One argument: condition.nonzero(as_tuple=True).",
          {.differentiable = false})

// ---- fill -----------------------------------------------------------------------------------------------------------

void masked_fill_data(const Tensor& self, const Tensor& mask, const Tensor& value) {
  if (self.numel() == 0 || without_elements(self)) return;
  const Tensor m = mask_data(mask.shape() == self.shape() ? mask : alias(mask, mask.layout().broadcast(self.shape())));
  const Tensor to = dense(self);
  const int kernel = log2_size(self.dtype());
  {
    const Unlocked unlocked(self.numel());
    parallel_for(to.numel(), 65536, [&](int64_t begin, int64_t end) {
      const uint8_t* set = m.data<uint8_t>();
      if (kernel >= 0) {
        char* out = to->data() + begin * itemsize(self.dtype());
        return cpu::mask_kernels().fill[kernel](end - begin, set + begin, value->data(), out);
      }
      for (int64_t i = begin; i < end; ++i) {
        if (set[i]) to.data<Complex128>()[i] = *value.data<Complex128>();
      }
    });
  }
  if (!to.same(self)) copy_data(self, to);
}

namespace {

void check_mask(const Tensor& mask, const char* op) {
  check(mask.dtype() == DType::boolean, op, "_ only supports boolean masks, but got mask with dtype ", mask.dtype());
}
void check_mask_fits(const Tensor& self, const Tensor& mask) {
  const Dims both = broadcast_shapes(self.shape(), mask.shape());
  check(both == self.shape(), "output with shape ", Ints(self.shape()), " doesn't match the broadcast shape ",
        Ints(both));
}

struct MaskedFill {
  static constexpr bool row_major = true;
  static constexpr Overlap overlap = Overlap::deprecated;
  static void write(const Tensor& self, const Tensor& mask, Scalar value) {
    check_mask(mask, "masked_fill");
    check_mask_fits(self, mask);
    check_fits(value, self.dtype());
    masked_fill_data(self, apart(mask, self), full({}, value, self.dtype()));
  }
  static Ref<Node> node(const Tensor& self, const Tensor& mask, Scalar) {
    Ref<Node> node = make_node("MaskedFillBackward0", {&self},
                               [](BackwardCall& c) { c.set(0, masked_fill(c.grad(), c.saved(0), Scalar(0))); });
    node->saved.push_back(Saved(mask, false));
    return node;
  }
};
struct MaskedFillTensor {
  static constexpr bool row_major = true;
  static constexpr Overlap overlap = Overlap::deprecated;
  static void write(const Tensor& self, const Tensor& mask, const Tensor& value) {
    check(value.dims() == 0, "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with ",
          value.dims(), " dimension(s).");
    check_mask(mask, "masked_fill");
    check_mask_fits(self, mask);
    check(is_complex(self.dtype()) || !is_complex(value.dtype()), "value cannot be converted to type ", self.dtype(),
          " without overflow");
    masked_fill_data(self, apart(mask, self), apart(cast_data(value, self.dtype()), self));
  }
  static Ref<Node> node(const Tensor& self, const Tensor& mask, const Tensor& value) {
    Ref<Node> node = make_node("MaskedFillBackward1", {&self, &value}, [dtype = value.dtype()](BackwardCall& c) {
      if (c.needs(0)) c.set(0, masked_fill(c.grad(), c.saved(0), Scalar(0)));
      if (c.needs(1)) {
        const Tensor zero = zeros({}, c.grad().dtype());
        c.set(1, cast(sum(select(c.saved(0), c.grad(), zero), std::nullopt, false, std::nullopt), dtype));
      }
    });
    node->saved.push_back(Saved(mask, false));
    return node;
  }
};

// self and mask broadcast together; self expanded in the graph.
Tensor widened(const Tensor& self, const Tensor& mask) {
  const Dims both = broadcast_shapes(self.shape(), mask.shape());
  return both == self.shape() ? self : expand(self, both);
}

}  // namespace

Tensor masked_fill(const Tensor& self, const Tensor& mask, Scalar value) {
  return alter<MaskedFill, const Tensor&, Scalar>(widened(self, mask), mask, value);
}
ALTER("masked_fill(Tensor self, Tensor mask, Scalar value) -> Tensor", MaskedFill,
      "Elements where mask is True become value.", {.function = false, .method = false})
ALTER("masked_fill(Tensor self, Tensor mask, Tensor value) -> Tensor", MaskedFillTensor,
      "Elements where mask is True become value, a 0-d tensor.", {.function = false, .method = false})
OPERATION("masked_fill(Tensor self, Tensor mask, Scalar value) -> Tensor", masked_fill,
          "self with value where mask (bool, broadcast with self) is True.")
OPERATION("masked_fill(Tensor self, Tensor mask, Tensor value) -> Tensor",
          (+[](const Tensor& self, const Tensor& mask, const Tensor& value) {
            return alter<MaskedFillTensor, const Tensor&, const Tensor&>(widened(self, mask), mask, value);
          }),
          "self with value, a 0-d tensor, where mask is True.")

// ---- select ---------------------------------------------------------------------------------------------------------

Tensor masked_select(const Tensor& self, const Tensor& mask) {
  check(mask.dtype() == DType::boolean, "masked_select: expected BoolTensor for mask");
  const Tensor x = widened(self, mask);
  const Tensor m = mask_data(mask.shape() == x.shape() ? mask : alias(mask, mask.layout().broadcast(x.shape())));
  Tensor out;
  {
    const Tensor from = dense(x);
    const MaskCount count(m);
    const int64_t shape[] = {count.total};
    out = empty(shape, self.dtype());
    const Unlocked unlocked(m.numel());
    const int size = itemsize(self.dtype()), kernel = log2_size(self.dtype());
    each_mask_block(count, m.numel(), [&](int64_t at, int64_t n, int64_t before, int64_t inside) {
      const uint8_t* set = m.data<uint8_t>() + at;
      if (kernel >= 0) {
        cpu::mask_kernels().compress[kernel](n, set, inside, from->data() + at * size, out->data() + before * size);
      } else {
        const Complex128* f = from.data<Complex128>() + at;
        Complex128* t = out.data<Complex128>() + before;
        for (int64_t i = 0, k = 0; k < inside; ++i) {
          if (set[i]) t[k++] = f[i];
        }
      }
    });
  }
  return record("MaskedSelectBackward0", {&x}, out,
                [shape = x.shape()](BackwardCall& c) {
                  c.set(0, masked_scatter(zeros(shape, c.grad().dtype()), c.saved(0), c.grad()));
                },
                {keep(mask), keep(x)});  // as PyTorch, which notices that self was changed
}
OPERATION("masked_select(Tensor self, Tensor mask) -> Tensor", masked_select,
          "The elements of self where mask (bool, broadcast with self) is True, as one dimension.",
          {.out = true, .apart = true})

// ---- scatter --------------------------------------------------------------------------------------------------------

namespace {

// The gradients of the elements that were taken from source, in its shape.
Tensor masked_scatter_backward(const Tensor& g, const Tensor& mask, const Dims& shape) {
  const Tensor taken = masked_select(g, mask);
  const int64_t all = numel_of(shape);
  Layout part = Layout::of(Dims{all});
  part.shape[0] = taken.numel();
  return reshape(embed(taken, Dims{all}, part), shape);
}

struct MaskedScatter {
  static constexpr bool row_major = true;
  static void write(const Tensor& self, const Tensor& mask, const Tensor& source) {
    check(self.dtype() == source.dtype(), "masked_scatter: expected self and source to have same dtypes but got",
          legacy_name(self.dtype()), " and ", legacy_name(source.dtype()));
    check(mask.dtype() == DType::boolean, "masked_scatter_ only supports boolean masks, but got mask with dtype ",
          legacy_name(mask.dtype()));
    check_mask_fits(self, mask);
    const Tensor m = mask_data(
        apart(mask.shape() == self.shape() ? mask : alias(mask, mask.layout().broadcast(self.shape())), self));
    const MaskCount count(m);
    check(count.total <= source.numel(), "Number of elements of source < number of ones in mask");
    if (count.total == 0) return;
    const Tensor from = dense(apart(source, self)), to = dense(self);
    dispatch_size(itemsize(self.dtype()), [&]<class T>() {
      const Unlocked unlocked(m.numel());
      each_mask_block(count, m.numel(), [&](int64_t at, int64_t n, int64_t before, int64_t) {
        const uint8_t* set = m.data<uint8_t>() + at;
        T* out = to.data<T>() + at;
        const T* next = from.data<T>() + before;
        for (int64_t i = 0; i < n; ++i) {
          if (set[i]) out[i] = *next++;
        }
      });
    });
    if (!to.same(self)) copy_data(self, to);
  }
  static Ref<Node> node(const Tensor& self, const Tensor& mask, const Tensor& source) {
    Ref<Node> node = make_node("MaskedScatterBackward0", {&self, &source}, [shape = source.shape()](BackwardCall& c) {
      if (c.needs(0)) c.set(0, masked_fill(c.grad(), c.saved(0), Scalar(0)));
      if (c.needs(1)) {
        const Tensor m = c.saved(0);
        const Tensor wide = m.shape() == c.grad().shape() ? m : expand(m, c.grad().shape());
        c.set(1, masked_scatter_backward(c.grad(), wide, shape));
      }
    });
    node->saved.push_back(Saved(mask, false));
    return node;
  }
};
}  // namespace

Tensor masked_scatter(const Tensor& self, const Tensor& mask, const Tensor& source) {
  return alter<MaskedScatter, const Tensor&, const Tensor&>(widened(self, mask), mask, source);
}
ALTER("masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor", MaskedScatter,
      "Elements where mask is True become the next elements of source.", {.function = false, .method = false})
OPERATION("masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor", masked_scatter,
          "self with the elements of source, in order, where mask (bool, broadcast with self) is True.")

}  // namespace bulssi
