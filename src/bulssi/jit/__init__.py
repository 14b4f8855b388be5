"""TorchScript's decorators and wrappers, run as plain Python: nothing is compiled, traced or frozen into a graph.

A scripted or traced function or module gives the results of the original on every input. (PyTorch's `trace` keeps the
branches and loop counts of the example it saw; here they follow the input.) Files of TorchScript are neither written
nor read.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import functools
import typing
import warnings
from typing import TYPE_CHECKING, Any, Final, NoReturn

import bulssi
from bulssi.futures import Future
from bulssi.nn.modules.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Attribute",
    "Final",
    "Future",
    "RecursiveScriptModule",
    "ScriptFunction",
    "ScriptModule",
    "ScriptWarning",
    "TopLevelTracedModule",
    "TracerWarning",
    "annotate",
    "export",
    "fork",
    "freeze",
    "ignore",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "optimize_for_inference",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "trace",
    "trace_module",
    "unused",
    "wait",
]

_isinstance = builtins.isinstance  # this module has one of its own


class ScriptWarning(Warning):
    """About what a scripted program does."""


class TracerWarning(Warning):
    """About what a trace cannot see."""


def _no_files(name: str) -> NoReturn:
    raise NotImplementedError(
        f"{name}: files of TorchScript hold compiled code, and nothing is compiled here; save model.state_dict() with "
        "torch.save(), and load it into the model's class"
    )


def save(m: Any, f: Any, _extra_files: Any = None) -> NoReturn:
    """Raises NotImplementedError: save the ``state_dict()``."""
    _no_files("jit.save")


def load(f: Any, map_location: Any = None, _extra_files: Any = None, _restore_shapes: bool = False) -> NoReturn:
    """Raises NotImplementedError, or ValueError for a file that does not exist."""
    import os

    if _isinstance(f, (str, os.PathLike)):
        if not os.path.exists(f):
            raise ValueError(f"The provided filename {f} does not exist")
        if os.path.isdir(f):
            raise ValueError(f"The provided filename {f} is a directory")
    _no_files("jit.load")


# ---- functions and modules -----------------------------------------------------------------------------------------


class ScriptFunction:
    """A function that was scripted or traced: the function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    @property
    def name(self) -> str:
        """The function's name."""
        return self._function.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def save(self, f: Any, **kwargs: Any) -> NoReturn:
        """Raises NotImplementedError."""
        _no_files("ScriptFunction.save")

    def __getattr__(self, name: str) -> Any:
        if name in ("graph", "code", "inlined_graph", "graph_for", "schema"):
            raise NotImplementedError(f"ScriptFunction.{name}: nothing is compiled, so there is no code to show")
        raise AttributeError(f"'ScriptFunction' object has no attribute {name!r}")


class ScriptModule(Module):
    """The base of modules that are scripted, and a base class for modules as :class:`nn.Module` is."""

    def save(self, f: Any, **kwargs: Any) -> NoReturn:
        """Raises NotImplementedError."""
        _no_files("ScriptModule.save")

    @property
    def graph(self) -> NoReturn:
        """Raises NotImplementedError: there is none."""
        raise NotImplementedError("ScriptModule.graph: nothing is compiled; fx.symbolic_trace(model).graph is a graph")

    @property
    def code(self) -> NoReturn:
        """Raises NotImplementedError: there is none."""
        raise NotImplementedError("ScriptModule.code: nothing is compiled; fx.symbolic_trace(model).code is code")


