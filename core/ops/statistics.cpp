// Variance, norms and distances.
#include <cmath>

#include "core/op/tensor_math.h"
#include "core/ops/matmul.h"
#include "core/ops/linalg.h"
#include "core/ops/reduce.h"

namespace bulssi {

using cpu::Monoid;

// ---- variance -----------------------------------------------------------------------------------------------------

namespace {

using OptDims = std::optional<Ints>;
using OptScalar = std::optional<Scalar>;

struct Variance {
  Tensor mean, variance;  // in the compute dtype, with r.result_shape
};
// Equal numbers have no variance, but their mean is rounded, and rounding is what is left of them then: PyTorch, which
// goes through the numbers once with a running mean, gives zeros (but not where everything becomes one result).
bool any_noise(const Tensor& squares, const Tensor& mean) {
  if (mean.dtype() != DType::f64) return false;  // of float, needs_double() looks after that
  const double *s = squares.data<double>(), *m = mean.data<double>();
  bool found = false;
  for (int64_t i = 0; i < mean.numel(); ++i) found |= s[i] > 0 && s[i] <= 1e-24 * m[i] * m[i];
  return found;
}
void clear_of_equal(const Tensor& x, const Reduced& r, const Tensor& squares) {
  const Tensor low = reduce_data(Monoid::minimum, x, r), high = reduce_data(Monoid::maximum, x, r);
  for (int64_t i = 0; i < squares.numel(); ++i) {
    if (low.data<double>()[i] == high.data<double>()[i]) squares.data<double>()[i] = 0;
  }
}
Variance variance_of(const Tensor& x, const Reduced& r, double correction) {
  Tensor mean = reduce_data(Monoid::sum, x, r);
  if (without_elements(x)) return {mean, empty_like(mean)};
  dispatch(x.dtype(), "mean", [&]<class T>() {
    T* p = mean.data<T>();
    for (int64_t i = 0; i < mean.numel(); ++i) p[i] = convert<T>(p[i] / static_cast<T>(r.count));
  });
  Tensor squares = reduce_data(Monoid::squares, x, r, mean);
  if (mean.numel() > 1 && any_noise(squares, mean)) clear_of_equal(x, r, squares);
  dispatch(x.dtype(), "var", [&]<class T>() {
    T* p = squares.data<T>();
    const double divisor = std::max(0.0, double(r.count) - correction);
    for (int64_t i = 0; i < squares.numel(); ++i) {
      p[i] = convert<T>(r.count == 0 ? NAN : static_cast<double>(p[i]) / divisor);
    }
  });
  return {mean, squares};
}
// Is the rounding of float a part of the variance that matters? Squares may also be too large for it.
bool needs_double(const Variance& v) {
  if (v.mean.dtype() != DType::f32 || without_elements(v.mean)) return false;
  const float *mean = v.mean.data<float>(), *variance = v.variance.data<float>();
  bool found = false;
  for (int64_t i = 0; i < v.mean.numel(); ++i) {
    found |= !(double(variance[i]) >= 1e-6 * double(mean[i]) * double(mean[i])) || std::isinf(variance[i]);
  }
  return found;
}
Variance variance_data(const Tensor& t, const Reduced& r, double correction) {
  const Variance v = variance_of(in_compute(t), r, correction);
  return needs_double(v) ? variance_of(cast_data(t, DType::f64), r, correction) : v;
}
void sqrt_data(const Tensor& t) {
  if (without_elements(t)) return;
  dispatch(t.dtype(), "std", [&]<class T>() {
    T* p = t.data<T>();
    for (int64_t i = 0; i < t.numel(); ++i) p[i] = convert<T>(std::sqrt(static_cast<double>(p[i])));
  });
}
// `whole`: no dimensions were named.
Tensor var_backward(const Tensor& g, const Tensor& x, const Dims& kept, const Dims& gone, double n, double correction,
                    bool whole) {
  if (whole && n <= correction)
    return restored(g, kept) * select(x == mean(x, Ints(gone), true), full({}, Scalar(NAN), x.dtype()),
                                      full({}, Scalar(INFINITY), x.dtype()));
  const Tensor centred = x - mean(x, Ints(gone), true);
  return restored(g, kept) * (2.0 / (n - correction)) * centred;
}
Dims gone_dims(const Tensor& t, const Reduced& r) {
  Dims gone;
  for (int i = 0; i < t.dims(); ++i) {
    if (r.gone >> i & 1) gone.push_back(i);
  }
  return gone;
}
void check_variance(const Tensor& t, const Reduced& r, double correction, const char* name) {
  check(is_differentiable(t.dtype()), name, " only support floating point and complex dtypes");
  if (double(r.count) - correction <= 0) {
    warn("UserWarning", str(name,
                            "(): degrees of freedom is <= 0. Correction should be strictly less than the "
                            "reduction factor (input numel divided by output numel)."));
  }
}

template <bool root>
Tensor spread_of(const Tensor& t, OptDims dims, double correction, bool keepdim) {
  const Reduced r(t, dims, keepdim);
  check(is_differentiable(t.dtype()), "std and var only support floating point and complex dtypes");
  check_variance(t, r, correction, root ? "std" : "var");
  Tensor v = variance_data(t, r, correction).variance;
  if (root) sqrt_data(v);
  Tensor out = cast_data(v, t.dtype());
  if (!recording(t)) return out;
  const double n = double(r.count);
  const bool whole = !dims || t.dims() == 0;
  if constexpr (root) {
    return record("StdBackward0", {&t}, out,
                  [kept = r.kept_shape(t), gone = gone_dims(t, r), n, correction, whole](BackwardCall& c) {
                    const Tensor y = c.saved(1);
                    const Tensor g = select(y == 0.0, zeros_like(y), c.grad() / (y * 2.0));
                    c.set(0, var_backward(g, c.saved(0), kept, gone, n, correction, whole));
                  },
                  {keep(t), result(out)});
  } else {
    return record("VarBackward0", {&t}, out,
                  [kept = r.kept_shape(t), gone = gone_dims(t, r), n, correction, whole](BackwardCall& c) {
                    c.set(0, var_backward(c.grad(), c.saved(0), kept, gone, n, correction, whole));
                  },
                  {keep(t)});
  }
}
template <bool root>
std::tuple<Tensor, Tensor> spread_and_mean(const Tensor& t, OptDims dims, double correction, bool keepdim) {
  const Reduced r(t, dims, keepdim);
  check_variance(t, r, correction, root ? "std_mean" : "var_mean");
  const Variance v = variance_data(t, r, correction);
  if (root) sqrt_data(v.variance);
  Tensor first = cast_data(v.variance, t.dtype()), second = cast_data(v.mean, t.dtype());
  const double n = double(r.count);
  const bool whole = !dims || t.dims() == 0;
  record_all(root ? "StdMeanBackward0" : "VarMeanBackward0", {&t}, {first, second},
             [kept = r.kept_shape(t), gone = gone_dims(t, r), n, correction, whole](BackwardCall& c) {
               const Tensor x = c.saved(0);
               Tensor total;
               if (c.grad(0)) {
                 Tensor g = c.grad(0);
                 if constexpr (root) {
                   const Tensor y = c.saved(1);
                   g = select(y == 0.0, zeros_like(y), g / (y * 2.0));
                 }
                 total = var_backward(g, x, kept, gone, n, correction, whole);
               }
               if (c.grad(1)) {
                 const Tensor g = expand(restored(c.grad(1) / n, kept), x.shape());
                 total = total ? total + g : g;
               }
               c.set(0, total);
             },
             {keep(t), result(first)});
  return {first, second};
}

double correction_of(OptScalar given) { return given ? given->as_double() : 1.0; }

}  // namespace

#define BULSSI_SPREAD(name, function, results, text, ...)                                                          \
  OPERATION(name "(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> " results,                 \
            (+[](const Tensor& t, OptDims dims, bool unbiased, bool keepdim) {                                     \
              return function(t, dims, unbiased, keepdim);                                                         \
            }),                                                                                                    \
            text " over the dimensions dim, with Bessel's correction if unbiased.", {__VA_ARGS__})                 \
  OPERATION(name "(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> " results,    \
            (+[](const Tensor& t, OptDims dims, OptScalar correction, bool keepdim) {                              \
              return function(t, dims, correction_of(correction), keepdim);                                        \
            }),                                                                                                    \
            text " over the dimensions dim; squares are divided by the count less correction (1).", {__VA_ARGS__}) \
  OPERATION(name "(Tensor self, bool unbiased) -> " results,                                                       \
            (+[](const Tensor& t, bool unbiased) { return function(t, std::nullopt, unbiased, false); }),          \
            text " of all elements, with Bessel's correction if unbiased.",                                        \
            {.method = std::string_view(results) == "Tensor"})
BULSSI_SPREAD("var", spread_of<false>, "Tensor", "Variance", .out = true, .out_dtype = Traits::Out::converted)
BULSSI_SPREAD("std", spread_of<true>, "Tensor", "Standard deviation", .out = true, .out_dtype = Traits::Out::converted)
BULSSI_SPREAD("var_mean", spread_and_mean<false>, "(Tensor, Tensor)", "Variance and mean", .method = false)
BULSSI_SPREAD("std_mean", spread_and_mean<true>, "(Tensor, Tensor)", "Standard deviation and mean", .method = false)
#undef BULSSI_SPREAD

// ---- norms --------------------------------------------------------------------------------------------------------

namespace {

Tensor power(const Tensor& t, double p) { return Tensor::apply<PowScalar>(t, p); }

Tensor norm_backward(const Tensor& grad, const Tensor& x, const Tensor& result, double p, const Dims& kept,
                     const Dims& gone) {
  const Tensor g = restored(grad, kept), n = restored(result, kept);
  if (p == 1) return sgn(x) * g;
  if (p == 2) return select(n == 0.0, zeros({}, x.dtype()), x * (g / n));
  if (std::isinf(p)) {
    const Tensor size = abs(x);
    const Tensor mask = (size == n) | (size != size);
    return select(mask, sgn(x) * (g / cast(sum(mask, Ints(gone), true, std::nullopt), x.dtype())), g * 0.0);
  }
  const Tensor zero = zeros({}, x.dtype());
  if (p < 1) {
    const Tensor size = select(x == 0.0, zero, power(select(x == 0.0, 1.0, abs(x)), p - 1));
    return sgn(x) * size * (g * power(n, 1 - p));
  }
  const Tensor scale = select(n == 0.0, zero, g / power(select(n == 0.0, 1.0, n), p - 1));
  if (p < 2) return sgn(x) * select(x == 0.0, zero, power(select(x == 0.0, 1.0, abs(x)), p - 1)) * scale;
  return x * power(abs(x), p - 2) * scale;
}

Tensor norm_data(const Tensor& in, double p, const Reduced& r) {
  const Tensor x = in_compute(in);
  GradMode off(false);
  if (p == 0) return cast_data(reduce_data(Monoid::sum, cast_data(x != 0.0, x.dtype()), r), in.dtype());
  if (p == 1) return cast_data(reduce_data(Monoid::absolutes, x, r), in.dtype());
  if (std::isinf(p)) return cast_data(reduce_data(p > 0 ? Monoid::max_abs : Monoid::min_abs, x, r), in.dtype());
  if (p == 2) {
    Tensor total = reduce_data(Monoid::squares, x, r);
    sqrt_data(total);
    return cast_data(total, in.dtype());
  }
  const Tensor total = reduce_data(Monoid::powers, x, r, full({}, Scalar(p), x.dtype()));
  return cast_data(power(total, 1 / p), in.dtype());
}

}  // namespace

Tensor vector_norm(const Tensor& t, double p, OptDims dims, bool keepdim, std::optional<DType> dtype) {
  check(is_differentiable(t.dtype()), "linalg.vector_norm: Expected a floating point or complex tensor as input. Got ",
        legacy_name(t.dtype()));
  if (dtype) {
    check(is_differentiable(*dtype), "linalg.vector_norm: dtype should be floating point or complex, but got ",
          legacy_name(*dtype));
    check(promote(t.dtype(), *dtype) == *dtype, "linalg.vector_norm: the dtype of the input (", legacy_name(t.dtype()),
          ") should be convertible without narrowing to the specified dtype (", legacy_name(*dtype), ")");
  }
  const Tensor in = cast(t, dtype.value_or(t.dtype()));
  const Reduced r(in, dims, keepdim);
  if (in.numel() == 0 && (p < 0 || std::isinf(p))) {
    const char* why = " because the operation does not have an identity";
    check(!r.all, "linalg.vector_norm cannot compute the ", p, " norm on an empty tensor", why);
    for (int i = 0; i < in.dims(); ++i) {
      check(!(r.gone >> i & 1) || in.shape()[i] != 0, "linalg.vector_norm cannot compute the ", p,
            " norm on the dimension ", i,
            "because this dimension is empty and the operation does not have an identity");
    }
  }
  Tensor out = norm_data(in, p, r);
  if (!recording(in)) return out;
  return record("LinalgVectorNormBackward0", {&in}, out,
                [p, kept = r.kept_shape(in), gone = gone_dims(in, r)](BackwardCall& c) {
                  if (p != 0) c.set(0, norm_backward(c.grad(), c.saved(0), c.saved(1), p, kept, gone));
                },
                {keep(in), result(out)});
}
OPERATION(
    "vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, "
    "ScalarType? dtype=None) -> Tensor",
    (+[](const Tensor& t, Scalar ord, OptDims dims, bool keepdim, std::optional<DType> dtype) {
      return vector_norm(t, ord.as_double(), dims, keepdim, dtype);
    }),
    "The ord-norm of vectors along the dimensions dim (of all elements for None).",
    {.method = false, .out = true, .module = "linalg", .out_dtype = Traits::Out::exact})
OPERATION("norm(Tensor self, Scalar? p=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
          (+[](const Tensor& t, OptScalar p, OptDims dims, bool keepdim, std::optional<DType> dtype) {
            return vector_norm(t, p ? p->as_double() : 2.0, dims, keepdim, dtype);
          }),
          "The p-norm over the dimensions dim (of all elements for None).",
          {.out = true, .out_dtype = Traits::Out::exact})
OPERATION("norm(Tensor self, str p, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
          (+[](const Tensor& t, std::string_view p, OptDims dims, bool keepdim, std::optional<DType> dtype) {
            if (p != "fro") {
              Dims every;
              for (int64_t i = 0; i < t.dims(); ++i) every.push_back(i);
              return matrix_norm(t, p, dims.value_or(every), keepdim, dtype);
            }
            return vector_norm(t, 2, dims, keepdim, dtype);
          }),
          "The Frobenius norm over the dimensions dim, or for 'nuc' the nuclear norm of the matrices in two.",
          {.out = true, .out_dtype = Traits::Out::exact})

// Rows of t are variables, columns observations.
static Tensor cov(const Tensor& t, int64_t correction, const Tensor& fweights, const Tensor& aweights) {
  check(t.dims() <= 2, "cov(): expected input to have two or fewer dimensions but got an input with ", t.dims(),
        " dimensions");
  check(t.dtype() != DType::boolean, "cov(): bool dtype is not supported for input");
  Tensor x = is_floating(t.dtype()) ? t : cast(t, default_dtype());
  if (x.dims() < 2) x = reshape(x, Dims{1, x.numel()});
  const int64_t n = x.shape()[1], along = 1;
  Tensor w;
  for (const Tensor* given : {&fweights, &aweights}) {
    if (!*given) continue;
    const char* name = given == &fweights ? "fweights" : "aweights";
    check(given->dims() <= 1, "cov(): expected ", name, " to have one or fewer dimensions but got ", name, " with ",
          given->dims(), " dimensions");
    check(given->numel() == n, "cov(): expected ", name,
          " to have the same numel as there are observations in the "
          "input but got ",
          given->numel(), " != ", n);
    check((given == &fweights) == is_integral(given->dtype()), "cov(): expected ", name, " to have ",
          given == &fweights ? "integral" : "floating point", " dtype but got ", name, " with ",
          legacy_name(given->dtype()), " dtype");
    const Tensor part = cast(*given, x.dtype());
    if (n > 0) {
      const Tensor least = reduce_data(Monoid::minimum, in_compute(part), Reduced(part, std::nullopt, false));
      check(!(item_data(least).as_double() < 0), "cov(): ", name, " cannot be negative");
    }
    w = w ? w * part : part;
  }
  const Tensor total = w ? sum(w, std::nullopt, false, std::nullopt) : full({}, Scalar(double(n)), x.dtype());
  const std::optional<Ints> columns = Ints(&along, 1);
  const Tensor centre = unsqueeze(sum(w ? x * w : x, columns, false, std::nullopt) / total, 1);
  Tensor freedom = total - double(correction);
  if (w && aweights && correction != 0) {
    freedom =
        total - sum(w * cast(aweights, x.dtype()), std::nullopt, false, std::nullopt) / total * double(correction);
  }
  if (item_data(in_compute(freedom)).as_double() <= 0) {
    warn("UserWarning",
         "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of "
         "observations.");
    freedom = zeros({}, x.dtype());
  }
  const Tensor d = x - centre;
  const Tensor weighted = w ? d * w : d, across = mT(weighted);
  show_as(across, "TBackward0", Tensors(&weighted, 1));
  const Tensor whole = mm(d, across) / freedom;
  const Tensor made = reshape(whole, whole.numel() == 1 ? Dims{} : whole.shape());
  show_as(made, "SqueezeBackward0", Tensors(&whole, 1));
  return made;
}
OPERATION("cov(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor", cov,
          "Covariances of the rows of self, whose columns are observations, counted fweights times and weighted by "
          "aweights.",
          {.kind = OpKind::composite, .autocast = Autocast::lower})

static Tensor corrcoef(const Tensor& t) {
  check(t.dims() <= 2, "corrcoef(): expected input to have two or fewer dimensions but got an input with ", t.dims(),
        " dimensions");
  const Tensor c = cov(t, 1, Tensor(), Tensor());
  if (c.dims() == 0) return c / c;
  const Tensor deviation = sqrt(diagonal_view(c));
  const Tensor r = c / unsqueeze(deviation, 1) / unsqueeze(deviation, 0);
  return Tensor::apply<ClampScalars>(r, -1.0, 1.0);
}
OPERATION("corrcoef(Tensor self) -> Tensor", corrcoef,
          "Correlation coefficients of the rows of self, whose columns are observations.", {.kind = OpKind::composite})

static Tensor dist(const Tensor& a, const Tensor& b, Scalar p) {
  return vector_norm(a - b, p.as_double(), std::nullopt, false);
}
OPERATION("dist(Tensor self, Tensor other, Scalar p=2) -> Tensor", dist, "The p-norm of self - other.",
          {.kind = OpKind::composite, .shown = "DistBackward0"})

// Slices along dim with a p-norm above maxnorm are scaled down to it.
static Tensor renorm(const Tensor& t, Scalar p, int64_t dim, Scalar maxnorm) {
  check(p.as_double() > 0, "renorm: non-positive-norm not supported");
  check(t.dims() > 1, "renorm: input needs at least 2 dimensions, got ", t.dims(), " dimensions");
  check(maxnorm.as_double() >= 0, "renorm: expected maxnorm to be >= 0 but got ", maxnorm.as_double());
  const int d = wrap_dim(dim, t.dims());
  Dims others;
  for (int i = 0; i < t.dims(); ++i) {
    if (i != d) others.push_back(i);
  }
  const Tensor norms = vector_norm(t, p.as_double(), Ints(others), true);
  const double most = maxnorm.as_double();
  const Tensor factor = select(norms > most, most / (norms + 1e-7), zeros_like(norms) + 1.0);
  return contiguous(t) * factor;
}
OPERATION("renorm(Tensor self, Scalar p, int dim, Scalar maxnorm) -> Tensor", renorm,
          "Slices along dim whose p-norm exceeds maxnorm are scaled down to it.",
          {.kind = OpKind::composite,
           .inplace = true,
           .out = true,
           .out_dtype = Traits::Out::exact,
           .shown = "RenormBackward0"})

}  // namespace bulssi
