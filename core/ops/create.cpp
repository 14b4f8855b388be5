// New tensors: constants, ranges, and changes of dtype or device.
#include <cmath>

#include "core/base/threads.h"
#include "core/op/pointwise.h"
#include "core/op/registry.h"
#include "core/ops/basics.h"
#include "core/ops/create.h"
#include "core/ops/index.h"

// clang-format off: it lays out the lists of macros below differently each time
namespace bulssi {

Tensor moved(const Tensor& t, Device device, DType dtype) {
  const DeviceScope scope(device);
  Tensor out = empty_like(t, dtype);
  copy_data(out, t);
  return record("ToCopyBackward0", {&t}, out, [home = t.device(), before = t.dtype()](const Tensor& g) {
    return moved(g, home, before);
  });
}

Tensor new_like(const Tensor& like, std::optional<DType> dtype, MemoryFormat format) {
  const DType d = dtype.value_or(like.dtype());
  return format.kind <= MemoryFormat::preserve ? empty_like(like, d) : empty_strided(format.of(like.shape()), d);
}

void check_can_require_grad(DType dtype, std::optional<bool> wanted) {
  check(!wanted.value_or(false) || is_differentiable(dtype),
        "Only Tensors of floating point and complex dtype can "
        "require gradients\nthis one would have dtype ",
        dtype);
}
Tensor finish_new(Tensor t, std::optional<bool> requires_grad_wanted) {
  check_can_require_grad(t.dtype(), requires_grad_wanted);
  if (requires_grad_wanted.value_or(false)) set_requires_grad(t, true);
  return t;
}

namespace {
// As PyTorch, only another shape counts as a change.
void resize_inplace(const Tensor& t, Ints shape) {
  const bool changes = !(t.shape() == Dims(shape));
  if (changes) {
    const GradMode off(false);
    check_inplace(t, "resize", Overlap::allowed);
  }
  if (changes) note_shape(t, Dims(shape));
  resize(t, shape);
  if (changes) t->bump_version();
}
}  // namespace

namespace {

// Any byte is some number, but only two are truth values.
Tensor unspecified(Tensor t) {
  if (t.dtype() == DType::boolean) fill_data(t, Scalar(false));
  return t;
}

using OptDType = std::optional<DType>;
using OptDevice = std::optional<Device>;
using OptBool = std::optional<bool>;

void check_sizes(Ints size) {
  for (int64_t s : size) check(s >= 0, "Trying to create tensor with negative dimension ", s, ": ", size);
}
DType of_value(Scalar v) {
  return v.kind == Scalar::Kind::floating ? default_dtype() : v.dtype() == DType::c128 ? DType::c64 : v.dtype();
}

template <int value>
Tensor constant(Ints size, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad) {
  if (value == 0) {
    for (int64_t s : size) check(s >= 0, "zeros: Dimension size must be non-negative.\ngot size ", size);
  }
  check_sizes(size);
  return finish_new(full(size, Scalar(value), dtype.value_or(default_dtype())), grad);
}
OPERATION("empty(int[] size, *, " LIKE,
          (+[](Ints size, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad, MemoryFormat format) {
            check_sizes(size);
            check(format.kind != MemoryFormat::preserve, "empty(): preserve_format has nothing to preserve here");
            const DType d = dtype.value_or(default_dtype());
            return finish_new(unspecified(format.kind <= MemoryFormat::contiguous ? empty(size, d)
                                                                                  : empty_strided(format.of(size), d)),
                              grad);
          }),
          "A tensor with unspecified contents.", {.method = false, .out = true, .differentiable = false})
OPERATION("zeros(int[] size, *, " OPTIONS, constant<0>, "A tensor of zeros.",
          {.method = false, .out = true, .differentiable = false})
OPERATION("ones(int[] size, *, " OPTIONS, constant<1>, "A tensor of ones.",
          {.method = false, .out = true, .differentiable = false})
OPERATION("full(int[] size, Scalar fill_value, *, " OPTIONS,
          (+[](Ints size, Scalar v, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad) {
            check_sizes(size);
            const DType d = dtype.value_or(of_value(v));
            check_fits_filling(v, d);
            return finish_new(full(size, v, d), grad);
          }),
          "A tensor filled with a number.", {.method = false, .out = true, .differentiable = false})

template <int value>
Tensor constant_like(const Tensor& t, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad,
                     MemoryFormat format) {
  Tensor out = new_like(t, dtype, format);
  if (value >= 0)
    fill_data(out, Scalar(value));
  else
    out = unspecified(std::move(out));
  return finish_new(out, grad);
}
OPERATION("empty_like(Tensor self, *, " LIKE, constant_like<-1>, "As self, with unspecified contents.",
          {.method = false, .differentiable = false})
OPERATION("zeros_like(Tensor self, *, " LIKE, constant_like<0>, "As self, zeros.",
          {.method = false, .differentiable = false})
OPERATION("ones_like(Tensor self, *, " LIKE, constant_like<1>, "As self, ones.",
          {.method = false, .differentiable = false})
OPERATION("full_like(Tensor self, Scalar fill_value, *, " LIKE,
          (+[](const Tensor& t, Scalar v, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad,
               MemoryFormat format) {
            Tensor out = new_like(t, dtype, format);
            check_fits_filling(v, out.dtype());
            fill_data(out, v);
            return finish_new(out, grad);
          }),
          "As self, filled with a number.", {.method = false, .differentiable = false})

template <int value>
Tensor constant_new(const Tensor& t, Ints size, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad) {
  check_sizes(size);
  Tensor out =
      value < 0 ? unspecified(empty(size, dtype.value_or(t.dtype()))) : full(size, Scalar(value), dtype.value_or(t.dtype()));
  return finish_new(out, grad);
}
OPERATION("new_empty(Tensor self, int[] size, *, " OPTIONS, constant_new<-1>, "A tensor of self's dtype.",
          {.function = false, .differentiable = false})
OPERATION("new_zeros(Tensor self, int[] size, *, " OPTIONS, constant_new<0>, "Zeros of self's dtype.",
          {.function = false, .differentiable = false})
OPERATION("new_ones(Tensor self, int[] size, *, " OPTIONS, constant_new<1>, "Ones of self's dtype.",
          {.function = false, .differentiable = false})
OPERATION("new_full(Tensor self, int[] size, Scalar fill_value, *, " OPTIONS,
          (+[](const Tensor& t, Ints size, Scalar v, OptDType dtype, MemoryFormat, OptDevice device, OptBool,
               OptBool grad) {
            check_sizes(size);
            const DType d = dtype.value_or(t.dtype());
            check_fits_filling(v, d);
            return finish_new(full(size, v, d), grad);
          }),
          "A tensor of self's dtype filled with a number.", {.function = false, .differentiable = false})
Tensor strided(Ints size, Ints stride, DType dtype) {
  check_sizes(size);
  check(size.size() == stride.size(), "dimensionality of sizes (", size.size(), ") must match dimensionality of strides (", stride.size(), ")\ngot ", size,
        " and ", stride);
  for (int64_t s : stride)
    check(s >= 0, "as_strided: Negative strides are not supported at the moment, got strides: ", stride);
  return unspecified(empty_strided(Layout{Dims(size), Dims(stride), 0}, dtype));
}
OPERATION("empty_strided(int[] size, int[] stride, *, " OPTIONS,
          (+[](Ints size, Ints stride, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad) {
            return finish_new(strided(size, stride, dtype.value_or(default_dtype())), grad);
          }),
          "Unspecified contents with the given strides.", {.method = false, .differentiable = false})
OPERATION("empty_permuted(int[] size, int[] physical_layout, *, " OPTIONS,
          (+[](Ints size, Ints order, OptDType dtype, MemoryFormat, OptDevice, OptBool, OptBool grad) {
            check_sizes(size);
            check(size.size() == order.size(),
                  "Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = ",
                  size.size(), " is not equal to len(physical_layout) = ", order.size());
            Dims physical(order.size(), -1), strides(size.size());
            Small<bool, 8> seen(order.size(), false);
            for (size_t i = 0; i < order.size(); ++i) {
              check(order[i] >= 0 && order[i] < int64_t(order.size()),
                    "Dimension out of range (expected to be between 0 and ", order.size() - 1, ", but got ", order[i],
                    " at index ", i, ").  NB: negative dims not currently supported; file an issue if you want it.");
              check(!seen[order[i]], "Duplicate dim not allowed: ", order[i], " in physical_layout ", order);
              seen[order[i]] = true;
              physical[i] = size[order[i]];
            }
            const Dims steps = contiguous_strides(physical);
            for (size_t i = 0; i < order.size(); ++i) strides[order[i]] = steps[i];
            return finish_new(
                unspecified(empty_strided(Layout{Dims(size), strides, 0}, dtype.value_or(default_dtype()))), grad);
          }),
          "Unspecified contents, the dimensions in memory in the order of physical_layout.",
          {.method = false, .differentiable = false})
OPERATION("new_empty_strided(Tensor self, int[] size, int[] stride, *, " OPTIONS,
          (+[](const Tensor& t, Ints size, Ints stride, OptDType dtype, MemoryFormat, OptDevice device, OptBool,
               OptBool grad) {
            return finish_new(strided(size, stride, dtype.value_or(t.dtype())), grad);
          }),
          "Unspecified contents with the given strides and self's dtype.", {.function = false, .differentiable = false})

// ---- ranges ---------------------------------------------------------------------------------------------------------

template <class F>
void fill_by_index(const Tensor& out, const char* op, F value) {
  if (without_elements(out)) return;
  dispatch(out.dtype(), op, [&]<class T>() {
    T* p = out.data<T>();
    parallel_for(out.numel(), 32768, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) p[i] = value.template operator()<T>(i);
    });
  });
}

