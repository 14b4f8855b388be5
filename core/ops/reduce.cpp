// Reductions.
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

// Which dimensions a reduction removes.
struct Reduced {
  Small<bool, 8> gone;
  Dims kept_shape;    // with size 1 where reduced
  Dims result_shape;  // as keepdim says
  Reduced(const Tensor& t, std::optional<Ints> dims, bool keepdim, const char* op) : gone(t.dims(), false) {
    const bool all = !dims || dims->empty();
    for (int i = 0; i < t.dims(); ++i) gone[i] = all;
    if (!all) {
      for (int64_t d : *dims) {
        const int w = wrap_dim(d, t.dims());
        if (t.dims() == 0) continue;
        check(!gone[w], "dim ", w, " appears multiple times in the list of dims");
        gone[w] = true;
      }
    }
    for (int i = 0; i < t.dims(); ++i) {
      kept_shape.push_back(gone[i] ? 1 : t.shape()[i]);
      if (!gone[i]) result_shape.push_back(t.shape()[i]);
      else if (keepdim) result_shape.push_back(1);
    }
    (void)op;
  }
};

}  // namespace

Tensor sum(const Tensor& t, std::optional<Ints> dims, bool keepdim, std::optional<DType> dtype) {
  const DType out_type = dtype.value_or(is_integral(t.dtype()) || t.dtype() == DType::boolean ? DType::i64 : t.dtype());
  const Reduced r(t, dims, keepdim, "sum");
  Tensor in = cast(t, out_type);
  Tensor out = zeros(r.kept_shape, out_type);
  const Tensor d = dense(in);
  dispatch(out_type, "sum", [&]<class T>() {
    const Layout to = out.layout().broadcast(t.shape());
    std::vector<Accumulate<T>> totals(out.numel());
    Dims index(t.dims());
    const T* p = d.data<T>();
    for (int64_t i = 0; i < d.numel(); ++i) {
      int64_t at = 0;
      for (int k = 0; k < t.dims(); ++k) at += index[k] * to.strides[k];
      totals[at] += static_cast<Accumulate<T>>(p[i]);
      for (int k = t.dims(); k-- > 0;) {
        if (++index[k] < t.shape()[k]) break;
        index[k] = 0;
      }
    }
    for (size_t i = 0; i < totals.size(); ++i) out.data<T>()[i] = convert<T>(totals[i]);
  });
  set_layout(out, Layout::of(r.result_shape));
  return record(dims ? "SumBackward1" : "SumBackward0", in, out, [kept = r.kept_shape, shape = t.shape()](const Tensor& g) {
    return expand(reshape(g, kept), shape);
  });
}
OPERATION("sum(Tensor self, *, ScalarType? dtype=None) -> Tensor",
          (+[](const Tensor& self, std::optional<DType> dtype) { return sum(self, std::nullopt, false, dtype); }),
          "Sum of all elements.")
OPERATION("sum(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor", sum,
          "Sum over dimensions.", {.out = true})

Tensor sum_to(const Tensor& t, Ints shape) {
  if (t.shape() == Dims(shape)) return t;
  const int lead = t.dims() - static_cast<int>(shape.size());
  Dims gone;
  for (int i = 0; i < t.dims(); ++i) {
    if (i < lead || (shape[i - lead] == 1 && t.shape()[i] != 1)) gone.push_back(i);
  }
  if (gone.empty()) return reshape(t, shape);
  return reshape(sum(t, Ints(gone), true, std::nullopt), shape);
}

}  // namespace bulssi
