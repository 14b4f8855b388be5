"""The categorical distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Size, Tensor

from . import constraints
from ._families import ProbsOrLogits

__all__ = ["Categorical"]


class Categorical(ProbsOrLogits):
    """One of the categories 0, …, K - 1.

    `probs` is (..., K), not negative and normalised to sum 1 over the last dimension; or else `logits`, logarithms of
    probabilities up to a constant, which is taken away. The leading dimensions are the batch; draws are int64.

    >>> import bulssi as torch
    >>> from bulssi.distributions import Categorical
    >>> Categorical(torch.tensor([1., 3.])).log_prob(torch.tensor(1))
    tensor(-0.2877)
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _inner = ("_given", "_num_events")
    _is_binary = False

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        param = self._take(probs, logits)
        if param.dim() < 1:
            raise ValueError(f"`{self._given}` parameter must be at least one-dimensional.")
        if probs is not None:
            normalised = param / param.sum(-1, keepdim=True)
        else:
            normalised = param - param.logsumexp(dim=-1, keepdim=True)
        setattr(self, self._given, normalised)
        self._num_events = param.size()[-1]
        super().__init__(param.size()[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    def _undefined(self) -> Tensor:
        return bulssi.full(self._extended_shape(), math.nan, dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mean(self) -> Tensor:
        return self._undefined()

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(dim=-1)

    @property
    def variance(self) -> Tensor:
        return self._undefined()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        sample_shape = Size(sample_shape)
        rows = self.probs.reshape(-1, self._num_events)
        with bulssi.no_grad():
            draws = bulssi.multinomial(rows, sample_shape.numel(), True).T
        return draws.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value, log_pmf = bulssi.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return log_pmf.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        logits = bulssi.clamp(self.logits, min=bulssi.finfo(self.logits.dtype).min)  # 0 * log(0) is 0 here
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._enumerated(bulssi.arange(self._num_events, device=self._param.device), expand)