Tensor arange(Scalar start, Scalar end, Scalar step, OptDType dtype, MemoryFormat, OptDevice device, OptBool,
              OptBool grad) {
  const bool all_whole = start.integral() && end.integral() && step.integral();
  const DType d = dtype.value_or(all_whole ? DType::i64 : default_dtype());
  check(d != DType::boolean, ErrorKind::not_implemented, "\"arange_cpu\" not implemented for 'Bool'");
  check(step.as_double() != 0, "step must be nonzero");
  if (d == DType::i64) {  // PyTorch counts in whole numbers then
    start = Scalar(start.as_int()), end = Scalar(end.as_int()), step = Scalar(step.as_int());
    check(step.i != 0, ErrorKind::value, "step must be nonzero");
  }
  const double a = start.as_double(), b = end.as_double(), s = step.as_double();
  check(std::isfinite(a) && std::isfinite(b), "unsupported range: ", a, " -> ", b);
  check((s > 0 && b >= a) || (s < 0 && b <= a), "upper bound and lower bound inconsistent with step sign");
  int64_t n;
  if (all_whole || d == DType::i64) {
    const __int128 distance = s > 0 ? __int128(end.i) - start.i : __int128(start.i) - end.i;
    const __int128 stride = s > 0 ? __int128(step.i) : -__int128(step.i);
    n = static_cast<int64_t>((distance + stride - 1) / stride);
  } else {
    const double count = std::ceil((b - a) / s);
    check(count < 9.2e18, "invalid size, possible overflow?");
    n = static_cast<int64_t>(count);
  }
  Tensor out = empty(Dims{n}, d);
  fill_by_index(out, "arange", [&]<class T>(int64_t i) {
    if constexpr (std::is_integral_v<T>) {
      return convert<T>(static_cast<int64_t>(static_cast<uint64_t>(start.as_int()) +
                                             static_cast<uint64_t>(step.as_int()) * uint64_t(i)));
    } else {
      // The bits of PyTorch: it makes pairs of vectors of 32 bytes, each from its first element rounded, and
      // then what is left one by one.
      using C = std::conditional_t<std::is_same_v<T, float> || std::is_same_v<T, double>, double, float>;
      constexpr int64_t lanes = 32 / sizeof(T);
      const int64_t lane = i < n / (2 * lanes) * (2 * lanes) ? i % lanes : 0;
      const C base = std::fma(C(s), C(i - lane), C(a));
      if (lane == 0) return convert<T>(base);
      return convert<T>(std::fma(C(lane), C(s), static_cast<C>(convert<T>(base))));
    }
  });
  return finish_new(out, grad);
}
OPERATION("arange(Scalar end, *, " OPTIONS,
          (+[](Scalar end, OptDType dtype, MemoryFormat m, OptDevice device, OptBool p, OptBool grad) {
            return arange(Scalar(0), end, Scalar(1), dtype, m, device, p, grad);
          }),
          "0, 1, … below end.", {.method = false, .out = true, .differentiable = false})
