"""Matrix products of the core against NumPy: every type, transposition, edge size and instruction set; the same bits
for any number of threads; what must not be read is not read."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build.compile_core import BASE, compile_kernels, compile_object, isas, link, runnable_isas

np = pytest.importorskip("numpy")

CODES = {"uint8": 0, "int8": 1, "int16": 2, "int32": 3, "int64": 4, "float16": 5, "float32": 7, "float64": 8}
BFLOAT16 = 6
# Relative to the sum of magnitudes.
BOUND = {"float16": 1e-3, "float32": 2e-6, "float64": 1e-14}
SIZES = [
    (1, 1, 1), (2, 3, 4), (8, 8, 8), (5, 7, 3), (14, 32, 8), (15, 33, 17), (17, 33, 65), (64, 64, 64), (28, 56, 112),
    (1, 100, 50), (100, 1, 50), (1, 1000, 1000), (1000, 1, 1000), (3, 5, 9000), (20, 30, 40000),
    (32, 100, 1000), (32, 1000, 100), (100, 1000, 32), (129, 257, 300), (300, 260, 700), (2, 2048, 128), (400, 45, 90),
]  # fmt: skip


@pytest.fixture(scope="session")
def library_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gemm")
    objects = compile_kernels("core/cpu/isa/gemm.cpp", folder)
    for source in ("core/cpu/gemm.cpp", "core/cpu/blas.cpp", *BASE):
        objects.append(compile_object(source, folder / f"{Path(source).stem}.o", ["-O2", isas(folder)]))
    objects.append(compile_object("tests/build/gemm_test.cpp", folder / "test.o", ["-O2", isas(folder)]))
    return link(objects, folder / "gemm_test.so", shared=True)


class Library:
    def __init__(self, path: Path, isa: str) -> None:
        self.c = ctypes.CDLL(str(path))
        self.c.test_isa(isa.encode())

    def threads(self, n: int) -> None:
        self.c.test_threads(n)

    def gemm(self, code, ta, tb, m, n, k, alpha, a, b, beta, c, bias=None) -> None:
        """Matrices as stored, 2-d; the rows may be longer than what is used."""
        i, d, p = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
        failed = self.c.test_gemm(
            code, ta, tb, i(m), i(n), i(k), d(alpha), p(a.ctypes.data), i(a.shape[1]), p(b.ctypes.data), i(b.shape[1]),
            d(beta), p(c.ctypes.data), i(c.shape[1]), p(bias.ctypes.data if bias is not None else None))  # fmt: skip
        assert not failed


@pytest.fixture(scope="session", params=runnable_isas())
def library(request: pytest.FixtureRequest, library_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    # The choice is made once per loaded library, so each ISA loads its own copy.
    copy = tmp_path_factory.mktemp("isa") / f"gemm_{request.param}.so"
    copy.write_bytes(library_path.read_bytes())
    return Library(copy, request.param)


def random(rng, dtype: str, rows: int, cols: int):
    if dtype.startswith("float"):
        return rng.standard_normal((rows, cols)).astype(dtype)
    return rng.integers(-100, 100, (rows, cols)).astype(dtype)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("ta", [0, 1])
@pytest.mark.parametrize("tb", [0, 1])
def test_against_numpy(library: Library, dtype: str, ta: int, tb: int) -> None:
    rng = np.random.default_rng([CODES[dtype], ta, tb])
    floating = dtype.startswith("float")
    wide = np.float64 if floating else np.int64
    sizes = SIZES if floating else [s for s in SIZES if s[0] * s[1] * s[2] < 3e6]
    for index, (m, n, k) in enumerate(sizes):
        alpha, beta, with_bias = ((1, 0, False), (2, 3, False), (1, 0, True))[(index + ta + 2 * tb) % 3]
        pad = int(rng.integers(0, 3)) * 5
        a = random(rng, dtype, *((k, m + pad) if ta else (m, k + pad)))
        b = random(rng, dtype, *((n, k + pad) if tb else (k, n + pad)))
        before = random(rng, dtype, m, n + pad)
        bias = random(rng, dtype, 1, n)[0] if with_bias else None
        if floating and beta == 0:
            before[:, :n] = np.nan  # must not be read
        x = (a[:, :m].T if ta else a[:, :k]).astype(wide)
        y = (b[:, :k].T if tb else b[:, :n]).astype(wide)
        expected = alpha * (x @ y)
        magnitude = abs(alpha) * (abs(x) @ abs(y)) + 1
        if beta:
            expected = expected + beta * before[:, :n].astype(wide)
            magnitude = magnitude + abs(beta * before[:, :n].astype(wide))
        if bias is not None:
            expected = expected + bias.astype(wide)
            magnitude = magnitude + abs(bias.astype(wide))
        results = []
        for threads in (1, 2, 5):
            library.threads(threads)
            c = before.copy()
            library.gemm(CODES[dtype], ta, tb, m, n, k, alpha, a, b, beta, c, bias)
            results.append(c)
        case = f"{m} x {n} x {k}, alpha {alpha}, beta {beta}, bias {with_bias}"
        assert all(r.tobytes() == results[0].tobytes() for r in results), f"{case}: bits depend on the threads"
        result = results[0][:, :n]
        if floating:
            error = np.max(np.abs(result - expected) / magnitude)
            assert error <= BOUND[dtype], f"{case}: error {error}"
        else:
            assert np.array_equal(result, expected.astype(dtype)), case
        assert np.array_equal(results[0][:, n:], before[:, n:]), f"{case}: wrote beside the matrix"


def test_bfloat16_rounds_once(library: Library) -> None:
    rng = np.random.default_rng(0)
    m, n, k = 40, 70, 300
    a, b = ((rng.standard_normal(s).astype("f").view("u4") & 0xFFFF0000).view("f") for s in ((m, k), (k, n)))
    c = np.zeros((m, n), "u2")
    library.gemm(BFLOAT16, 0, 0, m, n, k, 1, (a.view("u4") >> 16).astype("u2"), (b.view("u4") >> 16).astype("u2"), 0, c)
    exact = a.astype("d") @ b.astype("d")
    result = (c.astype("u4") << 16).view("f")
    assert np.max(np.abs(result - exact) - np.abs(exact) * 2.0**-8) < 1e-4


@pytest.mark.parametrize("size", [(3, 3, 3), (70, 70, 70), (1, 200, 200), (130, 130, 300), (20, 100, 1000)])
@pytest.mark.parametrize("tb", [0, 1])
def test_nan_and_infinity_spread(library: Library, size: tuple[int, int, int], tb: int) -> None:
    m, n, k = size
    a, b = np.ones((m, k), "f"), np.ones((k, n), "f")
    a[0, 1], b[2, n - 1] = np.nan, np.inf
    a[m - 1, 2] = 0 if m > 1 else np.nan
    c = np.zeros((m, n), "f")
    with np.errstate(invalid="ignore"):
        expected = np.einsum("ik,kj->ij", a, b)
    library.gemm(CODES["float32"], 0, tb, m, n, k, 1, a, np.ascontiguousarray(b.T) if tb else b, 0, c)
    assert np.array_equal(c, expected, equal_nan=True)


def test_no_inner_dimension_and_zero_factors(library: Library) -> None:
    c = np.full((3, 4), np.nan, "f")
    empty = np.zeros((3, 1), "f")
    library.gemm(CODES["float32"], 0, 0, 3, 4, 0, 1, empty, empty, 0, c)
    assert np.array_equal(c, np.zeros((3, 4)))
    c[:] = 2
    bad = np.full((4, 4), np.nan, "f")
    library.gemm(CODES["float32"], 0, 0, 3, 4, 4, 0, bad, bad, 0.5, c)  # alpha == 0: a and b are not read
    assert np.array_equal(c, np.ones((3, 4)))


@pytest.mark.parametrize("batch,m,n,k", [(1, 4, 5, 6), (7, 33, 20, 40), (200, 8, 8, 8), (3, 200, 210, 220)])
@pytest.mark.parametrize("shared", ["none", "a", "b"])
def test_batched(library: Library, batch: int, m: int, n: int, k: int, shared: str) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((batch, m, k)), rng.standard_normal((batch, k, n))
    if shared == "a":
        a[:] = a[0]
    if shared == "b":
        b[:] = b[0]
    i, p, d = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double
    stride_a, stride_b = 0 if shared == "a" else m * k, 0 if shared == "b" else k * n
    results = []
    for threads in (1, 2):
        library.threads(threads)
        c = np.full((batch, m, n), np.nan)
        library.c.test_gemm_batched(
            CODES["float64"], i(batch), 0, 0, i(m), i(n), i(k), d(1), p(a.ctypes.data), i(k), i(stride_a),
            p(b.ctypes.data), i(n), i(stride_b), d(0), p(c.ctypes.data), i(n), i(m * n))  # fmt: skip
        results.append(c)
    np.testing.assert_allclose(results[0], a @ b, rtol=1e-12, atol=1e-12)
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("x_step,y_step", [(1, 1), (3, 1), (1, 4), (2, 5)])
@pytest.mark.parametrize("m,n", [(1, 1), (6, 9), (300, 401), (2000, 1500)])
def test_gemv(library: Library, trans: int, x_step: int, y_step: int, m: int, n: int) -> None:
    rng = np.random.default_rng(2)
    a = rng.standard_normal((m, n + 3))
    inner, outer = (m, n) if trans else (n, m)
    x, y = rng.standard_normal((inner, x_step)), rng.standard_normal((outer, y_step))
    expected = 2 * ((a[:, :n].T if trans else a[:, :n]) @ x[:, 0]) + 0.5 * y[:, 0]
    untouched = y[:, 1:].copy()
    i, p, d = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double
    library.c.test_gemv(
        CODES["float64"], trans, i(m), i(n), d(2), p(a.ctypes.data), i(n + 3), p(x.ctypes.data), i(x_step),
        d(0.5), p(y.ctypes.data), i(y_step))  # fmt: skip
    np.testing.assert_allclose(y[:, 0], expected, rtol=1e-10, atol=1e-10)
    assert np.array_equal(y[:, 1:], untouched)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int8"])
@pytest.mark.parametrize("n,a_step,b_step", [(0, 1, 1), (1, 1, 1), (77, 1, 1), (100003, 1, 1), (5000, 2, 3)])
def test_dot(library: Library, dtype: str, n: int, a_step: int, b_step: int) -> None:
    rng = np.random.default_rng(3)
    a, b = random(rng, dtype, max(n, 1), a_step), random(rng, dtype, max(n, 1), b_step)
    out = np.zeros(1, dtype)
    i, p = ctypes.c_int64, ctypes.c_void_p
    bits = set()
    for threads in (1, 2, 3):
        library.threads(threads)
        x, y, result = p(a.ctypes.data), p(b.ctypes.data), p(out.ctypes.data)
        library.c.test_dot(CODES[dtype], i(n), x, i(a_step), y, i(b_step), result)
        bits.add(out.tobytes())
    assert len(bits) == 1
    if dtype.startswith("float"):
        x, y = a[:n, 0].astype("d"), b[:n, 0].astype("d")
        assert abs(out[0] - x @ y) <= 4 * BOUND[dtype] * (abs(x) @ abs(y) + 1)
    else:
        assert out[0] == (a[:n, 0].astype("i8") @ b[:n, 0].astype("i8")).astype(dtype)


# In a process of its own: the library stays open once it has been opened.
BLAS = """
import ctypes, os, sys
import scipy_openblas32 as package
c = ctypes.CDLL(sys.argv[1])
c.test_blas_find.restype = c.test_blas_config.restype = ctypes.c_char_p
assert b"is not set" in c.test_blas_find(b"cblas_dgemm")
c.test_blas_path(b"/nowhere/libblas.so")
assert b"cannot open the BLAS library /nowhere/libblas.so" in c.test_blas_find(b"cblas_dgemm")
assert not c.test_blas_loaded()
folder = package.get_lib_dir()
name = next(n for n in os.listdir(folder) if n.startswith("libscipy_openblas") and not n.endswith(".a"))
c.test_blas_path(os.path.join(folder, name).encode())
assert not c.test_blas_loaded(), "setting the path must not open the library"
assert c.test_blas_find(b"dgesdd_") == b"" and c.test_blas_loaded()
assert b"has no function scipy_nonsense_" in c.test_blas_find(b"nonsense_")
assert b"OpenBLAS" in c.test_blas_config()
"""


def test_blas_is_opened_at_first_use(library_path: Path) -> None:
    pytest.importorskip("scipy_openblas32")
    done = subprocess.run([sys.executable, "-c", BLAS, str(library_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
