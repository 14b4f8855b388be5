"""The gamma distribution."""

from __future__ import annotations

from typing import Any

import bulssi
from bulssi import Tensor

from . import constraints
from .exp_family import ExponentialFamily
from .utils import batch_of, broadcast_all

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """The gamma distribution of shape c = `concentration` and inverse scale r = `rate`.

    The density is r^c x^(c - 1) exp(-r x) / Gamma(c). Draws carry the gradients of both
    (implicit reparameterisation; Figurnov, Mohamed and Mnih, 2018).

    >>> from bulssi.distributions import Gamma
    >>> Gamma(2., 4.).mean
    tensor(0.5000)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Tensor | float, rate: Tensor | float, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(batch_of(self.rate, concentration, rate), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        value = bulssi._standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        value.detach().clamp_(min=bulssi.finfo(value.dtype).tiny)  # the gradient does not see this
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        value = bulssi.as_tensor(value, dtype=self.rate.dtype, device=self.rate.device)
        if self._validate_args:
            self._validate_sample(value)
        return (
            bulssi.xlogy(self.concentration, self.rate)
            + bulssi.xlogy(self.concentration - 1, value)
            - self.rate * value
            - bulssi.lgamma(self.concentration)
        )

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return bulssi.special.gammainc(self.concentration, self.rate * value)

    def entropy(self) -> Tensor:
        c = self.concentration
        return c - bulssi.log(self.rate) + bulssi.lgamma(c) + (1.0 - c) * bulssi.digamma(c)

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return bulssi.lgamma(x + 1) + (x + 1) * bulssi.log(-y.reciprocal())
