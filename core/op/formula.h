// How a pointwise operation is declared: one struct with its value and its partial derivatives as generic functions.
//
//   struct Mul {
//     static constexpr Info info{.name = "mul", .dtypes = arithmetic, .doc = "Product of x and y."};
//     static constexpr auto value(auto x, auto y) { return x * y; }
//     static constexpr auto dx(auto g, auto, auto y, auto) { return g * y; }
//     static constexpr auto dy(auto g, auto x, auto, auto) { return g * x; }
//   };
//   OP(Mul, mul)
//
// Partials receive the gradient of the result, the arguments, the result, and then the attributes (arguments that are
// numbers, not tensors; the signature says which). The same text runs under five interpretations, chosen by the type
// of the arguments: Vec<T> (kernels), Uses (what must be saved), Expr (source text, fusion), Tensor (differentiable
// backward) and double (the reference for tests). So a formula has no branches (`select` instead) and no loop.
#pragma once
#include <cstdint>
#include <utility>

// clang-format off: it lays out the lists of macros below differently each time
namespace bulssi {

enum class DType : uint8_t;
struct Scalar;

// Which element types a formula accepts, and how integers are treated.
enum class Dtypes : uint8_t {
  floating,       // integers and bool become the default floating type first
  arithmetic,     // any; the promoted type
  bitwise,        // integers and bool
  integers,       // integers only
  only_floating,  // integers and bool are refused
};
inline constexpr Dtypes floating = Dtypes::floating, arithmetic = Dtypes::arithmetic, bitwise = Dtypes::bitwise,
                        only_floating = Dtypes::only_floating;
enum class Result : uint8_t { same, boolean };
// What f_ is to the graph: recorded as f is, recorded with gradients of zero, recorded but an error in backward (as f
// itself then is), or nothing at all.
enum class InPlace : uint8_t { recorded, zeros, no_derivative, unrecorded };
// Where an operation can be called: torch.f(x), x.f(), x.f_(), f(…, out=), special.f, nn.functional.f
struct Forms {
  bool function = true, method = true, inplace = true, out = true;
  const char* module = nullptr;  // another home than the top level: "special", "nn.functional"
};

struct Operand;

struct Info {
  const char* name;
  Dtypes dtypes = Dtypes::floating;
  struct Domain {
    double low = -3, high = 3;
  } domain = {};  // where tests draw arguments from
  const char* doc = "";
  const char* signature = nullptr;  // "(Tensor self, Scalar alpha=1)"; by default one Tensor per argument of `value`
  Result result = Result::same;
  // What an error about a dtype calls its kernel, where that is not the name and "_cpu".
  const char* kernel = nullptr;
  const char* node = nullptr;  // name of the backward node where it is not Camel(name) + "Backward0"
  // The same where another one is used when the last, or the first, argument is a number.
  const char *node_of_number = nullptr, *node_of_first_number = nullptr;
  const char* node_in_place = nullptr;  // and where f_ records it
  Forms forms = {};
  const char* no_bool = nullptr;  // the error for bool arguments, where they are refused
  const char* on_bool = nullptr;  // the operation that stands in when all arguments are bool
  const char* aliases = "";       // other names, separated by spaces
  bool divides = false;           // argument 1 is a divisor: for integers it must not hold a zero
  int mixed = 0;                  // integers with floating attributes: 0 truncated, 1 refused, 2 made floating
  // Where Python numbers may stand for tensors: 0 nowhere, 1 but for the first, 2 anywhere but not for all, 3 for all.
  int numbers = 0;
  bool any_number = false;        // its numbers need not fit the dtype of the tensors
  bool condition = false;         // argument 0 is a bool that chooses: no promotion, no gradient, a Mask in kernels
  // Its slopes are constant, but its gradient counts as made from what it reads: differentiated once more, that gets
  // zeros, as in PyTorch, whose gradients of these are operations with derivatives of their own.
  bool joint = false;
  bool once = false;              // as in PyTorch, its gradient cannot be differentiated
  InPlace in_place = InPlace::recorded;
  const char* in_place_as = nullptr;  // the formula whose node f_ records, where it is another one's
  // Fails in backward for attributes for which it has no derivative.
  void (*check_backward)(const Scalar* attributes) = nullptr;
  void (*check)(DType common, const Scalar* attributes) = nullptr;  // fails for attributes that make no sense
  void (*check_arguments)(const Operand* arguments) = nullptr;      // fails for dtypes that do not go together