OPERATION("arange(Scalar start, Scalar end, Scalar step=1, *, " OPTIONS, arange,
          "start, start + step, … below end (above, for a negative step).",
          {.method = false, .out = true, .differentiable = false})
OPERATION("range(Scalar start, Scalar end, Scalar step=1, *, " OPTIONS,
          (+[](Scalar start, Scalar end, Scalar step, OptDType dtype, MemoryFormat, OptDevice device, OptBool,
               OptBool grad) {
            warn("UserWarning",
                 "torch.range is deprecated and will be removed in a future release because its behavior "
                 "is inconsistent with Python's range builtin. Instead, use torch.arange, which produces values in "
                 "[start, end).");
            const double a = start.as_double(), s = step.as_double();
            check(s != 0, "step must be nonzero");
            check((s > 0 && end.as_double() >= a) || (s < 0 && end.as_double() <= a),
                  "upper bound and lower bound inconsistent with step sign");
            const double count = std::floor((end.as_double() - a) / s) + 1;
            check(count < 9.2e18, "invalid size, possible overflow?");
            Tensor out = empty(Dims{int64_t(count)}, dtype.value_or(default_dtype()));
            fill_by_index(out, "range", [&]<class T>(int64_t i) { return convert<T>(a + s * double(i)); });
            return finish_new(out, grad);
          }),
          "start, start + step, … up to and including end.", {.method = false, .out = true, .differentiable = false})

