// Reading and writing along a dimension by an index tensor: gather, scatter and scatter_reduce.
#include <bit>

#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/along.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

constexpr int64_t block = 1024;

bool is_index(DType dtype) { return dtype == DType::i32 || dtype == DType::i64; }

void check_gather(const Tensor& self, int dim, const Tensor& index) {
  if (index.numel() == 0) return;
  check(is_index(index.dtype()), "gather(): Expected dtype int32/int64 for index");
  check(std::max(index.dims(), 1) == std::max(self.dims(), 1),
        "Index tensor must have the same number of dimensions as input tensor");
  for (int d = 0; d < std::min(self.dims(), index.dims()); ++d) {
    check(d == dim || index.shape()[d] <= self.shape()[d], "Size does not match at dimension ", d, " expected index ",
          Ints(index.shape()), " to be no larger than self ", Ints(self.shape()), " apart from dimension ", dim);
  }
}

template <class T>
void read_all(int64_t n, const int64_t* offsets, const T* from, T* to) {
  if constexpr (sizeof(T) <= 8) {
    cpu::gather_kernels().read[std::countr_zero(sizeof(T))](n, offsets, from, to);
  } else {
    for (int64_t j = 0; j < n; ++j) to[j] = from[offsets[j]];
  }
}

template <class T>
void gather_rows(const Along& a, const T* from, T* to) {
  const int last = a.shape.dims() - 1;
  const int64_t walk = a.dim == last ? 0 : a.whole[last], step = a.step;
  parallel_for(a.rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(a.width, 1)), [&](int64_t begin, int64_t end) {
    each_row(a.shape, a.whole, a.whole, begin, end, [&](int64_t row, int64_t offset, int64_t) {
      for (int64_t c = 0; c < a.width; c += block) {
        const int64_t n = std::min(block, a.width - c);
        const int64_t* index = a.index.data<int64_t>() + row * a.width + c;
        check_range(index, n, a.size, a.dim);
        const T* in = from + offset + c * walk;
        T* out = to + row * a.width + c;
        if (walk == 0 && step == 1) {
          read_all(n, index, in, out);
        } else {
          for (int64_t j = 0; j < n; ++j) out[j] = in[j * walk + index[j] * step];
        }
      }
    });
  });
}

// One long row is split, since rows are what threads share.
template <class T>
void gather_single(const Along& a, const T* from, T* to) {
  parallel_for(a.width, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c += block) {
      const int64_t n = std::min(block, end - c);
      const int64_t* index = a.index.data<int64_t>() + c;
      check_range(index, n, a.size, a.dim);
      int64_t offsets[block];
      if (a.step != 1) {
        cpu::gather_kernels().place(n, index, a.size, a.step, false, offsets);
        index = offsets;
      }
      read_all(n, index, from, to + c);
    }
  });
}

// g, which has the index's shape, in the shape of the source (the rest of which was not read).
Tensor in_source(const Tensor& g, const Dims& shape) {
  if (g.shape() == shape) return g;
  Layout part = Layout::of(shape);
  part.shape = g.shape();
  return embed(g, shape, part);
}

}  // namespace

Tensor gather(const Tensor& self, int64_t dim, const Tensor& index, bool) {
  const int d = wrap_dim(dim, self.dims());
  check_gather(self, d, index);
  Tensor out = empty(index.shape(), self.dtype());
  if (out.numel() > 0 && !without_elements(out)) {
    const Along a(at_least_1d(self), d, index, at_least_1d(out));
    const Unlocked unlocked(out.numel());
    dispatch_size(itemsize(self.dtype()), [&]<class T>() {
      if (a.rows == 1 && a.dim == a.shape.dims() - 1)
        gather_single(a, self.data<T>(), out.data<T>());
      else
        gather_rows(a, self.data<T>(), out.data<T>());
    });
  }
  return record("GatherBackward0", {&self}, out,
                [d, shape = self.shape()](BackwardCall& c) {
                  c.set(0, scatter_add(zeros(shape, c.grad().dtype()), d, c.saved(0), c.grad()));
                },
                {keep(index), keep(self)});  // as PyTorch, which notices that self was changed
}
OPERATION("gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor", gather,
          "out[i][j] = self[index[i][j]][j] for dim 0, and likewise for others. The result has the index's shape.",
          {.out = true, .apart = true})

