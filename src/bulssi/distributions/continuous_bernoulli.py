"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Tensor

from . import constraints
from ._families import ProbsOrLogits
from .exp_family import ExponentialFamily
from .utils import batch_of, binary_entropy, broadcast_all, clamp_probs, lazy_property, logits_to_probs

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """Numbers of [0, 1], of density proportional to probs^x (1 - probs)^(1 - x).

    Formulas are not defined (though their limits are) at probs = 1/2; within `lims` Taylor polynomials serve.
    Source: Loaiza-Ganem and Cunningham, "The continuous Bernoulli: fixing a pervasive error in variational
    autoencoders", 2019.

    >>> import bulssi as torch
    >>> from bulssi.distributions import ContinuousBernoulli
    >>> ContinuousBernoulli(torch.tensor(0.5)).log_prob(torch.tensor(0.3))
    tensor(0.)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0
    _inner = ("_given", "_lims")

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        given = self._take(probs, logits)
        (param,) = broadcast_all(given)
        if probs is not None:
            if validate_args is not None and not self.arg_constraints["probs"].check(param).all():
                raise ValueError("The parameter probs has invalid values")
            param = clamp_probs(param)
        setattr(self, self._given, param)
        self._lims = lims
        super().__init__(batch_of(param, given), validate_args=validate_args)

    @lazy_property
    def probs(self) -> Tensor:
        """The parameter, kept off 0 and 1; not a probability, nor the mean."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _stable(self) -> Tensor:
        """Where the formulas may be used."""
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self) -> Tensor:
        """probs, with another number put where the formulas may not be used."""
        return bulssi.where(self._stable(), self.probs, self._lims[0] * bulssi.ones_like(self.probs))

    def _cont_bern_log_norm(self) -> Tensor:
        """log of the constant of the density."""
        cut = self._cut_probs()
        below, above = bulssi.clamp(cut, max=0.5), bulssi.clamp(cut, min=0.5)
        log_norm = bulssi.log(bulssi.abs(bulssi.log1p(-cut) - bulssi.log(cut))) - bulssi.where(
            cut <= 0.5, bulssi.log1p(-2.0 * below), bulssi.log(2.0 * above - 1.0)
        )
        x = bulssi.pow(self.probs - 0.5, 2)
        taylor = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x
        return bulssi.where(self._stable(), log_norm, taylor)

    @property
    def mean(self) -> Tensor:
        cut = self._cut_probs()
        mean = cut / (2.0 * cut - 1.0) + 1.0 / (bulssi.log1p(-cut) - bulssi.log(cut))
        x = self.probs - 0.5
        return bulssi.where(self._stable(), mean, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * bulssi.pow(x, 2)) * x)

    @property
    def stddev(self) -> Tensor:
        return bulssi.sqrt(self.variance)

    @property
    def variance(self) -> Tensor:
        cut = self._cut_probs()
        variance = cut * (cut - 1.0) / bulssi.pow(1.0 - 2.0 * cut, 2) + 1.0 / bulssi.pow(
            bulssi.log1p(-cut) - bulssi.log(cut), 2
        )
        x = bulssi.pow(self.probs - 0.5, 2)
        return bulssi.where(self._stable(), variance, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(bulssi.rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -binary_entropy(logits, value) + self._cont_bern_log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        cut = self._cut_probs()
        cdf = (bulssi.pow(cut, value) * bulssi.pow(1.0 - cut, 1.0 - value) + cut - 1.0) / (2.0 * cut - 1.0)
        inside = bulssi.where(self._stable(), cdf, value)
        return bulssi.where(value <= 0.0, 0.0, bulssi.where(value >= 1.0, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        cut = self._cut_probs()
        failing = bulssi.log1p(-cut)
        quantile = (bulssi.log1p(-cut + value * (2.0 * cut - 1.0)) - failing) / (bulssi.log(cut) - failing)
        return bulssi.where(self._stable(), quantile, value)

    def entropy(self) -> Tensor:
        failing, succeeding = bulssi.log1p(-self.probs), bulssi.log(self.probs)
        return self.mean * (failing - succeeding) - self._cont_bern_log_norm() - failing

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        stable = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = bulssi.where(stable, x, (self._lims[0] - 0.5) * bulssi.ones_like(x))
        log_norm = bulssi.log(bulssi.abs(bulssi.special.expm1(cut))) - bulssi.log(bulssi.abs(cut))
        square = bulssi.pow(x, 2)
        return bulssi.where(stable, log_norm, 0.5 * x + square / 24.0 - bulssi.pow(square, 2) / 2880.0)
