"""Normalisation by statistics of a batch, a layer, a group of channels or a neighbourhood."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import bulssi
from bulssi.nn import _kernels
from bulssi.nn._native import native

from ._arguments import check_call, check_floating, in_python, passed_as
from ._graph import shown_as

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bulssi import Tensor


def _wide(x: Tensor) -> Tensor:
    """``x`` in the dtype that statistics are computed in: half precision is widened."""
    return x.float() if x.dtype in (bulssi.float16, bulssi.bfloat16) else x


def _check_channels(who: str, channels: int, **given: Tensor | None) -> None:
    for name, tensor in given.items():
        if tensor is not None and tensor.numel() != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {tensor.numel()}\n({who})")


def _normalized(x: Tensor, dims: Sequence[int], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """``(x - mean) / sqrt(var + eps)`` over ``dims``, the mean and the (biased) variance."""
    mean = x.mean(dims, keepdim=True)
    centered = x - mean
    var = (centered * centered).mean(dims, keepdim=True)
    return centered * (var + eps).rsqrt(), mean, var


def _check_dtypes(input: Tensor, **parameters: Tensor | None) -> None:
    """Parameters have the dtype of the input, or are float32 for a half input."""
    for name, tensor in parameters.items():
        if tensor is None or tensor.dtype == input.dtype:
            continue
        told = f"The input is {input.dtype} and {name} {tensor.dtype}"
        if tensor.dtype != bulssi.float32:
            raise RuntimeError(f"mixed dtype (CPU): expect parameter to have scalar type of Float\n{told}.")
        if input.dtype not in (bulssi.float16, bulssi.bfloat16):
            raise RuntimeError(
                f"mixed dtype (CPU): all inputs must share same datatype.\n{told}; convert one of them with .to(...)."
            )


def _batch_norm_name(
    input: Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> str:
    if input.shape[0] != 0:
        return "NativeBatchNormBackward0"
    return "AddBackward0" if bias is not None else "MulBackward0" if weight is not None else "CloneBackward0"


def _in_rows(x: Tensor) -> bool:
    """Whether the core's kernels take ``x``: rows of a channel's elements, one after the other and not too short."""
    return x.is_floating_point() and x.is_contiguous() and x.numel() >= 16 * x.shape[0] * x.shape[1] > 0


def _is_other(given: Tensor | None, dtype: Any) -> bool:
    return given is not None and given.dtype is not dtype


_NORM = "_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool "


@shown_as(_batch_norm_name, joint=lambda name: name.startswith("Native"))
@passed_as(f"batch{_NORM}training, float momentum, float eps) -> Tensor")
def batch_norm(
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of ``(N, C, ...)`` (Ioffe and Szegedy 2015).

    In training the batch's mean and variance are used, and the running ones move towards them (the variance unbiased)
    by ``momentum``; otherwise the running ones are used.
    """
    if training is not True and training is not False:
        check_call(f"batch{_NORM}training) -> Tensor", input, weight, bias, running_mean, running_var, training)
    if training and eps <= 0:
        raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    if eps < 0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    if input.dim() < 2:
        raise RuntimeError(f"batch_norm: expected at least 2D input (got {input.dim()}D input)")
    channels = input.shape[1]
    count = input.numel() // channels if channels else 0
    if training and count == 1 and input.shape[0] == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.size()}")
    _check_channels(
        "batch_norm", channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is None and not training:
            raise RuntimeError(f"{name} must be defined in evaluation mode")
    check_floating(input, "batch_norm")
    dtype = input.dtype
    if _is_other(weight, dtype) or _is_other(running_mean, dtype):
        _check_dtypes(input, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var)
    along = (1, -1, *(1,) * (input.dim() - 2))
    input = _kernels.in_order(input)
    if _in_rows(input):
        statistics = (None, None) if training else (running_mean, running_var)
        out, mean, var = native._norm_channels(input, weight, bias, *statistics, 0, eps)
    elif training:
        out, mean, var = _normalized(_wide(input), [0, *range(2, input.dim())], eps)
        out = _affine(out, weight, bias, along).to(dtype)
    else:
        x = _wide(input)
        scale = (running_var.to(x.dtype) + eps).rsqrt()
        out = (x - running_mean.to(x.dtype).reshape(along)) * scale.reshape(along)
        return _affine(out, weight, bias, along).to(dtype)
    if training and count:  # there are no statistics of nothing
        _follow(running_mean, running_var, mean.detach(), var.detach(), count, momentum)
    return out


@bulssi.no_grad()
def _follow(running_mean: Any, running_var: Any, mean: Tensor, var: Tensor, count: int, momentum: float) -> None:
    """Moves running statistics towards those of a batch with ``count`` elements of each channel."""
    if running_mean is not None:
        _move(running_mean, mean.reshape(-1), momentum)
    if running_var is not None:
        _move(running_var, var.reshape(-1) * (count / (count - 1) if count > 1 else math.nan), momentum)


def _move(running: Tensor, new: Tensor, momentum: float) -> None:
    if running.dtype.itemsize > 2:
        running.mul_(1 - momentum).add_(new.to(running.dtype), alpha=momentum)
    else:  # rounded once
        running.copy_(running.float().mul_(1 - momentum).add_(new.float(), alpha=momentum))


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int]) -> Tensor:
    if weight is not None:
        x = x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


