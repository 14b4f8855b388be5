// x[index] and x[index] = value.
#include "core/ops/basics.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

// Integers, slices, None, Ellipsis: views only.
Tensor basic_index(const Tensor& self, PyObject* index) {
  Object single;
  PyObject* items = index;
  if (!PyTuple_Check(index)) {
    single = Object(must(PyTuple_Pack(1, index)));
    items = single.get();
  }
  const Py_ssize_t n = PyTuple_GET_SIZE(items);
  int consumed = 0;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PyTuple_GET_ITEM(items, i);
    if (item != Py_None && item != Py_Ellipsis && !PyBool_Check(item)) ++consumed;
  }
  check(consumed <= self.dims(), ErrorKind::index, "too many indices for tensor of dimension ", self.dims());
  Tensor t = self;
  int dim = 0;
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* item = PyTuple_GET_ITEM(items, i);
    if (item == Py_None) {
      t = unsqueeze(t, dim++);
    } else if (item == Py_Ellipsis) {
      dim += self.dims() - consumed;
    } else if (PySlice_Check(item)) {
      Py_ssize_t start, stop, step;
      must(PySlice_Unpack(item, &start, &stop, &step));
      PySlice_AdjustIndices(t.shape()[dim], &start, &stop, step);
      t = slice(t, dim++, start, stop, step);
    } else if (is_int(item)) {
      const int64_t at = int_value(item), size = t.shape()[dim];
      check(at >= -size && at < size, ErrorKind::index, "index ", at, " is out of bounds for dimension ", dim,
            " with size ", size);
      t = select_index(t, dim, at);
    } else {
      fail(ErrorKind::index, "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
           "indices (got ", type_name(item), ")");
    }
  }
  return t.same(self) ? make_view("AliasBackward0", self, self.layout(), [](const Tensor& g) { return g; }) : t;
}

}  // namespace

PyObject* get_item(PyObject* self, PyObject* index) {
  return guard([&]() -> PyObject* { return wrap(basic_index(tensor_of(self), index)); });
}

int set_item(PyObject* self, PyObject* index, PyObject* value) {
  return guard([&]() -> int {
    check(value != nullptr, ErrorKind::type, "Tensor does not support deleting items");
    const Tensor part = basic_index(tensor_of(self), index);
    if (is_tensor(value)) copy_(part, tensor_of(value));
    else fill_(part, number_value(value));
    return 0;
  });
}

}  // namespace bulssi::python
