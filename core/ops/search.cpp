// Searching, counting and distinct values.
#include <cmath>
#include <numeric>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/index.h"
#include "core/ops/sort.h"

namespace bulssi {

namespace {

Tensor flat_data(const Tensor& t) {
  const Tensor d = dense(t);
  return alias(d, Layout{Dims{d.numel()}, Dims{1}, d.layout().offset});
}
template <class T>
bool equal(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return a == b;
  else
    return static_cast<double>(a) == static_cast<double>(b);
}

// ---- unique ---------------------------------------------------------------------------------------------------------

// Where runs of equal neighbours begin, and which run each element belongs to.
struct Runs {
  std::vector<int64_t> starts;
  template <class Same>
  Runs(int64_t n, Same&& same) {
    for (int64_t i = 0; i < n; ++i) {
      if (i == 0 || !same(i - 1, i)) starts.push_back(i);
    }
    n_ = n;
  }
  int64_t count() const { return static_cast<int64_t>(starts.size()); }
  // f(run, first, end)
  template <class F>
  void each(F&& f) const {
    for (size_t r = 0; r < starts.size(); ++r) f(int64_t(r), starts[r], r + 1 < starts.size() ? starts[r + 1] : n_);
  }

 private:
  int64_t n_ = 0;
};

// What unique gives back: the values, then what was asked for.
Outcome unique_outcome(Tensor values, const Runs& runs, const int64_t* order, Ints inverse_shape, bool inverse,
                       bool counts) {
  if (!inverse && !counts) return outcome(std::move(values));
  std::vector<Tensor> out{std::move(values)};
  if (inverse) {
    Tensor t = empty(inverse_shape, DType::i64);
    runs.each([&](int64_t run, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) t.data<int64_t>()[order ? order[i] : i] = run;
    });
    out.push_back(std::move(t));
  }
  if (counts) {
    Tensor t = empty(Dims{runs.count()}, DType::i64);
    runs.each([&](int64_t run, int64_t begin, int64_t end) { t.data<int64_t>()[run] = end - begin; });
    out.push_back(std::move(t));
  }
  return outcome(std::move(out));
}

Outcome unique_flat(const Tensor& self, bool sorted, bool inverse, bool counts) {
  Tensor values = flat_data(self), order;
  if (sorted) {
    Sorted s = sort_data(values, 0, false);
    values = s.values;
    order = s.indices;
  }
  return dispatch(self.dtype(), "unique", [&]<class T>() {
    const T* v = values.data<T>();
    const Runs runs(values.numel(), [&](int64_t a, int64_t b) { return equal(v[a], v[b]); });
    Tensor kept = empty(Dims{runs.count()}, self.dtype());
    for (int64_t r = 0; r < runs.count(); ++r) kept.data<T>()[r] = v[runs.starts[size_t(r)]];
    return unique_outcome(kept, runs, order ? order.data<int64_t>() : nullptr, self.shape(), inverse, counts);
  });
}

// Distinct slices along dim: slices compare element by element.
Outcome unique_slices(const Tensor& self, int64_t dim, bool sorted, bool inverse, bool counts) {
  const int d = wrap_dim(dim, self.dims(), false);
  const int64_t n = self.shape()[d];
  int64_t others = 1;
  for (int k = 0; k < self.dims(); ++k) others *= k == d ? 1 : self.shape()[k];
  check(others > 0 || n == 0, "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied");
  Layout moved = self.layout();
  std::swap(moved.shape[0], moved.shape[d]);
  std::swap(moved.strides[0], moved.strides[d]);
  const Tensor rows = dense(alias(self, moved));
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  return dispatch(self.dtype(), "unique_dim", [&]<class T>() {
    const T* v = rows.data<T>();
    if (sorted) {
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        for (int64_t i = 0; i < others; ++i) {
          const auto x = SortKey<T>::of(v[a * others + i]), y = SortKey<T>::of(v[b * others + i]);
          if (x != y) return x < y;
        }
        return false;
      });
    }
    const Runs runs(n, [&](int64_t a, int64_t b) {
      const T *x = v + order[size_t(a)] * others, *y = v + order[size_t(b)] * others;
      for (int64_t i = 0; i < others; ++i) {
        if (!equal(x[i], y[i])) return false;
      }
      return true;
    });
    Tensor first = empty(Dims{runs.count()}, DType::i64);
    for (int64_t r = 0; r < runs.count(); ++r) first.data<int64_t>()[r] = order[size_t(runs.starts[size_t(r)])];
    GradMode off(false);
    return unique_outcome(index_select(self, d, first), runs, order.data(), Dims{n}, inverse, counts);
  });
}

