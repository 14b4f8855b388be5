"""Pooling over windows of one, two and three spatial dimensions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import bulssi
from bulssi.nn import _kernels

from ._arguments import arguments, check_call, check_floating, in_python, scalar_name
from ._graph import shown_as
from ._precision import float32
from .conv import _sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from bulssi import Tensor

    from ._arguments import Ints


def _batched(who: str, input: Tensor, rank: int, channels: bool = True) -> tuple[Tensor, bool]:
    """``input`` with a batch dimension, and whether it had one."""
    if input.dim() not in (rank + 1, rank + 2):
        if who.startswith("adaptive") and rank == 1:
            raise RuntimeError(
                f"Expected 2 to 3 dimensions, but got {input.dim()}-dimensional tensor for argument #1 'self' (while "
                f"checking arguments for {who})"
            )
        if who.startswith("fractional") or who == "avg_pool2d":
            input.size(-rank - 1)  # where there is no such dimension, PyTorch fails by looking for it
        if who.startswith("fractional"):
            raise RuntimeError(f"{who}(): Expected {rank + 1}D or {rank + 2}D tensor, but got: {list(input.shape)}")
        if who.startswith("adaptive"):
            raise RuntimeError(f"{who}(): Expected {rank + 1}D or {rank + 2}D tensor, but got {list(input.shape)}")
        if who in ("max_pool2d", "max_pool3d", "avg_pool3d"):
            raise RuntimeError(
                f"non-empty {rank + 1}D or {rank + 2}D (batch mode) tensor expected for input\n"
                f"({who} got {list(input.shape)})"
            )
        prefix = "max_pool1d: " if who == "max_pool1d" else ""
        raise RuntimeError(
            f"{prefix}Expected {rank + 1}D or {rank + 2}D (batch mode) tensor with optional 0 dim batch size for "
            "input, "
            f"but got:{list(input.shape)}"
        )
    average = who.startswith("avg")
    first = input.dim() - rank - (who != f"adaptive_avg_pool{rank}d")
    if not average:
        first = max(first, 1)  # without a batch, any number of channels
    for dim in range(first, input.dim()):
        if input.shape[dim] == 0 and average and rank < 3:
            shown = [*input.shape[:-1], 1, input.shape[-1]] if rank == 1 else list(input.shape)
            raise RuntimeError(
                f"Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{shown}"
            )
        if input.shape[dim] == 0:
            raise RuntimeError(
                f"{who}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{list(input.shape)} with dimension {dim} being empty"
            )
    batched = input.dim() == rank + 2
    return (input if batched else input.unsqueeze(0)), batched


def _pool_sizes(
    who: str, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, rank: int
) -> tuple[tuple[int, ...], ...]:
    """The options as tuples, checked, and the size of the output."""
    kernel = _sizes(kernel, rank, "kernel_size")
    stride = (
        kernel
        if stride is None or (not isinstance(stride, int) and not len(stride))
        else _sizes(stride, rank, "stride")
    )
    padding, dilation = _sizes(padding, rank, "padding"), _sizes(dilation, rank, "dilation")
    if 0 in stride:
        raise RuntimeError(f"stride should not be zero\n({who} got stride={list(stride)})")
    for name, letter, values in (
        ("kernel size", "k", kernel),
        ("stride", "d", stride),
        ("dilation", "dilation", dilation),
    ):
        if min(values) <= 0:
            plane = (1, *values) if rank == 1 else values
            shown = " ".join(f"{letter}{axis}: {v}" for axis, v in zip("THW"[3 - len(plane) :], plane, strict=True))
            raise RuntimeError(f"{name} should be greater than zero, but got {shown}")
    if min(padding) < 0:
        raise RuntimeError(f"pad must be non-negative, but got pad: {min(padding)}")
    for k, p, d in zip(kernel, padding, dilation, strict=True):
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                f"dilation={d}"
            )
    if who == "avg_pool3d" and any(n + 2 * p < k for n, k, p in zip(x.shape[2:], kernel, padding, strict=True)):
        sizes = (" ".join(f"{prefix}{axis}: {v}" for axis, v in zip("THW", values, strict=True))
                 for prefix, values in (("", x.shape[2:]), ("k", kernel)))  # fmt: skip
        raise RuntimeError("input image ({}) smaller than kernel size ({})".format(*sizes))
    out = tuple(
        _kernels.pool_size(n, k, s, p, d, ceil_mode)
        for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        sizes = [f"({'x'.join(map(str, s))})" for s in (x.shape[1:], (x.shape[1], *out))]
        raise RuntimeError(
            f"Given input size: {sizes[0]}. Calculated output size: {sizes[1]}. Output size is too small"
        )
    return kernel, stride, padding, dilation, out


def _max_pool(
    rank: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    who = f"max_pool{rank}d"
    x, batched = _batched(who, input, rank)
    kernel, stride, padding, dilation, out = _pool_sizes(
        who, x, kernel_size, stride, padding, dilation, ceil_mode, rank
    )
    values, indices = _kernels.max_pool(x, kernel, stride, padding, dilation, out, return_indices)
    if not batched:
        values = values.squeeze(0)
        indices = indices.squeeze(0) if indices is not None else None
    return (values, indices) if return_indices else values


@shown_as("SqueezeBackward1", joint=True)
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of ``(N, C, L)`` or ``(C, L)``; with ``return_indices`` also where it is.

    ``stride`` is the kernel size by default; padding counts as minus infinity; ``ceil_mode`` keeps a last, partial
    window.
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@shown_as("MaxPool2DWithIndicesBackward0", joint=True)
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As :func:`max_pool1d`, over two dimensions; indices are those of the flattened plane."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@shown_as("MaxPool3DWithIndicesBackward0", joint=True)
@float32
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As :func:`max_pool1d`, over three dimensions; indices are those of the flattened volume."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`max_pool1d` with its indices."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`max_pool2d` with its indices."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, True)


@float32
def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """:func:`max_pool3d` with its indices."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def _avg_pool(
    rank: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None = None,
) -> Tensor:
    who = f"avg_pool{rank}d"
    if ceil_mode is not True and ceil_mode is not False:
        check_call(f"{who}(Tensor input, bool ceil_mode) -> Tensor", input, ceil_mode)
    x, batched = _batched(who, input, rank)
    kernel, stride, padding, _, out = _pool_sizes(who, x, kernel_size, stride, padding, 1, ceil_mode, rank)
    if divisor == 0:
        raise RuntimeError("divisor must be not zero")
    out_values = _kernels.avg_pool(x, kernel, stride, padding, out, count_include_pad, divisor)
    return out_values if batched else out_values.squeeze(0)


