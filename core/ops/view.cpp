// Views: functions of layouts, with their gradients.
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

void check_inside_storage(const Tensor& t, const Layout& layout) {
  const auto [low, high] = layout.extent();
  if (high < low) return;
  const int64_t size = itemsize(t.dtype());
  check(low >= 0 && (high + 1) <= t->storage->bytes / size, "setStorage: sizes ", Ints(layout.shape), ", strides ",
        Ints(layout.strides), ", storage offset ", layout.offset, ", and itemsize ", size,
        " requiring a storage size of ", (high + 1) * size, " are out of bounds for storage of size ",
        t->storage->bytes);
}

Layout strided_layout(const Tensor& self, Ints size, Ints stride, std::optional<int64_t> offset) {
  check(size.size() == stride.size(), "mismatch in length of strides and shape");
  for (int64_t s : stride) {
    check(s >= 0, "as_strided: Negative strides are not supported at the moment, got strides: ", stride);
  }
  for (int64_t s : size) check(s >= 0, "Trying to create tensor with negative dimension ", s, ": ", size);
  Layout layout{Dims(size), Dims(stride), offset.value_or(self.layout().offset)};
  check_inside_storage(self, layout);
  return layout;
}

}  // namespace

Tensor as_strided(const Tensor& t, const Layout& layout) {
  check_inside_storage(t, layout);
  const Layout base = t.layout();
  return make_view("AsStridedBackward0", t, layout,
                   [base, layout](const Tensor& g) { return as_strided_backward(g, base, layout); });
}
OPERATION("as_strided(Tensor self, int[] size, int[] stride, int? storage_offset=None) -> Tensor",
          (+[](const Tensor& self, Ints size, Ints stride, std::optional<int64_t> offset) {
            return as_strided(self, strided_layout(self, size, stride, offset));
          }),
          "A view of self's memory with any size, stride and offset (in elements).",
          {.kind = OpKind::view, .copy = true, .inplace = true})

namespace {

// Adds (or writes) the elements of `source`, shown as `layout`, into the memory of `whole`.
void scatter_data(const Tensor& whole, const Layout& layout, const Tensor& source, bool add) {
  if (without_elements(whole)) return;
  Tensor part = alias(whole, layout);
  if (!add || !layout.overlaps_itself()) {
    bool unique = !add;
    if (add) {  // as_strided layouts may overlap without a zero stride: add one by one then
      Layout sorted = layout;
      const auto order = layout.order();
      int64_t reach = 0;
      unique = true;
      for (int k = layout.dims(); k-- > 0;) {
        const int d = order[k];
        if (layout.shape[d] <= 1) continue;
        if (std::abs(layout.strides[d]) <= reach) unique = false;
        reach += std::abs(layout.strides[d]) * (layout.shape[d] - 1);
      }
    }
    if (unique) {
      if (add)
        add_data(part, source);
      else
        copy_data(part, source);
      return;
    }
  }
  const Tensor dense_source = dense(source);
  dispatch(whole.dtype(), "as_strided", [&]<class T>() {
    T* to = reinterpret_cast<T*>(whole->storage->data);
    const T* from = dense_source.data<T>();
    Dims index(layout.shape.size());
    for (int64_t i = 0; i < dense_source.numel(); ++i) {
      int64_t at = layout.offset;
      for (int d = 0; d < layout.dims(); ++d) at += index[d] * layout.strides[d];
      to[at] = convert<T>(static_cast<Accumulate<T>>(to[at]) + static_cast<Accumulate<T>>(from[i]));
      for (int d = layout.dims(); d-- > 0;) {
        if (++index[d] < layout.shape[d]) break;
        index[d] = 0;
      }
    }
  });
}

}  // namespace

