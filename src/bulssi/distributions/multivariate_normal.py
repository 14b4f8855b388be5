"""The multivariate normal distribution."""

from __future__ import annotations

import math
from typing import Any

import bulssi
from bulssi import Tensor

from . import constraints
from .distribution import Distribution
from .utils import lazy_property

__all__ = ["MultivariateNormal"]

_MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


def only_matrix(given: dict[str, Tensor | None], error: type[Exception]) -> tuple[str, Tensor]:
    """The one of three equivalent matrices that was given, with its name."""
    found = [(name, matrix) for name, matrix in given.items() if matrix is not None]
    if len(found) != 1:
        raise error("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
    return found[0]


def scale_tril_of(name: str, matrix: Tensor) -> Tensor:
    """The Cholesky factor of the covariance, from any of the three matrices."""
    if name == "scale_tril":
        return matrix
    if name == "covariance_matrix":
        return bulssi.linalg.cholesky(matrix)
    # With the order of rows and columns reversed, a factor L of the precision is upper triangular: L^-T is the result.
    reversed_factor = bulssi.linalg.cholesky(bulssi.flip(matrix, (-2, -1)))
    upper = bulssi.flip(reversed_factor, (-2, -1)).mT
    identity = bulssi.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return bulssi.linalg.solve_triangular(upper, identity, upper=False)


def half_log_det(factor: Tensor) -> Tensor:
    """log det of a triangular matrix: half that of L L^T."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def mahalanobis(factor: Tensor, x: Tensor) -> Tensor:
    """x^T (L L^T)^-1 x for a lower triangular L (..., n, n) and vectors x (..., n); batches broadcast."""
    n = x.shape[-1]
    batch = bulssi.broadcast_shapes(factor.shape[:-2], x.shape[:-1])
    x = x.expand(batch + (n,))
    extra = len(batch) - (factor.dim() - 2)
    # Vectors of one factor are solved for together, as columns.
    if factor.dim() == 2:
        columns = x.reshape(-1, n).mT
        return bulssi.linalg.solve_triangular(factor, columns, upper=False).pow(2).sum(-2).reshape(batch)
    if extra > 0 and factor.shape[:-2] == batch[extra:]:
        moved = x.reshape((-1, *batch[extra:], n)).movedim(0, -1)
        squares = bulssi.linalg.solve_triangular(factor, moved, upper=False).pow(2).sum(-2)
        return squares.movedim(-1, 0).reshape(batch)
    return (
        bulssi.linalg.solve_triangular(factor.expand(batch + (n, n)), x.unsqueeze(-1), upper=False).pow(2).sum((-2, -1))
    )


class MultivariateNormal(Distribution):
    """Normal vectors of mean `loc` (..., n) and a covariance, given by one of three (..., n, n) matrices.

    These are `covariance_matrix`, `precision_matrix` (its inverse), both symmetric and positive definite, or
    `scale_tril`, the lower triangular L with L L^T the covariance (what the others are turned into).

    >>> import bulssi as torch
    >>> from bulssi.distributions import MultivariateNormal
    >>> MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = only_matrix(
            dict(zip(_MATRICES, (covariance_matrix, precision_matrix, scale_tril), strict=True)), ValueError
        )
        if matrix.dim() < 2:
            what = name + " matrix" if name == "scale_tril" else name
            raise ValueError(f"{what} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = bulssi.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        self.loc = loc.expand(batch_shape + (-1,))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = scale_tril_of(name, matrix)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    def _of_batch(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular L with L L^T the covariance."""
        return self._of_batch(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        return self._of_batch(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return self._of_batch(bulssi.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        eps = bulssi.empty(shape, dtype=self.loc.dtype, device=self.loc.device).normal_()
        return self.loc + bulssi.matmul(self._unbroadcasted_scale_tril, eps.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        squares = mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + squares) - half_log_det(self._unbroadcasted_scale_tril)

    def entropy(self) -> Tensor:
        n = self._event_shape[0]
        entropy = 0.5 * n * (1.0 + math.log(2 * math.pi)) + half_log_det(self._unbroadcasted_scale_tril)
        return entropy.expand(self._batch_shape)
