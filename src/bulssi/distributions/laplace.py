"""The Laplace distribution."""

from __future__ import annotations

from typing import Any

import bulssi
from bulssi import Tensor

from ._families import LocationScale

__all__ = ["Laplace"]


class Laplace(LocationScale):
    """The Laplace (double exponential) distribution: density exp(-|x - loc| / scale) / (2 scale).

    >>> import bulssi as torch
    >>> from bulssi.distributions import Laplace
    >>> Laplace(0., 1.).log_prob(torch.tensor(1.))
    tensor(-1.6931)
    """

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        return (2**0.5) * self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        u = self.loc.new_empty(self._extended_shape(sample_shape)).uniform_(bulssi.finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * u.sign() * bulssi.log1p(-u.abs())

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -bulssi.log(2 * self.scale) - bulssi.abs(value - self.loc) / self.scale

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        distance = value - self.loc
        return 0.5 - 0.5 * distance.sign() * bulssi.expm1(-distance.abs() / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        side = value - 0.5
        return self.loc - self.scale * side.sign() * bulssi.log1p(-2 * side.abs())

    def entropy(self) -> Tensor:
        return 1 + bulssi.log(2 * self.scale)
