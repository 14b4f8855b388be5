// What Python's storage objects, set_, share_memory_ and pickling need to know about the memory under a tensor.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

#include "core/ops/basics.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

Tensor argument(PyObject* o, const char* op) {
  check(is_tensor(o), ErrorKind::type, op, "(): expected a Tensor, not ", type_name(o));
  return tensor_of(o);
}

// All of the memory as bytes.
PyObject* storage_view(PyObject*, PyObject* o) {
  return guard([&]() -> PyObject* {
    const Tensor t = argument(o, "untyped_storage");
    return wrap(alias_as(detach(t), Layout::of(Dims{t->storage->bytes}), DType::u8));
  });
}
PyObject* storage_id(PyObject*, PyObject* o) {
  return guard([&]() -> PyObject* { return PyLong_FromVoidPtr(argument(o, "storage")->storage.get()); });
}
PyObject* resize(PyObject*, PyObject* args) {
  PyObject* o;
  long long bytes;
  if (!PyArg_ParseTuple(args, "OL", &o, &bytes)) return nullptr;
  return guard([&]() -> PyObject* {
    const Tensor t = argument(o, "resize_");
    check(bytes >= 0, "resize_(): a storage cannot have ", bytes, " bytes");
    resize_storage(*t->storage.get(), bytes);
    Py_RETURN_NONE;
  });
}

// A layout inside a storage of `bytes` bytes.
Layout placed(Dims size, Dims stride, int64_t offset, DType dtype, int64_t bytes) {
  check(size.size() == stride.size(), "mismatch in length of strides and shape: ", Ints(size), " and ", Ints(stride));
  for (int64_t s : size) check(s >= 0, "Trying to create tensor with negative dimension ", s, ": ", Ints(size));
  check(offset >= 0, "Tensor: invalid storage offset ", offset);
  Layout layout{std::move(size), std::move(stride), offset};
  __int128 low = offset, high = offset;
  bool empty = false;
  for (int i = 0; i < layout.dims(); ++i) {
    empty = empty || layout.shape[i] == 0;
    (layout.strides[i] < 0 ? low : high) += __int128(layout.shape[i] - 1) * layout.strides[i];
  }
  check(empty || (low >= 0 && (high + 1) * itemsize(dtype) <= bytes), "setStorage: sizes ", Ints(layout.shape),
        ", strides ", Ints(layout.strides), ", storage offset ", offset, ", and itemsize ", itemsize(dtype),
        " requiring a storage size of ", empty ? 0 : static_cast<int64_t>((high + 1) * itemsize(dtype)),
        " are out of bounds for storage of size ", bytes);
  return layout;
}
struct Place {
  PyObject *storage, *dtype = nullptr, *size, *stride;
  long long offset;
};
// _on_storage(bytes, dtype, offset, size, stride): a tensor on the memory of a tensor from _storage_view.
PyObject* on_storage(PyObject*, PyObject* args) {
  Place p;
  if (!PyArg_ParseTuple(args, "OOLOO", &p.storage, &p.dtype, &p.offset, &p.size, &p.stride)) return nullptr;
  return guard([&]() -> PyObject* {
    const Tensor bytes = argument(p.storage, "storage");
    const DType dtype = dtype_value(p.dtype);
    Dims size = ints_value(p.size), stride = ints_value(p.stride);
    const Layout layout = placed(std::move(size), std::move(stride), p.offset, dtype, bytes->storage->bytes);
    return wrap(alias_as(bytes, layout, dtype));
  });
}
// _set_storage(self, source, offset, size, stride)
PyObject* set_storage(PyObject*, PyObject* args) {
  PyObject* self;
  Place p;
  if (!PyArg_ParseTuple(args, "OOLOO", &self, &p.storage, &p.offset, &p.size, &p.stride)) return nullptr;
  return guard([&]() -> PyObject* {
    const Tensor t = argument(self, "set_"), from = argument(p.storage, "set_");
    const bool record = recording(t) || recording(from);
    {
      const GradMode mode(record);
      check_inplace(t, "set", Overlap::allowed);
    }
    Ref<Node> node;
    if (record) node = not_implemented("set_", std::initializer_list<const Tensor*>{&t, &from});
    Dims size = ints_value(p.size), stride = ints_value(p.stride);
    const Layout layout = placed(std::move(size), std::move(stride), p.offset, t.dtype(), from->storage->bytes);
    note_shape(t, layout.shape);
    t->bump_version();             // before it gets a count of its own: whoever saved it sees the change
    show_memory(t, from, layout);  // a view stays one, of a base whose memory it no longer shows
    note_change(t, "set", record);
    if (record) rebase_history(t, std::move(node));
    Py_INCREF(self);
    return self;
  });
}
PyObject* is_set_to(PyObject*, PyObject* args) {
  PyObject *a, *b;
  if (!PyArg_ParseTuple(args, "OO", &a, &b)) return nullptr;
  return guard([&]() -> PyObject* {
    const Tensor x = argument(a, "is_set_to"), y = argument(b, "is_set_to");
    return PyBool_FromLong(x->storage.get() == y->storage.get() && x.layout().offset == y.layout().offset &&
                           x.shape() == y.shape() && x.strides() == y.strides());
  });
}

