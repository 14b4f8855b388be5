"""The base of all distributions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Size, Tensor

from . import constraints
from .utils import lazy_property, overridable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Distribution"]


class Distribution:
    """A batch of probability distributions.

    `batch_shape` is the shape of the parameters that differ within the batch, `event_shape` that of one draw, so
    `sample(sample_shape)` has the shape `sample_shape + batch_shape + event_shape`, and `log_prob(value)` that of
    `value` without `event_shape`.

    `arg_constraints` and `support` say what the parameters and the draws may be. They are checked (ValueError), unless
    `validate_args` is False or `set_default_validate_args(False)` was called or Python runs with -O.

    A subclass names in `arg_constraints` the attributes that hold its parameters, and in `_inner` further attributes
    that `expand` must carry over: tensors of the batch shape, other distributions (both are expanded), or plain values.

    >>> import bulssi as torch
    >>> from bulssi.distributions import Normal
    >>> d = Normal(torch.zeros(3), 1.)
    >>> d.batch_shape, d.event_shape, d.sample((2,)).shape
    (torch.Size([3]), torch.Size([]), torch.Size([2, 3]))
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    _validate_args = __debug__
    _inner: Any = ()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments, unless they are told by `validate_args`."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None) -> None:
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._validate_parameters()

    def _validate_parameters(self) -> None:
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            arg_constraints = {}
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize "
                "the distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
        for name, constraint in arg_constraints.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue  # made from other parameters
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with its batch expanded (as `Tensor.expand`) to `batch_shape`."""
        new = self._get_checked_instance(self._library_class(), _instance)
        batch_shape = Size(batch_shape)
        for name in (*self.arg_constraints, *self._inner):
            if name in self.__dict__:
                setattr(new, name, self._expanded(self.__dict__[name], batch_shape))
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _expanded(self, value: Any, batch_shape: Size) -> Any:
        own = len(self._batch_shape)
        if isinstance(value, Tensor):
            return value.expand(batch_shape + value.shape[own:])
        return value.expand(batch_shape + value.batch_shape[own:]) if isinstance(value, Distribution) else value

    def _library_class(self) -> type:
        """The class that this library defines: self's own, or the nearest base of a class that a user defined."""
        found = next(
            c for c in type(self).__mro__ if c.__module__.startswith(("bulssi.distributions", "torch.distributions"))
        )
        if found is Distribution:
            raise NotImplementedError
        return found

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is None and type(self).__init__ is not cls.__init__:
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also "
                "define a custom .expand() method."
            )
        return self.__new__(type(self)) if _instance is None else _instance

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one draw from one of them."""
        return self._event_shape

    @overridable
    def arg_constraints(self) -> Mapping[str, constraints.Constraint]:
        """What each parameter may be."""
        raise NotImplementedError

    @overridable
    def support(self) -> constraints.Constraint:
        """What draws may be."""
        raise NotImplementedError

    @overridable
    def variance(self) -> Tensor:
        """The expected squared distance from the mean, element by element."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws, of shape `sample_shape + batch_shape + event_shape`, without gradients."""
        with bulssi.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws that are differentiable functions of the parameters (reparameterised), if `has_rsample`."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """`sample((n,))`, which should be used instead."""
        warnings.warn(
            "`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", category=FutureWarning, stacklevel=2
        )
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability (density) at `value`."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a draw of at most `value`."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The number at which `cdf` is `value`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution along a new first dimension, for each of the batch.

        With `expand=False` the batch dimensions have size 1.
        """
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The expected -log_prob of a draw, in nats; of shape `batch_shape`."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """exp of the entropy."""
        return bulssi.exp(self.entropy())

    def _extended_shape(self, sample_shape: Any = ()) -> Any:
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def _enumerated(self, values: Tensor, expand: bool) -> Tensor:
        """`values`, of a first dimension and the event's, as `enumerate_support` gives them."""
        values = values.reshape(values.shape[:1] + (1,) * len(self._batch_shape) + values.shape[1:])
        return values.expand(values.shape[:1] + self._batch_shape + self._event_shape) if expand else values

    def _validate_sample(self, value: Any) -> None:
        """ValueError unless `value` can be (a batch of) draws."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        event_start = value.dim() - len(self._event_shape)
        if value.size()[event_start:] != self._event_shape:
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.size()} vs {self._event_shape}."
            )
        expected = self._batch_shape + self._event_shape
        for given, own in zip(reversed(value.size()), reversed(expected), strict=False):
            if given != 1 and own != 1 and given != own:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.size()} vs {expected}."
                )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the "
                f"support ({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            if name in self.__dict__:
                value = self.__dict__[name]
                shown.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(shown)})"
