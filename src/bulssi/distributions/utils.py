"""What several distributions need: broadcasting of parameters, probabilities and logits, packed triangles."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import bulssi
from bulssi import Size, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]

euler_constant = 0.57721566490153286060  # Euler Mascheroni Constant

T = TypeVar("T")


def overridable(getter: Callable[[Any], Any]) -> Any:
    """A property that subclasses may give as a plain attribute, too."""
    return property(getter)


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Tensors of one shape, made from tensors and numbers.

    Numbers take the dtype of the first tensor, or the default dtype if there is none. ValueError for anything else.

    >>> import bulssi as torch
    >>> from bulssi.distributions.utils import broadcast_all
    >>> broadcast_all(1, torch.tensor([1., 2.]))
    (tensor([1., 1.]), tensor([1., 2.]))
    """
    if not all(isinstance(v, (Tensor, Number)) or hasattr(v, "__torch_function__") for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    dtype = next((v.dtype for v in values if isinstance(v, Tensor)), bulssi.get_default_dtype())
    tensors = [bulssi.tensor(v, dtype=dtype) if isinstance(v, Number) else v for v in values]
    return tuple(bulssi.broadcast_tensors(*tensors))


def batch_of(broadcast: Tensor, *given: Any) -> Size:
    """The batch shape of scalar distributions whose parameters, `given`, were broadcast: none if all were numbers."""
    return broadcast.size() if any(isinstance(p, Tensor) for p in given) else Size()


def one_of_probs_and_logits(probs: Any, logits: Any) -> str:
    """The name of the one that was given; ValueError if both were, or neither."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    return "logits" if probs is None else "probs"


def sum_rightmost(value: Any, dims: int) -> Any:
    """The sum over the last `dims` dimensions."""
    if dims == 0:
        return value
    return value.reshape(value.shape[:-dims] + (-1,)).sum(-1)


_sum_rightmost = sum_rightmost  # its name in PyTorch, for distributions of one's own


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    """Draws from the normal distribution of mean 0 and variance 1."""
    return bulssi.normal(
        bulssi.zeros(shape, dtype=dtype, device=device), bulssi.ones(shape, dtype=dtype, device=device)
    )


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities: the sigmoid of log odds if `is_binary`, else the softmax over the last dimension."""
    return bulssi.sigmoid(logits) if is_binary else bulssi.softmax(logits, -1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities moved into [eps, 1 - eps], eps being that of the dtype."""
    eps = bulssi.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log odds of probabilities if `is_binary`, else their logarithms; of probabilities 0 and 1 they stay finite."""
    clamped = clamp_probs(probs)
    if is_binary:
        return bulssi.log(clamped) - bulssi.log1p(-clamped)
    return bulssi.log(clamped)


def binary_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross entropy of log odds against targets in [0, 1], element by element."""
    return bulssi.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class lazy_property(Generic[T]):  # noqa: N801
    """A property that is computed (recording gradients) when first read, and then kept as an attribute."""

    def __init__(self, wrapped: Callable[[Any], T]) -> None:
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__

    @overload
    def __get__(self, instance: None, owner: Any = None) -> lazy_property[T]: ...
    @overload
    def __get__(self, instance: object, owner: Any = None) -> T: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with bulssi.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements on and below a diagonal, row by row: (..., n, n) to (..., D). ValueError if there is none such."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = bulssi.tril_indices(n, n, offset=diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The inverse of `tril_matrix_to_vec`: (..., D) to (..., n, n), zero above the diagonal.

    >>> import bulssi as torch
    >>> from bulssi.distributions.utils import vec_to_tril_matrix
    >>> vec_to_tril_matrix(torch.tensor([1., 2., 3.]))
    tensor([[1., 0.],
            [2., 3.]])
    """
    length = vec.shape[-1]
    n = round((-(1 + 2 * diag) + (1 + 8 * length + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2)
    mat = vec.new_zeros(vec.shape[:-1] + (n, n))
    rows, columns = bulssi.tril_indices(n, n, offset=diag)
    mat[..., rows, columns] = vec
    return mat
