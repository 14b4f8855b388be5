"""The von Mises distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Size, Tensor

from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, lazy_property

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles, in radians: density proportional to exp(concentration cos(x - loc)), the normal distribution's analogue.

    Draws are in [-pi, pi); they are made in double precision by rejection from a wrapped Cauchy distribution (Best and
    Fisher, "Efficient simulation of the von Mises distribution", 1979); where the concentration is too large for that
    (1e16), from the normal distribution of variance 1 / concentration. `variance` is the circular variance.

    >>> import bulssi as torch
    >>> from bulssi.distributions import VonMises
    >>> VonMises(0., 1.).log_prob(torch.tensor(0.))
    tensor(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc: Tensor | float, concentration: Tensor | float, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, Size(), validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        c = self.concentration
        log_bessel = bulssi.special.i0e(c).log() + c
        return c * bulssi.cos(value - self.loc) - math.log(2 * math.pi) - log_bessel

    @property
    def _kappa(self) -> Tensor:
        """The concentration in double precision; of none at all, so little that draws are uniform."""
        kappa = self.concentration.double()
        return bulssi.where(kappa == 0, 1e-150, kappa)

    @lazy_property
    def _proposal_r(self) -> Tensor:
        """The wrapped Cauchy distribution's parameter, as Best and Fisher's r; its series for small concentrations."""
        kappa = self._kappa
        tau = 1 + (1 + 4 * kappa**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        return bulssi.where(kappa < 1e-5, 1 / kappa + kappa, (1 + rho**2) / (2 * rho))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        with bulssi.no_grad():
            r, kappa = self._proposal_r.expand(shape), self._kappa.expand(shape)
            angle = bulssi.zeros(shape, dtype=bulssi.double, device=self.loc.device)
            # No proposal would ever be accepted with r = 1. A concentration below zero, or nan, gives nan.
            drawn = ~((r > 1) & (kappa > 0))
            if drawn.any():
                angle = bulssi.where(drawn, bulssi.randn_like(angle) / kappa.sqrt(), angle)
            done = drawn
            while not done.all():
                u1, u2, u3 = bulssi.rand((3, *shape), dtype=bulssi.double, device=self.loc.device)
                z = bulssi.cos(math.pi * u1)
                f = (1 + r * z) / (r + z)
                c = kappa * (r - f)
                accept = (c * (2 - c) > u2) | ((c / u2).log() + 1 - c >= 0)
                angle = bulssi.where(accept & ~drawn, (u3 - 0.5).sign() * f.acos(), angle)
                done = done | accept
            angle = (angle + math.pi + self.loc.double()) % (2 * math.pi) - math.pi
            return angle.to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        return 1 - bulssi.special.i1e(self.concentration) / bulssi.special.i0e(self.concentration)
