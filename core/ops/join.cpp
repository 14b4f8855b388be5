// Joining and rearranging.
#include <algorithm>
#include <cstring>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/op/pointwise.h"
#include "core/op/registry.h"
#include "core/ops/basics.h"
#include "core/ops/index.h"

namespace bulssi {

namespace {

DType common_type(Tensors ts) {
  std::vector<Operand> all(ts.begin(), ts.end());
  return promoted_type(all);
}
// PyTorch skips these when concatenating.
bool legacy_empty(const Tensor& t) { return t.dims() == 1 && t.numel() == 0; }

// Row-major tensors of one dtype: `out` is rows of pieces, one of each tensor, and is cut among the threads anywhere.
void join_rows(const Tensor& out, Tensors ts, const Dims& lengths, int d) {
  if (without_elements(out)) return;
  int64_t rows = 1, inner = itemsize(out.dtype());
  for (int k = 0; k < d; ++k) rows *= out.shape()[k];
  for (int k = d + 1; k < out.dims(); ++k) inner *= out.shape()[k];
  struct Piece {
    const char* from;
    int64_t start, bytes;  // in a row
  };
  std::vector<Piece> pieces;
  int64_t row = 0;
  for (size_t i = 0; i < ts.size(); ++i) {
    if (lengths[i] == 0) continue;
    pieces.push_back({ts[i].data<char>(), row, lengths[i] * inner});
    row += lengths[i] * inner;
  }
  char* to = out.data<char>();
  const int64_t total = rows * row;
  const Unlocked unlocked(total / 4);
  parallel_for(total, int64_t{1} << 17, [&](int64_t begin, int64_t end) {
    int64_t r = begin / row;
    auto piece = std::upper_bound(pieces.begin(), pieces.end(), begin - r * row,
                                  [](int64_t at, const Piece& p) { return at < p.start; }) -
                 1;
    for (int64_t at = begin; at < end; ++piece) {
      if (piece == pieces.end()) ++r, piece = pieces.begin();
      const int64_t skip = at - r * row - piece->start, n = std::min(end - at, piece->bytes - skip);
      std::memcpy(to + at, piece->from + r * piece->bytes + skip, static_cast<size_t>(n));
      at += n;
    }
  });
}

}  // namespace

Tensor cat(Tensors ts, int64_t dim) {
  check(!ts.empty(), ErrorKind::value, "expected a non-empty list of Tensors");
  const Tensor* first = nullptr;
  for (size_t i = 0; i < ts.size(); ++i) {
    check(ts[i].dims() > 0, "zero-dimensional tensor (at position ", i, ") cannot be concatenated");
    if (!first && !legacy_empty(ts[i])) first = &ts[i];
  }
  for (const Tensor& t : ts) {
    if (!(t.device() == ts[0].device())) fail_devices(ts[0].device(), t.device());
  }
  const DType dtype = common_type(ts);
  if (!first) first = &ts[0];
  const int d = wrap_dim(dim, first->dims());
  Dims shape = first->shape();
  shape[d] = 0;
  Dims starts, lengths;
  for (size_t i = 0; i < ts.size(); ++i) {
    const Tensor& t = ts[i];
    starts.push_back(shape[d]);
    if (legacy_empty(t) && t.dims() != first->dims()) {
      lengths.push_back(0);
      continue;
    }
    check(t.dims() == first->dims(), "Tensors must have same number of dimensions: got ", first->dims(), " and ",
          t.dims());
    for (int k = 0; k < t.dims(); ++k) {
      check(k == d || t.shape()[k] == first->shape()[k], "Sizes of tensors must match except in dimension ", d,
            ". Expected size ", first->shape()[k], " but got size ", t.shape()[k], " for tensor number ", i,
            " in the list.");
    }
    lengths.push_back(t.shape()[d]);
    check(!__builtin_add_overflow(shape[d], t.shape()[d], &shape[d]), "cat: the sizes along dimension ", d,
          " add up to more than can be counted");
  }
  Tensor out = empty(shape, dtype);
  bool plain = out.numel() > 0 && !without_elements(out);
  for (size_t i = 0; i < ts.size(); ++i) plain &= lengths[i] == 0 || (ts[i].dtype() == dtype && ts[i].contiguous());
  if (plain) join_rows(out, ts, lengths, d);
  for (size_t i = 0; i < ts.size() && !plain; ++i) {
    if (lengths[i] == 0) continue;
    copy_data(alias(out, out.layout().sliced(d, starts[i], lengths[i], 1)), ts[i]);
  }
  bool wanted = false;
  for (const Tensor& t : ts) wanted = wanted || recording(t);
  if (!wanted || !is_differentiable(dtype)) return out;
  Small<DType, 4> types;
  std::vector<Dims> empties;
  for (const Tensor& t : ts) types.push_back(t.dtype());
  for (const Tensor& t : ts) empties.push_back(t.numel() == 0 ? t.shape() : Dims());
  Ref<Node> node = make_node("CatBackward0", {}, [d, starts, lengths, types, empties](BackwardCall& c) {
    for (size_t i = 0; i < starts.size(); ++i) {
      if (!c.needs(int(i))) continue;
      Tensor g = lengths[i] == 0 && !empties[i].empty() ? zeros(empties[i], c.grad().dtype())
                                                        : narrow(c.grad(), d, starts[i], lengths[i]);
      c.set(int(i), cast(g, types[i]));
    }
  });
  for (const Tensor& t : ts) node->edges.push_back(edge_to(t));
  set_producer(out, std::move(node));
  return out;
}
OPERATION("cat(Tensor[] tensors, int dim=0) -> Tensor", cat, "Tensors one after the other along dim.",
          {.method = false,
           .out = true,
           .aliases = "concat concatenate",
           .out_dtype = Traits::Out::converted,
           .apart = true,
           .autocast = Autocast::widest})

Tensor stack(Tensors ts, int64_t dim) {
  check(!ts.empty(), "stack expects a non-empty TensorList");
  const int d = wrap_dim(dim, ts[0].dims() + 1);
  std::vector<Tensor> rows;
  for (size_t i = 0; i < ts.size(); ++i) {
    check(ts[i].shape() == ts[0].shape(), "stack expects each tensor to be equal size, but got ", Ints(ts[0].shape()),
          " at entry 0 and ", Ints(ts[i].shape()), " at entry ", i);
    rows.push_back(unsqueeze(ts[i], d));
  }
  Tensor out = [&] {
    const GradMode off(false);
    return cat(rows, d);
  }();
  bool any = false;
  for (const Tensor& t : ts) any |= recording(t);
  if (!any || !is_differentiable(out.dtype())) return out;
  std::vector<DType> dtypes;
  for (const Tensor& t : ts) dtypes.push_back(t.dtype());
  Ref<Node> node = make_node("StackBackward0", {}, [d, dtypes](BackwardCall& c) {
    for (int i = 0; i < int(c.inputs.size()); ++i) {
      if (c.needs(i)) c.set(i, cast(select_index(c.grad(), d, i), dtypes[i]));
    }
  });
  for (const Tensor& t : ts) node->edges.push_back(edge_to(t));
  set_producer(out, std::move(node));
  return out;
}
OPERATION("stack(Tensor[] tensors, int dim=0) -> Tensor", stack, "Tensors of one shape along a new dimension.",
          {.method = false, .out = true, .out_dtype = Traits::Out::converted, .autocast = Autocast::widest})

namespace {

Tensor join_with(Tensors ts, int least, int dim, const char* op) {
  check(!ts.empty(), op, " expects a non-empty TensorList");
  std::vector<Tensor> all;
  for (const Tensor& t : ts) all.push_back(at_least(t, least));
  return cat(all, dim == 1 && all[0].dims() == 1 ? 0 : dim);
}
OPERATION("hstack(Tensor[] tensors) -> Tensor", (+[](Tensors ts) { return join_with(ts, 1, 1, "hstack"); }),
          "Side by side (along dimension 1; vectors along 0).",
          {.method = false, .out = true, .out_dtype = Traits::Out::converted, .autocast = Autocast::widest})
OPERATION("vstack(Tensor[] tensors) -> Tensor", (+[](Tensors ts) { return join_with(ts, 2, 0, "vstack"); }),
          "One below the other.",
          {.method = false,
           .out = true,
           .aliases = "row_stack",
           .out_dtype = Traits::Out::converted,
           .autocast = Autocast::widest})
OPERATION("dstack(Tensor[] tensors) -> Tensor", (+[](Tensors ts) { return join_with(ts, 3, 2, "dstack"); }),
          "Along dimension 2.",
          {.method = false, .out = true, .out_dtype = Traits::Out::converted, .autocast = Autocast::widest})
OPERATION("column_stack(Tensor[] tensors) -> Tensor", (+[](Tensors ts) {
            check(!ts.empty(), "column_stack expects a non-empty TensorList");
            std::vector<Tensor> all;
            for (const Tensor& t : ts) all.push_back(t.dims() <= 1 ? reshape(t, Dims{t.numel(), 1}) : t);
            return cat(all, 1);
          }),
          "Vectors as the columns of a matrix.",
          {.method = false, .out = true, .out_dtype = Traits::Out::converted, .autocast = Autocast::widest})
OPERATION("block_diag(Tensor[] tensors) -> Tensor", (+[](Tensors ts) {
            int64_t rows = 0, cols = 0;
            std::vector<Tensor> all;
            for (const Tensor& t : ts) {
              check(t.dims() <= 2, "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input ",
                    all.size(), " has ", t.dims(), " dimensions");
              all.push_back(at_least(t, 2));
              cols += all.back().shape()[1];
            }
            const DType dtype = ts.empty() ? default_dtype() : common_type(ts);
            if (ts.empty()) return empty(Dims{1, 0}, dtype);
            std::vector<Tensor> bands;
            for (const Tensor& t : all) {
              const int64_t n = t.shape()[0];
              const Tensor band[] = {zeros(Dims{n, rows}, dtype), cast(t, dtype),
                                     zeros(Dims{n, cols - rows - t.shape()[1]}, dtype)};
              bands.push_back(cat(band, 1));
              rows += t.shape()[1];
            }
            return cat(bands, 0);
          }),
          "A block-diagonal matrix.", {.method = false, .variadic = true, .shown = "BlockDiagBackward0"})

Tensor repeat(const Tensor& t, Ints repeats) {
  check(repeats.size() >= size_t(t.dims()),
        "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor");
  const int lead = static_cast<int>(repeats.size()) - t.dims();
  Dims open, wide, shape;
  for (int i = 0; i < int(repeats.size()); ++i) {
    check(repeats[i] >= 0, "Trying to create tensor with negative dimension ", repeats[i], ": ", repeats);
    const int64_t n = i < lead ? 1 : t.shape()[i - lead];
    open.push_back(1);
    open.push_back(n);
    wide.push_back(repeats[i]);
    wide.push_back(n);
    int64_t size;
    check(!__builtin_mul_overflow(repeats[i], n, &size), "repeat: ", repeats[i], " times ", n,
          " elements of dimension ", i, " are more than can be counted");
    shape.push_back(size);
  }
  numel_of(shape);
  Tensor out = empty(shape, t.dtype());
  {
    GradMode off(false);
    copy_data(alias(out, *out.layout().viewed(wide)), reshape(detach(t), open));
  }
  Dims gone;
  for (int i = 0; i < int(repeats.size()); ++i) gone.push_back(2 * i);
  return record("RepeatBackward0", t, out, [wide, gone, before = t.shape()](const Tensor& g) {
    if (gone.empty()) return g;
    return reshape(sum(reshape(g, wide), Ints(gone), false, std::nullopt), before);
  });
}
OPERATION("repeat(Tensor self, int[] repeats) -> Tensor", repeat, "self repeated along its dimensions, copied.",
          {.function = false})
Tensor repeat_interleave(const Tensor& t, const Tensor& repeats, std::optional<int64_t> dim) {
  check(repeats.dims() <= 1, "repeat_interleave only accept 0D or 1D vector as repeat");
  check(repeats.dtype() == DType::i64 || repeats.dtype() == DType::i32, ErrorKind::not_implemented,
        "\"repeat_interleave_cpu\" not implemented for '", legacy_name(repeats.dtype()),
        "'\nrepeats has to be a tensor of int64 or int32");
  const Tensor in = dim ? t : reshape(t, Dims{-1});
  const int d = wrap_dim(dim.value_or(0), in.dims());
  const int64_t n = in.dims() ? in.shape()[d] : 1;
  const Tensor counts = dense(cast_data(repeats, DType::i64));
  const int64_t* count = counts.data<int64_t>();
  check(repeats.numel() == 1 || repeats.numel() == n,
        "repeats must have the same size as input along dim, but got "
        "repeats.size(0) = ",
        repeats.numel(), " and input.size(", d, ") = ", n);
  int64_t total = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t c = count[repeats.numel() == 1 ? 0 : i];
    check(c >= 0, "repeats can not be negative");
    total += c;
  }
  Tensor index = empty(Dims{total}, DType::i64);
  int64_t* to = index.data<int64_t>();
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = count[repeats.numel() == 1 ? 0 : i]; k > 0; --k) *to++ = i;
  }
  return index_select(in, d, index);
}
OPERATION("repeat_interleave(Tensor self, Tensor repeats, int? dim=None, *, int? output_size=None) -> Tensor",
          (+[](const Tensor& t, const Tensor& repeats, std::optional<int64_t> dim, std::optional<int64_t>) {
            return repeat_interleave(t, repeats, dim);
          }),
          "Every element along dim repeated as often as `repeats` says.", {.kind = OpKind::composite})
