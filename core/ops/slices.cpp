// Whole slices chosen by an index vector, elements by their flat position, and writing into views.
#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/along.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

// {…, index at dim}
std::vector<Tensor> at_dim(int dim, const Tensor& index) {
  std::vector<Tensor> indices(size_t(dim) + 1);
  indices[size_t(dim)] = with_dim(index);
  return indices;
}
int64_t size_along(const Tensor& t, int d) { return t.dims() ? t.shape()[d] : 1; }

bool is_index(DType dtype) { return dtype == DType::i32 || dtype == DType::i64; }

void check_vector(const Tensor& index, const char* op) {
  check(index.dims() <= 1, ErrorKind::index, op, "(): Index is supposed to be a vector");
}
// The index in bounds, as int64.
Tensor checked_index(const Tensor& self, int d, const Tensor& index, const char* prefix, ErrorKind kind,
                     bool negative) {
  Tensor at = index_data(with_dim(index));
  const int64_t size = size_along(self, d);
  for (int64_t i = 0; i < at.numel(); ++i) {
    const int64_t v = at.data<int64_t>()[i];
    check(v < size && v >= (negative ? -size : 0), kind, prefix, "index ", v, " is out of bounds for dimension ", d,
          " with size ", size);
  }
  return at;
}

}  // namespace

Tensor index_select(const Tensor& self, int64_t dim, const Tensor& index) {
  const int d = wrap_dim(dim, self.dims());
  check_vector(index, "index_select");
  check(is_index(index.dtype()), "index_select(): Expected dtype int32 or int64 for index");
  const Tensor at = index_data(with_dim(index));
  const int64_t size = size_along(self, d);
  const bool bad = any_outside(at, size);
  for (int64_t i = 0; bad && i < at.numel(); ++i) {
    const int64_t v = at.data<int64_t>()[i];
    if (uint64_t(v) >= uint64_t(size)) {
      if (self.dims() > 1 && size == 0) fail("index_select(): self indexing axis dim should be positive");
      if (self.dims() > 1 && (d == 1 || self.numel() == 0)) {
        fail("INDICES element is out of DATA bounds, id=", v, " axis_dim=", size);
      }
      fail(ErrorKind::index, "index out of range in self\nindex_select: index ", v, " at position ", i,
           " is not in [0, ", size, "), the size of dimension ", d, " of a tensor of shape ", Ints(self.shape()));
    }
  }
  Tensor out;
  if (self.dims() == 1) {
    out = gather(detach(self), 0, at, false);
  } else {
    GradMode off(false);
    out = dense(bulssi::index(with_dim(self), at_dim(d, at)));
    set_layout(out, Layout::of(out.shape()));
  }
  if (self.dims() == 0) {
    check(out.numel() == 1, ErrorKind::index, "index_select(): Index to scalar can have only 1 value, got ",
          out.numel(), " value(s)");
    set_layout(out, Layout{Dims{}, Dims{}, out.layout().offset});
  }
  return record("IndexSelectBackward0", {&self}, out,
                [d, shape = self.shape()](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  if (shape.empty()) return c.set(0, g);
                  c.set(0, index_put(zeros(shape, g.dtype()), at_dim(d, c.saved(0)), g, true));
                },
                {keep(index)});
}
OPERATION("index_select(Tensor self, int dim, Tensor index) -> Tensor", index_select,
          "The slices of self along dim that the vector index names, in its order.", {.out = true, .apart = true})

// ---- add, copy, fill ------------------------------------------------------------------------------------------------

