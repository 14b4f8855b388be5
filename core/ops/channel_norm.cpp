// Normalisation with an affine map for each channel: batch_norm, instance_norm and group_norm.
//
// x is N x C rows of the elements of one channel of one item. One pass gives each row's mean and sum of squares about
// it; those of a set of rows (a channel of the batch, or a group of channels of an item) are put together from them. Of
// the backward, the sums over a set come from sums over rows in the same way.
#include <cmath>

#include "core/base/scratch.h"
#include "core/base/threads.h"
#include "core/op/tensor_math.h"
#include "core/ops/recompute.h"
#include "core/ops/reduce.h"

namespace bulssi {
namespace {

struct Channels {
  int64_t items, channels, size;
  int64_t groups;  // of the channels of each item; 0: a set is a channel of all items

  int64_t rows() const { return items * channels; }
  int64_t sets() const { return groups ? items * groups : channels; }
  // Set of a row, rows of a set and the first, and from one of them to the next.
  int64_t set(int64_t row) const { return groups ? row / (channels / groups) : row % channels; }
  int64_t rows_of_set() const { return groups ? channels / groups : items; }
  int64_t first(int64_t set) const { return groups ? set * (channels / groups) : set; }
  int64_t step() const { return groups ? 1 : channels; }
  double count() const { return double(rows_of_set()) * double(size); }
};

template <class F>
void for_rows(const Channels& s, F f) {
  const Unlocked unlocked(s.rows() * s.size * 4);
  parallel_for(s.rows(), std::max<int64_t>(1, 16384 / s.size), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}
template <class F>
void for_sets(const Channels& s, F f) {
  parallel_for(s.sets(), std::max<int64_t>(1, 4096 / s.rows_of_set()), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) f(k, s.first(k), s.first(k) + s.rows_of_set() * s.step());
  });
}

template <class T>
void statistics(const Channels& s, const T* x, T* mean, T* var) {
  Scratch<T> rows(2 * s.rows());
  T *m = rows.get(), *q = m + s.rows();
  const auto moments = cpu::row_kernels().sums_about_mean[std::is_same_v<T, double>];
  for_rows(s, [&](int64_t r) { moments(s.size, x + r * s.size, m + r, q + r); });
  for_sets(s, [&](int64_t k, int64_t first, int64_t end) {
    double sum = 0, squares = 0;
    for (int64_t r = first; r < end; r += s.step()) sum += m[r];
    const double all = sum / double(s.rows_of_set());
    for (int64_t r = first; r < end; r += s.step()) squares += q[r] + double(s.size) * (m[r] - all) * (m[r] - all);
    mean[k] = T(all), var[k] = T(squares / s.count());
  });
}

// y = (x - mean) / sqrt(var + eps) * weight + bias; `scale` gets 1 / sqrt(var + eps).
template <class T>
void normalise(const Channels& s, const T* x, const T* w, const T* b, const T* mean, const T* var, double eps, T* rstd,
               T* y) {
  for (int64_t k = 0; k < s.sets(); ++k) rstd[k] = T(1 / std::sqrt(double(var[k]) + eps));
  const auto scale = cpu::row_kernels().scale_and_shift[std::is_same_v<T, double>];
  for_rows(s, [&](int64_t r) {
    const int64_t k = s.set(r), c = r % s.channels;
    const T numbers[] = {mean[k], w ? rstd[k] * w[c] : rstd[k], b ? b[c] : T(0)};
    scale(s.size, x + r * s.size, numbers, y + r * s.size);
  });
}

struct Gradients {
  Tensor x, weight, bias;
};

// `fixed`: the statistics do not depend on x.
template <class T>
void backward(const Channels& s, const T* g, const T* x, const T* w, const T* mean, const T* rstd, bool fixed, T* dx,
              T* dw, T* db) {
  const int f = std::is_same_v<T, double>;
  Scratch<T> rows(2 * s.rows()), sets(2 * s.sets());
  T *sum = rows.get(), *product = sum + s.rows(), *all_sum = sets.get(), *all_product = all_sum + s.sets();
  const bool needs_sums = dw || db || !fixed;
  const auto products = cpu::row_kernels().sums_with[f];
  if (needs_sums) {
    for_rows(
        s, [&](int64_t r) { products(s.size, g + r * s.size, x + r * s.size, mean + s.set(r), sum + r, product + r); });
  }
  if (dx) {
    if (!fixed) {
      for_sets(s, [&](int64_t k, int64_t first, int64_t end) {
        double a = 0, b = 0;
        for (int64_t r = first; r < end; r += s.step()) {
          const double weight = w ? double(w[r % s.channels]) : 1;
          a += weight * sum[r], b += weight * product[r];
        }
        all_sum[k] = T(a / s.count()), all_product[k] = T(b / s.count() * double(rstd[k]) * double(rstd[k]));
      });
    }
    const auto combine = cpu::row_kernels().combine_with[f];
    for_rows(s, [&](int64_t r) {
      const int64_t k = s.set(r);
      const T weight = w ? w[r % s.channels] : T(1);
      const T numbers[] = {mean[k], weight * rstd[k], fixed ? T(0) : -all_product[k] * rstd[k],
                           fixed ? T(0) : -all_sum[k] * rstd[k]};
      combine(s.size, g + r * s.size, x + r * s.size, numbers, dx + r * s.size);
    });
  }
  if (!dw && !db) return;
  for (int64_t c = 0; c < s.channels; ++c) {
    double a = 0, b = 0;
    for (int64_t r = c; r < s.rows(); r += s.channels) a += double(product[r]) * rstd[s.set(r)], b += sum[r];
    if (dw) dw[c] = T(a);
    if (db) db[c] = T(b);
  }
}

Channels channels_of(const Tensor& x, int64_t groups) {
  check(x.dims() >= 2 && x.numel() > 0, "_norm_channels: expected (N, C, ...) with elements, got shape ",
        Ints(x.shape()));
  const int64_t items = x.shape()[0], channels = x.shape()[1];
  check(groups >= 0 && (groups == 0 || channels % groups == 0), "_norm_channels: ", groups, " groups of ", channels,
        " channels");
  return {items, channels, x.numel() / (items * channels), groups};
}

// The same in differentiable operations, without the bias, on which no gradient depends. Undefined mean and var: those
// of x.
Tensor composed(const Tensor& x, const Tensor& w, const Tensor& mean_, const Tensor& var_, const Channels& s,
                double eps) {
  const int64_t by_group[] = {s.items, s.groups, s.channels / std::max<int64_t>(s.groups, 1) * s.size};
  const int64_t by_channel[] = {s.items, s.channels, s.size}, along[] = {1, s.channels, 1}, whole[] = {1, s.sets(), 1};
  const Tensor cut = reshape(x, s.groups ? by_group : by_channel);
  const int64_t of_group[] = {2}, of_batch[] = {0, 2};
  const std::optional<Ints> dims = s.groups ? Ints(of_group) : Ints(of_batch);
  const Tensor centred = cut - (mean_ ? reshape(mean_, whole) : mean(cut, dims, true));
  const Tensor var = var_ ? reshape(var_, whole) : mean(centred * centred, dims, true);
  Tensor y = reshape(centred * Tensor::apply<PowScalar>(var + eps, -0.5), by_channel);
  if (w) y = y * reshape(w, along);
  return reshape(y, x.shape());
}

std::tuple<Tensor, Tensor, Tensor> norm_channels(const Tensor& x_, const Tensor& w_, const Tensor& b_,
                                                 const Tensor& mean_, const Tensor& var_, int64_t groups, double eps) {
  check(is_floating(x_.dtype()), ErrorKind::not_implemented, "\"batch_norm\" not implemented for '",
        legacy_name(x_.dtype()), "'");
  const Channels s = channels_of(x_, groups);
  for (const Tensor* t : {&w_, &b_}) {
    check(!*t || t->numel() == s.channels, "_norm_channels: weight and bias have an element for each of ", s.channels,
          " channels, got ", *t ? t->numel() : 0);
  }
  const bool fixed = static_cast<bool>(mean_);
  check(fixed == static_cast<bool>(var_) && (!fixed || (mean_.numel() == s.sets() && var_.numel() == s.sets())),
        "_norm_channels: expected a mean and a variance for each of ", s.sets(), " sets");
  const DType dtype = compute_dtype(x_.dtype());
  const auto wide = [&](const Tensor& t) { return t ? dense(cast_data(t, dtype)) : Tensor(); };
  const Tensor x = wide(x_), w = wide(w_), b = wide(b_);
  const int64_t sets = s.sets();
  // Copies, because running statistics may move on before the backward.
  const Tensor mean = empty(Ints(&sets, 1), dtype), var = empty(Ints(&sets, 1), dtype);
  if (fixed) {
    copy_data(mean, reshape(detach(mean_), Ints(&sets, 1)));
    copy_data(var, reshape(detach(var_), Ints(&sets, 1)));
  }
  const Tensor rstd = empty(Ints(&sets, 1), dtype), y = empty(x.shape(), dtype);
  if (!without_elements(y)) {
    const auto run = [&]<class T>(T*) {
      if (!fixed) statistics<T>(s, x.data<T>(), mean.data<T>(), var.data<T>());
      normalise<T>(s, x.data<T>(), w ? w.data<T>() : nullptr, b ? b.data<T>() : nullptr, mean.data<T>(), var.data<T>(),
                   eps, rstd.data<T>(), y.data<T>());
    };
    dtype == DType::f64 ? run(static_cast<double*>(nullptr)) : run(static_cast<float*>(nullptr));
  }
  const DType weight_dtype = w_ ? w_.dtype() : dtype, bias_dtype = b_ ? b_.dtype() : dtype;
  const Tensor given_mean = fixed ? mean : Tensor(), given_var = fixed ? var : Tensor();
  const auto gradient = [=](BackwardCall& c) {
    const Tensor g_ = c.grad(), x_ = c.saved(0), w_ = c.node.saved[3].defined() ? c.saved(3) : Tensor();
    if (recording({&g_, &x_, &w_})) {
      const auto again = [&](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{
            cast(composed(cast(in[0], dtype), in[1] ? cast(in[1], dtype) : in[1], given_mean, given_var, s, eps),
                 x_.dtype())};
      };
      const std::vector<Tensor> made = gradients_of(again, {x_, w_}, {g_});
      if (c.needs(0)) c.set(0, made[0] ? made[0] : zeros_like(x_));
      if (c.needs(1)) c.set(1, made[1]);
      if (c.needs(2)) {
        const int64_t rows[] = {s.items, s.channels, s.size}, both[] = {0, 2};
        c.set(2, cast(sum(reshape(g_, rows), Ints(both), false, std::nullopt), bias_dtype));
      }
      return;
    }
    const Tensor g = dense(cast_data(g_, dtype)), x = dense(cast_data(x_, dtype));
    const Tensor w = w_ ? dense(cast_data(w_, dtype)) : Tensor(), mean = c.saved(1), rstd = c.saved(2);
    const Tensor dx = c.needs(0) ? empty(x.shape(), dtype) : Tensor();
    const Tensor dw = c.needs(1) ? empty(Ints(&s.channels, 1), dtype) : Tensor();
    const Tensor db = c.needs(2) ? empty(Ints(&s.channels, 1), dtype) : Tensor();
    if (!without_elements(x)) {
      const auto run = [&]<class T>(T*) {
        const auto at = [](const Tensor& t) { return t ? t.data<T>() : nullptr; };
        backward<T>(s, g.data<T>(), x.data<T>(), at(w), mean.data<T>(), rstd.data<T>(), fixed, at(dx), at(dw), at(db));
      };
      dtype == DType::f64 ? run(static_cast<double*>(nullptr)) : run(static_cast<float*>(nullptr));
    }
    if (dx) c.set(0, cast_data(dx, x_.dtype()));
    if (dw) c.set(1, cast_data(dw, weight_dtype));
    if (db) c.set(2, cast_data(db, bias_dtype));
  };
  const char* node = groups ? "NativeGroupNormBackward0" : "NativeBatchNormBackward0";
  return {
      record(node, {&x_, &w_, &b_}, cast_data(y, x_.dtype()), gradient, {keep(x_), keep(mean), keep(rstd), keep(w_)}),
      mean, var};
}
OPERATION(
    "_norm_channels(Tensor input, Tensor? weight, Tensor? bias, Tensor? mean, Tensor? var, int groups, float eps) -> "
    "(Tensor, Tensor, Tensor)",
    norm_channels,
    "(input - mean) / sqrt(var + eps) times weight plus bias by channel of (N, C, ...), the mean and the variance: as "
    "given, else those of each channel (groups: 0) or of each group of channels of each item.",
    {.method = false})

}  // namespace
}  // namespace bulssi
