"""Ready-made parametrisations: orthogonal matrices, weight normalisation, spectral normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor
from bulssi.nn.functional import normalize
from bulssi.nn.modules.module import Module

from . import parametrize
from .spectral_norm import as_matrix, output_dim
from .weight_norm import norm_except_dim, weighted

if TYPE_CHECKING:
    from typing import Any

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

_MAPS = ("matrix_exp", "cayley", "householder")


def _is_orthogonal(q: Tensor) -> bool:
    identity = bulssi.eye(q.shape[-1], dtype=q.dtype, device=q.device)
    eps = 10.0 * q.shape[-2] * bulssi.finfo(q.dtype).eps
    return bulssi.allclose(q.mH @ q, identity, atol=eps)


def _signs(diagonal: Tensor) -> Tensor:
    return diagonal.sgn().unsqueeze(-2)


def _make_orthogonal(a: Tensor) -> Tensor:
    """The Q of a QR decomposition whose R has a positive diagonal."""
    x, tau = bulssi.geqrf(a)
    return bulssi.linalg.householder_product(x, tau) * _signs(x.diagonal(dim1=-2, dim2=-1))


class _Orthogonal(Module):
    _tensor_options = ("weight",)

    def __init__(self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        x = x.mT if wide else x
        rows, columns = x.shape[-2:]
        if self.orthogonal_map == "householder":
            a = x.tril(-1)
            tau = 2.0 / (1.0 + (a * a).sum(-2))
            q = bulssi.linalg.householder_product(a, tau) * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        else:
            x = x.tril()
            if rows != columns:
                fill = x.new_zeros(rows, rows - columns).expand(*x.shape[:-2], -1, -1)
                x = bulssi.cat([x, fill], -1)
            a = x - x.mH
            if self.orthogonal_map == "matrix_exp":
                q = bulssi.matrix_exp(a)
            else:
                identity = bulssi.eye(rows, dtype=a.dtype, device=a.device)
                q = bulssi.linalg.solve(identity - 0.5 * a, identity + 0.5 * a)
            q = q[..., :columns]
        if "base" in self._buffers:
            q = self.base @ q
        return q.mT if wide else q

    def right_inverse(self, value: Tensor) -> Tensor:
        if value.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {value.shape}."
            )
        with bulssi.no_grad():
            wide = value.shape[-2] < value.shape[-1]
            q = value.mT if wide else value
            rows, columns = q.shape[-2:]
            if "base" not in self._buffers:
                if self.orthogonal_map != "householder":
                    raise NotImplementedError(
                        "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                        "use_trivialization=False."
                    )
                a, tau = bulssi.geqrf(q)
                diagonal = a.diagonal(dim1=-2, dim2=-1)
                diagonal.sign_()
                diagonal.mul_(bulssi.where(tau == 0, -1.0, 1.0).to(diagonal.dtype))
                return a.mT if wide else a
            if rows != columns:
                noise = bulssi.randn(*q.shape[:-2], rows, rows - columns, dtype=q.dtype, device=q.device)
                q = _make_orthogonal(bulssi.cat([q, noise], -1))
            else:
                q = q.clone() if _is_orthogonal(q) else _make_orthogonal(q)
            self.base = q
            start = bulssi.zeros_like(value)
            start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
            return start


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep the matrix (or batch of matrices) ``module.name`` orthogonal, or its rows or columns orthonormal.

    Args:
        orthogonal_map: "matrix_exp", "cayley" or "householder": how a free matrix becomes an orthogonal one. By default
            the first for square, the last for other matrices.
        use_trivialization: multiply by a fixed orthogonal matrix, so that the present value can be kept (Lezcano-Casado
            2019).
    """
    weight: Any = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.dim() < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    parametrization = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, parametrization, unsafe=True)


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weighted(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """``module.name`` becomes ``g * v / |v|``, with a norm and a ``g`` per slice along ``dim`` (Salimans and Kingma
    2016).

    State dicts of the older :func:`bulssi.nn.utils.weight_norm` can be loaded.
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: Any, prefix: str, *_: Any) -> None:
        old = [f"{prefix}{name}_{letter}" for letter in "gv"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    _tensor_options = ("weight",)

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        dims = weight.dim()
        if not -dims <= dim < dims:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{dims}, {dims - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % dims
        self.eps = eps
        if dims > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight, self.dim)
            for vector, size in zip(("_u", "_v"), matrix.shape, strict=True):
                self.register_buffer(vector, normalize(matrix.new_empty(size).normal_(0, 1), dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _power_method(self, matrix: Tensor, iterations: int) -> None:
        with bulssi.no_grad():
            for _ in range(iterations):
                self._u.copy_(normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.mH @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()  # backward needs them as they are now
        return weight / bulssi.vdot(u, matrix @ v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """``module.name`` is divided by its largest singular value, found by power iteration (Miyato et al. 2018).

    Args:
        n_power_iterations: steps at each use in training.
        eps: keeps norms from 0.
        dim: the dimension of outputs; 0, or 1 for transposed convolutions, when None.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    dim = output_dim(module) if dim is None else dim
    return parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
