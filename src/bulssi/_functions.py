"""Functions of `torch` that are methods, views whose result is a copy, or layers with their arguments in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

_METHODS = (
    "detach",
    "detach_",
    "is_distributed",
    "is_nonzero",
    "is_signed",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "zero_",
)
_VIEWS = (
    "as_strided",
    "detach",
    "diagonal",
    "expand",
    "permute",
    "select",
    "split",
    "split_with_sizes",
    "squeeze",
    "t",
    "transpose",
    "unbind",
    "unfold",
    "unsqueeze",
    "view",
)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """`nn.functional.batch_norm`, with its arguments in another order."""
    return bulssi.nn.functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """`nn.functional.instance_norm`, with its arguments in another order."""
    return bulssi.nn.functional.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


def constant_pad_nd(input: Tensor, pad: Any, value: Any = 0) -> Tensor:
    """`nn.functional.pad` with a constant."""
    return bulssi.nn.functional.pad(input, list(pad), "constant", value)


def _copied(result: Any) -> Any:
    if isinstance(result, Tensor):
        return result.clone(memory_format=bulssi.contiguous_format)
    return tuple(_copied(part) for part in result)


def _of_method(name: str) -> Callable[..., Any]:
    method = getattr(Tensor, name.removeprefix("unsafe_"))

    def function(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return method(input, *args, **kwargs)

    function.__doc__ = f"``input.{name.removeprefix('unsafe_')}(...)``."
    return function


def _of_view(name: str) -> Callable[..., Any]:
    view = getattr(Tensor, name)

    def function(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return _copied(view(input, *args, **kwargs))

    function.__doc__ = f"A copy of what ``input.{name}(...)`` gives."
    return function


for _name in _METHODS:
    globals()[_name] = _of_method(_name)
for _name in _VIEWS:
    globals()[f"{_name}_copy"] = _of_view(_name)
for _name in (*_METHODS, *(f"{name}_copy" for name in _VIEWS)):
    globals()[_name].__name__ = globals()[_name].__qualname__ = _name
