"""What programs say to a compiler about their functions: nothing is compiled here, and each call is answered so."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from bulssi._dynamo import compile, disable, is_compiling, list_backends, reset

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
    "set_stance",
    "substitute_in_graph",
    "wrap_numpy",
]

_STANCES = ("default", "eager_then_compile", "aot_eager_then_compile", "force_eager", "eager_on_recompile")
_STANCES += ("fail_on_recompile",)


def is_dynamo_compiling() -> bool:
    """False."""
    return False


def is_exporting() -> bool:
    """False."""
    return False


def allow_in_graph(fn: Any) -> Any:
    """A function, or a list of them, that a compiler need not look into: itself.

    Raises:
        AssertionError: it cannot be called.
    """
    if isinstance(fn, (list, tuple)):
        return [allow_in_graph(item) for item in fn]
    if not callable(fn):
        raise AssertionError(f"allow_in_graph expects a callable\ngot {type(fn).__name__}")
    return fn


def assume_constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose result a compiler may keep: itself, called each time."""
    return fn


def substitute_in_graph(
    original_fn: Callable[..., Any], *, can_constant_fold_through: bool = False, skip_signature_check: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator of the function that a compiler would look into instead of ``original_fn``; the original is run."""
    return lambda traceable_fn: traceable_fn


def cudagraph_mark_step_begin() -> None:
    """Says that an iteration begins: there are no CUDA graphs to care."""


class _Stance:
    """Set when made; as a block or decorator, only inside."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn


def set_stance(stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None) -> _Stance:
    """Say when to compile: never, whatever is said. A statement, a block or a decorator.

    Raises:
        RuntimeError: an unknown stance.
    """
    if stance not in _STANCES:
        raise RuntimeError(f"invalid torch.compile stance {stance!r}, expected one of {', '.join(_STANCES)}")
    return _Stance()


def wrap_numpy(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy arrays as one of tensors: arguments become arrays, arrays among the results tensors."""
    import numpy

    import bulssi

    def to_array(value: Any) -> Any:
        return value.numpy() if isinstance(value, bulssi.Tensor) else value

    def to_tensor(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)(map(to_tensor, value))
        return bulssi.as_tensor(value) if isinstance(value, (numpy.ndarray, numpy.generic)) else value

    @functools.wraps(fn)
    def of_tensors(*args: Any, **kwargs: Any) -> Any:
        return to_tensor(fn(*map(to_array, args), **{name: to_array(value) for name, value in kwargs.items()}))

    return of_tensors
