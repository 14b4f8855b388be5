"""Affine and bilinear maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi

from ._arguments import arguments
from ._precision import as_is

if TYPE_CHECKING:
    from bulssi import Tensor


@as_is
@arguments("bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor")
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y_k = x1 @ weight[k] @ x2 + bias_k`` for ``(*, in1)``, ``(*, in2)`` and ``(out, in1, in2)``."""
    if input1.dim() != input2.dim():
        raise RuntimeError(f"bilinear(): input dimensions do not match: got {input1.dim()} and {input2.dim()}")
    for i, (a, b) in enumerate(zip(input1.shape[:-1], input2.shape[:-1], strict=True)):
        if a != b:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {i}: got {a} and {b}")
    for name, x, size in (("input1", input1, weight.shape[1]), ("input2", input2, weight.shape[2])):
        if x.shape[-1] != size:
            raise RuntimeError(
                f"bilinear(): {name} size does not match weight size: got {x.shape[-1]} but expected {size}"
            )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {list(bias.shape)} but expected [{weight.shape[0]}]"
        )
    outputs, in1, in2 = weight.shape
    first = input1.reshape(-1, in1)
    second = input2.reshape(-1, in2)
    mixed = bulssi.matmul(first, weight.permute(1, 0, 2).reshape(in1, outputs * in2)).reshape(-1, outputs, in2)
    out = bulssi.matmul(mixed, second.unsqueeze(2)).squeeze(2).reshape(*input1.shape[:-1], outputs)
    return out if bias is None else out + bias
