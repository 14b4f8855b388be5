"""Sorting, selecting, searching and counting, beside PyTorch."""

from __future__ import annotations

import math
import random

import pytest

import bulssi

torch = pytest.importorskip("torch")

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def text(values) -> str:
    """Lists as text, so that NaN equals NaN."""
    return repr(values)


def numbers(n: int, dtype: str, seed: int) -> list:
    rng = random.Random(seed)
    if dtype == "bool":
        return [rng.random() < 0.5 for _ in range(n)]
    if dtype.startswith(("int", "uint")):
        low = 0 if dtype == "uint8" else -100
        return [rng.randrange(low, 100) for _ in range(n)]
    special = [math.nan, math.inf, -math.inf, 0.0, -0.0]
    return [rng.choice(special) if rng.random() < 0.1 else rng.uniform(-3, 3) for _ in range(n)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 7, 100, 1023, 1024, 5000, 70000])
@pytest.mark.parametrize("descending", [False, True])
def test_sort(dtype: str, n: int, descending: bool) -> None:
    values = numbers(n, dtype, n)
    results = []
    for library in (torch, bulssi):
        x = library.tensor(values, dtype=getattr(library, dtype))
        s = x.sort(stable=True, descending=descending)
        results.append(text([s.values.tolist(), s.indices.tolist()]))
    assert results[0] == results[1]


@pytest.mark.parametrize("shape", [(3, 1), (6, 5, 4), (2, 40, 3), (1, 2000), (3, 40000)])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_dimensions(shape: tuple[int, ...], dim: int) -> None:
    values = numbers(math.prod(shape), "float32", 3)
    results = []
    for library in (torch, bulssi):
        x = library.tensor(values).reshape(shape).transpose(0, 1)
        s = x.sort(dim=dim, stable=True)
        k = x.shape[dim] // 2 + 1
        results.append(
            text(
                [
                    s.values.tolist(),
                    s.indices.tolist(),
                    # Which of 0.0 and -0.0 comes first is nobody's promise here.
                    (x.topk(k, dim).values + 0.0).tolist(),
                    (x.topk(k, dim, largest=False).values + 0.0).tolist(),
                    (x.kthvalue(k, dim).values + 0.0).tolist(),
                ]
            )
        )
    assert results[0] == results[1]


@pytest.mark.parametrize("n", [5, 5000, 600000])
@pytest.mark.parametrize("k", [1, 5])
def test_topk_is_the_head_of_sort(n: int, k: int) -> None:
    rng = random.Random(n)
    x = bulssi.tensor([rng.gauss(0, 1) for _ in range(n)])
    for largest in (True, False):
        top = x.topk(k, largest=largest)
        head = x.sort(descending=largest, stable=True)
        assert top.values.tolist() == head.values[:k].tolist()
        assert top.indices.tolist() == head.indices[:k].tolist()
    assert x.kthvalue(k).values.item() == x.sort().values[k - 1].item()


