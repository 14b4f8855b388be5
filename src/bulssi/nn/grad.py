"""The gradients of convolutions, as functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from bulssi import Tensor

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _gradient(size: Sequence[int], other: Tensor, grad_output: Tensor, convolve: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of ``convolve``, which is linear, for an argument of ``size``; differentiable like any operation on
    the ``other`` argument and ``grad_output``."""
    create_graph = bulssi.is_grad_enabled() and (other.requires_grad or grad_output.requires_grad)
    with bulssi.enable_grad():
        at = grad_output.new_zeros(tuple(size)).requires_grad_()
        found: Any = bulssi.autograd.grad(convolve(at), at, grad_output, create_graph=create_graph)
    return found[0]


def conv1d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of :func:`bulssi.nn.functional.conv1d` for an input of ``input_size``.

    Args:
        weight: ``(O, C / groups, K)``.
        grad_output: the gradient of the result, ``(N, O, L)``.
    """
    options = (stride, padding, dilation, groups)
    return _gradient(input_size, weight, grad_output, lambda x: F.conv1d(x, weight, None, *options))


def conv1d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of :func:`bulssi.nn.functional.conv1d` for a weight of ``weight_size``."""
    options = (stride, padding, dilation, groups)
    return _gradient(weight_size, input, grad_output, lambda w: F.conv1d(input, w, None, *options))


def conv2d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As :func:`conv1d_input`, in two dimensions."""
    options = (stride, padding, dilation, groups)
    return _gradient(input_size, weight, grad_output, lambda x: F.conv2d(x, weight, None, *options))


def conv2d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As :func:`conv1d_weight`, in two dimensions."""
    options = (stride, padding, dilation, groups)
    return _gradient(weight_size, input, grad_output, lambda w: F.conv2d(input, w, None, *options))


def conv3d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As :func:`conv1d_input`, in three dimensions."""
    options = (stride, padding, dilation, groups)
    return _gradient(input_size, weight, grad_output, lambda x: F.conv3d(x, weight, None, *options))


def conv3d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """As :func:`conv1d_weight`, in three dimensions."""
    options = (stride, padding, dilation, groups)
    return _gradient(weight_size, input, grad_output, lambda w: F.conv3d(input, w, None, *options))
