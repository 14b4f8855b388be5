"""The half normal distribution."""

from __future__ import annotations

import math

from bulssi import Tensor

from ._half import Half
from .normal import Normal

__all__ = ["HalfNormal"]


class HalfNormal(Half):
    """The distribution of |x|, where x is of Normal(0, scale).

    >>> import bulssi as torch
    >>> from bulssi.distributions import HalfNormal
    >>> HalfNormal(1.).log_prob(torch.tensor(0.))
    tensor(-0.2258)
    """

    _whole = Normal

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (1 - 2 / math.pi)
