// Reductions: the engine on tensors, and the operations whose gradient needs no index.
#include "core/ops/reduce.h"

#include "core/op/tensor_math.h"

namespace bulssi {

using cpu::Monoid;

// ---- which dimensions ---------------------------------------------------------------------------------------------

Reduced::Reduced(const Tensor& t, std::optional<Ints> dims, bool keepdim) {
  const int n = t.dims();
  if (!dims || dims->empty()) {
    gone = n == 0 ? 0 : ~uint64_t{0} >> (64 - std::min(n, 64));
  } else {
    uint64_t seen = 0;
    for (int64_t d : *dims) {
      const uint64_t bit = uint64_t{1} << wrap_dim(d, n);
      check(!(seen & bit), "dim ", wrap_dim(d, n), " appears multiple times in the list of dims");
      seen |= bit;
    }
    gone = n == 0 ? 0 : seen;
  }
  finish(t, keepdim);
}
Reduced::Reduced(const Tensor& t, int dim, bool keepdim) : gone(t.dims() ? uint64_t{1} << dim : 0) {
  finish(t, keepdim);
}
void Reduced::finish(const Tensor& t, bool keepdim) {
  const int n = t.dims();
  check(n <= 64, "only tensors with up to 64 dims are supported");
  all = true;
  for (int i = 0; i < n; ++i) {
    if (gone >> i & 1) {
      count *= t.shape()[i];
      if (keepdim) result_shape.push_back(1);
    } else {
      all = false;
      result_shape.push_back(t.shape()[i]);
    }
  }
}

void check_not_empty(const Tensor& t, const Reduced& r, const char* op, bool by_dim) {
  if (t.numel() != 0) return;
  check(by_dim, op,
        "(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with "
        "the 'dim' argument.");
  for (int i = 0; i < t.dims(); ++i) {
    check(!(r.gone >> i & 1) || t.shape()[i] != 0, ErrorKind::index, op, "(): Expected reduction dim ", i,
          " to have non-zero size.");
  }
}

Tensor restored(const Tensor& g, const Dims& kept) { return g.shape() == kept ? g : reshape(g, kept); }

// ---- the engine ---------------------------------------------------------------------------------------------------

namespace {

// Neighbouring dimensions that are reduced (or kept) together.
struct Group {
  int64_t size;
  bool gone;
};
using Groups = Small<Group, 6>;
void append_group(Groups& groups, int64_t size, bool gone) {
  if (size == 1) return;
  if (!groups.empty() && groups.back().gone == gone)
    groups.back().size *= size;
  else
    groups.push_back({size, gone});
}

// x in row-major memory, and what goes in that order. Kept dimensions keep their order.
Tensor arranged(const Tensor& x, const Reduced& r, bool rows, Groups& groups) {
  if (x.contiguous() && !rows) {
    for (int i = 0; i < x.dims(); ++i) append_group(groups, x.shape()[i], r.gone >> i & 1);
    return x;
  }
  const auto order = x.layout().order();
  bool usable = !rows && x.layout().dense();
  int last_kept = -1;
  for (int d : order) {
    usable = usable && x.strides()[d] >= 0;
    if (r.gone >> d & 1 || x.shape()[d] == 1) continue;
    usable = usable && d > last_kept;
    last_kept = d;
  }
  Dims dims;
  if (usable) {
    for (int d : order) dims.push_back(d);
  } else {
    for (int pass = 0; pass < 2; ++pass) {
      for (int i = 0; i < x.dims(); ++i) {
        if (!rows ? pass == 0 : (r.gone >> i & 1) == (pass == 1)) dims.push_back(i);
      }
    }
  }
  for (int64_t d : dims) append_group(groups, x.shape()[d], r.gone >> d & 1);
  return dense(alias(x, x.layout().permuted(dims)));
}

}  // namespace

Tensor reduce_data(Monoid m, const Tensor& t, const Reduced& r, const Tensor& c) {
  const Compute compute = cpu::compute_of(t.dtype());
  Tensor out = empty(r.result_shape, t.dtype());
  if (without_elements(t)) return out;
  const bool single = c && c.numel() == 1;
  const void* parameter = c ? c->data() : nullptr;
  if (r.all && t.contiguous()) {
    cpu::reduce(m, compute, {1, t.numel(), 1, t.numel(), 1}, t->data(), parameter, true, out->data());
    return out;
  }
  if (out.numel() == 0) return out;
  if (t.numel() == 0) {
    const Tensor unit = empty({}, t.dtype());
    cpu::reduce(m, compute, {1, 0, 1, 0, 1}, t->data(), nullptr, true, unit->data());
    copy_data(out, unit);
    return out;
  }
  Groups groups;
  Tensor x = arranged(t, r, false, groups);
  int reduced = 0;
  for (const Group& g : groups) reduced += g.gone;
  if (reduced > 1 && c && !single) {
    groups.clear();
    x = arranged(t, r, true, groups);
  }
  if (reduced == 0) groups.push_back({1, true});
  for (;;) {  // the last group of reduced dimensions first
    int at = groups.dims() - 1;
    while (!groups[at].gone) --at;
    cpu::ReduceShape s;
    bool more = false;
    for (int i = 0; i < at; ++i) {
      s.outer *= groups[i].size;
      more = more || groups[i].gone;
    }
    s.reduced = groups[at].size;
    s.inner = at + 1 < groups.dims() ? groups[at + 1].size : 1;
    s.stride = s.inner;
    s.outer_stride = s.reduced * s.inner;
    if (!more) {
      cpu::reduce(m, compute, s, x->data(), parameter, single, out->data());
      return out;
    }
    const int64_t size = s.outer * s.inner;
    Tensor partial = empty(Ints(&size, 1), t.dtype());
    cpu::reduce(m, compute, s, x->data(), parameter, single, partial->data());
    x = partial;
    m = cpu::joined_by(m);
    parameter = nullptr;
    Groups rest;
    for (int i = 0; i < groups.dims(); ++i) {
      if (i != at) append_group(rest, groups[i].size, groups[i].gone);
    }
    groups = rest;
  }
}

Tensor reduce_any(Monoid m, const Tensor& t, const Reduced& r) {
  const bool adds = m == Monoid::sum || m == Monoid::product;
  if (adds && cpu::compute_of(t.dtype()) == Compute::u8) {
    return cast_data(reduce_data(m, cast_data(t, DType::i64), r), t.dtype());
  }
  return cast_data(reduce_data(m, in_compute(t), r), t.dtype());
}

cpu::ReduceShape shape_along(const Tensor& t, int dim) {
  cpu::ReduceShape s;
  if (t.dims() == 0) return s;
  for (int i = 0; i < dim; ++i) s.outer *= t.shape()[i];
  s.reduced = t.shape()[dim];
  for (int i = dim + 1; i < t.dims(); ++i) s.inner *= t.shape()[i];
  s.stride = s.inner;
  s.outer_stride = s.reduced * s.inner;
  return s;
}

// ---- sums ---------------------------------------------------------------------------------------------------------

namespace {
DType sum_dtype(const Tensor& t, std::optional<DType> dtype) {
  return dtype.value_or(category(t.dtype()) < 2 ? DType::i64 : t.dtype());
}
}  // namespace

static Tensor sum_all(const Tensor& t, std::optional<DType> dtype) {
  const DType out_type = sum_dtype(t, dtype);
  const Tensor in = cast(t, out_type);
  Tensor out = reduce_any(Monoid::sum, in, Reduced(in, std::nullopt, false));
  return record("SumBackward0", in, std::move(out), [shape = t.shape()](const Tensor& g) { return expand(g, shape); });
}
Tensor sum(const Tensor& t, std::optional<Ints> dims, bool keepdim, std::optional<DType> dtype) {
  const DType out_type = sum_dtype(t, dtype);
  const Tensor in = cast(t, out_type);
  const Reduced r(in, dims, keepdim);
  Tensor out = reduce_any(Monoid::sum, in, r);
  if (!recording(in)) return out;
  return record("SumBackward1", in, std::move(out), [kept = r.kept_shape(t), shape = t.shape()](const Tensor& g) {
    return expand(restored(g, kept), shape);
  });
}
OPERATION("sum(Tensor self, *, ScalarType? dtype=None) -> Tensor", sum_all,
          "Sum of all elements. Integers and bools are summed in int64; `dtype` converts the elements first.")
OPERATION("sum(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", sum,
          "Sums over the dimensions dim (all of them for None or an empty list), which are removed unless keepdim.",
          {.out = true})

Tensor sum_to(const Tensor& t, Ints shape) {
  if (t.shape() == Dims(shape)) return t;
  const int lead = t.dims() - static_cast<int>(shape.size());
  Dims gone;
  for (int i = 0; i < t.dims(); ++i) {
    if (i < lead || (shape[i - lead] == 1 && t.shape()[i] != 1)) gone.push_back(i);
  }
  if (gone.empty()) return reshape(t, shape);
  return reshape(sum(t, Ints(gone), true, std::nullopt), shape);
}

static Tensor nansum(const Tensor& t, std::optional<Ints> dims, bool keepdim, std::optional<DType> dtype) {
  const DType out_type = sum_dtype(t, dtype);
  if (!is_floating(out_type)) {
    if (!is_floating(t.dtype())) return sum(t, dims, keepdim, dtype);
    return sum(select(t != t, zeros_like(t), t), dims, keepdim, dtype);
  }
  const Tensor in = cast(t, out_type);
  const Reduced r(in, dims, keepdim);
  Tensor out = reduce_any(Monoid::nansum, in, r);
  return record("NansumBackward0", {&in}, std::move(out),
                [kept = r.kept_shape(t), shape = t.shape()](BackwardCall& c) {
                  const Tensor x = c.saved(0);
                  c.set(0, select(x == x, expand(restored(c.grad(), kept), shape), zeros_like(x)));
                },
                {keep(in)});
}
OPERATION("nansum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", nansum,
          "Sum that counts nan as 0.", {.out = true})

// out / n, in the compute type before rounding to half precision.
static Tensor mean_data(const Tensor& in, const Reduced& r) {
  Tensor total = reduce_data(Monoid::sum, in_compute(in), r);
  if (without_elements(total)) return cast_data(total, in.dtype());
  dispatch(total.dtype(), "mean", [&]<class T>() {
    T* p = total.data<T>();
    for (int64_t i = 0; i < total.numel(); ++i) p[i] = convert<T>(p[i] / static_cast<T>(r.count));
  });
  return cast_data(total, in.dtype());
}
static DType mean_dtype(const Tensor& t, std::optional<DType> dtype) {
  const DType out_type = dtype.value_or(t.dtype());
  check(is_differentiable(out_type), "mean(): could not infer output dtype. ", dtype ? "Optional" : "Input",
        " dtype must be either a floating point or complex dtype. Got: ", legacy_name(out_type));
  return out_type;
}
static Tensor mean_all(const Tensor& t, std::optional<DType> dtype) {
  const Tensor in = cast(t, mean_dtype(t, dtype));
  const Reduced r(in, std::nullopt, false);
  return record("MeanBackward0", in, mean_data(in, r),
                [shape = t.shape(), n = r.count](const Tensor& g) { return expand(g / double(n), shape); });
}
Tensor mean(const Tensor& t, std::optional<Ints> dims, bool keepdim, std::optional<DType> dtype) {
  const Tensor in = cast(t, mean_dtype(t, dtype));
  const Reduced r(in, dims, keepdim);
  return record("MeanBackward1", in, mean_data(in, r),
                [kept = r.kept_shape(t), shape = t.shape(), n = r.count](const Tensor& g) {
                  return expand(restored(g / double(n), kept), shape);
                });
}
OPERATION("mean(Tensor self, *, ScalarType? dtype=None) -> Tensor", mean_all,
          "Mean of all elements, which must be floating (or dtype= makes them so).", {.out = true})
OPERATION("mean(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", mean,
          "Means over the dimensions dim.", {.out = true})

static Tensor nanmean(const Tensor& t, std::optional<Ints> dims, bool keepdim, std::optional<DType> dtype) {
  check(is_differentiable(t.dtype()), "nanmean(): expected input to have floating point or complex dtype but got ",
        legacy_name(t.dtype()));
  const Tensor total = nansum(t, dims, keepdim, dtype);
  return total / sum(t == t, dims, keepdim, std::nullopt);
}
OPERATION("nanmean(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", nanmean,
          "Mean of the elements that are not nan.", {.kind = OpKind::composite, .out = true})

// ---- products -----------------------------------------------------------------------------------------------------

namespace {
bool has_zero(const Tensor& x) {
  const Tensor all = reduce_data(Monoid::all, in_compute(x), Reduced(x, std::nullopt, false));
  return item_data(all).as_double() == 0;
}
// Products of all other elements along dim, by running products from both ends; times g.
Tensor times_others(const Tensor& g, const Tensor& x, int dim) {
  const int64_t n = x.shape()[dim], d = dim;
  if (n == 1) return g;
  Dims one = x.shape();
  one[dim] = 1;
  const Tensor ones = full(one, Scalar(1), x.dtype());
  const Tensor before[] = {ones, narrow(x, dim, 0, n - 1)};
  const Tensor after[] = {ones, flip(narrow(x, dim, 1, n - 1), Ints(&d, 1))};
  return g * (cumprod(cat(before, dim), dim) * flip(cumprod(cat(after, dim), dim), Ints(&d, 1)));
}
Tensor prod_backward(const Tensor& g, const Tensor& x, const Tensor& y, int dim) {
  if (x.dims() == 0) return g;
  return x.numel() && has_zero(x) ? times_others(g, x, dim) : g * (y / x);
}
}  // namespace

static Tensor prod_all(const Tensor& t, std::optional<DType> dtype) {
  const Tensor in = cast(t, sum_dtype(t, dtype));
  Tensor out = reduce_any(Monoid::product, in, Reduced(in, std::nullopt, false));
  return record("ProdBackward0", {&in}, out,
                [shape = t.shape()](BackwardCall& c) {
                  const Tensor x = c.saved(0), y = c.saved(1);
                  if (x.dims() == 0 || !x.numel() || !has_zero(x)) return c.set(0, prod_backward(c.grad(), x, y, 0));
                  const Tensor flat = reshape(x, Dims{x.numel()});
                  c.set(0, reshape(times_others(c.grad(), flat, 0), shape));
                },
                {keep(in), result(out)});
}
Tensor prod(const Tensor& t, int64_t dim, bool keepdim, std::optional<DType> dtype) {
  const int d = wrap_dim(dim, t.dims());
  const Tensor in = cast(t, sum_dtype(t, dtype));
  const Reduced r(in, d, keepdim);
  Tensor out = reduce_any(Monoid::product, in, r);
  return record("ProdBackward1", {&in}, out,
                [kept = r.kept_shape(t), d](BackwardCall& c) {
                  c.set(0, prod_backward(restored(c.grad(), kept), c.saved(0), restored(c.saved(1), kept), d));
                },
                {keep(in), result(out)});
}
OPERATION("prod(Tensor self, *, ScalarType? dtype=None) -> Tensor", prod_all,
          "Product of all elements. Integers and bools are multiplied in int64.", {.autocast = Autocast::float32})
OPERATION("prod(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", prod,
          "Products along dimension dim.", {.out = true, .autocast = Autocast::float32})

// ---- truth --------------------------------------------------------------------------------------------------------

namespace {
template <Monoid m>
Tensor truth(const Tensor& t, const Reduced& r) {
  const DType out_type = t.dtype() == DType::u8 ? DType::u8 : DType::boolean;
  return cast_data(reduce_data(m, in_compute(t), r), out_type);
}
template <Monoid m>
Tensor truth_all(const Tensor& t) {
  return truth<m>(t, Reduced(t, std::nullopt, false));
}
template <Monoid m>
Tensor truth_dims(const Tensor& t, std::optional<Ints> dims, bool keepdim) {
  if (dims && dims->empty())
    return cast_data(t != zeros({}, t.dtype()), t.dtype() == DType::u8 ? DType::u8 : DType::boolean);
  return truth<m>(t, Reduced(t, dims, keepdim));
}
template <Monoid m>
Tensor truth_dim(const Tensor& t, int64_t dim, bool keepdim) {
  return truth<m>(t, Reduced(t, wrap_dim(dim, t.dims()), keepdim));
}
}  // namespace
OPERATION("all(Tensor self) -> Tensor", truth_all<Monoid::all>, "Is every element true (not 0)?",
          {.out = true, .differentiable = false, .out_dtype = Traits::Out::converted, .also = {1, 1}})
OPERATION("all(Tensor self, int dim, bool keepdim=False) -> Tensor", truth_dim<Monoid::all>,
          "Are all elements along dim true?",
          {.out = true, .differentiable = false, .out_dtype = Traits::Out::converted})
OPERATION("all(Tensor self, int[]? dim, bool keepdim=False) -> Tensor", truth_dims<Monoid::all>,
          "Are all elements along the dimensions dim true?",
          {.out = true, .differentiable = false, .out_dtype = Traits::Out::converted})
OPERATION("any(Tensor self) -> Tensor", truth_all<Monoid::any>, "Is any element true (not 0)?",
          {.out = true, .differentiable = false, .out_dtype = Traits::Out::converted, .also = {1, 1}})
OPERATION("any(Tensor self, int dim, bool keepdim=False) -> Tensor", truth_dim<Monoid::any>,
          "Is any element along dim true?", {.out = true, .differentiable = false, .out_dtype = Traits::Out::converted})
OPERATION("any(Tensor self, int[]? dim, bool keepdim=False) -> Tensor", truth_dims<Monoid::any>,
          "Is any element along the dimensions dim true?",
          {.out = true, .differentiable = false, .out_dtype = Traits::Out::converted})

static Tensor count_nonzero(const Tensor& t, std::optional<Ints> dims) {
  return sum(t != zeros({}, t.dtype()), dims, false, std::nullopt);
}
OPERATION("count_nonzero(Tensor self, int[1]? dim=None) -> Tensor", count_nonzero,
          "How many elements are not 0 (a nan is not), over the dimensions dim.",
          {.differentiable = false, .also = {2, 2}})

}  // namespace bulssi
