"""Convolutions of one, two and three spatial dimensions, and their sliding blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import bulssi
from bulssi.nn import _kernels

from ._arguments import arguments, check_call, passed_as
from ._graph import shown_as
from ._precision import as_is, lower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

    from ._arguments import Ints


def _sizes(value: int | Sequence[int], rank: int, name: str) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * rank
    value = tuple(value)
    if len(value) == 1:
        return value * rank
    if len(value) != rank:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {rank} values to match the convolution "
            f"dimensions, but got {name}={list(value)}"
        )
    return value


def _check_convolution(who: str, input: Tensor, weight: Tensor, bias: Tensor | None, rank: int, groups: int) -> None:
    if weight.dim() != rank + 2:
        raise RuntimeError(
            f"Expected {rank + 2}-dimensional weight for {who}, but got weight of size: {list(weight.shape)}"
        )
    if input.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {who}, but got input of size: "
            f"{list(input.shape)}"
        )
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if input.dtype != weight.dtype:
        raise RuntimeError(
            f"Input type ({input.type()}) and weight type ({weight.type()}) should be the same\n"
            f"Convert the input with x.to({weight.dtype}), or the module."
        )
    if bias is not None and bias.dtype != input.dtype:
        raise RuntimeError(f"Input type ({input.type()}) and bias type ({bias.type()}) should be the same")


def _check_sizes(stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]) -> None:
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("non-positive dilation is not supported")


def _conv(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: str | int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
) -> Tensor:
    who = f"conv{rank}d"
    _check_convolution(who, input, weight, bias, rank, groups)
    stride, dilation = _sizes(stride, rank, "stride"), _sizes(dilation, rank, "dilation")
    batched = input.dim() == rank + 2
    x = input if batched else input.unsqueeze(0)
    if weight.shape[0] % groups != 0 or weight.shape[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of "
            "size "
            f"{list(weight.shape)} instead"
        )
    if x.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected input{list(input.shape)} to have "
            f"{weight.shape[1] * groups} channels, but got {x.shape[1]} channels instead"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise RuntimeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with {weight.shape[0]} "
            "elements, "
            f"but got bias of size {list(bias.shape)} instead"
        )
    if isinstance(padding, str):
        x, padding = _named_padding(x, padding, weight.shape[2:], stride, dilation)
    padding = _sizes(padding, rank, "padding")
    _check_sizes(stride, padding, dilation)
    for n, p, k, d in zip(x.shape[2:], padding, weight.shape[2:], dilation, strict=True):
        if n + 2 * p < d * (k - 1) + 1:
            padded = " x ".join(str(n + 2 * p) for n, p in zip(x.shape[2:], padding, strict=True))
            kernel = " x ".join(str(d * (k - 1) + 1) for k, d in zip(weight.shape[2:], dilation, strict=True))
            raise RuntimeError(
                f"Calculated padded input size per channel: ({padded}). Kernel size: ({kernel}). "
                "Kernel size can't be greater than actual input size"
            )
    out = _kernels.convolution(x, weight, bias, stride, padding, dilation, False, (0,) * rank, groups)
    return out if batched else out.squeeze(0)


def _named_padding(
    x: Tensor, padding: str, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[Tensor, tuple[int, ...]]:
    """``"same"`` and ``"valid"`` as numbers; what "same" has too much on one side is padded here."""
    rank = len(kernel)
    if padding == "valid":
        return x, (0,) * rank
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(t % 2 for t in total):
        x = _kernels.pad_constant(x, [p for t in reversed(total) for p in (0, t % 2)])
    return x, tuple(t // 2 for t in total)


def _conv_transpose(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    groups: int,
    dilation: int | Sequence[int],
) -> Tensor:
    who = f"conv_transpose{rank}d"
    _check_convolution(who, input, weight, bias, rank, groups)
    stride, dilation = _sizes(stride, rank, "stride"), _sizes(dilation, rank, "dilation")
    padding, extra = _sizes(padding, rank, "padding"), _sizes(output_padding, rank, "output_padding")
    _check_sizes(stride, padding, dilation)
    if any(e < 0 for e in extra):
        raise RuntimeError("negative output_padding is not supported")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            f"output padding must be smaller than either stride or dilation, but got output_padding: {extra}, "
            f"stride: {stride}, dilation: {dilation}"
        )
    batched = input.dim() == rank + 2
    x = input if batched else input.unsqueeze(0)
    if x.shape[1] != weight.shape[0] or weight.shape[0] % groups != 0:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input{list(input.shape)} to have "
            f"{weight.shape[0]} channels, but got {x.shape[1]} channels instead"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[1] * groups,):
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected bias to be 1-dimensional with "
            f"{weight.shape[1] * groups} elements, but got bias of size {list(bias.shape)} instead"
        )
    out = _kernels.convolution(x, weight, bias, stride, padding, dilation, True, extra, groups)
    return out if batched else out.squeeze(0)


@lower
@arguments(
    "conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0"
    ", int[1] dilation=1, int groups=1) -> Tensor",
    "conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, str padding='valid'"
    ", int[1] dilation=1, int groups=1) -> Tensor",
)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of ``(N, C, L)`` or ``(C, L)`` with ``(O, C / groups, k)``; ``padding`` may be "same",
    "valid"."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


@lower
@arguments(
    "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0"
    ", int[2] dilation=1, int groups=1) -> Tensor",
    "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, str padding='valid'"
    ", int[2] dilation=1, int groups=1) -> Tensor",
)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """As :func:`conv1d`, over two dimensions."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


