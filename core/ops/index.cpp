// x[...] by numbers, slices, tensors and masks, and its gradients.
#include "core/ops/index.h"

#include <bit>
#include <cstring>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/gather.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/along.h"
#include "core/ops/basics.h"

namespace bulssi {

// ---- parts ----------------------------------------------------------------------------------------------------------

Tensor extract(const Tensor& t, const Layout& part) {
  const Tensor d = dense(t);
  Layout shown = part;
  shown.offset += d.layout().offset;
  Tensor out = empty(part.shape, t.dtype());
  copy_data(out, alias(d, shown));
  return record("SliceBackward0", t, out, [shape = t.shape(), part](const Tensor& g) { return embed(g, shape, part); });
}

Tensor embed(const Tensor& g, Ints shape, const Layout& part) {
  Tensor out = zeros(shape, g.dtype());
  copy_data(alias(out, part), g);
  return record("SliceBackward0Backward", g, out, [part](const Tensor& gg) { return extract(gg, part); });
}

Tensor overwrite(const char* node, const Tensor& self, const Tensor& source, const PartOf& part) {
  const Layout rows = part(Layout::of(self.shape()));
  check(source.shape() == rows.shape,
        "expected src to have a size equal to the slice of self. src size = ", Ints(source.shape()),
        ", slice size = ", Ints(rows.shape));
  Tensor out;
  if (self.contiguous() && self.layout().offset == 0) {
    out = empty(self.shape(), self.dtype());
    copy_data(out, self);
  } else {
    out = clone_memory(self);
  }
  copy_data(alias(out, part(out.layout())), source);
  return record(node, {&self, &source}, out, [node, part, rows, dtype = source.dtype()](BackwardCall& c) {
    if (c.needs(0)) c.set(0, overwrite(node, c.grad(), zeros(rows.shape, c.grad().dtype()), part));
    if (c.needs(1)) c.set(1, cast(extract(c.grad(), rows), dtype));
  });
}

BasicIndex::BasicIndex(const Tensor& self) : self_(self), layout_(self.layout()), track_(recording(self)) {
  if (track_) part_ = Layout::of(self.shape());
}
void BasicIndex::select(int dim, int64_t index, int shown_dim) {
  const int64_t n = layout_.shape[dim];
  if (index < -n || index >= n) fail_bounds(ErrorKind::index, index, shown_dim, n);
  if (index < 0) index += n;
  layout_.offset += index * layout_.strides[dim];
  layout_.shape.erase(dim);
  layout_.strides.erase(dim);
  if (track_) part_ = part_.selected(dim, index);
  node_ = "SelectBackward0";
  changed_ = true;
}
void BasicIndex::slice(int dim, int64_t start, int64_t count, int64_t step) {
  if (count > 0) layout_.offset += start * layout_.strides[dim];
  layout_.shape[dim] = count;
  layout_.strides[dim] *= step;
  if (track_) part_ = part_.sliced(dim, start, count, step);
  node_ = "SliceBackward0";
  changed_ = true;
}
void BasicIndex::unsqueeze(int dim) {
  layout_ = layout_.unsqueezed(dim);
  if (track_) part_ = part_.unsqueezed(dim);
  node_ = "UnsqueezeBackward0";
  changed_ = true;
}
void BasicIndex::check_inside() const {
  const auto [low, high] = layout_.extent();
  check(layout_.numel() == 0 || (low >= 0 && (high + 1) * itemsize(self_.dtype()) <= self_->storage->bytes),
        "the tensor was resized while its index was read: it has ", self_->storage->bytes, " bytes now");
}
Tensor BasicIndex::view() const {
  if (!track_) return view_of(self_, layout_);
  return make_view(node_, self_, layout_,
                   [shape = self_.shape(), part = part_](const Tensor& g) { return embed(g, shape, part); });
}
Tensor BasicIndex::unrecorded() const { return alias(self_, layout_); }

// ---- places: where the elements of self[indices] lie ----------------------------------------------------------------

void fail_bounds(ErrorKind kind, int64_t index, int64_t dim, int64_t size) {
  if (size == 0 && kind != ErrorKind::index) fail(kind, "index is out of bounds for dimension with size 0");
  fail(kind, "index ", index, " is out of bounds for dimension ", dim, " with size ", size);
}

Tensor index_data(const Tensor& index) { return dense(cast_data(index, DType::i64)); }

Tensor apart(const Tensor& t, const Tensor& written) {
  if (!(t->storage == written->storage)) return t;
  Tensor out = empty(t.shape(), t.dtype());
  copy_data(out, t);
  return out;
}

namespace {

struct Selector {
  const int64_t* at;
  int64_t size, stride;
  int number;  // among the index tensors, by which errors count
};

// Of a dimension list, the offset of the i-th index tuple in row-major order.
int64_t offset_of(int64_t i, const Dims& shape, const Dims& strides) {
  int64_t offset = 0;
  for (int d = shape.dims(); d-- > 0;) {
    offset += i % shape[d] * strides[d];
    i /= shape[d];
  }
  return offset;
}

struct Places {
  Dims before, chosen, after, before_strides, after_strides;
  Small<Selector, 4> selectors;
  Small<Tensor, 4> owned;
  Small<Layout, 4> given;                  // of the indices, broadcast, as the program gave them
  int64_t rows = 1, width = 1, outer = 1;  // numel of chosen, after, before
  std::vector<int64_t> after_offsets;      // empty: `after` lies row-major in memory
  Places(const Tensor& self, Tensors indices);
  Dims shape() const {
    Dims s = before;
    s.append(chosen.begin(), chosen.end());
    s.append(after.begin(), after.end());
    return s;
  }
  // Offsets of the chosen elements i … i + n.
  void offsets(int64_t i, int64_t n, int64_t* to) const;
  void check_bounds() const;
  // Of shape(), in the order of memory that PyTorch gives a result: self's first, then that of the indices.
  Tensor empty_result(const Tensor& self) const;