Tensor as_strided_backward(const Tensor& g, const Layout& base, const Layout& view) {
  // Memory that spans both layouts, filled with the gradients of what the view shows, and then read as the base shows
  // it. A base element that several base indices share gets an equal part for each.
  const auto b = base.extent(), v = view.extent();
  const int64_t low = b.second < b.first ? v.first : std::min(b.first, v.first);
  const int64_t high = std::max(b.second, v.second);
  Layout memory_layout{Dims{std::max<int64_t>(high - low + 1, 0)}, Dims{1}, 0};
  Layout in_base = base, in_view = view;
  in_base.offset -= low;
  in_view.offset -= low;
  Tensor memory = zeros(memory_layout.shape, g.dtype());
  if (v.second >= v.first) scatter_data(memory, in_view, g, true);
  if (!base.dense()) {  // it may overlap itself
    Tensor counts = zeros(memory_layout.shape, g.dtype());
    scatter_data(counts, in_base, full(base.shape, Scalar(1.0), g.dtype()), true);
    GradMode off(false);
    memory = Tensor::apply<Div>(memory, Tensor::apply<Where>(counts == 0.0, 1.0, counts));
  }
  Tensor out = alias(memory, in_base);
  return record("AsStridedBackward0Backward", g, out, [in_base, in_view](const Tensor& gg) {
    // Linear: what the base's gradient gets from each view element.
    Tensor whole = as_strided_backward(gg, in_base, in_base);
    return clone(as_strided(in_layout(whole, in_base), in_view));
  });
}

Tensor clone_memory(const Tensor& t) {
  if (t.layout().overlaps_itself() || t.numel() == 0) {
    Tensor out = empty_like(t);
    copy_data(out, t);
    return out;
  }
  const Layout whole{Dims{t->storage->bytes / itemsize(t.dtype())}, Dims{1}, 0};
  Tensor memory = empty(whole.shape, t.dtype());
  copy_data(memory, alias(t, whole));
  return alias(memory, t.layout());
}

// g in memory of its own with that layout, its offset included, which `also` fits into.
static Tensor placed(const Tensor& g, const Layout& layout, const Layout& also) {
  const int64_t last = std::max(layout.extent().second, also.extent().second);
  Tensor out = alias(zeros(Dims{last + 1}, g.dtype()), layout);
  copy_data(out, g);
  return record("CloneBackward0", g, out, [](const Tensor& gg) { return gg; });
}

Tensor as_strided_scatter(const Tensor& t, const Tensor& source, const Layout& layout) {
  Tensor out = clone_memory(t);
  check_inside_storage(out, layout);
  scatter_data(out, layout, source, false);
  return record("AsStridedScatterBackward0", {&t, &source}, out, [layout, base = out.layout()](BackwardCall& c) {
    const Tensor g = placed(c.grad(), base, layout);
    if (c.needs(0)) c.set(0, as_strided_scatter(g, zeros(layout.shape, g.dtype()), layout));
    if (c.needs(1)) c.set(1, clone(as_strided(g, layout)));
  });
}

OPERATION("as_strided_scatter(Tensor self, Tensor src, int[] size, int[] stride, int? storage_offset=None) -> Tensor",
          (+[](const Tensor& self, const Tensor& src, Ints size, Ints stride, std::optional<int64_t> offset) {
            const Layout layout = strided_layout(self, size, stride, offset);
            check(src.shape() == layout.shape,
                  "expected src to have a size equal to the slice of self. src size = ", Ints(src.shape()),
                  ", slice size = ", size);
            return as_strided_scatter(self, cast(src, self.dtype()), layout);
          }),
          "A copy of self, in its memory layout, with what as_strided would show replaced by src.")