// The values are recorded, so that backward says that they have no derivative.
Outcome undifferentiable(const Tensor& self, Outcome out, const char* node, const char* op) {
  Tensor& values = out.kind == Outcome::Kind::tensor ? out.tensor : out.tensors[0];
  values = record(node, self, values, [op](BackwardCall&) {
    fail(ErrorKind::not_implemented, "the derivative for '", op, "' is not implemented.");
  });
  return out;
}
Outcome unique(const Tensor& self, bool, bool inverse, bool counts, std::optional<int64_t> dim) {
  if (!dim) return undifferentiable(self, unique_flat(self, true, inverse, counts), "Unique2Backward0", "_unique2");
  return undifferentiable(self, unique_slices(self, *dim, true, inverse, counts), "UniqueDimBackward0", "unique_dim");
}
Outcome unique_consecutive(const Tensor& self, bool inverse, bool counts, std::optional<int64_t> dim) {
  return undifferentiable(
      self, dim ? unique_slices(self, *dim, false, inverse, counts) : unique_flat(self, false, inverse, counts),
      "UniqueConsecutiveBackward0", "unique_consecutive");
}

}  // namespace

OPERATION(
    "unique(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False, int? dim=None) "
    "-> Tensor",
    unique,
    "The distinct elements in order (or slices along dim); with return_inverse also which of them each element "
    "is, and with return_counts how often each occurs. Every NaN is distinct.",
    {.differentiable = false})
OPERATION(
    "unique_consecutive(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None) -> Tensor",
    unique_consecutive, "The elements without those equal to their predecessor.", {.differentiable = false})

// ---- searchsorted ---------------------------------------------------------------------------------------------------

namespace {

bool from_right(bool right, const std::optional<std::string_view>& side, const char* op) {
  if (!side) return right;
  check(*side == "left" || *side == "right", op, "(): side can only be 'left' or 'right' but got ", *side);
  check(*side == "right" || !right, op,
        "(): side and right can't be set to opposites, got side of left while right was "
        "True");
  return *side == "right";
}

// The first place where v may be inserted; with `right` the last. A NaN goes behind everything.
template <class T>
int64_t place_of(const T* sequence, int64_t n, T v, bool right) {
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const bool stop = right ? sequence[middle] > v : sequence[middle] >= v;
    if (stop)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

Tensor search(const Tensor& boundaries, const Tensor& values, bool int32, bool right) {
  const DType type = promote(boundaries.dtype(), values.dtype());
  const DType compute = is_half(type) ? DType::f32 : type;
  const Tensor b = dense(cast_data(boundaries, compute)), v = dense(cast_data(values, compute));
  const int64_t n = b.dims() ? b.shape()[b.dims() - 1] : 1;
  check(!int32 || n <= std::numeric_limits<int32_t>::max(),
        "torch.searchsorted(): the size of boundaries' last "
        "dimension should be less than 2147483647, but we got ",
        n);
  const int64_t width = b.dims() <= 1 || v.dims() == 0 ? std::max<int64_t>(v.numel(), 1) : v.shape()[v.dims() - 1];
  Tensor out = empty(values.shape(), DType::i64);
  dispatch(compute, "searchsorted", [&]<class T>() {
    const Unlocked unlocked(v.numel() * 8);
    parallel_for(v.numel(), 2048, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T* sequence = b.data<T>() + (b.dims() <= 1 ? 0 : i / width * n);
        out.data<int64_t>()[i] = place_of(sequence, n, v.data<T>()[i], right);
      }
    });
  });
  return int32 ? cast_data(out, DType::i32) : out;
}

