"""The Wishart distribution."""

from __future__ import annotations

import math
import warnings
from numbers import Number
from typing import Any

import bulssi
from bulssi import Size, Tensor

from . import constraints
from ._covariance import _MATRICES, OfCovariance, half_log_det, only_matrix, scale_tril_of
from .chi2 import Chi2
from .exp_family import ExponentialFamily

__all__ = ["Wishart"]


class Wishart(OfCovariance, ExponentialFamily):
    """The distribution of X^T X, where the rows of X are `df` normal vectors of mean 0 and a given covariance.

    The covariance (..., p, p) is given by one of three matrices, as MultivariateNormal's; `df` (...), greater than
    p - 1, need not be an integer. Draws are made by Bartlett's decomposition. A draw that rounding makes singular is
    drawn again, up to ten times, with a warning.

    >>> import bulssi as torch
    >>> from bulssi.distributions import Wishart
    >>> Wishart(torch.tensor(3.), torch.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0
    _inner = ("_dist_chi2",)

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = only_matrix(
            dict(zip(_MATRICES, (covariance_matrix, precision_matrix, scale_tril), strict=True)), AssertionError
        )
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if isinstance(df, Number):
            df_tensor = bulssi.tensor(df, dtype=matrix.dtype, device=matrix.device)
        else:
            df_tensor = df
        batch_shape = bulssi.broadcast_shapes(df_tensor.shape, matrix.shape[:-2])
        event_shape = matrix.shape[-2:]
        self.df: Tensor = df_tensor.expand(batch_shape)
        if self.df.le(event_shape[-1] - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {event_shape[-1] - 1}.")
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        if self.df.lt(event_shape[-1]).any():
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        self._unbroadcasted_scale_tril = scale_tril_of(name, matrix)
        self._dist_chi2 = self._chi2()

    def _chi2(self) -> Any:
        p = self._event_shape[-1]
        falling = bulssi.arange(p, dtype=self.df.dtype, device=self.df.device)
        return Chi2(df=self.df.unsqueeze(-1) - falling.expand(self._batch_shape + (-1,)))

    @property
    def arg_constraints(self) -> Any:
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril.expand(new.batch_shape + self._event_shape)
        return new

    @property
    def mean(self) -> Tensor:
        return self.df.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = factor.masked_fill(factor <= 0, math.nan)
        return factor.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.view(self._batch_shape + (1, 1)) * (v.pow(2) + products)

    def _bartlett_sampling(self, sample_shape: Any = ()) -> Tensor:
        p = self._event_shape[-1]
        noise = self._dist_chi2.rsample(sample_shape).sqrt().diag_embed(dim1=-2, dim2=-1)
        rows, columns = bulssi.tril_indices(p, p, offset=-1)
        noise[..., rows, columns] = bulssi.randn(
            Size(sample_shape) + self._batch_shape + (p * (p - 1) // 2,), dtype=noise.dtype, device=noise.device
        )
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def _singular(self, sample: Tensor) -> Tensor:
        """For each draw of the (whole) batch, whether it fails the check of the support."""
        singular = ~self.support.check(sample)
        dims = tuple(range(-len(self._batch_shape), 0))
        return singular.amax(dims) if dims else singular

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Tensor:
        """As Distribution.rsample; singular draws are drawn again up to `max_try_correction` (10) times."""
        tries = 10 if max_try_correction is None else max_try_correction
        sample = self._bartlett_sampling(sample_shape)
        if tries == 0:
            return sample
        # PyTorch takes a first draw that is sound for a singular one: the second is what programs get there.
        sample = self._bartlett_sampling(sample_shape)
        for _ in range(1, tries):
            singular = self._singular(sample)
            if not singular.any():
                break
            warnings.warn("Singular sample detected.", stacklevel=2)
            sample[singular] = self._bartlett_sampling(singular[singular].shape)
        return sample

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        nu, p, factor = self.df, self._event_shape[-1], self._unbroadcasted_scale_tril
        solved = bulssi.cholesky_solve(value, factor).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (
            -nu * (p * math.log(2) / 2 + half_log_det(factor))
            - bulssi.mvlgamma(nu / 2, p=p)
            + (nu - p - 1) / 2 * bulssi.linalg.slogdet(value).logabsdet
            - solved / 2
        )

    def entropy(self) -> Tensor:
        nu, p = self.df, self._event_shape[-1]
        steps = bulssi.arange(p, dtype=nu.dtype, device=nu.device)
        mvdigamma = bulssi.digamma(nu.unsqueeze(-1) / 2 - steps / 2).sum(-1)
        return (
            (p + 1) * (p * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril))
            + bulssi.mvlgamma(nu / 2, p=p)
            - (nu - p - 1) / 2 * mvdigamma
            + nu * p / 2
        )

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        p = self._event_shape[-1]
        half = y + (p + 1) / 2
        return half * (-bulssi.linalg.slogdet(-2 * x).logabsdet + math.log(2) * p) + bulssi.mvlgamma(half, p=p)
