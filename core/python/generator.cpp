// The Python type Generator and the default generator.
#include "core/cpu/random.h"

#include "core/ops/random.h"
#include "core/python/python.h"

namespace bulssi::python {

namespace {

PyTypeObject* generator_type;

struct PyGenerator {
  PyObject_HEAD Generator* generator;
  bool owned;  // false for the default one
};
Generator& value(PyObject* self) { return *reinterpret_cast<PyGenerator*>(self)->generator; }

PyObject* generator_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guard([&]() -> PyObject* {
    static const Operation op = described("Generator(Device? device=None) -> Generator");
    const CallArguments given(args, kwargs);
    Value values[1];
    parse_or_fail(op, nullptr, given.all.data(), given.count, given.names.get(), values);
    if (values[0].present) {
      const Device d = values[0].device;
      check(d.kind != DeviceKind::cuda, "Cannot get CUDA generator: there is no CUDA device here");
      check(d.kind == DeviceKind::cpu, "Device type ", device_kind_name(d.kind),
            " is not supported for torch.Generator() api.");
    }
    auto* o = reinterpret_cast<PyGenerator*>(must(type->tp_alloc(type, 0)));
    o->generator = new Generator;
    o->owned = true;
    return reinterpret_cast<PyObject*>(o);
  });
}
void generator_dealloc(PyObject* self) {
  auto* o = reinterpret_cast<PyGenerator*>(self);
  if (o->owned) delete o->generator;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// A seed between -2^63 and 2^64 - 1; negative ones stand for the same 64 bits.
uint64_t seed_of(PyObject* number) {
  check(PyLong_Check(number), ErrorKind::runtime, "manual_seed expected a long, but got ", type_name(number));
  const uint64_t seed = PyLong_AsUnsignedLongLong(number);
  if (!PyErr_Occurred()) return seed;
  PyErr_Clear();
  int overflow;
  const long long negative = PyLong_AsLongLongAndOverflow(number, &overflow);
  check(!overflow, ErrorKind::value, "Overflow when unpacking long long\na seed lies between -2^63 and 2^64 - 1");
  return static_cast<uint64_t>(negative);
}
PyObject* manual_seed(PyObject* self, PyObject* number) {
  return guard([&]() -> PyObject* {
    value(self).set_seed(seed_of(number));
    Py_INCREF(self);
    return self;
  });
}
PyObject* seed(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(value(self).set_random_seed()); }
PyObject* initial_seed(PyObject* self, PyObject*) { return PyLong_FromUnsignedLongLong(value(self).seed()); }

PyObject* get_state(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    const Tensor out = empty(Dims{static_cast<int64_t>(Generator::state_bytes)}, DType::u8);
    value(self).state(out.data<uint8_t>());
    return wrap(out);
  });
}
PyObject* set_state(PyObject* self, PyObject* state) {
  return guard([&]() -> PyObject* {
    check(is_tensor(state), ErrorKind::type, "expected a torch.ByteTensor, but got ", type_name(state));
    const Tensor t = dense(tensor_of(state));
    check(t.dtype() == DType::u8, ErrorKind::type, "RNG state must be a torch.ByteTensor");
    const std::string wrong = value(self).set_state(t.data<uint8_t>(), static_cast<size_t>(t.numel()));
    check(wrong.empty(), wrong);
    Py_INCREF(self);
    return self;
  });
}
PyObject* clone_state(PyObject* self, PyObject*) {
  PyObject* made = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(Py_TYPE(self)));
  if (made) value(made) = value(self);
  return made;
}
// The class has PyTorch's name, which pickle would look for in the wrong place: a function of ours makes the copy.
PyObject* reduce(PyObject* self, PyObject*) {
  return guard([&]() -> PyObject* {
    Object module(must(PyImport_ImportModule("bulssi.random")));
    Object maker(must(PyObject_GetAttrString(module.get(), "_generator_with")));
    return Py_BuildValue("O(N)", maker.get(), must(get_state(self, nullptr)));
  });
}

PyMethodDef methods[] = {
    {"manual_seed", manual_seed, METH_O, "Starts the stream of a seed; returns the generator."},
    {"seed", seed, METH_NOARGS, "Seeds from the operating system's entropy and returns the seed."},
    {"initial_seed", initial_seed, METH_NOARGS, "The seed that the stream was started with."},
    {"get_state", get_state, METH_NOARGS, "The state as a uint8 tensor of 5056 elements."},
    {"set_state", set_state, METH_O, "Continues the stream of a saved state."},
    {"clone_state", clone_state, METH_NOARGS, "Another generator that will give the same numbers."},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {}};
PyGetSetDef properties[] = {{"device", [](PyObject*, void*) -> PyObject* { return device_object({}); }, nullptr,
                             "Where it draws: the CPU.", nullptr},
                            {}};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(generator_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(generator_dealloc)},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_doc, const_cast<char*>("Generator(device='cpu')\n\nA stream of random numbers: the one that PyTorch's CPU "
                                  "generator gives for the same seed.\n\n"
                                  ">>> g = torch.Generator().manual_seed(0)\n>>> torch.rand(1, generator=g)\n"
                                  "tensor([0.4963])")},
    {0, nullptr}};
PyType_Spec spec = {"torch._C.Generator", sizeof(PyGenerator), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

Generator* generator_value(PyObject* o) {
  return PyObject_TypeCheck(o, generator_type) ? reinterpret_cast<PyGenerator*>(o)->generator : nullptr;
}

void add_generator_type(PyObject* module) {
  generator_type = reinterpret_cast<PyTypeObject*>(must(PyType_FromSpec(&spec)));
  must(PyObject_SetAttrString(module, "Generator", reinterpret_cast<PyObject*>(generator_type)));
  auto* standard = reinterpret_cast<PyGenerator*>(must(generator_type->tp_alloc(generator_type, 0)));
  standard->generator = &default_generator();
  standard->owned = false;
  Object owner(reinterpret_cast<PyObject*>(standard));
  must(PyObject_SetAttrString(module, "default_generator", owner.get()));
}

}  // namespace bulssi::python