Tensor searchsorted(const Tensor& sequence, const Tensor& values, bool int32, bool right,
                    std::optional<std::string_view> side, const Tensor& sorter) {
  right = from_right(right, side, "torch.searchsorted");
  check(values.dims() > 0 || sequence.dims() == 1,
        "torch.searchsorted(): input value can be a scalar only when "
        "boundaries tensor dimension is 1, but we got boundaries tensor dim(",
        sequence.dims(), ") and input value's dim(", values.dims(), ") numel(", values.numel(), ")");
  check(sequence.dims() > 0,
        "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 "
        "dimension");
  bool match = sequence.dims() == 1 || sequence.dims() == values.dims();
  for (int d = 0; match && sequence.dims() > 1 && d < sequence.dims() - 1; ++d) {
    match = sequence.shape()[d] == values.shape()[d];
  }
  check(match,
        "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
        "tensor and input value tensor must match, but we got boundaries tensor ",
        Ints(sequence.shape()), " and input value tensor ", Ints(values.shape()));
  if (!sorter) return search(sequence, values, int32, right);
  check(sorter.shape() == sequence.shape(),
        "torch.searchsorted(): boundary and sorter must have the same size, but got "
        "boundary tensor ",
        Ints(sequence.shape()), "and got sorter tensor ", Ints(sorter.shape()));
  check(sorter.dtype() == DType::i64, "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype ",
        legacy_name(sorter.dtype()));
  const Tensor s = dense(sorter);
  const int64_t n = sequence.shape()[sequence.dims() - 1];
  for (int64_t i = 0; i < s.numel(); ++i) {
    check(s.data<int64_t>()[i] >= 0 && s.data<int64_t>()[i] < n, "torch.searchsorted(): sorter index out of range");
  }
  GradMode off(false);
  return search(gather(sequence, -1, sorter, false), values, int32, right);
}
// A number beside a tensor: a floating one makes integers floating, and otherwise takes the tensor's type.
Tensor number_beside(Scalar value, const Tensor& t) {
  const DType type = value.kind == Scalar::Kind::floating && !is_floating(t.dtype())      ? DType::f64
                     : value.kind == Scalar::Kind::integer && t.dtype() == DType::boolean ? DType::i64
                                                                                          : t.dtype();
  return full({}, value, type);
}
Tensor bucketize(const Tensor& self, const Tensor& boundaries, bool int32, bool right) {
  check(boundaries.dims() == 1, "boundaries tensor must be 1 dimension, but got dim(", boundaries.dims(), ")");
  return search(boundaries, self, int32, right);
}

}  // namespace

OPERATION(
    "searchsorted(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool right=False, str? side=None, "
    "Tensor? sorter=None) -> Tensor",
    searchsorted,
    "Where each element of self would be inserted into sorted_sequence (its last dimension) to keep it sorted: "
    "before equal elements, or behind them with right.",
    {.method = false, .out = true, .differentiable = false})
OPERATION(
    "searchsorted(Tensor sorted_sequence, Scalar self, *, bool out_int32=False, bool right=False, str? side=None, "
    "Tensor? sorter=None) -> Tensor",
    (+[](const Tensor& sequence, Scalar value, bool int32, bool right, std::optional<std::string_view> side,
         const Tensor& sorter) {
      return searchsorted(sequence, number_beside(value, sequence), int32, right, side, sorter);
    }),
    "The place of one number.", {.method = false, .out = true, .differentiable = false})
OPERATION("bucketize(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor", bucketize,
          "The bucket of each element: how many boundaries (1-d, ascending) lie below it, or with right not above it.",
          {.method = false, .out = true, .differentiable = false})
OPERATION("bucketize(Scalar self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor",
          (+[](Scalar value, const Tensor& boundaries, bool int32, bool right) {
            return bucketize(number_beside(value, boundaries), boundaries, int32, right);
          }),
          "The bucket of one number.", {.method = false, .differentiable = false})

// ---- isin -----------------------------------------------------------------------------------------------------------

