"""`_foreach_add` and its like: one operation over the tensors of lists, with which optimizers are written.

An operation `f` of the library gives `_foreach_f`, which returns a tuple, and `_foreach_f_`, which changes the tensors
and returns the list. An operand beside the first list is a list of as many tensors, a list of as many numbers, one
number or (where PyTorch takes one) a tensor of one element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bulssi

_BINARY = "add sub mul div pow clamp_max clamp_min".split()
_TERNARY = ("addcmul", "addcdiv")
_CLAMPS = {"maximum": "clamp_min", "minimum": "clamp_max"}  # the same, with numbers too, and in place


def _list(name: str, value: Any, position: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, bulssi.Tensor) for item in value):
        raise TypeError(
            f"{name}() received an invalid combination of arguments - {position} must be a list or tuple of tensors, "
            f"not {type(value).__name__}"
        )
    return value


def _check_lengths(first: Sequence[Any], *others: Any) -> None:
    if not first:
        raise RuntimeError("Tensor list must have at least one tensor.")
    for other in others:
        if not isinstance(other, (list, tuple)) or len(other) == len(first):
            continue
        if other and not isinstance(other[0], bulssi.Tensor):
            raise RuntimeError(
                "Tensor list must have same number of elements as scalar list.\n"
                f"got {len(first)} tensors and {len(other)} numbers"
            )
        raise RuntimeError(f"Tensor lists must have the same number of tensors, got {len(first)} and {len(other)}")


def _each(value: Any, count: int) -> Sequence[Any]:
    """One value for each tensor."""
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, bulssi.Tensor) and value.dim() == 1 and value.numel() == count:
        return value.tolist()  # the scalars of addcmul and addcdiv
    return [value] * count


def _unary(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    def foreach(self: Any, **options: Any) -> list[Any]:
        _check_lengths(_list(name, self, "argument 'self' (position 1)"))
        return [apply(tensor, **options) for tensor in self]

    return foreach


def _binary(name: str, apply: Callable[..., Any], with_number: Callable[..., Any]) -> Callable[..., Any]:
    def foreach(self: Any, other: Any = None, **options: Any) -> list[Any]:
        for other_name in ("scalar", "scalars", "exponent"):
            other = options.pop(other_name, other)
        if isinstance(other, (list, tuple)) and not isinstance(self, (list, tuple)):  # _foreach_pow(2, exponents)
            _check_lengths(_list(name, other, "argument 'exponent' (position 2)"))
            return [apply(self, tensor, **options) for tensor in other]
        _check_lengths(_list(name, self, "argument 'self' (position 1)"), other)
        if other is None:
            raise TypeError(f"{name}() is missing an operand: a list of tensors or numbers, or a number")
        pairs = zip(self, _each(other, len(self)), strict=True)
        return [(apply if isinstance(b, bulssi.Tensor) else with_number)(a, b, **options) for a, b in pairs]

    return foreach


def _ternary(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    def foreach(
        self: Any, tensor1: Any = None, tensor2: Any = None, value: Any = 1, *, scalars: Any = None
    ) -> list[Any]:
        value = value if scalars is None else scalars
        _list(name, tensor1, "argument 'tensor1' (position 2)")
        _list(name, tensor2, "argument 'tensor2' (position 3)")
        _check_lengths(_list(name, self, "argument 'self' (position 1)"), tensor1, tensor2, value)
        rows = zip(self, tensor1, tensor2, _each(value, len(self)), strict=True)
        return [apply(a, b, c, value=v) for a, b, c, v in rows]

    return foreach


def _lerp(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    def foreach(self: Any, tensors1: Any = None, weight: Any = None, *, weights: Any = None) -> list[Any]:
        weight = weight if weights is None else weights
        _list(name, tensors1, "argument 'tensors1' (position 2)")
        _check_lengths(_list(name, self, "argument 'self' (position 1)"), tensors1, weight)
        return [apply(a, b, w) for a, b, w in zip(self, tensors1, _each(weight, len(self)), strict=True)]

    return foreach


def _in_place(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
    """`change` gives a new list of the very tensors it was given: the caller's list comes back."""

    def foreach(self: Any, *args: Any, **options: Any) -> Any:
        change(self, *args, **options)
        return self

    return foreach


def _returning_tuple(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    def foreach(self: Any, *args: Any, **options: Any) -> tuple[Any, ...]:
        return tuple(make(self, *args, **options))

    return foreach


def _norm(tensor: Any, ord: Any = 2, dtype: Any = None) -> Any:
    return bulssi.linalg.vector_norm(tensor, ord, dtype=dtype)


def _powsum(tensor: Any, ord: Any = 2, dtype: Any = None) -> Any:
    return (tensor if dtype is None else tensor.to(dtype)).abs().pow(ord).sum()


def _measure(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    def foreach(self: Any, ord: Any = 2, dtype: Any = None) -> tuple[Any, ...]:
        _check_lengths(_list(name, self, "argument 'self' (position 1)"))
        return tuple(apply(tensor, ord, dtype) for tensor in self)

    return foreach


def _copy_lists(self: Any, src: Any, non_blocking: bool = False) -> None:
    _list("_foreach_copy_", src, "argument 'src' (position 2)")
    _check_lengths(_list("_foreach_copy_", self, "argument 'self' (position 1)"), src)
    for tensor, source in zip(self, src, strict=True):
        tensor.copy_(source, non_blocking)


def _is_unary(name: str) -> bool:
    """Whether it is a pointwise operation of one tensor that can be done in place."""
    return any(
        each["kind"] == "pointwise" and each["inplace"] and (each["tensors"], each["attributes"]) == (1, 0)
        for each in bulssi._core.registry()
        if each["name"] == name
    )


def _make(name: str) -> Callable[..., Any] | None:
    """The function `_foreach_<name>`."""
    full = f"_foreach_{name}"
    base, in_place = (name[:-1], True) if name.endswith("_") else (name, False)
    finish = _in_place if in_place else _returning_tuple

    def function(of: str) -> Callable[..., Any]:
        return getattr(bulssi.Tensor, of + "_") if in_place else getattr(bulssi, of)

    if _is_unary(base):
        return finish(full, _unary(full, function(base)))
    if base in _BINARY:
        return finish(full, _binary(full, function(base), function(base)))
    if base in _CLAMPS:
        clamp = function(_CLAMPS[base])
        return finish(full, _binary(full, clamp if in_place else function(base), clamp))
    if base in _TERNARY:
        return finish(full, _ternary(full, function(base)))
    if base == "lerp":
        return finish(full, _lerp(full, function(base)))
    if name == "copy_":
        return _in_place(full, _copy_lists)
    if name == "zero_" or name in ("clone", "max"):
        return finish(full, _unary(full, function(base)))
    if name == "mm":
        return finish(full, _binary(full, bulssi.mm, bulssi.mm))
    if name in ("norm", "powsum"):
        return _measure(full, _norm if name == "norm" else _powsum)
    return None


def __getattr__(name: str) -> Any:
    made = _make(name.removeprefix("_foreach_")) if name.startswith("_foreach_") else None
    if made is None:
        raise AttributeError(f"module 'torch' has no attribute {name!r}")
    made.__name__ = made.__qualname__ = name
    made.__doc__ = f"`{name[len('_foreach_') :]}` of each tensor in a list."
    globals()[name] = made
    return made