namespace {
// Indices taken modulo `size`, as PyTorch takes them along a dimension.
Tensor wrapped_around(const Tensor& index, int64_t size) {
  const Tensor from = index_data(index);
  const int64_t* in = from.data<int64_t>();
  if (size == 0 || !any_outside(from, size)) return index;
  Tensor out = empty(from.shape(), DType::i64);
  for (int64_t i = 0; i < from.numel(); ++i) {
    const int64_t rest = in[i] % size;
    out.data<int64_t>()[i] = rest < 0 ? rest + size : rest;
  }
  return out;
}
}  // namespace
OPERATION("take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor",
          (+[](const Tensor& self, const Tensor& indices, std::optional<int64_t> dim) {
            check(indices.dtype() == DType::i64, "torch.take_along_dim(): dtype of indices should be Long but got ",
                  legacy_name(indices.dtype()));
            if (!dim) {
              return gather(reshape(self, Dims{-1}), 0, reshape(indices, Dims{-1}), false);
            }
            check(self.dims() == indices.dims(),
                  "torch.take_along_dim(): input and indices should have the same "
                  "number of dimensions, but got ",
                  self.dims(), " dimensions for input, and ", indices.dims(), " dimensions for indices");
            const int d = wrap_dim(*dim, self.dims());
            Dims a = self.shape(), b = indices.shape();
            if (a.empty()) return gather(self, d, wrapped_around(indices, 1), false);
            a[d] = b[d] = 1;
            Dims wide = broadcast_shapes(a, b), wide_index = wide;
            wide[d] = self.shape()[d];
            wide_index[d] = indices.shape()[d];
            return gather(expand(self, wide), d, expand(wrapped_around(indices, self.shape()[d]), wide_index), false);
          }),
          "gather with self and indices broadcast against each other (dim None: both flattened).",
          {.out = true, .apart = true})

// ---- scatter --------------------------------------------------------------------------------------------------------