class RecursiveScriptModule(ScriptModule):
    """A module that was scripted: it has the parameters, buffers, children and attributes of the original; calls it.

    They are the same objects: a change of one is a change of the other.
    """

    _SHARED = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")

    def __init__(self, original: Module) -> None:
        super().__init__()
        del self.__dict__["training"]
        self.__dict__.update({name: original.__dict__[name] for name in self._SHARED})
        self.__dict__["_original"] = original

    @property
    def original_name(self) -> str:
        """The name of the original's class."""
        return type(self.__dict__["_original"]).__name__

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_original"](*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if "_original" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.__dict__["_original"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__ or "_original" not in self.__dict__:
            Module.__setattr__(self, name, value)
        else:
            setattr(self.__dict__["_original"], name, value)

    def __len__(self) -> int:
        return len(self.__dict__["_original"])

    def __getitem__(self, index: Any) -> Any:
        return self.__dict__["_original"][index]

    def __iter__(self) -> Any:
        return iter(self.__dict__["_original"])

    def extra_repr(self) -> str:
        return f"original_name={self.original_name}"

    def copy(self) -> RecursiveScriptModule:
        """A copy with parameters of its own."""
        return copy.deepcopy(self)


class TopLevelTracedModule(RecursiveScriptModule):
    """A module that was traced."""

    def _get_name(self) -> str:
        return self.original_name