@pytest.mark.parametrize(
    "code",
    [
        "x.unique(return_inverse=True, return_counts=True)",
        "x.unique()",
        "i.reshape(4, 5).unique(dim=0, return_inverse=True, return_counts=True)",
        "i.reshape(4, 5).unique(dim=1, return_inverse=True, return_counts=True)",
        "T.tensor([[1, 2], [1, 2], [0, 1]]).unique(dim=0, return_inverse=True, return_counts=True)",
        "i.unique_consecutive(return_inverse=True, return_counts=True)",
        "T.unique(T.tensor(5), return_inverse=True, return_counts=True)",
        "T.unique(T.zeros(0), return_inverse=True, return_counts=True)",
        "T.searchsorted(i.sort().values, i)",
        "T.searchsorted(x.sort().values, x, right=True)",
        "T.searchsorted(x.reshape(4, 5).sort().values, x.reshape(4, 5), side='right')",
        "T.searchsorted(i, i, sorter=i.argsort())",
        "T.searchsorted(T.tensor([1, 2, 3]), 2.5)",
        "T.bucketize(x, T.tensor([-1.0, 0.0, 1.0]), out_int32=True)",
        "T.bucketize(2, T.tensor([1, 2, 3]), right=True)",
        "T.bincount(i)",
        "T.bincount(i, x.nan_to_num(0, 0, 0), minlength=9)",
        "T.histc(y, 7)",
        "T.histc(y, 5, min=-1, max=1)",
        "T.histc(T.tensor([1.0, 1.0]), 4)",
        "T.histogram(y, 6)",
        "T.histogram(y, 4, range=(-1.0, 1.5), density=True, weight=y * y)",
        "T.histogram(y, T.tensor([-2.0, -0.5, 0.0, 3.0]))",
        "T.isin(i, T.tensor([1, 3]))",
        "T.isin(x, x[:5], invert=True)",
        "T.isin(i, 2)",
        "T.isin(1, i)",
        "T.tril_indices(3, 4, 1)",
        "T.triu_indices(4, 3, -1, dtype=T.int32)",
        "T.combinations(i[:4])",
        "T.combinations(i[:4], 3, with_replacement=True)",
        "T.combinations(i[:2], 0)",
        "T.cartesian_prod(i[:2], i[:3])",
        "T.msort(x.reshape(4, 5))",
        "T.argsort(i.reshape(4, 5), dim=0, stable=True)",
    ],
)
def test_search_and_count(code: str) -> None:
    results = []
    for library in (torch, bulssi):
        y = library.tensor(numbers(20, "float32", 5)).nan_to_num(0.25, 1.5, -1.75)
        names = {
            "T": library,
            "x": library.tensor(numbers(20, "float32", 4)),
            "y": y,
            "i": library.tensor([3, 1, 1, 4, 1, 5, 5, 2, 6, 5, 3, 5, 0, 0, 7, 3, 2, 3, 3, 4]),
        }
        found = eval(code, names)
        found = found if isinstance(found, tuple) else (found,)
        results.append(text([[t.tolist(), str(t.dtype), list(t.shape)] for t in found]))
    if "hist" in code:
        assert len(results[0]) and eval(results[1].replace("nan", "None"))[0][0] == pytest.approx(
            eval(results[0].replace("nan", "None"))[0][0], rel=1e-5
        )
    else:
        assert results[0] == results[1]


def test_gradients() -> None:
    x = bulssi.tensor([[3.0, 1.0, 2.0], [0.5, 4.0, -1.0]], dtype=bulssi.float64, requires_grad=True)
    check, double = bulssi.autograd.gradcheck, bulssi.autograd.gradgradcheck
    for function in (
        lambda t: t.sort(1).values,
        lambda t: t.sort(0, descending=True).values,
        lambda t: t.topk(2).values,
        lambda t: t.kthvalue(2, 0).values,
        lambda t: bulssi.msort(t),
    ):
        assert check(function, (x,)) and double(function, (x,))


@pytest.mark.parametrize("fill", ["different", "ties", "sorted", "reversed", "nan", "mostly nan", "zeros"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "float16", "uint8"])
def test_first_of_a_row(dtype: str, fill: str) -> None:
    """topk picks what a stable sort puts first, however it skips the rest; rows of one part and of several."""
    rng = random.Random(fill)
    for n, k in [(256, 10), (300, 32), (1000, 1), (1025, 10), (1025, 33), (5000, 700), (600_000, 5)]:
        if n > 10_000 and (dtype != "float32" or fill not in ("different", "ties")):
            continue
        values = [float(rng.randrange(256)) for _ in range(n)]
        if fill == "different" and dtype.startswith("float"):
            values = [rng.gauss(0, 1) for _ in range(n)]
        elif fill == "ties":
            values = [v % 3 for v in values]
        elif fill in ("sorted", "reversed"):
            values.sort(reverse=fill == "reversed")
        elif "nan" in fill and dtype.startswith("float"):
            share = 0.99 if fill == "mostly nan" else 0.1
            values = [math.nan if rng.random() < share else v for v in values]
        elif fill == "zeros":
            values = [rng.choice([0.0, -0.0]) for _ in range(n)]
        x = bulssi.tensor(values).to(getattr(bulssi, dtype))
        for largest in (True, False):
            places = x.topk(k, largest=largest).indices.tolist()
            assert places == x.argsort(descending=largest, stable=True)[:k].tolist(), (n, k, largest)
