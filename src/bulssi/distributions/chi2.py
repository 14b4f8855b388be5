"""The chi-squared distribution."""

from __future__ import annotations

from bulssi import Tensor

from . import constraints
from .gamma import Gamma

__all__ = ["Chi2"]


class Chi2(Gamma):
    """The distribution of the sum of the squares of `df` standard normal numbers: Gamma(df / 2, 1 / 2).

    >>> from bulssi.distributions import Chi2
    >>> Chi2(3.).mean
    tensor(3.)
    """

    arg_constraints = {"df": constraints.positive}
    _inner = ("concentration", "rate")

    def __init__(self, df: Tensor | float, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    @property
    def df(self) -> Tensor:
        """Degrees of freedom."""
        return self.concentration * 2
