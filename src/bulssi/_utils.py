"""Small functions that programs import from here in PyTorch."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import bulssi

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bulssi import Tensor

__all__ = [
    "_flatten_dense_tensors",
    "_get_all_device_indices",
    "_get_available_device_type",
    "_get_device_index",
    "_reorder_tensors_as",
    "_take_tensors",
    "_unflatten_dense_tensors",
    "is_compiling",
]


def is_compiling() -> bool:
    """False: nothing is compiled."""
    return False


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """One vector of the elements of all tensors, which have one dtype."""
    return bulssi.cat([t.reshape(-1) for t in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Views of `flat` in the shapes of `tensors`: undoes :func:`_flatten_dense_tensors`."""
    parts = flat.split([t.numel() for t in tensors])
    return tuple(part.view(t.shape) for part, t in zip(parts, tensors, strict=True))


def _take_tensors(tensors: Iterable[Tensor], size_limit: int) -> Iterator[list[Tensor]]:
    """Groups of tensors of one dtype, of at most `size_limit` bytes each where one tensor is not more."""
    waiting: dict[Any, tuple[list[Tensor], int]] = defaultdict(lambda: ([], 0))
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        group, filled = waiting[tensor.dtype]
        if group and filled + size > size_limit:
            yield group
            group, filled = [], 0
        waiting[tensor.dtype] = ([*group, tensor], filled + size)
    for group, _ in waiting.values():
        if group:
            yield group


def _reorder_tensors_as(tensors: Iterable[Tensor], ordered_tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The tensors in such an order that their dtypes follow those of `ordered_tensors`."""
    by_dtype: dict[Any, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        by_dtype[tensor.dtype].append(tensor)
    queues = {kind: iter(group) for kind, group in by_dtype.items()}
    return tuple(next(queues[like.dtype]) for like in ordered_tensors)


def _get_available_device_type() -> str | None:
    """None: there is no accelerator."""
    return None


def _get_all_device_indices() -> list[int] | None:
    """None: there is no accelerator."""
    return None


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """The number of an accelerator, from a number, a name or a device; -1 for the CPU where it is allowed.

    Raises:
        ValueError: a device without a number.
    """
    if isinstance(device, str):
        device = bulssi.device(device)
    if isinstance(device, bulssi.device):
        if not allow_cpu and device.type == "cpu":
            raise ValueError(f"Expected a non cpu device, but got: {device}")
        device = -1 if device.type == "cpu" else device.index
    if isinstance(device, int):
        return device
    if optional:
        return bulssi.cuda.current_device()
    raise ValueError(f"Expected a torch.device with a specified index or an integer, but got: {device}")
