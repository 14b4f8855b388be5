// What the reductions share: which dimensions go, and the engine on tensors.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <tuple>
#include <utility>

#include "core/cpu/cpu.h"
#include "core/cpu/reduce.h"
#include "core/op/registry.h"
#include "core/ops/basics.h"

namespace bulssi {

// Which dimensions a reduction removes.
struct Reduced {
  uint64_t gone = 0;
  bool all = false;                         // every dimension goes (or there is none)
  int64_t count = 1;                        // elements that become one
  Dims result_shape;                        // as keepdim says
  Dims kept_shape(const Tensor& t) const {  // with size 1 where reduced
    Dims kept = t.shape();
    for (int i = 0; i < t.dims(); ++i) {
      if (gone >> i & 1) kept[i] = 1;
    }
    return kept;
  }
  // No dims (or an empty list): all of them.
  Reduced(const Tensor& t, std::optional<Ints> dims, bool keepdim);
  // One dimension.
  Reduced(const Tensor& t, int dim, bool keepdim);

 private:
  void finish(const Tensor& t, bool keepdim);
};

// The dtype that kernels of t compute in, and t in it (no autograd).
inline DType compute_dtype(DType d) {
  const Compute c = cpu::compute_of(d);
  return cpu::is_direct(d, c) ? d : cpu::dtype_of_compute(c);
}
inline Tensor in_compute(const Tensor& t) { return cast_data(t, compute_dtype(t.dtype())); }
// Kernels of floating types only: 0 for float, 1 for double.
inline int float_index(DType compute) { return compute == DType::f64; }

// Reduces t, whose dtype is a compute dtype; the result has that dtype and r.result_shape. c: the parameter of the
// monoid's map, one number or (contiguous) one for each result.
Tensor reduce_data(cpu::Monoid m, const Tensor& t, const Reduced& r, const Tensor& c = {});
// The same for any dtype, which the result gets back. Sums and products of bytes are formed in int64.
Tensor reduce_any(cpu::Monoid m, const Tensor& t, const Reduced& r);
// outer x reduced x inner of a contiguous tensor along one dimension.
cpu::ReduceShape shape_along(const Tensor& t, int dim);

// g, a gradient of a reduced result, with the removed dimensions back as size 1.
Tensor restored(const Tensor& g, const Dims& kept);
// Fails as PyTorch does where a dimension of size 0 would have to give an element.
void check_not_empty(const Tensor& t, const Reduced& r, const char* op, bool by_dim);

// Records several results of one operation. Gradients arrive for those that can have one: of others after the last of
// these (indices, error codes) the node does not know, nor do its hooks.
template <class F>
void record_all(const char* name, std::initializer_list<const Tensor*> inputs, std::initializer_list<Tensor> results,
                F rule, std::initializer_list<Keep> keeps = {}) {
  if (!recording(inputs)) return;
  Ref<Node> node = make_node(name, inputs, std::move(rule));
  uint32_t index = 0;
  for (const Keep& k : keeps) {
    uint32_t which = 0;
    if (k.is_result) {
      for (const Tensor& r : results) {
        if (r.same(k.tensor)) break;
        ++which;
      }
    }
    node->saved.push_back(Saved(k.tensor, k.is_result, which));
  }
  for (const Tensor& r : results) {
    ++index;
    if (!is_differentiable(r.dtype())) continue;
    set_producer(r, node, index - 1);
    node->results = static_cast<uint16_t>(index);
  }
}

Tensor mean(const Tensor& t, std::optional<Ints> dims, bool keepdim, std::optional<DType> dtype = {});
Tensor prod(const Tensor& t, int64_t dim, bool keepdim, std::optional<DType> dtype = {});
Tensor amax(const Tensor& t, Ints dims, bool keepdim);
Tensor amin(const Tensor& t, Ints dims, bool keepdim);
Tensor cumsum(const Tensor& t, int64_t dim, std::optional<DType> dtype = {});
Tensor cumprod(const Tensor& t, int64_t dim, std::optional<DType> dtype = {});
Tensor softmax(const Tensor& t, int64_t dim, std::optional<DType> dtype = {});
Tensor log_softmax(const Tensor& t, int64_t dim, std::optional<DType> dtype = {});
Tensor logsumexp(const Tensor& t, Ints dims, bool keepdim);
Tensor vector_norm(const Tensor& t, double order, std::optional<Ints> dims, bool keepdim,
                   std::optional<DType> dtype = {});
// Elements of t at `index` (int64, size 1 along dim), and the inverse: zeros with g put there. Each other's gradient.
Tensor take_along(const Tensor& t, int dim, const Tensor& index);
Tensor put_along(const Tensor& g, int dim, const Tensor& index, int64_t size);

}  // namespace bulssi
