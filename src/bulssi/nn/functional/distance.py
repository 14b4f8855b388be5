"""Distances, similarities and normalisation by a norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi

from ._arguments import arguments, in_python
from ._graph import shown_as
from ._precision import as_is

if TYPE_CHECKING:
    from bulssi import Tensor


@shown_as("NormBackward1")
@as_is
@arguments("pairwise_distance(Tensor x1, Tensor x2, float p=2, float eps=1e-06, bool keepdim=False) -> Tensor")
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last dimension."""
    return bulssi.norm(x1 - x2 + eps, p, max(x1.dim(), x2.dim()) - 1, keepdim)


@as_is
@arguments("cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor")
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (max(|x1|, eps) max(|x2|, eps))`` along ``dim``."""
    common = bulssi.promote_types(x1.dtype, x2.dtype)
    if not (common.is_floating_point or common.is_complex):
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {common}")
    x1, x2 = bulssi.broadcast_tensors(x1.to(common), x2.to(common))

    def unit(x: Tensor) -> Tensor:
        return x / bulssi.linalg.vector_norm(x, 2, dim, True).clamp(min=eps)

    return (unit(x1) * unit(x2)).sum(dim)


@shown_as("PdistBackward0")
@arguments("pdist(Tensor input, float p=2) -> Tensor")
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances between all pairs of rows of ``(N, M)``: ``(N (N - 1) / 2,)``, in row order."""
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    i, j = bulssi.triu_indices(input.shape[0], input.shape[0], 1, device=input.device)
    return bulssi.norm(input[i] - input[j], p, 1)


@as_is
@in_python
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """``input / max(|input|_p, eps)`` with the norm along ``dim``."""
    norm = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return input / norm if out is None else bulssi.div(input, norm, out=out)
