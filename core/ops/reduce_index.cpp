// Largest and smallest elements, and where they are.
#include "core/base/threads.h"
#include "core/op/tensor_math.h"
#include "core/ops/index.h"
#include "core/ops/reduce.h"

namespace bulssi {

using cpu::Monoid;

// ---- one element of each line -------------------------------------------------------------------------------------

Tensor take_along(const Tensor& t, int dim, const Tensor& index) { return gather(t, dim, index, false); }
Tensor put_along(const Tensor& g, int dim, const Tensor& index, int64_t size) {
  Dims shape = g.shape();
  if (g.dims()) shape[dim] = size;
  return scatter_add(zeros(shape, g.dtype()), dim, index, g);
}

// ---- values -------------------------------------------------------------------------------------------------------

namespace {

// The gradient in equal parts to the elements that equal the result; to the nans where the result is one if `nans`.
Tensor spread(const Tensor& g, const Tensor& x, const Tensor& y, const Dims& kept, std::optional<Ints> dims,
              bool nans) {
  const Tensor top = restored(y, kept);
  Tensor mask = x == top;
  if (nans) mask = mask | (x != x);
  const Tensor parts = restored(g, kept) / cast(sum(mask, dims, true, std::nullopt), g.dtype());
  return select(mask, parts, nans ? zeros({}, g.dtype()) : parts * 0.0);
}

template <Monoid m>
Tensor extreme(const Tensor& t, Ints dims, bool keepdim) {
  const char* name = m == Monoid::maximum ? "amax" : "amin";
  const Reduced r(t, dims, keepdim);
  check_not_empty(t, r, name, !dims.empty());
  Tensor out = reduce_any(m, t, r);
  if (!recording(t)) return out;
  Dims gone;
  for (int i = 0; i < t.dims(); ++i) {
    if (r.gone >> i & 1) gone.push_back(i);
  }
  return record(m == Monoid::maximum ? "AmaxBackward0" : "AminBackward0", {&t}, out,
                [kept = r.kept_shape(t), gone](BackwardCall& c) {
                  c.set(0, spread(c.grad(), c.saved(0), c.saved(1), kept, Ints(gone), false));
                },
                {keep(t), result(out)});
}
// The one extreme of all elements.
template <Monoid m>
Tensor extreme_all(const Tensor& t) {
  const Reduced r(t, std::nullopt, false);
  check_not_empty(t, r, m == Monoid::maximum ? "max" : "min", false);
  Tensor out = reduce_any(m, t, r);
  return record(m == Monoid::maximum ? "MaxBackward1" : "MinBackward1", {&t}, out,
                [](BackwardCall& c) {
                  const Tensor x = c.saved(0), y = c.saved(1);
                  const bool nan = !without_elements(y) &&
                                   item_data(in_compute(y)).as_double() != item_data(in_compute(y)).as_double();
                  c.set(0, spread(c.grad(), x, y, Dims(x.dims(), 1), std::nullopt, nan));
                },
                {keep(t), result(out)});
}

struct Found {
  Tensor values, indices;
};
// Along one dimension; the results have size 1 there.
Found find_along(bool smallest, const Tensor& t, int dim) {
  const Reduced r(t, dim, true);
  const Tensor x = dense(in_compute(t));
  Found found{empty(r.result_shape, x.dtype()), empty(r.result_shape, DType::i64)};
  if (!without_elements(x)) {
    cpu::arg_reduce(smallest, cpu::compute_of(x.dtype()), shape_along(x, dim), x->data(), found.values->data(),
                    found.indices.data<int64_t>());
  }
  found.values = cast_data(found.values, t.dtype());
  return found;
}

template <bool smallest>
std::tuple<Tensor, Tensor> extreme_along(const Tensor& t, int64_t dim, bool keepdim) {
  const int d = wrap_dim(dim, t.dims());
  const Reduced r(t, d, keepdim);
  check_not_empty(t, r, smallest ? "min" : "max", true);
  Found f = find_along(smallest, t, d);
  if (!keepdim) {
    set_layout(f.values, Layout::of(r.result_shape));
    set_layout(f.indices, Layout::of(r.result_shape));
  }
  record_all(smallest ? "MinBackward0" : "MaxBackward0", {&t}, {f.values, f.indices},
             [d, kept = r.kept_shape(t), size = t.dims() ? t.shape()[d] : 1](BackwardCall& c) {
               if (c.grad()) c.set(0, put_along(restored(c.grad(), kept), d, restored(c.saved(0), kept), size));
             },
             {keep(f.indices)});
  return {f.values, f.indices};
}

template <bool smallest>
Tensor arg_extreme(const Tensor& t, std::optional<int64_t> dim, bool keepdim) {
  const char* name = smallest ? "argmin" : "argmax";
  check(t.dtype() != DType::boolean, name, "(): does not support bool input");
  if (dim) {
    const int d = wrap_dim(*dim, t.dims());
    const Reduced r(t, d, keepdim);
    check_not_empty(t, r, name, true);
    const Tensor indices = find_along(smallest, t, d).indices;
    set_layout(indices, Layout::of(r.result_shape));
    return indices;
  }
  check(t.numel() > 0, ErrorKind::index, name, "(): Expected reduction dim to be specified for input.numel() == 0.");
  const Tensor x = dense(t);
  const Tensor flat = alias(x, Layout{{x.numel()}, {1}, x.layout().offset});
  const Tensor indices = find_along(smallest, flat, 0).indices;
  set_layout(indices, Layout::of(keepdim ? Dims(t.dims(), 1) : Dims()));
  return indices;
}

std::tuple<Tensor, Tensor> aminmax(const Tensor& t, std::optional<int64_t> dim, bool keepdim) {
  if (dim) {
    const int d = wrap_dim(*dim, t.dims());
    check(t.numel() > 0 || t.dims() == 0 || t.shape()[d] != 0, ErrorKind::index, "aminmax: Expected reduction dim ", d,
          " to have non-zero size.");
  } else {
    check(t.numel() > 0, "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.");
  }
  const Reduced r = dim ? Reduced(t, wrap_dim(*dim, t.dims()), keepdim) : Reduced(t, std::nullopt, keepdim);
  const Tensor x = in_compute(t);
  Tensor low = cast_data(reduce_data(Monoid::minimum, x, r), t.dtype());
  Tensor high = cast_data(reduce_data(Monoid::maximum, x, r), t.dtype());
  Dims gone;
  for (int i = 0; i < t.dims(); ++i) {
    if (r.gone >> i & 1) gone.push_back(i);
  }
  record_all("AminmaxBackward0", {&t}, {low, high},
             [kept = r.kept_shape(t), gone](BackwardCall& c) {
               const Tensor x = c.saved(0);
               Tensor g;
               for (int i = 0; i < 2; ++i) {
                 if (!c.grad(i)) continue;
                 const Tensor part = spread(c.grad(i), x, c.saved(1 + i), kept, Ints(gone), false);
                 g = g ? g + part : part;
               }
               c.set(0, g);
             },
             {keep(t), result(low), result(high)});
  return {low, high};
}

}  // namespace

Tensor amax(const Tensor& t, Ints dims, bool keepdim) { return extreme<Monoid::maximum>(t, dims, keepdim); }
Tensor amin(const Tensor& t, Ints dims, bool keepdim) { return extreme<Monoid::minimum>(t, dims, keepdim); }

OPERATION("amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor", amax,
          "Largest elements over the dimensions dim (all for ()). nan counts as largest; equal elements share the "
          "gradient.",
          {.out = true})
OPERATION("amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor", amin,
          "Smallest elements over the dimensions dim (all for ()). nan counts as smallest; equal elements share the "
          "gradient.",
          {.out = true})
OPERATION("max(Tensor self) -> Tensor", extreme_all<Monoid::maximum>,
          "The largest element (nan if there is one). Equal elements share the gradient.",
          {.out = true, .out_dtype = Traits::Out::converted})
OPERATION("max(Tensor self, Tensor other) -> Tensor",
          (+[](const Tensor& a, const Tensor& b) { return Tensor::apply<Maximum>(a, b); }),
          "The larger of each two elements (maximum).", {.out = true, .out_dtype = Traits::Out::converted})
OPERATION("max(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", extreme_along<false>,
          "Largest elements along dim and the first place of each.", {.out = true})
OPERATION("min(Tensor self) -> Tensor", extreme_all<Monoid::minimum>,
          "The smallest element (nan if there is one). Equal elements share the gradient.",
          {.out = true, .out_dtype = Traits::Out::converted})
OPERATION("min(Tensor self, Tensor other) -> Tensor",
          (+[](const Tensor& a, const Tensor& b) { return Tensor::apply<Minimum>(a, b); }),
          "The smaller of each two elements (minimum).", {.out = true, .out_dtype = Traits::Out::converted})
OPERATION("min(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", extreme_along<true>,
          "Smallest elements along dim and the first place of each.", {.out = true})
OPERATION("argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor", arg_extreme<false>,
          "Where the largest element is: along dim, or in the flattened tensor. The first of equals; a nan is largest.",
          {.out = true, .differentiable = false})
OPERATION(
    "argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor", arg_extreme<true>,
    "Where the smallest element is: along dim, or in the flattened tensor. The first of equals; a nan is smallest.",
    {.out = true, .differentiable = false})
OPERATION("aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)", aminmax,
          "Smallest and largest elements, over all or along dim.", {.out = true})

}  // namespace bulssi