namespace {

struct IndexAdd {
  static constexpr bool apart = true;
  static constexpr bool row_major = true;
  static void check(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha) {
    const int d = wrap_dim(dim, self.dims());
    bulssi::check(is_index(index.dtype()),
                  "index_add_(): Expected dtype int32/int64 for index but got: ", legacy_name(index.dtype()));
    check_vector(index, "index_add_");
    bulssi::check(self.dtype() == source.dtype(), "index_add_(): self (", legacy_name(self.dtype()), ") and source (",
                  legacy_name(source.dtype()), ") must have the same scalar type");
    bulssi::check(source.dims() == 0 || d < source.dims(), "index_add_(): Indexing dim ", d,
                  " is out of bounds of the source tensor with dim ", source.dims());
    bulssi::check(index.numel() == size_along(source, d), "index_add_(): Number of indices (", index.numel(),
                  ") should be equal to source.size(dim): (", size_along(source, d), "), for dim: ", d);
    Dims a = self.shape(), b = source.shape();
    bool same = a.size() == b.size();
    for (int k = 0; same && k < a.dims(); ++k) same = k == d || a[k] == b[k];
    bulssi::check(
        same, "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = ",
        Ints(a), " source.shape = ", Ints(b));
    bulssi::check(alpha.integral() || !is_integral(self.dtype()),
                  "For integral input tensors, argument alpha must not be a floating point number.");
    check_fits(alpha, wide(self.dtype()));
  }
  static void write(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha) {
    const int d = wrap_dim(dim, self.dims());
    bulssi::check(self.dims() > 1 || !any_outside(index_data(with_dim(index)), size_along(self, d)), ErrorKind::index,
                  "index out of range in self\nindex_add_: an index is not in [0, ", size_along(self, d), ")");
    const Tensor at = checked_index(self, d, index, "", ErrorKind::runtime, false);
    GradMode off(false);
    Tensor values = source;
    if (alpha.as_double() != 1) values = cast_data(Tensor::apply<Mul>(source, alpha), self.dtype());
    put_data(with_dim(self), at_dim(d, at), with_dim(values), true);
  }
  static Ref<Node> node(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha) {
    Ref<Node> node = make_node("IndexAddBackward0", {&self, &source},
                               [dim, factor = alpha.as_double(), shape = source.shape()](BackwardCall& c) {
                                 if (c.needs(0)) c.set(0, c.grad());
                                 if (c.needs(1)) {
                                   const Tensor part = reshape(index_select(c.grad(), dim, c.saved(0)), shape);
                                   c.set(1, factor == 1 ? part : part * factor);
                                 }
                               });
    node->saved.push_back(Saved(kept_for(source, index).tensor, false));
    // As PyTorch, which notices that it was changed.
    node->saved.push_back(Saved(kept_for(source, source).tensor, false));
    return node;
  }
};

Tensor index_fill(const Tensor& self, int64_t dim, const Tensor& index, Scalar value);

struct IndexCopy {
  static constexpr bool apart = true;
  static constexpr bool row_major = true;
  static void check(const Tensor& self, int64_t dim, const Tensor&, const Tensor&) { wrap_dim(dim, self.dims()); }
  static void write(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
    const int d = wrap_dim(dim, self.dims());
    check_vector(index, "index_copy_");
    bulssi::check(is_index(index.dtype()), "index_copy_(): Expected a long tensor for index, but got ",
                  legacy_name(index.dtype()));
    bulssi::check(self.dtype() == source.dtype(),
                  "index_copy_(): self and source expected to have the same dtype, but got "
                  "(self) ",
                  legacy_name(self.dtype()), " and (source) ", legacy_name(source.dtype()));
    bulssi::check(source.dims() != 0 || index.numel() == 1, ErrorKind::index,
                  "index_copy_(): When source is scalar, index should have one element (got ", index.numel(), ")");
    bulssi::check(source.dims() == self.dims() || source.dims() == 0 || self.dims() == 0, ErrorKind::index,
                  "index_copy_(): When source and destination are not scalars, their dimensionality must match. Source "
                  "dimensionality (",
                  source.dims(), "), destination dimensionality (", self.dims(), ")");
    bulssi::check(source.dims() == 0 || index.numel() == source.shape()[d], ErrorKind::index,
                  "index_copy_(): Number of indices (", index.numel(), ") should be equal to source.size(dim) (",
                  source.dims() ? source.shape()[d] : 1, ")");
    for (int k = 0; k < self.dims() && source.dims(); ++k) {
      bulssi::check(k == d || self.shape()[k] == source.shape()[k],
                    "index_copy_(): Source/destination tensor must have same "
                    "slice shapes. Destination slice shape: ",
                    self.shape()[k], " at dimension ", d, " and source slice shape: ", source.shape()[k],
                    " at dimension ", d, ".");
    }
    const Tensor at = checked_index(self, d, index, "index_copy_(): ", ErrorKind::index, false);
    put_data(with_dim(self), at_dim(d, at), with_dim(source), false);
  }
  static Ref<Node> node(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
    Ref<Node> node = make_node("IndexCopyBackward0", {&self, &source}, [dim, shape = source.shape()](BackwardCall& c) {
      if (c.needs(0)) c.set(0, index_fill(c.grad(), dim, c.saved(0), Scalar(0)));
      if (c.needs(1)) {
        const Tensor part = index_select(c.grad(), dim, c.saved(0));
        c.set(1, part.numel() == numel_of(shape) ? reshape(part, shape) : sum(part, std::nullopt, false, std::nullopt));
      }
    });
    node->saved.push_back(Saved(index, false));
    // As PyTorch, which notices that it was changed.
    node->saved.push_back(Saved(kept_for(source, source).tensor, false));
    return node;
  }
};

void fill_slices(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& value) {
  const int d = wrap_dim(dim, self.dims());
  check(index.dtype() == DType::i64, ErrorKind::index, "index_fill_(): Expected dtype int64 for index.");
  check_vector(index, "index_fill_");
  const Tensor at = checked_index(self, d, index, "", ErrorKind::index, true);
  put_data(with_dim(self), at_dim(d, at), value, false);
}
struct IndexFill {
  static constexpr bool apart = true;
  static constexpr Overlap overlap = Overlap::deprecated;
  static void write(const Tensor& self, int64_t dim, const Tensor& index, Scalar value) {
    check_fits(value, self.dtype());
    fill_slices(self, dim, index, full({}, value, self.dtype()));
  }
  static Ref<Node> node(const Tensor& self, int64_t dim, const Tensor& index, Scalar) {
    Ref<Node> node = make_node("IndexFillBackward0", {&self},
                               [dim](BackwardCall& c) { c.set(0, index_fill(c.grad(), dim, c.saved(0), Scalar(0))); });
    node->saved.push_back(Saved(index, false));
    return node;
  }
};
struct IndexFillTensor {
  static constexpr bool apart = true;
  static constexpr Overlap overlap = Overlap::deprecated;
  static void write(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& value) {
    check(value.dims() == 0, "index_fill_ only supports a 0-dimensional value tensor, but got tensor with ",
          value.dims(), " dimension(s).");
    fill_slices(self, dim, index, cast_data(value, self.dtype()));
  }
  static Ref<Node> node(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& value) {
    Ref<Node> node = make_node("IndexFillBackward1", {&self, &value}, [dim, dtype = value.dtype()](BackwardCall& c) {
      if (c.needs(0)) c.set(0, index_fill(c.grad(), dim, c.saved(0), Scalar(0)));
      if (c.needs(1)) {
        // What was filled twice counts once: its gradient arrives only once.
        const Tensor left = index_fill(c.grad(), dim, c.saved(0), Scalar(0));
        c.set(1, cast(sum(c.grad() - left, std::nullopt, false, std::nullopt), dtype));
      }
    });
    node->saved.push_back(Saved(index, false));
    return node;
  }
};
Tensor index_fill(const Tensor& self, int64_t dim, const Tensor& index, Scalar value) {
  return alter<IndexFill, int64_t, const Tensor&, Scalar>(self, dim, index, value);
}

}  // namespace

