// More views: everything that is written with the views of view.cpp.
#include <algorithm>
#include <limits>
#include <tuple>

#include "core/op/registry.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

Tensor squeeze_dims(const Tensor& t, Ints dims) {
  Small<bool, 8> gone(t.dims(), false);
  for (int64_t d : dims) {
    const int w = wrap_dim(d, t.dims());
    if (t.dims() == 0) continue;
    check(!gone[w], "dim ", w, " appears multiple times in the list of dims");
    gone[w] = true;
  }
  Layout layout{{}, {}, t.layout().offset};
  for (int i = 0; i < t.dims(); ++i) {
    if (gone[i] && t.shape()[i] == 1) continue;
    layout.shape.push_back(t.shape()[i]);
    layout.strides.push_back(t.strides()[i]);
  }
  return make_view("SqueezeBackward2", t, layout, [before = t.shape()](const Tensor& g) { return reshape(g, before); });
}
Tensor squeeze_all(const Tensor& t) {
  Layout layout{{}, {}, t.layout().offset};
  for (int i = 0; i < t.dims(); ++i) {
    if (t.shape()[i] == 1) continue;
    layout.shape.push_back(t.shape()[i]);
    layout.strides.push_back(t.strides()[i]);
  }
  return make_view("SqueezeBackward0", t, layout, [before = t.shape()](const Tensor& g) { return reshape(g, before); });
}
OPERATION("squeeze(Tensor self) -> Tensor", squeeze_all, "All dimensions of size 1 removed.",
          {.kind = OpKind::view, .copy = true, .inplace = true})
OPERATION("squeeze(Tensor self, int dim) -> Tensor", squeeze, "Dimension dim removed if its size is 1.",
          {.kind = OpKind::view, .copy = true, .inplace = true})
OPERATION("squeeze(Tensor self, int[] dim) -> Tensor", squeeze_dims, "The given dimensions removed where of size 1.",
          {.kind = OpKind::view, .copy = true, .inplace = true})

Tensor flatten(const Tensor& t, int64_t start, int64_t end) {
  const int a = wrap_dim(start, t.dims()), b = wrap_dim(end, t.dims());
  check(a <= b, "flatten() has invalid args: start_dim cannot come after end_dim");
  if (t.dims() == 0) return reshape(t, Dims{1});
  if (a == b) return t;
  Dims shape(t.shape().begin(), t.shape().begin() + a);
  shape.push_back(numel_of(Ints(t.shape().data() + a, size_t(b - a + 1))));
  shape.append(t.shape().begin() + b + 1, t.shape().end());
  return reshape(t, shape);
}
OPERATION("flatten(Tensor self, int start_dim=0, int end_dim=-1) -> Tensor", flatten,
          "Dimensions start_dim to end_dim as one.", {.kind = OpKind::view})
OPERATION("ravel(Tensor self) -> Tensor", (+[](const Tensor& t) { return view(contiguous(t), Dims{-1}); }),
          "All elements in one dimension.", {.kind = OpKind::view})

Tensor unflatten(const Tensor& t, int64_t dim, Ints sizes) {
  check(t.dims() > 0, ErrorKind::index, "Dimension specified as ", dim, " but tensor has no dimensions");
  const int d = wrap_dim(dim, t.dims());
  check(!sizes.empty(), "unflatten: sizes must be non-empty");
  int64_t known = 1, unknown = 0;
  bool fits = true;
  for (int64_t s : sizes) {
    if (s == -1)
      ++unknown;
    else
      fits = fits && s >= 0 && !__builtin_mul_overflow(known, s, &known);
  }
  const int64_t n = t.shape()[d];
  Dims shape(t.shape().begin(), t.shape().begin() + d);
  for (int64_t s : sizes) shape.push_back(s == -1 && known > 0 ? n / known : s);
  check(fits && unknown <= 1 && (unknown ? known > 0 && n % known == 0 : known == n), "unflatten: Provided sizes ",
        sizes, " don't multiply up to the size of dim ", d, " (", n, ") in the input tensor");
  shape.append(t.shape().begin() + d + 1, t.shape().end());
  return view(t, shape);
}
OPERATION("unflatten(Tensor self, int dim, int[] sizes) -> Tensor", unflatten,
          "Dimension dim unfolded into sizes (one may be -1).", {.kind = OpKind::view})

