"""The multinomial distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Size, Tensor

from . import constraints
from ._families import OfCategorical
from .binomial import Binomial
from .categorical import Categorical
from .utils import broadcast_all

__all__ = ["Multinomial"]


class Multinomial(OfCategorical):
    """How often each of K categories comes up in `total_count` draws (an int, one for the whole batch).

    `probs` or `logits` are as Categorical's. `log_prob` takes counts of any sum, with `validate_args=False`.

    >>> import bulssi as torch
    >>> from bulssi.distributions import Multinomial
    >>> Multinomial(3, torch.tensor([0.5, 0.5])).log_prob(torch.tensor([3., 0.]))
    tensor(-2.0794)
    """

    _inner = ("total_count", "_categorical", "_binomial")
    total_count: int

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        draws = self._categorical.sample(Size((self.total_count,)) + Size(sample_shape)).movedim(0, -1)
        counts = draws.new_zeros(self._extended_shape(sample_shape))
        return counts.scatter_add_(-1, draws, bulssi.ones_like(draws)).type_as(self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0)  # 0 * log(0) is 0 here
        orders = bulssi.lgamma(value.sum(-1) + 1) - bulssi.lgamma(value + 1).sum(-1)
        return orders + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        n = bulssi.tensor(self.total_count)
        counts = self._binomial.enumerate_support(expand=False)[1:]
        log_factorials = (bulssi.exp(self._binomial.log_prob(counts)) * bulssi.lgamma(counts + 1)).sum([0, -1])
        return n * self._categorical.entropy() - bulssi.lgamma(n + 1) + log_factorials