// Element i, from the nearer end, rounded as PyTorch rounds: the ends are numbers of T, and so are all steps in halves.
template <class T>
T spaced_element(Scalar from, Scalar to, int64_t steps, int64_t i) {
  const bool first_half = i < steps / 2 || steps == 1;
  const int64_t k = first_half ? i : steps - 1 - i;
  const T start = from.as<T>(), end = to.as<T>();
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    const auto rounded = [](float v) { return static_cast<float>(T(v)); };
    const float first = start, last = end;
    const float step = steps > 1 ? rounded(rounded(last - first) / rounded(float(steps - 1))) : 0.0f;
    const float moved = rounded(step * rounded(float(k)));
    return T(first_half ? first + moved : last - moved);
  } else {
    using C = std::conditional_t<std::is_same_v<T, float>, float, double>;
    const C step = steps > 1 ? (C(end) - C(start)) / C(steps - 1) : C(0);
    return convert<T>(first_half ? std::fma(step, C(k), C(start)) : std::fma(-step, C(k), C(end)));
  }
}
template <class T>
T power_element(Scalar from, Scalar to, int64_t steps, double base, int64_t i) {
  if (steps == 1) return convert<T>(std::pow(base, from.as_double()));
  const T start = from.as<T>(), end = to.as<T>();
  const double first = static_cast<double>(start), last = static_cast<double>(end);
  double distance = last - first;
  if constexpr (!std::is_integral_v<T>) distance = static_cast<double>(convert<T>(distance));
  const double step = distance / double(steps - 1);
  const double moved = step * double(i < steps / 2 ? i : steps - 1 - i);
  return convert<T>(std::pow(base, i < steps / 2 ? first + moved : last - moved));
}
template <bool power>
Tensor spaced(Scalar start, Scalar end, int64_t steps, double base, OptDType dtype, OptBool grad) {
  check(steps >= 0, "number of steps must be non-negative");
  const DType d = dtype.value_or(default_dtype());
  if (steps > 1) check_fits(start, d), check_fits(end, d);
  if (d == DType::boolean) {
    check(steps < 2 && !(power && steps), ErrorKind::not_implemented, "\"", power ? "logspace" : "linspace",
          "_cpu\" not implemented for 'Bool'");
    return finish_new(full(Dims{steps}, start, d), grad);
  }
  Tensor out = empty(Dims{steps}, d);
  fill_by_index(out, power ? "logspace" : "linspace", [&]<class T>(int64_t i) {
    return power ? power_element<T>(start, end, steps, base, i) : spaced_element<T>(start, end, steps, i);
  });
  return finish_new(out, grad);
}
// The ends, as numbers or as 0-d tensors.
Scalar end_point(Scalar s, const char*, const char*) { return s; }
Scalar end_point(const Tensor& t, const char* op, const char* which) {
  check(t.dims() == 0, op, " only supports 0-dimensional start and end tensors, but got ", which, " with ", t.dims(),
        " dimension(s).");
  return item_data(t);
}
template <class Start, class End>
Tensor linspace(Start a, End b, int64_t n, OptDType dtype, MemoryFormat, OptDevice, OptBool, OptBool grad) {
  return spaced<false>(end_point(a, "linspace", "start"), end_point(b, "linspace", "end"), n, 0, dtype, grad);
}
template <class Start, class End>
Tensor logspace(Start a, End b, int64_t n, double base, OptDType dtype, MemoryFormat, OptDevice, OptBool, OptBool grad) {
  return spaced<true>(end_point(a, "logspace", "start"), end_point(b, "logspace", "end"), n, base, dtype, grad);
}
#define BULSSI_SPACED(Start, End, start_type, end_type)                                                      \
  OPERATION("linspace(" Start " start, " End " end, int steps, *, " OPTIONS, (linspace<start_type, end_type>), \
            "`steps` numbers from start to end, evenly spaced, both included.",                             \
            {.method = false, .out = true, .differentiable = false})                                        \
  OPERATION("logspace(" Start " start, " End " end, int steps, float base=10.0, *, " OPTIONS,                \
            (logspace<start_type, end_type>), "base to the power of evenly spaced exponents.",              \
            {.method = false, .out = true, .differentiable = false})
