"""Mixtures of distributions of one kind."""

from __future__ import annotations

from typing import Any

import bulssi
from bulssi import Tensor

from . import constraints
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A component is chosen by `mixture_distribution` (a Categorical), then a value drawn from it.

    The components are the last batch dimension of `component_distribution`.

    >>> import bulssi as torch
    >>> from bulssi.distributions import Categorical, MixtureSameFamily, Normal
    >>> d = MixtureSameFamily(Categorical(torch.ones(2)), Normal(torch.tensor([-1., 3.]), 1.))
    >>> d.mean, d.variance
    (tensor(1.), tensor(5.))
    """

    arg_constraints: Any = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution needs to be an instance of torch.distributions.Distribution")
        mixture_batch = mixture_distribution.batch_shape
        component_batch = component_distribution.batch_shape[:-1]
        for a, b in zip(reversed(mixture_batch), reversed(component_batch), strict=False):
            if a != 1 and b != 1 and a != b:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({mixture_batch}) is not compatible with "
                    f"`component_distribution.batch_shape`({component_batch})"
                )
        given, components = mixture_distribution.logits.shape[-1], component_distribution.batch_shape[-1]
        if given != components:
            raise ValueError(
                f"`mixture_distribution component` ({given}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({components})"
            )
        self._mixture_distribution: Any = mixture_distribution
        self._component_distribution: Any = component_distribution
        self._num_component = components
        super().__init__(component_batch, component_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        shape = new.batch_shape
        new._component_distribution = self._component_distribution.expand(shape + (self._num_component,))
        new._mixture_distribution = self._mixture_distribution.expand(shape)
        new._num_component = self._num_component
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """The distribution of the component's number."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components, along the last batch dimension."""
        return self._component_distribution

    def _weights(self) -> Tensor:
        """The probabilities of the components, beside whole events."""
        probs = self._mixture_distribution.probs
        return probs.reshape(probs.shape + (1,) * len(self._event_shape))

    def _averaged(self, values: Tensor) -> Tensor:
        return (self._weights() * values).sum(dim=-1 - len(self._event_shape))

    @property
    def mean(self) -> Tensor:
        return self._averaged(self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        within = self._averaged(self._component_distribution.variance)
        return within + self._averaged(
            (self._component_distribution.mean - self._beside_components(self.mean)).pow(2.0)
        )

    def _beside_components(self, value: Tensor) -> Tensor:
        return value.unsqueeze(-1 - len(self._event_shape))

    def cdf(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        cdf = self._component_distribution.cdf(self._beside_components(x))
        return (cdf * self._mixture_distribution.probs).sum(dim=-1)

    def log_prob(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._validate_args:
            self._validate_sample(x)
        log_prob = self._component_distribution.log_prob(self._beside_components(x))
        return bulssi.logsumexp(log_prob + bulssi.log_softmax(self._mixture_distribution.logits, dim=-1), dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with bulssi.no_grad():
            chosen = self._mixture_distribution.sample(sample_shape)
            values = self._component_distribution.sample(sample_shape)
            dim = values.dim() - len(self._event_shape) - 1
            chosen = chosen.reshape(chosen.shape + (1,) * (len(self._event_shape) + 1))
            chosen = chosen.expand(values.shape[:dim] + (1,) + self._event_shape)
            return values.gather(dim, chosen).squeeze(dim)

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
