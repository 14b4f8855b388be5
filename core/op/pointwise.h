// The run-time record of a formula, and calling it on tensors.
#pragma once
#include <array>
#include <string>

#include "core/autograd/node.h"
#include "core/cpu/kernel.h"
#include "core/op/formula.h"
#include "core/tensor/tensor.h"

namespace bulssi {

struct Expr;

inline constexpr int max_attributes = 3;

// An argument of a pointwise operation: a tensor or a number.
struct Operand {
  const Tensor* tensor = nullptr;
  Scalar number;
  Operand() = default;
  Operand(const Tensor& t) : tensor(&t) {}
  Operand(const Scalar& s) : number(s) {}
  Operand(double d) : number(d) {}
  DType dtype() const { return tensor ? tensor->dtype() : number.dtype(); }
};

// What its struct says.
struct FormulaTraits {
  const Info* info = nullptr;
  int8_t tensors = 0, attributes = 0;
  uint8_t saves = 0;  // bit k: argument k; bit `tensors`: the result
  struct Partial {
    bool exists = false;
    bool identity = false;  // the gradient itself
    bool constant = false;  // one number whatever the arguments are
    uint8_t uses = 0;
    // The same text on tensors, recorded: for derivatives of derivatives.
    Tensor (*recorded)(const Tensor& g, const Tensor* args, const Tensor& y, const double* attributes) = nullptr;
  } partial[max_tensors];
  // For tests: the value of arguments and attributes in double, and as an expression.
  double (*reference)(const double* in) = nullptr;
  Expr (*expression)() = nullptr;

  int arity() const { return tensors + attributes; }
  // Whether argument k is recorded; where only some partials are known, backward through the others is an error.
  bool takes_gradient(int k) const {
    return partial[k].exists || info->in_place == InPlace::no_derivative ||
           (differentiable() && !(info->condition && k == 0));
  }
  bool differentiable() const { return partial[0].exists || partial[1].exists || partial[2].exists; }
};
struct FormulaOp : FormulaTraits {
  int index = -1;
  const FormulaKernels* kernels = nullptr;
  std::string node_name;
  const FormulaOp* in_place = nullptr;  // whose node f_ records
};

extern FormulaOp formulas[];
void setup_formulas();  // once, after the ISA is chosen

// The type in which the arguments meet, by PyTorch's rules (tensors with dims, then 0-d tensors, then numbers).
DType promoted_type(std::span<const Operand> args);

[[noreturn]] void fail_devices(Device expected, Device other);  // of two tensors of a call
void check_out_device(Device made, const Tensor& out);          // may a result go into `out`?
// Fails where PyTorch does: "value cannot be converted to type uint8_t without overflow".
void check_fits(Scalar value, DType dtype);
void check_fits_filling(Scalar value, DType dtype);  // the same where halves take infinity for what is too large
// The type in which PyTorch computes: half precision with numbers of float32.
inline DType wide(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16 ? DType::f32 : dtype; }

// Runs the operation. `into`: write there instead of making a result (out=).
Tensor call_formula(const FormulaOp& op, std::span<const Operand> args, const Scalar* attributes,
                    const Tensor* into = nullptr);
// x.f_(…)
Tensor call_formula_inplace(const FormulaOp& op, const Tensor& self, std::span<const Operand> args,
                            const Scalar* attributes);

template <class D, class... Args>
Tensor Tensor::apply(Args... args) {
  constexpr int tensors = tensor_count<D>;
  const Operand all[] = {Operand(args)...};
  Scalar attributes[max_attributes];
  for (int i = tensors; i < int(sizeof...(Args)); ++i) attributes[i - tensors] = all[i].number;
  return call_formula(formulas[index_of<D>], {all, size_t(tensors)}, attributes);
}

}  // namespace bulssi
