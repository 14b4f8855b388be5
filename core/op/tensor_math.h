// Interpretation 4 of a formula: operators on tensors, each of them the operation of that name.
#pragma once
#include "core/op/formulas.h"
#include "core/op/pointwise.h"

// clang-format off: it lays out the lists of macros below differently each time
namespace bulssi {

#define BULSSI_TENSOR(op, fn)                                                                     \
  inline Tensor operator op(const Tensor& a, const Tensor& b) { return Tensor::apply<fn>(a, b); } \
  inline Tensor operator op(const Tensor& a, double b) { return Tensor::apply<fn>(a, b); }        \
  inline Tensor operator op(double a, const Tensor& b) { return Tensor::apply<fn>(a, b); }
BULSSI_TENSOR(+, Add)
BULSSI_TENSOR(-, Sub) BULSSI_TENSOR(*, Mul) BULSSI_TENSOR(/, Div) BULSSI_TENSOR(<, Lt) BULSSI_TENSOR(>, Gt)
    BULSSI_TENSOR(<=, Le) BULSSI_TENSOR(>=, Ge) BULSSI_TENSOR(==, Eq) BULSSI_TENSOR(!=, Ne) BULSSI_TENSOR(&, LogicalAnd)
        BULSSI_TENSOR(|, LogicalOr)
#undef BULSSI_TENSOR
            inline Tensor operator-(const Tensor& a) {
  return Tensor::apply<Neg>(a);
}
// No operator!: `!t` asks whether t is undefined. Partials swap the branches of `select` instead.
template <class A, class B>
Tensor select(const Tensor& condition, const A& a, const B& b) {
  return Tensor::apply<Where>(condition, a, b);
}

}  // namespace bulssi
