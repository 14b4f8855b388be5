"""Functions whose arguments take more forms than the core's operations: einsum, tensordot, chain_matmul."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ._core import Tensor


def einsum(*args: Any) -> Tensor:
    """Sum products of elements over subscripts, ``einsum(equation, *operands)``.

    ``equation`` names the dimensions of every operand by letters, separated by commas, and after ``->`` those of the
    result; letters that the result does not name are summed over, ``...`` stands for any number of broadcast
    dimensions. Without ``->`` the result has the letters that occur once, in alphabetical order. The operands may
    also be one list, or each be followed by a list of numbers from 0 to 51 in place of letters (with a last list for
    the result).

    Raises RuntimeError for an equation that does not fit the operands.

    >>> import bulssi as torch
    >>> torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(3, 2))
    tensor([[3., 3.],
            [3., 3.]])
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, "
            "or at least one operand and its subscripts list"
        )
    if isinstance(args[0], _core.Tensor):
        equation, operands = _from_lists(args)
    else:
        equation, operands = args[0], args[1:]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    return _core._VF.einsum(equation, list(operands))


def _from_lists(args: Sequence[Any]) -> tuple[str, list[Tensor]]:
    """An equation in letters from operands that are each followed by a list of numbers."""

    def letters(numbers: Sequence[Any]) -> str:
        text = ""
        for n in numbers:
            if n is Ellipsis:
                text += "..."
            elif isinstance(n, int) and 0 <= n < 52:
                text += chr(ord("A") + n) if n < 26 else chr(ord("a") + n - 26)
            else:
                raise ValueError(f"einsum(): subscript in subscript list is not within the valid range [0, 52): {n!r}")
        return text

    equation = ",".join(letters(numbers) for numbers in args[1::2])
    if len(args) % 2:
        equation += "->" + letters(args[-1])
    return equation, list(args[: len(args) // 2 * 2 : 2])


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """Sum of products over dimensions of ``a`` and ``b``.

    ``dims`` is a number n (the last n dimensions of ``a`` and the first n of ``b``) or a pair of lists of dimensions.
    The result has the remaining dimensions of ``a``, then those of ``b``.

    >>> import bulssi as torch
    >>> torch.tensordot(torch.ones(2, 3, 4), torch.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    torch.Size([2, 5])
    """
    if isinstance(dims, _core.Tensor):
        dims = dims.tolist()
        if isinstance(dims, list) and len(dims) == 1:
            dims = dims[0]
    if isinstance(dims, (list, tuple)):
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    else:
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims} for tensors of {a.dim()} and "
                f"{b.dim()} dimensions"
            )
        first, second = list(range(-dims, 0)), list(range(dims))
    if out is None:
        return _core._VF.contract(a, b, first, second)
    return _core._VF.contract(a, b, first, second, out=out)


def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """Product of matrices in the order that needs the fewest multiplications (use ``linalg.multi_dot``).

    >>> import bulssi as torch
    >>> torch.chain_matmul(torch.ones(2, 3), torch.ones(3, 4), torch.ones(4, 1)).shape
    torch.Size([2, 1])
    """
    if not matrices:
        raise ValueError("chain_matmul(): Expected one or more matrices")
    for i, m in enumerate(matrices):
        if m.dim() != 2:
            raise RuntimeError(f"Tensor dimension is {m.dim()}, expected 2 instead (argument {i} of chain_matmul)")
    if len(matrices) == 1:
        return matrices[0].clone() if out is None else out.copy_(matrices[0])
    if out is None:
        return _core.linalg.multi_dot(list(matrices))
    return _core.linalg.multi_dot(list(matrices), out=out)


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> tuple[Tensor, ...]:
    """The packed LU factors of matrices ``(*, m, n)`` and the rows' exchanges: use ``linalg.lu_factor``.

    ``get_infos`` adds the int32 codes of ``linalg.lu_factor_ex``. PyTorch warns here in the same words.

    >>> import bulssi as torch
    >>> torch.linalg.lu_factor(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).pivots
    tensor([2, 2], dtype=torch.int32)
    """
    import warnings

    warnings.warn(
        "torch.lu is deprecated in favor of torch.linalg.lu_factor / torch.linalg.lu_factor_ex and will be removed in "
        "a future PyTorch release.\ntorch.lu(A, pivot) is torch.linalg.lu_factor(A, pivot=pivot)",
        UserWarning,
        stacklevel=2,
    )
    made = _core._lu_with_info(A, pivot=pivot, check_errors=False)
    result = made if get_infos else tuple(made[:2])
    if out is None:
        return result
    if not isinstance(out, (tuple, list)):
        raise TypeError(f"argument 'out' must be tuple of Tensors, not {type(out).__name__}")
    if len(out) != len(result):
        raise TypeError(f"expected tuple of {len(result)} elements but got {len(out)}")
    for to, value in zip(out, result, strict=True):
        to.resize_as_(value).copy_(value)
    return tuple(out)


for _function in (einsum, tensordot, chain_matmul, lu):
    globals()[_function.__name__] = _core.overridable(_function)
del _function
