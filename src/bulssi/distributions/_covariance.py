"""Distributions that are given by a covariance: as that matrix, its inverse or its Cholesky factor."""

from __future__ import annotations

import bulssi
from bulssi import Tensor

from .distribution import Distribution
from .utils import lazy_property

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


class OfCovariance(Distribution):
    """What is given by one of three matrices (..., n, n) and has them all."""

    _unbroadcasted_scale_tril: Tensor

    def _of_batch(self, matrix: Tensor) -> Tensor:
        return matrix.expand(self._batch_shape + matrix.shape[-2:])

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
