"""What families of distributions share: parameters given by location and scale, or as probabilities or logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import Size, Tensor

from . import constraints
from .distribution import Distribution
from .utils import batch_of, broadcast_all, lazy_property, logits_to_probs, one_of_probs_and_logits, probs_to_logits

if TYPE_CHECKING:
    from .categorical import Categorical


class LocationScale(Distribution):
    """Real numbers: `loc + scale * x`, where x is of the standard distribution. Both are numbers or tensors."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(batch_of(self.loc, loc, scale), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc


class ProbsOrLogits(Distribution):
    """Distributions that are given by either `probs` or `logits`; the other is computed when it is asked for."""

    _inner: Any = ("_given",)
    _is_binary = True
    _given: str
    total_count: Tensor

    def _take(self, probs: Any, logits: Any) -> Any:
        """Notes which one was given, and returns it."""
        self._given = one_of_probs_and_logits(probs, logits)
        return logits if probs is None else probs

    def _init_scalar(self, probs: Any, logits: Any, validate_args: bool | None) -> None:
        """All of __init__ where one probability of each element is the only parameter."""
        given = self._take(probs, logits)
        (param,) = broadcast_all(given)
        setattr(self, self._given, param)
        super().__init__(batch_of(param, given), validate_args=validate_args)

    def _init_counted(self, total_count: Any, probs: Any, logits: Any, validate_args: bool | None) -> None:
        """All of __init__ where a number of trials comes with the probability."""
        self.total_count, param = broadcast_all(total_count, self._take(probs, logits))
        self.total_count = self.total_count.type_as(param)
        setattr(self, self._given, param)
        super().__init__(param.size(), validate_args=validate_args)

    @lazy_property
    def logits(self) -> Tensor:
        """Log odds, or logarithms of the probabilities of categories."""
        return probs_to_logits(self.probs, is_binary=self._is_binary)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=self._is_binary)

    @property
    def _param(self) -> Tensor:
        return getattr(self, self._given)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._param.size()


class OfCategorical(Distribution):
    """Distributions over vectors with one element for each category of `_categorical`."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    _inner: Any = ("_categorical",)
    _categorical: Categorical

    @property
    def probs(self) -> Tensor:
        """Probabilities of the categories."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._categorical.param_shape
