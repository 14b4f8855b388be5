"""Linear algebra beside PyTorch: what the tests over the registry cannot say. Derivatives of functions of symmetric
matrices and of factors that are unique only up to signs, errors, layouts, empty batches, loading of the library."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bulssi

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(7)


def spd(*batch: int, n: int = 4) -> np.ndarray[Any, Any]:
    x = RNG.standard_normal((*batch, n, n))
    return x @ np.swapaxes(x, -1, -2) + n * np.eye(n)


def matrix(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape)


def ours(x: np.ndarray[Any, Any], dtype: str = "float64") -> bulssi.Tensor:
    return bulssi.from_numpy(x.copy()).to(getattr(bulssi, dtype))


def array(x: Any) -> np.ndarray[Any, Any]:
    return np.asarray(x.detach().tolist(), dtype=np.float64).reshape(tuple(x.shape))


def close(a: Any, b: Any, tolerance: float = 1e-9) -> None:
    assert tuple(a.shape) == tuple(b.shape)
    assert str(a.dtype) == str(b.dtype)
    np.testing.assert_allclose(array(a), array(b), rtol=tolerance, atol=tolerance)


def symmetric(a: Any) -> Any:
    return (a + a.mT) / 2


# Scalars that do not depend on the choice of signs and of bases.
INVARIANT: dict[str, tuple[Callable[..., Any], list[np.ndarray[Any, Any]]]] = {
    "cholesky": (lambda t, a: t.linalg.cholesky(symmetric(a)).sin().sum(), [spd(2)]),
    "cholesky upper": (lambda t, a: t.cholesky(symmetric(a), upper=True).sin().sum(), [spd()]),
    "cholesky_solve": (lambda t, b, a: t.cholesky_solve(b, a.tril()).sin().sum(), [matrix(4, 2), spd(2)]),
    "cholesky_solve upper": (lambda t, b, a: t.cholesky_solve(b, a.triu(), True).sin().sum(), [matrix(4, 2), spd()]),
    "cholesky_inverse": (lambda t, a: t.cholesky_inverse(a.tril()).sin().sum(), [spd(2)]),
    "cholesky_inverse upper": (lambda t, a: t.cholesky_inverse(a.triu(), upper=True).sin().sum(), [spd()]),
    "eigvalsh": (lambda t, a: t.linalg.eigvalsh(symmetric(a)).sin().sum(), [spd(3)]),
    "eigh": (
        lambda t, a: (t.linalg.eigh(a, "U")[1] ** 2).sin().sum() + t.linalg.eigh(a, "U")[0].cos().sum(),
        [symmetric(ours(spd(2))).numpy()],
    ),
    "svdvals": (lambda t, a: t.linalg.svdvals(a).sin().sum(), [matrix(2, 3, 5)]),
    "svd tall": (lambda t, a: sum((x**2).sin().sum() for x in t.linalg.svd(a, False)), [matrix(2, 5, 3)]),
    "svd wide": (lambda t, a: sum((x**2).sin().sum() for x in t.linalg.svd(a, full_matrices=False)), [matrix(3, 5)]),
    "svd square": (lambda t, a: sum((x**2).sin().sum() for x in t.svd(a)), [matrix(4, 4)]),
    "svd one side": (lambda t, a: (t.linalg.svd(a, False)[2] ** 2).sin().sum(), [matrix(5, 3)]),
    "qr tall": (lambda t, a: sum((x**2).sin().sum() for x in t.linalg.qr(a)), [matrix(2, 5, 3)]),
    "qr wide": (lambda t, a: sum((x**2).sin().sum() for x in t.linalg.qr(a)), [matrix(3, 5)]),
    "qr complete": (lambda t, a: (t.linalg.qr(a, "complete")[0] ** 2).sin().sum(), [matrix(3, 4)]),
    "pinv": (lambda t, a: t.linalg.pinv(a).sin().sum(), [matrix(2, 5, 3)]),
    "pinv hermitian": (lambda t, a: t.linalg.pinv(symmetric(a), hermitian=True).sin().sum(), [spd()]),
    "det": (lambda t, a: t.linalg.det(a), [matrix(4, 4)]),
    "logdet": (lambda t, a: t.logdet(a).sum(), [spd(2)]),
    "solve right": (lambda t, a, b: t.linalg.solve(a, b, left=False).sin().sum(), [spd(2), matrix(3, 4)]),
    "solve vector": (lambda t, a, b: t.linalg.solve(a, b).sin().sum(), [spd(2), matrix(2, 4)]),
    "lstsq": (lambda t, a, b: t.linalg.lstsq(a, b)[0].sin().sum(), [matrix(2, 5, 3), matrix(2, 5, 2)]),
    "lstsq residuals": (
        lambda t, a, b: t.linalg.lstsq(a, b, driver="gels")[1].sin().sum(),
        [matrix(5, 3), matrix(5, 2)],
    ),
    "lu tall": (lambda t, a: sum(x.sin().sum() for x in t.linalg.lu(a)[1:]), [matrix(2, 5, 3)]),
    "lu wide": (lambda t, a: sum(x.sin().sum() for x in t.linalg.lu(a)[1:]), [matrix(3, 5)]),
    "lu_factor tall": (lambda t, a: t.linalg.lu_factor(a)[0].sin().sum(), [matrix(2, 5, 3)]),
    "lu_factor wide": (lambda t, a: t.linalg.lu_factor(a)[0].sin().sum(), [matrix(3, 5)]),
    "norm nuc": (lambda t, a: t.linalg.norm(a, "nuc"), [matrix(3, 4)]),
    "norm 2": (lambda t, a: t.linalg.matrix_norm(a, 2).sum(), [matrix(2, 3, 4)]),
    "norm -2": (lambda t, a: t.linalg.matrix_norm(a, -2).sum(), [matrix(2, 3, 4)]),
    "cond": (lambda t, a: t.linalg.cond(a), [matrix(3, 3)]),
    "matrix_exp": (lambda t, a: t.linalg.matrix_exp(a).sin().sum(), [3 * matrix(3, 3)]),
    "matrix_power": (lambda t, a: t.linalg.matrix_power(a, -3).sin().sum(), [spd()]),
}


@pytest.mark.parametrize("name", INVARIANT)
def test_value_gradient_and_second_gradient(name: str) -> None:
    function, arrays = INVARIANT[name]

    def run(library: Any, leaves: list[Any]) -> list[Any]:
        value = function(library, *leaves)
        first = library.autograd.grad(value, leaves, create_graph=True)
        total = sum((g * g.detach().cos()).sum() for g in first)
        return [value, *first, *library.autograd.grad(total, leaves)]

    found = run(bulssi, [ours(x).requires_grad_() for x in arrays])
    expected = run(torch, [torch.tensor(x, requires_grad=True) for x in arrays])
    for a, b in zip(found, expected, strict=True):
        close(a, b, 1e-6 if name in ("cond", "norm -2") else 1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 6, 3), (2, 2, 3, 6), (70, 50)])
def test_factors_multiply_to_the_matrix(shape: tuple[int, ...], dtype: str) -> None:
    a = ours(matrix(*shape), dtype)
    tolerance = 2e-4 if dtype == "float32" else 1e-11
    q, r = bulssi.linalg.qr(a)
    close(q @ r, a, tolerance)
    u, s, vh = bulssi.linalg.svd(a, full_matrices=False)
    close((u * s.unsqueeze(-2)) @ vh, a, tolerance)
    assert (s[..., :-1] >= s[..., 1:]).all() and (s >= 0).all()
    p, low, up = bulssi.linalg.lu(a)
    close(p @ low @ up, a, tolerance)
    close(bulssi.lu_unpack(*bulssi.linalg.lu_factor(a)).L, low, tolerance)
    full = bulssi.linalg.qr(a, "complete").Q
    close(full.mT @ full, bulssi.eye(shape[-2], dtype=a.dtype).expand(full.shape), tolerance)
    gram = a @ a.mT
    values, vectors = bulssi.linalg.eigh(gram)
    close((vectors * values.unsqueeze(-2)) @ vectors.mT, gram, 50 * tolerance)
    h, tau = bulssi.geqrf(a)
    if shape[-2] >= shape[-1]:
        close(bulssi.linalg.householder_product(h, tau), q, tolerance)
    close(bulssi.ormqr(h, tau, gram), full @ gram, 50 * tolerance)


def test_any_layout_gives_the_same() -> None:
    a, b = spd(2, 3, n=5), matrix(2, 3, 5, 4)
    whole = bulssi.linalg.solve(ours(a), ours(b))
    for x in (ours(a.swapaxes(-1, -2)).mT, ours(a).flip(0).flip(0), ours(np.repeat(a, 2, -1))[..., ::2]):
        close(bulssi.linalg.solve(x, ours(b)), whole, 1e-12)
    lower = ours(np.tril(a))
    for x in (lower, lower.mT.contiguous().mT, ours(np.repeat(np.tril(a), 2, -2))[..., ::2, :]):
        close(bulssi.linalg.solve_triangular(x, ours(b), upper=False), lower.inverse() @ ours(b), 1e-9)
    one = ours(a[0, 0]).expand(2, 3, 5, 5)
    close(bulssi.linalg.solve(one, ours(b)), bulssi.linalg.solve(ours(a[0, 0]), ours(b)), 1e-12)
    close(bulssi.linalg.solve_triangular(one, ours(b), upper=True), bulssi.linalg.solve(one.triu(), ours(b)), 1e-9)


def first_line(action: Callable[[], Any]) -> tuple[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError) as caught:
            action()
    return type(caught.value).__name__.lstrip("_"), str(caught.value).split("\n")[0]


REFUSED = {
    "cholesky": lambda t: t.linalg.cholesky(t.stack([t.eye(3), -t.eye(3)])),
    "cholesky nan": lambda t: t.linalg.cholesky(t.full((2, 2), float("nan"))),
    "cholesky_ex": lambda t: t.linalg.cholesky_ex(-t.eye(3), check_errors=True),
    "not square": lambda t: t.linalg.cholesky(t.ones(2, 3)),
    "vector": lambda t: t.linalg.inv(t.ones(3)),
    "integers": lambda t: t.linalg.det(t.ones(3, 3, dtype=t.int64)),
    "half": lambda t: t.linalg.inv(t.ones(3, 3).half()),
    "inv": lambda t: t.linalg.inv(t.stack([t.eye(2), t.ones(2, 2)])),
    "solve": lambda t: t.linalg.solve(t.stack([t.eye(2), t.ones(2, 2)]), t.ones(2, 2)),
    "solve shapes": lambda t: t.linalg.solve(t.eye(3), t.ones(4, 1)),
    "solve types": lambda t: t.linalg.solve(t.eye(3), t.ones(3).double()),
    "lu_factor": lambda t: t.linalg.lu_factor(t.ones(2, 2)),
    "lu_factor_ex": lambda t: t.linalg.lu_factor_ex(t.ones(2, 2), check_errors=True),
    "no pivots": lambda t: t.linalg.lu(t.eye(2), pivot=False),
    "lu_solve pivots": lambda t: t.linalg.lu_solve(t.eye(2), t.tensor([3, 1], dtype=t.int32), t.eye(2)),
    "lu_solve int64": lambda t: t.linalg.lu_solve(t.eye(2), t.tensor([1, 2]), t.eye(2)),
    "lu_unpack": lambda t: t.lu_unpack(t.eye(2), t.tensor([3, 1], dtype=t.int32)),
    "eigh": lambda t: t.linalg.eigh(t.stack([t.eye(3), t.full((3, 3), float("nan"))])),
    "uplo": lambda t: t.linalg.eigh(t.eye(3), "x"),
    "svd": lambda t: t.linalg.svd(t.stack([t.eye(3), t.full((3, 3), float("nan"))])),
    "svd driver": lambda t: t.linalg.svd(t.eye(3), driver="gesvd"),
    "qr mode": lambda t: t.linalg.qr(t.eye(3), "x"),
    "qr gradient": lambda t: t.linalg.qr(t.eye(3, requires_grad=True), "r").R.sum().backward(),
    "qr complete gradient": lambda t: t.linalg.qr(t.ones(3, 2, requires_grad=True), "complete").R.sum().backward(),
    "geqrf gradient": lambda t: t.geqrf(t.eye(3, requires_grad=True))[0].sum().backward(),
    "lstsq driver": lambda t: t.linalg.lstsq(t.eye(3), t.ones(3), driver="x"),
    "lstsq rows": lambda t: t.linalg.lstsq(t.eye(3), t.ones(4, 1)),
    "lstsq rank": lambda t: t.linalg.lstsq(t.eye(3, 2) * t.tensor([1.0, 0.0]), t.ones(3, 1), driver="gels"),
    "matrix_norm": lambda t: t.linalg.matrix_norm(t.eye(3), 3),
    "matrix_norm name": lambda t: t.norm(t.eye(3), p="x"),
    "norm dims": lambda t: t.linalg.norm(t.ones(2, 3, 4), 2),
    "cond": lambda t: t.linalg.cond(t.eye(3), p="x"),
    "tensorinv": lambda t: t.linalg.tensorinv(t.ones(2, 3)),
    "tensorsolve": lambda t: t.linalg.tensorsolve(t.ones(2, 3), t.ones(2)),
    "householder": lambda t: t.linalg.householder_product(t.ones(2, 3), t.ones(2)),
    "ormqr": lambda t: t.ormqr(t.ones(3, 2), t.ones(2), t.ones(4, 2)),
    "ormqr of a number, rows": lambda t: t.ormqr(t.ones(30, 30), t.ones(()), t.ones(1, 2, 4, 4)),
    "cholesky_solve": lambda t: t.cholesky_solve(t.ones(3), t.eye(3)),
    "cholesky_inverse": lambda t: t.cholesky_inverse(t.zeros(3, 3)),
    "triangular_solve": lambda t: t.triangular_solve(t.ones(4, 1), t.eye(3)),
    "vander": lambda t: t.linalg.vander(t.ones(3), N=1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_begin_as_pytorchs(name: str) -> None:
    assert first_line(lambda: REFUSED[name](bulssi)) == first_line(lambda: REFUSED[name](torch))


def test_ormqr_of_a_number() -> None:
    for library in (bulssi, torch):
        with pytest.raises(IndexError, match="Dimension specified as -1 but tensor has no dimensions"):
            library.ormqr(library.ones(3, 3), library.ones(()), library.ones(3, 3))


EMPTY: list[Callable[[Any], Any]] = [
    lambda t: t.linalg.svd(t.ones(0, 3)),
    lambda t: t.linalg.svd(t.ones(3, 0), full_matrices=False),
    lambda t: t.linalg.qr(t.ones(3, 0), "complete"),
    lambda t: t.linalg.lu(t.ones(0, 2, 3)),
    lambda t: t.linalg.det(t.ones(2, 0, 0)),
    lambda t: t.linalg.slogdet(t.ones(0, 0)),
    lambda t: t.linalg.inv(t.ones(0, 2, 2)),
    lambda t: t.linalg.solve(t.ones(0, 0), t.ones(0, 3)),
    lambda t: t.linalg.eigh(t.ones(2, 0, 0)),
    lambda t: t.linalg.pinv(t.ones(0, 3)),
    lambda t: t.linalg.matrix_rank(t.ones(2, 0, 3)),
    lambda t: t.linalg.lstsq(t.ones(0, 3), t.ones(0, 2)),
    lambda t: t.linalg.cond(t.ones(2, 0, 0)),
    lambda t: t.linalg.matrix_exp(t.ones(0, 0)),
    lambda t: t.linalg.matrix_norm(t.ones(5, 3, 0), 2),
    lambda t: t.linalg.householder_product(t.ones(3, 2), t.ones(0)),
    lambda t: t.cholesky_solve(t.ones(0, 2), t.ones(0, 0)),
]


@pytest.mark.parametrize("case", range(len(EMPTY)))
def test_empty_matrices(case: int) -> None:
    found, expected = (EMPTY[case](library) for library in (bulssi, torch))
    many = isinstance(expected, tuple)
    for a, b in zip(found if many else [found], expected if many else [expected], strict=True):
        close(a, b)


def test_tolerances_may_be_tensors() -> None:
    x = matrix(4, 3)
    for name in ("matrix_rank", "pinv"):
        for limits in ({"atol": [0.1, 9.0]}, {"rtol": [0.9, 0.1]}, {"atol": [0.1, 9.0], "rtol": [0.9, 0.1]}):
            found = getattr(bulssi.linalg, name)(ours(x), **{k: bulssi.tensor(v).double() for k, v in limits.items()})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch resizes a result of its own
                expected = getattr(torch.linalg, name)(
                    torch.tensor(x), **{k: torch.tensor(v).double() for k, v in limits.items()}
                )
            close(found, expected)


def test_named_results_and_out() -> None:
    a = ours(matrix(3, 3))
    assert (
        repr(bulssi.linalg.qr(bulssi.eye(1))) == "torch.return_types.linalg_qr(\nQ=tensor([[1.]]),\nR=tensor([[1.]]))"
    )
    q, r = bulssi.empty(0, dtype=a.dtype), bulssi.empty(0, dtype=a.dtype)
    made = bulssi.linalg.qr(a, out=(q, r))
    assert made.Q is q and made.R is r
    close(q @ r, a)
    inverse = bulssi.empty(3, 3, dtype=a.dtype)
    assert bulssi.linalg.inv(a, out=inverse) is inverse
    close(inverse, a.inverse())
    with pytest.warns(UserWarning, match="torch.lu is deprecated"):
        packed, pivots, info = a.lu(get_infos=True)
    close(packed, bulssi.linalg.lu_factor(a).LU)
    assert (pivots.dtype, info.tolist()) == (bulssi.int32, 0)


def test_error_class_is_a_runtime_error_that_pickles() -> None:
    with pytest.raises(bulssi.linalg.LinAlgError) as caught:
        bulssi.linalg.inv(bulssi.zeros(2, 2))
    assert isinstance(caught.value, RuntimeError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is bulssi.linalg.LinAlgError and str(again) == str(caught.value)


def test_complex_results_are_absent_and_say_why() -> None:
    for name, instead in (("eig", "eigh"), ("eigvals", "eigvalsh")):
        with pytest.raises(AttributeError, match=f"complex.*use {instead}"):
            getattr(bulssi.linalg, name)


@pytest.mark.parametrize("seed", [0, 1])
def test_low_rank_factors_on_the_same_stream(seed: int) -> None:
    x = matrix(6, 2) @ matrix(2, 9)
    results = []
    for library, a in ((bulssi, ours(x)), (torch, torch.tensor(x))):
        library.manual_seed(seed)
        u, s, v = library.svd_lowrank(a, q=3)
        library.manual_seed(seed)
        principal = library.pca_lowrank(a, q=2)
        results.append(([(u * s) @ v.mT, s, principal[1], principal[2].abs()], library.rand(2).double()))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        close(a, b, 1e-8)
    close(results[0][1], results[1][1])
    with pytest.raises(ValueError, match="must be non-negative integer and not greater"):
        bulssi.pca_lowrank(ours(x), q=7)


LAZY = """
import sys
import bulssi as torch
assert not torch._core._blas_loaded()
torch.eye(3) @ torch.eye(3)
assert not torch._core._blas_loaded() and "bulssi.linalg" not in sys.modules
torch.linalg.qr(torch.eye(3))
assert torch._core._blas_loaded() and "scipy_openblas32" not in sys.modules
"""


def test_library_is_opened_at_first_use() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_missing_library_is_named() -> None:
    program = "import sys\nsys.modules['scipy_openblas32'] = None\nimport bulssi\nbulssi.eye(2).inverse()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "the package scipy-openblas32" in done.stderr


@pytest.mark.parametrize("shape", [(300, 5, 5), (3, 160, 160)])
def test_same_bits_for_one_and_two_threads(shape: tuple[int, ...]) -> None:
    a = ours(matrix(*shape), "float32")
    before = bulssi.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            bulssi.set_num_threads(threads)
            results = [*bulssi.linalg.svd(a), *bulssi.linalg.qr(a), bulssi.linalg.inv(a), *bulssi.linalg.eigh(a + a.mT)]
            found.append([x.tolist() for x in results])
    finally:
        bulssi.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize("dims", [[-1], [0, 0], [-1, -2]])
def test_tensorsolve_without_dimensions(dims: list[int]) -> None:
    a, b = bulssi.tensor(2.0), bulssi.tensor(6.0)
    if dims == [-1]:
        assert bulssi.linalg.tensorsolve(a, b, dims).item() == 3.0
    else:
        with pytest.raises((RuntimeError, IndexError)):
            bulssi.linalg.tensorsolve(a, b, dims)