 private:
  struct Item {
    Tensor index;
    int dim, span;
  };
  static void add_mask(const Tensor& self, const Tensor& mask, int dim, std::vector<Item>& items);
  static std::vector<Item> items_of(const Tensor& self, Tensors indices);
  static Dims common_shape(const std::vector<Item>& items);
  // Fills before and after with the dimensions that are not chosen from.
  void place_rest(const Tensor& self, const std::vector<Item>& items);
};

void Places::add_mask(const Tensor& self, const Tensor& mask, int dim, std::vector<Item>& items) {
  check(dim + mask.dims() <= self.dims(), ErrorKind::index, "too many indices for tensor of dimension ", self.dims());
  bool merges = true;
  for (int j = 0; j < mask.dims(); ++j) {
    check(mask.shape()[j] == self.shape()[dim + j], ErrorKind::index, "The shape of the mask ", Ints(mask.shape()),
          " at index ", j, " does not match the shape of the indexed tensor ", Ints(self.shape()), " at index ",
          dim + j);
    if (j > 0) merges &= self.strides()[dim + j - 1] == self.shape()[dim + j] * self.strides()[dim + j];
  }
  if (mask.dims() == 0) return;
  if (merges) {
    items.push_back({mask_positions(mask), dim, mask.dims()});
    return;
  }
  for (Tensor& column : nonzero_columns(mask)) items.push_back({std::move(column), dim++, 1});
}

std::vector<Places::Item> Places::items_of(const Tensor& self, Tensors indices) {
  std::vector<Item> items;
  int dim = 0;
  for (const Tensor& t : indices) {
    if (!t) {
      ++dim;
      continue;
    }
    const bool mask = t.dtype() == DType::boolean || t.dtype() == DType::u8;
    check(mask || t.dtype() == DType::i64 || t.dtype() == DType::i32, ErrorKind::index,
          "tensors used as indices must be long, int, byte or bool tensors");
    if (mask) {
      if (t.dtype() == DType::u8) {
        warn("UserWarning",
             "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.");
      }
      add_mask(self, t, dim, items);
      dim += t.dims();
    } else {
      items.push_back({t, dim++, 1});
    }
  }
  check(dim <= self.dims(), ErrorKind::index, "too many indices for tensor of dimension ", self.dims(), " (got ", dim,
        ")");
  return items;
}

Dims Places::common_shape(const std::vector<Item>& items) {
  Dims chosen;
  for (size_t k = 0; k < items.size(); ++k) {
    const Dims& s = items[k].index.shape();
    if (k == 0) chosen = s;
    Dims wide = chosen.size() >= s.size() ? chosen : s;
    const Dims& thin = chosen.size() >= s.size() ? s : chosen;
    for (size_t j = 1; j <= thin.size(); ++j) {
      int64_t& a = wide[wide.size() - j];
      const int64_t b = thin[thin.size() - j];
      if (a != b && a != 1 && b != 1) {
        std::string text = "shape mismatch: indexing tensors could not be broadcast together with shapes ";
        for (const Item& item : items) {  // a mask counts once for each of its dimensions
          for (int j = 0; j < item.span; ++j) text += str(Ints(item.index.shape()), ", ");
        }
        fail(ErrorKind::index, text.substr(0, text.size() - 2));
      }
      if (a == 1) a = b;
    }
    chosen = wide;
  }
  return chosen;
}

void Places::place_rest(const Tensor& self, const std::vector<Item>& items) {
  bool adjacent = true;
  Small<bool, 8> taken(self.dims(), false);
  for (size_t k = 0; k < items.size(); ++k) {
    if (k > 0) adjacent &= items[k].dim == items[k - 1].dim + items[k - 1].span;
    for (int j = 0; j < items[k].span; ++j) taken[items[k].dim + j] = true;
  }
  const int first = items.empty() ? 0 : items[0].dim;
  for (int d = 0; d < self.dims(); ++d) {
    if (taken[d]) continue;
    const bool leads = adjacent && d < first;
    (leads ? before : after).push_back(self.shape()[d]);
    (leads ? before_strides : after_strides).push_back(self.strides()[d]);
  }
}

Places::Places(const Tensor& self, Tensors indices) {
  std::vector<Item> items = items_of(self, indices);
  chosen = common_shape(items);
  place_rest(self, items);
  rows = numel_of(chosen), width = numel_of(after), outer = numel_of(before);
  int number = 0;
  for (Item& item : items) {
    Tensor t = cast_data(item.index, DType::i64);
    if (!(t.shape() == chosen)) t = alias(t, t.layout().broadcast(chosen));
    given.push_back(t.layout());
    t = dense(t);
    int64_t size = 1;
    for (int j = 0; j < item.span; ++j) size *= self.shape()[item.dim + j];
    check(size > 0 || rows == 0, ErrorKind::index, "index is out of bounds for dimension with size 0");
    selectors.push_back(
        {without_elements(self) ? nullptr : t.data<int64_t>(), size, self.strides()[item.dim + item.span - 1], number});
    number += item.span;
    owned.push_back(std::move(t));
  }
  if (width > 1 && !(Layout{after, after_strides, 0}.contiguous())) {
    after_offsets.resize(size_t(width));
    for (int64_t a = 0; a < width; ++a) after_offsets[size_t(a)] = offset_of(a, after, after_strides);
  }
}

void Places::offsets(int64_t i, int64_t n, int64_t* to) const {
  if (selectors.empty()) {
    for (int64_t j = 0; j < n; ++j) to[j] = 0;
  }
  for (size_t k = 0; k < selectors.size(); ++k) {
    const Selector& s = selectors[k];
    const int64_t* at = s.at + i;
    const bool bad = cpu::gather_kernels().place(n, at, s.size, s.stride, k > 0, to);
    if (bad) {
      for (int64_t j = 0; j < n; ++j) {
        if (at[j] < -s.size || at[j] >= s.size) fail_bounds(ErrorKind::index, at[j], s.number, s.size);
      }
    }
  }
}

Tensor Places::empty_result(const Tensor& self) const {
  bool row_major = self.contiguous();
  for (const Layout& layout : given) row_major &= layout.contiguous();
  const Dims all = shape();
  if (row_major) return empty(all, self.dtype());
  Small<Dims, 4> strides(1, before_strides);
  strides[0].resize(before.size() + chosen.size(), 0);
  strides[0].append(after_strides.begin(), after_strides.end());
  Dims spread = all;  // an index has size 1 in the dimensions that are not chosen from, and is repeated along them
  for (int d = 0; d < all.dims(); ++d) {
    if (d < before.dims() || d >= before.dims() + chosen.dims()) spread[d] = 1;
  }
  for (const Layout& layout : given) {
    Dims own = layout.viewed(spread)->strides;
    for (int d = 0; d < all.dims(); ++d) own[d] *= spread[d] == all[d];
    strides.push_back(own);
  }
  Small<const Dims*, 4> operands;
  for (const Dims& one : strides) operands.push_back(&one);
  return empty_ordered(all, self.dtype(), {operands.data(), operands.size()});
}

void Places::check_bounds() const {
  parallel_for(rows, 65536, [&](int64_t begin, int64_t end) {
    int64_t scratch[512];
    for (int64_t i = begin; i < end; i += 512) offsets(i, std::min<int64_t>(512, end - i), scratch);
  });
}

// Calls f(outer index, first chosen row, offsets of n rows, n) over all rows in [begin, end).
template <class F>
void each_block(const Places& p, int64_t begin, int64_t end, F&& f) {
  int64_t offsets[512], first = -1, count = 0;  // which rows' offsets these are
  for (int64_t r = begin; r < end;) {
    const int64_t b = r / p.rows, i = r % p.rows;
    const int64_t n = std::min({int64_t{512}, p.rows - i, end - r});
    if (i != first || n > count) p.offsets(i, n, offsets), first = i, count = n;
    const int64_t base = offset_of(b, p.before, p.before_strides);
    f(base, r, offsets, n);
    r += n;
  }
}

template <class T>
void read_rows(const Places& p, const T* from, T* to) {
  const int64_t width = p.width;
  parallel_for(p.outer * p.rows, std::max<int64_t>(1, 16384 / width), [&](int64_t begin, int64_t end) {
    each_block(p, begin, end, [&](int64_t base, int64_t row, const int64_t* offsets, int64_t n) {
      T* out = to + row * width;
      const T* in = from + base;
      if (width == 1) {
        if constexpr (sizeof(T) <= 8) {
          cpu::gather_kernels().read[std::countr_zero(sizeof(T))](n, offsets, in, out);
        } else {
          for (int64_t j = 0; j < n; ++j) out[j] = in[offsets[j]];
        }
      } else if (p.after_offsets.empty()) {
        for (int64_t j = 0; j < n; ++j) std::memcpy(out + j * width, in + offsets[j], size_t(width) * sizeof(T));
      } else {
        const int64_t* after = p.after_offsets.data();
        for (int64_t j = 0; j < n; ++j) {
          for (int64_t a = 0; a < width; ++a) out[j * width + a] = in[offsets[j] + after[a]];
        }
      }
    });
  });
}

// put(destination, value) for every chosen element in row-major order, so the last of equal indices wins. Rows may
// share a destination, so threads divide the outer part or the width, never the rows.
template <class T, class Put>
void write_rows(const Places& p, T* to, const T* values, bool one_value, Put put) {
  const int64_t width = p.width;
  auto part = [&](int64_t row_begin, int64_t row_end, int64_t a0, int64_t a1) {
    each_block(p, row_begin, row_end, [&](int64_t base, int64_t row, const int64_t* offsets, int64_t n) {
      if (width == 1 && !one_value && p.after_offsets.empty()) {
        for (int64_t j = 0; j < n; ++j) put(to[base + offsets[j]], values[row + j]);
        return;
      }
      for (int64_t j = 0; j < n; ++j) {
        T* out = to + base + offsets[j];
        const T* in = one_value ? values : values + (row + j) * width;
        if constexpr (std::is_same_v<Put, AddTo>) {
          if (!one_value && p.after_offsets.empty() && a1 - a0 >= 8) {
            add_row(a1 - a0, in + a0, out + a0);
            continue;
          }
        }
        if (p.after_offsets.empty()) {
          if (one_value) {
            for (int64_t a = a0; a < a1; ++a) put(out[a], *in);
          } else {
            for (int64_t a = a0; a < a1; ++a) put(out[a], in[a]);
          }
        } else {
          for (int64_t a = a0; a < a1; ++a) put(out[p.after_offsets[size_t(a)]], in[one_value ? 0 : a]);
        }
      }
    });
  };
  if (p.outer > 1) {
    const int64_t grain = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, p.rows * width));
    parallel_for(p.outer, grain, [&](int64_t begin, int64_t end) { part(begin * p.rows, end * p.rows, 0, width); });
  } else {
    const int64_t grain = std::max<int64_t>(64, 32768 / std::max<int64_t>(1, p.rows));
    parallel_for(width, grain, [&](int64_t begin, int64_t end) { part(0, p.rows, begin, end); });
  }
}

