"""Matrix products beside PyTorch: values, gradients of both orders, layouts, dtypes and errors."""

from __future__ import annotations

from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")


def numbers(*shape: int, seed: int = 0, dtype: Any = None) -> Any:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=dtype or torch.float64)


def ours(t: Any) -> Any:
    made = bulssi.tensor(t.detach().flatten().tolist(), dtype=getattr(bulssi, str(t.dtype)[6:]))
    return made.reshape(tuple(t.shape))


def same(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    assert tuple(a.shape) == tuple(b.shape) and str(a.dtype)[6:] == str(b.dtype)[6:]
    x = torch.tensor(a.detach().flatten().tolist(), dtype=torch.float64)
    assert torch.allclose(x, b.detach().flatten().double(), rtol=tolerance, atol=tolerance)


PRODUCTS = [
    ("mm", [(3, 4), (4, 5)]),
    ("bmm", [(2, 3, 4), (2, 4, 5)]),
    ("mv", [(3, 4), (4,)]),
    ("dot", [(7,), (7,)]),
    ("vdot", [(7,), (7,)]),
    ("outer", [(3,), (4,)]),
    ("matmul", [(3,), (3,)]),
    ("matmul", [(3,), (3, 4)]),
    ("matmul", [(3,), (2, 3, 4)]),
    ("matmul", [(2, 3, 4), (4,)]),
    ("matmul", [(2, 3, 4), (4, 5)]),
    ("matmul", [(3, 4), (2, 4, 5)]),
    ("matmul", [(2, 1, 3, 4), (5, 4, 2)]),
    ("matmul", [(2, 5, 3, 4), (2, 5, 4, 2)]),
    ("matmul", [(2, 3, 0), (0, 4)]),
    ("addmm", [(3, 5), (3, 4), (4, 5)]),
    ("addmm", [(5,), (3, 4), (4, 5)]),
    ("addmm", [(), (3, 4), (4, 5)]),
    ("addmv", [(3,), (3, 4), (4,)]),
    ("addr", [(3, 4), (3,), (4,)]),
    ("baddbmm", [(3, 5), (2, 3, 4), (2, 4, 5)]),
    ("addbmm", [(3, 5), (2, 3, 4), (2, 4, 5)]),
]


def derivatives(lib: Any, f: Any, leaves: list[Any]) -> list[Any]:
    """The value, the gradients of the sum of its cubes, and the gradients of those."""
    y = f(*leaves)
    first = lib.autograd.grad((y * y * y).sum(), leaves, create_graph=True)
    second = lib.autograd.grad(sum((g * g).sum() for g in first), leaves)
    return [y, *first, *second]


@pytest.mark.parametrize(("name", "shapes"), PRODUCTS)
def test_values_and_derivatives(name: str, shapes: list[tuple[int, ...]]) -> None:
    data = [numbers(*s, seed=i) for i, s in enumerate(shapes)]
    theirs = derivatives(torch, getattr(torch, name), [t.clone().requires_grad_() for t in data])
    made = derivatives(bulssi, getattr(bulssi, name), [ours(t).requires_grad_() for t in data])
    for a, b in zip(made, theirs, strict=True):
        same(a, b)


@pytest.mark.parametrize("shapes", [((3, 4), (5, 4), (5,)), ((2, 3, 4), (5, 4), (5,)), ((4,), (5, 4), (5,))])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shapes: tuple[tuple[int, ...], ...], bias: bool) -> None:
    data = [numbers(*s, seed=i) for i, s in enumerate(shapes)][: 3 if bias else 2]
    theirs = derivatives(torch, torch.nn.functional.linear, [t.clone().requires_grad_() for t in data])
    made = derivatives(bulssi, bulssi.nn.functional.linear, [ours(t).requires_grad_() for t in data])
    for a, b in zip(made, theirs, strict=True):
        same(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8"])
@pytest.mark.parametrize("size", [1, 2, 5, 17, 64, 130])
def test_dtypes_and_layouts(dtype: str, size: int) -> None:
    kind = getattr(torch, dtype)
    a, b = (numbers(size, size, seed=i).mul(3).to(kind) for i in range(2))
    tolerance = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-1}.get(dtype, 0 if "int" in dtype else 1e-12)
    for turn in (lambda t: t, lambda t: t.T, lambda t: t[:, ::2], lambda t: t[::2].T):
        x, y = turn(a), turn(b).T
        same(turn(ours(a)) @ turn(ours(b)).T, x @ y, tolerance * size)


# Depths of more than one block, rows that are whole pages apart, and widths that end within a panel of columns.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "n", "k"), [(115, 47, 300), (200, 100, 1024), (513, 130, 512), (113, 64, 1300)])
def test_large_products(m: int, n: int, k: int, dtype: str) -> None:
    pytest.importorskip("numpy")
    data = [numbers(*s, seed=i, dtype=getattr(torch, dtype)) for i, s in enumerate([(m, k), (k, n), (n,)])]
    expected = 0.5 * data[0].double() @ data[1].double() + 2.0 * data[2].double()
    a, b, row = (bulssi.from_numpy(t.numpy()) for t in data)
    bits = []
    threads = bulssi.get_num_threads()
    for count in (1, 2, 3):
        bulssi.set_num_threads(count)
        bits.append(bulssi.addmm(row, a, b, beta=2.0, alpha=0.5).numpy())
    bulssi.set_num_threads(threads)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    assert torch.allclose(torch.from_numpy(bits[0]).double(), expected, rtol=tolerance, atol=tolerance * k**0.5)
    assert all((bits[0] == other).all() for other in bits[1:])


