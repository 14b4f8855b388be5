// Interpretation 3 of a formula: a hash-consed expression graph. Equal subexpressions are one entry, so the text for a
// device computes each once; fusion joins graphs.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

// clang-format off: it lays out the lists of macros below differently each time
namespace bulssi {

struct Expr {
  static constexpr bool is_symbolic = true;
  int32_t entry = -1;

  Expr() = default;
  Expr(double constant);
  static Expr argument(int index);
  template <class... Rest>
  static Expr call(const char* function, Rest... arguments) {
    const Expr list[] = {arguments...};
    return make(function, list, {});
  }
  // A call of a primitive, with the routine that computes it.
  template <class F, class... Rest>
  static Expr primitive(const char* function, F routine, Rest... arguments) {
    const Expr list[] = {arguments...};
    Routine r;
    if constexpr (sizeof...(Rest) == 1)
      r.one = routine;
    else if constexpr (sizeof...(Rest) == 2)
      r.two = routine;
    else
      r.three = routine;
    return make(function, list, r);
  }
  struct Routine {
    double (*one)(double) = nullptr;
    double (*two)(double, double) = nullptr;
    double (*three)(double, double, double) = nullptr;
  };
  static Expr make(const char* function, std::span<const Expr> arguments, Routine routine);

  // The value for given arguments.
  double evaluate(std::span<const double> arguments) const;
  // Statements and a final expression in C syntax; arguments are named by `names`, `type` is the element type.
  std::string text(std::span<const std::string> names, const std::string& type) const;
};

#define BULSSI_EXPR(op)                                                             \
  inline Expr operator op(Expr a, Expr b) { return Expr::call(#op, a, b); }         \
  inline Expr operator op(Expr a, double b) { return Expr::call(#op, a, Expr(b)); } \
  inline Expr operator op(double a, Expr b) { return Expr::call(#op, Expr(a), b); }
BULSSI_EXPR(+)
BULSSI_EXPR(-) BULSSI_EXPR(*) BULSSI_EXPR(/) BULSSI_EXPR(<) BULSSI_EXPR(>) BULSSI_EXPR(<=) BULSSI_EXPR(>=)
    BULSSI_EXPR(==) BULSSI_EXPR(!=) BULSSI_EXPR(&) BULSSI_EXPR(|)
#undef BULSSI_EXPR
        inline Expr operator-(Expr a) {
  return Expr::call("neg", a);
}
inline Expr operator!(Expr a) { return Expr::call("!", a); }
template <class A, class B>
  requires(std::is_convertible_v<A, Expr> && std::is_convertible_v<B, Expr>)
Expr select(Expr c, A a, B b) {
  return Expr::call("select", c, Expr(a), Expr(b));
}

}  // namespace bulssi
