// Pointwise arithmetic, rounding and bits.
#pragma once
#include "core/op/formula.h"
#include "core/op/primitives.h"

namespace bulssi {

struct Sgn;
struct Floor;
struct Trunc;
struct Log;

// composite.cpp
void check_lerp(const Operand* arguments);
void check_lerp_tensor(const Operand* arguments);
void check_addcdiv(const Operand* arguments);
void check_heaviside(const Operand* arguments);
void check_where(const Operand* arguments);

struct AddScaled {
  static constexpr Info info{.name = "add",
                             .dtypes = arithmetic,
                             .doc = "self + alpha * other.",
                             .signature = "(Tensor self, Tensor other, *, Scalar alpha)",
                             .mixed = 1,
                             .numbers = 3};
  static constexpr auto value(auto x, auto y, auto alpha) { return x + y * alpha; }
  static constexpr auto dx(auto g, auto, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto, auto alpha) { return g * alpha; }
};
OP(AddScaled, add_scaled)

struct Add {
  static constexpr Info info{.name = "add", .dtypes = arithmetic, .doc = "Sum of self and other.", .numbers = 3};
  static constexpr auto value(auto x, auto y) { return x + y; }
  static constexpr auto dx(auto g, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto) { return g; }
};
OP(Add, add)

struct SubScaled {
  static constexpr Info info{.name = "sub",
                             .dtypes = arithmetic,
                             .doc = "self - alpha * other.",
                             .signature = "(Tensor self, Tensor other, *, Scalar alpha)",
                             .no_bool =
                                 "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
                                 "trying to invert a mask, use the `~` "
                                 "or `logical_not()` operator instead.",
                             .aliases = "subtract",
                             .mixed = 1,
                             .numbers = 3};
  static constexpr auto value(auto x, auto y, auto alpha) { return x - y * alpha; }
  static constexpr auto dx(auto g, auto, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto, auto alpha) { return -g * alpha; }
};
OP(SubScaled, sub_scaled)

struct Sub {
  static constexpr Info info{.name = "sub",
                             .dtypes = arithmetic,
                             .doc = "Difference of self and other.",
                             .no_bool =
                                 "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
                                 "trying to invert a mask, use the `~` "
                                 "or `logical_not()` operator instead.",
                             .aliases = "subtract",
                             .numbers = 3};
  static constexpr auto value(auto x, auto y) { return x - y; }
  static constexpr auto dx(auto g, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto) { return -g; }
};
OP(Sub, sub)

struct RsubScaled {
  static constexpr Info info{.name = "rsub",
                             .dtypes = arithmetic,
                             .doc = "other - alpha * self.",
                             .signature = "(Tensor self, Tensor other, *, Scalar alpha)",
                             .forms = {.method = false, .inplace = false, .out = false},
                             .no_bool =
                                 "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
                                 "trying to invert a mask, use the `~` "
                                 "or `logical_not()` operator instead.",
                             .mixed = 1,
                             .numbers = 2};
  static constexpr auto value(auto x, auto y, auto alpha) { return y - x * alpha; }
  static constexpr auto dx(auto g, auto, auto, auto, auto alpha) { return -g * alpha; }
  static constexpr auto dy(auto g, auto, auto, auto, auto) { return g; }
};
OP(RsubScaled, rsub_scaled)

struct Rsub {
  static constexpr Info info{.name = "rsub",
                             .dtypes = arithmetic,
                             .doc = "Difference of other and self.",
                             .node_of_number = "RsubBackward1",
                             .forms = {.method = false, .inplace = false, .out = false},
                             .no_bool =
                                 "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
                                 "trying to invert a mask, use the `~` "
                                 "or `logical_not()` operator instead.",
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return y - x; }
  static constexpr auto dx(auto g, auto, auto, auto) { return -g; }
  static constexpr auto dy(auto g, auto, auto, auto) { return g; }
};
OP(Rsub, rsub)

struct Mul {
  static constexpr Info info{
      .name = "mul", .dtypes = arithmetic, .doc = "Product of self and other.", .aliases = "multiply", .numbers = 3};
  static constexpr auto value(auto x, auto y) { return x * y; }
  static constexpr auto dx(auto g, auto, auto y, auto) { return g * y; }
  static constexpr auto dy(auto g, auto x, auto, auto) { return g * x; }
};
OP(Mul, mul)

struct Div {
  static constexpr Info info{.name = "div",
                             .domain = {0.5, 3},
                             .doc = "Quotient of self and other.",
                             .aliases = "divide true_divide",
                             .numbers = 3};
  static constexpr auto value(auto x, auto y) { return x / y; }
  static constexpr auto dx(auto g, auto, auto y, auto) { return g / y; }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return -g * ((x / y) / y); }
};
OP(Div, div)