Tensor expand(const Tensor& t, Ints shape) {
  Dims wanted(shape);
  check(shape.size() >= size_t(t.dims()), "expand(", str("torch.", legacy_name(t.dtype()), "Tensor{"), Ints(t.shape()),
        "}, size=", shape, "): the number of sizes provided (", shape.size(),
        ") must be greater or equal to the number of dimensions in the tensor (", t.dims(), ")");
  const int lead = static_cast<int>(shape.size()) - t.dims();
  for (int i = wanted.dims(); i-- > 0;) {
    if (i < lead) {
      check(wanted[i] >= 0, "The expanded size of the tensor (", wanted[i],
            ") isn't allowed in a leading, non-existing dimension ", i);
      continue;
    }
    const int64_t have = t.shape()[i - lead];
    if (wanted[i] == -1) wanted[i] = have;
    check(wanted[i] == have || have == 1, "The expanded size of the tensor (", wanted[i],
          ") must match the existing size (", have, ") at non-singleton dimension ", i, ".  Target sizes: ", shape,
          ".  Tensor sizes: ", Ints(t.shape()));
    check(wanted[i] >= 0, "The expanded size of the tensor (", wanted[i], ") cannot be negative");
  }
  Layout layout = t.layout().broadcast(wanted);
  return make_view("ExpandBackward0", t, layout, [before = t.shape()](const Tensor& g) { return sum_to(g, before); });
}
OPERATION("expand(Tensor self, int[] size, *, bool implicit=False) -> Tensor",
          (+[](const Tensor& self, Ints size, bool) { return expand(self, size); }),
          "self repeated along dimensions of size 1, without copying (-1 keeps a size).",
          {.kind = OpKind::view, .copy = true, .function = false})

static Tensor view_named(const char* node, const Tensor& t, Ints shape) {
  const Dims wanted = infer_shape(shape, t.numel());
  const auto layout = t.layout().viewed(wanted);
  check(layout.has_value(),
        "view size is not compatible with input tensor's size and stride (at least one dimension "
        "spans across two contiguous subspaces). Use .reshape(...) instead.\nThe tensor has size ",
        Ints(t.shape()), " and stride ", Ints(t.strides()), "; the view asks for size ", Ints(wanted), ".");
  return make_view(node, t, *layout, [before = t.shape()](const Tensor& g) { return reshape(g, before); });
}
Tensor view(const Tensor& t, Ints shape) { return view_named("ViewBackward0", t, shape); }
OPERATION("view(Tensor self, int[] size) -> Tensor", view,
          "self with another shape (one size may be -1), without copying; fails where strides forbid it.",
          {.kind = OpKind::view, .copy = true, .function = false})

Tensor reshape(const Tensor& t, Ints shape) {
  const Dims wanted = infer_shape(shape, t.numel());
  if (t.layout().viewed(wanted)) {
    return view_named(t.contiguous() ? "ViewBackward0" : "ReshapeAliasBackward0", t, wanted);
  }
  Tensor copied = contiguous(t);
  const auto layout = copied.layout().viewed(wanted);
  // The copy is nobody else's: no view of it, so that in-place operations record plainly.
  return record("UnsafeViewBackward0", copied, alias(copied, *layout),
                [before = t.shape()](const Tensor& g) { return reshape(g, before); });
}
OPERATION("reshape(Tensor self, int[] shape) -> Tensor", reshape,
          "self with another shape (one size may be -1): a view where possible, else a copy.", {.kind = OpKind::view})

Tensor transpose(const Tensor& t, int64_t a, int64_t b) {
  const int d0 = wrap_dim(a, t.dims()), d1 = wrap_dim(b, t.dims());
  return make_view("TransposeBackward0", t, t.layout().transposed(d0, d1),
                   [d0, d1](const Tensor& g) { return transpose(g, d0, d1); });
}
OPERATION("transpose(Tensor self, int dim0, int dim1) -> Tensor", transpose, "Two dimensions swapped.",
          {.kind = OpKind::view, .copy = true, .inplace = true, .aliases = "swapaxes swapdims"})

Tensor permute(const Tensor& t, Ints dims) {
  check(dims.size() == size_t(t.dims()),
        "permute(sparse_coo): number of dimensions in the tensor input does not match "
        "the length of the desired ordering of dimensions i.e. input.dim() = ",
        t.dims(), " is not equal to len(dims) = ", dims.size());
  Dims order(dims.size()), back(dims.size(), -1);
  for (size_t i = 0; i < dims.size(); ++i) {
    order[i] = wrap_dim(dims[i], t.dims());
    check(back[order[i]] == -1, "permute(): duplicate dims are not allowed.");
    back[order[i]] = static_cast<int64_t>(i);
  }
  return make_view("PermuteBackward0", t, t.layout().permuted(order),
                   [back](const Tensor& g) { return permute(g, back); });
}
OPERATION("permute(Tensor self, int[] dims) -> Tensor", permute, "The dimensions in another order.",
          {.kind = OpKind::view, .copy = true})