OPERATION("t(Tensor self) -> Tensor", (+[](const Tensor& t) {
            check(t.dims() <= 2, "t() expects a tensor with <= 2 dimensions, but self is ", t.dims(), "D");
            if (t.dims() < 2) return make_view("TBackward0", t, t.layout(), [](const Tensor& g) { return g; });
            return make_view("TBackward0", t, t.layout().transposed(0, 1),
                             [](const Tensor& g) { return transpose(g, 0, 1); });
          }),
          "A matrix transposed; vectors and numbers as they are.",
          {.kind = OpKind::view, .copy = true, .inplace = true})
OPERATION("adjoint(Tensor self) -> Tensor", (+[](const Tensor& t) {
            check(t.dims() != 1,
                  "tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.");
            return t.dims() ? mT(t) : permute(t, {});
          }),
          "The last two dimensions swapped (and conjugated).", {.kind = OpKind::view})
Tensor movedim(const Tensor& t, Ints source, Ints destination) {
  check(source.size() == destination.size(), "movedim: Invalid source or destination dims: source (", source,
        " dims) should contain the same number of dims as destination (", destination, " dims)");
  Dims order(t.dims(), -1);
  Small<bool, 8> used(t.dims(), false);
  for (size_t i = 0; i < source.size(); ++i) {
    const int s = wrap_dim(source[i], t.dims()), d = wrap_dim(destination[i], t.dims());
    if (t.dims() == 0) return permute(t, {});
    check(!used[s], "movedim: repeated dim in `source` (", source, ")");
    check(order[d] == -1, "movedim: repeated dim in `destination` (", destination, ")");
    order[d] = s;
    used[s] = true;
  }
  int next = 0;
  for (int i = 0; i < t.dims(); ++i) {
    if (order[i] != -1) continue;
    while (used[next]) ++next;
    order[i] = next++;
  }
  return permute(t, order);
}
OPERATION("movedim(Tensor self, int source, int destination) -> Tensor",
          (+[](const Tensor& t, int64_t s, int64_t d) { return movedim(t, Dims{s}, Dims{d}); }),
          "Dimension source moved to place destination.", {.kind = OpKind::view, .aliases = "moveaxis"})
OPERATION("movedim(Tensor self, int[] source, int[] destination) -> Tensor", movedim,
          "Dimensions source moved to places destination.", {.kind = OpKind::view, .aliases = "moveaxis"})

OPERATION("expand_as(Tensor self, Tensor other) -> Tensor",
          (+[](const Tensor& t, const Tensor& other) { return expand(t, other.shape()); }), "expand to other's shape.",
          {.kind = OpKind::view, .function = false})
OPERATION("sum_to_size(Tensor self, int[] size) -> Tensor", (+[](const Tensor& t, Ints size) {
            const int lead = t.dims() - static_cast<int>(size.size());
            bool fits = lead >= 0;
            for (int i = 0; i < int(size.size()) && fits; ++i) fits = size[i] == 1 || size[i] == t.shape()[lead + i];
            check(fits, "size {", size, "} is not expandable to size {", Ints(t.shape()), "}.");
            return size.empty() ? sum(t, std::nullopt, false, std::nullopt) : sum_to(t, size);
          }),
          "Sums over the dimensions along which a tensor of this size would be broadcast to self's shape.",
          {.function = false})
OPERATION("view_as(Tensor self, Tensor other) -> Tensor",
          (+[](const Tensor& t, const Tensor& other) { return view(t, other.shape()); }), "view with other's shape.",
          {.kind = OpKind::view, .function = false})
OPERATION("reshape_as(Tensor self, Tensor other) -> Tensor",
          (+[](const Tensor& t, const Tensor& other) { return reshape(t, other.shape()); }),
          "reshape to other's shape.", {.kind = OpKind::view, .function = false})
OPERATION("broadcast_to(Tensor self, int[] size) -> Tensor", expand, "self broadcast to size, without copying.",
          {.kind = OpKind::view})