struct FloorDivide {
  static constexpr Info info{.name = "floor_divide",
                             .dtypes = arithmetic,
                             .domain = {0.5, 3},
                             .doc = "Quotient rounded down.",
                             .divides = true,
                             .numbers = 3,
                             .in_place = InPlace::no_derivative};
  static constexpr auto value(auto x, auto y) { return vecmath::floor_divide(x, y); }
};
OP(FloorDivide, floor_divide)

struct DivTrunc {
  static constexpr Info info{.name = "div_trunc",
                             .dtypes = arithmetic,
                             .domain = {0.5, 3},
                             .doc = "Quotient rounded towards zero.",
                             .node = "DivBackward1",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false},
                             .divides = true,
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return vecmath::trunc(x / y); }
  static constexpr auto dx(auto, auto, auto, auto) { return 0.0; }
  static constexpr auto dy(auto, auto, auto, auto) { return 0.0; }
};
OP(DivTrunc, div_trunc)

struct DivFloor {
  static constexpr Info info{.name = "div_floor",
                             .dtypes = arithmetic,
                             .domain = {0.5, 3},
                             .doc = "Quotient rounded down, differentiable (zero).",
                             .node = "DivBackward1",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false},
                             .divides = true,
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return vecmath::floor_divide(x, y); }
  static constexpr auto dx(auto, auto, auto, auto) { return 0.0; }
  static constexpr auto dy(auto, auto, auto, auto) { return 0.0; }
};
OP(DivFloor, div_floor)

struct Remainder {
  static constexpr Info info{.name = "remainder",
                             .dtypes = arithmetic,
                             .domain = {0.5, 3},
                             .doc = "Remainder of division with the sign of other (Python's %).",
                             .node = "RemainderBackward1",
                             .node_of_number = "RemainderBackward0",
                             .divides = true,
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return vecmath::remainder(x, y); }
  static constexpr auto dx(auto g, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return -g * Fn<DivFloor>{}(x, y); }
};
OP(Remainder, remainder)

struct Fmod {
  static constexpr Info info{.name = "fmod",
                             .dtypes = arithmetic,
                             .domain = {0.5, 3},
                             .doc = "Remainder of division with the sign of self (C's fmod).",
                             .node = "FmodBackward1",
                             .node_of_number = "FmodBackward0",
                             .divides = true,
                             .numbers = 1};
  static constexpr auto value(auto x, auto y) { return vecmath::fmod(x, y); }
  static constexpr auto dx(auto g, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return -g * Fn<Trunc>{}(x / y); }
};
OP(Fmod, fmod)

struct Angle {
  static constexpr Info info{.name = "angle",
                             .doc = "Angle of self in the complex plane: pi below zero, else 0 (nan of nan).",
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x) { return select(x < 0.0, 3.14159265358979324, select(x != x, x, 0.0)); }
  static constexpr auto dx(auto, auto, auto) { return 0.0; }
};
OP(Angle, angle)

struct Neg {
  static constexpr Info info{.name = "neg",
                             .dtypes = arithmetic,
                             .doc = "-self.",
                             .no_bool =
                                 "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
                                 "invert a mask, use the `~` or "
                                 "`logical_not()` operator instead.",
                             .aliases = "negative"};
  static constexpr auto value(auto x) { return -x; }
  static constexpr auto dx(auto g, auto, auto) { return -g; }
};
OP(Neg, neg)

