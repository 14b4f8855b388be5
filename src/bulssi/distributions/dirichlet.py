"""The Dirichlet distribution."""

from __future__ import annotations

from typing import Any

import bulssi
from bulssi import Tensor
from bulssi.autograd import Function
from bulssi.autograd.function import once_differentiable

from . import constraints
from .exp_family import ExponentialFamily

__all__ = ["Dirichlet"]


class _Dirichlet(Function):
    """Draws whose gradients follow from those of the marginal beta distributions.

    With one concentration moved, the element it belongs to moves as a beta number does, and the others make room in
    proportion to their size (Jankowiak and Obermeyer, 2018).
    """

    @staticmethod
    def forward(ctx: Any, concentration: Tensor) -> Tensor:
        x = bulssi._sample_dirichlet(concentration)
        ctx.save_for_backward(x, concentration)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        x, concentration = ctx.saved_tensors
        total = concentration.sum(-1, True).expand_as(concentration)
        moves = bulssi._dirichlet_grad(x, concentration, total)
        return moves * (grad_output - (x * grad_output).sum(-1, True))


class Dirichlet(ExponentialFamily):
    """Points of the simplex, of density proportional to the product of x_i^(concentration_i - 1).

    `concentration` is (..., K); the leading dimensions are the batch.

    >>> import bulssi as torch
    >>> from bulssi.distributions import Dirichlet
    >>> Dirichlet(torch.tensor([1., 3.])).mean
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return _Dirichlet.apply(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return (
            bulssi.xlogy(self.concentration - 1.0, value).sum(-1)
            + bulssi.lgamma(self.concentration.sum(-1))
            - bulssi.lgamma(self.concentration).sum(-1)
        )

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        above = (self.concentration - 1).clamp(min=0.0)
        mode = above / above.sum(-1, True)
        corner = bulssi.nn.functional.one_hot(above.argmax(-1), above.shape[-1]).to(mode)
        return bulssi.where((self.concentration < 1).all(-1, True), corner, mode)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def entropy(self) -> Tensor:
        k = self.concentration.size(-1)
        total = self.concentration.sum(-1)
        return (
            bulssi.lgamma(self.concentration).sum(-1)
            - bulssi.lgamma(total)
            - (k - total) * bulssi.digamma(total)
            - ((self.concentration - 1.0) * bulssi.digamma(self.concentration)).sum(-1)
        )

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.concentration,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return x.lgamma().sum(-1) - bulssi.lgamma(x.sum(-1))
