// x[index] and x[index] = value.
//
// Numbers, slices, None and Ellipsis make one view by arithmetic on the layout; whatever contains tensors, masks, lists
// or arrays goes on to index() and index_put_() on that view.
#include "core/ops/index.h"

#include "core/ops/basics.h"
#include "core/op/pointwise.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

// A NumPy array or another exporter of numbers in memory, or a nested sequence, as an index tensor.
Tensor index_from(PyObject* data) {
  const Tensor t = tensor_from(data, std::nullopt, true);
  if (t.dtype() == DType::boolean || t.dtype() == DType::u8) return t;
  return cast_data(t, DType::i64);
}

bool is_index_sequence(PyObject* o) {
  return PyList_Check(o) || PyTuple_Check(o) ||
         (PySequence_Check(o) && !is_tensor(o) && !PyBytes_Check(o) && !PyDict_Check(o));
}

// x[[0, slice(1)]] means x[0, slice(1)]: short lists that hold more than numbers, as in old NumPy.
bool is_tuple_like(PyObject* index) {
  if (!PyList_Check(index)) return false;
  const Py_ssize_t n = PyList_GET_SIZE(index);
  if (n >= 32) return false;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PyList_GET_ITEM(index, i);
    if (is_tensor(item) || PySequence_Check(item) || PySlice_Check(item) || item == Py_Ellipsis || item == Py_None) {
      warn("UserWarning",
           "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed "
           "in pytorch 2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor "
           "index, x[torch.tensor(seq)], which will result either in an error or a different result");
      return true;
    }
  }
  return false;
}

// How many dimensions of self an item stands for.
int dims_taken(PyObject* item) {
  if (item == Py_None || item == Py_Ellipsis || PyBool_Check(item)) return 0;
  if (!is_tensor(item)) return 1;
  const TensorImpl* t = impl_of(item);
  return t->dtype == DType::boolean || t->dtype == DType::u8 ? t->layout.dims() : 1;
}

void apply_slice(BasicIndex& basic, int dim, PyObject* item, bool skip_whole) {
  check(basic.layout().dims() > dim, ErrorKind::index, "slice() cannot be applied to a 0-dim tensor.");
  Py_ssize_t start, stop, step;
  must(PySlice_Unpack(item, &start, &stop, &step));
  const int64_t size = basic.layout().shape[dim];
  if (skip_whole && start == 0 && stop >= size && step == 1) return;
  const Py_ssize_t count = PySlice_AdjustIndices(size, &start, &stop, step);
  basic.slice(dim, start, count, step);
}

bool plain_slice(PyObject* item) {
  const auto* s = reinterpret_cast<PySliceObject*>(item);
  const auto plain = [](PyObject* o) { return o == Py_None || PyLong_CheckExact(o); };
  return plain(s->start) && plain(s->stop) && plain(s->step);
}

// An index taken apart: the view that numbers, slices and None make of self, and the tensors that index this view.
struct Parsed {
  BasicIndex basic;
  std::vector<Tensor> tensors;
  bool advanced = false;

  // whole_is_self: a slice of everything, alone, is self and no view of it (in an assignment).
  Parsed(const Tensor& self, PyObject* index, bool whole_is_self = false) : basic(self) {
    if (PyTuple_Check(index)) {
      parse(self, &PyTuple_GET_ITEM(index, 0), PyTuple_GET_SIZE(index), true, true);
    } else if (is_tuple_like(index)) {
      Object items(must(PyList_AsTuple(index)));
      parse(self, &PyTuple_GET_ITEM(items.get(), 0), PyTuple_GET_SIZE(items.get()), true, true);
    } else {
      parse(self, &index, 1, false, whole_is_self);
    }
    if (ran_code) basic.check_inside();
  }

 private:
  bool ran_code = false;  // the program's own, by __index__ and the like

  // A truth value: a new dimension of which all or nothing is taken.
  void add_truth(int& dim, bool truth) {
    basic.unsqueeze(dim);
    const int64_t count[] = {truth ? 1 : 0};
    add_spanning(dim, zeros(count, DType::i64), 1);
  }