struct Abs {
  static constexpr Info info{.name = "abs",
                             .dtypes = arithmetic,
                             .doc = "Absolute value.",
                             .no_bool = "\"abs_cpu\" not implemented for 'Bool'",
                             .aliases = "absolute"};
  static constexpr auto value(auto x) { return vecmath::abs(x); }
  static constexpr auto dx(auto g, auto x, auto) { return g * Fn<Sgn>{}(x); }
};
OP(Abs, abs)

struct Sgn {
  static constexpr Info info{.name = "sgn", .dtypes = arithmetic, .doc = "Sign of self: -1, 0 or 1."};
  // NaN and both zeros have sign 0.
  static constexpr auto value(auto x) { return select(x > 0.0, 1.0, select(x < 0.0, -1.0, 0.0)); }
  static constexpr auto dx(auto, auto, auto) { return 0.0; }
};
OP(Sgn, sgn)

struct Sign {
  static constexpr Info info{.name = "sign", .dtypes = arithmetic, .doc = "Sign of self: -1, 0 or 1."};
  // NaN and both zeros have sign 0.
  static constexpr auto value(auto x) { return select(x > 0.0, 1.0, select(x < 0.0, -1.0, 0.0)); }
  static constexpr auto dx(auto, auto, auto) { return 0.0; }
};
OP(Sign, sign)

struct Reciprocal {
  static constexpr Info info{.name = "reciprocal", .domain = {0.5, 3}, .doc = "1 / self."};
  static constexpr auto value(auto x) { return 1.0 / x; }
  static constexpr auto dx(auto g, auto, auto r) { return -g * (r * r); }
};
OP(Reciprocal, reciprocal)