  constexpr bool number_allowed(int argument) const { return numbers >= 2 || (numbers == 1 && argument > 0); }
};

// Interpretation 2: which of gradient and arguments does a formula read?
struct Uses {
  unsigned mask = 0;      // bit k: argument k (the result comes after the arguments)
  bool gradient = false;  // it is the gradient itself, untouched
  constexpr Uses(unsigned m, bool g) : mask(m), gradient(g) {}
  constexpr Uses(double) {}
  constexpr Uses(const Uses&) = default;
  template <class D, class... Rest>
  static constexpr Uses apply(Rest... rest) {
    return Uses((0u | ... | Uses(rest).mask), false);
  }
};
#define BULSSI_USES(op)                                                               \
  constexpr Uses operator op(Uses a, Uses b) { return Uses(a.mask | b.mask, false); } \
  constexpr Uses operator op(Uses a, double) { return Uses(a.mask, false); }          \
  constexpr Uses operator op(double, Uses a) { return Uses(a.mask, false); }
BULSSI_USES(+)
BULSSI_USES(-) BULSSI_USES(*) BULSSI_USES(/) BULSSI_USES(<) BULSSI_USES(>) BULSSI_USES(<=) BULSSI_USES(>=)
    BULSSI_USES(==) BULSSI_USES(!=) BULSSI_USES(&) BULSSI_USES(|) BULSSI_USES(^) BULSSI_USES(<<) BULSSI_USES(>>)
#undef BULSSI_USES
        constexpr Uses operator-(Uses a) {
  return Uses(a.mask, false);
}
constexpr Uses operator~(Uses a) { return Uses(a.mask, false); }
constexpr Uses operator!(Uses a) { return Uses(a.mask, false); }
constexpr double select(bool c, double a, double b) { return c ? a : b; }  // interpretation 5
template <class A, class B>
constexpr Uses select(Uses c, A a, B b) {
  return Uses(c.mask | Uses(a).mask | Uses(b).mask, false);
}

// Callable under every interpretation that brings its own `apply`; otherwise the text of `value` runs.
template <class A, class... Rest>
struct Interpreter {
  using type = A;
};
template <class... Rest>
  requires(sizeof...(Rest) > 0)
struct Interpreter<double, Rest...> : Interpreter<Rest...> {};

template <class D>
struct Fn {
  template <class... Args>
  constexpr auto operator()(Args... args) const {
    using I = typename Interpreter<Args...>::type;
    if constexpr (requires { I::template apply<D>(args...); })
      return I::template apply<D>(args...);
    else
      return D::value(args...);
  }
};

// Counting what a struct declares.
inline constexpr Uses any_use{0u, false};
template <class D>
inline constexpr int formula_arity = requires { D::value(any_use); }                                       ? 1
                                     : requires { D::value(any_use, any_use); }                            ? 2
                                     : requires { D::value(any_use, any_use, any_use); }                   ? 3
                                     : requires { D::value(any_use, any_use, any_use, any_use); }          ? 4
                                     : requires { D::value(any_use, any_use, any_use, any_use, any_use); } ? 5
                                                                                                           : 0;

constexpr int count_in(const char* text, const char* word) {
  int n = 0;
  for (; *text; ++text) {
    const char *a = text, *b = word;
    while (*b && *a == *b) ++a, ++b;
    n += !*b;
  }
  return n;
}
// Tensor arguments, and attributes (numbers) behind them.
template <class D>
inline constexpr int tensor_count =
    D::info.signature == nullptr ? formula_arity<D> : count_in(D::info.signature, "Tensor ");
template <class D>
inline constexpr int attribute_count = formula_arity<D> - tensor_count<D>;

// Does D declare dx (0), dy (1), dz (2)? They take the gradient, the arguments, the result and the attributes.
namespace detail {
template <class D, int K, int... I>
constexpr bool declares(std::integer_sequence<int, I...>) {
  constexpr auto u = [](int) { return any_use; };
  if constexpr (K == 0)
    return requires { D::dx(any_use, u(I)...); };
  else if constexpr (K == 1)
    return requires { D::dy(any_use, u(I)...); };
  else
    return requires { D::dz(any_use, u(I)...); };
}
}  // namespace detail
template <class D, int K>
inline constexpr bool declares_partial =
    K < tensor_count<D> && detail::declares<D, K>(std::make_integer_sequence<int, formula_arity<D> + 1>{});

template <class D>
concept Formula = requires {
  { D::info.name };
  requires formula_arity<D> >= 1;
  requires tensor_count<D> >= 1 && attribute_count<D> >= 0;
};

// The formulas in order of declaration. The index is the same in every file that includes op/formulas.h, and nothing
// but OP may use __COUNTER__ between its first and its last formula (checked there).
template <int I>
struct Nth {
  using type = void;
};
template <class D>
inline constexpr int index_of = -1;

#define OP(Type, function)                                                                  \
  static_assert(Formula<Type>, #Type                                                        \
                " needs `info` and a generic `value` of 1 to 5 arguments that matches its " \
                "signature, written without branches");                                     \
  inline constexpr Fn<Type> function{};                                                     \
  OP_INDEX(Type, __COUNTER__ - formula_base - 1)
#define OP_INDEX(Type, index) OP_INDEX_(Type, index)
#define OP_INDEX_(Type, index) \
  template <>                  \
  struct Nth<(index)> {        \
    using type = Type;         \
  };                           \
  template <>                  \
  inline constexpr int index_of<Type> = (index);

}  // namespace bulssi
