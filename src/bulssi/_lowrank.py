"""Approximate factors of low rank, from products with random matrices (Halko, Martinsson and Tropp, 2011)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulssi import Tensor


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """``U, S, V`` with ``q`` columns such that ``U diag(S) V^T`` is near ``A``, or ``A - M``.

    Args:
        A: matrices ``(*, m, n)``.
        q: how many singular values are looked for: somewhat more than the rank.
        niter: how often the subspace found is improved.
        M: matrices to subtract, broadcast to the shape of ``A``.

    The result depends on the default generator. Algorithms 4.4 and 5.1 of Halko et al., "Finding structure with
    randomness" (2011).

    >>> import bulssi as torch
    >>> U, S, V = torch.svd_lowrank(torch.outer(torch.arange(3.0), torch.arange(4.0)), q=1)
    >>> U.shape, S.shape, V.shape
    (torch.Size([3, 1]), torch.Size([1]), torch.Size([4, 1]))
    """
    import bulssi

    q = 6 if q is None else q
    wide = A.shape[-2] < A.shape[-1]
    if M is not None:
        A = A - M.broadcast_to(A.shape)
    if wide:
        A = A.mT
    basis = bulssi.linalg.qr(A @ bulssi.randn(A.shape[-1], q, dtype=A.dtype, device=A.device)).Q
    for _ in range(2 if niter is None else niter):
        basis = bulssi.linalg.qr(A.mT @ basis).Q
        basis = bulssi.linalg.qr(A @ basis).Q
    U, S, Vh = bulssi.linalg.svd(basis.mT @ A, full_matrices=False)
    U, V = basis @ U, Vh.mT
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components of the rows of ``A``: ``U, S, V`` of ``svd_lowrank``, about the columns' means if `center`.

    Args:
        A: matrices ``(*, m, n)`` of m samples of n features.
        q: how many components, ``min(6, m, n)`` by default.
        niter: how often the subspace found is improved.

    Raises:
        ValueError: ``q`` or ``niter`` out of range.

    The columns of ``V`` are the principal directions; ``S**2 / (m - 1)`` are the variances along them.

    >>> import bulssi as torch
    >>> U, S, V = torch.pca_lowrank(torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
    >>> [round(s, 4) for s in S.tolist()]
    [2.8284, 0.0]
    """
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(dim=-2, keepdim=True) if center else A, q, niter=niter)
