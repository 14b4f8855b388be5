"""`Tracer`: runs a program on proxies and writes down what it does."""

from __future__ import annotations

import builtins
import functools
import inspect
import math
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.nn.modules.module import Module

from .graph import Graph
from .graph_module import GraphModule
from .node import Node, map_aggregate
from .proxy import ParameterProxy, Proxy, TracerBase

if TYPE_CHECKING:
    from collections.abc import Callable

    from .node import Argument

__all__ = ["PH", "PHBase", "Tracer", "is_fx_tracing", "symbolic_trace", "wrap"]

_wrapped: dict[tuple[int, str], dict[str, Any]] = {}  # names of functions that stay whole, with their modules' globals
_tracing = False


class PHBase:
    """Among ``concrete_args``: an argument that stays an input."""

    def __repr__(self) -> str:
        return "PH"


PH = PHBase()


def is_fx_tracing() -> bool:
    """Whether a program is being traced."""
    return _tracing


def wrap(fn_or_name: Any) -> Any:
    """Says that calls of a function of this module become one node each, and are not looked into.

    Args:
        fn_or_name: the function, or its name; also of a builtin such as ``"len"``. Called at the top level of a module.

    Returns:
        the argument, so that it can decorate a function.

    Raises:
        RuntimeError: it is no function nor a name.
        NotImplementedError: it is not called at the top level of a module.
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name of function")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = inspect.currentframe()
    calling = frame.f_back if frame is not None else None
    if calling is None or calling.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _wrapped[id(calling.f_globals), name] = calling.f_globals
    return fn_or_name


def _proxy_in(*values: Any) -> Proxy | None:
    found: list[Proxy] = []
    map_aggregate(values, lambda value: found.append(value) if isinstance(value, Proxy) else None)
    return found[0] if found else None


def _recording(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but a call with a proxy is recorded and not made."""

    @functools.wraps(function)
    def record(*args: Any, **kwargs: Any) -> Any:
        proxy = _proxy_in(args, kwargs)
        if proxy is None:
            return function(*args, **kwargs)
        made = proxy.tracer.create_proxy("call_function", function, args, kwargs)
        made.node.meta["is_wrapped"] = True
        return made

    return record