// As PyTorch: only tensors without holes can be judged.
void check_no_overlap(const Tensor& written, const Tensor& read) {
  const bool dense = written.layout().dense() && read.layout().dense();
  if (!dense || !(written->storage == read->storage) || written.numel() == 0 || read.numel() == 0) return;
  const char *w = written->data(), *r = read->data();
  check(w >= r + read.numel() * itemsize(read.dtype()) || r >= w + written.numel() * itemsize(written.dtype()),
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
        "location. Please clone() the tensor before performing the operation.");
}

struct IndexPut {
  static constexpr Overlap overlap = Overlap::deprecated;
  static void write(const Tensor& self, Tensors indices, const Tensor& values, bool accumulate) {
    if (without_elements(self)) return;
    std::vector<Tensor> own;
    for (const Tensor& t : indices) own.push_back(t ? apart(t, self) : t);
    const bool masked = !accumulate && values.numel() == 1 && own.size() == 1 && own[0] &&
                        own[0].dtype() == DType::boolean && own[0].shape() == self.shape();
    if (!masked) check_no_overlap(self, values);
    if (masked) return masked_fill_data(self, own[0], apart(cast_data(values, self.dtype()), self));
    const Places places(self, own);
    const Dims shape = places.shape();
    check(fits(values.shape(), shape), "shape mismatch: value tensor of shape ", Ints(values.shape()),
          " cannot be broadcast to indexing result of shape ", Ints(shape));
    check(self.dtype() == values.dtype(), "Index put requires the source and destination dtypes match, got ",
          legacy_name(self.dtype()), " for the destination and ", legacy_name(values.dtype()), " for the source.");
    if (places.rows * places.width * places.outer == 0) return;
    places.check_bounds();
    const bool one = values.numel() == 1;
    Tensor v = apart(values, self);
    if (!one && !(v.shape() == shape)) v = alias(v, without_lead(v.layout(), shape.dims()).broadcast(shape));
    v = dense(v);
    const Unlocked unlocked(places.rows * places.width * places.outer);
    if (accumulate) {
      dispatch(self.dtype(), "index_put",
               [&]<class T>() { write_rows(places, self.data<T>(), v.data<T>(), one, AddTo{}); });
    } else {
      dispatch_size(itemsize(self.dtype()), [&]<class T>() {
        write_rows(places, self.data<T>(), v.data<T>(), one, [](T& to, const T& from) { to = from; });
      });
    }
  }
  static Ref<Node> node(const Tensor& self, Tensors indices, const Tensor& values, bool accumulate) {
    const size_t count = indices.size();
    Ref<Node> node = make_node("IndexPutBackward0", {&self, &values},
                               [count, accumulate, shape = values.shape(), dtype = values.dtype()](BackwardCall& c) {
                                 const std::vector<Tensor> kept = saved_indices(c, count);
                                 const Tensor& g = c.grad();
                                 if (c.needs(0))
                                   c.set(0, accumulate ? g : index_put(g, kept, zeros({}, g.dtype()), false));
                                 if (c.needs(1)) {
                                   Tensor part = index(g, kept);
                                   if (part.dims() < shape.dims())
                                     part = reshape(part, with_lead(part.shape(), shape.dims()));
                                   c.set(1, cast(sum_to(part, shape), dtype));
                                 }
                               });
    for (const Tensor& t : indices) node->saved.push_back(Saved(t, false));
    return node;
  }
  static std::vector<Tensor> saved_indices(BackwardCall& c, size_t count) {
    std::vector<Tensor> kept;
    for (size_t i = 0; i < count; ++i) kept.push_back(c.saved(static_cast<int>(i)));
    return kept;
  }

