"""Arguments for linear algebra.

Signs of vectors are LAPACK's choice: matrices are drawn so that factors of A are compared where they are unique, and
through what does not depend on the choice in test_linalg.py.
"""

from __future__ import annotations

from typing import Any

import bulssi

from .operations import Draw, of, recipe


def _square(draw: Draw, n: int = 4) -> bulssi.Tensor:
    """Far from singular, not symmetric."""
    return draw(2, n, n) + 3 * bulssi.eye(n, dtype=bulssi.float64)


def _packed(draw: Draw) -> tuple[bulssi.Tensor, bulssi.Tensor]:
    return tuple(bulssi.linalg.lu_factor(_square(draw)))


@recipe("cholesky", "cholesky_ex", "logdet", "inv", "inv_ex", "inverse", "det", "slogdet", "cholesky_inverse")
def _(draw: Draw) -> list[Any]:
    return [(draw.positive_definite(4),)]


@recipe("lu", "lu_factor", "lu_factor_ex", "_lu_with_info")
def _(draw: Draw) -> list[Any]:
    return [(_square(draw),), (draw(2, 4, 3),), (draw(3, 4),)]


@recipe("lu_unpack")
def _(draw: Draw) -> list[Any]:
    return [_packed(draw)]


@recipe("linalg.lu_solve")
def _(draw: Draw) -> list[Any]:
    return [(*_packed(draw), draw(2, 4, 3)), of(*_packed(draw), draw(2, 3, 4), left=False, adjoint=True)]


@recipe("lu_solve")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 4, 3), *_packed(draw))]


@recipe("ldl_factor", "ldl_factor_ex")
def _(draw: Draw) -> list[Any]:
    return [(draw.positive_definite(4),)]


@recipe("ldl_solve")
def _(draw: Draw) -> list[Any]:
    return [(*bulssi.linalg.ldl_factor(draw.positive_definite(4)), draw(4, 2))]


@recipe("qr", "geqrf")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 4, 3),), (draw(3, 4),)]


@recipe("householder_product", "orgqr")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 4, 3), draw(2, 3)), (draw(4, 3), draw(2))]


@recipe("ormqr")
def _(draw: Draw) -> list[Any]:
    return [(draw(4, 3), draw(3), draw(4, 2)), (draw(4, 3), draw(3), draw(2, 4), False, True)]


@recipe("solve", "solve_ex", "tensorsolve")
def _(draw: Draw) -> list[Any]:
    return [(draw.positive_definite(4), draw(4))]


@recipe("solve_triangular")
def _(draw: Draw) -> list[Any]:
    a = _square(draw)
    return [of(a, draw(2, 4, 3), upper=True), of(a, draw(3, 4), upper=False, left=False), of(a, draw(4, 1), upper=True)]


@recipe("triangular_solve")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 4, 3), _square(draw)), (draw(4, 3), _square(draw), False, True)]


@recipe("cholesky_solve")
def _(draw: Draw) -> list[Any]:
    return [(draw(4, 2), draw.positive_definite(4))]


@recipe("tensorinv")
def _(draw: Draw) -> list[Any]:
    return [(_square(draw)[0].reshape(2, 2, 4), 2)]


@recipe("lstsq")
def _(draw: Draw) -> list[Any]:
    return [of(draw(4, 3), draw(4, 2), driver=name) for name in ("gels", "gelsy")]


@recipe("eigvalsh", "svdvals", "pinv", "pinverse", "matrix_rank", "cond")
def _(draw: Draw) -> list[Any]:
    return [(draw.positive_definite(4),)]


@recipe("eigh")
def _(draw: Draw) -> list[Any]:
    return [(draw.positive_definite(2),)]


@recipe("svd", "linalg.matrix_rank.1", "linalg.pinv.1")
def _(draw: Draw) -> list[Any]:
    return []  # test_linalg.py: signs are open; PyTorch warns about its own outputs, refuses gradients of tolerances


@recipe("matrix_exp")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 3),)]


@recipe("linalg.matrix_rank.2", "linalg.matrix_rank.3", "linalg.pinv.2", "linalg.pinv.3")
def _(draw: Draw) -> list[Any]:
    return [(draw(4, 3), 0.01)]


@recipe("linalg.matrix_norm")
def _(draw: Draw) -> list[Any]:
    return [of(draw(2, 3, 4), order, keepdim=True) for order in (1, -1, 2, -2, float("inf"), -float("inf"))]


@recipe("linalg.matrix_norm.1", "linalg.norm.1")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), "fro"), (draw(3, 4), "nuc")]


@recipe("linalg.norm")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 4),), (draw(3, 4), 2), of(draw(3, 4), 3, dim=1)]


@recipe("linalg.cond.1")
def _(draw: Draw) -> list[Any]:
    return [(draw.positive_definite(4), "nuc")]


@recipe("nuclear_norm.1", "frobenius_norm")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 4), [0, 2])]


@recipe("norm_except_dim")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 4), 2, 1), (draw(2, 3, 4), 2, -1)]


@recipe("linalg.vander")
def _(draw: Draw) -> list[Any]:
    return [(draw(4),)]


@recipe("vander")
def _(draw: Draw) -> list[Any]:
    return [(draw.index(9, 4),)]  # PyTorch fails in its gradient