namespace {

Tensor isin(const Tensor& elements, const Tensor& tests, bool, bool invert) {
  for (const Tensor& t : {elements, tests})
    check(t.dtype() != DType::boolean, "Unsupported input type encountered for isin(): Bool");
  const DType type = promote(elements.dtype(), tests.dtype());
  const Tensor e = dense(cast_data(elements, type)), t = flat_data(cast_data(tests, type));
  Tensor out = empty(elements.shape(), DType::boolean);
  dispatch(type, "isin", [&]<class T>() {
    using Key = typename SortKey<T>::Type;
    std::vector<Key> keys;
    for (int64_t i = 0; i < t.numel(); ++i) {
      const T v = t.data<T>()[i];
      if (equal(v, v)) keys.push_back(SortKey<T>::of(v));  // a NaN equals nothing
    }
    std::sort(keys.begin(), keys.end());
    const Unlocked unlocked(e.numel());
    parallel_for(e.numel(), 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T v = e.data<T>()[i];
        const bool found = equal(v, v) && std::binary_search(keys.begin(), keys.end(), SortKey<T>::of(v));
        out.data<bool>()[i] = found != invert;
      }
    });
  });
  return out;
}

}  // namespace

OPERATION("isin(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor", isin,
          "Whether each element equals one of test_elements (invert: none).",
          {.method = false, .out = true, .differentiable = false})
OPERATION("isin(Tensor elements, Scalar test_element, *, bool assume_unique=False, bool invert=False) -> Tensor",
          (+[](const Tensor& elements, Scalar test, bool unique, bool invert) {
            check(test.kind != Scalar::Kind::boolean, "Unsupported input type encountered for isin(): Bool");
            return isin(elements, number_beside(test, elements), unique, invert);
          }),
          "Whether each element equals a number.", {.method = false, .out = true, .differentiable = false})
OPERATION("isin(Scalar element, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor",
          (+[](Scalar element, const Tensor& tests, bool unique, bool invert) {
            check(element.kind != Scalar::Kind::boolean, "Unsupported input type encountered for isin(): Bool");
            return isin(number_beside(element, tests), tests, unique, invert);
          }),
          "Whether a number equals one of test_elements.", {.method = false, .out = true, .differentiable = false})

// ---- counting -------------------------------------------------------------------------------------------------------

