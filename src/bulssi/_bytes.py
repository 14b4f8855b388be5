"""The memory of tensors as bytes: the only Python that touches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi

if TYPE_CHECKING:
    from bulssi import Tensor


def bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor as a writable view of bytes, not copied. It keeps the memory alive."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() == 0:
        return memoryview(bytearray())
    return _exported(flat if flat.dtype == bulssi.uint8 else flat.view(bulssi.uint8))


def tensor_over(buffer: Any, dtype: Any, count: int, offset: int = 0) -> Tensor:
    """A 1-d tensor over `count` elements of a writable buffer from byte `offset` on, not copied."""
    if count == 0:
        return bulssi.empty(0, dtype=dtype)
    return bulssi.frombuffer(buffer, dtype=dtype, count=count, offset=offset)


def _exported(tensor: Tensor) -> memoryview:
    return memoryview(tensor)
