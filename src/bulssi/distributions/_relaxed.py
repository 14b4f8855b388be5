"""What the differentiable relaxations of discrete distributions share."""

from __future__ import annotations

from typing import Any

from bulssi import Tensor

from .transformed_distribution import TransformedDistribution


class Relaxed(TransformedDistribution):
    """Draws of an unbounded distribution, `base_dist`, that a transform brings between 0 and 1."""

    base_dist: Any
    has_rsample = True

    @property
    def temperature(self) -> Tensor:
        """How far draws are from 0 and 1."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Log odds, or logarithms of the probabilities of categories."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probability that an element rounds to 1, or is the largest."""
        return self.base_dist.probs