namespace {

Tensor bincount(const Tensor& self, const Tensor& weights, int64_t least) {
  if (!is_integral(self.dtype())) {
    fail(ErrorKind::not_implemented, "\"bincount_cpu\" not implemented for '", legacy_name(self.dtype()), "'");
  }
  check(least >= 0, "minlength should be >= 0");
  check(self.dims() == 1, "bincount only supports 1-d non-negative integral inputs.");
  check(!weights || self.numel() == 0 || weights.shape() == self.shape(),
        "weights should be 1-d and have the same length as input");
  if (self.numel() == 0) return zeros(Dims{least}, DType::i64);
  const Tensor at = index_data(self);
  const int64_t *value = at.data<int64_t>(), n = at.numel();
  int64_t low = 0, high = -1;
  for (int64_t i = 0; i < n; ++i) {
    low = std::min(low, value[i]);
    high = std::max(high, value[i]);
  }
  check(low >= 0, "bincount only supports 1-d non-negative integral inputs.");
  const int64_t bins = std::max(least, high + 1);
  const DType type = !weights ? DType::i64 : weights.dtype() == DType::f32 ? DType::f32 : DType::f64;
  Tensor out = zeros(Dims{bins}, type);
  if (!weights) {
    int64_t* count = out.data<int64_t>();
    for (int64_t i = 0; i < n; ++i) ++count[value[i]];
    return out;
  }
  const Tensor w = dense(cast_data(weights, type));
  put_data(out, {&at, 1}, w, true);
  return out;
}

// The smallest and largest element; {0, 0} for none.
std::pair<double, double> range_of(const Tensor& t) {
  double low = 0, high = 0;
  dispatch(t.dtype(), "histogram", [&]<class T>() {
    for (int64_t i = 0; i < t.numel(); ++i) {
      const double v = static_cast<double>(t.data<T>()[i]);
      if (i == 0) low = high = v;
      low = std::isnan(v) || v < low ? v : low;
      high = std::isnan(v) || v > high ? v : high;
    }
  });
  return {low, high};
}

// Even edges from low to high, from both ends so that they are exact there.
Tensor even_edges(double low, double high, int64_t bins, DType type) {
  check(bins < INT64_MAX, "histogram: ", bins, " bins have more edges than can be counted");
  Tensor edges = empty(Dims{bins + 1}, type);
  dispatch(type, "histogram", [&]<class T>() {
    if constexpr (!std::is_integral_v<T>) {
      const T a = T(low), b = T(high);
      const T step = T((b - a) / T(static_cast<double>(bins)));
      for (int64_t i = 0; i <= bins; ++i) {
        edges.data<T>()[i] = i < (bins + 1) / 2 ? T(a + step * T(double(i))) : T(b - step * T(double(bins - i)));
      }
    }
  });
  return edges;
}

enum class Binning : uint8_t { even, even_checked, searched };

// Counts (or sums weights) per bin; the last bin holds its right edge too.
template <class T>
void count_bins(const Tensor& data, const Tensor& weight, const Tensor& edges, Binning how, Tensor& out) {
  const T* e = edges.data<T>();
  const int64_t bins = edges.numel() - 1;
  const T low = e[0], high = e[bins];
  using Sum = std::conditional_t<std::is_floating_point_v<T>, T, float>;  // half precision would stop at 2048
  std::vector<Sum> counts(static_cast<size_t>(bins));
  for (int64_t i = 0; i < data.numel(); ++i) {
    const T v = data.data<T>()[i];
    if (!(v >= low && v <= high)) continue;
    int64_t at;
    if (how == Binning::searched) {
      at = std::upper_bound(e, e + bins + 1, v) - e - 1;
    } else {
      at = static_cast<int64_t>(T(T(T(v - low) * T(static_cast<Sum>(bins))) / T(high - low)));
      if (how == Binning::even_checked) {  // rounding may miss by one
        const int64_t first = std::max<int64_t>(0, at - 1), last = std::min(at + 2, bins + 1);
        at = std::upper_bound(e + first, e + last, v) - e - 1;
      }
    }
    if (at == bins) --at;
    counts[static_cast<size_t>(at)] += weight ? Sum(weight.data<T>()[i]) : Sum(1);
  }
  for (int64_t i = 0; i < bins; ++i) out.data<T>()[i] = T(counts[static_cast<size_t>(i)]);
}
void check_histogram(const Tensor& t, const char* op, bool half_too) {
  if (!is_floating(t.dtype()) || (is_half(t.dtype()) && !half_too)) {
    fail(ErrorKind::not_implemented, "\"", op, "\" not implemented for '", legacy_name(t.dtype()), "'");
  }
}
Tensor binned(const Tensor& data, const Tensor& weight, const Tensor& edges, Binning how) {
  Tensor out = zeros(Dims{std::max<int64_t>(edges.numel() - 1, 0)}, data.dtype());
  const Tensor d = dense(data), w = weight ? dense(weight) : weight, e = dense(edges);
  if (edges.numel() < 2) return out;
  dispatch(data.dtype(), "histogram", [&]<class T>() {
    if constexpr (!std::is_integral_v<T>) count_bins<T>(d, w, e, how, out);
  });
  return out;
}

Tensor histc(const Tensor& self, int64_t bins, Scalar least, Scalar most) {
  check_histogram(self, "linspace_cpu", true);
  check(bins > 0, "torch.histogram(): bins must be > 0, but got ", bins, " for dimension 0");
  for (Scalar each : {least, most}) check_fits(each, self.dtype());
  if (self.device().kind == DeviceKind::meta) return empty(Dims{bins}, self.dtype());
  double low = least.as_double(), high = most.as_double();
  if (low == high && self.numel() > 0) std::tie(low, high) = range_of(dense(self));
  if (low == high) low -= 1, high += 1;
  check(std::isfinite(low) && std::isfinite(high), "torch.histc: range of [", low, ", ", high, "] is not finite");
  check(low < high, "torch.histc: max must be larger than min");
  return binned(self, Tensor(), even_edges(low, high, bins, self.dtype()), Binning::even);
}

std::tuple<Tensor, Tensor> finish_histogram(Tensor counts, const Tensor& edges, bool density) {
  if (density) {
    dispatch(counts.dtype(), "histogram", [&]<class T>() {
      if constexpr (std::is_floating_point_v<T>) {
        T total = 0;
        const T* e = edges.data<T>();
        T* c = counts.data<T>();
        for (int64_t i = 0; i < counts.numel(); ++i) total += c[i];
        for (int64_t i = 0; i < counts.numel(); ++i) c[i] /= total * (e[i + 1] - e[i]);
      }
    });
  }
  return {counts, edges};
}
void check_weight(const Tensor& self, const Tensor& weight) {
  if (!weight) return;
  check(weight.dtype() == self.dtype(),
        "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor "
        "should have the same dtype, but got input(",
        c_name(self.dtype()), "), and weight(", c_name(weight.dtype()), ")");
  check(weight.shape() == self.shape(),
        "torch.histogramdd: if weight tensor is provided it should have the same shape "
        "as the input tensor excluding its innermost dimension, but got input with shape ",
        Ints(self.shape()), " and weight with shape ", Ints(weight.shape()));
}

std::tuple<Tensor, Tensor> histogram_edges(const Tensor& self, const Tensor& edges, const Tensor& weight,
                                           bool density) {
  check(edges.dims() == 1 && edges.numel() > 0, "torch.histogramdd: bins tensor should have one dimension, but got ",
        edges.dims(), " dimensions in the bins tensor for dimension 0\nits shape is ", Ints(edges.shape()));
  check(edges.dtype() == self.dtype(),
        "torch.histogramdd: input tensor and bins tensors should have the same dtype, but "
        "got input with dtype ",
        c_name(self.dtype()), " and bins for dimension 0 with dtype ", c_name(edges.dtype()));
  check_weight(self, weight);
  check_histogram(self, "histogram_cpu", true);
  const Tensor e = dense(edges);
  return finish_histogram(binned(self, weight, e, Binning::searched), e, density);
}
std::tuple<Tensor, Tensor> histogram_count(const Tensor& self, int64_t bins,
                                           std::optional<std::span<const double>> range, const Tensor& weight,
                                           bool density) {
  check_histogram(self, "linspace_cpu", false);
  check(bins > 0, "torch.histogram(): bins must be > 0, but got ", bins, " for dimension 0");
  check_weight(self, weight);
  double low = 0, high = 1;
  if (range) {
    check(range->size() == 2, "torch.histogramdd: range should have 2 elements, but got ", range->size());
    low = (*range)[0], high = (*range)[1];
  } else if (self.numel() > 0) {
    std::tie(low, high) = range_of(dense(self));
  }
  check(std::isfinite(low) && std::isfinite(high), "torch.histogramdd: dimension 0's range [", low, ", ", high,
        "] is not finite");
  check(low <= high, "torch.histogramdd: min should not exceed max, but got min ", low, " max ", high,
        " for dimension 0");
  if (low == high) low -= 0.5, high += 0.5;
  const Tensor edges = even_edges(low, high, bins, self.dtype());
  return finish_histogram(binned(self, weight, edges, Binning::even_checked), edges, density);
}

}  // namespace

OPERATION("bincount(Tensor self, Tensor? weights=None, int minlength=0) -> Tensor", bincount,
          "How often each of 0, 1, … occurs in self (1-d, not negative), or the sum of the weights there.",
          {.differentiable = false})
OPERATION("histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor", histc,
          "How many elements lie in each of `bins` equal parts of [min, max] (both 0: the range of the data).",
          {.out = true, .differentiable = false})
OPERATION(
    "histogram(Tensor self, Tensor bins, *, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor "
    "bin_edges)",
    histogram_edges, "Counts between given ascending edges; the last bin includes its right edge.",
    {.out = true, .differentiable = false})
OPERATION(
    "histogram(Tensor self, int bins=100, *, float[]? range=None, Tensor? weight=None, bool density=False) -> "
    "(Tensor hist, Tensor bin_edges)",
    histogram_count, "Counts in `bins` equal parts of range (default: that of the data), and the parts' edges.",
    {.out = true, .differentiable = false})

}  // namespace bulssi
