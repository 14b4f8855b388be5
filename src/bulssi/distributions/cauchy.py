"""The Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Tensor

from ._families import LocationScale

__all__ = ["Cauchy"]


class Cauchy(LocationScale):
    """The Cauchy (Lorentz) distribution of median `loc` and half width at half maximum `scale`. It has no mean.

    >>> import bulssi as torch
    >>> from bulssi.distributions import Cauchy
    >>> Cauchy(0., 1.).log_prob(torch.tensor(0.))
    tensor(-1.1447)
    """

    @property
    def mean(self) -> Tensor:
        return bulssi.full_like(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        return bulssi.full_like(self.loc, math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        eps = self.loc.new_empty(self._extended_shape(sample_shape)).cauchy_()
        return self.loc + eps * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return bulssi.atan((value - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return bulssi.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()
