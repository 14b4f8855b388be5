"""`Node`: one step of a graph, and the arguments that steps have."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from .graph import Graph

__all__ = ["Argument", "Node", "Target", "has_side_effect", "map_aggregate", "map_arg"]

Target: TypeAlias = "Callable[..., Any] | str"
Argument: TypeAlias = Any  # numbers, strings, dtypes, nodes; and tuples, lists, dicts and slices of such

_side_effect_functions: set[Any] = set()


def has_side_effect(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Says that calls of the function matter even if nobody uses their results."""
    _side_effect_functions.add(fn)
    return fn


def map_aggregate(a: Argument, fn: Callable[[Any], Any]) -> Argument:
    """The same tuples, lists, dicts and slices with ``fn(value)`` for every other value in them."""
    if isinstance(a, tuple):
        mapped = [map_aggregate(item, fn) for item in a]
        return type(a)(*mapped) if hasattr(a, "_fields") else tuple(mapped)
    if isinstance(a, list):
        return [map_aggregate(item, fn) for item in a]
    if isinstance(a, dict):
        return {key: map_aggregate(value, fn) for key, value in a.items()}
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


def map_arg(a: Argument, fn: Callable[[Node], Argument]) -> Argument:
    """The argument with ``fn(node)`` for every node in it."""
    return map_aggregate(a, lambda value: fn(value) if isinstance(value, Node) else value)


def qualified_name(function: Callable[..., Any]) -> str:
    """The name under which a function is found: ``torch.nn.functional.relu``, ``operator.add`` as ``_operator.add``."""
    from bulssi.overrides import resolve_name

    name = getattr(function, "__name__", type(function).__name__)
    if getattr(builtins, name, None) is function:
        return name
    known = resolve_name(function)
    if known is not None:
        return known
    module = getattr(function, "__module__", None) or "__main__"
    if (module + ".").startswith("bulssi."):
        module = "torch" + module[len("bulssi") :]
    return f"{module}.{getattr(function, '__qualname__', name) if isinstance(function, type) else name}"