// ---- memory that forked processes share -----------------------------------------------------------------------------

// The descriptor of the memory, by which it can be handed to any process, is the storage's context; -1 if the system
// has no more of them, and then only processes that are forked share it.
void* as_context(int descriptor) { return reinterpret_cast<void*>(static_cast<intptr_t>(descriptor)); }
int descriptor_of(const Storage& s) { return static_cast<int>(reinterpret_cast<intptr_t>(s.context)); }
void unmap(void* context, void* data, int64_t bytes) {
  munmap(data, static_cast<size_t>(bytes));
  const int descriptor = static_cast<int>(reinterpret_cast<intptr_t>(context));
  if (descriptor >= 0) close(descriptor);
}
int new_descriptor(int64_t bytes) {
#ifdef __linux__
  const int descriptor = memfd_create("bulssi", MFD_CLOEXEC);
#else
  static std::atomic<unsigned> counter{0};
  const std::string name = str("/bulssi-", getpid(), "-", counter++);
  const int descriptor = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (descriptor >= 0) shm_unlink(name.c_str());
#endif
  if (descriptor >= 0 && ftruncate(descriptor, bytes) != 0) {
    close(descriptor);
    return -1;
  }
  return descriptor;
}
void* map_shared(int descriptor, int64_t bytes) {
  const int kind = descriptor < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
  return mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, kind, descriptor, 0);
}

PyObject* share(PyObject*, PyObject* o) {
  return guard([&]() -> PyObject* {
    const Tensor t = argument(o, "share_memory_");
    Storage& s = *t->storage.get();
    check(!without_elements(t),
          "_share_fd_: only available on CPU\na tensor on the meta device has no memory to share");
    if (s.free_foreign == unmap || s.bytes == 0) Py_RETURN_NONE;
    check(s.resizable && s.views_out == 0,
          "share_memory_(): the memory of this tensor belongs to another library; clone() it first");
    const int descriptor = new_descriptor(s.bytes);
    void* shared = map_shared(descriptor, s.bytes);
    if (shared == MAP_FAILED && descriptor >= 0) close(descriptor);
    check(shared != MAP_FAILED, "share_memory_(): cannot have ", s.bytes, " bytes of shared memory");
    std::memcpy(shared, s.data, static_cast<size_t>(s.bytes));
    if (s.free_foreign) s.free_foreign(s.context, s.data, s.bytes);
    s.data = static_cast<char*>(shared);
    s.free_foreign = unmap;
    s.context = as_context(descriptor);
    s.resizable = false;
    Py_RETURN_NONE;
  });
}
PyObject* shared_descriptor(PyObject*, PyObject* o) {
  return guard([&]() -> PyObject* {
    const Storage& s = *argument(o, "share_memory_")->storage.get();
    return PyLong_FromLong(s.free_foreign == unmap ? descriptor_of(s) : -1);
  });
}
PyObject* from_descriptor(PyObject*, PyObject* args) {
  int given;
  long long bytes;
  if (!PyArg_ParseTuple(args, "iL", &given, &bytes)) return nullptr;
  return guard([&]() -> PyObject* {
    struct stat status;
    check(bytes > 0 && fstat(given, &status) == 0 && status.st_size >= bytes, "descriptor ", given,
          " is no shared memory of ", bytes, " bytes");
    const int descriptor = fcntl(given, F_DUPFD_CLOEXEC, 0);
    void* shared = descriptor < 0 ? MAP_FAILED : map_shared(descriptor, bytes);
    if (shared == MAP_FAILED && descriptor >= 0) close(descriptor);
    check(shared != MAP_FAILED, "cannot map ", bytes, " bytes of shared memory");
    return wrap(tensor_on_storage(foreign_storage(shared, bytes, as_context(descriptor), unmap),
                                  Layout::of(Dims{bytes}), DType::u8));
  });
}
PyObject* is_shared(PyObject*, PyObject* o) {
  return guard(
      [&]() -> PyObject* { return PyBool_FromLong(argument(o, "is_shared")->storage->free_foreign == unmap); });
}

PyMethodDef functions[] = {{"_storage_view", storage_view, METH_O, nullptr},
                           {"_storage_id", storage_id, METH_O, nullptr},
                           {"_resize_storage", resize, METH_VARARGS, nullptr},
                           {"_on_storage", on_storage, METH_VARARGS, nullptr},
                           {"_set_storage", set_storage, METH_VARARGS, nullptr},
                           {"_is_set_to", is_set_to, METH_VARARGS, nullptr},
                           {"_share_storage", share, METH_O, nullptr},
                           {"_is_shared", is_shared, METH_O, nullptr},
                           {"_shared_descriptor", shared_descriptor, METH_O, nullptr},
                           {"_from_descriptor", from_descriptor, METH_VARARGS, nullptr},
                           {}};

}  // namespace

void add_storage_functions(PyObject* module) { must(PyModule_AddFunctions(module, functions)); }

}  // namespace bulssi::python