namespace {

enum class Reduce : uint8_t { assign, sum, prod, mean, amax, amin };

// The same for all that scatter, which PyTorch's errors call scatter.
void check_scatter(const Tensor& self, int dim, const Tensor& index, const Tensor* source) {
  check(index.numel() == 0 || is_index(index.dtype()), "scatter(): Expected dtype int32/int64 for index");
  check(!source || self.dtype() == source->dtype(), "scatter(): Expected self.dtype to be equal to src.dtype");
  if (index.numel() == 0) return;
  const int dims = std::max(self.dims(), 1);
  check(std::max(index.dims(), 1) == dims, "Index tensor must have the same number of dimensions as self tensor");
  const auto size = [](const Tensor& t, int d) { return t.dims() ? t.shape()[d] : 1; };
  for (int d = 0; d < dims; ++d) {
    if (source) wrap_dim(d, source->dims());
    const int64_t n = size(index, d);
    const bool bad = (d != dim && n > size(self, d)) || (source && n > size(*source, d));
    if (!bad) continue;
    if (source) {
      fail("Expected index ", Ints(index.shape()), " to be no larger than self ", Ints(self.shape()),
           " apart from dimension ", dim, " and to be no larger size than src ", Ints(source->shape()));
    }
    fail("Expected index ", Ints(index.shape()), " to be no larger than self ", Ints(self.shape()),
         " apart from dimension ", dim);
  }
}

template <class T>
bool is_nan(T v) {
  if constexpr (std::is_integral_v<T>)
    return false;
  else
    return std::isnan(static_cast<double>(v));
}

template <Reduce R, class T>
void combine(T& to, T from) {
  using A = Accumulate<T>;
  if constexpr (R == Reduce::sum || R == Reduce::mean) {
    AddTo{}(to, from);
  } else if constexpr (R == Reduce::prod) {
    if constexpr (std::is_same_v<T, bool>)
      to = to & from;
    else if constexpr (std::is_integral_v<T>)
      to = static_cast<T>(uint64_t(to) * uint64_t(from));
    else
      to = T(A(to) * A(from));
  } else if constexpr (R == Reduce::amax) {
    if (is_nan(from) || A(from) > A(to)) to = from;
  } else if constexpr (R == Reduce::amin) {
    if (is_nan(from) || A(from) < A(to)) to = from;
  }
}

template <class T, class Put>
void scatter_rows(const Along& a, T* to, const T* from, bool one_value, Put put) {
  const int last = a.shape.dims() - 1;
  const int64_t walk = a.dim == last ? 0 : a.whole[last], step = a.step, move = one_value ? 0 : a.other[last];
  a.each_apart([&](int64_t row, int64_t w, int64_t o, int64_t c0, int64_t c1) {
    const int64_t* index = a.index.data<int64_t>() + row * a.width;
    T* out = to + w;
    const T* in = one_value ? from : from + o;
    for (int64_t c = c0; c < c1; ++c) put(out[c * walk + index[c] * step], in[c * move]);
  });
}

// What a reduction starts from where self does not take part.
Scalar unit_of(Reduce r, DType dtype) {
  if (r == Reduce::prod) return Scalar(1);
  if (r != Reduce::amax && r != Reduce::amin) return Scalar(0);
  if (is_floating(dtype)) {
    const double inf = std::numeric_limits<double>::infinity();
    return Scalar(r == Reduce::amax ? -inf : inf);
  }
  return dispatch(dtype, "scatter_reduce", [&]<class T>() {
    if constexpr (std::is_integral_v<T>) {
      return Scalar(int64_t(r == Reduce::amax ? std::numeric_limits<T>::min() : std::numeric_limits<T>::max()));
    } else {
      return Scalar(0);
    }
  });
}

// Writes (or combines) source, or one value, into self along dim. No autograd, no checks but of the bounds.
void scatter_data(const char* op, const Tensor& self, int dim, const Tensor& index, const Tensor& source, Reduce r) {
  if (index.numel() == 0) return;
  const Tensor from = apart(source, self);
  const bool one = from.numel() == 1;
  const Along a(at_least_1d(self), dim, apart(index, self), one ? at_least_1d(index) : at_least_1d(from));
  a.check_bounds();
  const Unlocked unlocked(index.numel());
  if (r == Reduce::assign) {
    dispatch_size(itemsize(self.dtype()), [&]<class T>() {
      scatter_rows(a, self.data<T>(), from.data<T>(), one, [](T& to, const T& v) { to = v; });
    });
    return;
  }
  if (is_half(self.dtype()) && r != Reduce::amax && r != Reduce::amin) {
    // Many parts are added up in float, and rounded once.
    const Tensor wide = cast_data(self, DType::f32);
    scatter_data(op, wide, dim, index, cast_data(from, DType::f32), r);
    return copy_data(self, wide);
  }
  dispatch(self.dtype(), op, [&]<class T>() {
    T *to = self.data<T>(), *in = from.data<T>();
    switch (r) {
      case Reduce::prod: return scatter_rows(a, to, in, one, combine<Reduce::prod, T>);
      case Reduce::amax: return scatter_rows(a, to, in, one, combine<Reduce::amax, T>);
      case Reduce::amin: return scatter_rows(a, to, in, one, combine<Reduce::amin, T>);
      default: return scatter_rows(a, to, in, one, AddTo{});
    }
  });
}

Tensor scatter_value(const Tensor& self, int64_t dim, const Tensor& index, Scalar value);
Tensor scatter_number(Scalar value, DType dtype) {
  check_fits(value, dtype);
  return full({}, value, dtype);
}

struct ScatterSource {
  static constexpr bool apart = true;
  static constexpr bool row_major = true;
  static void check(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
    check_scatter(self, wrap_dim(dim, self.dims()), index, &source);
  }
  static void write(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
    scatter_data("scatter", self, wrap_dim(dim, self.dims()), index, source, Reduce::assign);
  }
  static Ref<Node> node(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
    Ref<Node> node = make_node("ScatterBackward0", {&self, &source}, [dim, shape = source.shape()](BackwardCall& c) {
      if (c.needs(0)) c.set(0, scatter_value(c.grad(), dim, c.saved(0), Scalar(0)));
      if (c.needs(1)) c.set(1, in_source(gather(c.grad(), dim, c.saved(0), false), shape));
    });
    node->saved.push_back(Saved(index, false));
    return node;
  }
};
struct ScatterValue {
  static constexpr bool apart = true;
  static constexpr bool row_major = true;
  static void check(const Tensor& self, int64_t dim, const Tensor& index, Scalar) {
    check_scatter(self, wrap_dim(dim, self.dims()), index, nullptr);
  }
  static void write(const Tensor& self, int64_t dim, const Tensor& index, Scalar value) {
    const int d = wrap_dim(dim, self.dims());
    scatter_data("scatter", self, d, index, scatter_number(value, self.dtype()), Reduce::assign);
  }
  static Ref<Node> node(const Tensor& self, int64_t dim, const Tensor& index, Scalar) {
    Ref<Node> node = make_node("ScatterBackward1", {&self}, [dim](BackwardCall& c) {
      c.set(0, scatter_value(c.grad(), dim, c.saved(0), Scalar(0)));
    });
    node->saved.push_back(Saved(index, false));
    return node;
  }
};
Tensor scatter_value(const Tensor& self, int64_t dim, const Tensor& index, Scalar value) {
  return alter<ScatterValue, int64_t, const Tensor&, Scalar>(self, dim, index, value);
}

struct ScatterAdd {
  static constexpr bool apart = true;
  static constexpr bool row_major = true;
  static void check(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
    check_scatter(self, wrap_dim(dim, self.dims()), index, &source);
  }
  static void write(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
    scatter_data("scatter_add", self, wrap_dim(dim, self.dims()), index, source, Reduce::sum);
  }
  static Ref<Node> node(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
    Ref<Node> node = make_node("ScatterAddBackward0", {&self, &source}, [dim, shape = source.shape()](BackwardCall& c) {
      if (c.needs(0)) c.set(0, c.grad());
      if (c.needs(1)) c.set(1, in_source(gather(c.grad(), dim, c.saved(0), false), shape));
    });
    node->saved.push_back(Saved(kept_for(source, index).tensor, false));
    return node;
  }
};

Reduce old_reduce(std::string_view name) {
  check(name == "add" || name == "multiply", "reduce argument must be either add or multiply.");
  return name == "add" ? Reduce::sum : Reduce::prod;
}
// scatter(…, reduce=) of old: no gradient through it.
struct ScatterOld {
  static constexpr bool apart = true;
  static constexpr bool row_major = true;
  static void write(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                    std::string_view reduce) {
    const int d = wrap_dim(dim, self.dims());
    const Reduce r = old_reduce(reduce);
    warn("UserWarning",
         "The reduce argument of torch.scatter with Tensor src is deprecated and will be removed in a "
         "future PyTorch release. Use torch.scatter_reduce instead for more reduction options.");
    check_scatter(self, d, index, &source);
    scatter_data("scatter", self, d, index, source, r);
  }
  static Ref<Node> node(const Tensor& self, int64_t, const Tensor&, const Tensor& source, std::string_view) {
    return not_implemented("aten::scatter", std::initializer_list<const Tensor*>{&self, &source});
  }
  static Ref<Node> inplace_node(const Tensor& self, int64_t, const Tensor&, const Tensor& source, std::string_view) {
    return not_implemented("aten::scatter_", std::initializer_list<const Tensor*>{&self, &source});
  }
};
struct ScatterOldValue {
  static constexpr bool apart = true;
  static constexpr bool row_major = true;
  static void write(const Tensor& self, int64_t dim, const Tensor& index, Scalar value, std::string_view reduce) {
    const int d = wrap_dim(dim, self.dims());
    const Reduce r = old_reduce(reduce);
    check_scatter(self, d, index, nullptr);
    scatter_data("scatter", self, d, index, scatter_number(value, self.dtype()), r);
  }
  static Ref<Node> node(const Tensor& self, int64_t, const Tensor&, Scalar, std::string_view) {
    return not_implemented("aten::scatter", std::initializer_list<const Tensor*>{&self});
  }
  static Ref<Node> inplace_node(const Tensor& self, int64_t, const Tensor&, Scalar, std::string_view) {
    return not_implemented("aten::scatter_", std::initializer_list<const Tensor*>{&self});
  }
};

}  // namespace

