"""`Proxy`: stands for a value while a program is traced, and records what is done to it."""

from __future__ import annotations

import dis
import enum
import inspect
import operator
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import _core

from .graph import _OPERATORS, _REFLECTABLE
from .node import Argument, Node, Target, map_aggregate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .graph import Graph

__all__ = ["Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "TraceError", "TracerBase"]

_METHOD = type(_core.Tensor.add)


class TraceError(ValueError):
    """The program needs the value of something that only stands for a value."""


class TracerBase:
    """Records calls of proxies as nodes of ``graph``."""

    graph: Graph
    record_stack_traces: bool = False
    check_mutable_operations: bool = False
    trace_asserts: bool = False
    proxy_buffer_attributes: bool = False
    traced_func_name: str = "forward"

    def create_node(
        self,
        kind: str,
        target: Target,
        args: tuple[Argument, ...],
        kwargs: dict[str, Argument],
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """Add a node; subclasses may look at it, or add another."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node: Node) -> Proxy:
        """A proxy for a node; subclasses may make another."""
        return Proxy(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Target,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Callable[[Node], Proxy] | None = None,
    ) -> Proxy:
        """Add a node with these arguments, in which proxies stand for nodes; returns the proxy of its result."""
        made_args, made_kwargs = self.create_arg(args), self.create_arg(kwargs)
        node = self.create_node(kind, target, made_args, made_kwargs, name, type_expr)
        return proxy_factory_fn(node) if proxy_factory_fn is not None else self.proxy(node)

    def create_arg(self, a: Any) -> Argument:
        """A value as an argument of a node; subclasses may take further types.

        Raises:
            NotImplementedError: a value that cannot be written down.
            RuntimeError: a dict with a traced key.
        """
        if isinstance(a, Proxy):
            return a.node
        if isinstance(a, (tuple, list)):
            made = [self.create_arg(item) for item in a]
            if hasattr(a, "_fields"):
                return type(a)(*made)
            return tuple(made) if isinstance(a, tuple) else made
        if isinstance(a, dict):
            result = {}
            for key, value in a.items():
                made_key = self.create_arg(key)
                if isinstance(made_key, Node):
                    raise RuntimeError(
                        f"Keys for dictionaries used as an argument cannot contain a Node. Got key: {made_key}"
                    )
                result[made_key] = self.create_arg(value)
            return result
        if isinstance(a, slice):
            return slice(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if isinstance(a, range):
            return range(a.start, a.stop, a.step)
        if a is None or a is ... or isinstance(a, (Node, *_PLAIN)) or callable(a):
            return a
        raise NotImplementedError(f"argument of type: {type(a)}\nit cannot be written into a graph")

    def to_bool(self, obj: Proxy) -> bool:
        """Called when a proxy is a condition; subclasses may know the value.

        Raises:
            TraceError: nobody does.
        """
        raise TraceError(
            "symbolically traced variables cannot be used as inputs to control flow\n"
            f"the value of {obj.node} is not known while tracing; give concrete_args, or wrap() the function that looks"
        )

    def iter(self, obj: Proxy) -> Iterator[Any]:
        """Called when a proxy is iterated: ``a, b = proxy`` takes items, anything else is refused.

        Raises:
            TraceError: how many there are is not known.
        """
        frame = inspect.currentframe()
        calling = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
        if calling is None:
            raise AssertionError("there is no calling frame")
        for instruction in dis.get_instructions(calling.f_code):
            if instruction.offset == calling.f_lasti and instruction.opname == "UNPACK_SEQUENCE":
                return (operator.getitem(obj, i) for i in range(instruction.argval))  # type: ignore[call-overload]
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or "
            "**kwargs function argument. See the torch.fx docs on pytorch.org for a more detailed explanation of what "
            "types of control flow can be traced, and check out the Proxy docstring for help troubleshooting Proxy "
            "iteration errors"
        )

    def keys(self, obj: Proxy) -> Any:
        """Called for ``**proxy`` and ``proxy.keys()``: recorded as a call."""
        return Attribute(obj, "keys")()


_PLAIN = (enum.Enum, str, int, float, bool, complex, bulssi.dtype, bulssi.Tensor, bulssi.device)
_PLAIN += (type(bulssi.strided), type(bulssi.contiguous_format))  # type: ignore[assignment]


class GraphAppendingTracer(TracerBase):
    """Records at the end of a given graph, or where that inserts."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph


class Proxy:
    """Stands for a tensor, or anything else, that a node gives; what is done to it becomes nodes.

    Args:
        node: the node.
        tracer: who records; without one, nodes go to the node's graph.
    """

    def __init__(self, node: Node, tracer: TracerBase | None = None) -> None:
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, k: str) -> Attribute:
        if k in ("node", "tracer", "__deepcopy__", "__array__", "__array_interface__"):
            raise AttributeError(k)
        return Attribute(self, k)

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        return self.tracer.iter(self)

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def __abs__(self) -> Proxy:
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def keys(self) -> Any:
        """Recorded as a call."""
        return self.tracer.keys(self)

    def __len__(self) -> int:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call "
            "torch.fx.wrap('len') at module scope"
        )

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tracers: dict[int, TracerBase] = {}

        def look(value: Any) -> None:
            if isinstance(value, cls):
                tracers[id(value.tracer)] = value.tracer

        map_aggregate((args, kwargs), look)
        found = list(tracers.values())
        graphs = {id(tracer.graph) for tracer in found}
        if len(graphs) > 1:
            raise RuntimeError(
                f"Found multiple different tracers {found} while trying to trace operations {func}\n"
                "values of two graphs cannot meet in one call"
            )
        if isinstance(func, _METHOD):
            return found[0].create_proxy("call_method", func.__name__, args, kwargs)
        return found[0].create_proxy("call_function", func, args, kwargs)


class Attribute(Proxy):
    """An attribute of a proxy: a call of it is the call of a method, any other use reads the attribute."""

    def __init__(self, root: Proxy, attr: str) -> None:
        self.root = root
        self.attr = attr
        self.tracer = root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The node that reads the attribute, made when it is first needed."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Proxy:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """Stands for a parameter whose shape is known while tracing."""

    def __init__(self, tracer: TracerBase, node: Node, name: str, param: Any) -> None:
        super().__init__(node, tracer)
        self.param = param
        self.name = name

    def __repr__(self) -> str:
        return f"ParameterProxy({self.name})"

    @property
    def shape(self) -> Any:
        """The parameter's."""
        return self.param.shape

    @property
    def ndim(self) -> int:
        """The parameter's."""
        return self.param.ndim

    def size(self, *args: Any) -> Any:
        """The parameter's."""
        return self.param.size(*args)

    def dim(self) -> int:
        """The parameter's."""
        return self.param.dim()

    def numel(self) -> int:
        """The parameter's."""
        return self.param.numel()

    nelement = numel


def _operator_method(function: Callable[..., Any], reflected: bool) -> Callable[..., Proxy]:
    def method(self: Proxy, *others: Any) -> Proxy:
        args = (*others, self) if reflected else (self, *others)
        return self.tracer.create_proxy("call_function", function, args, {})

    return method


def _add_operators() -> None:
    for name in _OPERATORS:
        function = getattr(operator, name)
        setattr(Proxy, f"__{name.strip('_')}__", _operator_method(function, False))
        if name in _REFLECTABLE and name != "getitem":
            setattr(Proxy, f"__r{name.strip('_')}__", _operator_method(function, True))
    Proxy.__hash__ = object.__hash__  # type: ignore[method-assign]  # which == took away


_add_operators()
