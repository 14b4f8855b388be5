// Copies, casts, fills and resizing.
#include <cmath>
#include <cstring>

#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/index.h"
#include "core/ops/channel_order.h"

namespace bulssi {

void (*warn)(const char* category, const std::string& message) = [](const char*, const std::string&) {};

Tensor clone(const Tensor& t) {
  Tensor out = empty_like(t);
  copy_data(out, t);
  return record("CloneBackward0", t, out, [](const Tensor& g) { return g; });
}
Tensor clone(const Tensor& t, MemoryFormat format) {
  if (format.kind <= MemoryFormat::preserve) return clone(t);
  Tensor out = empty_strided(format.of(t.shape()), t.dtype());
  copy_data(out, t);
  return record("CloneBackward0", t, out, [](const Tensor& g) { return g; });
}
OPERATION("clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor",
          (+[](const Tensor& self, MemoryFormat format) { return clone(self, format); }),
          "A copy of self with its own memory. Differentiable.")

Tensor contiguous(const Tensor& t) {
  if (t.contiguous()) return t;
  Tensor out = empty(t.shape(), t.dtype());
  copy_data(out, t);
  return record("CloneBackward0", t, out, [](const Tensor& g) { return g; });
}
OPERATION("contiguous(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor",
          (+[](const Tensor& self, MemoryFormat format) {
            check(format.kind != MemoryFormat::preserve,
                  "preserve memory format is unsupported by the contiguous "
                  "operator");
            if (format.kind <= MemoryFormat::contiguous) return contiguous(self);
            return format.fits(self.layout()) ? self : clone(self, format);
          }),
          "self in row-major memory: self itself if it is so already, else a copy.", {.function = false})

Tensor cast(const Tensor& t, DType dtype) {
  if (t.dtype() == dtype) return t;
  const DType before = t.dtype();
  return record("ToCopyBackward0", t, cast_data(t, dtype), [before](const Tensor& g) { return cast(g, before); });
}

Tensor in_layout(const Tensor& t, const Layout& layout) {
  if (t.strides() == layout.strides && t->storage->refs == 1 && !t->is_view) return t;
  Layout placed = layout;
  placed.offset = 0;
  Tensor out = empty_strided(placed, t.dtype());
  if (!layout.dense()) fill_data(out, Scalar(0));
  copy_data(out, t);
  return record("CloneBackward0", t, out, [](const Tensor& g) { return g; });
}

namespace {
// Are the channels last in memory? Where sizes of 1 leave it open the answer is no, as PyTorch's.
bool channels_last(const Tensor& t) {
  const int last = t.dims() - 1;
  if (last != 3 && last != 4) return false;
  int64_t least = 0;
  const auto wider = [&](int d) {
    const int64_t size = t.shape()[d], stride = t.strides()[d];
    if (size == 0 || stride < least || (d == 0 && least == t.strides()[1])) return false;
    least = stride * std::max<int64_t>(size, 1);
    return true;
  };
  if (t.strides()[1] == 0 || !wider(1)) return false;
  for (int d = last; d >= 2; --d) {
    if (!wider(d)) return false;
  }
  return wider(0);
}
}  // namespace
Tensor in_channel_order(Tensor out, const Tensor& a, const Tensor& b) {
  if ((a.contiguous() && (!b || b.contiguous())) || out.dims() != a.dims()) return out;
  if (!channels_last(a) && !(b && channels_last(b))) return out;
  const MemoryFormat format{out.dims() == 4 ? MemoryFormat::channels_last : MemoryFormat::channels_last_3d};
  const Tensor ordered = empty_strided(format.of(out.shape()), out.dtype());
  copy_data(ordered, out);
  return ordered;
}

namespace {
struct Copy {
  static void write(const Tensor& self, const Tensor& src, bool) {
    if (!(self.shape() == src.shape())) {
      const Dims both = broadcast_shapes(self.shape(), src.shape());
      check(both == self.shape(), "output with shape ", Ints(self.shape()), " doesn't match the broadcast shape ",
            Ints(both));
    }
    check_no_partial_overlap(self, src);
    copy_data(self, src);
  }
  static Ref<Node> node(const Tensor& self, const Tensor& src, bool) {
    const Dims shape = src.shape();
    const DType dtype = src.dtype();
    return make_node("CopyBackwards", {&self, &src}, [shape, dtype](BackwardCall& c) {
      if (c.needs(0)) c.set(0, zeros_like(c.grad()));
      if (c.needs(1)) c.set(1, cast(sum_to(c.grad(), shape), dtype));
    });
  }
};
// x.copy_(x): recorded as any copy, but nothing is written.
struct CopySelf : Copy {
  static constexpr Overlap overlap = Overlap::allowed;
  static void write(const Tensor&, const Tensor&, bool) {}
};
struct Fill {
  static constexpr Overlap overlap = Overlap::allowed;
  static void write(const Tensor& self, Scalar value) {
    check_fits_filling(value, self.dtype());
    fill_data(self, value);
  }
  static Ref<Node> named(const char* name, const Tensor& self) {
    return make_node(name, {&self}, [](const Tensor& g) { return zeros_like(g); });
  }
  static Ref<Node> node(const Tensor& self, Scalar) { return named("FillBackward0", self); }
  static Ref<Node> inplace_node(const Tensor& self, Scalar) { return named("FillBackward2", self); }
};
struct FillTensor {
  static void write(const Tensor& self, const Tensor& value) {
    check_value(value);
    copy_data(self, value);
  }
  static Ref<Node> named(const char* name, const Tensor& self, const Tensor& value) {
    const DType dtype = value.dtype();
    return make_node(name, {&self, &value}, [dtype](BackwardCall& c) {
      if (c.needs(0)) c.set(0, zeros_like(c.grad()));
      if (c.needs(1)) c.set(1, cast(sum(c.grad(), std::nullopt, false, std::nullopt), dtype));
    });
  }
  static Ref<Node> node(const Tensor& self, const Tensor& value) { return named("FillBackward1", self, value); }
  static Ref<Node> inplace_node(const Tensor& self, const Tensor& value) { return named("FillBackward3", self, value); }
  static void check_value(const Tensor& value) {
    check(value.dims() == 0, "fill_ only supports 0-dimension value tensor but got tensor with ", value.dims(),
          " dimensions.");
  }
};
struct Zero {
  static constexpr Overlap overlap = Overlap::allowed;
  static void write(const Tensor& self) { fill_data(self, Scalar(0)); }
  static Ref<Node> node(const Tensor& self) {
    return make_node("ZeroBackward0", {&self}, [](const Tensor& g) { return zeros_like(g); });
  }
};
}  // namespace

Tensor copy_(const Tensor& self, const Tensor& from) {
  const bool same = (self->storage == from->storage) && self.dtype() == from.dtype() && self.shape() == from.shape() &&
                    self.strides() == from.strides() && self.layout().offset == from.layout().offset;
  if (same) return alter_inplace<CopySelf, const Tensor&, bool>("copy", self, from, false);
  return alter_inplace<Copy, const Tensor&, bool>("copy", self, from, false);
}
OPERATION("copy_(Tensor self, Tensor other, bool non_blocking=False) -> Tensor",
          (+[](const Tensor& self, const Tensor& src, bool) { return copy_(self, src); }),
          "Copies the elements of src, broadcast and converted, into self.", {.kind = OpKind::alter, .function = false})

Tensor fill_(const Tensor& self, Scalar value) { return alter_inplace<Fill, Scalar>("fill", self, value); }
Tensor fill_(const Tensor& self, const Tensor& value) {
  return alter_inplace<FillTensor, const Tensor&>("fill", self, value);
}
// In this order: a 0-d tensor is a number, too, but as a tensor it is copied.
ALTER("fill(Tensor self, Tensor value) -> Tensor", FillTensor, "Every element becomes value, a 0-d tensor.",
      {.method = false})
ALTER("fill(Tensor self, Scalar value) -> Tensor", Fill, "Every element becomes value.", {.method = false})
ALTER("zero(Tensor self) -> Tensor", Zero, "Every element becomes 0.", {.function = false, .method = false})

Tensor zeros_like(const Tensor& t) {
  Tensor out = empty_like(t);
  fill_data(out, Scalar(0));
  return out;
}

void resize(const Tensor& t, Ints shape) {
  const Layout layout = Layout::of(shape);
  Layout placed = layout;
  placed.offset = t.layout().offset;
  int64_t needed;
  check(!__builtin_mul_overflow(placed.offset + placed.numel(), int64_t{itemsize(t.dtype())}, &needed),
        "Storage size calculation overflowed with sizes=", shape);
  if (const int64_t had = t->storage->bytes; placed.numel() > 0 && needed > had) {
    resize_storage(*t->storage, needed);
    if (t.dtype() == DType::boolean && !without_elements(t)) {  // only two bytes are truth values
      std::memset(t->storage->data + had, 0, static_cast<size_t>(needed - had));
    }
  }
  set_layout(t, placed);
}

void resize_output(const Tensor& out, Ints shape) {
  if (out.shape() == Dims(shape)) return;
  if (out.numel() != 0) {
    warn("UserWarning", str("An output with one or more elements was resized since it had shape ", Ints(out.shape()),
                            ", which does not match the required output shape ", shape,
                            ". This behavior is deprecated, and in a future PyTorch release outputs will not be "
                            "resized unless they have zero elements. You can explicitly reuse an out tensor t by "
                            "resizing it, inplace, to zero elements with t.resize_(0)."));
  }
  resize(out, shape);
}

bool has_nan(const Tensor& t) {
  const Tensor d = dense(t);
  return dispatch(t.dtype(), "isnan", [&]<class T>() {
    const T* p = d.data<T>();
    for (int64_t i = 0; i < d.numel(); ++i) {
      if (std::isnan(static_cast<double>(p[i]))) return true;
    }
    return false;
  });
}

void add_data(const Tensor& into, const Tensor& from) {
  GradMode off(false);
  const Operand both[] = {into, from};
  call_formula(formulas[index_of<Add>], both, nullptr, &into);
}
Tensor sum_of(const Tensor& a, const Tensor& b) { return a + b; }

}  // namespace bulssi