ALTER("index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor", IndexAdd,
      "self with alpha times the slices of source added to the slices along dim that index names, in order.",
      {.out = true, .apart = true})
ALTER("index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor", IndexCopy,
      "self with the slices along dim that index names replaced by those of source.",
      {.out = true, .autocast = Autocast::widest})
ALTER("index_fill(Tensor self, int dim, Tensor index, Scalar value) -> Tensor", IndexFill,
      "self with value in the slices along dim that index names.", {})
ALTER("index_fill(Tensor self, int dim, Tensor index, Tensor value) -> Tensor", IndexFillTensor,
      "self with value, a 0-d tensor, in the slices along dim that index names.", {})

// ---- take and put ---------------------------------------------------------------------------------------------------

namespace {

void check_flat(const Tensor& index, int64_t numel, const char* op) {
  check(index.dtype() == DType::i64, op, "(): Expected a long tensor for index, but got ", legacy_name(index.dtype()));
  check(numel > 0 || index.numel() == 0, ErrorKind::index, op,
        "(): ", op[0] == 't' ? "tried to take from" : "Tried to put elements into", " an empty tensor");
  const Tensor at = index_data(index);
  if (!any_outside(at, numel)) return;
  for (int64_t i = 0; i < at.numel(); ++i) {
    const int64_t v = at.data<int64_t>()[i];
    check(v >= -numel && v < numel, ErrorKind::index, "out of range: tried to access index ", v, " on a tensor of ",
          numel, " elements.");
  }
}
Tensor put(const Tensor& self, const Tensor& index, const Tensor& source, bool accumulate);

Tensor take(const Tensor& self, const Tensor& index) {
  check_flat(index, self.numel(), "take");
  Tensor out;
  {
    GradMode off(false);
    const Tensor d = dense(self);
    const Tensor flat[] = {index};
    out = bulssi::index(alias(d, Layout{Dims{d.numel()}, Dims{1}, d.layout().offset}), flat);
  }
  return record("TakeBackward0", {&self}, out,
                [shape = self.shape()](BackwardCall& c) {
                  c.set(0, put(zeros(shape, c.grad().dtype()), c.saved(0), c.grad(), true));
                },
                {keep(index), keep(self)});  // as PyTorch, which notices that self was changed
}

struct Put {
  static constexpr bool apart = true;
  static void write(const Tensor& self, const Tensor& index, const Tensor& source, bool accumulate) {
    check(index.dtype() == DType::i64, "put_(): Expected a long tensor for index, but got ",
          legacy_name(index.dtype()));
    check(self.dtype() == source.dtype(),
          "put_(): self and source expected to have the same dtype, but got self.dtype = ", legacy_name(self.dtype()),
          " and source.dtype = ", legacy_name(source.dtype()));
    check(index.numel() == source.numel(), ErrorKind::index,
          "put_(): Expected source and index to have the same "
          "number of elements, but got source.numel() = ",
          source.numel(), ", index.numel() = ", index.numel());
    check_flat(index, self.numel(), "put_");
    if (index.numel() == 0) return;
    const Tensor to = dense(self), at = dense(bulssi::apart(index, self)), from = dense(bulssi::apart(source, self));
    const Tensor flat[] = {alias(at, Layout{Dims{at.numel()}, Dims{1}, at.layout().offset})};
    put_data(alias(to, Layout{Dims{to.numel()}, Dims{1}, to.layout().offset}), flat,
             alias(from, Layout{Dims{from.numel()}, Dims{1}, from.layout().offset}), accumulate);
    if (!to.same(self)) copy_data(self, to);
  }
  static Ref<Node> node(const Tensor& self, const Tensor& index, const Tensor& source, bool accumulate) {
    Ref<Node> node = make_node("PutBackward0", {&self, &source}, [accumulate, shape = source.shape()](BackwardCall& c) {
      const Tensor& g = c.grad();
      if (c.needs(0)) c.set(0, accumulate ? g : put(g, c.saved(0), zeros(shape, g.dtype()), false));
      if (c.needs(1)) c.set(1, reshape(take(g, c.saved(0)), shape));
    });
    node->saved.push_back(Saved(index, false));
    node->saved.push_back(Saved(kept_for(source, source).tensor, false));  // as PyTorch: it shall not change
    return node;
  }
};
Tensor put(const Tensor& self, const Tensor& index, const Tensor& source, bool accumulate) {
  return alter<Put, const Tensor&, const Tensor&, bool>(self, index, source, accumulate);
}

}  // namespace

