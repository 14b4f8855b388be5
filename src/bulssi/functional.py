"""Functions whose arguments take more forms than the core's operations: einsum, gradient, histogramdd, …"""

from __future__ import annotations

import math
from collections import namedtuple
from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NamedTuple

    from ._core import Size, Tensor

    class Histogram(NamedTuple):
        hist: Tensor
        bin_edges: tuple[Tensor, ...]


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
        first, second = ([d] if isinstance(d, int) else d for d in dims)
    else:
        if not isinstance(dims, int):
            raise RuntimeError(
                "tensordot expects dims to be int or tuple[list[int], list[int]] or list[list[int]] containing two "
                f"lists, but got dims={dims}"
            )
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims} for tensors of {a.dim()} and "
                f"{b.dim()} dimensions"
            )
        first, second = list(range(-dims, 0)), list(range(dims))
    schema = "tensordot(Tensor a, Tensor b, int[] dims_self, int[] dims_other, *, Tensor? out=None) -> Tensor"
    _core._check_arguments((schema,), (a, b, first, second), {"out": out})
    if isinstance(out, _core.Tensor) and out.dtype != a.dtype:
        raise RuntimeError(
            f"tensordot: Expected the output tensor to have dtype {a.type()[6:-6]}, but got an output tensor with "
            f"dtype {out.type()[6:-6]}"
        )
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


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes are broadcast to. A shape is a tuple of sizes or one size.

    Raises RuntimeError where two sizes of a dimension differ and neither is 1, ValueError for negative sizes.

    >>> import bulssi as torch
    >>> torch.broadcast_shapes((2, 1), (3, 1, 4))
    torch.Size([3, 2, 4])
    """
    tuples: list[Any] = []
    for shape in shapes:
        if not isinstance(shape, (int, list, tuple)):
            raise RuntimeError(f"Input shapes should be of type ints, a tuple of ints, or a list of ints, got {shape}")
        tuples.append((shape,) if isinstance(shape, int) else tuple(shape))
    result = [1] * max((len(shape) for shape in tuples), default=0)
    for at, shape in enumerate(tuples):
        for i in range(-1, -1 - len(shape), -1):
            if isinstance(shape[i], _core.Tensor):
                raise AssertionError(f"Expected bool, got {type(shape[i])}")
            if shape[i] < 0:
                raise ValueError(f"Attempting to broadcast a dimension with negative length! The shape is {shape}")
            if shape[i] == 1 or shape[i] == result[i]:
                continue
            if result[i] != 1 or shape[i] != shape[i]:
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[i]} at {i}! Mismatching argument at index "
                    f"{at} had {shape}; but expected shape should be broadcastable to {result}"
                )
            result[i] = shape[i]
    return _core.Size(result)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates of flat (row-major) indices in a tensor of this shape: one tensor per dimension.

    >>> import bulssi as torch
    >>> torch.unravel_index(torch.tensor([4, 5]), (2, 3))
    (tensor([1, 1]), tensor([1, 2]))
    """
    if indices.is_floating_point() or indices.dtype == _core.bool:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if isinstance(shape, int):
        shape = (shape,)
    for size in shape:
        if not isinstance(size, int):
            raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(size)}")
    if any(size < 0 for size in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(shape)}")
    found = []
    rest = indices.long()
    for size in reversed(shape):
        found.append(rest % size)
        rest = rest // size
    return tuple(reversed(found))


