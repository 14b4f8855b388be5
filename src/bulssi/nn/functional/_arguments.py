"""What is said about an argument that is not of the right type, or of a dtype that an operation does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias, TypeVar

    F = TypeVar("F", bound=Callable[..., object])
    Ints: TypeAlias = int | Sequence[int]  # a number for each dimension, or one for all

# PyTorch's messages name the operation behind the function where that has another name.
_OPERATIONS = {"cross_entropy": "cross_entropy_loss", "nll_loss": "nll_loss_nd", "fold": "col2im", "unfold": "im2col"}


def in_python(function: F) -> F:
    """Marks what PyTorch writes in Python, where it therefore meets a wrong argument with an AttributeError of its own.

    What is marked does not name the argument, as functions of the core do: :func:`refuse_ill_typed`.
    """
    function.__dict__["in_python"] = True
    return function


def arguments(*schemas: str) -> Callable[[F], F]:
    """Says how PyTorch's core takes the function's arguments: errors are then those of calls that fit no schema.

    For what PyTorch has in its core; the parameters have the schemas' names.
    """

    def mark(function: F) -> F:
        function.__dict__["schemas"] = schemas
        return function

    return mark


def passed_as(schema: str, read: tuple[str, ...] = ("input",), *more: str) -> Callable[[F], F]:
    """Says how PyTorch, which writes the function in Python, hands its parameters on to an operation of its core.

    The parameters are found by the names in ``schema``, and given by position. Those in ``read`` it looks at itself, so
    that it fails in its own way when they are no tensors. ``more`` are other schemas with parameters of the same names.
    """

    def mark(function: F) -> F:
        function.__dict__["in_python"] = True
        function.__dict__["passed_as"] = (schema, *more), read
        return function

    return mark


def check_call(schema: str, *values: Any, **named: Any) -> None:
    """Raise the error of an operation's call, unless the arguments fit the schema."""
    bulssi._core._check_arguments((schema,), values, named)


def _refuse_as_passed(function: Any, names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    import re

    defaults = function.__defaults__ or ()
    given: dict[str, Any] = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    given.update(zip(names, args, strict=False))
    given.update(kwargs)
    schemas, read = function.__dict__["passed_as"]
    wanted = re.findall(r"(\w+)(?:=[^,)]*)?[,)]", schemas[0].partition("(")[2])
    twice = {*names[: len(args)]} & {*kwargs}
    first = all(isinstance(given.get(name), Tensor) for name in read)
    given["reduction"] = 1  # by then it is a number
    if first and not twice and len(args) <= len(names) and {*wanted} <= given.keys() <= {*names, "reduction"}:
        bulssi._core._check_arguments(schemas, tuple(given[name] for name in wanted), {})


def _type_name(o: Any) -> str:
    kind = type(o)
    return kind.__name__ if kind is Tensor or not kind.__module__.startswith("torch") else f"torch.{kind.__name__}"


def _is_int(o: Any) -> bool:
    if isinstance(o, Tensor):
        return o.dim() == 0 and not (o.is_floating_point() or o.dtype is bulssi.bool)
    return isinstance(o, int) and not isinstance(o, bool)


def _refused_ints(argument: str, place: str, given: Any) -> str:
    """Why something is no integer and no list of integers; empty if it is."""
    if not isinstance(given, (list, tuple)):
        return "" if _is_int(given) else f"{argument}{place} must be tuple of ints, not {_type_name(given)}"
    for at, item in enumerate(given):
        if _is_int(item) and abs(int(item)) < 1 << 63 or (at and isinstance(item, bool)):
            continue
        if _is_int(item):
            why = "Overflow when unpacking long long\nthe integer does not fit in 64 bits"
        elif at == 0:
            if not place:
                return f"{argument} must be tuple of ints, not {_type_name(given)}"
            return f"{argument}{place} must be tuple of ints, but found element of type {_type_name(item)} at pos 0"
        else:
            why = f"type must be tuple of ints,but got {_type_name(item)}"
        return f'{argument} failed to unpack the object at pos {at + 1} with error "{why}"'
    return ""


# What arguments of an annotated type may be, and what PyTorch calls the type.
_KINDS = {
    "Tensor": ("Tensor", lambda o: isinstance(o, Tensor)),
    "int": ("int", _is_int),
    "float": ("float", lambda o: isinstance(o, (int, float)) or (isinstance(o, Tensor) and o.dim() == 0)),
    "bool": ("bool", lambda o: isinstance(o, bool) or (isinstance(o, Tensor) and o.dim() == 0)),
    "str": ("str", lambda o: isinstance(o, (str, bytes))),
}


def refuse_ill_typed(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise the error of the first argument of ``function`` that is not of its annotated type, if there is one.

    Raises:
        TypeError: as PyTorch's, which names the argument, its position and the type that was given.
        ValueError: an integer of more than 64 bits.
    """
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    if schemas := function.__dict__.get("schemas"):
        return bulssi._core._check_arguments(schemas, args, kwargs)
    if "passed_as" in function.__dict__:
        return _refuse_as_passed(function, names, args, kwargs)
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    operation = _OPERATIONS.get(function.__name__, function.__name__)
    for position, name in enumerate(names):
        annotation = "Tensor" if name == "input" else str(function.__annotations__.get(name))
        plain = annotation.removesuffix(" | None")
        if name not in given or (given[name] is None and plain != annotation) or name == "reduction":
            continue  # (a reduction that is none says so itself)
        argument = f"{operation}(): argument '{name}'"
        place = f" (position {position + 1})" if position < len(args) else ""
        if plain in ("Ints", "Sequence[int]"):
            if why := _refused_ints(argument, place, given[name]):
                raise TypeError(why)
        elif plain in _KINDS:
            called, fits = _KINDS[plain]
            if not fits(given[name]):
                raise TypeError(f"{argument}{place} must be {called}, not {_type_name(given[name])}")
            if plain == "int" and abs(int(given[name])) >= 1 << 63:
                raise ValueError(f"Overflow when unpacking long long\n{argument}: {given[name]} has more than 64 bits")


def scalar_name(t: Tensor) -> str:
    """The name of the dtype in PyTorch's messages: ``Float``, ``Long``."""
    return t.type().rpartition(".")[2].removesuffix("Tensor")


def check_floating(t: Tensor, operation: str) -> None:
    """Raise, in the name of PyTorch's operation, unless ``t`` is of a floating dtype."""
    if not t.is_floating_point():
        raise NotImplementedError(f"\"{operation}\" not implemented for '{scalar_name(t)}'")