OPERATION("take(Tensor self, Tensor index) -> Tensor", take,
          "The elements at the flat (row-major) positions in index, in the index's shape.",
          {.out = true, .apart = true})
ALTER("put(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor", Put,
      "self with the elements of source at the flat positions in index (added, with accumulate).", {})

// ---- writing into views ---------------------------------------------------------------------------------------------

namespace {

Tensor select_scatter(const Tensor& self, const Tensor& source, int64_t dim, int64_t index) {
  const int d = wrap_dim(dim, self.dims(), false);
  const int64_t n = self.shape()[d];
  check(index >= -n && index < n, ErrorKind::index, "select(): index ", index, " out of range for tensor of size ",
        Ints(self.shape()), " at dimension ", d);
  return overwrite("SelectScatterBackward0", self, source,
                   [d, at = index < 0 ? index + n : index](const Layout& whole) { return whole.selected(d, at); });
}
Tensor slice_scatter(const Tensor& self, const Tensor& source, int64_t dim, std::optional<int64_t> start,
                     std::optional<int64_t> end, int64_t step) {
  const int d = wrap_dim(dim, self.dims(), false);
  check(step > 0, "slice step must be positive");
  const int64_t n = self.shape()[d];
  auto clamped = [n](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + n : v, 0, n); };
  const int64_t from = clamped(start.value_or(0)), to = std::max(from, clamped(end.value_or(n)));
  const int64_t count = (to - from) / step + ((to - from) % step != 0);
  return overwrite("SliceScatterBackward0", self, source,
                   [=](const Layout& whole) { return whole.sliced(d, from, count, step); });
}
Tensor diagonal_scatter(const Tensor& self, const Tensor& source, int64_t offset, int64_t dim1, int64_t dim2) {
  const int a = wrap_dim(dim1, self.dims()), b = wrap_dim(dim2, self.dims());
  check(a != b, "diagonal dimensions cannot be identical ", dim1, ", ", dim2);
  return overwrite("DiagonalScatterBackward0", self, source,
                   [=](const Layout& whole) { return whole.diagonal(a, b, offset); });
}

}  // namespace

OPERATION("select_scatter(Tensor self, Tensor src, int dim, int index) -> Tensor", select_scatter,
          "A copy of self with self.select(dim, index) replaced by src.")
OPERATION("slice_scatter(Tensor self, Tensor src, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor",
          slice_scatter, "A copy of self with self[start:end:step] along dim replaced by src.", {.out = true})
OPERATION("diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor", diagonal_scatter,
          "A copy of self with self.diagonal(offset, dim1, dim2) replaced by src.")

}  // namespace bulssi
