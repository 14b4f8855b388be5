"""What the layers slide over their inputs: the core's convolution and pooling, padding, and views of windows.

Inputs have a batch dimension; sizes are tuples with one entry per spatial dimension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

    Sizes = Sequence[int]


def in_channel_order(out: Tensor, like: Tensor) -> Tensor:
    """``out`` with its channels last in memory if those of ``like`` are; both are ``(N, C, *size)``."""
    if like.is_contiguous() or out.dim() != like.dim() or out.dim() not in (4, 5):
        return out
    order = bulssi.channels_last if out.dim() == 4 else bulssi.channels_last_3d
    return out.contiguous(memory_format=order) if like.is_contiguous(memory_format=order) else out


def in_order(x: Tensor) -> Tensor:
    """``x``, copied into row-major order unless it is in that or has its channels last."""
    if x.is_contiguous():
        return x
    if x.dim() in (4, 5):
        order = bulssi.channels_last if x.dim() == 4 else bulssi.channels_last_3d
        if x.is_contiguous(memory_format=order):
            return x
    return x.contiguous()


def pad_constant(x: Tensor, pad: Sequence[int], value: float = 0.0) -> Tensor:
    """Extend (or, where negative, crop) the last dimensions; ``pad`` has a pair per dimension, the last one first."""
    for i in range(len(pad) // 2):
        dim = x.dim() - 1 - i
        before, after = pad[2 * i], pad[2 * i + 1]
        if before < 0 or after < 0:
            crop = max(-before, 0)
            x = x.narrow(dim, crop, x.shape[dim] - crop - max(-after, 0))
        if before > 0 or after > 0:
            shape = list(x.shape)
            parts = []
            for size in (before, None, after):
                if size is None:
                    parts.append(x)
                elif size > 0:
                    shape[dim] = size
                    parts.append(x.new_full(shape, value))
            x = bulssi.cat(parts, dim)
    return x


def _both_sides(padding: Sizes) -> list[int]:
    return [p for size in reversed(padding) for p in (size, size)]


def windows(x: Tensor, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Tensor:
    """A view ``(*lead, *out, *kernel)`` of the windows over the last ``len(kernel)`` dimensions of ``(*lead,
    *size)``."""
    first = x.dim() - len(kernel)
    for i, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        x = x.unfold(first + i, d * (k - 1) + 1, s)
        if d > 1:
            x = x[..., ::d]
    return x


# ---- the core's own ----------------------------------------------------------------------------------------------

convolution = _core.convolution
max_pool = _core.nn.max_pool
avg_pool = _core.nn.avg_pool


# ---- pooling ------------------------------------------------------------------------------------------------------


def pool_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """The number of windows along one dimension; in ``ceil_mode`` the last one may reach past the padding."""
    out = (size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:
        out -= 1  # a window has to start inside the input or the padding on its left
    return out


def lowest(x: Tensor) -> float:
    """The smallest value of the dtype: minus infinity, or the smallest integer."""
    return float("-inf") if x.is_floating_point() else bulssi.iinfo(x.dtype).min
