// The operations that other operations are written with.
#pragma once
#include <optional>
#include <vector>

#include "core/autograd/node.h"
#include "core/tensor/tensor.h"

namespace bulssi {

// copy.cpp
Tensor clone(const Tensor& t);
struct MemoryFormat;
Tensor clone(const Tensor& t, MemoryFormat format);
Tensor contiguous(const Tensor& t);
Tensor cast(const Tensor& t, DType dtype);  // recorded; itself if nothing changes
// A recorded copy whose memory is laid out like `layout` (its offset aside); itself if it is already.
Tensor in_layout(const Tensor& t, const Layout& layout);
Tensor copy_(const Tensor& self, const Tensor& from);
Tensor fill_(const Tensor& self, Scalar value);
Tensor fill_(const Tensor& self, const Tensor& value);
Tensor zeros_like(const Tensor& t);
// Gives an out= tensor its shape; warns when it was not empty.
void resize_output(const Tensor& out, Ints shape);
void resize(const Tensor& t, Ints shape);
bool has_nan(const Tensor& t);
void add_data(const Tensor& into, const Tensor& from);                  // unrecorded
Tensor sum_of(const Tensor& a, const Tensor& b);                        // recorded a + b
extern void (*warn)(const char* category, const std::string& message);  // set by the binding

// view.cpp
Tensor as_strided(const Tensor& t, const Layout& layout);
// A copy with t's strides and offset, and with the rest of its storage (no autograd); elements that share memory get
// their own.
Tensor clone_memory(const Tensor& t);
Tensor as_strided_scatter(const Tensor& t, const Tensor& source, const Layout& layout);
// Gradient of showing memory of layout `base` as `view`.
Tensor as_strided_backward(const Tensor& g, const Layout& base, const Layout& view);
Tensor expand(const Tensor& t, Ints shape);
Tensor view(const Tensor& t, Ints shape);
Tensor reshape(const Tensor& t, Ints shape);
Tensor transpose(const Tensor& t, int64_t a, int64_t b);
Tensor permute(const Tensor& t, Ints dims);
Tensor squeeze(const Tensor& t, int64_t dim);
Tensor unsqueeze(const Tensor& t, int64_t dim);
Tensor select_index(const Tensor& t, int64_t dim, int64_t index);
Tensor narrow(const Tensor& t, int64_t dim, int64_t start, int64_t length);
Tensor slice(const Tensor& t, int64_t dim, int64_t start, int64_t end, int64_t step);  // already clamped
inline Tensor mT(const Tensor& t) { return transpose(t, -2, -1); }

// shape.cpp
Tensor at_least(const Tensor& t, int dims);  // of dimension 1 added as atleast_1d, atleast_2d, atleast_3d do

// join.cpp
Tensor cat(Tensors ts, int64_t dim);
Tensor stack(Tensors ts, int64_t dim);
Tensor flip(const Tensor& t, Ints dims);

// reduce.cpp
Tensor sum(const Tensor& t, std::optional<Ints> dims, bool keepdim, std::optional<DType> dtype);
// Undoes broadcasting: sums t to `shape`.
Tensor sum_to(const Tensor& t, Ints shape);

}  // namespace bulssi