OPERATION("view(Tensor self, ScalarType dtype) -> Tensor", (+[](const Tensor& t, DType dtype) {
            const int from = itemsize(t.dtype()), to = itemsize(dtype);
            Layout l = t.layout();
            if (from != to) {
              check(t.dims() > 0, "self.dim() cannot be 0 to view ", legacy_name(t.dtype()), " as ", legacy_name(dtype),
                    " (different element sizes)");
              check(l.strides.back() == 1, "self.stride(-1) must be 1 to view ", legacy_name(t.dtype()), " as ",
                    legacy_name(dtype), " (different element sizes), but got ", l.strides.back());
              const int64_t bytes = l.shape.back() * from;
              check(bytes % to == 0, "self.size(-1) must be divisible by ", to / from, " to view ",
                    legacy_name(t.dtype()), " as ", legacy_name(dtype), " (different element sizes), but got ",
                    l.shape.back());
              for (int i = 0; i + 1 < l.dims(); ++i) {
                check(l.strides[i] * from % to == 0, "self.stride(", i, ") must be divisible by ", to / from,
                      " to view ", legacy_name(t.dtype()), " as ", legacy_name(dtype), ", but got ", l.strides[i]);
                l.strides[i] = l.strides[i] * from / to;
              }
              check(l.offset * from % to == 0, "self.storage_offset() must be divisible by ", to / from, " to view ",
                    legacy_name(t.dtype()), " as ", legacy_name(dtype), " (different element sizes), but got ",
                    l.offset);
              l.shape.back() = bytes / to;
              l.offset = l.offset * from / to;
            }
            return alias_as(t, l, dtype);
          }),
          "The same bytes shown as another dtype.",
          {.kind = OpKind::view, .copy = true, .function = false, .differentiable = false})

// ---- several views at once ------------------------------------------------------------------------------------------

// The gradient of pieces, of which some may have none.
Tensor pieces_backward(const Small<Tensor, 2>& grads, const Dims& shape, int dim, const Dims& starts,
                       const Dims& lengths, bool drop_dim) {
  int64_t at = 0;
  DType dtype{};
  bool in_order = true;
  for (size_t i = 0; i < starts.size(); ++i) {
    in_order = in_order && starts[i] == at;
    at += lengths[i];
    if (i < grads.size() && grads[i]) dtype = grads[i].dtype();
  }
  if (in_order && at == shape[dim]) {  // one after the other, as almost always
    std::vector<Tensor> parts;
    for (size_t i = 0; i < starts.size(); ++i) {
      Dims part = shape;
      part[dim] = lengths[i];
      const bool given = i < grads.size() && grads[i];
      parts.push_back(!given ? zeros(part, dtype) : drop_dim ? unsqueeze(grads[i], dim) : grads[i]);
    }
    return cat(parts, dim);
  }
  const Layout whole = Layout::of(shape);
  Tensor total;
  for (size_t i = 0; i < std::min(starts.size(), grads.size()); ++i) {
    if (!grads[i]) continue;
    const Layout part = drop_dim ? whole.selected(dim, starts[i]) : whole.sliced(dim, starts[i], lengths[i], 1);
    const Tensor g = as_strided_backward(grads[i], whole, part);
    total = total ? sum_of(total, g) : g;
  }
  return total;
}

// The pieces of a dimension, as views that may not be changed in place; one node for all of them.
std::vector<Tensor> pieces(const char* name, const Tensor& t, int dim, const Dims& starts, const Dims& lengths,
                           bool drop_dim) {
  std::vector<Tensor> out;
  const bool wanted = recording(t) && is_differentiable(t.dtype());
  Ref<Node> node;
  if (wanted) {
    node = make_node(name, {&t}, [shape = t.shape(), dim, starts, lengths, drop_dim](BackwardCall& c) {
      c.set(0, pieces_backward(c.grads, shape, dim, starts, lengths, drop_dim));
    });
    // Of more pieces than fit there, the engine has as many gradients as arrive; pieces_backward takes any number.
    node->results = static_cast<uint16_t>(std::min<size_t>(starts.size(), UINT16_MAX));
  }
  for (size_t i = 0; i < starts.size(); ++i) {
    const Layout l = drop_dim ? t.layout().selected(dim, starts[i]) : t.layout().sliced(dim, starts[i], lengths[i], 1);
    Tensor piece = view_of(t, l, Creation::multi_output);
    if (wanted) set_producer(piece, node, static_cast<uint32_t>(i));
    out.push_back(std::move(piece));
  }
  return out;
}

