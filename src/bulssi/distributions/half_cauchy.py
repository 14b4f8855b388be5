"""The half Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Tensor

from ._half import Half
from .cauchy import Cauchy

__all__ = ["HalfCauchy"]


class HalfCauchy(Half):
    """The distribution of |x|, where x is of Cauchy(0, scale).

    >>> import bulssi as torch
    >>> from bulssi.distributions import HalfCauchy
    >>> HalfCauchy(1.).log_prob(torch.tensor(0.))
    tensor(-0.4516)
    """

    _whole = Cauchy

    @property
    def mean(self) -> Tensor:
        return bulssi.full_like(self.scale, math.inf)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def _taken(self, value: Any) -> Any:
        return bulssi.as_tensor(value, dtype=self.scale.dtype, device=self.scale.device)