OPERATION("repeat_interleave(Tensor self, int repeats, int? dim=None, *, int? output_size=None) -> Tensor",
          (+[](const Tensor& t, int64_t repeats, std::optional<int64_t> dim, std::optional<int64_t>) {
            check(repeats >= 0, "repeats can not be negative");
            const Tensor in = dim ? t : reshape(t, Dims{-1});
            const int d = wrap_dim(dim.value_or(0), in.dims());
            const Tensor apart = unsqueeze(in, d + 1);  // each element in a dimension of its own, repeated there
            Dims wide = apart.shape(), flat = in.shape();
            wide[d + 1] = repeats;
            flat[d] *= repeats;
            return reshape(clone(expand(apart, wide), MemoryFormat{MemoryFormat::contiguous}), flat);
          }),
          "Every element along dim repeated.", {.kind = OpKind::composite})
OPERATION("repeat_interleave(Tensor repeats, *, int? output_size=None) -> Tensor",
          (+[](const Tensor& repeats, std::optional<int64_t>) {
            Tensor places = empty(Dims{repeats.numel()}, DType::i64);
            for (int64_t i = 0; i < repeats.numel(); ++i) places.data<int64_t>()[i] = i;
            return repeat_interleave(places, repeats, 0);
          }),
          "The index of every element of repeats, repeated so often.", {.kind = OpKind::composite, .method = false})
