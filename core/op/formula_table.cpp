// What each formula's struct says, as a table for run time. Its interpretations are instantiated here.
#include <cstring>

#include "core/cpu/cpu.h"
#include "core/op/expr.h"
#include "core/op/pointwise.h"
#include "core/op/tensor_math.h"

namespace bulssi {

FormulaOp formulas[formula_count];

static void check_slope(const Scalar* attributes, const char* name) {
  check(attributes[0].as_double() >= 0, "In-place ", name,
        " backward calculation is triggered with a negative slope which is not supported. This is caused by calling "
        "in-place forward function with a negative slope, please call out-of-place version instead.");
}
void check_leaky_relu_of_result(const Scalar* attributes) { check_slope(attributes, "leakyReLu"); }
void check_elu_of_result(const Scalar* attributes) { check_slope(attributes, "elu"); }

namespace {

template <class D, int K, class G, int... I, int... A>
constexpr auto run_partial(std::integer_sequence<int, I...>, std::integer_sequence<int, A...>, const G& g,
                           const auto* args, const auto& y, const auto* attributes) {
  if constexpr (K == 0)
    return D::dx(g, args[I]..., y, attributes[A]...);
  else if constexpr (K == 1)
    return D::dy(g, args[I]..., y, attributes[A]...);
  else
    return D::dz(g, args[I]..., y, attributes[A]...);
}

template <class D, int K>
Tensor recorded(const Tensor& g, const Tensor* args, const Tensor& y, const double* attributes) {
  constexpr auto is = std::make_integer_sequence<int, tensor_count<D>>{};
  constexpr auto as = std::make_integer_sequence<int, attribute_count<D>>{};
  auto out = run_partial<D, K>(is, as, g, args, y, attributes);
  if constexpr (std::is_same_v<decltype(out), Tensor>) {
    return out;
  } else {
    Tensor filled = empty_like(g);
    fill_data(filled, Scalar(double(out)));
    return filled;
  }
}

template <class D, int... I, int... A>
constexpr Uses uses_of(int k, std::integer_sequence<int, I...>, std::integer_sequence<int, A...>) {
  const Uses args[] = {Uses(1u << I, false)...};
  const Uses y(1u << tensor_count<D>, false), g(0u, true);
  const Uses none[] = {Uses(0u, false), ((void)A, Uses(0u, false))...};
  constexpr std::integer_sequence<int, I...> is{};
  constexpr std::integer_sequence<int, A...> as{};
  if constexpr (declares_partial<D, 0>) {
    if (k == 0) return Uses(run_partial<D, 0>(is, as, g, args, y, none));
  }
  if constexpr (declares_partial<D, 1>) {
    if (k == 1) return Uses(run_partial<D, 1>(is, as, g, args, y, none));
  }
  if constexpr (declares_partial<D, 2>) {
    if (k == 2) return Uses(run_partial<D, 2>(is, as, g, args, y, none));
  }
  return Uses(0u, false);
}
// A partial that is one number whatever the arguments are.
template <class D, int K, class I, class A>
constexpr bool is_constant(I is, A as) {
  if constexpr (declares_partial<D, K>) {
    const Uses* none = nullptr;
    return std::is_arithmetic_v<decltype(run_partial<D, K>(is, as, any_use, none, any_use, none))>;
  }
  return false;
}

template <class D, class X, int... I>
auto run_value(const X* in, std::integer_sequence<int, I...>) {
  return D::value(in[I]...);
}
template <class D>
double reference_of(const double* in) {
  return double(run_value<D>(in, std::make_integer_sequence<int, formula_arity<D>>{}));
}
template <class D>
Expr expression_of() {
  Expr args[8];
  for (int i = 0; i < formula_arity<D>; ++i) args[i] = Expr::argument(i);
  return Expr(run_value<D>(args, std::make_integer_sequence<int, formula_arity<D>>{}));
}

template <class D, int K, class I, class A>
constexpr FormulaTraits::Partial partial_of(I is, A as) {
  FormulaTraits::Partial p;
  if constexpr (K < tensor_count<D>) {
    const Uses uses = uses_of<D>(K, is, as);
    p.identity = uses.gradient;
    p.uses = static_cast<uint8_t>(uses.mask);
  }
  p.constant = is_constant<D, K>(is, as);
  if constexpr (declares_partial<D, K>) p.exists = true, p.recorded = recorded<D, K>;
  return p;
}

template <class D>
constexpr FormulaTraits traits_of() {
  constexpr auto is = std::make_integer_sequence<int, tensor_count<D>>{};
  constexpr auto as = std::make_integer_sequence<int, attribute_count<D>>{};
  static_assert(attribute_count<D> <= max_attributes, "a formula with so many attributes: see max_attributes");
  FormulaTraits t;
  t.info = &D::info;
  t.tensors = tensor_count<D>;
  t.attributes = attribute_count<D>;
  t.partial[0] = partial_of<D, 0>(is, as);
  t.partial[1] = partial_of<D, 1>(is, as);
  t.partial[2] = partial_of<D, 2>(is, as);
  for (const auto& partial : t.partial) t.saves |= partial.uses;
  if constexpr (D::info.dtypes != bitwise && D::info.dtypes != Dtypes::integers && !D::info.condition) {
    t.reference = reference_of<D>;
    t.expression = expression_of<D>;
  }
  return t;
}

struct Table {
  FormulaTraits formulas[formula_count];
};
template <int... I>
constexpr Table table_of(std::integer_sequence<int, I...>) {
  return {{traits_of<typename Nth<I>::type>()...}};
}
constexpr Table table = table_of(std::make_integer_sequence<int, formula_count>{});

}  // namespace

void setup_formulas() {
  for (int i = 0; i < formula_count; ++i) {
    FormulaOp& op = formulas[i];
    static_cast<FormulaTraits&>(op) = table.formulas[i];
    op.index = i;
    op.kernels = &cpu::formula_kernels(i);
    op.node_name = op.info->node ? op.info->node : backward_name(op.info->name);
    op.in_place = &op;
    for (const FormulaTraits& other : table.formulas) {
      if (op.info->in_place_as && !std::strcmp(op.info->in_place_as, other.info->name))
        op.in_place = &formulas[&other - table.formulas];
    }
  }
}

}  // namespace bulssi
