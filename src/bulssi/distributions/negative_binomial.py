"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

import bulssi
from bulssi import Tensor
from bulssi.nn.functional import logsigmoid

from . import constraints
from ._families import ProbsOrLogits
from .gamma import Gamma
from .utils import lazy_property

__all__ = ["NegativeBinomial"]


class NegativeBinomial(ProbsOrLogits):
    """How many trials succeed before `total_count` have failed, each succeeding with probability `probs` in [0, 1).

    `total_count` need not be an integer. Draws are Poisson numbers whose rate is gamma distributed.

    >>> import bulssi as torch
    >>> from bulssi.distributions import NegativeBinomial
    >>> NegativeBinomial(3., torch.tensor(0.5)).mean
    tensor(3.)
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._init_counted(total_count, probs, logits, validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * bulssi.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / bulssi.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self) -> Gamma:
        return Gamma(self.total_count, bulssi.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with bulssi.no_grad():
            return bulssi.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        powers = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        orders = bulssi.lgamma(n + value) - bulssi.lgamma(1.0 + value) - bulssi.lgamma(n)
        return powers + orders.masked_fill(n + value == 0.0, 0.0)