OPERATION("tile(Tensor self, int[] dims) -> Tensor", (+[](const Tensor& t, Ints dims) {
            Dims all(dims);
            while (all.dims() < t.dims()) all.insert(0, 1);
            return repeat(t, all);
          }),
          "self repeated along its dimensions (NumPy's rules).")

}  // namespace

// The same elements with some dimensions backwards, copied.
Tensor flip(const Tensor& t, Ints dims) {
  Layout l = t.layout();
  Small<bool, 8> seen(t.dims(), false);
  Dims wrapped;
  for (int64_t dim : dims) {
    const int d = wrap_dim(dim, t.dims());
    wrapped.push_back(d);
    if (t.dims() == 0) continue;
    check(!seen[d], "dim ", d, " appears multiple times in the list of dims");
    seen[d] = true;
    if (l.shape[d] > 0) l.offset += (l.shape[d] - 1) * l.strides[d];
    l.strides[d] = -l.strides[d];
  }
  Tensor out = empty_like(t);
  copy_data(out, alias(t, l));
  return record("FlipBackward0", t, out, [wrapped](const Tensor& g) { return flip(g, wrapped); });
}
namespace {
OPERATION("flip(Tensor self, int[] dims) -> Tensor", flip, "The elements of dims in reverse order, copied.")
OPERATION("fliplr(Tensor self) -> Tensor", (+[](const Tensor& t) {
            check(t.dims() >= 2, "Input must be >= 2-d.");
            return flip(t, Dims{1});
          }),
          "Dimension 1 reversed.")
OPERATION("flipud(Tensor self) -> Tensor", (+[](const Tensor& t) {
            check(t.dims() >= 1, "Input must be >= 1-d.");
            return flip(t, Dims{0});
          }),
          "Dimension 0 reversed.")

namespace {
Tensor rolled(const Tensor& t, Ints shifts, Ints dims) {
  const GradMode off(false);
  if (dims.empty()) return reshape(rolled(reshape(t, Dims{-1}), shifts, Dims{0}), t.shape());
  Tensor out = t;
  for (size_t i = 0; i < dims.size(); ++i) {
    const int d = wrap_dim(dims[i], t.dims());
    const int64_t n = t.shape()[d];
    if (n == 0) continue;
    const int64_t s = ((shifts[i] % n) + n) % n;
    const Tensor two[] = {narrow(out, d, n - s, s), narrow(out, d, 0, n - s)};
    out = cat(two, d);
  }
  return out->storage == t->storage ? clone(out) : out;
}
}  // namespace

Tensor roll(const Tensor& t, Ints shifts, Ints dims) {
  check(!shifts.empty(), "`shifts` required");
  check((dims.empty() && shifts.size() == 1) || shifts.size() == dims.size(),
        "shifts and dimensions must align. shifts: ", shifts.size(), ", dims:", dims.size());
  for (int64_t d : dims) {
    check(t.dims() > 0, ErrorKind::index, "Dimension specified as ", d, " but tensor has no dimensions");
    wrap_dim(d, t.dims());
  }
  Dims back(shifts);
  for (size_t i = 0; i < back.size(); ++i) {
    const int64_t n = dims.empty() ? t.numel() : t.size(dims[i]);
    back[i] = n ? -(shifts[i] % n) : 0;
  }
  Tensor out;
  {
    GradMode off(false);
    out = alias(rolled(t, shifts, dims));  // no view of the steps on the way
  }
  return record("RollBackward0", t, out, [back, dims = Dims(dims)](const Tensor& g) { return roll(g, back, dims); });
}
OPERATION("roll(Tensor self, int[1] shifts, int[1] dims=[]) -> Tensor", roll,
          "The elements moved along dims, round the end.")
OPERATION("rot90(Tensor self, int k=1, int[] dims=[0,1]) -> Tensor", (+[](const Tensor& t, int64_t k, Ints dims) {
            check(dims.size() == 2, "expected total rotation dims == 2, but got dims = ", dims.size());
            check(t.dims() >= 2, "expected total dims >= 2, but got total dims = ", t.dims());
            const int a = wrap_dim(dims[0], t.dims()), b = wrap_dim(dims[1], t.dims());
            check(a != b, "expected rotation dims to be different, but got dim0 = ", dims[0], " and dim1 = ", dims[1]);
            switch (((k % 4) + 4) % 4) {
              case 1: return clone(transpose(flip(t, Dims{b}), a, b));
              case 2: return flip(t, Dims{a, b});
              case 3: return clone(transpose(flip(t, Dims{a}), a, b));
              default: return clone(t);
            }
          }),
          "The plane of dims turned by k times 90 degrees.", {.shown = "Rot90Backward0"})

template <bool lower>
Tensor triangle(const Tensor& t, int64_t k) {
  check(t.dims() >= 2, lower ? "tril" : "triu", ": input tensor must have at least 2 dimensions");
  Tensor out = empty(t.shape(), t.dtype());
  const Tensor d = dense(t);
  const int64_t rows = t.shape()[t.dims() - 2], cols = t.shape()[t.dims() - 1];
  const int size = itemsize(t.dtype());
  k = std::clamp(k, -rows - 1, cols + 1);
  if (out.numel() > 0 && !without_elements(out)) {
    parallel_for(out.numel() / cols, std::max<int64_t>(1, 32768 / cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t edge = r % rows + k + (lower ? 1 : 0);  // first column beyond (lower) or inside (upper)
        const int64_t at = std::clamp<int64_t>(edge, 0, cols);
        char* to = out->data() + r * cols * size;
        const char* from = d->data() + r * cols * size;
        if (lower) {
          std::memcpy(to, from, static_cast<size_t>(at * size));
          std::memset(to + at * size, 0, static_cast<size_t>((cols - at) * size));
        } else {
          std::memset(to, 0, static_cast<size_t>(at * size));
          std::memcpy(to + at * size, from + at * size, static_cast<size_t>((cols - at) * size));
        }
      }
    });
  }
  return record(lower ? "TrilBackward0" : "TriuBackward0", t, out,
                [k](const Tensor& g) { return triangle<lower>(g, k); });
}
OPERATION("tril(Tensor self, int diagonal=0) -> Tensor", triangle<true>,
          "The lower triangle of matrices; zero above the diagonal.", {.inplace = true, .out = true})
