// Indexing: views by numbers and slices, selection by tensors and masks.
#pragma once
#include <functional>
#include <vector>

#include "core/autograd/node.h"
#include "core/tensor/tensor.h"

namespace bulssi {

// ---- parts of a tensor as layouts over its row-major form -----------------------------------------------------------

// What `part` (a layout over Layout::of(t.shape())) shows of t, as a copy; embed is its gradient, and the reverse.
Tensor extract(const Tensor& t, const Layout& part);
// Zeros of `shape` with g where `part` looks.
Tensor embed(const Tensor& g, Ints shape, const Layout& part);
// A copy of self, laid out like it, with source where `part` of its layout looks.
using PartOf = std::function<Layout(const Layout& whole)>;
Tensor overwrite(const char* node, const Tensor& self, const Tensor& source, const PartOf& part);

// x[1, 2:3, None, …]: one view, one node, whatever the number of steps.
class BasicIndex {
 public:
  explicit BasicIndex(const Tensor& self);
  void select(int dim, int64_t index, int shown_dim);
  void slice(int dim, int64_t start, int64_t count, int64_t step);
  void unsqueeze(int dim);
  const Layout& layout() const { return layout_; }
  bool changed() const { return changed_; }
  // Fails if self has been given other memory since, by code that converting an index ran.
  void check_inside() const;
  Tensor view() const;        // recorded
  Tensor unrecorded() const;  // for writing where no gradient is involved
 private:
  const Tensor& self_;
  Layout layout_;
  Layout part_;  // the same over Layout::of(self.shape()), kept only where it will be recorded
  const char* node_ = "AliasBackward0";
  bool track_, changed_ = false;
};

// ---- advanced indexing (index.cpp) ----------------------------------------------------------------------------------

// Undefined entries of `indices` take whole dimensions. Masks count for as many dimensions as they have.
Tensor index(const Tensor& self, Tensors indices);
Tensor index_put(const Tensor& self, Tensors indices, const Tensor& values, bool accumulate);
Tensor index_put_(const Tensor& self, Tensors indices, const Tensor& values, bool accumulate);
// Unrecorded: writes (or adds) values into self[indices].
void put_data(const Tensor& self, Tensors indices, const Tensor& values, bool accumulate);
// An index tensor as dense int64.
Tensor index_data(const Tensor& index);
// Apart from the memory of `written`.
Tensor apart(const Tensor& t, const Tensor& written);
[[noreturn]] void fail_bounds(ErrorKind kind, int64_t index, int64_t dim, int64_t size);

// ---- masks (masked.cpp) ---------------------------------------------------------------------------------------------

// The set elements of a dense mask, block by block: starts[b] of them lie before block b.
struct MaskCount {
  static constexpr int64_t block = 16384;
  std::vector<int64_t> starts;
  int64_t total = 0;
  explicit MaskCount(const Tensor& mask);
};
Tensor mask_data(const Tensor& t);                     // dense bool
Tensor mask_positions(const Tensor& mask);             // row-major positions of the set elements, int64
std::vector<Tensor> nonzero_columns(const Tensor& t);  // one dense int64 tensor per dimension
Tensor nonzero(const Tensor& t);
Tensor masked_fill(const Tensor& self, const Tensor& mask, Scalar value);
Tensor masked_select(const Tensor& self, const Tensor& mask);
Tensor masked_scatter(const Tensor& self, const Tensor& mask, const Tensor& source);
void masked_fill_data(const Tensor& self, const Tensor& mask, const Tensor& value);  // value: one element, self's dtype

// ---- along a dimension (gather.cpp) ---------------------------------------------------------------------------------

// self as a tensor of at least one dimension, on the same memory (unrecorded).
inline Tensor with_dim(const Tensor& t) { return t.dims() ? t : alias(t, Layout{Dims{1}, Dims{1}, t.layout().offset}); }
Tensor index_select(const Tensor& self, int64_t dim, const Tensor& index);
Tensor gather(const Tensor& self, int64_t dim, const Tensor& index, bool sparse_grad);
Tensor scatter_add(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& source);

}  // namespace bulssi