std::vector<Tensor> split_sizes(const char* name, const Tensor& t, Ints sizes, int dim) {
  Dims starts, lengths;
  int64_t at = 0;
  for (int64_t s : sizes) {
    starts.push_back(at);
    lengths.push_back(s);
    at += s;
  }
  return pieces(name, t, dim, starts, lengths, false);
}
int splittable(const Tensor& t, int64_t dim, const char* op) {
  check(t.dims() > 0, op, " expects at least a 1-dimensional tensor");
  return wrap_dim(dim, t.dims());
}
std::vector<Tensor> split_even(const Tensor& t, int64_t size, int64_t dim) {
  const int d = splittable(t, dim, "split");
  check(size >= 0, "split expects split_size be non-negative, but got split_size=", size);
  const int64_t n = t.shape()[d];
  check(size > 0 || n == 0, "split_size can only be 0 if dimension size is 0, but got dimension size of ", n);
  Dims sizes;
  for (int64_t left = n; left > 0; left -= size) sizes.push_back(std::min(size, left));
  if (sizes.empty()) sizes.push_back(0);
  return split_sizes("SplitBackward0", t, sizes, d);
}
std::vector<Tensor> split_list(const Tensor& t, Ints sizes, int64_t dim) {
  const int d = splittable(t, dim, "split_with_sizes");
  int64_t total = 0;
  for (int64_t s : sizes) {
    check(s >= 0, "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes=", sizes);
    if (__builtin_add_overflow(total, s, &total)) total = std::numeric_limits<int64_t>::max();
  }
  check(total == t.shape()[d], "split_with_sizes expects split_sizes to sum exactly to ", t.shape()[d],
        " (input tensor's size at dimension ", d, "), but got split_sizes=", sizes);
  return split_sizes("SplitWithSizesBackward0", t, sizes, d);
}
OPERATION("split(Tensor self, int split_size, int dim=0) -> Tensor[]", split_even, "Pieces of split_size along dim.",
          {.kind = OpKind::view, .copy = true})
OPERATION("split(Tensor self, int[] split_size, int dim=0) -> Tensor[]", split_list,
          "Pieces of the given sizes along dim.", {.kind = OpKind::view, .copy = true})
OPERATION("split_with_sizes(Tensor self, int[] split_sizes, int dim=0) -> Tensor[]", split_list,
          "Pieces of the given sizes along dim.", {.kind = OpKind::view, .copy = true})
OPERATION("chunk(Tensor self, int chunks, int dim=0) -> Tensor[]", (+[](const Tensor& t, int64_t n, int64_t dim) {
            check(n > 0, "chunk expects `chunks` to be greater than 0, got: ", n);
            const int d = splittable(t, dim, "chunk");
            const int64_t size = t.shape()[d] / n + (t.shape()[d] % n != 0);
            if (size == 0) return split_sizes("SplitWithSizesBackward0", t, Dims(size_t(n), 0), d);
            return split_even(t, size, d);
          }),
          "At most `chunks` pieces of equal size along dim (the last may be smaller).", {.kind = OpKind::view})
std::vector<Tensor> split_at(const Tensor& t, Ints indices, int64_t dim) {
  check(t.dims() > 0, "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims");
  const int d = wrap_dim(dim, t.dims());
  const int64_t n = t.shape()[d];
  std::vector<Tensor> out;  // plain slices, each with a history of its own
  int64_t at = 0;
  for (size_t i = 0; i <= indices.size(); ++i) {
    int64_t end = i < indices.size() ? indices[i] : n;
    if (end < 0) end = std::max<int64_t>(end + n, 0);
    end = std::min(end, n);
    out.push_back(slice(t, d, std::min(at, n), std::max(end, std::min(at, n)), 1));
    at = end;
  }
  return out;
}
std::vector<Tensor> split_sections(const Tensor& t, int64_t sections, int64_t dim) {
  check(t.dims() > 0, "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims");
  const int d = wrap_dim(dim, t.dims());
  check(sections > 0, "number of sections must be larger than 0, got ", sections);
  // Where there is no room for so many tensors this fails at once.
  if (sections > 1 << 20) empty(Dims{sections, int64_t{sizeof(TensorImpl)}}, DType::u8);
  Dims at;
  const int64_t n = t.shape()[d], small = n / sections, larger = n % sections;
  for (int64_t i = 1, end = 0; i < sections; ++i) at.push_back(end += small + (i <= larger ? 1 : 0));
  return split_at(t, at, d);
}
OPERATION("tensor_split(Tensor self, int sections, int dim=0) -> Tensor[]", split_sections,
          "`sections` pieces along dim, sizes differing by at most one.", {.kind = OpKind::view})
OPERATION("tensor_split(Tensor self, int[] indices, int dim=0) -> Tensor[]", split_at,
          "Pieces between the given indices of dim.", {.kind = OpKind::view})
