"""The Lewandowski-Kurowicka-Joe distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Size, Tensor

from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors L of dim x dim correlation matrices.

    The density of L L^T is proportional to the power `concentration` - 1 of its determinant: at 1 all correlation
    matrices are equally probable, larger ones favour weak correlations.
    Draws are made by the onion method. Source: Lewandowski, Kurowicka and Joe, "Generating random correlation matrices
    based on vines and extended onion method", 2009.

    >>> from bulssi.distributions import LKJCholesky
    >>> LKJCholesky(3, 0.5).sample().shape
    torch.Size([3, 3])
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _inner = ("dim", "_beta")

    def __init__(self, dim: int, concentration: Tensor | float = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        dtype, device = self.concentration.dtype, self.concentration.device
        # The squared distance of each row's point from the diagonal, given a row of so many elements
        before = bulssi.cat([bulssi.zeros(1, dtype=dtype), bulssi.arange(dim - 1, dtype=dtype)]).to(device)
        marginal = self.concentration + 0.5 * (dim - 2)
        self._beta = Beta(before + 0.5, marginal.unsqueeze(-1) - 0.5 * before)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with bulssi.no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            shape = self._extended_shape(sample_shape)
            u = bulssi.randn(shape, dtype=y.dtype, device=y.device).tril(-1)
            direction = u / u.norm(dim=-1, keepdim=True)
            direction[..., 0, :] = 0.0  # the first row has no elements below the diagonal
            w = bulssi.sqrt(y) * direction
            rest = (1 - bulssi.sum(w**2, dim=-1)).clamp(min=bulssi.finfo(w.dtype).tiny)
            return w + bulssi.diag_embed(rest.sqrt())

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        c, n = self.concentration, self.dim - 1
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = bulssi.arange(2, self.dim + 1, device=c.device)
        order = 2 * (c - 1).unsqueeze(-1) + self.dim - order  # det^(c - 1), and the Jacobian of L to L L^T
        unnormalised = bulssi.sum(order * diagonal.log(), dim=-1)
        alpha = c + 0.5 * n
        log_volume = 0.5 * n * math.log(math.pi) + bulssi.mvlgamma(alpha - 0.5, n) - bulssi.lgamma(alpha) * n
        return unnormalised - log_volume