struct Square {
  static constexpr Info info{.name = "square_",
                             .dtypes = arithmetic,
                             .doc = "self * self.",
                             .node = "PowBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) { return x * x; }
  static constexpr auto dx(auto g, auto x, auto) { return g * x * 2.0; }
};
OP(Square, square_)

struct Cube {
  static constexpr Info info{.name = "cube",
                             .dtypes = arithmetic,
                             .doc = "self * self * self.",
                             .node = "PowBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) { return x * x * x; }
  static constexpr auto dx(auto g, auto x, auto) { return g * (x * x * 3.0); }
};
OP(Cube, cube)

struct RootPower {
  static constexpr Info info{.name = "power_half",
                             .domain = {0.5, 3},
                             .doc = "self to the power of 1/2.",
                             .node = "PowBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) { return vecmath::sqrt(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g / (r * 2.0); }
};
OP(RootPower, power_half)

struct InversePower {
  static constexpr Info info{.name = "power_minus_one",
                             .domain = {0.5, 3},
                             .doc = "self to the power of -1.",
                             .node = "PowBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) { return 1.0 / x; }
  static constexpr auto dx(auto g, auto, auto r) { return -g * (r * r); }
};
OP(InversePower, power_minus_one)

struct InverseRootPower {
  static constexpr Info info{.name = "power_minus_half",
                             .domain = {0.5, 3},
                             .doc = "self to the power of -1/2.",
                             .node = "PowBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x) { return vecmath::rsqrt(x); }
  static constexpr auto dx(auto g, auto, auto r) { return g * -0.5 * (r * r * r); }
};
OP(InverseRootPower, power_minus_half)

struct PowScalar {
  static constexpr Info info{.name = "pow_scalar",
                             .dtypes = arithmetic,
                             .domain = {0.5, 3},
                             .doc = "self to a fixed power.",
                             .signature = "(Tensor self, Scalar exponent)",
                             .node = "PowBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false},
                             .any_number = true};
  static constexpr auto value(auto x, auto p) { return vecmath::pow(x, p); }
  static constexpr auto dx(auto g, auto x, auto, auto p) { return g * (Fn<PowScalar>{}(x, p - 1.0) * p); }
};
OP(PowScalar, pow_scalar)

struct PowTensor {
  static constexpr Info info{.name = "pow_tensor",
                             .dtypes = arithmetic,
                             .domain = {0.5, 3},
                             .doc = "self to the power of exponent.",
                             .node = "PowBackward1",
                             .node_of_first_number = "PowBackward2",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x, auto y) { return vecmath::pow(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) {
    return g * select(y == 0.0, 0.0, y * Fn<PowTensor>{}(x, y - 1.0));
  }
  static constexpr auto dy(auto g, auto x, auto y, auto r) {
    return g * select((x == 0.0) & (y >= 0.0), 0.0, r * Fn<Log>{}(x));
  }
};
OP(PowTensor, pow_tensor)

struct Maximum {
  static constexpr Info info{.name = "maximum",
                             .dtypes = arithmetic,
                             .doc = "The larger of self and other; NaN if either is.",
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x, auto y) { return vecmath::max(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return select(x == y, g * 0.5, select(x < y, 0.0, g)); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return select(x == y, g * 0.5, select(x > y, 0.0, g)); }
};
OP(Maximum, maximum)

struct Minimum {
  static constexpr Info info{.name = "minimum",
                             .dtypes = arithmetic,
                             .doc = "The smaller of self and other; NaN if either is.",
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x, auto y) { return vecmath::min(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return select(x == y, g * 0.5, select(x > y, 0.0, g)); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return select(x == y, g * 0.5, select(x < y, 0.0, g)); }
};
OP(Minimum, minimum)

struct Fmax {
  static constexpr Info info{.name = "fmax",
                             .dtypes = arithmetic,
                             .doc = "The larger of self and other; a number if either is one.",
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x, auto y) { return vecmath::fmax(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return select((x >= y) | (y != y), g, 0.0); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return select((x >= y) | (y != y), 0.0, g); }
};
OP(Fmax, fmax)

struct Fmin {
  static constexpr Info info{.name = "fmin",
                             .dtypes = arithmetic,
                             .doc = "The smaller of self and other; a number if either is one.",
                             .forms = {.inplace = false}};
  static constexpr auto value(auto x, auto y) { return vecmath::fmin(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return select((x <= y) | (y != y), g, 0.0); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return select((x <= y) | (y != y), 0.0, g); }
};
OP(Fmin, fmin)

struct ClampScalars {
  static constexpr Info info{.name = "clamp_scalars",
                             .dtypes = arithmetic,
                             .doc = "Between two numbers.",
                             .signature = "(Tensor self, Scalar min, Scalar max)",
                             .node = "ClampBackward1",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false},
                             .mixed = 2};
  static constexpr auto value(auto x, auto low, auto high) {
    const auto raised = select(x < low, low, x);
    return select(raised > high, high, raised);
  }
  static constexpr auto dx(auto g, auto x, auto, auto low, auto high) {
    return select((x >= low) & (x <= high), g, 0.0);
  }
};
OP(ClampScalars, clamp_scalars)

struct ClampMin {
  static constexpr Info info{.name = "clamp_min",
                             .dtypes = arithmetic,
                             .doc = "At least min, elementwise.",
                             .signature = "(Tensor self, Tensor min)",
                             .node = "ClampMinBackward1"};
  static constexpr auto value(auto x, auto y) { return vecmath::max(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return select(x >= y, g, 0.0); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return select(x < y, g, 0.0); }
};
OP(ClampMin, clamp_min)

struct ClampMinScalar {
  static constexpr Info info{.name = "clamp_min",
                             .dtypes = arithmetic,
                             .doc = "At least min.",
                             .signature = "(Tensor self, Scalar min)",
                             .mixed = 2};
  static constexpr auto value(auto x, auto low) { return vecmath::max(low, x); }
  static constexpr auto dx(auto g, auto x, auto, auto low) { return select(x >= low, g, 0.0); }
};
OP(ClampMinScalar, clamp_min_scalar)

struct ClampMax {
  static constexpr Info info{.name = "clamp_max",
                             .dtypes = arithmetic,
                             .doc = "At most max, elementwise.",
                             .signature = "(Tensor self, Tensor max)",
                             .node = "ClampMaxBackward1"};
  static constexpr auto value(auto x, auto y) { return vecmath::min(x, y); }
  static constexpr auto dx(auto g, auto x, auto y, auto) { return select(x <= y, g, 0.0); }
  static constexpr auto dy(auto g, auto x, auto y, auto) { return select(x > y, g, 0.0); }
};
OP(ClampMax, clamp_max)

struct ClampMaxScalar {
  static constexpr Info info{.name = "clamp_max",
                             .dtypes = arithmetic,
                             .doc = "At most max.",
                             .signature = "(Tensor self, Scalar max)",
                             .mixed = 2};
  static constexpr auto value(auto x, auto high) { return vecmath::min(high, x); }
  static constexpr auto dx(auto g, auto x, auto, auto high) { return select(x <= high, g, 0.0); }
};
OP(ClampMaxScalar, clamp_max_scalar)

struct LerpScalar {
  static constexpr Info info{.name = "lerp",
                             .dtypes = only_floating,
                             .doc = "self + weight * (end - self).",
                             .signature = "(Tensor self, Tensor end, Scalar weight)",
                             .kernel = "lerp_kernel_scalar",
                             .check_arguments = check_lerp};
  static constexpr auto value(auto x, auto y, auto w) {
    return select(vecmath::abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1.0 - w));
  }
  static constexpr auto dx(auto g, auto, auto, auto, auto w) { return g * (1.0 - w); }
  static constexpr auto dy(auto g, auto, auto, auto, auto w) { return g * w; }
};
OP(LerpScalar, lerp_scalar)

struct Lerp {
  static constexpr Info info{.name = "lerp",
                             .dtypes = only_floating,
                             .doc = "self + weight * (end - self), elementwise.",
                             .signature = "(Tensor self, Tensor end, Tensor weight)",
                             .kernel = "lerp_kernel_tensor",
                             .node = "LerpBackward1",
                             .check_arguments = check_lerp_tensor};
  static constexpr auto value(auto x, auto y, auto z) {
    return select(vecmath::abs(z) < 0.5, x + z * (y - x), y - (y - x) * (1.0 - z));
  }
  static constexpr auto dx(auto g, auto, auto, auto z, auto) { return g * (1.0 - z); }
  static constexpr auto dy(auto g, auto, auto, auto z, auto) { return g * z; }
  static constexpr auto dz(auto g, auto x, auto y, auto, auto) { return g * (y - x); }
};
OP(Lerp, lerp)

struct Addcmul {
  static constexpr Info info{.name = "addcmul",
                             .dtypes = arithmetic,
                             .doc = "self + value * tensor1 * tensor2.",
                             .signature = "(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1)"};
  static constexpr auto value(auto x, auto y, auto z, auto v) { return x + y * z * v; }
  static constexpr auto dx(auto g, auto, auto, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto z, auto, auto v) { return g * (z * v); }
  static constexpr auto dz(auto g, auto, auto y, auto, auto, auto v) { return g * (y * v); }
};
OP(Addcmul, addcmul)

struct Addcdiv {
  static constexpr Info info{.name = "addcdiv",
                             .dtypes = only_floating,
                             .domain = {0.5, 3},
                             .doc = "self + value * tensor1 / tensor2.",
                             .signature = "(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1)",
                             .check_arguments = check_addcdiv};
  static constexpr auto value(auto x, auto y, auto z, auto v) { return x + y * v / z; }
  static constexpr auto dx(auto g, auto, auto, auto, auto, auto) { return g; }
  static constexpr auto dy(auto g, auto, auto, auto z, auto, auto v) { return g * (v / z); }
  static constexpr auto dz(auto g, auto, auto y, auto z, auto, auto v) { return -g * (y * v / (z * z)); }
};
OP(Addcdiv, addcdiv)

struct Copysign {
  static constexpr Info info{.name = "copysign",
                             .doc = "Magnitude of self, sign of other.",
                             .node_of_number = "CopysignBackward1",
                             .numbers = 1};
  static constexpr auto value(auto x, auto y) { return vecmath::copysign(x, y); }
  static constexpr auto dx(auto g, auto x, auto, auto r) { return select(x == 0.0, 0.0, g * (r / x)); }
  static constexpr auto dy(auto, auto, auto, auto) { return 0.0; }
};
OP(Copysign, copysign)

struct Nextafter {
  static constexpr Info info{.name = "nextafter",
                             .dtypes = only_floating,
                             .doc = "The next number after self towards other.",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false}};
  static constexpr auto value(auto x, auto y) { return vecmath::nextafter(x, y); }
  static constexpr auto dx(auto g, auto, auto, auto) { return g; }
  static constexpr auto dy(auto, auto, auto, auto) { return 0.0; }
};
OP(Nextafter, nextafter)

struct Hypot {
  static constexpr Info info{
      .name = "hypot", .dtypes = only_floating, .doc = "sqrt(self^2 + other^2) without overflow."};
  static constexpr auto value(auto x, auto y) { return vecmath::hypot(x, y); }
  static constexpr auto dx(auto g, auto x, auto, auto r) { return g * (x / r); }
  static constexpr auto dy(auto g, auto, auto y, auto r) { return g * (y / r); }
};
OP(Hypot, hypot)

struct Gcd {
  static constexpr Info info{.name = "gcd", .dtypes = Dtypes::integers, .doc = "Greatest common divisor."};
  static constexpr auto value(auto x, auto y) { return vecmath::gcd(x, y); }
};
OP(Gcd, gcd)

struct Lcm {
  static constexpr Info info{.name = "lcm", .dtypes = Dtypes::integers, .doc = "Least common multiple."};
  static constexpr auto value(auto x, auto y) { return vecmath::lcm(x, y); }
};
OP(Lcm, lcm)

struct Heaviside {
  static constexpr Info info{.name = "heaviside",
                             .dtypes = arithmetic,
                             .doc = "0 where self < 0, values where self == 0, 1 where self > 0.",
                             .signature = "(Tensor self, Tensor values)",
                             .in_place = InPlace::no_derivative,
                             .check_arguments = check_heaviside};
  static constexpr auto value(auto x, auto y) {
    return select(x == 0.0, y, select(x > 0.0, 1.0, select(x == 0.0, x, 0.0)));
  }
};
OP(Heaviside, heaviside)

struct Floor {
  static constexpr Info info{.name = "floor",
                             .dtypes = arithmetic,
                             .doc = "Rounded down.",
                             .no_bool = "\"floor_vml_cpu\" not implemented for 'Bool'"};
  static constexpr auto value(auto x) { return vecmath::floor(x); }
  static constexpr auto dx(auto, auto, auto) { return 0.0; }
};
OP(Floor, floor)

struct Ceil {
  static constexpr Info info{.name = "ceil",
                             .dtypes = arithmetic,
                             .doc = "Rounded up.",
                             .no_bool = "\"ceil_vml_cpu\" not implemented for 'Bool'"};
  static constexpr auto value(auto x) { return vecmath::ceil(x); }
  static constexpr auto dx(auto, auto, auto) { return 0.0; }
};
OP(Ceil, ceil)

struct Trunc {
  static constexpr Info info{.name = "trunc",
                             .dtypes = arithmetic,
                             .doc = "Rounded towards zero.",
                             .no_bool = "\"trunc_vml_cpu\" not implemented for 'Bool'",
                             .aliases = "fix"};
  static constexpr auto value(auto x) { return vecmath::trunc(x); }
  static constexpr auto dx(auto, auto, auto) { return 0.0; }
};
OP(Trunc, trunc)

struct Round {
  static constexpr Info info{.name = "round",
                             .dtypes = arithmetic,
                             .doc = "Rounded to the nearest integer, ties to even.",
                             .no_bool = "\"round_vml_cpu\" not implemented for 'Bool'",
                             .aliases = "special.round"};
  static constexpr auto value(auto x) { return vecmath::rint(x); }
  static constexpr auto dx(auto, auto, auto) { return 0.0; }
};
OP(Round, round)

struct Frac {
  static constexpr Info info{
      .name = "frac", .dtypes = only_floating, .doc = "The part behind the point, with the sign of self."};
  static constexpr auto value(auto x) { return x - vecmath::trunc(x); }
  static constexpr auto dx(auto g, auto, auto) { return g; }
};
OP(Frac, frac)

struct NanToNum {
  static constexpr Info info{.name = "nan_to_num_",
                             .dtypes = only_floating,
                             .doc = "nan and infinities replaced.",
                             .signature = "(Tensor self, Scalar nan, Scalar posinf, Scalar neginf)",
                             .node = "NanToNumBackward0",
                             .forms = {.function = false, .method = false, .inplace = false, .out = false},
                             .any_number = true};
  static constexpr auto value(auto x, auto nan, auto high, auto low) {
    return select(x != x, nan, select(x == __builtin_inf(), high, select(x == -__builtin_inf(), low, x)));
  }
  static constexpr auto dx(auto g, auto x, auto, auto, auto, auto) {
    return select((x != x) | (abs(x) == __builtin_inf()), 0.0, g);
  }
};
OP(NanToNum, nan_to_num_)

struct BitwiseAnd {
  static constexpr Info info{.name = "bitwise_and", .dtypes = bitwise, .doc = "Bits that both have.", .numbers = 2};
  static constexpr auto value(auto x, auto y) { return x & y; }
};
OP(BitwiseAnd, bitwise_and)

struct BitwiseOr {
  static constexpr Info info{.name = "bitwise_or", .dtypes = bitwise, .doc = "Bits that either has.", .numbers = 2};
  static constexpr auto value(auto x, auto y) { return x | y; }
};
OP(BitwiseOr, bitwise_or)

struct BitwiseXor {
  static constexpr Info info{
      .name = "bitwise_xor", .dtypes = bitwise, .doc = "Bits that exactly one has.", .numbers = 2};
  static constexpr auto value(auto x, auto y) { return x ^ y; }
};
OP(BitwiseXor, bitwise_xor)

struct BitwiseNot {
  static constexpr Info info{.name = "bitwise_not",
                             .dtypes = bitwise,
                             .doc = "All bits flipped; logical not for bool.",
                             .on_bool = "logical_not"};
  static constexpr auto value(auto x) { return ~x; }
};
OP(BitwiseNot, bitwise_not)

struct ShiftLeft {
  static constexpr Info info{.name = "bitwise_left_shift",
                             .dtypes = Dtypes::integers,
                             .doc = "self * 2^other.",
                             .kernel = "lshift_cpu",
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return x << y; }
};
OP(ShiftLeft, bitwise_left_shift)

struct ShiftRight {
  static constexpr Info info{.name = "bitwise_right_shift",
                             .dtypes = Dtypes::integers,
                             .doc = "self / 2^other, rounded down.",
                             .kernel = "rshift_cpu",
                             .numbers = 2};
  static constexpr auto value(auto x, auto y) { return x >> y; }
};
OP(ShiftRight, bitwise_right_shift)

struct Where {
  static constexpr Info info{.name = "where",
                             .dtypes = arithmetic,
                             .doc = "self where condition holds, other elsewhere.",
                             .signature = "(Tensor condition, Tensor self, Tensor other)",
                             .forms = {.method = false, .inplace = false},
                             .numbers = 2,
                             .condition = true,
                             .check_arguments = check_where};
  static constexpr auto value(auto x, auto y, auto z) { return select(x, y, z); }
  static constexpr auto dy(auto g, auto x, auto, auto, auto) { return select(x, g, 0.0); }
  static constexpr auto dz(auto g, auto x, auto, auto, auto) { return select(x, 0.0, g); }
};
OP(Where, where)

}  // namespace bulssi