@shown_as("SqueezeBackward1", joint=True)
@arguments(
    "avg_pool1d(Tensor input, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, bool ceil_mode=False, "
    "bool count_include_pad=True) -> Tensor"
)
def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of ``(N, C, L)`` or ``(C, L)``; ``count_include_pad`` says whether padding counts."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


@shown_as("AvgPool2DBackward0", joint=True)
@arguments(
    "avg_pool2d(Tensor input, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, bool ceil_mode=False, "
    "bool count_include_pad=True, int? divisor_override=None) -> Tensor"
)
def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """As :func:`avg_pool1d`, over two dimensions; ``divisor_override`` divides the sums instead of the counts."""
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@shown_as("AvgPool3DBackward0", joint=True)
@float32
@arguments(
    "avg_pool3d(Tensor input, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, bool ceil_mode=False, "
    "bool count_include_pad=True, int? divisor_override=None) -> Tensor"
)
def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """As :func:`avg_pool2d`, over three dimensions."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


# ---- pooling to a given size --------------------------------------------------------------------------------------


def _adaptive_size(kind: str, input: Tensor, output_size: Any, rank: int) -> tuple[Tensor, bool, tuple[int, ...]]:
    """As :func:`_batched`, and the size of the output."""
    if output_size is None or isinstance(output_size, int):
        output_size = (output_size,) * rank
    elif rank > 1 and input.dim() <= len(output_size):
        raise ValueError(f"Input dimension should be at least {len(output_size) + 1}")
    x, batched = _batched(f"adaptive_{kind}_pool{rank}d", input, rank)
    output_size = tuple(output_size)
    if not all(o is None or type(o) is int for o in output_size):
        whole = [n if o is None else o for n, o in zip(input.shape[-len(output_size) :], output_size, strict=False)]
        operation = f"adaptive_{kind}_pool{rank}d"
        check_call(f"{operation}(Tensor input, int[{rank}] output_size) -> Tensor", input, whole)
    if any(o is not None and abs(o) >= 1 << 63 for o in output_size):
        if rank == 1:
            raise ValueError("Overflow when unpacking long long\nthe output size does not fit in 64 bits")
        check_call(f"adaptive_{kind}_pool{rank}d(Tensor input, int[{rank}] output_size) -> Tensor", input, output_size)
    if len(output_size) == 1:
        output_size = output_size * rank
    if len(output_size) != rank:
        raise RuntimeError(f"adaptive pooling: output_size must have {rank} entries, but got {list(output_size)}")
    size = tuple(n if o is None else o for n, o in zip(input.shape[-rank:], output_size, strict=True))
    if kind == "avg" and min(size) < 0:
        shown = (
            f"{{1, {size[0]}}}"
            if rank == 1
            else f"{{{', '.join(map(str, size[:2]))}{f',{size[2]}' if rank == 3 else ''}}}"
        )
        raise RuntimeError(
            f"adaptive_avg_pool{max(rank, 2)}d: elements of output_size must be greater than or equal to 0 but "
            f"received {shown}"
        )
    if min(size) < 0:  # fails
        bulssi.empty((*input.shape[:-1], 1, *size) if rank == 1 else (*input.shape[:-rank], *size), device="meta")
    if kind == "max" or any(n != 1 for n in size):  # one average of everything is a mean, with the errors of that
        check_floating(input, f"adaptive_{kind}_pool" + ("3d_cpu" if rank == 3 else "2d"))
    elif not input.is_floating_point():
        input.mean()
    # A result that cannot be had fails here, before the places of its windows are worked out.
    bulssi.empty((*input.shape[:-rank], *size), dtype=input.dtype, device=input.device)
    return x, batched, size


def _adaptive_windows(size: int, out: int) -> tuple[Tensor, Tensor]:
    """The windows that split ``size`` into ``out`` as evenly as can be; they overlap where it does not go up.

    Returns the places in each window, (out, width), where a shorter window repeats its last, and each one's length.
    """
    first = bulssi.arange(out, device="cpu")
    begin, end = first * size // max(out, 1), -((first + 1) * size // -max(out, 1))
    length = end - begin
    width = int(length.max()) if out else 1
    return bulssi.minimum(begin.unsqueeze(1) + bulssi.arange(width, device="cpu"), end.unsqueeze(1) - 1), length


def _adaptive_avg(rank: int, input: Tensor, output_size: Any) -> Tensor:
    x, batched, out = _adaptive_size("avg", input, output_size, rank)
    if all(o and n % o == 0 for n, o in zip(x.shape[2:], out, strict=True)):
        kernel = tuple(n // o for n, o in zip(x.shape[2:], out, strict=True))
        y = _kernels.avg_pool(x, kernel, kernel, (0,) * rank, out, True, None)
        return y if batched else y.squeeze(0)
    for i, o in enumerate(out):  # a window is a product, so its mean is a mean of means
        dim = 2 + i
        index, length = _adaptive_windows(x.shape[dim], o)
        width = index.shape[1]
        inside = bulssi.arange(width, device="cpu") < length.unsqueeze(1)
        share = (inside / length.unsqueeze(1).double()).to(x.dtype)
        shape = (*share.shape, *(1,) * (x.dim() - 1 - dim))
        taken = x.index_select(dim, index.reshape(-1).to(x.device)).unflatten(dim, (o, width))
        x = (taken * share.reshape(shape).to(x.device)).sum(dim + 1)
    return (_kernels.in_channel_order(x, input) if rank == 2 else x) if batched else x.squeeze(0)


def _adaptive_avg_shown(rank: int) -> Callable[[Any], Any]:
    def name(input: Tensor, output_size: Any) -> str:
        sizes = (output_size,) if isinstance(output_size, int) else output_size
        return "MeanBackward1" if all(size == 1 for size in sizes) else f"AdaptiveAvgPool{rank}DBackward0"

    return shown_as(name, joint=lambda name: name.startswith("Adaptive"))


@shown_as("SqueezeBackward1", joint=True)
@arguments("adaptive_avg_pool1d(Tensor input, int[1] output_size) -> Tensor")
def adaptive_avg_pool1d(input: Tensor, output_size: Ints) -> Tensor:
    """Means over ``output_size`` windows that cover the input evenly; ``None`` keeps a dimension's size."""
    return _adaptive_avg(1, input, output_size)