OPERATION("tensor_split(Tensor self, Tensor tensor_indices_or_sections, int dim=0) -> Tensor[]",
          (+[](const Tensor& t, const Tensor& at, int64_t dim) {
            check(at.dtype() == DType::i64 && at.dims() <= 1,
                  "tensor_split expected tensor_indices_or_sections to be "
                  "a zero-dimensional or one-dimensional tensor of dtype long, but got a tensor with ",
                  at.dims(), " dims of dtype ", at.dtype());
            const Tensor d = dense(at);
            if (at.dims() == 0) return split_sections(t, *d.data<int64_t>(), dim);
            return split_at(t, Ints(d.data<int64_t>(), size_t(d.numel())), dim);
          }),
          "Pieces between the given indices of dim.", {.kind = OpKind::view})
template <int dim, int least>
int stacked_dim(const Tensor& t, const char* op) {
  check(t.dims() >= least, "torch.", op, " requires a tensor with at least ", least,
        least == 1 ? " dimension" : " dimension", ", but got a tensor with ", t.dims(), " dimensions!");
  return dim == 1 && t.dims() == 1 ? 0 : dim;
}
std::vector<Tensor> equal_sections(const Tensor& t, int64_t n, int dim, const char* op) {
  check(n > 0 && t.shape()[dim] % n == 0, "torch.", op, " attempted to split along dimension ", dim,
        ", but the size of the dimension ", t.shape()[dim], " is not divisible by the split_size ", n, "!");
  return split_sections(t, n, dim);
}
#define BULSSI_SPLIT(name, dim, least)                                                                     \
  OPERATION(name "(Tensor self, int sections) -> Tensor[]", (+[](const Tensor& t, int64_t n) {             \
              return equal_sections(t, n, stacked_dim<dim, least>(t, name), name);                         \
            }),                                                                                            \
            "Equal pieces along dimension " #dim ".", {.kind = OpKind::view})                              \
  OPERATION(name "(Tensor self, int[] indices) -> Tensor[]",                                               \
            (+[](const Tensor& t, Ints at) { return split_at(t, at, stacked_dim<dim, least>(t, name)); }), \
            "Pieces between indices along dimension " #dim ".", {.kind = OpKind::view})
BULSSI_SPLIT("hsplit", 1, 1)
BULSSI_SPLIT("vsplit", 0, 2)
BULSSI_SPLIT("dsplit", 2, 3)

OPERATION("unbind(Tensor self, int dim=0) -> Tensor[]", (+[](const Tensor& t, int64_t dim) {
            check(t.dims() > 0, ErrorKind::index, "Dimension specified as ", dim, " but tensor has no dimensions");
            const int d = wrap_dim(dim, t.dims());
            Dims starts, lengths(size_t(t.shape()[d]), 1);
            for (int64_t i = 0; i < t.shape()[d]; ++i) starts.push_back(i);
            return pieces("UnbindBackward0", t, d, starts, lengths, true);
          }),
          "All slices along dim.", {.kind = OpKind::view, .copy = true})

// ---- diagonals and windows ------------------------------------------------------------------------------------------

template <class F>
Tensor strided_view(const char* name, const Tensor& t, F layout_of) {
  const Layout layout = layout_of(t.layout());
  return make_view(name, t, layout, [whole = Layout::of(t.shape()), layout_of](const Tensor& g) {
    return as_strided_backward(g, whole, layout_of(whole));
  });
}

Tensor diagonal(const Tensor& t, int64_t offset, int64_t dim1, int64_t dim2) {
  const int a = wrap_dim(dim1, t.dims()), b = wrap_dim(dim2, t.dims());
  check(a != b, "diagonal dimensions cannot be identical ", dim1, ", ", dim2);
  check(t.dims() >= 2, ErrorKind::index, "Dimension out of range (expected to be in range of [-1, 0], but got 1)");
  return strided_view("DiagonalBackward0", t,
                      [offset, a, b](const Layout& whole) { return whole.diagonal(a, b, offset); });
}
OPERATION("diagonal(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor", diagonal,
          "The diagonal of dimensions dim1 and dim2 as the last dimension.", {.kind = OpKind::view, .copy = true})
OPERATION("diagonal(Tensor A, *, int offset=0, int dim1=-2, int dim2=-1) -> Tensor", diagonal,
          "The diagonal of the last two dimensions.", {.kind = OpKind::view, .method = false, .module = "linalg"})

OPERATION("unfold(Tensor self, int dimension, int size, int step) -> Tensor",
          (+[](const Tensor& t, int64_t dim, int64_t size, int64_t step) {
            const int d = wrap_dim(dim, t.dims());
            const int64_t n = t.dims() ? t.shape()[d] : 1;
            check(size >= 0, "size is ", size, " but must be >= 0");
            check(size <= n, "maximum size for tensor at dimension ", d, " is ", n, " but size is ", size);
            check(step > 0, "step is ", step, " but must be > 0");
            return strided_view("UnfoldBackward0", t, [d, size, step](const Layout& whole) {
              Layout l = whole;
              if (whole.dims() == 0) return Layout{Dims{size}, Dims{1}, whole.offset};
              l.shape[d] = (whole.shape[d] - size) / step + 1;
              l.strides[d] = whole.strides[d] * step;
              l.shape.push_back(size);
              l.strides.push_back(whole.strides[d]);
              return l;
            });
          }),
          "All windows of `size` along a dimension, `step` apart, as a new last dimension.",
          {.kind = OpKind::view, .copy = true, .function = false})

Tensor diag_embed(const Tensor& t, int64_t offset, int64_t dim1, int64_t dim2) {
  const int n = t.dims() + 1, a = wrap_dim(dim1, n), b = wrap_dim(dim2, n);
  check(a != b, "diagonal dimensions cannot be identical ", dim1, ", ", dim2);
  int64_t size;
  check(offset != std::numeric_limits<int64_t>::min() &&
            !__builtin_add_overflow(t.shape().back(), std::abs(offset), &size),
        "diag_embed: with an offset of ", offset, " the matrix would have more rows than can be counted");
  Dims shape(t.shape().begin(), t.shape().end() - 1);
  shape.insert(size_t(std::min(a, b)), size);
  shape.insert(size_t(std::max(a, b)), size);
  Tensor out = zeros(shape, t.dtype());
  {
    GradMode off(false);
    copy_data(diagonal(out, offset, a, b), t);
  }
  return record("DiagEmbedBackward0", t, out, [offset, a, b](const Tensor& g) { return diagonal(g, offset, a, b); });
}
OPERATION("diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor", diag_embed,
          "Matrices with the last dimension of self as a diagonal.")
}  // namespace

Tensor diagonal_view(const Tensor& t) { return diagonal(t, 0, -2, -1); }
Tensor diagonal_matrix(const Tensor& t) { return diag_embed(t, 0, -2, -1); }

namespace {

OPERATION("diag(Tensor self, int diagonal=0) -> Tensor", (+[](const Tensor& t, int64_t offset) {
            check(t.dims() == 1 || t.dims() == 2, "diag(): Supports 1D or 2D tensors. Got ", t.dims(), "D");
            if (t.dims() == 1) return diag_embed(t, offset, 0, 1);
            return clone(diagonal(t, offset, 0, 1));
          }),
          "A matrix with this diagonal, or the diagonal of a matrix.", {.out = true})
OPERATION("diagflat(Tensor self, int offset=0) -> Tensor",
          (+[](const Tensor& t, int64_t offset) { return diag_embed(reshape(t, Dims{-1}), offset, 0, 1); }),
          "A matrix with all elements of self as its diagonal.")

}  // namespace

Tensor at_least(const Tensor& t, int n) {
  Tensor out = t;
  if (n >= 1 && out.dims() == 0) out = reshape(out, Dims{1});
  if (n >= 2 && out.dims() == 1) out = unsqueeze(out, 0);
  if (n >= 3 && out.dims() == 2) out = unsqueeze(out, 2);
  return out;
}
namespace {

template <int n>
std::vector<Tensor> all_at_least(Tensors ts) {
  std::vector<Tensor> out;
  for (const Tensor& t : ts) out.push_back(at_least(t, n));
  return out;
}
#define BULSSI_AT_LEAST(n)                                                                                            \
  OPERATION("atleast_" #n "d(Tensor self) -> Tensor", (+[](const Tensor& t) { return at_least(t, n); }),              \
            "self with at least " #n " dimensions.", {.kind = OpKind::view, .method = false})                         \
  OPERATION("atleast_" #n "d(Tensor[] tensors) -> Tensor[]", all_at_least<n>, "All with at least " #n " dimensions.", \
            {.kind = OpKind::view, .method = false, .variadic = true})
BULSSI_AT_LEAST(1)
BULSSI_AT_LEAST(2)
BULSSI_AT_LEAST(3)

}  // namespace
}  // namespace bulssi