  void parse(const Tensor& self, PyObject* const* items, Py_ssize_t n, bool tuple, bool skip_whole) {
    int taken = 0;
    for (Py_ssize_t i = 0; i < n; ++i) taken += dims_taken(items[i]);
    if (taken > self.dims()) {
      if (!tuple && is_int(items[0]) && !is_tensor(items[0]) && !is_array(items[0])) {
        if (const int64_t i = int_value(items[0])) fail_bounds(ErrorKind::index, i, 0, 0);
        fail(ErrorKind::index,
             "invalid index of a 0-dim tensor. Use "
             "`tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number");
      }
      check(tuple || !PySlice_Check(items[0]), ErrorKind::index, "slice() cannot be applied to a 0-dim tensor.");
      fail(ErrorKind::index, "too many indices for tensor of dimension ", self.dims());
    }
    int dim = 0;
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* item = items[i];
      const int place = static_cast<int>(i);
      if (PyBool_Check(item)) {
        add_truth(dim, item == Py_True);
      } else if (item == Py_None) {
        basic.unsqueeze(dim++);
      } else if (item == Py_Ellipsis) {
        dim += self.dims() - taken;
        if (dim > basic.layout().dims()) dim = basic.layout().dims();  // a second Ellipsis takes nothing more
      } else if (PySlice_Check(item)) {
        ran_code = ran_code || !plain_slice(item);
        apply_slice(basic, dim++, item, skip_whole);
      } else if (is_tensor(item)) {
        parse_tensor(dim, place, tensor_of(item));
      } else if (is_int(item) && !is_array(item)) {
        ran_code = ran_code || !PyLong_CheckExact(item);
        basic.select(dim, int_value(item), place);
      } else if (is_index_sequence(item)) {
        ran_code = true;
        parse_tensor(dim, place, index_from(item));
      } else {
        fail(ErrorKind::index,
             "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
             "valid indices (got ",
             type_name(item), ")");
      }
    }
  }
  // NumPy arrays convert to int when they hold one element, and are arrays all the same.
  static bool is_array(PyObject* o) { return !PyLong_Check(o) && PySequence_Check(o) && PyObject_CheckBuffer(o); }

  // place: of the item in the index, which is what errors count by.
  void parse_tensor(int& dim, int place, Tensor t) {
    const bool mask = t.dtype() == DType::boolean || t.dtype() == DType::u8;
    check(mask || is_integral(t.dtype()), ErrorKind::index,
          "tensors used as indices must be long, int, byte or bool tensors");
    if (t.dims() == 0) {
      if (mask)
        add_truth(dim, item_data(t).as_int() != 0);
      else
        basic.select(dim, item_data(t).as_int(), place);
      return;
    }
    // A mask stands for as many dimensions as it has; `tensors` keeps one place for it (see index()).
    const int spans = mask ? t.dims() : 1;
    add_spanning(dim, std::move(t), spans);
  }
  // Places in `tensors` count dimensions of the view, except that a mask fills one place for all of its dimensions.
  void add_spanning(int& dim, Tensor t, int spans) {
    tensors.resize(size_t(dim - merged));
    tensors.push_back(std::move(t));
    advanced = true;
    dim += spans;
    merged += spans - 1;
  }
  int merged = 0;
};

// Subclasses see x[…] as Tensor.__getitem__ through __torch_function__.
PyObject* dispatch_item(const char* name, PyObject* const* args, Py_ssize_t count, bool* handled) {
  *handled = false;
  if (!has_torch_function(args[0])) return nullptr;
  Object method(PyObject_GetAttrString(reinterpret_cast<PyObject*>(tensor_type), name));
  if (!method) throw PendingError();
  return dispatch_torch_function(method.get(), args, count, nullptr, handled);
}