@lower
@arguments(
    "conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0"
    ", int[3] dilation=1, int groups=1) -> Tensor",
    "conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, str padding='valid'"
    ", int[3] dilation=1, int groups=1) -> Tensor",
)
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: str | Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """As :func:`conv1d`, over three dimensions."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


@lower
@arguments(
    "conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, "
    "int[1] output_padding=0, int groups=1, int[1] dilation=1) -> Tensor"
)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The gradient of :func:`conv1d` with respect to its input, as a layer; the weight is ``(C, O / groups, k)``."""
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@lower
@arguments(
    "conv_transpose2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, "
    "int[2] output_padding=0, int groups=1, int[2] dilation=1) -> Tensor"
)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """As :func:`conv_transpose1d`, over two dimensions."""
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@lower
@arguments(
    "conv_transpose3d(Tensor input, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, "
    "int[3] output_padding=0, int groups=1, int[3] dilation=1) -> Tensor"
)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """As :func:`conv_transpose1d`, over three dimensions."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


@lower
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """:func:`conv1d` of ``(T, N, C)`` with a weight ``(k, C, O)``, to ``(T', N, O)``."""
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)


# ---- sliding blocks -----------------------------------------------------------------------------------------------


def _block_sizes(kernel_size, dilation, padding, stride, **more):  # type: ignore[no-untyped-def]
    sizes = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride, **more}
    for name, value in sizes.items():
        if not isinstance(value, int) and len(value) != 2:
            raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(value)}")
        sizes[name] = (value,) * 2 if isinstance(value, int) else tuple(value)
    for name, least in (("kernel_size", 1), ("dilation", 1), ("padding", 0), ("stride", 1)):
        if min(sizes[name]) < least:
            kind = "non-negative" if least == 0 else "greater than zero"
            words = (
                ("pad_height", "pad_width")
                if least == 0
                else (f"{name[:-5] if name == 'kernel_size' else name}_{axis}" for axis in ("height", "width"))
            )
            shown = " ".join(f"{word}: {value}" for word, value in zip(words, sizes[name], strict=True))
            raise RuntimeError(f"{name.replace('_', ' ')} should be {kind}, but got {shown}")
    return tuple(sizes.values())


_BLOCKS = "int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> Tensor"