def script(obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> Any:
    """The function, or module, under the class that a scripted one has in PyTorch. A class is returned as it is.

    Raises:
        RuntimeError: something else.

    Example:
        >>> @jit.script
        ... def f(x):
        ...     return x if x.sum() > 0 else -x
        >>> f(tensor([-1.0]))
        tensor([1.])
    """
    if _isinstance(obj, (ScriptFunction, ScriptModule, type)):
        return obj
    if _isinstance(obj, Module):
        return RecursiveScriptModule(obj)
    if callable(obj):
        return ScriptFunction(obj)
    if _isinstance(obj, (list, dict)):
        return copy.copy(obj)
    raise RuntimeError(f"jit.script takes a function, a module or a class, not a {type(obj).__name__}")


def trace(
    func: Any,
    example_inputs: Any = None,
    optimize: Any = None,
    check_trace: bool = True,
    check_inputs: Any = None,
    check_tolerance: float = 1e-5,
    strict: bool = True,
    _force_outplace: bool = False,
    _module_class: Any = None,
    example_kwarg_inputs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Runs the function or module once on the example, and returns it under the class that a traced one has.

    Args:
        func: a function or a module.
        example_inputs: a tensor, or the tuple of arguments.
        example_kwarg_inputs: arguments by name, in place of ``example_inputs``.

    Other arguments say how PyTorch records and checks a graph.

    Raises:
        RuntimeError: no example is given, or the result is no tensor nor a tuple, list or dict of such.
    """
    if (example_inputs is None) == (example_kwarg_inputs is None):
        raise RuntimeError(
            "example_inputs and example_kwarg_inputs should not be None at the same time, nor both given"
        )
    if _isinstance(func, (ScriptFunction, TopLevelTracedModule)):
        warnings.warn("The input to trace is already a ScriptModule, tracing it is a no-op.", stacklevel=2)
        return func
    if example_kwarg_inputs is not None:
        result = func(**example_kwarg_inputs)
    else:
        args = example_inputs if _isinstance(example_inputs, (tuple, list)) else (example_inputs,)
        result = func(*args)
    if not _traceable(result):
        raise RuntimeError(
            f"Type '{type(result).__name__}' cannot be traced. Only Tensors and (possibly nested) Lists, Dicts, and "
            "Tuples of Tensors can be traced"
        )
    return TopLevelTracedModule(func) if _isinstance(func, Module) else ScriptFunction(func)


def _traceable(value: Any) -> bool:
    if _isinstance(value, (tuple, list)):
        return all(map(_traceable, value))
    if _isinstance(value, dict):
        return all(map(_traceable, value.values()))
    return _isinstance(value, bulssi.Tensor)


def trace_module(mod: Module, inputs: dict[str, Any], **kwargs: Any) -> Module:
    """Runs methods of a module on examples, ``{name: arguments}``, and returns it as :func:`trace` does.

    Raises:
        AttributeError: the module is none.
    """
    if not _isinstance(mod, Module):
        raise AttributeError("expected torch.nn.Module as the first argument")
    for name, example in inputs.items():
        getattr(mod, name)(*(example if _isinstance(example, tuple) else (example,)))
    return TopLevelTracedModule(mod)


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> ScriptModule:
    """A copy of a scripted module in evaluation mode: its weights are constants, on the memory of the original's.

    Raises:
        RuntimeError: it is no scripted module, or in training mode.
    """
    if not _isinstance(mod, ScriptModule):
        raise RuntimeError(
            "Freezing expects a ScriptModule as input. Please use torch.jit.script or torch.jit.trace to script your "
            "'nn.Module'."
        )
    if mod.training:
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. Please call .eval() on your module "
            "before freezing."
        )
    constants = {id(p): bulssi.nn.Parameter(p.detach(), requires_grad=False) for p in mod.parameters()}
    return copy.deepcopy(mod, constants | {id(b): b.detach() for b in mod.buffers()})


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """A scripted module, frozen unless it is so; there is nothing to make faster in it.

    Raises:
        RuntimeError: it is no scripted module.
    """
    if not _isinstance(mod, ScriptModule):
        raise RuntimeError("optimize_for_inference expects a ScriptModule as input. Please use torch.jit.script")
    return freeze(mod.eval())


# ---- decorators: each is read by a compiler, and by nothing else ---------------------------------------------------


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Decorates a method that stays Python: all do."""
    return drop if callable(drop) else lambda fn: fn


def unused(fn: Any) -> Any:
    """Decorates a method that scripted code does not call. Here it is called: code is Python."""
    return fn


def export(fn: Any) -> Any:
    """Decorates a method to be compiled beside ``forward``."""
    return fn


def script_method(fn: Any) -> Any:
    """Decorates a method of a :class:`ScriptModule`."""
    return fn


def script_if_tracing(fn: Any) -> Any:
    """Decorates a function to be scripted inside a trace."""
    return fn


_script_if_tracing = script_if_tracing


def _overload(fn: Any) -> Any:
    """Decorates one of the signatures of a function; the last definition is the function."""
    return fn


_overload_method = _overload


def interface(obj: type) -> type:
    """Decorates a class of methods without bodies."""
    return obj


def is_scripting() -> bool:
    """False: code runs as Python."""
    return False


def is_tracing() -> bool:
    """False: calls are not recorded; see `fx` for that."""
    return False


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value, which a compiler would take to be of the type."""
    return the_value


class Attribute(typing.NamedTuple):
    """A value with its type, for a compiler."""

    value: Any
    type: Any


def isinstance(obj: Any, target_type: Any) -> bool:
    """As Python's; also for ``typing.List[int]`` and the like, whose elements are looked at."""
    if _isinstance(target_type, tuple):
        return any(isinstance(obj, each) for each in target_type)
    origin, args = typing.get_origin(target_type), typing.get_args(target_type)
    if origin is None:
        return target_type is Any or _isinstance(obj, target_type)
    if origin is typing.Union:
        return any(isinstance(obj, each) for each in args)
    if not _isinstance(obj, origin):
        return False
    if origin is dict:
        return all(isinstance(k, args[0]) and isinstance(v, args[1]) for k, v in obj.items())
    if origin is tuple:
        return len(obj) == len(args) and all(map(isinstance, obj, args))
    return all(isinstance(item, args[0]) for item in obj)


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
    """Calls the function, now, and returns a future that is done. (Outside TorchScript PyTorch does the same.)"""
    future: Future[Any] = Future()
    future.set_result(func(*args, **kwargs))
    return future


def wait(future: Future[Any]) -> Any:
    """The result of a future, once it is there."""
    return future.wait()


def export_opnames(m: Any) -> list[str]:
    """The operations of a scripted module's code: none, there is no code."""
    return []


class strict_fusion:
    """A block in which a compiler would report what it does not fuse."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass


@contextlib.contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """A block with a compiler's optimisations on or off: there are none."""
    yield


def set_fusion_strategy(strategy: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Says how often a compiler may specialise: remembered by nobody. Returns what was set before: nothing."""
    return []


def enable_onednn_fusion(enabled: bool) -> None:
    """Does nothing: nothing is fused."""


def onednn_fusion_enabled() -> bool:
    """False."""
    return False