def test_forms_write_where_they_should() -> None:
    a, b, c = numbers(3, 4), numbers(4, 5, seed=1), numbers(3, 5, seed=2)
    out = bulssi.empty(0, dtype=bulssi.float64)
    assert bulssi.mm(ours(a), ours(b), out=out) is out
    same(out, a @ b)
    x = ours(c)
    x.addmm_(ours(a), ours(b), beta=2, alpha=0.5)
    same(x, torch.addmm(c, a, b, beta=2, alpha=0.5))
    nan = torch.full((3, 5), float("nan"), dtype=torch.float64)
    same(bulssi.addmm(ours(nan), ours(a), ours(b), beta=0), a @ b)


ERRORS = [
    ("mm", [(2, 3), (4, 5)]),
    ("mm", [(2, 3), (3,)]),
    ("mv", [(2, 3), (4,)]),
    ("dot", [(3,), (4,)]),
    ("bmm", [(2, 3, 4), (2, 5, 4)]),
    ("matmul", [(), (3,)]),
    ("matmul", [(2, 3, 4), (3, 4, 5)]),
    ("matmul", [(2, 3, 4), (3, 5)]),
    ("addmm", [(2, 3), (2, 3), (3, 5)]),
    ("addmv", [(3,), (2, 3), (3,)]),
    ("addr", [(2, 3), (2, 1), (3,)]),
    ("baddbmm", [(2, 3, 6), (2, 3, 4), (2, 4, 5)]),
]


@pytest.mark.parametrize(("name", "shapes"), ERRORS)
def test_errors_begin_as_pytorch_does(name: str, shapes: list[tuple[int, ...]]) -> None:
    data = [numbers(*s, seed=i) for i, s in enumerate(shapes)]
    with pytest.raises(RuntimeError) as theirs:
        getattr(torch, name)(*data)
    with pytest.raises(RuntimeError) as made:
        getattr(bulssi, name)(*[ours(t) for t in data])
    assert str(made.value).split("\n")[0] == str(theirs.value).split("\n")[0]


def test_mixed_dtypes_are_refused() -> None:
    with pytest.raises(RuntimeError, match="expected m1 and m2 to have the same dtype, but got: float != double"):
        bulssi.ones(2, 2) @ bulssi.ones(2, 2, dtype=bulssi.float64)


CONTRACTIONS = [
    ("ij,jk->ik", [(3, 4), (4, 5)]),
    ("ij,jk", [(3, 4), (4, 5)]),
    ("bij,bjk->bki", [(2, 3, 4), (2, 4, 5)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("...i,...i->...", [(2, 3, 4), (3, 4)]),
    ("i,j,k->kij", [(2,), (3,), (4,)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
    ("b...i,ij->b...j", [(2, 3, 1, 4), (4, 5)]),
    ("ij->", [(3, 4)]),
    ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
    ("ij,kj->", [(2, 1), (3, 4)]),
]


@pytest.mark.parametrize(("equation", "shapes"), CONTRACTIONS)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    data = [numbers(*s, seed=i) for i, s in enumerate(shapes)]
    theirs = derivatives(torch, lambda *a: torch.einsum(equation, *a), [t.clone().requires_grad_() for t in data])
    made = derivatives(bulssi, lambda *a: bulssi.einsum(equation, *a), [ours(t).requires_grad_() for t in data])
    for a, b in zip(made, theirs, strict=True):
        same(a, b)


def test_einsum_takes_lists_of_numbers() -> None:
    a, b = numbers(2, 3, 4), numbers(2, 4, 5, seed=1)
    same(bulssi.einsum(ours(a), [0, 1, 30], ours(b), [0, 30, 2], [0, 2, 1]), torch.einsum("bij,bjk->bki", a, b))
    same(bulssi.einsum(ours(a), [..., 1, 30], ours(b), [..., 30, 2]), torch.einsum("...ij,...jk", a, b))


@pytest.mark.parametrize(
    "equation", ["ij,jk->il", "ij", "ijk,jk", "i1,jk", "i..j,jk", "...i...,jk", "ij,jk->ii", "ij,jk,kl"]
)
def test_einsum_errors(equation: str) -> None:
    data = [numbers(2, 3), numbers(3, 4)]
    with pytest.raises(RuntimeError) as theirs:
        torch.einsum(equation, *data)
    with pytest.raises(RuntimeError) as made:
        bulssi.einsum(equation, *[ours(t) for t in data])
    assert str(made.value).split("\n")[0] == str(theirs.value).split("\n")[0]


def test_contractions_and_chains() -> None:
    a, b = numbers(2, 3, 4), numbers(4, 3, 5, seed=1)
    same(bulssi.tensordot(ours(a), ours(b), dims=([1, 2], [1, 0])), torch.tensordot(a, b, dims=([1, 2], [1, 0])))
    same(bulssi.tensordot(ours(a), ours(b), 1), torch.tensordot(a, b, 1))
    same(bulssi.inner(ours(a), ours(a[0])), torch.inner(a, a[0]))
    same(bulssi.kron(ours(a), ours(b[0])), torch.kron(a, b[0]))
    same(bulssi.trace(ours(a[0])), torch.trace(a[0]))
    chain = [numbers(4, seed=1), numbers(4, 7), numbers(7, 2), numbers(2, 9), numbers(9, seed=2)]
    same(bulssi.linalg.multi_dot([ours(m) for m in chain]), torch.linalg.multi_dot(chain))
    same(bulssi.matrix_power(ours(a[:, :2, :2]), 5), torch.matrix_power(a[:, :2, :2], 5))
    same(bulssi.linalg.cross(ours(a[..., :3]), ours(a[..., 1:])), torch.linalg.cross(a[..., :3], a[..., 1:]))