Tensor scatter_add(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source) {
  return alter<ScatterAdd, int64_t, const Tensor&, const Tensor&>(self, dim, index, source);
}
ALTER("scatter(Tensor self, int dim, Tensor index, Tensor src) -> Tensor", ScatterSource,
      "self with out[index[i][j]][j] = src[i][j] (dim 0). Of equal indices the last stays.",
      {.out = true, .apart = true})
ALTER("scatter(Tensor self, int dim, Tensor index, Scalar value) -> Tensor", ScatterValue,
      "self with value at the indices.", {.out = true, .apart = true})
ALTER("scatter(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor", ScatterOld,
      "self with src added or multiplied in (reduce \"add\" or \"multiply\").",
      {.out = true, .differentiable = false, .apart = true})
ALTER("scatter(Tensor self, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor", ScatterOldValue,
      "self with value added or multiplied in.", {.out = true, .differentiable = false, .apart = true})
ALTER("scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor", ScatterAdd,
      "self with src added at the indices, in order: out[index[i][j]][j] += src[i][j] (dim 0).",
      {.out = true, .apart = true})

// ---- scatter_reduce -------------------------------------------------------------------------------------------------

namespace {

Reduce reduce_named(std::string_view name) {
  if (name == "sum") return Reduce::sum;
  if (name == "prod") return Reduce::prod;
  if (name == "mean") return Reduce::mean;
  if (name == "amax") return Reduce::amax;
  if (name == "amin") return Reduce::amin;
  fail("reduce argument must be either sum, prod, mean, amax or amin, got ", name);
}

// Divides by how many values met in each place; integers round down.
void divide_counts(const Tensor& self, int dim, const Tensor& index, bool include_self) {
  const DType count_type = is_floating(self.dtype()) && !is_half(self.dtype()) ? self.dtype()
                           : is_half(self.dtype())                             ? DType::f32
                                                                               : DType::i64;
  Tensor counts = full(self.shape(), Scalar(include_self ? 1 : 0), count_type);
  scatter_data("scatter_reduce", counts, dim, index, full({}, Scalar(1), count_type), Reduce::sum);
  const Tensor dense_self = dense(self);
  dispatch(self.dtype(), "scatter_reduce", [&]<class T>() {
    T* p = dense_self.data<T>();
    dispatch(count_type, "scatter_reduce", [&]<class C>() {
      const C* n = counts.data<C>();
      for (int64_t i = 0; i < self.numel(); ++i) {
        const int64_t count = n[i] < C(1) ? 1 : static_cast<int64_t>(n[i]);
        if (count == 1) continue;
        if constexpr (std::is_integral_v<T>) {
          const int64_t v = static_cast<int64_t>(p[i]);
          p[i] = static_cast<T>(v / count - (v % count < 0));
        } else {
          p[i] = T(static_cast<Accumulate<T>>(p[i]) / static_cast<Accumulate<T>>(count));
        }
      }
    });
  });
  if (!dense_self.same(self)) copy_data(self, dense_self);
}

void scatter_reduce_data(const char* op, const Tensor& self, int dim, const Tensor& index, const Tensor& source,
                         Reduce r, bool include_self) {
  if (!include_self) {
    scatter_data(op, self, dim, index, full({}, unit_of(r, self.dtype()), self.dtype()), Reduce::assign);
  }
  scatter_data(op, self, dim, index, source, r);
  if (r == Reduce::mean && index.numel() > 0) divide_counts(self, dim, index, include_self);
}

Tensor scatter_reduce(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                      std::string_view reduce, bool include_self);
Tensor zeros_as(const Tensor& t) { return zeros(t.shape(), t.dtype()); }

// The part of the source that was read.
Tensor read_part(const Tensor& source, const Tensor& index) {
  if (source.shape() == index.shape()) return source;
  Layout part = Layout::of(source.shape());
  part.shape = index.shape();
  return extract(source, part);
}

// Saved: self, index, source. The result is made again: an in-place call has overwritten self with it, and derivatives
// of derivatives go through it.
void prod_backward(BackwardCall& c, int dim, bool include_self, const Dims& source_shape) {
  const Tensor g = c.grad(), self = c.saved(0), index = c.saved(1);
  const Tensor source = read_part(c.saved(2), index);
  if (c.needs(0)) {
    const Tensor safe = masked_fill(self, self == 0.0, Scalar(1));
    c.set(0, g * scatter_reduce(safe, dim, index, source, "prod", include_self) / safe);
  }
  if (!c.needs(1)) return;
  const Tensor result = scatter_reduce(self, dim, index, source, "prod", include_self);
  const Tensor zero = source == 0.0;
  const Tensor count = gather(scatter_add(zeros_as(self), dim, index, cast(zero, self.dtype())), dim, index, false);
  const Tensor single = zero & (count == 1.0);
  const Tensor without = scatter_reduce(self, dim, index, masked_fill(source, single, Scalar(1)), "prod", include_self);
  const Tensor of_zero = gather(g * without, dim, index, false);
  const Tensor of_others = gather(g * result, dim, index, false) / masked_fill(source, zero, Scalar(1));
  c.set(1, in_source(select(single, of_zero, of_others), source_shape));
}
void extreme_backward(BackwardCall& c, int dim, Reduce r, bool include_self, const Dims& source_shape) {
  const Tensor g = c.grad(), self = c.saved(0), index = c.saved(1);
  const Tensor source = read_part(c.saved(2), index);
  Tensor result;
  {
    GradMode off(false);  // only compared
    result = scatter_reduce(self, dim, index, source, r == Reduce::amax ? "amax" : "amin", include_self);
  }
  const Tensor self_is = cast(self == result, g.dtype());
  const Tensor source_is = cast(source == gather(result, dim, index, false), g.dtype());
  const Tensor share = g / scatter_add(self_is, dim, index, source_is);
  if (c.needs(0)) c.set(0, select(self == result, share, zeros_as(g)));
  if (c.needs(1)) c.set(1, in_source(source_is * gather(share, dim, index, false), source_shape));
}
void reduce_backward(BackwardCall& c, int dim, Reduce r, bool include_self, const Dims& source_shape) {
  const Tensor g = c.grad(), index = c.saved(1);
  if (r == Reduce::sum || r == Reduce::mean) {
    Tensor share = g;
    if (r == Reduce::mean) {
      Tensor n = full(g.shape(), Scalar(include_self ? 1 : 0), g.dtype());
      n = scatter_add(n, dim, index, full(index.shape(), Scalar(1), g.dtype()));
      share = g / masked_fill(n, n == 0.0, Scalar(1));
    }
    if (c.needs(0)) c.set(0, share);
    if (c.needs(1)) c.set(1, in_source(gather(share, dim, index, false), source_shape));
  } else if (r == Reduce::prod) {
    prod_backward(c, dim, include_self, source_shape);
  } else {
    extreme_backward(c, dim, r, include_self, source_shape);
  }
  if (c.needs(0) && !include_self) c.set(0, scatter_value(c.inputs[0], dim, index, Scalar(0)));
}

// As PyTorch, self, source and result are saved whether or not the reduction reads them. `in_place`: self is the
// result.
Ref<Node> reduce_node(const char* name, const Tensor& self, int dim, const Tensor& index, const Tensor& source,
                      Reduce r, bool include_self, bool in_place) {
  Ref<Node> node = make_node(name, {&self, &source}, [=, shape = source.shape()](BackwardCall& c) {
    reduce_backward(c, dim, r, include_self, shape);
  });
  const bool reads = r != Reduce::sum && r != Reduce::mean;
  node->saved.push_back(Saved(!in_place ? self : reads ? snapshot(self) : Tensor(), false));
  node->saved.push_back(Saved(index, false));
  node->saved.push_back(Saved(source, false));
  if (in_place) {
    node->saved.push_back(Saved(self, true));
    node->saved.back().expect_next_version();
  }
  return node;
}

// Both reductions. F says what it is called, and gives the index in the shape that scatter_reduce takes.
template <class F>
struct ReduceInto {
  static constexpr bool apart = true;
  static void check(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source, std::string_view reduce,
                    bool) {
    (void)Plan(self, dim, index, source, reduce);
  }
  static void write(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source, std::string_view reduce,
                    bool include_self) {
    const Plan plan(self, dim, index, source, reduce);
    scatter_reduce_data(F::name, self, plan.dim, plan.index, source, plan.reduce, include_self);
  }
  static Ref<Node> node(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                        std::string_view reduce, bool include_self) {
    return node_of(Plan(self, dim, index, source, reduce), self, index, source, include_self, false);
  }
  static Ref<Node> inplace_node(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                                std::string_view reduce, bool include_self) {
    return node_of(Plan(self, dim, index, source, reduce), self, index, source, include_self, true);
  }