@shown_as("ViewBackward0", joint=True)
@passed_as(f"instance{_NORM}use_input_stats, float momentum, float eps) -> Tensor")
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each item of ``(N, C, ...)`` by itself (Ulyanov et al. 2016)."""
    if use_input_stats:
        if math.prod(input.size()[2:]) == 1:
            raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.size()}")
    elif running_mean is None or running_var is None:
        raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    batch, channels = input.shape[:2]
    _check_channels(
        "instance_norm", channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if input.is_floating_point():
        _check_dtypes(input, weight=weight, bias=bias)
    if running_mean is None and running_var is None and eps > 0 and _in_rows(input):
        return native._norm_channels(input, weight, bias, None, None, channels, eps)[0]
    input = input.contiguous()
    own = (running_mean, running_var)
    means, variances = (None if r is None else r.repeat(batch).to(input.dtype) for r in own)
    out = batch_norm(
        input.reshape(1, batch * channels, *input.shape[2:]), means, variances, None, None, True, momentum, eps
    )
    with bulssi.no_grad():
        for kept, moved in zip(own, (means, variances), strict=True):
            if kept is not None and moved is not None:
                kept.copy_(moved.reshape(batch, channels).mean(0))
    return _affine(out.reshape(input.shape), weight, bias, (1, -1, *(1,) * (input.dim() - 2))).to(input.dtype)


@shown_as("NativeGroupNormBackward0")
@in_python
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalise each group of channels of each item of ``(N, C, ...)`` (Wu and He 2018)."""
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    batch, channels = input.shape[:2]
    if num_groups < 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups != 0:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tuple(tensor.shape) != (channels,):
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of "
                f"shape {list((weight if weight is not None else tensor).shape)} and input of shape {list(input.shape)}"
            )
    _check_dtypes(input, weight=weight, bias=bias)
    check_floating(input, "GroupNormKernelImpl")
    size = math.prod(input.shape[2:])
    if batch * channels // num_groups * size == 1:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"{[batch * channels // num_groups, num_groups, *input.shape[2:]]}"
        )
    if input.numel() == 0:
        return _affine(input, weight, bias, (1, -1, *(1,) * (input.dim() - 2)))
    if _in_rows(input):
        return native._norm_channels(input, weight, bias, None, None, num_groups, eps)[0]
    groups = _wide(input).reshape(batch, num_groups, -1)
    out = native.layer_norm(groups, groups.shape[2:], None, None, eps)
    out = _affine(out.reshape(input.shape), weight, bias, (1, -1, *(1,) * (input.dim() - 2))).to(input.dtype)
    return _kernels.in_channel_order(out, input)


@shown_as("MulBackward0")
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimensions (Zhang and Sennrich 2019).

    ``eps`` is the machine epsilon of the dtype computed in when None.
    """
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    if weight is not None and tuple(weight.shape) != shape:
        raise RuntimeError(
            f"Expected weight to be of same shape as normalized_shape, but got weight of shape {list(weight.shape)} "
            "and "
            f"normalized_shape = {list(shape)}"
        )
    if input.dim() < len(shape):
        raise ValueError(f"Input tensor must have at least {len(shape)} dimensions, but got {input.dim()}")
    if tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*{', '.join(map(str, shape))}], but got "
            f"input of size{list(input.shape)}"
        )
    input = _kernels.in_order(input)
    return _kernels.in_channel_order(native.rms_norm(input, shape, weight, eps), input)


@in_python
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """``x / (k + alpha * mean of x^2 over size neighbouring channels)**beta`` (Krizhevsky et al. 2012)."""
    if input.dim() < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)")
    if input.numel() == 0:
        return input
    from .padding import pad

    squares = pad(input * input, [0, 0] * (input.dim() - 2) + [size // 2, (size - 1) // 2])
    total = squares.unfold(1, size, 1).sum(-1)
    mean = total / size if input.is_floating_point() else total // size  # as pooling of integers
    return input / (mean * alpha + k).pow(beta)
