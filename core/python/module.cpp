// The extension module bulssi._core.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cxxabi.h>

#include <cstdlib>

#include "core/base/threads.h"
#include "core/cpu/blas.h"
#include "core/cpu/cpu.h"
#include "core/op/expr.h"
#include "core/op/pointwise.h"
#include "core/ops/basics.h"
#include "core/python/modes.h"
#include "core/program/backend.h"
#include "core/python/python.h"

namespace nb = nanobind;

namespace bulssi::python {

namespace {

void warn_python(const char* category, const std::string& message) {
  Object builtins(PyImport_ImportModule("builtins"));
  Object kind(PyObject_GetAttrString(builtins.get(), category));
  if (PyErr_WarnEx(kind.get(), message.c_str(), 1) < 0) throw PendingError();
}

std::string find_blas() {
  Object module(must(PyImport_ImportModule("bulssi._blas")));
  Object path(must(PyObject_CallMethod(module.get(), "library_path", nullptr)));
  const char* text = PyUnicode_AsUTF8(path.get());
  if (!text) throw PendingError();
  return text;
}

const char* kind_name(OpKind kind) {
  static const char* names[] = {"pointwise", "kernel", "view", "alter", "composite"};
  return names[static_cast<int>(kind)];
}

template <class F>
nb::object function_of(int arity, F function) {
  return nb::cpp_function([=](nb::args args) {
    if (int(args.size()) != arity) throw nb::value_error("wrong number of arguments");
    double in[8] = {};
    for (int i = 0; i < arity; ++i) in[i] = nb::cast<double>(args[i]);
    return function(in);
  });
}

nb::list registry_list() {
  nb::list out;
  for (const Operation& op : registry()) {
    nb::dict d;
    d["name"] = op.name;
    d["kind"] = kind_name(op.traits.kind);
    d["schema"] = op.signature.text;
    d["doc"] = op.doc;
    d["function"] = op.traits.function;
    d["method"] = op.traits.method;
    d["inplace"] = op.traits.inplace;
    d["out"] = op.traits.out;
    d["module"] = op.traits.module ? nb::cast(op.traits.module) : nb::none();
    d["aliases"] = op.traits.aliases;
    d["differentiable"] = op.traits.differentiable;
    d["dtypes"] = op.traits.dtypes;
    if (op.formula) {
      const FormulaOp* f = op.formula;
      d["domain"] = nb::make_tuple(f->info->domain.low, f->info->domain.high);
      d["tensors"] = int(f->tensors);
      d["attributes"] = int(f->attributes);
      d["reference"] = f->reference ? function_of(f->arity(), f->reference) : nb::none();
      d["expression"] = nb::none();
      d["source"] = nb::none();
      if (f->expression) {
        const Expr expression = f->expression();
        const auto evaluate = [expression](const double* in) { return expression.evaluate({in, 8}); };
        const std::string names[] = {"x", "y", "z", "p", "q"};
        d["expression"] = function_of(f->arity(), evaluate);
        d["source"] = expression.text(names, "T");
      }
    }
    out.append(d);
  }
  return out;
}

// What the core asks of Python.
void set_hooks() {
  warn = warn_python;
  blas_find_library = find_blas;
  interpreter_lock.release = []() -> void* { return PyEval_SaveThread(); };
  interpreter_lock.acquire = [](void* state) {
    try {
      PyEval_RestoreThread(static_cast<PyThreadState*>(state));
    } catch (abi::__forced_unwind&) {
      wait_for_exit();
    }
  };
  check_interrupt = [] {
    if (PyErr_CheckSignals() < 0) throw PendingError();
  };
}

void add_machine_functions(nb::module_& m) {
  m.def("isa", [] { return cpu::isa(); }, "The instruction set whose kernels run.");
  m.def("isas_built", [] {
    nb::list out;
    for (const char* const* name = cpu::isas_built(); *name; ++name) out.append(*name);
    return out;
  });
  m.def("isa_runs", [](const char* name) { return cpu::isa_runs(name); });
  m.def("get_num_threads", [] { return thread_count(); });
  m.def("set_num_threads", [](int n) { set_thread_count(n); });
  m.def("thread_reason", [] { return thread_reason(); });
  m.def("empty_cache", [] { empty_cache(); });
  m.def("memory_stats", [] {
    const MemoryStats s = memory_stats();
    nb::dict d;
    d["in_use"] = s.in_use;
    d["peak"] = s.peak;
    d["cached"] = s.cached;
    d["limit"] = s.limit;
    d["blocks"] = s.blocks;
    d["allocations"] = s.allocations;
    d["reused"] = s.reused;
    d["refused"] = s.refused;
    return d;
  });
}

void add_defaults(nb::module_& m) {
  auto dtype = [](DType d) { return nb::borrow(dtype_object(d)); };
  m.def(
      "promote_types",
      [dtype](nb::handle a, nb::handle b) { return dtype(promote(dtype_value(a.ptr()), dtype_value(b.ptr()))); },
      nb::arg("type1"), nb::arg("type2"), "The smallest dtype that holds the values of both.");
  m.def(
      "can_cast",
      [](nb::handle from, nb::handle to) {
        return category(dtype_value(from.ptr())) <= category(dtype_value(to.ptr()));
      },
      nb::arg("from_"), nb::arg("to"), "Whether type promotion would allow the change of dtype.");
  m.def(
      "result_type",
      [dtype](nb::handle a, nb::handle b) {
        const nb::handle given[] = {a, b};
        Tensor tensors[2];
        Operand operands[2];
        for (int i = 0; i < 2; ++i) {
          PyObject* o = given[i].ptr();
          check(is_tensor(o) || is_number(o), ErrorKind::type, "result_type(): argument ", i + 1,
                " must be a Tensor or a number, not ", type_name(o));
          if (is_tensor(o))
            operands[i] = Operand(tensors[i] = tensor_of(o));
          else
            operands[i] = Operand(number_value(o));
        }
        return dtype(promoted_type(operands));
      },
      nb::arg("tensor1"), nb::arg("tensor2"), "The dtype in which an operation on both would be done.");
  m.def("get_default_dtype", [] { return nb::borrow(dtype_object(default_dtype())); });
  m.def("_set_default_dtype", [](nb::handle d) { set_default_dtype(dtype_value(d.ptr())); });
  m.def("_set_default_device", [](nb::handle d) {
    const Device device = device_value(d.ptr());
    check_device(device);
    default_device = device;
  });
  m.def(
      "get_default_device", [] { return nb::steal(device_object(default_device)); },
      "The device of tensors that are made without naming one.");
}

void add_looks_inside(nb::module_& m) {
  m.def("_install_source_hooks", install_source_hooks);
  m.def("_set_parameter_type", [](nb::handle type) { parameter_type = reinterpret_cast<PyTypeObject*>(type.ptr()); });
  m.def(
      "show_as",
      [](nb::handle result, const char* name, bool joint, nb::args inputs) {
        Small<Tensor, 4> given;
        for (nb::handle input : inputs) given.push_back(is_tensor(input.ptr()) ? tensor_of(input.ptr()) : Tensor());
        if (is_tensor(result.ptr())) show_as(tensor_of(result.ptr()), name, given, joint);
        return nb::borrow(result);
      },
      "The result itself; the graph from it back to the inputs is shown as one node of this name (`joint`: its "
      "gradients count as made from the inputs).");
  m.def("registry", registry_list, "Every operation: name, kind, schema, doc and forms.");
  m.def("live_tensors", [] { return live_tensors; }, "How many tensors exist.");
  m.def("_blas_loaded", [] { return blas_loaded(); }, "Whether an operation has needed the BLAS library yet.");
}

}  // namespace

}  // namespace bulssi::python

NB_MODULE(_core, m) {
  using namespace bulssi;
  using namespace bulssi::python;
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (...) {
      set_python_error();
    }
  });
  cpu::choose_isa(std::getenv("BULSSI_ISA"));
  setup_formulas();
  register_formulas();
  set_hooks();
  add_small_types(m.ptr());
  add_tensor_type(m.ptr());
  add_torch_function(m.ptr());
  add_modes(m.ptr());
  add_autocast(m.ptr());
  add_overridable(m.ptr());
  add_operations(m.ptr(), tensor_type);
  add_node_types(m.ptr());
  add_hook_functions(m.ptr());
  add_data_functions(m.ptr());
  add_optimizers(m.ptr());
  add_interchange_functions(m.ptr());
  add_dlpack_functions(m.ptr());
  add_storage_functions(m.ptr());
  add_generator_type(m.ptr());
  add_looks_inside(m);
  add_machine_functions(m);
  add_defaults(m);
}