 private:
  struct Plan {  // the arguments, checked
    int dim;
    Tensor index;
    Reduce reduce;
    Plan(const Tensor& self, int64_t dim_, const Tensor& index_, const Tensor& source, std::string_view reduce_)
        : dim(wrap_dim(dim_, self.dims())),
          index(F::spread(self, dim, index_, source, reduce_)),
          reduce(reduce_named(reduce_)) {
      check_scatter(self, dim, index, &source);
    }
  };
  static Ref<Node> node_of(const Plan& plan, const Tensor& self, const Tensor& index, const Tensor& source,
                           bool include_self, bool in_place) {
    Ref<Node> node = reduce_node(F::node_name, self, plan.dim, plan.index, source, plan.reduce, include_self, in_place);
    if (!plan.index.same(index)) node->saved.push_back(Saved(index, false));  // it shall not change either
    return node;
  }
};

struct ScatterReduce : ReduceInto<ScatterReduce> {
  static constexpr bool row_major = true;
  static constexpr const char *name = "scatter_reduce", *node_name = "ScatterReduceBackward0";
  static Tensor spread(const Tensor&, int, const Tensor& index, const Tensor&, std::string_view) { return index; }
};
Tensor scatter_reduce(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source,
                      std::string_view reduce, bool include_self) {
  return alter<ScatterReduce, int64_t, const Tensor&, const Tensor&, std::string_view, bool>(self, dim, index, source,
                                                                                             reduce, include_self);
}

// The index vector in the shape of source, so that index_reduce is scatter_reduce.
struct IndexReduce : ReduceInto<IndexReduce> {
  static constexpr const char *name = "index_reduce", *node_name = "IndexReduceBackward0";
  static Tensor spread(const Tensor& self, int d, const Tensor& index, const Tensor& source, std::string_view reduce) {
    bulssi::check(reduce == "prod" || reduce == "mean" || reduce == "amax" || reduce == "amin",
                  "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got ", reduce, ".");
    bulssi::check(is_index(index.dtype()),
                  "index_reduce_(): Expected dtype int32/int64 for index but got: ", legacy_name(index.dtype()));
    bulssi::check(index.dims() <= 1, ErrorKind::index, "index_reduce_(): Index is supposed to be a vector");
    bulssi::check(self.dtype() == source.dtype(), "index_reduce_(): self (", legacy_name(self.dtype()),
                  ") and source (", legacy_name(source.dtype()), ") must have the same scalar type");
    bulssi::check(source.dims() == 0 || d < source.dims(), "index_reduce(): Indexing dim ", d,
                  " is out of bounds of the source tensor with dim ", source.dims());
    const int64_t size = source.dims() ? source.shape()[d] : 1;
    bulssi::check(index.numel() == size, "index_reduce_(): Number of indices (", index.numel(),
                  ") should be equal to source.size(dim): (", size, "), for dim: ", d);
    bool same = self.dims() == source.dims();
    for (int k = 0; same && k < self.dims(); ++k) same = k == d || self.shape()[k] == source.shape()[k];
    bulssi::check(same,
                  "source tensor shape must match self tensor shape, excluding the specified dimension. Got "
                  "self.shape = ",
                  Ints(self.shape()), " source.shape = ", Ints(source.shape()));
    const Tensor at = index_data(index);
    const int64_t there = self.dims() ? self.shape()[d] : 1;
    bulssi::check(!any_outside(at, there), ErrorKind::index,
                  "index out of range in self\nindex_reduce: an index is not in [0, ", there,
                  "), the size of dimension ", d, " of a tensor of shape ", Ints(self.shape()));
    if (source.dims() == 0) return alias(at, Layout{Dims{}, Dims{}, 0});
    Layout wide{source.shape(), Dims(source.shape().size(), 0), at.layout().offset};
    wide.strides[d] = 1;
    return dense(alias(at, wide));
  }
};

}  // namespace

ALTER("scatter_reduce(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) -> Tensor",
      ScatterReduce,
      "self with the values of src that meet at an index reduced by \"sum\", \"prod\", \"mean\", \"amax\" or \"amin\", "
      "together with self's own (include_self).",
      {.out = true, .apart = true})
ALTER(
    "index_reduce(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) -> Tensor",
    IndexReduce, "As scatter_reduce, for whole slices of source along dim.", {.out = true, .apart = true})

}  // namespace bulssi
