"""A batch normalisation after a layer, folded into the layer's weights: the same function in evaluation, at once."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import bulssi
from bulssi.nn.parameter import Parameter

if TYPE_CHECKING:
    from typing import Any

    from bulssi import Tensor

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _folded(
    weight: Tensor, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float, scale: Any, shift: Any, dim: int
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the two together; ``dim`` of the weight are the channels that are normalised."""
    bias = bulssi.zeros_like(mean) if bias is None else bias
    scale = bulssi.ones_like(mean) if scale is None else scale
    shift = bulssi.zeros_like(mean) if shift is None else shift
    factor = scale * bulssi.rsqrt(var + eps)
    along = [1] * weight.dim()
    along[dim] = -1
    fused = (weight * factor.reshape(along)).to(dtype=weight.dtype)
    moved = ((bias - mean) * factor + shift).to(dtype=bias.dtype)
    return Parameter(fused, weight.requires_grad), Parameter(moved, bias.requires_grad)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the convolution that does a convolution and then a batch normalisation with running mean
    ``bn_rm`` and variance ``bn_rv``; ``transpose`` for transposed convolutions, whose channels are dimension 1."""
    return _folded(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor, bn_b: Tensor
) -> tuple[Parameter, Parameter]:
    """As :func:`fuse_conv_bn_weights`, for a linear layer."""
    return _folded(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _check_evaluated(*modules: Any) -> None:
    if any(module.training for module in modules):
        raise AssertionError("Fusion only for eval!")
    if modules[1].running_mean is None or modules[1].running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of the convolution ``conv`` that also does what ``bn`` does after it. Both must be in evaluation mode."""
    _check_evaluated(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of the linear layer that also does what ``bn`` does after it. Both must be in evaluation mode."""
    _check_evaluated(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError("To fuse, linear.out_features == bn.num_features or bn.num_features == 1")
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
