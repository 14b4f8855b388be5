"""Functions of `torch.optim.optimizer` with which packages write optimizers of their own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import bulssi

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor


def _use_grad_for_differentiable(func: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a ``step``: it is recorded when the optimizer's default ``differentiable`` says so, and else not."""

    @functools.wraps(func)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        with bulssi.set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            return func(self, *args, **kwargs)

    return step


def _get_value(x: Any) -> Any:
    """The number in a tensor of one element; a number as it is."""
    return x.item() if isinstance(x, bulssi.Tensor) else x


def _stack_if_compiling(x: Any) -> Any:
    """``x``: nothing is compiled."""
    return x


def _dispatch_sqrt(x: Any) -> Any:
    """The square root of a tensor or a number."""
    return x.sqrt() if isinstance(x, bulssi.Tensor) else x**0.5


def _default_to_fused_or_foreach(params: Any, differentiable: bool, use_fused: bool = False) -> tuple[bool, bool]:
    """Whether ``fused`` and ``foreach`` are the defaults for such parameters: on the CPU neither is."""
    return False, False


def _get_capturable_supported_devices(supports_xla: bool = True) -> list[str]:
    """Kinds of devices whose steps can be recorded and replayed, by PyTorch's list."""
    return ["cuda", "xpu", "hpu", "privateuseone", *(["xla"] if supports_xla else [])]


def _view_as_real(params: Any, *state_and_grads: Any) -> None:
    """Nothing: there are no complex parameters to see as pairs."""


def _disable_dynamo_if_unsupported(single_tensor_fn: Any = None) -> Callable[[Any], Any]:
    """Decorates a function that some compilers cannot take: itself."""
    return lambda func: func


def _group_tensors_by_device_and_dtype(
    tensorlistlist: list[list[Tensor | None]], with_indices: bool = False
) -> dict[Any, tuple[list[list[Tensor | None]], list[int]]]:
    """Lists of equal length, split by device and dtype of the first list's tensors; empty lists stay empty.

    Returns:
        by (device, dtype) the lists, and where ``with_indices`` the places of their tensors.
    """
    groups: dict[Any, tuple[list[list[Tensor | None]], list[int]]] = {}
    for index, first in enumerate(tensorlistlist[0]):
        if first is None:
            raise RuntimeError("the first list must have a tensor at every place")
        lists, indices = groups.setdefault((first.device, first.dtype), ([[] for _ in tensorlistlist], []))
        for into, source in zip(lists, tensorlistlist, strict=True):
            if source:
                into.append(source[index])
        if with_indices:
            indices.append(index)
    return groups