class _Patches:
    """Changes of dictionaries and classes, taken back at the end."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._done: set[tuple[int, str]] = set()

    def item(self, where: dict[str, Any], name: str, make: Callable[[Any], Any]) -> None:
        """Replace where[name], or a builtin of that name, by make(it); once."""
        if (id(where), name) in self._done:
            return
        self._done.add((id(where), name))
        if name in where:
            original = where[name]
            self._undo.append(lambda: where.__setitem__(name, original))
        elif hasattr(builtins, name):
            original = getattr(builtins, name)
            self._undo.append(lambda: where.pop(name))
        else:
            return
        where[name] = make(original)

    def method(self, cls: type, name: str, function: Any) -> None:
        original = cls.__dict__[name]
        self._undo.append(lambda: setattr(cls, name, original))
        setattr(cls, name, function)

    def take_back(self) -> None:
        for undo in reversed(self._undo):
            undo()


class Tracer(TracerBase):
    """Runs a module or function on proxies.

    Modules of `bulssi.nn` become one node each (except Sequential); others are looked into. Subclasses change that,
    or look at every node that is made.

    Args:
        autowrap_modules: modules whose functions stay whole when a proxy is given to them.
        autowrap_functions: functions that stay whole.
        param_shapes_constant: shapes of parameters are numbers, and can be looked at.
    """

    def __init__(
        self,
        autowrap_modules: tuple[ModuleType, ...] = (math,),
        autowrap_functions: tuple[Callable[..., Any], ...] = (),
        param_shapes_constant: bool = False,
    ) -> None:
        self._autowrap_ids = {
            id(value)
            for module in autowrap_modules
            for name, value in vars(module).items()
            if callable(value) and not name.startswith("_")
        } | set(map(id, autowrap_functions))
        self._autowrap_search = list(autowrap_modules)
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths: dict[Module, str] | None = None
        self.tensor_attrs: dict[int, tuple[Any, str]] = {}
        self.root: Module
        self.root_module_name = ""

    # ---- what subclasses may change

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a module becomes one node: those of `bulssi.nn` but for Sequential."""
        standard = type(m).__module__.startswith(("bulssi.nn.", "torch.nn."))
        return standard and not isinstance(m, bulssi.nn.Sequential)

    def path_of_module(self, mod: Module) -> str:
        """The path of a module in the root.

        Raises:
            NameError: it is not there.
        """
        paths = self.submodule_paths or {m: name for name, m in self.root.named_modules()}
        if mod not in paths:
            raise NameError("module is not installed as a submodule")
        return paths[mod]

    def call_module(self, m: Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Called for every call of a module: records it, or makes it by ``forward``."""
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return self.create_proxy("call_module", path, args, kwargs)
        return forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Proxy]) -> Any:
        """Called for attributes that modules register: a proxy for a parameter, others as they are."""
        kinds: list[tuple[bool, Any]] = [(isinstance(attr_val, bulssi.nn.Parameter), self.root.named_parameters)]
        if self.proxy_buffer_attributes:
            kinds.append((isinstance(attr_val, bulssi.Tensor), self.root.named_buffers))
        for fits, members in kinds:
            if not fits:
                continue
            for name, value in members():
                if value is not attr_val:
                    continue
                if name not in parameter_proxy_cache:
                    make = None
                    if self.param_shapes_constant:
                        make = functools.partial(self._parameter_proxy, name, value)
                    extra: dict[str, Any] = {} if make is None else {"proxy_factory_fn": make}
                    parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {}, **extra)
                return parameter_proxy_cache[name]
        return attr_val

    def _parameter_proxy(self, name: str, value: Any, node: Node) -> Proxy:
        return ParameterProxy(self, node, name, value)

    def create_arg(self, a: Any) -> Argument:
        """A value as an argument of a node; parameters, buffers, modules and other tensors are read from the root."""
        if isinstance(a, bulssi.nn.Parameter):
            for name, p in self.root.named_parameters():
                if a is p:
                    return self.create_node("get_attr", name, (), {})
            raise NameError("parameter is not a member of this module")
        if isinstance(a, bulssi.Tensor):
            for name, b in self.root.named_buffers():
                if a is b:
                    return self.create_node("get_attr", name, (), {})
            return self.create_node("get_attr", self._constant(a), (), {})
        if isinstance(a, Module):
            for name, m in self.root.named_modules():
                if a is m:
                    return self.create_node("get_attr", name, (), {})
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return self.create_node("call_function", type(a), tuple(map(self.create_arg, a)), {})
        return super().create_arg(a)

    def _constant(self, value: Any) -> str:
        """The path of an attribute of the root that holds the tensor; it is made if need be."""
        known = self.tensor_attrs.get(id(value))
        if known is not None:
            return known[1]
        number = 0
        while hasattr(self.root, f"_tensor_constant{number}"):
            number += 1
        name = f"_tensor_constant{number}"
        self.tensor_attrs[id(value)] = value, name
        setattr(self.root, name, value)
        return name

    # ---- tracing

    def trace(self, root: Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None) -> Graph:
        """The graph of what a module's ``forward``, or a function, does.

        Args:
            concrete_args: values of arguments by name, for which the graph is made: it checks that they are given.

        Raises:
            TraceError: what is done depends on a value.
        """
        global _tracing
        if isinstance(root, Module):
            self.root = root
            function = getattr(type(root), self.traced_func_name)
            self.root_module_name = root._get_name()
            self.submodule_paths = {module: name for name, module in root.named_modules()}
        else:
            self.root = Module()
            function = root
        self.graph = Graph(tracer_cls=type(self))
        self.tensor_attrs = {}
        self._find_tensors(self.root, "")
        if not isinstance(function, FunctionType):
            function = _as_function(function)
        before, _tracing = _tracing, True
        patches = _Patches()
        try:
            call, args = self._arguments(function, isinstance(root, Module), concrete_args)
            self._patch(patches, function)
            result = self.create_arg(call(*args))
            annotation = inspect.unwrap(function).__annotations__.get("return")
            self.create_node("output", "output", (result,), {}, type_expr=_real(annotation, function))
        finally:
            patches.take_back()
            _tracing = before
            self.submodule_paths = None
        return self.graph

    def _find_tensors(self, module: Module, prefix: str) -> None:
        for name, value in vars(module).items():
            if isinstance(value, bulssi.Tensor):
                self.tensor_attrs[id(value)] = value, prefix + name
        for name, child in module.named_children():
            self._find_tensors(child, f"{prefix}{name}.")

    def _patch(self, patches: _Patches, function: Any) -> None:
        plain_getattr, plain_call = Module.__getattr__, Module.__call__
        proxies: dict[str, Proxy] = {}

        def getattr_of(module: Module, name: str) -> Any:
            return self.getattr(name, plain_getattr(module, name), proxies)

        def call_of(module: Module, *args: Any, **kwargs: Any) -> Any:
            def forward(*args: Any, **kwargs: Any) -> Any:
                return plain_call(module, *args, **kwargs)

            names = getattr(getattr(type(module), "forward", None), "__globals__", None)
            if names is not None:
                self._wrap_known(patches, names)
            return self.call_module(module, forward, args, kwargs)

        patches.method(Module, "__getattr__", getattr_of)
        patches.method(Module, "__call__", call_of)
        for (_, name), names in list(_wrapped.items()):
            patches.item(names, name, _recording)
        self._wrap_known(patches, function.__globals__)
        for module in self._autowrap_search:
            self._wrap_known(patches, vars(module))

    def _wrap_known(self, patches: _Patches, names: dict[str, Any]) -> None:
        """Record calls of the functions that stay whole, under the names that a module has for them."""
        for name, value in list(names.items()):
            if not name.startswith("_") and id(value) in self._autowrap_ids:
                patches.item(names, name, _recording)

    def _arguments(
        self, function: FunctionType, is_method: bool, concrete: Any
    ) -> tuple[Callable[..., Any], list[Any]]:
        """What to call, and proxies (or given values) for its arguments by position."""
        plain = inspect.unwrap(function)
        code = plain.__code__  # type: ignore[attr-defined]
        count = code.co_argcount + code.co_kwonlyargcount
        names = list(code.co_varnames[:count])
        args: list[Any] = []
        if is_method:
            if not names:
                raise RuntimeError("``self`` argument cannot be part of *args expansion!")
            names.pop(0)
            args.append(self.root)
        if isinstance(concrete, tuple):
            if len(concrete) != len(names):
                raise RuntimeError(
                    f"Tracing expected {len(names)} arguments but got {len(concrete)} concrete arguments"
                )
            concrete = dict(zip(names, concrete, strict=True))
        signature = inspect.signature(plain)
        args += [self._placeholder(name, concrete or {}, signature, plain) for name in names]
        positional = code.co_argcount
        rest = list(code.co_varnames[count:])
        kinds = [p.kind for p in signature.parameters.values()]
        has_args, has_kwargs = inspect.Parameter.VAR_POSITIONAL in kinds, inspect.Parameter.VAR_KEYWORD in kinds
        if not (code.co_kwonlyargcount or has_args or has_kwargs):
            return function, args
        keywords = code.co_varnames[positional:count]
        given = args[:positional]
        by_name = dict(zip(keywords, args[positional:], strict=True))
        star = self.create_proxy("placeholder", "*" + rest.pop(0), (), {}) if has_args else None
        two_stars = self.create_proxy("placeholder", "**" + rest.pop(0), (), {}) if has_kwargs else None
        return _with_whole_rest(function, given, by_name, star, two_stars), []

    def _placeholder(self, name: str, concrete: dict[str, Any], signature: inspect.Signature, function: Any) -> Any:
        default = signature.parameters[name].default
        defaults = () if default is inspect.Parameter.empty else (default,)
        if name in concrete and concrete[name] is not PH:
            return self._specialised(name, concrete[name], defaults)
        kind = _real(function.__annotations__.get(name), function)
        return self.create_proxy("placeholder", name, defaults, {}, type_expr=kind)

    def _specialised(self, name: str, value: Any, defaults: tuple[Any, ...]) -> Any:
        """A value that the graph is made for; it checks that it is given."""
        if isinstance(value, (tuple, list, dict)):
            raise NotImplementedError(
                f"concrete_args: the argument {name} is a {type(value).__name__}; only single values can be given"
            )
        proxy = self.create_proxy("placeholder", f"{name}_1", defaults, {})
        if value is None:
            message = f"{name} has been specialized to have value None but got another value"
            self.create_proxy("call_function", _assert_is_none, (proxy, message), {})
        elif isinstance(value, (bool, int, float, str)):
            message = f"{name} has been specialized to have value {value} but got another value"
            bulssi._assert(proxy == value, message)
        return value


def _assert_is_none(value: object, msg: str) -> None:
    if value is not None:
        raise AssertionError(msg)


def _real(annotation: Any, function: Any) -> Any:
    """An annotation that is text as what it names; the text if that cannot be found. None of the library's own."""
    if (inspect.unwrap(function).__module__ or "").startswith("bulssi."):
        return None
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(inspect.unwrap(function).__globals__))
    except Exception:
        return annotation