class Node:
    """One step of a :class:`Graph`.

    Attributes:
        op: what kind of step: ``"placeholder"`` (an input), ``"get_attr"`` (a parameter or buffer),
            ``"call_function"``, ``"call_method"``, ``"call_module"`` or ``"output"``.
        target: the function, or the name of the input, attribute, method or module.
        args, kwargs: the arguments, in which nodes stand for results of earlier steps.
        name: the name of the result.
        users: the nodes that use the result, as keys.
        type: the annotation of the result.
        meta: anything that programs want to remember about it.
    """

    def __init__(
        self,
        graph: Graph,
        name: str,
        op: str,
        target: Target,
        args: tuple[Argument, ...],
        kwargs: dict[str, Argument],
        return_type: Any = None,
    ) -> None:
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, return_type
        self._input_nodes: dict[Node, None] = {}
        self.users: dict[Node, None] = {}
        self._prev = self._next = self
        self._erased = False
        self._args: tuple[Argument, ...] = ()
        self._kwargs: dict[str, Argument] = {}
        self._set_arguments(tuple(args), dict(kwargs))
        self.meta: dict[str, Any] = {}

    def __repr__(self) -> str:
        return self.name

    # ---- place in the graph

    @property
    def next(self) -> Node:
        """The node behind it."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node before it."""
        return self._prev

    def _remove_from_list(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev

    def prepend(self, x: Node) -> None:
        """Move ``x`` right before this node."""
        if x.graph is not self.graph:
            raise AssertionError("Attempting to move a Node into a different Graph")
        if x is self:
            return
        x._remove_from_list()
        before = self._prev
        before._next, x._prev = x, before
        x._next, self._prev = self, x

    def append(self, x: Node) -> None:
        """Move ``x`` right behind this node."""
        self._next.prepend(x)

    def __lt__(self, other: Node) -> bool:
        return self._comes_before(other)

    def _comes_before(self, other: Node) -> bool:
        at = self._next
        while at is not self.graph._root:
            if at is other:
                return True
            at = at._next
        return False

    # ---- arguments

    @property
    def args(self) -> tuple[Argument, ...]:
        """Positional arguments; a step may be given new ones."""
        return self._args

    @args.setter
    def args(self, args: tuple[Argument, ...]) -> None:
        self._set_arguments(tuple(args), self._kwargs)

    @property
    def kwargs(self) -> dict[str, Argument]:
        """Arguments by name; a step may be given new ones."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, kwargs: dict[str, Argument]) -> None:
        self._set_arguments(self._args, dict(kwargs))

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes among the arguments, each once."""
        return list(self._input_nodes)

    def _set_arguments(self, args: tuple[Argument, ...], kwargs: dict[str, Argument]) -> None:
        inputs: dict[Node, None] = {}
        map_arg((args, kwargs), lambda node: inputs.setdefault(node))
        for old in self._input_nodes:
            old.users.pop(self, None)
        for new in inputs:
            new.users.setdefault(self)
        self._input_nodes, self._args, self._kwargs = inputs, args, kwargs

    def update_arg(self, idx: int, arg: Argument) -> None:
        """Replace one positional argument."""
        args = list(self._args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Argument) -> None:
        """Insert a positional argument before the one at ``idx``."""
        if not 0 <= idx <= len(self._args):
            raise AssertionError("insert_args index must be between 0 and len(self.args)")
        self.args = (*self._args[:idx], arg, *self._args[idx:])

    def update_kwarg(self, key: str, arg: Argument) -> None:
        """Set one argument by name."""
        self.kwargs = {**self._kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Replace a node among the arguments by another."""

        def other(node: Node) -> Node:
            return new_input if node is old_input else node

        self._set_arguments(map_arg(self._args, other), map_arg(self._kwargs, other))

    def replace_all_uses_with(
        self,
        replace_with: Node,
        delete_user_cb: Callable[[Node], bool] = lambda user: True,
        *,
        propagate_meta: bool = False,
    ) -> list[Node]:
        """Let the users of this node use ``replace_with``.

        Args:
            delete_user_cb: whether a user is to change.
            propagate_meta: copy ``meta`` to ``replace_with``, which must have none.

        Returns:
            the nodes that changed.
        """
        if propagate_meta:
            if replace_with.meta:
                raise AssertionError(
                    "Called node.replace_all_uses_with(replace_with, propagate_meta=True), but "
                    "replace_with already has .meta keys"
                )
            replace_with.meta.update(self.meta)
        changed = [user for user in self.users if delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    # ---- questions

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether it matters even if nobody uses the result."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            known = "_assert", "_record_function_enter", "_record_function_exit"
            return self.target in _side_effect_functions or getattr(self.target, "__name__", "") in known
        if self.op == "call_method":
            target = str(self.target)
            return target.endswith("_") and not target.endswith("__")
        if self.op == "call_module":
            module = self.graph.owning_module
            if module is None:
                return True
            return getattr(module.get_submodule(str(self.target)), "_is_impure", False)
        return False

    @property
    def stack_trace(self) -> str | None:
        """Where it was recorded, if somebody noted it in ``meta["stack_trace"]``."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def _pretty_target(self) -> str:
        if isinstance(self.target, str):
            return self.target
        name = getattr(self.target, "__name__", type(self.target).__name__)
        module = getattr(self.target, "__module__", None)
        if module == "builtins":
            return f"builtins.{name}"
        if module == "_operator":
            return f"operator.{name}"
        return qualified_name(self.target)

    def format_node(
        self,
        placeholder_names: list[str] | None = None,
        maybe_return_typename: list[str] | None = None,
        **kwargs: Any,
    ) -> str | None:
        """A line about it, as ``print(graph)`` shows; the output becomes a return statement."""
        annotation = f"{_type_name(self.type)} " if self.type else ""
        if self.op == "output":
            return f"return {self.args[0]}"
        head = f"%{self.name} : {annotation}[num_users={len(self.users)}] = {self.op}[target={self._pretty_target()}]"
        if self.op == "placeholder":
            return head + (f"(default={self.args[0]})" if self.args else "")
        if self.op == "get_attr":
            return head
        return f"{head}(args = {_format(self.args)}, kwargs = {_format(self.kwargs)})"


def _format(arg: Any) -> str:
    """An argument as `print(graph)` shows it: nodes with a % in front, strings without quotes."""
    if isinstance(arg, (list, tuple)):
        inside = ", ".join(map(_format, arg))
        if isinstance(arg, list):
            return f"[{inside}]"
        return f"({inside},)" if len(arg) == 1 else f"({inside})"
    if isinstance(arg, dict):
        return "{" + ", ".join(f"{key}: {_format(value)}" for key, value in arg.items()) + "}"
    if isinstance(arg, Node):
        return "%" + str(arg)
    return str(arg)


def _type_name(kind: Any) -> str:
    """An annotation as source text."""
    if not isinstance(kind, type) or getattr(kind, "__args__", None):
        return str(kind).replace("bulssi._core", "torch").replace("bulssi", "torch")
    if kind.__module__ == "builtins":
        return kind.__qualname__
    module = "torch" if kind.__module__ in ("bulssi", "bulssi._core") else kind.__module__
    return f"{module}.{kind.__qualname__}"
