// Every operation by name. Entries come from the formulas and from OPERATION and ALTER beside each function; nothing
// else lists operations. Python functions, methods, in-place and out= forms, stubs and tests are loops over it.
#pragma once
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "core/autograd/node.h"
#include "core/op/formula.h"
#include "core/op/signature.h"
#include "core/tensor/tensor.h"

namespace bulssi {

class Generator;
struct FormulaOp;

// One argument, parsed. Which field holds it follows from the parameter's type.
struct Value {
  bool present = false;  // not None
  union {
    int64_t i;
    double d;
    bool b;
    DType dtype;
    Generator* generator;
  };
  Tensor tensor;
  Scalar number;
  Dims ints;
  Small<double, 4> doubles;
  std::vector<Tensor> tensors;
  std::string text;
  Device device;
  Value() : i(0) {}
};

struct Outcome {
  enum class Kind : uint8_t { none, tensor, tensors, tuple, boolean, integer, floating, scalar } kind = Kind::none;
  Tensor tensor;
  std::vector<Tensor> tensors;
  Scalar number;
};

enum class OpKind : uint8_t { pointwise, kernel, view, alter, composite };

// What autocast makes of the floating arguments of a call: the lower precision where that is quick and safe enough,
// float32 where it is not, the widest of those given; `products` is `lower` for more than one tensor. A composite is
// left alone, its parts are converted; unless it is `as_is`, because PyTorch's version is made of other parts.
enum class Autocast : uint8_t { composite, lower, products, float32, widest, as_is };

struct Traits {
  OpKind kind = OpKind::kernel;
  bool copy = false;  // of a view: there is f_copy, too, which gives the same elements in memory of their own
  bool function = true, method = true;
  bool inplace = false;  // x.f_(…) by way of f
  bool out = false;      // f(…, out=)
  bool differentiable = true;
  const char* module = nullptr;  // home other than the top level
  const char* aliases = "";
  const char* dtypes = "all";
  bool variadic = false;  // f(a, b, c) for f([a, b, c])
  // What f(…, out=) makes of an out of another dtype than the result's. By kind: pointwise and composite operations
  // convert to it where its category allows; others refuse it, or where they have a `dtype` compute in it.
  enum class Out : uint8_t { by_kind, converted, exact } out_dtype = Out::by_kind;
  bool apart = false;  // out may not share memory with an argument that is read, not even all of it
  Autocast autocast = Autocast::composite;
  const char* shown = nullptr;  // of a composite: the one node that its part of the graph is shown as
  // How many arguments overloads of the function take that PyTorch has beside these: a wrong call that fits several
  // overloads by number is told of all.
  struct Also {
    int least = 0, most = -1;
  } also = {};
  bool inplace_rule = false;  // PyTorch has a rule of its own for f_, and names its node so
};

using Call = Outcome (*)(Value* arguments);

struct Operation {
  std::string name;
  Signature signature;
  std::string doc;
  Traits traits;
  Call call = nullptr;          // f(…)
  Call call_inplace = nullptr;  // writes its first argument (ALTER); null: derived where traits.inplace
  bool copies = false;          // the result is a copy of what call gives
  const FormulaOp* formula = nullptr;
};

// What the operation makes of its arguments.
Outcome run(const Operation& op, Value* v);

// In order of registration; overloads of a name are separate entries, tried in that order.
std::vector<Operation>& registry();
void register_formulas();

// ---- functions as operations ----------------------------------------------------------------------------------------

template <size_t N>
struct Text {
  char chars[N];
  constexpr Text(const char (&text)[N]) {
    for (size_t i = 0; i < N; ++i) chars[i] = text[i];
  }
  constexpr std::string_view view() const { return {chars, N - 1}; }
};

// The order of memory that a result shall have; `none` leaves it to the operation. (Arguments of type Layout arrive as
// `none`, too: there is only one layout.)
struct MemoryFormat {
  enum Kind : int { none, preserve, contiguous, channels_last, channels_last_3d } kind = none;
  // The dense layout of a shape in this order; row-major for none and preserve.
  Layout of(Ints shape) const;
  bool fits(const Layout& layout) const;  // is memory of that layout in this order?
};
template <class T>
struct Argument;
#define BULSSI_ARGUMENT(type, schema_type, expression)    \
  template <>                                             \
  struct Argument<type> {                                 \
    static constexpr std::string_view name = schema_type; \
    static type take(Value& v) { return expression; }     \
  };
BULSSI_ARGUMENT(const Tensor&, "Tensor", v.tensor)
BULSSI_ARGUMENT(Scalar, "Scalar", v.number)
BULSSI_ARGUMENT(int64_t, "int", v.i)
BULSSI_ARGUMENT(double, "float", v.d)
BULSSI_ARGUMENT(bool, "bool", v.b)
BULSSI_ARGUMENT(DType, "ScalarType", v.dtype)
BULSSI_ARGUMENT(std::string_view, "str", std::string_view(v.text))
BULSSI_ARGUMENT(Generator*, "Generator", v.present ? v.generator : nullptr)
BULSSI_ARGUMENT(MemoryFormat, "MemoryFormat",
                MemoryFormat{v.present ? static_cast<MemoryFormat::Kind>(v.i) : MemoryFormat::none})
BULSSI_ARGUMENT(Device, "Device", v.device)
BULSSI_ARGUMENT(Ints, "int[", Ints(v.ints))
BULSSI_ARGUMENT(std::span<const double>, "float[", std::span<const double>(v.doubles.data(), v.doubles.size()))
BULSSI_ARGUMENT(Tensors, "Tensor[", Tensors(v.tensors))
#undef BULSSI_ARGUMENT
template <class T>
struct Argument<std::optional<T>> {
  static constexpr std::string_view name = Argument<T>::name;
  static constexpr bool optional = true;
  static std::optional<T> take(Value& v) { return v.present ? std::optional<T>(Argument<T>::take(v)) : std::nullopt; }
};

inline Outcome outcome(Outcome o) { return o; }  // where a flag decides what comes back
inline Outcome outcome(Tensor t) {
  Outcome o;
  o.kind = Outcome::Kind::tensor;
  o.tensor = std::move(t);
  return o;
}
inline Outcome outcome(std::vector<Tensor> ts) {
  Outcome o;
  o.kind = Outcome::Kind::tensors;
  o.tensors = std::move(ts);
  return o;
}
template <class... T>
Outcome outcome(std::tuple<T...> ts) {
  Outcome o;
  o.kind = Outcome::Kind::tuple;
  std::apply([&](auto&... t) { (o.tensors.push_back(std::move(t)), ...); }, ts);
  return o;
}
inline Outcome outcome(bool b) {
  Outcome o;
  o.kind = Outcome::Kind::boolean;
  o.number = Scalar(b);
  return o;
}
inline Outcome outcome(int64_t i) {
  Outcome o;
  o.kind = Outcome::Kind::integer;
  o.number = Scalar(i);
  return o;
}
inline Outcome outcome(double d) {
  Outcome o;
  o.kind = Outcome::Kind::floating;
  o.number = Scalar(d);
  return o;
}
inline Outcome outcome(Scalar s) {
  Outcome o;
  o.kind = Outcome::Kind::scalar;
  o.number = s;
  return o;
}

// The parameter types of a schema agree with those of a C++ function.
template <class... A>
constexpr bool schema_matches(std::string_view text) {
  constexpr std::string_view wanted[] = {Argument<A>::name..., ""};
  constexpr bool optional[] = {requires { Argument<A>::optional; }..., false};
  size_t i = 0;
  bool agrees = true;
  schema::split(schema::parameters_of(text), [&](std::string_view part) {
    if (part == "*") return;
    const std::string_view type = schema::type_of(part);
    if (i >= sizeof...(A)) {
      agrees = false;
      return;
    }
    const bool ignored = wanted[i] == "MemoryFormat" && type.substr(0, 6) == "Layout";
    const bool prefix = ignored || type.substr(0, wanted[i].size()) == wanted[i];
    const bool list = schema::find(type, '[') != std::string_view::npos;
    agrees = agrees && prefix && list == (wanted[i].back() == '[');
    // An undefined Tensor and a null Generator stand for None.
    const bool none_inside = wanted[i] == "Tensor" || wanted[i] == "Generator" || wanted[i] == "MemoryFormat";
    if (!none_inside) agrees = agrees && (type.back() == '?') == optional[i];
    ++i;
  });
  return agrees && i == sizeof...(A);
}

template <class R, class... A, size_t... I>
Outcome invoke(R (*function)(A...), Value* v, std::index_sequence<I...>) {
  if constexpr (std::is_void_v<R>) {
    function(Argument<A>::take(v[I])...);
    return {};
  } else {
    return outcome(function(Argument<A>::take(v[I])...));
  }
}

struct Registered {
  Registered(std::string_view schema, Call call, Call inplace, const char* doc, const Traits& traits = {});
};

template <Text schema, auto function>
struct Wrapped;
template <Text schema, class R, class... A, R (*function)(A...)>
struct Wrapped<schema, function> {
  static_assert(schema_matches<A...>(schema.view()), "the schema and the C++ function have different parameters");
  static Outcome call(Value* v) { return invoke(function, v, std::index_sequence_for<A...>{}); }
};

#define BULSSI_CAT_(a, b) a##b
#define BULSSI_CAT(a, b) BULSSI_CAT_(a, b)
// OPERATION("name(Tensor self, …) -> Tensor", function, doc, {.kind = …}) at namespace scope in a .cpp file.
#define OPERATION(schema, function, doc, ...)                             \
  static const ::bulssi::Registered BULSSI_CAT(registered_, __COUNTER__)( \
      schema, ::bulssi::Wrapped<schema, function>::call, nullptr, doc __VA_OPT__(, ::bulssi::Traits) __VA_ARGS__);

// ---- operations that change some elements of self -------------------------------------------------------------------
//
// struct F {
//   static void write(const Tensor& self, …);        // the data, in place; no autograd
//   static Ref<Node> node(const Tensor& self, …);    // the backward; called before the write, only when recording
// };
// ALTER("f(Tensor self, …) -> Tensor", F, doc) makes f and f_. F::node of an in-place call gets a snapshot where it
// asks for one (it must not save `self` itself).
// Optional: F::row_major where f's result is contiguous whatever self's order of memory, F::inplace_node for another
// name of the node in place, F::overlap for what elements that share memory mean, F::apart where no argument may share
// memory with self, F::check for arguments that are refused before those that share memory.

inline bool any_recording() { return false; }
template <class T, class... Rest>
bool any_recording(const T& first, const Rest&... rest) {
  if constexpr (std::is_same_v<T, Tensor>) {
    if (first && recording(first)) return true;
  } else if constexpr (std::is_same_v<T, Tensors>) {
    for (const Tensor& t : first) {
      if (t && recording(t)) return true;
    }
  } else if constexpr (std::is_same_v<T, std::optional<Scalar>>) {
  }
  return any_recording(rest...);
}

template <class T>
void check_apart(const Tensor& self, const T& argument) {
  if constexpr (std::is_same_v<T, Tensor>) check_no_overlap(self, self.shape(), argument);
}

template <class F, class... A>
Tensor alter(const Tensor& self, A... args) {
  Ref<Node> node;
  if (is_differentiable(self.dtype()) && any_recording(self, args...)) node = F::node(self, args...);
  constexpr bool row_major = requires { F::row_major; };
  Tensor out = row_major ? empty(self.shape(), self.dtype()) : empty_like(self);
  if constexpr (requires { F::check(self, args...); }) F::check(self, args...);
  copy_data(out, self);
  F::write(out, args...);
  if (node) set_producer(out, std::move(node));
  return out;
}
template <class F, class... A>
Tensor alter_inplace(const char* name, const Tensor& self, A... args) {
  const bool record = any_recording(self, args...);
  {
    GradMode mode(record);
    check_history(self, name);
  }
  // As PyTorch, what concerns the graph comes before what concerns memory.
  Ref<Node> node;
  if (record && is_differentiable(self.dtype())) {
    if constexpr (requires { F::inplace_node(self, args...); })
      node = F::inplace_node(self, args...);
    else
      node = F::node(self, args...);
  }
  if constexpr (requires { F::check(self, args...); }) F::check(self, args...);
  Overlap overlap = Overlap::refused;
  if constexpr (requires { F::overlap; }) overlap = F::overlap;
  check_overlap(self, name, overlap);
  if constexpr (requires { F::apart; }) (check_apart(self, args), ...);
  check_writable(self, name);
  F::write(self, args...);
  changed_inplace(self, std::move(node), name);
  return self;
}

template <Text schema, class F, class = decltype(&F::write)>
struct Altered;
template <Text schema, class F, class... A>
struct Altered<schema, F, void (*)(const Tensor&, A...)> {
  static_assert(schema_matches<const Tensor&, A...>(schema.view()),
                "the schema and F::write have different parameters");
  static constexpr auto name_text() {
    struct Name {
      char chars[64] = {};
    } n;
    const std::string_view v = schema.view();
    for (size_t i = 0; i < 63 && v[i] != '('; ++i) n.chars[i] = v[i];
    return n;
  }
  static constexpr auto name = name_text();
  template <size_t... I>
  static Outcome run(Value* v, std::index_sequence<I...>) {
    return outcome(alter<F, A...>(v[0].tensor, Argument<A>::take(v[I + 1])...));
  }
  template <size_t... I>
  static Outcome run_inplace(Value* v, std::index_sequence<I...>) {
    return outcome(alter_inplace<F, A...>(name.chars, v[0].tensor, Argument<A>::take(v[I + 1])...));
  }
  static Outcome call(Value* v) { return run(v, std::index_sequence_for<A...>{}); }
  static Outcome call_inplace(Value* v) { return run_inplace(v, std::index_sequence_for<A...>{}); }
};
#define ALTER(schema, F, doc, ...)                                                                                   \
  static const ::bulssi::Registered BULSSI_CAT(registered_, __COUNTER__)(schema, ::bulssi::Altered<schema, F>::call, \
                                                                         ::bulssi::Altered<schema, F>::call_inplace, \
                                                                         doc, ::bulssi::Traits __VA_ARGS__);

// Where a call happens (Note [Devices]).
Device device_of_call(const Operation& op, const Value* arguments);

// x.f_(…) for an operation that only exists as f: runs f on a stand-in for x, writes the result into x and lets x take
// over its history.
Tensor run_inplace(const Operation& op, Value* arguments);
// f(…, out=…)
Outcome run_out(const Operation& op, Value* arguments, std::span<const Tensor> out);

}  // namespace bulssi