BULSSI_SPACED("Scalar", "Scalar", Scalar, Scalar)
BULSSI_SPACED("Tensor", "Tensor", const Tensor&, const Tensor&)
BULSSI_SPACED("Tensor", "Scalar", const Tensor&, Scalar)
BULSSI_SPACED("Scalar", "Tensor", Scalar, const Tensor&)

Tensor eye(int64_t n, int64_t m, OptDType dtype, OptDevice device, OptBool grad) {
  check(n >= 0, "n must be greater or equal to 0, got ", n);
  check(m >= 0, "m must be greater or equal to 0, got ", m);
  Tensor out = zeros(Dims{n, m}, dtype.value_or(default_dtype()));
  fill_data(alias(out, Layout{Dims{std::min(n, m)}, Dims{m + 1}, 0}), Scalar(1));
  return finish_new(out, grad);
}
OPERATION("eye(int n, *, " OPTIONS,
          (+[](int64_t n, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad) {
            return eye(n, n, dtype, device, grad);
          }),
          "The identity matrix.", {.method = false, .out = true, .differentiable = false})
OPERATION("eye(int n, int m, *, " OPTIONS,
          (+[](int64_t n, int64_t m, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad) {
            return eye(n, m, dtype, device, grad);
          }),
          "Ones on the diagonal of an n x m matrix.", {.method = false, .out = true, .differentiable = false})
OPERATION("scalar_tensor(Scalar s, *, " OPTIONS,
          (+[](Scalar s, OptDType dtype, MemoryFormat, OptDevice device, OptBool, OptBool grad) {
            const DType d = dtype.value_or(default_dtype());
            check_fits_filling(s, d);
            return finish_new(full({}, s, d), grad);
          }),
          "A 0-d tensor.", {.method = false, .differentiable = false})

// ---- dtype and device -----------------------------------------------------------------------------------------------

Tensor to(const Tensor& t, OptDevice device, OptDType dtype, bool copy, MemoryFormat format) {
  const DType d = dtype.value_or(t.dtype());
  if (device && *device != t.device()) return moved(t, *device, d);
  if (format.kind > MemoryFormat::preserve && !format.fits(t.layout())) return clone(cast(t, d), format);
  if (d == t.dtype()) return copy ? clone(t) : t;
  return cast(t, d);
}
OPERATION(
    "to(Tensor self, ScalarType dtype, bool non_blocking=False, bool copy=False, *, MemoryFormat? "
    "memory_format=None) -> Tensor",
    (+[](const Tensor& t, DType d, bool, bool copy, MemoryFormat m) { return to(t, std::nullopt, d, copy, m); }),
    "self as another dtype; self itself if nothing changes and copy is False.", {.function = false})