 private:
  // Leading dimensions of size 1 beyond the result's do not count.
  static Layout without_lead(Layout layout, int dims) {
    while (layout.dims() > dims) {
      layout.shape.erase(0);
      layout.strides.erase(0);
    }
    return layout;
  }
  static Dims with_lead(Dims shape, int dims) {
    while (shape.dims() < dims) shape.insert(0, 1);
    return shape;
  }
  static bool fits(const Dims& from, const Dims& to) {
    for (int i = 0; i < from.dims(); ++i) {
      const int j = to.dims() - from.dims() + i;
      if (j < 0 ? from[i] != 1 : from[i] != 1 && from[i] != to[j]) return false;
    }
    return true;
  }
};

}  // namespace

Tensor index(const Tensor& self, Tensors indices) {
  const DeviceScope scope(self.device());
  Tensor out;
  if (indices.size() == 1 && indices[0] && indices[0].dtype() == DType::boolean && indices[0].dims() > 0 &&
      indices[0].shape() == self.shape()) {
    GradMode off(false);
    out = masked_select(self, indices[0]);
  } else {
    const Places places(self, indices);
    out = places.empty_result(self);
    if (out.numel() > 0 && !without_elements(out)) {
      const Tensor to = out.contiguous() ? out : empty(out.shape(), out.dtype());
      {
        const Unlocked unlocked(out.numel());
        dispatch_size(itemsize(self.dtype()), [&]<class T>() { read_rows(places, self.data<T>(), to.data<T>()); });
      }
      if (!to.same(out)) copy_data(out, to);
    }
  }
  if (!recording(self)) return out;
  Ref<Node> node =
      make_node("IndexBackward0", {&self}, [count = indices.size(), shape = self.shape()](BackwardCall& c) {
        const std::vector<Tensor> kept = IndexPut::saved_indices(c, count);
        c.set(0, index_put(zeros(shape, c.grad().dtype()), kept, c.grad(), true));
      });
  for (const Tensor& t : indices) node->saved.push_back(Saved(t, false));
  set_producer(out, std::move(node));
  return out;
}

Tensor index_put(const Tensor& self, Tensors indices, const Tensor& values, bool accumulate) {
  return alter<IndexPut, Tensors, const Tensor&, bool>(self, indices, values, accumulate);
}
Tensor index_put_(const Tensor& self, Tensors indices, const Tensor& values, bool accumulate) {
  return alter_inplace<IndexPut, Tensors, const Tensor&, bool>("index_put", self, indices, values, accumulate);
}
void put_data(const Tensor& self, Tensors indices, const Tensor& values, bool accumulate) {
  IndexPut::write(self, indices, values, accumulate);
}
ALTER("index_put(Tensor self, Tensor[] indices, Tensor values, bool accumulate=False) -> Tensor", IndexPut,
      "self with values written (or added, with accumulate) at self[indices]. Equal indices: the last value stays.", {})

}  // namespace bulssi
