"""The seam between the layers and the core: convolution and pooling over windows, for any number of spatial dimensions.

Each function here is a composite of tensor operations, right for every dtype and differentiable as often as they are.
A function of the same name and arguments in the core takes its place (the last lines). Inputs have a batch dimension;
sizes are tuples with one entry per spatial dimension.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import bulssi
from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bulssi import Tensor

    Sizes = Sequence[int]


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


# ---- convolution --------------------------------------------------------------------------------------------------


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    transposed: bool,
    output_padding: Sizes,
    groups: int,
) -> Tensor:
    """Cross-correlation of ``(N, C, *size)`` with ``(O, C / groups, *kernel)``; transposed, its adjoint.

    A transposed one has the weight ``(C, O / groups, *kernel)``.
    """
    if transposed:
        return _transposed(input, weight, bias, stride, padding, dilation, output_padding, groups)
    kernel = weight.shape[2:]
    if any(padding):
        input = pad_constant(input, _both_sides(padding))
    batch, channels = input.shape[:2]
    out_channels = weight.shape[0]
    view = windows(input, kernel, stride, dilation)
    rank = len(kernel)
    size = view.shape[2 : 2 + rank]
    columns = view.permute(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    depth = channels // groups * math.prod(kernel)
    columns = columns.reshape(batch, groups, depth, math.prod(size))
    rows = weight.reshape(groups, out_channels // groups, depth)
    out = bulssi.matmul(rows, columns).reshape(batch, out_channels, *size)
    return out if bias is None else out + bias.reshape(-1, *(1,) * rank)


def _transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    output_padding: Sizes,
    groups: int,
) -> Tensor:
    """The adjoint as a convolution with stride 1: of the input spread out by the stride, with the weight turned
    round."""
    kernel = weight.shape[2:]
    rank = len(kernel)
    for i, s in enumerate(stride):
        dim = 2 + i
        if s > 1:
            size = x.shape[dim]
            spread = pad_constant(x.unsqueeze(dim + 1), [0, 0] * (rank - 1 - i) + [0, s - 1])
            x = spread.flatten(dim, dim + 1).narrow(dim, 0, max((size - 1) * s + 1, 0))
    pad = []
    for k, p, d, extra in reversed(list(zip(kernel, padding, dilation, output_padding, strict=True))):
        pad += [d * (k - 1) - p, d * (k - 1) - p + extra]
    x = pad_constant(x, pad)
    out_channels = weight.shape[1]
    turned = weight.reshape(groups, -1, out_channels, *kernel).transpose(1, 2).flip(tuple(range(3, 3 + rank)))
    turned = turned.reshape(groups * out_channels, -1, *kernel)
    return convolution(x, turned, bias, (1,) * rank, (0,) * rank, dilation, False, (0,) * rank, groups)


# ---- pooling ------------------------------------------------------------------------------------------------------


def pool_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """The number of windows along one dimension; in ``ceil_mode`` the last one may reach past the padding."""
    out = (size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:
        out -= 1  # a window has to start inside the input or the padding on its left
    return out


def _pool_windows(
    x: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, out: Sizes, fill: float
) -> Tensor:
    pad = []
    for n, k, s, p, d, o in reversed(list(zip(x.shape[2:], kernel, stride, padding, dilation, out, strict=True))):
        pad += [p, (o - 1) * s + d * (k - 1) + 1 - n - p]
    return windows(pad_constant(x, pad, fill), kernel, stride, dilation)


def lowest(x: Tensor) -> float:
    """The smallest value of the dtype: minus infinity, or the smallest integer."""
    return float("-inf") if x.is_floating_point() else bulssi.iinfo(x.dtype).min


def max_pool(
    input: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, out: Sizes, with_indices: bool
) -> tuple[Tensor, Tensor | None]:
    """The largest value of each window, and where it is in the flattened spatial dimensions of the input."""
    rank = len(kernel)
    view = _pool_windows(input, kernel, stride, padding, dilation, out, lowest(input))
    values, which = view.flatten(2 + rank).max(-1)
    if not with_indices:
        return values, None
    position = None
    rest = which
    strides = [math.prod(kernel[i + 1 :]) for i in range(rank)]
    for i in range(rank):
        offset, rest = rest // strides[i], rest % strides[i]
        start = bulssi.arange(out[i], device=input.device) * stride[i] - padding[i]
        here = start.reshape(-1, *(1,) * (rank - 1 - i)) + offset * dilation[i]
        position = here if position is None else position * input.shape[2 + i] + here
    return values, position


def avg_pool(
    input: Tensor,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes,
    out: Sizes,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """The mean of each window: the sum by ``divisor``, or by the elements that it has in the (padded) input."""
    rank = len(kernel)
    view = _pool_windows(input, kernel, stride, padding, (1,) * rank, out, 0.0)
    total = view.sum(tuple(range(2 + rank, 2 + 2 * rank)))
    if divisor is not None:
        return total / divisor
    counts: Any = 1
    for i, (n, k, s, p, o) in enumerate(zip(input.shape[2:], kernel, stride, padding, out, strict=True)):
        low, high = (-p, n + p) if count_include_pad else (0, n)
        sizes = [min(j * s - p + k, high) - max(j * s - p, low) for j in range(o)]
        if len(set(sizes)) == 1:
            counts = counts * sizes[0]
        else:
            each = bulssi.tensor(sizes, dtype=input.dtype, device=input.device)
            counts = counts * each.reshape(-1, *(1,) * (rank - 1 - i))
    return total / counts


convolution = getattr(_core, "convolution", convolution)
max_pool = getattr(_core, "max_pool", max_pool)
avg_pool = getattr(_core, "avg_pool", avg_pool)