def _as_function(callable_object: Any) -> FunctionType:
    """A function that calls something else that can be called, with a signature of its own."""
    try:
        parameters = inspect.signature(callable_object).parameters
    except (TypeError, ValueError) as error:
        raise AssertionError(f"Expected FunctionType, got {type(callable_object)}") from error
    names = ", ".join(parameters)
    scope = {"call": callable_object}
    exec(f"def forward({names}):\n    return call({names})\n", scope)
    return scope["forward"]


def _with_whole_rest(function: Any, given: list[Any], by_name: dict[str, Any], star: Any, two_stars: Any) -> Any:
    """A call in which the function sees ``*args`` and ``**kwargs`` as one proxy each: its code takes them by name."""
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount + (star is not None) + (two_stars is not None)
    flags = code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    flat = code.replace(co_argcount=count, co_kwonlyargcount=0, co_posonlyargcount=0, co_flags=flags)
    plain = FunctionType(flat, function.__globals__, function.__name__, None, function.__closure__)
    values = [
        *given,
        *by_name.values(),
        *([star] if star is not None else []),
        *([two_stars] if two_stars is not None else []),
    ]
    return functools.partial(plain, *values)


def symbolic_trace(
    root: Module | Callable[..., Any], concrete_args: dict[str, Any] | tuple[Any, ...] | None = None
) -> GraphModule:
    """A module that does what ``root`` does, as a graph that can be looked at and changed.

    Args:
        root: a module or a function. What it does must not depend on values of its arguments.
        concrete_args: values of some arguments, for which the graph is made.

    Raises:
        TraceError: what is done depends on a value.

    Example:
        >>> traced = fx.symbolic_trace(lambda x: x.relu() + 1)
        >>> [node.name for node in traced.graph.nodes]
        ['x', 'relu', 'add', 'output']
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)  # type: ignore[arg-type]
    name = type(root).__name__ if isinstance(root, Module) else getattr(root, "__name__", type(root).__name__)
    return GraphModule(tracer.root, graph, name)