Tensor value_tensor(const Tensor& self, PyObject* value) {
  if (is_tensor(value)) return tensor_of(value);
  const Scalar number = number_value(value);
  check_fits_filling(number, self.dtype());
  {
    const DeviceScope scope(self.device());
    return full({}, number, self.dtype());
  }
}

// A value without its leading dimensions of size 1, as a view: what is assigned, and what errors speak of.
Tensor without_lead(const Tensor& value) {
  Dims shape = value.shape();
  while (shape.dims() && shape[0] == 1) shape.erase(0);
  return shape.dims() == value.dims() ? value : view(value, shape);
}

// value as part's elements: 0-d fills, anything else is copied.
void copy_into(const Tensor& part, const Tensor& value) {
  if (value.shape() == part.shape()) {
    copy_(part, value);
  } else if (value.dims() == 0) {
    fill_(part, value);
  } else {
    copy_(part, expand(without_lead(value), part.shape()));
  }
}

void assign(const Tensor& self, PyObject* index, PyObject* value) {
  const bool number = !is_tensor(value);
  if (number && !(is_number(value) && !PySequence_Check(value))) {
    fail(ErrorKind::type, "can't assign a ", Py_TYPE(value)->tp_name, " to a torch.", legacy_name(self.dtype()),
         "Tensor");
  }
  if (index == Py_False) return;
  if (index == Py_True) return copy_into(unsqueeze(self, 0), value_tensor(self, value));
  const Parsed parsed(self, index, true);
  if (parsed.advanced) {
    const Tensor part = parsed.basic.changed() ? parsed.basic.view() : self;
    Tensor v = without_lead(value_tensor(self, value));
    // One number under one mask is filled in, whatever its type.
    int masks = 0, others = 0;
    for (const Tensor& t : parsed.tensors) {
      if (t) ++(t.dtype() == DType::boolean ? masks : others);
    }
    if (v.numel() == 1 && masks == 1 && others == 0) v = cast(v, self.dtype());
    index_put_(part, parsed.tensors, v, false);
    return;
  }
  if (!parsed.basic.changed()) {
    copy_into(self, value_tensor(self, value));
    return;
  }
  const bool record = recording(self) || (!number && recording(tensor_of(value)));
  if (record) {
    const Tensor part = parsed.basic.view();
    copy_into(part, value_tensor(self, value));
    return;
  }
  const Tensor part = parsed.basic.unrecorded();
  {
    GradMode off(false);
    check_inplace(part, "fill");
  }
  if (number) {
    const Scalar v = number_value(value);
    check_fits_filling(v, self.dtype());
    fill_data(part, v);
    changed_inplace(part, {}, "fill");
  } else {
    copy_into(part, tensor_of(value));
  }
}

}  // namespace

PyObject* get_item(PyObject* self, PyObject* index) {
  return guard([&]() -> PyObject* {
    if (has_torch_function(self)) {
      PyObject* args[] = {self, index};
      bool handled;
      PyObject* made = dispatch_item("__getitem__", args, 2, &handled);
      if (handled) return made;
    }
    const Tensor t = tensor_of(self);
    if (PyLong_CheckExact(index) && t.dims() > 0) {
      BasicIndex basic(t);
      basic.select(0, int_value(index), 0);
      return wrap(basic.view());
    }
    const Parsed parsed(t, index);
    if (!parsed.advanced) return wrap(parsed.basic.view());
    return wrap(bulssi::index(parsed.basic.changed() ? parsed.basic.view() : t, parsed.tensors));
  });
}

int set_item(PyObject* self, PyObject* index, PyObject* value) {
  return guard([&]() -> int {
    check(value != nullptr, ErrorKind::type, "Tensor does not support deleting items");
    if (has_torch_function(self)) {
      PyObject* args[] = {self, index, value};
      bool handled;
      Object made(dispatch_item("__setitem__", args, 3, &handled));
      if (handled) return made ? 0 : -1;
    }
    assign(tensor_of(self), index, value);
    return 0;
  });
}

}  // namespace bulssi::python