@_adaptive_avg_shown(2)
@in_python
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """As :func:`adaptive_avg_pool1d`, over two dimensions."""
    return _adaptive_avg(2, input, output_size)


@_adaptive_avg_shown(3)
@float32
@in_python
def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """As :func:`adaptive_avg_pool1d`, over three dimensions."""
    return _adaptive_avg(3, input, output_size)


def _adaptive_max(rank: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    x, batched, out = _adaptive_size("max", input, output_size, rank)
    position: Any = None  # of each window's elements in the flattened input, (*out, *width)
    for i, (n, o) in enumerate(zip(x.shape[2:], out, strict=True)):
        index = _adaptive_windows(n, o)[0].to(x.device)  # repeating an element changes no maximum
        width = index.shape[1]
        own = index.reshape((1,) * i + (o,) + (1,) * (rank - 1) + (width,) + (1,) * (rank - 1 - i))
        position = own if position is None else position * n + own
    position = position.flatten(rank).expand(*x.shape[:2], *out, -1)
    values, indices = _max_at(x.flatten(2), position)
    if not batched:
        values, indices = values.squeeze(0), indices.squeeze(0)
    elif rank == 2:
        values, indices = _kernels.in_channel_order(values, input), _kernels.in_channel_order(indices, input)
    return (values, indices) if return_indices else values


def _max_at(flat: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of ``flat`` (N, C, L) at the ``position``s (N, C, *out, K) of each window, and where it is."""
    taken = flat.gather(2, position.flatten(2)).reshape(position.shape)
    values, which = taken.max(-1)
    return values, position.gather(-1, which.unsqueeze(-1)).squeeze(-1)


@shown_as("SqueezeBackward1", joint=True)
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest values of ``output_size`` windows that cover the input evenly."""
    return _adaptive_max(1, input, output_size, return_indices)


@shown_as("AdaptiveMaxPool2DBackward0", joint=True)
@in_python
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As :func:`adaptive_max_pool1d`, over two dimensions."""
    return _adaptive_max(2, input, output_size, return_indices)


@shown_as("AdaptiveMaxPool3DBackward0", joint=True)
@float32
@in_python
def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As :func:`adaptive_max_pool1d`, over three dimensions."""
    return _adaptive_max(3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """:func:`adaptive_max_pool1d` with its indices."""
    return _adaptive_max(1, input, output_size, True)


@in_python
def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """:func:`adaptive_max_pool2d` with its indices."""
    return _adaptive_max(2, input, output_size, True)


@float32
@in_python
def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """:func:`adaptive_max_pool3d` with its indices."""
    return _adaptive_max(3, input, output_size, True)


# ---- fractional max pooling ---------------------------------------------------------------------------------------


def _fractional(
    rank: int, input: Tensor, kernel_size: Any, output_size: Any, output_ratio: Any, samples: Any
) -> tuple[Tensor, Tensor]:
    who = f"fractional_max_pool{rank}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{who} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        ratio = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * rank
        if len(ratio) != rank:
            raise ValueError(f"{who} requires output_ratio to either be a single Int or tuple of Ints.")
        output_size = [int(input.size(d - rank) * r) for d, r in enumerate(ratio)]
    if samples is None:
        input.size(-rank - 1)
    check_call(
        f"{who}(Tensor input, int[{rank}] kernel_size, int[{rank}] output_size) -> Tensor",
        input,
        kernel_size,
        output_size,
    )
    for name, given in (("kernel_size", kernel_size), ("output_size", output_size)):
        if not isinstance(given, int) and len(given) != rank:
            raise RuntimeError(f"{who}: {name} must either be a single Int or tuple of Ints")
    kernel, out = _sizes(kernel_size, rank, "kernel_size"), _sizes(output_size, rank, "output_size")
    x, batched = _batched(who, input, rank)
    if samples is None:
        samples = bulssi.rand(*x.shape[:2], rank, dtype=x.dtype, device=x.device)
    if samples.dim() != 3 or samples.shape[0] < x.shape[0] or tuple(samples.shape[1:]) != (x.shape[1], rank):
        raise RuntimeError(
            f"Expect _random_samples to have shape {(*x.shape[:2], rank)}, but got {tuple(samples.shape)}"
        )
    samples = samples[: x.shape[0]]
    position: Any = None
    for i, (n, k, o) in enumerate(zip(x.shape[2:], kernel, out, strict=True)):
        if o + k - 1 > n:
            axis = ("time", "height", "width")[3 - rank + i]
            raise RuntimeError(
                f"{who}{'_out' if rank == 3 else ''}(): pool {axis} {k} too large relative to input {axis} {n}\n"
                f"the output size is {o}"
            )
        if k < 1:
            raise RuntimeError(f"{who}(): kernel_size should be positive, but got {list(kernel)}")
        # In two dimensions the first sample is the width's.
        sample = samples[..., rank - 1 - i if rank == 2 else i]
        starts = _fractional_starts(sample, n, k, o)
        own = starts.unsqueeze(-1) + bulssi.arange(k, device=x.device)  # (N, C, o, k)
        own = own.reshape(*x.shape[:2], *(1,) * i, o, *(1,) * (rank - 1), k, *(1,) * (rank - 1 - i))
        position = own if position is None else position * n + own
    values, indices = _max_at(x.flatten(2), position.flatten(2 + rank))
    return (values, indices) if batched else (values.squeeze(0), indices.squeeze(0))


def _fractional_starts(sample: Tensor, size: int, kernel: int, out: int) -> Tensor:
    """Where the ``out`` windows start: at pseudo-random steps of mean ``(size - kernel) / (out - 1)`` (Graham 2014)."""
    last = bulssi.full((*sample.shape, 1), size - kernel, dtype=bulssi.int64, device=sample.device)
    if out == 1:
        return last
    step = (size - kernel) / (out - 1)
    sample = sample.unsqueeze(-1)
    at = bulssi.arange(out - 1, device=sample.device).to(sample.dtype) + sample
    return bulssi.cat([(at * step).to(bulssi.int64) - (sample * step).to(bulssi.int64), last], -1)


@shown_as("FractionalMaxPool2DBackward0", joint=True)
@float32
@in_python
def fractional_max_pool2d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
) -> Any:
    """Max pooling whose windows start at pseudo-random steps (Graham 2014), to ``output_size`` or a ratio of the
    input."""
    both = _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return both if return_indices else both[0]


@shown_as("FractionalMaxPool3DBackward0", joint=True)
@float32
@in_python
def fractional_max_pool3d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
) -> Any:
    """As :func:`fractional_max_pool2d`, over three dimensions."""
    both = _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return both if return_indices else both[0]


@float32
@in_python
def fractional_max_pool2d_with_indices(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
) -> Any:
    """:func:`fractional_max_pool2d` with its indices."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)


@float32
@in_python
def fractional_max_pool3d_with_indices(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
) -> Any:
    """:func:`fractional_max_pool3d` with its indices."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)


# ---- the way back, and power means --------------------------------------------------------------------------------


def _tuple(value: Any, rank: int) -> tuple[Any, ...]:
    return tuple(value) if hasattr(value, "__iter__") else (value,) * rank


def _unpool(
    rank: int, input: Tensor, indices: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Tensor:
    kernel = _tuple(kernel_size, rank)
    stride = kernel if stride is None else _tuple(stride, rank)
    padding = _tuple(padding, rank)
    size = _unpool_size(input.size(), kernel, stride, padding, output_size)
    if rank == 1:
        size, input, indices = (*size, 1), input.unsqueeze(-1), indices.unsqueeze(-1)
    planes = max(rank, 2)
    check_call(
        f"max_unpool{planes}d(Tensor input, Tensor indices, int[{planes}] output_size) -> Tensor", input, indices, size
    )
    if indices.dtype != bulssi.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {scalar_name(indices)}")
    if input.dim() not in (planes + 1, planes + 2):
        raise RuntimeError(
            f"Input to max_unpooling{planes}d should be a {planes + 1}d or {planes + 2}d Tensor, but got a tensor with "
            f"{input.dim()} dimensions."
        )
    if len(size) != planes:
        raise RuntimeError(f"There should be exactly {planes} elements in output_size, but got {len(size)} elements.")
    if indices.shape != input.shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) but got indices "
            f"tensor with shape: {list(indices.shape)}"
        )
    flat, where, total = input.flatten(-planes), indices.flatten(-planes), math.prod(size)
    if where.numel() and where.device.type != "meta" and (where.min() < 0 or where.max() >= total):
        wrong = where[(where < 0) | (where >= total)][0].item()
        raise RuntimeError(
            f"Found an invalid max index: {wrong} (output volumes are of size {'x'.join(map(str, size))})"
        )
    out = flat.new_zeros((*flat.shape[:-1], total)).scatter(-1, where, flat)
    out = out.reshape(*input.shape[:-planes], *size)
    return out.squeeze(-1) if rank == 1 else out


