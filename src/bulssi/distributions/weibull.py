"""The Weibull distribution."""

from __future__ import annotations

import bulssi
from bulssi import Tensor

from . import constraints
from .exponential import Exponential
from .transformed_distribution import TransformedDistribution
from .transforms import AffineTransform, PowerTransform
from .utils import broadcast_all, euler_constant

__all__ = ["Weibull"]


class Weibull(TransformedDistribution):
    """Numbers larger than x with probability exp(-(x / scale)^concentration).

    >>> from bulssi.distributions import Weibull
    >>> Weibull(2., 1.).mean
    tensor(2.)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Tensor | float, concentration: Tensor | float, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(bulssi.ones_like(self.scale), validate_args=validate_args)
        transforms = [PowerTransform(self.concentration_reciprocal), AffineTransform(loc=0, scale=self.scale)]
        super().__init__(base, transforms, validate_args=validate_args)

    _inner = ("concentration_reciprocal",)

    @property
    def mean(self) -> Tensor:
        return self.scale * bulssi.exp(bulssi.lgamma(1 + self.concentration_reciprocal))

    @property
    def mode(self) -> Tensor:
        return self.scale * ((self.concentration - 1) / self.concentration) ** self.concentration_reciprocal

    @property
    def variance(self) -> Tensor:
        second = bulssi.exp(bulssi.lgamma(1 + 2 * self.concentration_reciprocal))
        return self.scale.pow(2) * (second - bulssi.exp(2 * bulssi.lgamma(1 + self.concentration_reciprocal)))

    def entropy(self) -> Tensor:
        r = self.concentration_reciprocal
        return euler_constant * (1 - r) + bulssi.log(self.scale * r) + 1
