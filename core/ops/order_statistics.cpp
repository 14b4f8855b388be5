// Medians, modes and quantiles.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/threads.h"
#include "core/op/tensor_math.h"
#include "core/ops/reduce.h"

namespace bulssi {

Tensor stack(Tensors ts, int64_t dim);

namespace {

// Calls f(line, values, places) for every line along dim, with a copy of its values and 0..n-1 beside them.
template <class T, class F>
void for_lines(const Tensor& x, int dim, F f) {
  const cpu::ReduceShape s = shape_along(x, dim);
  const T* from = x.data<T>();
  const Unlocked unlocked(s.total() * 16);
  parallel_for(s.outer * s.inner, std::max<int64_t>(1, 4096 / std::max<int64_t>(s.reduced, 1)),
               [&](int64_t begin, int64_t end) {
                 std::vector<std::pair<T, int64_t>> line(static_cast<size_t>(s.reduced));
                 for (int64_t k = begin; k < end; ++k) {
                   const int64_t at = k / s.inner * s.outer_stride + k % s.inner;
                   for (int64_t i = 0; i < s.reduced; ++i) line[i] = {from[at + i * s.stride], i};
                   f(k, line);
                 }
               });
}
template <class T>
bool is_nan(T v) {
  return v != v;
}
// Ascending, nans last, equal values by place.
template <class T>
bool comes_before(const std::pair<T, int64_t>& a, const std::pair<T, int64_t>& b) {
  if (is_nan(a.first) || is_nan(b.first))
    return is_nan(a.first) == is_nan(b.first) ? a.second < b.second : is_nan(b.first);
  return a.first < b.first || (a.first == b.first && a.second < b.second);
}

// For each line, where its lower median is; with `skip_nan` among the numbers.
Tensor median_places(const Tensor& t, int dim, bool skip_nan) {
  const Tensor x = dense(in_compute(t));
  const Tensor places = empty(Reduced(t, dim, true).result_shape, DType::i64);
  dispatch(x.dtype(), "median_cpu", [&]<class T>() {
    for_lines<T>(x, dim, [&](int64_t k, std::vector<std::pair<T, int64_t>>& line) {
      const auto nans = std::count_if(line.begin(), line.end(), [](const auto& v) { return is_nan(v.first); });
      int64_t n = static_cast<int64_t>(line.size());
      if (nans && !skip_nan) {
        const auto first = std::find_if(line.begin(), line.end(), [](const auto& v) { return is_nan(v.first); });
        places.data<int64_t>()[k] = first->second;
        return;
      }
      if (nans < n) n -= nans;
      std::nth_element(line.begin(), line.begin() + (n - 1) / 2, line.end(), comes_before<T>);
      places.data<int64_t>()[k] = line[(n - 1) / 2].second;
    });
  });
  return places;
}
void refuse_bool(const Tensor& t, const char* kernel) {
  check(t.dtype() != DType::boolean, ErrorKind::not_implemented, "\"", kernel, "\" not implemented for 'Bool'");
}

std::tuple<Tensor, Tensor> selected(const char* node, const Tensor& t, int d, bool keepdim, const Tensor& places) {
  const Reduced r(t, d, keepdim);
  Tensor values, indices = places;
  {
    GradMode off(false);
    values = take_along(t, d, places);
  }
  set_layout(values, Layout::of(r.result_shape));
  set_layout(indices, Layout::of(r.result_shape));
  record_all(node, {&t}, {values, indices},
             [d, kept = r.kept_shape(t), size = t.dims() ? t.shape()[d] : 1](BackwardCall& c) {
               if (c.grad()) c.set(0, put_along(restored(c.grad(), kept), d, restored(c.saved(0), kept), size));
             },
             {keep(indices)});
  return {values, indices};
}

template <bool skip_nan>
std::tuple<Tensor, Tensor> median_along(const Tensor& t, int64_t dim, bool keepdim) {
  refuse_bool(t, "median_cpu");
  const int d = wrap_dim(dim, t.dims());
  check_not_empty(t, Reduced(t, d, keepdim), "median", true);
  return selected(skip_nan ? "NanmedianBackward1" : "MedianBackward1", t, d, keepdim, median_places(t, d, skip_nan));
}
template <bool skip_nan>
Tensor median_all(const Tensor& t) {
  refuse_bool(t, "median_cpu");
  if (t.numel() == 0) {
    return full({}, is_floating(t.dtype()) ? Scalar(NAN) : Scalar(std::numeric_limits<int64_t>::min()), t.dtype());
  }
  const Tensor x = dense(t);
  const Tensor flat = alias(x, Layout{{x.numel()}, {1}, x.layout().offset});
  Tensor out;
  {
    GradMode off(false);
    out = take_along(flat, 0, median_places(flat, 0, skip_nan));
  }
  set_layout(out, Layout::of({}));
  return record(skip_nan ? "NanmedianBackward0" : "MedianBackward0", {&t}, out,
                [](BackwardCall& c) {
                  const Tensor x = c.saved(0), y = c.saved(1);
                  const Tensor mask = (x == y) | ((x != x) & (y != y));
                  const Tensor part = c.grad() / cast(sum(mask, std::nullopt, false, std::nullopt), x.dtype());
                  c.set(0, select(mask, part, zeros({}, x.dtype())));
                },
                {keep(t), result(out)});
}

std::tuple<Tensor, Tensor> mode(const Tensor& t, int64_t dim, bool keepdim) {
  const int d = wrap_dim(dim, t.dims());
  const Reduced r(t, d, keepdim);
  check_not_empty(t, r, "mode", true);
  const Tensor x = dense(in_compute(t));
  const Tensor places = empty(Reduced(t, d, true).result_shape, DType::i64);
  dispatch(x.dtype(), "mode", [&]<class T>() {
    for_lines<T>(x, d, [&](int64_t k, std::vector<std::pair<T, int64_t>>& line) {
      // By value alone: which of equals is last, and so the answer, is as std::sort leaves it, in PyTorch as well.
      bool any_nan = false;
      for (const auto& [v, i] : line) any_nan |= v != v;
      if (any_nan)
        std::sort(line.begin(), line.end(), comes_before<T>);
      else
        std::sort(line.begin(), line.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      size_t best = 0, best_count = 0;
      for (size_t i = 0, start = 0; i < line.size(); ++i) {
        if (line[i].first != line[start].first) start = i;
        if (i - start + 1 > best_count) {
          best_count = i - start + 1;
          best = i;
        }
      }
      places.data<int64_t>()[k] = line[best].second;
    });
  });
  return selected("ModeBackward0", t, d, keepdim, places);
}

}  // namespace

OPERATION("median(Tensor self) -> Tensor", median_all<false>,
          "The median of all elements, the lower one of two; nan if there is one.")
OPERATION("median(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", median_along<false>,
          "Medians along dim (the lower one of two) and a place of each; nan if there is one.",
          {.out = true, .apart = true})
OPERATION("nanmedian(Tensor self) -> Tensor", median_all<true>, "The median of the elements that are not nan.")
OPERATION("nanmedian(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)", median_along<true>,
          "Medians along dim of the elements that are not nan, and a place of each.", {.out = true, .apart = true})
OPERATION("mode(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)", mode,
          "The most frequent element along dim (the smallest of equals) and one of its places.", {.out = true})

// ---- quantiles ----------------------------------------------------------------------------------------------------

namespace {

struct Interpolation {
  int64_t below, above;
  double weight;
};
Interpolation interpolate(double q, int64_t n, std::string_view how) {
  const double rank = q * double(n - 1);
  const double low = std::floor(rank), high = std::ceil(rank);
  if (how == "lower") return {int64_t(low), int64_t(low), 0};
  if (how == "higher") return {int64_t(high), int64_t(high), 0};
  if (how == "nearest") return {int64_t(std::nearbyint(rank)), int64_t(std::nearbyint(rank)), 0};
  return {int64_t(low), int64_t(high), how == "midpoint" ? (low == high ? 0.0 : 0.5) : rank - low};
}

Tensor quantile(const char* name, const Tensor& t, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                std::string_view how, bool skip_nan) {
  check(t.numel() > 0, name, "() input tensor must be non-empty");
  check(q.dims() <= 1, name, "() q must be a scalar or 1D tensor");
  check(t.dtype() == DType::f32 || t.dtype() == DType::f64, name,
        "() input tensor must be either float or double dtype");
  check(q.dtype() == t.dtype(), name, "() q tensor must be same dtype as the input tensor");
  check(how == "linear" || how == "lower" || how == "higher" || how == "midpoint" || how == "nearest", name,
        "() interpolation must be one of linear, lower, higher, midpoint or nearest, but got ", how);
  const int64_t flat = -1;
  const Tensor x = dim ? t : reshape(t, Ints(&flat, 1));
  const int d = dim ? wrap_dim(*dim, t.dims()) : 0;
  const Tensor data = dense(x);
  const Dims line_shape = Reduced(x, d, true).result_shape;
  const Tensor points = dense(cast_data(q, DType::f64));
  std::vector<Tensor> results;
  for (int64_t i = 0; i < q.numel(); ++i) {
    const double p = points.data<double>()[i];
    check(p >= 0 && p <= 1, name,
          q.dims() ? "() q values must be in the range [0, 1]" : str("() q must be in the range [0, 1] but got ", p));
    const Tensor below = empty(line_shape, DType::i64), above = empty(line_shape, DType::i64);
    Tensor weight = empty(line_shape, t.dtype());
    const Tensor steps = empty(line_shape, t.dtype());  // d rank / d q
    dispatch(t.dtype(), name, [&]<class T>() {
      for_lines<T>(data, d, [&](int64_t k, std::vector<std::pair<T, int64_t>>& line) {
        const auto nans = std::count_if(line.begin(), line.end(), [](const auto& v) { return is_nan(v.first); });
        int64_t n = static_cast<int64_t>(line.size());
        std::sort(line.begin(), line.end(), comes_before<T>);
        Interpolation at{n - 1, n - 1, 0};  // a nan
        if (nans == 0 || (skip_nan && nans < n)) at = interpolate(p, n - nans, how);
        below.data<int64_t>()[k] = line[at.below].second;
        above.data<int64_t>()[k] = line[at.above].second;
        weight.data<T>()[k] = convert<T>(at.weight);
        steps.data<T>()[k] = convert<T>(double(n - nans - 1));
      });
    });
    if (recording(q) && how == "linear") {
      const Tensor point = q.dims() ? select_index(q, 0, i) : q;
      weight = weight + (point - detach(point)) * steps;
    }
    const Tensor a = take_along(x, d, below), b = take_along(x, d, above);
    results.push_back(select(weight < 0.5, a + weight * (b - a), b - (b - a) * (1.0 - weight)));
  }
  Dims shape = line_shape;
  if (!dim && keepdim) shape = Dims(t.dims(), 1);
  if (!keepdim) shape = Reduced(x, d, false).result_shape;
  for (Tensor& r : results) r = reshape(r, shape);
  if (q.dims() == 0) return results[0];
  if (results.empty()) {
    shape.insert(0, 0);
    return empty(shape, t.dtype());
  }
  return stack(Tensors(results), 0);
}

template <bool skip_nan>
Tensor quantile_tensor(const Tensor& t, const Tensor& q, std::optional<int64_t> dim, bool keepdim,
                       std::string_view how) {
  return quantile(skip_nan ? "nanquantile" : "quantile", t, q, dim, keepdim, how, skip_nan);
}
template <bool skip_nan>
Tensor quantile_number(const Tensor& t, double q, std::optional<int64_t> dim, bool keepdim, std::string_view how) {
  check(t.dtype() == DType::f32 || t.dtype() == DType::f64, skip_nan ? "nanquantile" : "quantile",
        "() input tensor must be either float or double dtype");
  return quantile_tensor<skip_nan>(t, full({}, Scalar(q), t.dtype()), dim, keepdim, how);
}

}  // namespace
OPERATION("quantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> Tensor",
          quantile_tensor<false>,
          "Quantiles q (0 to 1, 0-d or 1-d) of all elements or along dim; q's dimension comes first.",
          {.out = true, .autocast = Autocast::float32})
OPERATION("quantile(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> Tensor",
          quantile_number<false>, "The q-quantile of all elements or along dim.",
          {.out = true, .autocast = Autocast::float32})
OPERATION(
    "nanquantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> "
    "Tensor",
    quantile_tensor<true>, "Quantiles of the elements that are not nan.", {.out = true, .autocast = Autocast::float32})
OPERATION(
    "nanquantile(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation='linear') -> "
    "Tensor",
    quantile_number<true>, "The q-quantile of the elements that are not nan.",
    {.out = true, .autocast = Autocast::float32})

}  // namespace bulssi