@shown_as("Im2ColBackward0")
@as_is
@passed_as(f"im2col(Tensor input, {_BLOCKS}", ())
def unfold(input, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The sliding blocks of ``(N, C, H, W)`` as columns: ``(N, C * kh * kw, number of blocks)``."""
    check_call(f"im2col(Tensor input, {_BLOCKS}", input, kernel_size, dilation, padding, stride)
    kernel, dilation, padding, stride = _block_sizes(kernel_size, dilation, padding, stride)
    if input.dim() < 3:
        input.size(input.dim() or 1)  # PyTorch looks for a dimension that is not there
    if input.dim() not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(input.shape)}"
        )
    x = input if input.dim() == 4 else input.unsqueeze(0)
    counts = _check_blocks(x.shape[2:], kernel, dilation, padding, stride)
    view = _kernels.windows(_kernels.pad_constant(x, _kernels._both_sides(padding)), kernel, stride, dilation)
    out = view.permute(0, 1, 4, 5, 2, 3).reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(counts))
    return out if input.dim() == 4 else out.squeeze(0)


def _check_blocks(size, kernel, dilation, padding, stride) -> list[int]:  # type: ignore[no-untyped-def]
    counts = [
        _kernels.pool_size(n, k, s, p, d, False)
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    ]
    if min(counts) < 1:
        raise RuntimeError(
            f"Given input with spatial size {tuple(size)}, kernel_size={tuple(kernel)}, dilation={tuple(dilation)}, "
            f"padding={tuple(padding)}, calculated shape of the array of sliding blocks as {tuple(counts)}, but its "
            "components must be at least one."
        )
    return counts


@shown_as("Col2ImBackward0")
@as_is
@passed_as(f"col2im(Tensor input, int[2] output_size, {_BLOCKS}", ())
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The adjoint of :func:`unfold`: columns are added into an image of ``output_size`` where their blocks lie."""
    schema = f"col2im(Tensor input, int[2] output_size, {_BLOCKS}"
    check_call(schema, input, output_size, kernel_size, dilation, padding, stride)
    kernel, dilation, padding, stride, output_size = _block_sizes(
        kernel_size, dilation, padding, stride, output_size=output_size
    )
    if input.dim() not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            "input, "
            f"but got: {list(input.shape)}"
        )
    x = input if input.dim() == 3 else input.unsqueeze(0)
    area = math.prod(kernel)
    if x.shape[1] % area != 0:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={x.shape[1]} and kernel_size={tuple(kernel)}."
        )
    counts = _check_blocks(output_size, kernel, dilation, padding, stride)
    if x.shape[2] != math.prod(counts):
        raise RuntimeError(
            f"Given output_size={tuple(output_size)}, kernel_size={tuple(kernel)}, dilation={tuple(dilation)}, "
            f"padding={tuple(padding)}, stride={tuple(stride)}, expected size of input's dimension 2 to match the "
            f"calculated number of sliding blocks {counts[0]} * {counts[1]} = {math.prod(counts)}, but got "
            f"input.size(2)={x.shape[2]}."
        )
    padded = [n + 2 * p for n, p in zip(output_size, padding, strict=True)]
    rows, cols = (
        bulssi.arange(k, device=x.device).unsqueeze(1) * d + bulssi.arange(c, device=x.device) * s
        for k, d, c, s in zip(kernel, dilation, counts, stride, strict=True)
    )
    where = rows[:, None, :, None] * padded[1] + cols[None, :, None, :]
    flat = x.reshape(x.shape[0], -1, area * x.shape[2])
    image = x.new_zeros((x.shape[0], flat.shape[1], math.prod(padded))).index_add(2, where.reshape(-1), flat)
    image = image.reshape(*image.shape[:2], *padded)
    out = image[:, :, padding[0] : padding[0] + output_size[0], padding[1] : padding[1] + output_size[1]]
    return out if input.dim() == 3 else out.squeeze(0)