def gradient(input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Numerical derivatives of the function whose values at the points of a grid are ``input``, one per dimension.

    Inside, the second-order difference of three neighbours (also where they are unevenly spaced); at both ends, one of
    ``edge_order + 1`` neighbours (Fornberg 1988).

    Args:
        spacing: the distance between neighbours: one number, a list of one per dimension, or a list of 1-d tensors with
            the coordinates along each dimension.
        dim: the dimension or dimensions; all by default.
        edge_order: 1 or 2; a dimension has at least ``edge_order + 1`` points.

    >>> import bulssi as torch
    >>> torch.gradient(torch.tensor([0.0, 1.0, 4.0, 9.0]))
    (tensor([1., 2., 4., 5.]),)
    """
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if input.dtype == _core.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    dims = range(input.dim()) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    for d in dims:
        if not -max(input.dim(), 1) <= d < max(input.dim(), 1):
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-max(input.dim(), 1)}, "
                f"{max(input.dim(), 1) - 1}], but got {d})"
            )
    wrapped = [d % max(input.dim(), 1) for d in dims]
    for d in wrapped:
        if wrapped.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
        if input.dim() == 0 or input.shape[d] <= edge_order:
            raise RuntimeError(
                "torch.gradient expected each dimension size to be at least edge_order+1\n"
                f"(edge_order = {edge_order}, input of shape {list(input.shape)}, dimension {d})"
            )
    steps = _spacings(input, spacing, dim, wrapped)
    return tuple(
        _derivative(input.movedim(d, -1), step, edge_order).movedim(-1, d)
        for d, step in zip(wrapped, steps, strict=True)
    )


def _spacings(input: Tensor, spacing: Any, dim: Any, dims: list[int]) -> list[Any]:
    """For each of ``dims`` a number, or the distances between neighbours as a tensor."""
    if spacing is None:
        spacing = 1
    if isinstance(spacing, _core.Tensor):
        if spacing.dim() > 0:
            raise TypeError(
                "gradient(): argument 'spacing' must be a number or a list of numbers or tensors, not a tensor of "
                f"{spacing.dim()} dimensions: put it in a list"
            )
        spacing = spacing.item()
    if not isinstance(spacing, (list, tuple)):
        return [spacing] * len(dims)
    if len(spacing) != len(dims):
        wanted = f"'self.dim() = {len(dims)}', since dim argument was not given" if dim is None else f"{len(dims)}"
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to "
            f"{wanted}, but got a list of length {len(spacing)}"
        )
    steps = []
    tensors = [isinstance(each, _core.Tensor) and each.dim() > 0 for each in spacing]
    for each, d in zip(spacing, dims, strict=True):
        if not any(tensors):
            steps.append(each.item() if isinstance(each, _core.Tensor) else each)
            continue
        if not isinstance(each, _core.Tensor):
            raise TypeError(f"gradient(): expected tensors as elements of 'spacing', but got {type(each).__name__}")
        if each.dim() != 1:
            raise RuntimeError(
                "torch.gradient expected each element of spacing to have one dimension, but got an element with "
                f"{each.dim()} dimensions!"
            )
        if each.numel() != input.shape[d]:
            raise RuntimeError(
                f"torch.gradient expected one coordinate for each of the {input.shape[d]} points of dimension {d}, but "
                f"got {each.numel()}"
            )
        steps.append(each.diff())
    return steps


def _derivative(y: Tensor, step: Any, edge_order: int) -> Tensor:
    """Along the last dimension."""
    if not isinstance(step, _core.Tensor):
        inside = (y[..., 2:] - y[..., :-2]) / (2 * step)
        if edge_order == 1:
            first, last = (y[..., 1:2] - y[..., :1]) / step, (y[..., -1:] - y[..., -2:-1]) / step
        else:
            first = (-3 * y[..., :1] + 4 * y[..., 1:2] - y[..., 2:3]) / (2 * step)
            last = (3 * y[..., -1:] - 4 * y[..., -2:-1] + y[..., -3:-2]) / (2 * step)
        return _core.cat([first, inside, last], -1)

    def outermost(near: Tensor, far: Tensor, y0: Tensor, y1: Tensor, y2: Tensor) -> Tensor:
        both = near + far
        return y0 * -(both + near) / (near * both) + y1 * both / (near * far) - y2 * near / (far * both)

    left, right = step[:-1], step[1:]
    both = left + right
    inside = (
        y[..., :-2] * -(right / (left * both))
        + y[..., 1:-1] * ((right - left) / (left * right))
        + y[..., 2:] * (left / (right * both))
    )
    if edge_order == 1:
        first, last = (y[..., 1:2] - y[..., :1]) / step[:1], (y[..., -1:] - y[..., -2:-1]) / step[-1:]
    else:
        first = outermost(step[:1], step[1:2], y[..., :1], y[..., 1:2], y[..., 2:3])
        last = -outermost(step[-1:], step[-2:-1], y[..., -1:], y[..., -2:-1], y[..., -3:-2])
    return _core.cat([first, inside, last], -1)


def histogramdd(
    input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> Histogram:
    """How many points lie in each cell of a grid.

    Args:
        input: ``(..., N)`` points in N dimensions, float32 or float64.
        bins: the number of equal parts of every dimension, a list of such numbers, or a list of tensors with ascending
            edges. The last part includes its right edge; points outside are not counted.
        range: least and greatest edge of every dimension, one after the other; those of the data by default.
        weight: ``(...)``, what each point counts; 1 by default.
        density: divide by the sum of all counts and by the cell's volume.

    Returns:
        A named tuple: ``hist`` with N dimensions, and ``bin_edges``, a tuple of N tensors.

    >>> import bulssi as torch
    >>> torch.histogramdd(torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), bins=2).hist
    tensor([[0., 1.],
            [1., 1.]])
    """
    if input.dim() < 2:
        raise RuntimeError(
            f"torch.histogramdd: input tensor should have at least 2 dimensions, but it has {input.dim()}"
        )
    if input.dtype not in (_core.float32, _core.float64):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{input.dtype}'")
    n = input.shape[-1]
    points = input.detach().reshape(-1, n)
    edges = _edges(points, bins, range)
    counted, place = None, None
    for d, edge in enumerate(edges):
        x = points[:, d].contiguous()
        at = _core.bucketize(x, edge, right=True) - 1
        at = _core.where(x == edge[-1], len(edge) - 2, at)
        inside = (at >= 0) & (at < len(edge) - 1) & ~x.isnan()
        counted = inside if counted is None else counted & inside
        place = at if place is None else place * (len(edge) - 1) + at
    if weight is not None:
        if weight.dtype != input.dtype:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should have the same "
                f"dtype, but got input({input.dtype}), and weight({weight.dtype})"
            )
        if weight.shape != input.shape[:-1]:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor "
                f"excluding its innermost dimension, but got input with shape {list(input.shape)} and weight with "
                f"shape {list(weight.shape)}"
            )
    shape = [len(edge) - 1 for edge in edges]
    hist = _core.zeros(math.prod(shape), dtype=input.dtype)
    if counted is not None and place is not None:
        each = _core.ones_like(place, dtype=input.dtype) if weight is None else weight.detach().reshape(-1)
        hist.index_add_(0, place[counted], each[counted])
    hist = hist.reshape(shape)
    if density:
        hist = hist / hist.sum()
        for d, edge in enumerate(edges):
            hist = hist / edge.diff().reshape([-1 if i == d else 1 for i, _ in enumerate(edges)])
    return namedtuple("histogramdd", "hist bin_edges")(hist, tuple(edges))  # type: ignore[return-value]


def _edges(points: Tensor, bins: Any, limits: Any) -> list[Tensor]:
    """The edges of the parts of every dimension."""
    n = points.shape[1]
    if isinstance(bins, int):
        bins = [bins] * n
    if not isinstance(bins, (list, tuple)):
        raise TypeError(
            f"histogramdd(): argument 'bins' must be int, tuple of ints or tuple of Tensors, not {type(bins).__name__}"
        )
    if any(isinstance(each, _core.Tensor) for each in bins):
        return _given_edges(points, bins)
    if len(bins) != n:
        raise RuntimeError(
            "histogramdd: The size of bins must be equal to the innermost dimension of the input.\n"
            f"(bins = {list(bins)}, innermost dimension: {n})"
        )
    if limits is not None and len(limits) != 2 * n:
        raise RuntimeError(
            f"torch.histogramdd: for a {n}-dimensional histogram range should have {2 * n} elements, but got "
            f"{len(limits)}"
        )
    edges = []
    for d, count in enumerate(bins):
        if count <= 0:
            raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {count} for dimension {d}")
        low, high = 0.0, 1.0
        if limits is not None:
            low, high = limits[2 * d : 2 * d + 2]
        elif len(points):
            low, high = points[:, d].min().item(), points[:, d].max().item()
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histogramdd: dimension {d}'s range [{low}, {high}] is not finite")
        if low > high:
            raise RuntimeError(
                f"torch.histogramdd: min should not exceed max, but got min {low} max {high} for dimension {d}"
            )
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(_core.linspace(low, high, count + 1, dtype=points.dtype))
    return edges


def _given_edges(points: Tensor, bins: Any) -> list[Tensor]:
    n = points.shape[1]
    if len(bins) != n:
        raise RuntimeError(
            f"torch.histogramdd: expected {n} sequences of bin edges for a {n}-dimensional histogram but got "
            f"{len(bins)}"
        )
    for d, edge in enumerate(bins):
        if not isinstance(edge, _core.Tensor):
            raise TypeError(f"expected Tensor as element {d} of bins, but got {type(edge).__name__}")
        if edge.dim() != 1 or not len(edge):
            raise RuntimeError(
                f"torch.histogramdd: bins tensor should have one dimension, but got {edge.dim()} dimensions in the "
                f"bins tensor for dimension {d}"
            )
        if edge.dtype != points.dtype:
            raise RuntimeError(
                "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with dtype "
                f"{points.dtype} and bins for dimension {d} with dtype {edge.dtype}"
            )
    return [edge.detach().contiguous() for edge in bins]


for _function in (einsum, lu, gradient, histogramdd, unravel_index):
    globals()[_function.__name__] = _core.overridable(_function)
for _function in (tensordot, chain_matmul):
    globals()[_function.__name__] = _core.overridable(_function, "lower")
del _function
