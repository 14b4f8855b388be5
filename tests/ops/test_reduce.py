"""Reductions, scans, softmax and normalisation beside PyTorch: values, first and second gradients, names, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import bulssi
from bulssi import _core

torch = pytest.importorskip("torch")

PLAIN = [[1.0, -2.0, 3.0], [4.0, 0.5, -6.0]]
ZEROS = [[1.0, 0.0, 3.0], [0.0, 0.0, -6.0]]
TIES = [[1.0, 1.0, -3.0], [1.0, 0.5, 1.0]]

# Names of grad_fn equal PyTorch's for these.
SAME_NAME: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda T, x: x.sum(),
    "sum_dim": lambda T, x: x.sum(0),
    "sum_last": lambda T, x: x.sum((-1,), keepdim=True),
    "mean": lambda T, x: x.mean(),
    "mean_dim": lambda T, x: x.mean(-1),
    "prod": lambda T, x: x.prod(),
    "prod_dim": lambda T, x: x.prod(0, True),
    "amax": lambda T, x: x.amax(),
    "amin": lambda T, x: x.amin((-1,), True),
    "max": lambda T, x: x.max(),
    "max_dim": lambda T, x: x.max(0).values,
    "min_dim": lambda T, x: x.min(-1, True)[0],
    "max_other": lambda T, x: T.max(x, x * 0.5),
    "aminmax": lambda T, x: x.aminmax(dim=0).max,
    "nansum": lambda T, x: x.nansum(0),
    "nanmean": lambda T, x: x.nanmean(-1),
    "softmax": lambda T, x: x.softmax(0),
    "log_softmax": lambda T, x: x.log_softmax(-1),
    "logsumexp": lambda T, x: x.logsumexp(0),
    "cumsum": lambda T, x: x.cumsum(-1),
    "cumprod": lambda T, x: x.cumprod(-1),
    "cummax": lambda T, x: x.cummax(0)[0],
    "cummin": lambda T, x: x.cummin(-1)[0],
    "var": lambda T, x: x.var(0),
    "std": lambda T, x: x.std((-1,), unbiased=False),
    "std_correction": lambda T, x: x.std(0, correction=0, keepdim=True),
    "var_mean": lambda T, x: T.var_mean(x, 0)[0],
    "norm": lambda T, x: x.norm(),
    "norm_1": lambda T, x: x.norm(1),
    "norm_3": lambda T, x: x.norm(3),
    "norm_inf": lambda T, x: x.norm(float("inf"), -1),
    "norm_low": lambda T, x: x.norm(-float("inf"), -1, True),
    "median": lambda T, x: x.median(),
    "median_dim": lambda T, x: x.median(0)[0],
    "mode": lambda T, x: x.mode(-1)[0],
    "layer_norm": lambda T, x: T.layer_norm(x, (3,), x.sum(0), x[0]),
}
OTHER_NAME: dict[str, Callable[[Any, Any], Any]] = {
    "rms_norm": lambda T, x: T.rms_norm(x, (3,), x[1], 1e-3),
    "quantile": lambda T, x: x.quantile(0.3, -1),
    "group_norm": lambda T, x: T.group_norm(x.reshape(1, 6, 1), 2, x.reshape(6), x.reshape(6) * 2),
    "diff": lambda T, x: T.diff(x),
    "trapezoid": lambda T, x: T.trapezoid(x),
    "cumulative_trapezoid": lambda T, x: T.cumulative_trapezoid(x, dx=0.5),
    "dist": lambda T, x: T.dist(x, x * x, 2),
    "renorm": lambda T, x: T.renorm(x, 2, 0, 1.5),
    "cov": lambda T, x: T.cov(x),
}


def gradient(T: Any, y: Any, x: Any, create: bool) -> Any:
    if T is torch:
        return T.autograd.grad(y, x, create_graph=create)[0]
    one = T.tensor(1.0, dtype=T.float64)
    return _core.run_backward((y,), (one,), create, create, (x,), False, False)[0]


def derivatives(T: Any, function: Callable[[Any, Any], Any], data: list[list[float]]) -> tuple[Any, list[Any]]:
    """The result, and result and first and second gradients of its weighted squares as lists."""
    x = T.tensor(data, dtype=T.float64, requires_grad=True)
    y = function(T, x)
    weight = T.arange(1, y.numel() + 1, dtype=T.float64).reshape(tuple(y.shape))
    first = gradient(T, (y * y * weight).sum(), x, True)
    second = gradient(T, (first * first).sum(), x, False)
    return y, [t.detach().tolist() for t in (y, first, second)]


@pytest.mark.parametrize("data", [PLAIN, TIES], ids=["plain", "ties"])
@pytest.mark.parametrize("name", [*SAME_NAME, *OTHER_NAME])
def test_values_and_derivatives(name: str, data: list[list[float]]) -> None:
    function = SAME_NAME.get(name) or OTHER_NAME[name]
    ours, mine = derivatives(bulssi, function, data)
    theirs, expected = derivatives(torch, function, data)
    for left, right in zip(mine, expected, strict=True):
        torch.testing.assert_close(
            torch.tensor(left).double(), torch.tensor(right).double(), rtol=1e-5, atol=1e-7, equal_nan=True
        )
    if name in SAME_NAME:
        assert type(theirs.grad_fn).__name__ == ours.grad_fn.name()


@pytest.mark.parametrize("name", ["prod", "prod_dim", "cumprod", "norm", "amax", "nansum"])
def test_zeros(name: str) -> None:
    _, mine = derivatives(bulssi, SAME_NAME[name], ZEROS)
    _, expected = derivatives(torch, SAME_NAME[name], ZEROS)
    for left, right in zip(mine, expected, strict=True):
        torch.testing.assert_close(torch.tensor(left), torch.tensor(right), equal_nan=True)


SHAPES = [(3,), (4, 5), (2, 3, 4), (300, 7), (7, 300), (2, 1, 33, 65), (9000,), (100, 100), (3, 9000), (9000, 3)]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_dimension_of_every_shape(shape: tuple[int, ...]) -> None:
    theirs = torch.randn(*shape, generator=torch.Generator().manual_seed(3))
    ours = bulssi.tensor(theirs.tolist())
    choices = [(d,) for d in range(len(shape))] + [tuple(range(len(shape))), (0, len(shape) - 1)][: len(shape)]
    for name in ("sum", "mean", "amax", "amin", "logsumexp", "var", "std"):
        for dims in choices:
            dims = tuple(dict.fromkeys(dims))
            mine = torch.tensor(getattr(bulssi, name)(ours, dim=dims).tolist())
            torch.testing.assert_close(
                mine, getattr(torch, name)(theirs.double(), dim=dims).float(), rtol=1e-5, atol=1e-5, equal_nan=True
            )
    along = ("cumsum", "softmax", "log_softmax", "argmax", "argmin", "max", "min", "cummax", "logcumsumexp", "median")
    for name in along:
        for d in range(len(shape)):
            mine, expected = getattr(bulssi, name)(ours, d), getattr(torch, name)(theirs, d)
            if not isinstance(expected, tuple):
                mine, expected = (mine,), (expected,)
            for left, right in zip(mine, expected, strict=True):
                torch.testing.assert_close(torch.tensor(left.tolist()), right, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("transform", ["t()", "flip(0)", "[:, 1:3]", "expand(2, 4, 5)", "[::2]"])
def test_strides(transform: str) -> None:
    data = torch.arange(20.0).reshape(4, 5).sin().tolist()
    ours, theirs = bulssi.tensor(data), torch.tensor(data)
    accessor = transform if transform.startswith("[") else "." + transform
    ours, theirs = eval("x" + accessor, {"x": ours}), eval("x" + accessor, {"x": theirs})
    for d in range(theirs.dim()):
        for name in ("sum", "amax", "var"):
            mine = torch.tensor(getattr(ours, name)(d).tolist())
            torch.testing.assert_close(mine, getattr(theirs, name)(d))
    assert ours.sum().item() == pytest.approx(theirs.sum().item(), abs=1e-5)


def test_nan_counts_as_largest_and_smallest() -> None:
    x = bulssi.tensor([[1.0, float("nan"), 3.0], [4.0, 5.0, 6.0]])
    assert x.argmax(1).tolist() == [1, 2] and x.argmin(1).tolist() == [1, 0]
    assert bulssi.isnan(x.max()).item() and bulssi.isnan(x.min(1).values[0]).item()
    assert x.max(0).indices.tolist() == [1, 0, 1] and x.nansum().item() == 19.0


DTYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sum", "prod", "amax", "max", "all", "any", "cumsum", "count_nonzero", "aminmax"])
def test_dtypes(name: str, dtype: str) -> None:
    data = [[1, 0, 2], [3, 1, 1]]
    arguments = (1,) if name == "cumsum" else ()
    mine = getattr(bulssi, name)(bulssi.tensor(data, dtype=getattr(bulssi, dtype)), *arguments)
    expected = getattr(torch, name)(torch.tensor(data, dtype=getattr(torch, dtype)), *arguments)
    pairs = zip(mine, expected, strict=True) if name == "aminmax" else [(mine, expected)]
    for left, right in pairs:
        assert str(left.dtype) == str(right.dtype) and left.tolist() == right.tolist()


ERRORS = {
    "mean of integers": lambda T: T.tensor([1, 2]).mean(),
    "var of integers": lambda T: T.tensor([1, 2]).var(),
    "softmax of integers": lambda T: T.tensor([[1, 2]]).softmax(0),
    "amax of nothing": lambda T: T.zeros(2, 0).amax(),
    "amax of empty dim": lambda T: T.zeros(2, 0).amax(1),
    "max of empty dim": lambda T: T.zeros(2, 0).max(1),
    "argmax of nothing": lambda T: T.zeros(2, 0).argmax(),
    "argmax of bools": lambda T: T.tensor([True]).argmax(),
    "repeated dim": lambda T: T.zeros(2, 3).sum((0, 0)),
    "dim out of range": lambda T: T.zeros(2, 3).cumsum(5),
    "norm of integers": lambda T: T.tensor([1, 2]).norm(),
    "quantile out of range": lambda T: T.zeros(3).quantile(1.5),
    "median of bools": lambda T: T.tensor([True]).median(),
    "layer_norm of another shape": lambda T: T.layer_norm(T.zeros(2, 3), (4,)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: B017 - the kind and text are compared below
        ERRORS[name](torch)
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[name](bulssi)
    assert str(ours.value).split("\n")[0] == str(theirs.value).split("\n")[0]


@pytest.mark.parametrize("how", ["none", "mean", "sum"])
def test_cross_entropy(how: str) -> None:
    data = torch.randn(50, 33, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
    target = [i * 7 % 33 if i % 5 else -100 for i in range(50)]

    def loss(T: Any, x: Any) -> Any:
        t = T.tensor(target)
        if T is torch:
            return T.nn.functional.cross_entropy(x, t, reduction=how)
        return _core._cross_entropy(x, t, ["none", "mean", "sum"].index(how))

    (_, mine), (_, expected) = derivatives(bulssi, loss, data), derivatives(torch, loss, data)
    for left, right in zip(mine, expected, strict=True):
        torch.testing.assert_close(torch.tensor(left), torch.tensor(right), rtol=1e-5, atol=1e-7)
    with pytest.raises(IndexError, match="Target 40 is out of bounds"):
        _core._cross_entropy(bulssi.zeros(1, 33), bulssi.tensor([40]))