def _unpool_size(
    shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], given: Any
) -> Sequence[int]:
    rank = len(kernel)
    default = [(shape[d - rank] - 1) * stride[d] + kernel[d] - 2 * padding[d] for d in range(rank)]
    if given is None:
        return default
    if len(given) == rank + 2:
        given = given[2:]
    if len(given) != rank:
        raise ValueError(
            f"output_size should be a sequence containing {rank} or {rank + 2} elements, but it has a length of "
            f"'{len(given)}'"
        )
    for d in range(rank):
        least, most = default[d] - stride[d], default[d] + stride[d]
        if not least < given[d] < most:
            raise ValueError(f'invalid output_size "{given}" (dim {d} must be between {least} and {most})')
    return given


@shown_as("SqueezeBackward1")
@float32
@in_python
def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """Put the values of a max pooling back where they were; zeros elsewhere."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


@shown_as("MaxUnpool2DBackward0")
@float32
@in_python
def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """As :func:`max_unpool1d`, over two dimensions."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


@shown_as("MaxUnpool3DBackward0")
@float32
@in_python
def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """As :func:`max_unpool1d`, over three dimensions."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _lp_pool(rank: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Tensor:
    if norm_type == math.inf:
        return _max_pool(rank, input.abs(), kernel_size, stride, 0, 1, ceil_mode, False)
    if norm_type == -math.inf:
        return -_max_pool(rank, -input.abs(), kernel_size, stride, 0, 1, ceil_mode, False)
    area = math.prod(_sizes(kernel_size, rank, "kernel_size"))
    mean = _avg_pool(rank, input.pow(norm_type), kernel_size, stride, 0, ceil_mode, True)
    return (mean.sign() * mean.abs().relu()).mul(area).pow(1.0 / norm_type)


@in_python
def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """``(sum of x**p over each window)**(1/p)``."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


@in_python
def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """As :func:`lp_pool1d`, over two dimensions."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


@in_python
def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """As :func:`lp_pool1d`, over three dimensions."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)