Tensor unsqueeze(const Tensor& t, int64_t dim) {
  const int d = wrap_dim(dim, t.dims() + 1);
  return make_view("UnsqueezeBackward0", t, t.layout().unsqueezed(d), [d](const Tensor& g) { return squeeze(g, d); });
}
OPERATION("unsqueeze(Tensor self, int dim) -> Tensor", unsqueeze, "A dimension of size 1 inserted at dim.",
          {.kind = OpKind::view, .copy = true, .inplace = true})

Tensor squeeze(const Tensor& t, int64_t dim) {
  const int d = wrap_dim(dim, t.dims());
  const bool gone = t.dims() > 0 && t.shape()[d] == 1;
  return make_view("SqueezeBackward1", t, gone ? t.layout().squeezed(d) : t.layout(),
                   [d, gone](const Tensor& g) { return gone ? unsqueeze(g, d) : g; });
}
Tensor select_index(const Tensor& t, int64_t dim, int64_t index) {
  check(t.dims() > 0, ErrorKind::index, "select() cannot be applied to a 0-dim tensor.");
  const int d = wrap_dim(dim, t.dims());
  const int64_t n = t.shape()[d];
  check(index >= -n && index < n, ErrorKind::index, "select(): index ", index, " out of range for tensor of size ",
        Ints(t.shape()), " at dimension ", d);
  const int64_t i = index < 0 ? index + n : index;
  return make_view("SelectBackward0", t, t.layout().selected(d, i), [d, i, shape = t.shape()](const Tensor& g) {
    Layout whole = Layout::of(shape);
    return as_strided_backward(g, whole, whole.selected(d, i));
  });
}
OPERATION("select(Tensor self, int dim, int index) -> Tensor", select_index,
          "The slice at index of dimension dim, which is removed.", {.kind = OpKind::view, .copy = true})

Tensor slice(const Tensor& t, int64_t dim, int64_t start, int64_t end, int64_t step) {
  const int d = static_cast<int>(dim);
  const int64_t count = step > 0 ? (end > start ? (end - start + step - 1) / step : 0)
                                 : (start > end ? (start - end - step - 1) / -step : 0);
  const Layout layout = t.layout().sliced(d, start, count, step);
  return make_view("SliceBackward0", t, layout, [d, start, count, step, shape = t.shape()](const Tensor& g) {
    Layout whole = Layout::of(shape);
    return as_strided_backward(g, whole, whole.sliced(d, start, count, step));
  });
}

Tensor narrow(const Tensor& t, int64_t dim, int64_t start, int64_t length) {
  check(t.dims() > 0, "narrow() cannot be applied to a 0-dim tensor.");
  const int d = wrap_dim(dim, t.dims());
  const int64_t n = t.shape()[d];
  check(length >= 0, "narrow(): length must be non-negative.");
  check(start >= -n && start <= n, ErrorKind::index, "start out of range (expected to be in range of [", -n, ", ", n,
        "], but got ", start, ")");
  if (start < 0) start += n;
  check(start <= n - length, "start (", start, ") + length (", length, ") exceeds dimension size (", n, ").");
  return slice(t, d, start, start + length, 1);
}
OPERATION("narrow(Tensor self, int dim, int start, int length) -> Tensor", narrow,
          "length elements of dimension dim from start.", {.kind = OpKind::composite})
OPERATION("narrow(Tensor self, int dim, Tensor start, int length) -> Tensor",
          (+[](const Tensor& t, int64_t dim, const Tensor& start, int64_t length) {
            check(start.dims() == 0 && is_integral(start.dtype()), "start must be an 0-dim integral Tensor.");
            return narrow(t, dim, item_data(start).as_int(), length);
          }),
          "length elements of dimension dim from start.", {.kind = OpKind::composite})
OPERATION("narrow_copy(Tensor self, int dim, int start, int length) -> Tensor",
          (+[](const Tensor& t, int64_t dim, int64_t start, int64_t length) {
            return clone(narrow(t, dim, start, length));
          }),
          "A copy of length elements of dimension dim from start.", {.out = true})

}  // namespace bulssi