OPERATION("triu(Tensor self, int diagonal=0) -> Tensor", triangle<false>,
          "The upper triangle of matrices; zero below the diagonal.", {.inplace = true, .out = true})

}  // namespace

Tensor tril(const Tensor& t, int64_t k) { return triangle<true>(t, k); }
Tensor triu(const Tensor& t, int64_t k) { return triangle<false>(t, k); }

namespace {

OPERATION("broadcast_tensors(Tensor[] tensors) -> Tensor[]", (+[](Tensors ts) {
            Dims shape;
            for (const Tensor& t : ts) shape = broadcast_shapes(shape, t.shape());
            std::vector<Tensor> out;
            for (const Tensor& t : ts) out.push_back(t.shape() == shape ? t : expand(t, shape));
            return out;
          }),
          "All broadcast to their common shape, without copying.",
          {.kind = OpKind::view, .method = false, .variadic = true})
OPERATION("meshgrid(Tensor[] tensors, *, str? indexing=None) -> Tensor[]",
          (+[](Tensors ts, std::optional<std::string_view> wanted) {
            if (!wanted) {
              warn("UserWarning",
                   "torch.meshgrid: in an upcoming release, it will be required to pass the indexing "
                   "argument.");
            }
            const std::string_view indexing = wanted.value_or("ij");
            check(!ts.empty(), "meshgrid expects a non-empty TensorList");
            check(indexing == "ij" || indexing == "xy",
                  "torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but "
                  "received: ",
                  std::string(indexing));
            const bool swap = indexing == "xy" && ts.size() >= 2;
            std::vector<Tensor> in(ts.begin(), ts.end());
            if (swap) std::swap(in[0], in[1]);
            Dims shape;
            for (const Tensor& t : in) {
              check(t.dims() <= 1, "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: ", t.dims(),
                    "D");
              check(t.dtype() == in[0].dtype(), "meshgrid expects all tensors to have the same dtype");
              check(t.device() == in[0].device(), "torch.meshgrid expects all tensors to have the same device");
              shape.push_back(t.numel());
            }
            std::vector<Tensor> out;
            for (size_t i = 0; i < in.size(); ++i) {
              Dims one(in.size(), 1);
              one[i] = shape[i];
              out.push_back(expand(reshape(in[i], one), shape));
            }
            if (swap) std::swap(out[0], out[1]);
            return out;
          }),
          "Coordinate grids of vectors; indexing is \"ij\" (rows first) or \"xy\".",
          {.kind = OpKind::view, .method = false, .variadic = true})

}  // namespace
}  // namespace bulssi
