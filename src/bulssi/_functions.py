"""Functions of `torch` that are methods, views whose result is a copy, or layers with their arguments in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

# Functions that are methods, as PyTorch's core takes them.
_METHODS = (
    "detach(Tensor self) -> Tensor",
    "detach_(Tensor self) -> Tensor",
    "is_distributed(Tensor self) -> bool",
    "is_nonzero(Tensor self) -> bool",
    "is_signed(Tensor self) -> bool",
    "unsafe_chunk(Tensor self, int chunks, int dim=0) -> Tensor[]",
    "unsafe_split(Tensor self, int split_size, int dim=0) -> Tensor[]",
    "unsafe_split_with_sizes(Tensor self, int[] split_sizes, int dim=0) -> Tensor[]",
    "zero_(Tensor self) -> Tensor",
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
    schema = "constant_pad_nd(Tensor self, int[] pad, Scalar value=0) -> Tensor"
    bulssi._core._check_arguments((schema,), (input, pad, value), {})
    if not isinstance(pad, (list, tuple)):
        raise TypeError(
            f"constant_pad_nd(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}"
        )
    return bulssi.nn.functional.pad(input, list(pad), "constant", value)


def detach_copy(input: Tensor) -> Tensor:
    """A copy of ``input`` outside its graph."""
    return input.detach().clone(memory_format=bulssi.contiguous_format)


def _of_method(schema: str) -> Callable[..., Any]:
    name = schema.partition("(")[0]
    method = getattr(Tensor, name.removeprefix("unsafe_"))

    def function(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    def explain(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        bulssi._core._check_arguments((schema,), args, kwargs)

    function.__doc__ = f"``input.{name.removeprefix('unsafe_')}(...)``."
    function.__name__ = function.__qualname__ = name
    return bulssi._core.overridable(function, "composite", explain)


for _schema in _METHODS:
    globals()[_schema.partition("(")[0]] = _of_method(_schema)
