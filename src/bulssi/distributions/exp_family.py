"""Distributions of the form h(x) exp(<natural parameters, t(x)> - F(natural parameters))."""

from __future__ import annotations

from typing import Any

import bulssi
from bulssi import Tensor

from .distribution import Distribution
from .utils import overridable

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """Exponential families: entropy and relative entropy follow from F by differentiation.

    A subclass gives its `_natural_params`, F as `_log_normalizer(*natural_params)`, and the expectation of log h(x) as
    `_mean_carrier_measure`. Source: Nielsen and Nock, "Entropies and cross-entropies of exponential families", 2010.
    """

    @overridable
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    @overridable
    def _mean_carrier_measure(self) -> float:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Any) -> Tensor:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """F - <natural parameters, dF> - E[log h(x)]."""
        carrier = self._mean_carrier_measure
        params = [p.detach().requires_grad_() for p in self._natural_params]
        log_normalizer = self._log_normalizer(*params)
        gradients = bulssi.autograd.grad(log_normalizer.sum(), params, create_graph=True)
        result = log_normalizer - carrier
        for p, g in zip(params, gradients, strict=True):
            result = result - (p * g).reshape(self._batch_shape + (-1,)).sum(-1)
        return result
