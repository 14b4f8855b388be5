// Operations that choose between formulas or are written with them.
#include <cmath>
#include <limits>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/index.h"

namespace bulssi {

// ---- what formulas cannot say about their attributes ----------------------------------------------------------------

void check_hardtanh(DType dtype, const Scalar* bounds) {
  check(dtype != DType::u8 || (bounds[0].as_double() >= 0 && bounds[1].as_double() >= 0),
        "cannot do hardtanh on an unsigned type with negative limits");
}
void check_celu(DType, const Scalar* alpha) {
  check(alpha->as_double() != 0, "ZeroDivisionError: alpha cannot be 0 for CELU");
}
void check_softshrink(DType dtype, const Scalar* lambd) {
  const double most = largest(dtype);
  char shown[24];
  std::snprintf(shown, sizeof shown, "%g", most);
  check(lambd->as_double() >= 0 && lambd->as_double() <= most, "lambda must be in range [0, ", shown,
        "] for input dtype ", legacy_name(dtype), ", but found ", *lambd);
}

// ---- … and about the dtypes of their arguments ----------------------------------------------------------------------

void check_lerp(const Operand* a) {
  check(a[0].dtype() == a[1].dtype(), "expected dtype ", c_name(a[0].dtype()), " for `end` but got dtype ",
        c_name(a[1].dtype()));
}
void check_lerp_tensor(const Operand* a) {
  check_lerp(a);
  const bool number = !a[2].tensor || a[2].tensor->dims() == 0;
  check(number || a[0].dtype() == a[2].dtype(), "expected dtype ", c_name(a[0].dtype()), " for `weight` but got dtype ",
        c_name(a[2].dtype()));
}
void check_addcdiv(const Operand* a) {
  check(is_floating(a[1].dtype()) || is_floating(a[2].dtype()),
        "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true "
        "division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value * "
        "torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / tensor2) "
        "for float inputs. The future addcdiv behavior is just the latter implementation: (input + value * tensor1 / "
        "tensor2), for all dtypes.");
}
void check_heaviside(const Operand* a) {
  check(a[0].dtype() == a[1].dtype(), "heaviside is not yet implemented for tensors with different dtypes.");
}
void check_where(const Operand* a) {
  const DType condition = a[0].dtype();
  check(condition == DType::boolean || condition == DType::u8,
        "where expected condition to be a boolean tensor, but got a tensor with dtype ", legacy_name(condition));
  for (const Operand* value : {a + 1, a + 2}) {
    if (!value->tensor && value->number.kind == Scalar::Kind::floating) check_fits(value->number, default_dtype());
  }
}

namespace {

// Integers and bools as the default floating type.
Tensor in_floating(const Tensor& t) { return is_floating(t.dtype()) ? t : cast(t, default_dtype()); }

// ---- powers ---------------------------------------------------------------------------------------------------------

Tensor pow_number(const Tensor& self, Scalar p) {
  const bool whole = !is_floating(self.dtype()) && p.integral();
  check(!(whole && p.i < 0), "Integers to negative integer powers are not allowed.");
  const double e = p.as_double();
  const bool direct = is_floating(self.dtype()) || (whole && self.dtype() != DType::boolean);
  if (e == 2 && direct) return Fn<Square>{}(self);
  if (e == 3 && direct) return Fn<Cube>{}(self);
  if (whole) {
    check_fits(p, self.dtype());
    const Operand list[] = {self, p};
    return call_formula(formulas[index_of<PowTensor>], list, nullptr);
  }
  const Tensor base = in_floating(self);
  if (e == 0.5) return Fn<RootPower>{}(base);
  if (e == -1) return Fn<InversePower>{}(base);
  if (e == -0.5) return Fn<InverseRootPower>{}(base);
  const Operand list[] = {base};
  return call_formula(formulas[index_of<PowScalar>], list, &p);
}
Tensor pow_tensors(const Operand& a, const Operand& b) {
  const Operand list[] = {a, b};
  check(a.dtype() != DType::boolean || b.dtype() != DType::boolean, ErrorKind::not_implemented,
        "\"pow\" not implemented for 'Bool'");
  return call_formula(formulas[index_of<PowTensor>], list, nullptr);
}
OPERATION("pow(Tensor self, Tensor exponent) -> Tensor",
          (+[](const Tensor& a, const Tensor& b) { return pow_tensors(a, b); }), "self to the power of exponent.",
          {.kind = OpKind::composite, .inplace = true, .out = true})
OPERATION("pow(Tensor self, Scalar exponent) -> Tensor", pow_number, "self to the power of a number.",
          {.kind = OpKind::composite, .inplace = true, .out = true})
OPERATION("pow(Scalar self, Tensor exponent) -> Tensor", (+[](Scalar a, const Tensor& b) { return pow_tensors(a, b); }),
          "A number to the power of exponent.", {.kind = OpKind::composite, .method = false, .out = true})
OPERATION("square(Tensor self) -> Tensor", (+[](const Tensor& t) { return pow_number(t, Scalar(2)); }), "self * self.",
          {.kind = OpKind::composite, .inplace = true, .out = true})
OPERATION("float_power(Tensor self, Scalar exponent) -> Tensor",
          (+[](const Tensor& a, Scalar p) { return pow_number(cast(a, DType::f64), Scalar(p.as_double())); }),
          "The power in double precision.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .out_dtype = Traits::Out::exact})
OPERATION("float_power(Tensor self, Tensor exponent) -> Tensor",
          (+[](const Tensor& a, const Tensor& b) { return pow_tensors(cast(a, DType::f64), cast(b, DType::f64)); }),
          "The power in double precision.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .out_dtype = Traits::Out::exact})
OPERATION("float_power(Scalar self, Tensor exponent) -> Tensor",
          (+[](Scalar a, const Tensor& b) { return pow_tensors(Scalar(a.as_double()), cast(b, DType::f64)); }),
          "The power in double precision.",
          {.kind = OpKind::composite, .method = false, .out = true, .out_dtype = Traits::Out::exact})

// ---- division with rounding -----------------------------------------------------------------------------------------

Tensor div_mode(const Operand& a, const Operand& b, std::optional<std::string_view> mode) {
  const Operand list[] = {a, b};
  if (!mode) return call_formula(formulas[index_of<Div>], list, nullptr);
  if (*mode == "trunc") return call_formula(formulas[index_of<DivTrunc>], list, nullptr);
  if (*mode == "floor") return call_formula(formulas[index_of<DivFloor>], list, nullptr);
  fail("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '", std::string(*mode), "'");
}
OPERATION("div(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor",
          (+[](const Tensor& a, const Tensor& b, std::optional<std::string_view> mode) {
            return div_mode(a, b, mode);
          }),
          "Quotient, rounded by 'trunc' (towards zero) or 'floor'.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .aliases = "divide"})
OPERATION("div(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor",
          (+[](const Tensor& a, Scalar b, std::optional<std::string_view> mode) { return div_mode(a, b, mode); }),
          "Quotient, rounded by 'trunc' (towards zero) or 'floor'.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .aliases = "divide"})

// ---- bounds and rounding --------------------------------------------------------------------------------------------

Tensor clamp_numbers(const Tensor& self, std::optional<Scalar> low, std::optional<Scalar> high) {
  check(low || high, "torch.clamp: At least one of 'min' or 'max' must not be None");
  Operand all[3] = {self, self, self};
  if (low) all[1] = *low;
  if (high) all[2] = *high;
  const Tensor in = cast(self, promoted_type(all));
  if (low) check_fits(*low, in.dtype());
  if (high) check_fits(*high, in.dtype());
  const Operand cast_list[] = {in};
  // One bound is two, where there is an infinite one, so that the node has one name.
  if ((low && high) || is_floating(in.dtype())) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const Scalar bounds[] = {low ? *low : Scalar(-infinity), high ? *high : Scalar(infinity)};
    if (std::isnan(bounds[0].as_double()) || std::isnan(bounds[1].as_double())) {
      return full(in.shape(), Scalar(std::numeric_limits<double>::quiet_NaN()), in.dtype());
    }
    return call_formula(formulas[index_of<ClampScalars>], cast_list, bounds);
  }
  return call_formula(formulas[low ? index_of<ClampMinScalar> : index_of<ClampMaxScalar>], cast_list,
                      low ? &*low : &*high);
}
Tensor clamp_tensors(const Tensor& self, const Tensor& low, const Tensor& high) {
  check(low || high, "torch.clamp: At least one of 'min' or 'max' must not be None");
  Operand all[3] = {self, self, self};
  if (low) all[1] = low;
  if (high) all[2] = high;
  Tensor out = cast(self, promoted_type(all));
  if (low) out = Tensor::apply<ClampMin>(out, low);
  if (high) out = Tensor::apply<ClampMax>(out, high);
  return out;
}
OPERATION("clamp(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor", clamp_tensors,
          "self kept between min and max, elementwise.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .aliases = "clip", .shown = "ClampBackward0"})
OPERATION("clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor", clamp_numbers,
          "self kept between min and max.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .aliases = "clip", .out_dtype = Traits::Out::exact})

OPERATION("round(Tensor self, *, int decimals) -> Tensor", (+[](const Tensor& t, int64_t decimals) {
            if (!is_floating(t.dtype())) return round(t);
            const double scale = std::pow(10.0, std::abs(double(decimals)));
            if (decimals == 0) return round(t);
            return decimals > 0 ? round(t * scale) / scale : round(t / scale) * scale;
          }),
          "Rounded to a number of decimals.",
          {.kind = OpKind::composite,
           .inplace = true,
           .out = true,
           .aliases = "special.round",
           .out_dtype = Traits::Out::exact,
           .shown = "RoundBackward1"})
OPERATION("nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor",
          (+[](const Tensor& t, std::optional<double> nan, std::optional<double> high, std::optional<double> low) {
            if (!is_floating(t.dtype())) return clone(t);
            const double most = largest(t.dtype());
            const Operand list[] = {t};
            const Scalar values[] = {Scalar(nan.value_or(0.0)), Scalar(high.value_or(most)),
                                     Scalar(low.value_or(-most))};
            return call_formula(formulas[index_of<NanToNum>], list, values);
          }),
          "NaN, +infinity and -infinity replaced (by 0 and the largest numbers by default).",
          {.kind = OpKind::composite, .inplace = true, .out = true, .out_dtype = Traits::Out::exact})
// In two steps, since 2^other alone may be beyond the numbers that the product is among.
Tensor ldexp(const Tensor& self, const Tensor& other) {
  if (!is_floating(self.dtype()) || !is_integral(other.dtype())) {
    check(!is_floating(self.dtype()) || other.dtype() != DType::boolean, ErrorKind::not_implemented,
          "\"ldexp_cpu_exp\" not implemented for 'Bool'");
    return self * pow_tensors(Scalar(2.0), other);
  }
  const DType wide = is_half(self.dtype()) ? DType::f32 : self.dtype();
  const Tensor exponent = cast(other, wide), half = Fn<Floor>{}(exponent * 0.5);
  return cast(self * pow_tensors(Scalar(2.0), half) * pow_tensors(Scalar(2.0), exponent - half), self.dtype());
}
OPERATION("ldexp(Tensor self, Tensor other) -> Tensor", ldexp, "self * 2^other.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .shown = "LdexpBackward0"})

// Formulas compute halves as floats, in which the next number is another one.
Tensor nextafter(const Tensor& a, const Tensor& b) {
  const Operand list[] = {a, b};
  const DType dtype = promoted_type(list);
  if (!is_half(dtype)) return call_formula(formulas[index_of<Nextafter>], list, nullptr);
  const Dims shape = broadcast_shapes(a.shape(), b.shape());
  const Tensor from = dense(expand(cast(detach(a), dtype), shape)), to = dense(expand(cast(detach(b), dtype), shape));
  Tensor out = empty(shape, dtype);
  if (without_elements(out)) return out;
  const uint16_t* x = reinterpret_cast<const uint16_t*>(from->data());
  uint16_t* next = reinterpret_cast<uint16_t*>(out->data());
  dispatch(dtype, "nextafter", [&]<class T>() {
    for (int64_t i = 0; i < out.numel(); ++i) {
      const float here = convert<float>(from.data<T>()[i]), there = convert<float>(to.data<T>()[i]);
      if (std::isnan(here) || std::isnan(there)) {
        out.data<T>()[i] = convert<T>(here + there);
      } else if (here == there) {
        out.data<T>()[i] = to.data<T>()[i];
      } else if (here == 0) {
        next[i] = there > 0 ? 0x0001 : 0x8001;
      } else {  // magnitudes are ordered as their bits are
        next[i] = static_cast<uint16_t>((there > here) == (here > 0) ? x[i] + 1 : x[i] - 1);
      }
    }
  });
  return record("NextafterBackward0", {&a, &b}, std::move(out), [](BackwardCall&) {
    fail(ErrorKind::not_implemented, "derivative for aten::nextafter is not implemented");
  });
}
OPERATION("nextafter(Tensor self, Tensor other) -> Tensor", nextafter, "The next number after self towards other.",
          {.inplace = true, .out = true, .out_dtype = Traits::Out::converted})
std::tuple<Tensor, Tensor> frexp(const Tensor& t) {
  check(is_floating(t.dtype()), "torch.frexp() only supports floating-point dtypes");
  Tensor mantissa = empty_like(t), exponent = empty_like(t, DType::i32);
  const Tensor from = in_layout(detach(t), mantissa.layout());
  dispatch(t.dtype(), "frexp", [&]<class T>() {
    const T* p = from.data<T>();
    T* m = mantissa.data<T>();
    int32_t* e = exponent.data<int32_t>();
    for (int64_t i = 0; i < t.numel(); ++i) {
      int power = 0;
      m[i] = convert<T>(std::frexp(static_cast<double>(p[i]), &power));
      e[i] = std::isfinite(static_cast<double>(p[i])) ? power : 0;
    }
  });
  mantissa = record("FrexpBackward0", {&t}, mantissa,
                    [](BackwardCall& c) {
                      if (c.grad()) c.set(0, c.grad() / pow_tensors(Scalar(2.0), cast(c.saved(0), c.grad().dtype())));
                    },
                    {keep(exponent)});
  return {mantissa, exponent};
}
OPERATION("frexp(Tensor self) -> (Tensor mantissa, Tensor exponent)", frexp,
          "The m and the integer e with self = m * 2^e and 0.5 <= |m| < 1.", {.out = true})
OPERATION("positive(Tensor self) -> Tensor", (+[](const Tensor& t) {
            check(t.dtype() != DType::boolean, "The `+` operator, on a bool tensor is not supported.");
            return t;
          }),
          "self itself.", {.kind = OpKind::composite})

// ---- special --------------------------------------------------------------------------------------------------------

Tensor polygamma(int64_t n, const Tensor& t) {
  check(n >= 0, "polygamma(n, x) does not support negative n.");
  if (n == 0) return digamma(t);
  const Tensor in = in_floating(t);
  const Operand args[] = {in};
  const Scalar order(static_cast<double>(n));
  return call_formula(formulas[index_of<Polygamma>], args, &order);
}
OPERATION("polygamma(int n, Tensor self) -> Tensor", polygamma, "Derivative n of digamma.",
          {.kind = OpKind::composite, .method = false, .out = true, .aliases = "special.polygamma"})
OPERATION("polygamma(Tensor self, int n) -> Tensor", (+[](const Tensor& t, int64_t n) { return polygamma(n, t); }),
          "Derivative n of digamma.", {.kind = OpKind::composite, .function = false, .inplace = true})
OPERATION("mvlgamma(Tensor self, int p) -> Tensor", (+[](const Tensor& t, int64_t p) {
            check(p >= 1, "p has to be greater than or equal to 1");
            check(t.dtype() != DType::boolean, "The input tensor may not be a boolean tensor.");
            const Tensor in = in_floating(t);
            const Tensor steps = empty(Dims{p}, in.dtype());  // as in PyTorch, a p beyond all memory fails here
            dispatch(in.dtype(), "mvlgamma", [&]<class T>() {
              const Unlocked unlocked(p);
              parallel_for(p, 65536, [to = steps.data<T>()](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) to[i] = convert<T>(-0.5 * static_cast<double>(i));
              });
            });
            const Tensor terms = lgamma(unsqueeze(in, -1) + steps);
            return sum(terms, Dims{-1}, false, std::nullopt) +
                   double(p) * double(p - 1) / 4.0 * std::log(3.14159265358979324);
          }),
          "Logarithm of the multivariate gamma function of dimension p.",
          {.kind = OpKind::composite,
           .inplace = true,
           .out = true,
           .aliases = "special.multigammaln",
           .shown = "MvlgammaBackward0"})
OPERATION("logit(Tensor self, float? eps=None) -> Tensor", (+[](const Tensor& t, std::optional<double> eps) {
            const Operand list[] = {t};
            const Scalar value(eps.value_or(0));
            return call_formula(formulas[eps ? index_of<LogitEps> : index_of<Logit>], list, &value);
          }),
          "log(x / (1 - x)), with self moved into [eps, 1 - eps] first.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .aliases = "special.logit"})

// ---- activations ----------------------------------------------------------------------------------------------------

OPERATION("gelu(Tensor self, *, str approximate='none') -> Tensor", (+[](const Tensor& t, std::string_view how) {
            check(how == "none" || how == "tanh", "approximate argument must be either none or tanh.");
            return how == "none" ? gelu_exact(t) : gelu_tanh(t);
          }),
          "self * Phi(self), Phi the normal distribution function (Hendrycks and Gimpel 2016).",
          {.kind = OpKind::composite, .method = false, .module = "nn"})
Tensor prelu_weighted(const Tensor& t, const Tensor& weight) {
  check(t.dtype() == weight.dtype(), "prelu: Type promoting not supported. Got ", legacy_name(t.dtype()), " and ",
        legacy_name(weight.dtype()));
  Tensor w = weight;
  if (weight.numel() != 1) {
    check(t.dims() > 0, "Not allow zero-dim input tensor.");
    const int64_t channels = t.dims() > 1 ? t.shape()[1] : 1;
    check(weight.numel() == channels,
          "Mismatch of parameter numbers and input channel size. Found parameter numbers = ", weight.numel(),
          " and channel size = ", channels, ".");
  }
  check(weight.dims() <= 1, "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = ", weight.dims());
  if (weight.numel() != 1 || weight.dims() > 0) {
    Dims shape(t.dims() > 0 ? size_t(t.dims()) : 0, 1);
    if (t.dims() >= 2) shape[1] = weight.numel();
    w = reshape(weight, shape);
  }
  return Fn<Prelu>{}(t, w);
}
OPERATION("prelu(Tensor self, Tensor weight) -> Tensor", prelu_weighted,
          "self where positive, weight (one per channel, or one) times self elsewhere.",
          {.kind = OpKind::composite, .autocast = Autocast::lower})
OPERATION("softsign(Tensor self) -> Tensor", (+[](const Tensor& t) { return t / (abs(t) + 1.0); }),
          "self / (1 + |self|).", {.kind = OpKind::composite, .method = false, .module = "nn"})
OPERATION("tanhshrink(Tensor self) -> Tensor", (+[](const Tensor& t) { return t - tanh(t); }), "self - tanh(self).",
          {.kind = OpKind::composite, .method = false, .module = "nn"})

// ---- comparisons ----------------------------------------------------------------------------------------------------

bool all_true(const Tensor& t) {
  const Tensor d = dense(t);
  const bool* p = d.data<bool>();
  for (int64_t i = 0; i < d.numel(); ++i) {
    if (!p[i]) return false;
  }
  return true;
}
Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  check(a.dtype() == b.dtype(), legacy_name(a.dtype()), " did not match ", legacy_name(b.dtype()));
  check(rtol >= 0, "rtol must be greater than or equal to zero, but got ", rtol);
  check(atol >= 0, "atol must be greater than or equal to zero, but got ", atol);
  GradMode off(false);
  Tensor close = a == b;
  if (equal_nan && is_floating(a.dtype())) close = close | (isnan(a) & isnan(b));
  if (rtol == 0 && atol == 0) return close;
  const Tensor x = in_floating(a), y = in_floating(b);
  const Tensor allowed = abs(y) * rtol + atol, actual = abs(x - y);
  return close | (isfinite(actual) & (actual <= allowed));
}
OPERATION("isclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> Tensor",
          isclose, "|self - other| <= atol + rtol * |other|, elementwise.",
          {.kind = OpKind::composite, .differentiable = false})
OPERATION("allclose(Tensor self, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> bool",
          (+[](const Tensor& a, const Tensor& b, double rtol, double atol, bool nan) {
            return all_true(isclose(a, b, rtol, atol, nan));
          }),
          "Whether isclose holds everywhere.", {.kind = OpKind::composite, .differentiable = false})
OPERATION("equal(Tensor self, Tensor other) -> bool", (+[](const Tensor& a, const Tensor& b) {
            if (!(a.shape() == b.shape())) return false;
            GradMode off(false);
            return all_true(a == b);
          }),
          "Same shape and elements.", {.kind = OpKind::composite, .differentiable = false})
OPERATION("where(Tensor condition, Scalar self, Scalar other) -> Tensor", (+[](const Tensor& c, Scalar a, Scalar b) {
            for (Scalar each : {a, b}) {
              if (each.kind == Scalar::Kind::floating) check_fits(each, default_dtype());
            }
            return Tensor::apply<Where>(c, wrapped_number(a), b);
          }),
          "One of two numbers, by condition.", {.kind = OpKind::composite, .method = false})
OPERATION("where(Tensor self, Tensor condition, Tensor other) -> Tensor",
          (+[](const Tensor& self, const Tensor& c, const Tensor& other) {
            return Tensor::apply<Where>(c, self, other);
          }),
          "self where condition holds, other elsewhere.", {.kind = OpKind::composite, .function = false})
OPERATION("where(Tensor self, Tensor condition, Scalar other) -> Tensor",
          (+[](const Tensor& self, const Tensor& c, Scalar other) { return Tensor::apply<Where>(c, self, other); }),
          "self where condition holds, other elsewhere.", {.kind = OpKind::composite, .function = false})

}  // namespace
}  // namespace bulssi
