"""Differentiable relaxations of the Bernoulli distribution."""

from __future__ import annotations

from typing import Any

import bulssi
from bulssi import Size, Tensor

from . import constraints
from ._families import ProbsOrLogits
from ._relaxed import Relaxed
from .transforms import SigmoidTransform
from .utils import batch_of, broadcast_all, clamp_probs

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class LogitRelaxedBernoulli(ProbsOrLogits):
    """The log odds of RelaxedBernoulli: (logits + a standard logistic number) / temperature."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True
    _inner = ("_given", "temperature")

    def __init__(
        self,
        temperature: Tensor,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        given = self._take(probs, logits)
        (param,) = broadcast_all(given)
        setattr(self, self._given, param)
        super().__init__(batch_of(param, given), validate_args=validate_args)

    def _expanded(self, value: Any, batch_shape: Size) -> Any:
        return value if value is self.temperature else super()._expanded(value, batch_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(bulssi.rand(shape, dtype=probs.dtype, device=probs.device))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        rest = logits - value.mul(self.temperature)
        return bulssi.as_tensor(self.temperature).log() + rest - 2 * rest.exp().log1p()


class RelaxedBernoulli(Relaxed):
    """Numbers of (0, 1) that approach those of Bernoulli as `temperature` goes to 0, with gradients.

    Sources: Maddison, Mnih and Teh, "The Concrete distribution", 2017; Jang, Gu and Poole, "Categorical
    reparameterization with Gumbel-softmax", 2017.

    >>> import bulssi as torch
    >>> from bulssi.distributions import RelaxedBernoulli
    >>> RelaxedBernoulli(torch.tensor(0.5), probs=torch.tensor([0.1, 0.9])).sample().shape
    torch.Size([2])
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval

    def __init__(
        self,
        temperature: Tensor,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)
