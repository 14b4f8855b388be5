// Normalisation layers and the fused cross-entropy: forward and backward in one pass over each row.
#include <cmath>

#include "core/base/threads.h"
#include "core/op/tensor_math.h"
#include "core/ops/reduce.h"

namespace bulssi {

using cpu::Monoid;

namespace {

constexpr int64_t grain = 1 << 14;

template <class F>
void for_rows(int64_t rows, int64_t n, F f) {
  const Unlocked unlocked(rows * n * 4);
  parallel_for(rows, std::max<int64_t>(1, grain / std::max<int64_t>(n, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

// ---- rows normalised ----------------------------------------------------------------------------------------------

// How x is cut: `rows` rows of n elements, the last `last` dimensions.
struct Rows {
  int64_t rows = 1, n = 1;
  Dims last;
};

struct NormGradients {
  Tensor x, weight, bias;
};

// The same on tensors, for derivatives of it.
NormGradients norm_backward_recorded(const Tensor& g, const Tensor& x, const Tensor& w, bool has_bias, const Rows& s,
                                     double eps, bool centred) {
  const std::optional<Ints> dims = Ints(s.last);
  const Tensor xc = centred ? x - mean(x, dims, true) : x;
  const Tensor rstd = Tensor::apply<PowScalar>(mean(xc * xc, dims, true) + eps, -0.5);
  const Tensor xhat = xc * rstd, gw = w ? g * w : g;
  Tensor inner = gw - xhat * mean(gw * xhat, dims, true);
  if (centred) inner = inner - mean(gw, dims, true);
  NormGradients made;
  made.x = inner * rstd;
  if (w) made.weight = sum_to(g * xhat, w.shape());
  if (has_bias) {
    Dims shape;
    for (int64_t d : s.last) shape.push_back(x.shape()[d]);
    made.bias = sum_to(g, shape);
  }
  return made;
}

NormGradients norm_backward(const Tensor& g_, const Tensor& x_, const Tensor& w_, const Tensor& mean_,
                            const Tensor& rstd, bool want_x, bool want_w, bool want_b, const Rows& s, bool centred) {
  const DType dtype = mean_.dtype();
  const Tensor g = dense(cast_data(g_, dtype)), x = dense(cast_data(x_, dtype));
  const Tensor w = w_ ? dense(cast_data(w_, dtype)) : Tensor();
  if (without_elements(x)) {
    Dims last;
    for (int64_t d : s.last) last.push_back(x.shape()[d]);
    const Tensor like_weight = empty(last, x_.dtype());
    return {want_x ? empty_like(x_) : Tensor(), want_w ? like_weight : Tensor(), want_b ? like_weight : Tensor()};
  }
  const int f = float_index(dtype), size = itemsize(dtype);
  const auto& k = cpu::row_kernels();
  const int64_t bytes = s.n * size;
  const char *gp = g->data(), *xp = x->data(), *mp = mean_->data(), *rp = rstd->data();
  NormGradients made;
  if (want_x) {
    Tensor dx = empty(x.shape(), dtype);
    char* to = dx->data();
    const void* weight = w ? w->data() : nullptr;
    for_rows(s.rows, s.n, [&](int64_t r) {
      k.normalize_backward[f](s.n, gp + r * bytes, xp + r * bytes, mp + r * size, rp + r * size, weight, centred,
                              to + r * bytes);
    });
    made.x = cast_data(dx, x_.dtype());
  }
  if (want_w || want_b) {
    // Sums over blocks of rows, then over the blocks.
    const int64_t block = std::max<int64_t>(16, (s.rows + 63) / 64),
                  blocks = std::max<int64_t>(1, (s.rows + block - 1) / block);
    const int64_t part_shape[] = {blocks, s.n};
    const Tensor dw = want_w ? zeros(part_shape, dtype) : Tensor(), db = want_b ? zeros(part_shape, dtype) : Tensor();
    char *wp = dw ? dw->data() : nullptr, *bp = db ? db->data() : nullptr;
    const Unlocked unlocked(s.rows * s.n * 4);
    parallel_for(blocks, std::max<int64_t>(1, grain / (block * s.n + 1)), [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        for (int64_t r = b * block; r < std::min(s.rows, (b + 1) * block); ++r) {
          k.weight_gradient[f](s.n, gp + r * bytes, xp + r * bytes, mp + r * size, rp + r * size,
                               wp ? wp + b * bytes : nullptr, bp ? bp + b * bytes : nullptr);
        }
      }
    });
    Dims shape;
    for (int64_t d : s.last) shape.push_back(x.shape()[d]);
    const auto finish = [&](const Tensor& parts) {
      Tensor total = reduce_data(Monoid::sum, parts, Reduced(parts, 0, false));
      set_layout(total, Layout::of(shape));
      return cast_data(total, x_.dtype());
    };
    if (want_w) made.weight = finish(dw);
    if (want_b) made.bias = finish(db);
  }
  return made;
}

void normalise_rows(const Tensor& x, const Tensor& w, const Tensor& b, const Rows& s, double eps, bool centred,
                    const Tensor& y, const Tensor& means, const Tensor& rstd) {
  const int f = float_index(x.dtype()), size = itemsize(x.dtype());
  const auto& k = cpu::row_kernels();
  const auto squares = cpu::reduce_kernels().row[int(Monoid::squares)][f];
  const int64_t bytes = s.n * size;
  const char* from = x->data();
  char *to = y->data(), *mp = means->data(), *rp = rstd->data();
  const void *weight = w ? w->data() : nullptr, *bias = b ? b->data() : nullptr;
  for_rows(s.rows, s.n, [&](int64_t r) {
    if (centred) {
      k.moments[f](s.n, from + r * bytes, eps, mp + r * size, rp + r * size);
    } else {
      squares(s.n, from + r * bytes, nullptr, rp + r * size);
      const auto finish = [&]<class T>(T* p) {
        *p = static_cast<T>(1 / std::sqrt(static_cast<double>(*p) / double(s.n) + eps));
      };
      f ? finish(reinterpret_cast<double*>(rp) + r) : finish(reinterpret_cast<float*>(rp) + r);
    }
    k.normalize[f](s.n, from + r * bytes, mp + r * size, rp + r * size, weight, bias, to + r * bytes);
  });
}

// y = (x - mean) / sqrt(variance + eps) * weight + bias over the last dimensions; without the mean if not `centred`.
Tensor norm_rows(const char* node, const Tensor& x_, const Tensor& w_, const Tensor& b_, const Rows& s, double eps,
                 bool centred) {
  const DType dtype = compute_dtype(x_.dtype());
  const Tensor x = dense(cast_data(x_, dtype));
  const Tensor w = w_ ? dense(cast_data(w_, dtype)) : Tensor(), b = b_ ? dense(cast_data(b_, dtype)) : Tensor();
  Tensor y = empty(x.shape(), dtype);
  const Tensor means = centred ? empty(Ints(&s.rows, 1), dtype) : zeros(Ints(&s.rows, 1), dtype);
  const Tensor rstd = empty(Ints(&s.rows, 1), dtype);
  if (!without_elements(y)) normalise_rows(x, w, b, s, eps, centred, y, means, rstd);
  const bool has_bias = static_cast<bool>(b_);
  return record(node, {&x_, &w_, &b_}, cast_data(y, x_.dtype()),
                [s, eps, centred, has_bias](BackwardCall& c) {
                  const Tensor g = c.grad(), x = c.saved(0), w = c.has(3) ? c.saved(3) : Tensor();
                  NormGradients made = recording({&g, &x, &w})
                                           ? norm_backward_recorded(g, x, w, has_bias, s, eps, centred)
                                           : norm_backward(g, x, w, c.saved(1), c.saved(2), c.needs(0), c.needs(1),
                                                           c.needs(2), s, centred);
                  if (c.needs(0)) c.set(0, made.x);
                  if (c.needs(1)) c.set(1, cast(made.weight, w.dtype()));
                  if (c.needs(2)) c.set(2, made.bias);
                },
                {keep(x_), keep(means), keep(rstd), keep(w_)});
}

// Weight and bias have the dtype of x, or are float32 for a half x.
void check_dtypes(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  for (const Tensor* t : {&weight, &bias}) {
    if (!*t || t->dtype() == x.dtype()) continue;
    const char* told = t == &weight ? " and weight " : " and bias ";
    check(t->dtype() == DType::f32, "mixed dtype (CPU): expect parameter to have scalar type of Float\nx is ",
          x.dtype(), told, t->dtype(), ".");
    check(is_half(x.dtype()), "mixed dtype (CPU): all inputs must share same datatype.\nx is ", x.dtype(), told,
          t->dtype(), "; convert one of them with .to(…).");
  }
}

Rows rows_of(const Tensor& x, Ints shape, const Tensor& w, const Tensor& b, const char* op) {
  check(!shape.empty(),
        "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
        "but got normalized_shape = []");
  check(!w || w.shape() == Dims(shape),
        "Expected weight to be of same shape as normalized_shape, but got weight of shape ",
        w ? Ints(w.shape()) : Ints(), " and normalized_shape = ", shape);
  check(!b || b.shape() == Dims(shape), "Expected bias to be of same shape as normalized_shape, but got bias of shape ",
        b ? Ints(b.shape()) : Ints(), " and normalized_shape = ", shape);
  const int lead = x.dims() - static_cast<int>(shape.size());
  bool fits = lead >= 0;
  for (size_t i = 0; fits && i < shape.size(); ++i) fits = x.shape()[lead + i] == shape[i];
  if (!fits) {
    std::string stars = "[*";
    for (int64_t n : shape) stars += str(", ", n);
    fail("Given normalized_shape=", shape, ", expected input with shape ", stars, "], but got input of size",
         Ints(x.shape()));
  }
  check(is_floating(x.dtype()), ErrorKind::not_implemented, "\"", op, "\" not implemented for '",
        legacy_name(x.dtype()), "'");
  Rows s;
  for (int i = 0; i < lead; ++i) s.rows *= x.shape()[i];
  for (int i = lead; i < x.dims(); ++i) {
    s.n *= x.shape()[i];
    s.last.push_back(i);
  }
  return s;
}

}  // namespace

static Tensor layer_norm(const Tensor& x, Ints shape, const Tensor& weight, const Tensor& bias, double eps, bool) {
  check_dtypes(x, weight, bias);
  const Rows s = rows_of(x, shape, weight, bias, "LayerNormKernelImpl");
  return norm_rows("NativeLayerNormBackward0", x, weight, bias, s, eps, true);
}
OPERATION(
    "layer_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, "
    "bool cudnn_enable=True) -> Tensor",
    layer_norm,
    "The last dimensions shifted and scaled to mean 0 and variance 1, then times weight plus bias (Ba et al. "
    "2016, arXiv:1607.06450).",
    {.method = false})

static Tensor rms_norm(const Tensor& x, Ints shape, const Tensor& weight, std::optional<double> eps) {
  const Rows s = rows_of(x, shape, weight, Tensor(), "rms_norm");
  const bool wide = x.dtype() == DType::f64;
  const double e =
      eps.value_or(wide ? std::numeric_limits<double>::epsilon() : double(std::numeric_limits<float>::epsilon()));
  return norm_rows("FusedRmsNormBackward0", x, weight, Tensor(), s, e, false);
}
OPERATION("rms_norm(Tensor input, int[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor", rms_norm,
          "The last dimensions divided by their root mean square, then times weight (Zhang and Sennrich 2019, "
          "arXiv:1910.07467).",
          {.method = false})

static Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps, bool) {
  check(x.dims() >= 2, "Expected at least 2 dimensions for input tensor but received ", x.dims());
  const int64_t channels = x.shape()[1];
  check(groups > 0 && channels % groups == 0,
        "Expected number of channels in input to be divisible by num_groups, but "
        "got input of shape ",
        Ints(x.shape()), " and num_groups=", groups);
  for (const Tensor* t : {&weight, &bias}) {
    check(!*t || (t->dims() == 1 && t->numel() == channels), "Expected ", t == &weight ? "weight" : "bias",
          " to be a vector of size equal to the number of channels in input, but got ",
          t == &weight ? "weight" : "bias", " of shape ", *t ? Ints(t->shape()) : Ints(), " and input of shape ",
          Ints(x.shape()));
  }
  check_dtypes(x, weight, bias);
  check(is_floating(x.dtype()), ErrorKind::not_implemented, "\"GroupNormKernelImpl\" not implemented for '",
        legacy_name(x.dtype()), "'");
  Tensor y = x;
  if (x.numel() > 0) {
    Rows s;
    s.rows = x.shape()[0] * groups;
    s.n = x.numel() / s.rows;
    s.last = {1};
    const int64_t shape[] = {s.rows, s.n};
    y = reshape(norm_rows("NativeGroupNormBackward0", reshape(x, shape), Tensor(), Tensor(), s, eps, true), x.shape());
  }
  Dims along(x.dims(), 1);
  along[1] = channels;
  if (weight) y = y * reshape(weight, along);
  if (bias) y = y + reshape(bias, along);
  return cast(y, x.dtype());
}
OPERATION(
    "group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1e-05, "
    "bool cudnn_enabled=True) -> Tensor",
    group_norm,
    "Each group of channels of each item of (N, C, ...) shifted and scaled to mean 0 and variance 1, then times "
    "weight plus bias by channel (Wu and He 2018, arXiv:1803.08494).",
    {.method = false})

// ---- cross-entropy --------------------------------------------------------------------------------------------------

namespace {

enum : int64_t { reduction_none = 0, reduction_mean = 1, reduction_sum = 2 };

// How many targets are not ignored; fails if one of them is no class.
int64_t count_targets(const Tensor& target, int64_t classes, int64_t ignored) {
  const int64_t* wanted = target.data<int64_t>();
  int64_t known = 0;
  for (int64_t r = 0; r < target.numel(); ++r) {
    if (wanted[r] == ignored) continue;
    ++known;
    check(wanted[r] >= 0 && wanted[r] < classes, ErrorKind::index, "Target ", wanted[r], " is out of bounds.");
  }
  return known;
}

Tensor cross_entropy_backward(const Tensor& g, const Tensor& x_, const Tensor& target, const Tensor& lse, double count,
                              int64_t reduction, int64_t ignored) {
  const int64_t rows = x_.shape()[0], n = x_.shape()[1];
  const DType dtype = lse.dtype();
  const Tensor x = dense(cast_data(x_, dtype)), gs = dense(cast_data(g, dtype));
  Tensor dx = empty(x.shape(), dtype);
  const int f = float_index(dtype);
  const auto kernel = cpu::row_kernels().exp_scaled[f];
  if (without_elements(dx)) return cast_data(dx, x_.dtype());
  count_targets(target, n, ignored);  // their memory may have been changed since
  const int64_t* wanted = target.data<int64_t>();
  dispatch(dtype, "nll_loss", [&]<class T>() {
    if constexpr (std::is_floating_point_v<T>) {
      const T *from = x.data<T>(), *gp = gs.data<T>(), *lp = lse.data<T>();
      T* to = dx.data<T>();
      for_rows(rows, n, [&](int64_t r) {
        const bool skipped = wanted[r] == ignored;
        const T scale = skipped                       ? T(0)
                        : reduction == reduction_none ? gp[r]
                        : reduction == reduction_mean ? static_cast<T>(gp[0] / count)
                                                      : gp[0];
        if (skipped) return static_cast<void>(std::fill_n(to + r * n, n, T(0)));
        kernel(n, from + r * n, lp + r, &scale, nullptr, to + r * n);
        to[r * n + wanted[r]] -= scale;
      });
    }
  });
  return cast_data(dx, x_.dtype());
}
// The same on tensors, for derivatives of it.
Tensor cross_entropy_backward_recorded(const Tensor& g, const Tensor& x, const Tensor& target, double count,
                                       int64_t reduction, int64_t ignored) {
  const int64_t column[] = {target.numel(), 1};
  const Tensor known = reshape(target != double(ignored), column);
  const Tensor safe = empty(column, DType::i64);
  count_targets(target, x.shape()[1], ignored);
  for (int64_t i = 0; i < target.numel(); ++i) {
    safe.data<int64_t>()[i] = target.data<int64_t>()[i] == ignored ? 0 : target.data<int64_t>()[i];
  }
  const Tensor hot = put_along(zeros(column, x.dtype()) + 1.0, 1, safe, x.shape()[1]);
  Tensor scale = reduction == reduction_mean ? g / count : g;
  if (reduction == reduction_none) scale = reshape(scale, column);
  return select(known, (softmax(x, 1) - hot) * scale, zeros({}, x.dtype()));
}

}  // namespace

static Tensor cross_entropy(const Tensor& x_, const Tensor& target_, int64_t reduction, int64_t ignored) {
  check(x_.dims() == 2 && target_.dims() == 1 && x_.shape()[0] == target_.shape()[0],
        "_cross_entropy: expected input (N, C) and target (N), got ", Ints(x_.shape()), " and ", Ints(target_.shape()));
  check(is_floating(x_.dtype()), ErrorKind::not_implemented,
        "\"log_softmax_lastdim_kernel_impl\" not implemented for '", legacy_name(x_.dtype()), "'");
  check(target_.dtype() == DType::i64, "expected scalar type Long but found ", legacy_name(target_.dtype()));
  const int64_t rows = x_.shape()[0], n = x_.shape()[1];
  const DType dtype = compute_dtype(x_.dtype());
  const Tensor x = dense(cast_data(x_, dtype)), target = dense(target_);
  const Tensor lse = empty(Ints(&rows, 1), dtype), losses = empty(Ints(&rows, 1), dtype);
  const bool meta = without_elements(losses);
  const int64_t* wanted = meta ? nullptr : target.data<int64_t>();
  const int64_t known = meta ? 0 : count_targets(target, n, ignored);
  const auto kernel = cpu::row_kernels().logsumexp[float_index(dtype)];
  dispatch(dtype, "nll_loss", [&]<class T>() {
    if (meta) return;
    if constexpr (std::is_floating_point_v<T>) {
      const T* from = x.data<T>();
      T *lp = lse.data<T>(), *to = losses.data<T>();
      for_rows(rows, n, [&](int64_t r) {
        kernel(n, from + r * n, lp + r);
        to[r] = wanted[r] == ignored ? T(0) : lp[r] - from[r * n + wanted[r]];
      });
    }
  });
  Tensor out = losses;
  if (reduction != reduction_none) {
    out = reduce_data(Monoid::sum, losses, Reduced(losses, std::nullopt, false));
    if (reduction == reduction_mean && !meta) {
      if (dtype == DType::f64)
        *out.data<double>() /= double(known);
      else
        *out.data<float>() /= float(known);
    }
  }
  return record("NllLossBackward0", {&x_}, cast_data(out, x_.dtype()),
                [reduction, ignored, count = double(known)](BackwardCall& c) {
                  const Tensor g = c.grad(), x = c.saved(0), target = dense(c.saved(1));
                  c.set(0, recording({&g, &x})
                               ? cross_entropy_backward_recorded(g, x, target, count, reduction, ignored)
                               : cross_entropy_backward(g, x, target, c.saved(2), count, reduction, ignored));
                },
                {keep(x_), keep(target_), keep(lse)});
}
OPERATION("_cross_entropy(Tensor self, Tensor target, int reduction=1, int ignore_index=-100) -> Tensor", cross_entropy,
          "Cross-entropy of logits self (N, C) and class indices target (N), without the log-softmax in memory. "
          "reduction: 0 each, 1 mean over targets that are not ignore_index, 2 sum.",
          {.method = false, .autocast = Autocast::float32})

// ---- negative log-likelihood ----------------------------------------------------------------------------------------

static Tensor nll(const Tensor& x_, const Tensor& target_, int64_t reduction, int64_t ignored) {
  check(x_.dims() == 2 && target_.dims() == 1 && x_.shape()[0] == target_.shape()[0],
        "_nll: expected log-probabilities (N, C) and target (N), got ", Ints(x_.shape()), " and ",
        Ints(target_.shape()));
  check(is_floating(x_.dtype()) && target_.dtype() == DType::i64, ErrorKind::not_implemented,
        "\"nll_loss_out_frame\" not implemented for '", legacy_name(x_.dtype()), "'");
  const int64_t rows = x_.shape()[0], n = x_.shape()[1];
  const DType dtype = compute_dtype(x_.dtype());
  const Tensor target = dense(target_), losses = empty(Ints(&rows, 1), dtype);
  const Tensor x = dense(cast_data(x_, dtype));
  const int64_t* wanted = target.data<int64_t>();
  int64_t known = 0;
  dispatch(dtype, "nll_loss", [&]<class T>() {
    if constexpr (std::is_floating_point_v<T>) {
      const T* from = x.data<T>();
      T* to = losses.data<T>();
      for (int64_t r = 0; r < rows; ++r) {
        if (wanted[r] == ignored) {
          to[r] = 0;
          continue;
        }
        check(wanted[r] >= 0 && wanted[r] < n, ErrorKind::index, "Target ", wanted[r], " is out of bounds.\nThere are ",
              n, " classes, numbered from 0.");
        to[r] = -from[r * n + wanted[r]];
        ++known;
      }
    }
  });
  Tensor out = losses;
  if (reduction != reduction_none) out = reduce_data(Monoid::sum, losses, Reduced(losses, std::nullopt, false));
  if (reduction == reduction_mean) out = out / double(known);
  return record("NllLossBackward0", {&x_}, cast_data(out, x_.dtype()),
                [rows, n, reduction, ignored, known, type = x_.dtype()](BackwardCall& c) {
                  // Linear in x: the gradient's own derivative is that of these operations.
                  const int64_t column[] = {rows, 1};
                  const Tensor target = dense(c.saved(0));
                  const Tensor at = empty(column, DType::i64);
                  bool all = true;
                  for (int64_t r = 0; r < rows; ++r) {
                    const int64_t t = target.data<int64_t>()[r];
                    at.data<int64_t>()[r] = t == ignored ? 0 : t;
                    all = all && t != ignored;
                  }
                  Tensor g = c.grad();
                  if (reduction == reduction_none) g = reshape(g, column);
                  if (reduction == reduction_mean) g = g / double(std::max<int64_t>(known, 1));
                  Tensor values = g * -1.0;
                  if (values.dims() == 0) values = expand(values, column);
                  if (!all) values = select(reshape(target != double(ignored), column), values, zeros({}, type));
                  c.set(0, put_along(values, 1, at, n));
                },
                {keep(target_)});
}
OPERATION("_nll(Tensor self, Tensor target, int reduction=1, int ignore_index=-100) -> Tensor", nll,
          "Minus the log-probability self (N, C) of each target class (N). reduction: 0 each, 1 mean over targets that "
          "are not ignore_index, 2 sum.",
          {.method = false})

}  // namespace bulssi
