// What complex numbers have and real ones have trivially. There are no complex tensors, so that every self is real.
#include "core/op/registry.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

Tensor itself(const Tensor& t) { return t; }
bool never(const Tensor&) { return false; }

OPERATION("conj(Tensor self) -> Tensor", itself, "The complex conjugate: a real self itself.", {.kind = OpKind::view})
OPERATION("conj_physical(Tensor self) -> Tensor", itself, "The complex conjugate, computed: a real self itself.",
          {.kind = OpKind::composite, .inplace = true, .out = true, .out_dtype = Traits::Out::exact})
OPERATION("resolve_conj(Tensor self) -> Tensor", itself, "self without a pending conjugation.", {.kind = OpKind::view})
OPERATION("resolve_neg(Tensor self) -> Tensor", itself, "self without a pending negation.", {.kind = OpKind::view})
OPERATION("is_conj(Tensor self) -> bool", never, "Is a conjugation pending?",
          {.kind = OpKind::composite, .differentiable = false})
OPERATION("is_neg(Tensor self) -> bool", never, "Is a negation pending?",
          {.kind = OpKind::composite, .differentiable = false})
OPERATION("isreal(Tensor self) -> Tensor",
          (+[](const Tensor& t) { return full(t.shape(), Scalar(true), DType::boolean); }), "Has no imaginary part.",
          {.kind = OpKind::composite, .differentiable = false})
OPERATION("real(Tensor self) -> Tensor", itself, "The real part: a real self itself.",
          {.kind = OpKind::view, .method = false})

}  // namespace
}  // namespace bulssi