OPERATION(
    "to(Tensor self, Device? device=None, ScalarType? dtype=None, bool non_blocking=False, bool copy=False, *, "
    "MemoryFormat? memory_format=None) -> Tensor",
    (+[](const Tensor& t, OptDevice device, OptDType d, bool, bool copy, MemoryFormat m) {
      return to(t, device ? OptDevice(placement.device) : device, d, copy, m);
    }),
    "self on a device and as a dtype.", {.function = false})
OPERATION(
    "to(Tensor self, Tensor other, bool non_blocking=False, bool copy=False, *, MemoryFormat? "
    "memory_format=None) -> Tensor",
    (+[](const Tensor& t, const Tensor& other, bool, bool copy, MemoryFormat m) {
      return to(t, other.device(), other.dtype(), copy, m);
    }),
    "self with other's dtype and device.", {.function = false})
OPERATION("type_as(Tensor self, Tensor other) -> Tensor",
          (+[](const Tensor& t, const Tensor& other) { return cast(t, other.dtype()); }), "self as other's dtype.",
          {.function = false})
template <DType d>
Tensor as_type(const Tensor& t, MemoryFormat) {
  return cast(t, d);
}
#define BULSSI_CAST(name, tag)                                                                     \
  OPERATION(name "(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor", as_type<DType::tag>, \
            "self as another dtype; self itself if it has it already.", {.function = false})
BULSSI_CAST("float", f32)
BULSSI_CAST("double", f64) BULSSI_CAST("half", f16) BULSSI_CAST("bfloat16", bf16) BULSSI_CAST("int", i32) BULSSI_CAST(
    "long", i64) BULSSI_CAST("short", i16) BULSSI_CAST("char", i8) BULSSI_CAST("byte", u8) BULSSI_CAST("bool", boolean)
    OPERATION("cpu(Tensor self, MemoryFormat? memory_format=None) -> Tensor",
              (+[](const Tensor& t, MemoryFormat m) { return to(t, Device{}, std::nullopt, false, m); }),
              "self in CPU memory: self itself if it is there.",
              {.function = false})
        OPERATION(
            "cuda(Tensor self, Device? device=None, bool non_blocking=False, MemoryFormat? memory_format=None) -> "
            "Tensor",
            (+[](const Tensor&, OptDevice, bool, MemoryFormat) -> Tensor {
              fail(ErrorKind::assertion, "Torch not compiled with CUDA enabled");
            }),
            "self in GPU memory.",
            {.function = false}) OPERATION("alias(Tensor self) -> Tensor", (+[](const Tensor& t) {
                                             return make_view("AliasBackward0", t, t.layout(),
                                                              [](const Tensor& g) { return g; });
                                           }),
                                           "A view of all of self.", {.kind = OpKind::view, .function = false})
            OPERATION("resize_(Tensor self, int[] size, *, MemoryFormat? memory_format=None) -> Tensor",
                      (+[](const Tensor& t, Ints size, MemoryFormat) {
                        check(!(grad_state.enabled && requires_grad(t)), "cannot resize variables that require grad");
                        check_sizes(size);
                        resize_inplace(t, size);
                        return t;
                      }),
                      "Changes the shape of self in place, keeping elements as far as they fit in memory order.",
                      {.function = false, .differentiable = false})
                OPERATION("resize_as_(Tensor self, Tensor the_template, *, MemoryFormat? memory_format=None) -> Tensor",
                          (+[](const Tensor& t, const Tensor& like, MemoryFormat) {
                            check(!(grad_state.enabled && requires_grad(t)),
                                  "cannot resize variables that require grad");
                            resize_inplace(t, like.shape());
                            return t;
                          }),
                          "resize_ to the shape of another tensor.", {.differentiable = false})

}  // namespace
}  // namespace bulssi
