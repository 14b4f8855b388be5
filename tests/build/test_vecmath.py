"""vec.h and vecmath.h, built for every ISA that this machine runs: edge values, and errors against mpmath.

The bounds are those that the functions' own comments state."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

np = pytest.importorskip("numpy")
mp = pytest.importorskip("mpmath")
special = pytest.importorskip("scipy.special")

ROOT = Path(__file__).resolve().parents[2]
CPU = ROOT / "core" / "cpu"
KERNEL_FLAGS = ["-std=c++20", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
SINGLE, DOUBLE = np.float32, np.float64
NEEDED = {
    "v2": {"ssse3", "sse4_1", "sse4_2", "popcnt", "cx16"},
    "v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


def runnable_isas() -> list[str]:
    if platform.machine() not in ("x86_64", "AMD64"):
        return ["native"]
    flags = set(re.findall(r"\w+", re.search(r"flags.*", Path("/proc/cpuinfo").read_text()).group()))
    found = []
    for name, needed in NEEDED.items():
        if not needed <= flags:
            break
        found.append(name)
    return found or ["v2"]


ISAS = runnable_isas()
BEST = ISAS[-1]  # tested with all points, the others with a sample


class Library:
    """One build of the test sources."""

    def __init__(self, isa: str, folder: Path) -> None:
        compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
        if not compiler:
            pytest.skip("no C++ compiler")
        flags = [*KERNEL_FLAGS, "-fPIC", "-Wall", "-Wextra", "-Werror", f"-DBULSSI_ISA={isa}", f"-I{ROOT}"]
        if isa != "native":
            flags.append(f"-march=x86-64-{isa}")
        self.object = folder / "vecmath_test.o"
        tests = ROOT / "tests" / "build"
        subprocess.run([compiler, *flags, "-c", "-o", self.object, tests / "vecmath_test.cpp"], check=True)
        built = folder / f"libvecmath_{isa}.so"
        sources = [self.object, tests / "vec_test.cpp", CPU / "special.cpp"]
        subprocess.run([compiler, *flags, "-O1", "-shared", "-o", built, *sources], check=True)
        self.isa = isa
        self.lib = ctypes.CDLL(str(built))
        self.lib.function_name.restype = ctypes.c_char_p
        self.lib.check_vec.restype = ctypes.c_int64
        self.index: dict[str, int] = {}
        while name := self.lib.function_name(len(self.index)):
            self.index[name.decode()] = len(self.index)

    def __call__(self, name: str, *arguments: np.ndarray, kind: str = "") -> np.ndarray:
        arrays = [np.ascontiguousarray(a) for a in arguments]
        out = np.empty_like(arrays[0])
        kind = kind or ("single" if out.dtype == SINGLE else "double")
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (arrays * 2)[:2]]
        call = getattr(self.lib, "apply_" + kind)
        call(self.index[name], ctypes.c_int64(out.size), *pointers, ctypes.c_void_p(out.ctypes.data))
        return out


@pytest.fixture(scope="module", params=ISAS)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    yield Library(request.param, tmp_path_factory.mktemp(request.param))


def stated_bounds() -> dict[str, float]:
    """The largest error each function's comment allows, in ULP: the last bound stated before its definition."""
    bounds: dict[str, float] = {}
    for path in [CPU / "special.h", *sorted(CPU.glob("vecmath_*.h"))]:
        current, comment = None, ""
        for line in path.read_text().splitlines():
            if line.lstrip().startswith("//"):
                comment += line
                continue
            if stated := re.findall(r"(\d+(?:\.\d+)?) (?:ULP|eps)", comment):
                current = float(stated[0])
            comment = ""
            if (
                found := re.match(r"(?:BULSSI_INLINE|inline) Vec<T> (\w+)\(", line) or re.match(r"double (\w+)\(", line)
            ) and (current is not None):
                bounds.setdefault(found[1], current)
    return bounds


# ---- the truth ----
def inverse_erfc(q: mp.mpf) -> mp.mpf:
    if q > 0.5:
        return mp.erfinv(1 - q)
    y = mp.sqrt(-mp.log(q))
    for _ in range(100):
        e = mp.erfc(y)
        step = (mp.log(e) - mp.log(q)) / (2 / mp.sqrt(mp.pi) * mp.exp(-y * y) / e)
        y += step
        if abs(step) < mp.mpf(10) ** -30:
            break
    return y


def inverse_normal(p: mp.mpf) -> mp.mpf:
    if abs(p - 0.5) < 0.25:
        return mp.sqrt(2) * mp.erfinv(2 * p - 1)
    return -mp.sqrt(2) * inverse_erfc(2 * p) if p < 0.5 else mp.sqrt(2) * inverse_erfc(2 * (1 - p))


def inverse_erf(x: mp.mpf) -> mp.mpf:
    return mp.erfinv(x) if abs(x) < 0.5 else mp.sign(x) * inverse_erfc(1 - abs(x))


def hurwitz(x: mp.mpf, q: mp.mpf) -> mp.mpf:
    with mp.workdps(60):  # mpmath loses many digits here
        return mp.zeta(x, q)


class Random:
    def __init__(self, dtype: type, count: int) -> None:
        self.rng, self.n, self.single = np.random.default_rng(3), count, dtype is SINGLE
        self.limit = 38 if self.single else 307

    def uniform(self, low: float, high: float) -> np.ndarray:
        return self.rng.uniform(low, high, self.n)

    def magnitude(self, low: float, high: float) -> np.ndarray:
        return 10.0 ** self.rng.uniform(low, high, self.n)

    def signs(self) -> np.ndarray:
        return self.rng.choice([-1.0, 1.0], self.n)

    def everything(self) -> np.ndarray:
        wide = self.magnitude(-self.limit - (6 if self.single else 15), self.limit) * self.signs()
        return np.concatenate([wide, self.rng.normal(size=self.n), self.uniform(-3, 3)])

    def positive(self) -> np.ndarray:
        return np.concatenate([abs(self.everything()), 1 + self.rng.normal(size=self.n) * 0.01])

    def pick(self, single: float, double: float) -> float:
        return single if self.single else double

    def trigonometric(self) -> np.ndarray:
        quarter_turns = np.rint(self.uniform(-2000, 2000)) * np.pi / 2
        return np.concatenate([self.everything(), self.uniform(-10, 10), self.uniform(-1e5, 1e5), quarter_turns])


class Case(NamedTuple):
    truth: Callable[..., mp.mpf]
    points: Callable[[Random], np.ndarray | tuple[np.ndarray, ...]]
    fast: Callable[..., np.ndarray]  # a double-precision oracle for many float points
    absolute: float = 0.0  # values below this size have its ULP: near zeros of the function


def logistic(x: np.ndarray) -> np.ndarray:  # scipy.special.expit underflows too early
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def keep_sign(f: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """f with the sign of a zero argument kept, as odd functions do."""
    return lambda x: np.where(x == 0, x, f(x))


def python_remainder(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Python's and PyTorch's: NumPy gives a zero remainder the divisor's sign."""
    m = np.fmod(x, y)
    return np.where((m != 0) & ((m < 0) != (y < 0)), m + y, m)


CASES: dict[str, Case] = {
    "exp": Case(mp.exp, lambda r: np.r_[r.uniform(-104, 89), r.uniform(*r.pick(((-5, 5)), (-745, 710)))], np.exp),
    "exp2": Case(lambda x: mp.mpf(2) ** x, lambda r: np.r_[r.uniform(-149, 128), r.uniform(-1, 1)], np.exp2),
    "expm1": Case(mp.expm1, lambda r: np.r_[r.uniform(-20, 88), r.uniform(-1, 1), r.magnitude(-30, 0)], np.expm1),
    "log": Case(lambda x: mp.log(x), Random.positive, np.log),
    "log2": Case(lambda x: mp.log(x) / mp.log(2), Random.positive, np.log2),
    "log10": Case(mp.log10, Random.positive, np.log10),
    "log1p": Case(mp.log1p, lambda r: np.r_[r.positive(), -r.magnitude(-30, 0), r.uniform(-0.99, 2)], np.log1p),
    "sigmoid": Case(lambda x: 1 / (1 + mp.exp(-x)), lambda r: r.uniform(-100, 40), logistic),
    "softplus": Case(
        lambda x: mp.log1p(mp.exp(x)),
        lambda r: np.r_[r.uniform(-80, 40), r.uniform(-3, 3)],
        lambda x: np.logaddexp(x, 0),
    ),
    "log_sigmoid": Case(
        lambda x: -mp.log1p(mp.exp(-x)), lambda r: np.r_[r.uniform(-80, 40), r.uniform(-3, 3)], special.log_expit
    ),
    "sinh": Case(mp.sinh, lambda r: np.r_[r.uniform(-89, 89), r.uniform(-2, 2), r.magnitude(-30, 0)], np.sinh),
    "cosh": Case(mp.cosh, lambda r: np.r_[r.uniform(-89, 89), r.uniform(-2, 2)], np.cosh),
    "tanh": Case(mp.tanh, lambda r: np.r_[r.uniform(-20, 20), r.uniform(-1, 1), r.magnitude(-30, 0)], np.tanh),
    "asinh": Case(mp.asinh, Random.everything, np.arcsinh),
    "acosh": Case(mp.acosh, lambda r: np.r_[1 + abs(r.everything()), 1 + r.magnitude(r.pick(-6, -15), 0)], np.arccosh),
    "atanh": Case(mp.atanh, lambda r: np.r_[r.uniform(-0.999, 0.999), r.magnitude(-30, -1e-3)], np.arctanh),
    "cbrt": Case(lambda x: mp.sign(x) * mp.cbrt(abs(x)), Random.everything, np.cbrt),
    "sin": Case(mp.sin, Random.trigonometric, np.sin),
    "cos": Case(mp.cos, Random.trigonometric, np.cos),
    "tan": Case(mp.tan, Random.trigonometric, np.tan),
    "sinc": Case(mp.sincpi, lambda r: np.r_[r.uniform(-20, 20), r.uniform(-1, 1)], None),
    "asin": Case(mp.asin, lambda r: np.r_[r.uniform(-1, 1), r.magnitude(-20, 0)], np.arcsin),
    "acos": Case(mp.acos, lambda r: np.r_[r.uniform(-1, 1), 1 - r.magnitude(r.pick(-6, -15), 0)], np.arccos),
    "atan": Case(mp.atan, Random.everything, np.arctan),
    "erf": Case(mp.erf, lambda r: np.r_[r.uniform(-6, 6), r.uniform(-1.2, 1.2), r.magnitude(-30, 0)], special.erf),
    "erfc": Case(mp.erfc, lambda r: np.r_[r.uniform(-6, 9), r.uniform(*r.pick((0, 1), (0, 26)))], special.erfc),
    "erfcx": Case(
        lambda x: mp.exp(x * x) * mp.erfc(x), lambda r: np.r_[r.uniform(-9, 100), r.uniform(-2, 2)], special.erfcx
    ),
    "ndtr": Case(mp.ncdf, lambda r: np.r_[r.uniform(-12, 8), r.uniform(*r.pick((-2, 2), (-37, 0)))], special.ndtr),
    "log_ndtr": Case(
        lambda x: mp.log(mp.ncdf(x)), lambda r: np.r_[r.uniform(-12, 5), -r.magnitude(0, 3)], special.log_ndtr
    ),
    "erfinv": Case(
        inverse_erf, lambda r: np.r_[r.uniform(-1, 1), 1 - r.magnitude(r.pick(-7, -15), 0)], keep_sign(special.erfinv)
    ),
    "ndtri": Case(inverse_normal, lambda r: np.r_[r.uniform(0, 1), r.magnitude(r.pick(-37, -300), 0)], special.ndtri),
    "lgamma": Case(
        lambda x: mp.loggamma(x).real,
        lambda r: np.r_[r.uniform(0, 20), r.magnitude(-10, 20), r.uniform(-9, 0)],
        special.gammaln,
        1.0,
    ),
    "digamma": Case(
        mp.digamma, lambda r: np.r_[r.uniform(0, 20), r.magnitude(-10, 20), r.uniform(-9, 0)], special.psi, 1.0
    ),
    "tgamma": Case(mp.gamma, lambda r: np.r_[r.uniform(0, 30), r.uniform(-9, 0)], special.gamma),
    "entr": Case(lambda x: -x * mp.log(x), lambda r: np.r_[r.uniform(0, 2), r.magnitude(-30, 20)], special.entr),
    "i0": Case(lambda x: mp.besseli(0, x), lambda r: np.r_[r.uniform(-20, 20), r.uniform(0, 88)], special.i0),
    "i1": Case(
        lambda x: mp.besseli(1, x), lambda r: np.r_[r.uniform(-20, 20), r.uniform(0, 88)], keep_sign(special.i1)
    ),
    "i0e": Case(lambda x: mp.besseli(0, x) * mp.exp(-abs(x)), lambda r: r.uniform(-40, 40), special.i0e),
    "i1e": Case(lambda x: mp.besseli(1, x) * mp.exp(-abs(x)), lambda r: r.uniform(-40, 40), keep_sign(special.i1e)),
    "j0": Case(lambda x: mp.besselj(0, x), lambda r: r.uniform(-40, 40), special.j0, 0.5),
    "j1": Case(lambda x: mp.besselj(1, x), lambda r: r.uniform(-40, 40), special.j1, 0.5),
    "y0": Case(lambda x: mp.bessely(0, x), lambda r: r.uniform(0, 40), special.y0, 0.5),
    "y1": Case(lambda x: mp.bessely(1, x), lambda r: r.uniform(0, 40), special.y1, 0.5),
    "k0": Case(lambda x: mp.besselk(0, x), lambda r: np.r_[r.uniform(0, 20), r.magnitude(-10, 1.5)], special.k0),
    "k1": Case(lambda x: mp.besselk(1, x), lambda r: np.r_[r.uniform(0, 20), r.magnitude(-10, 1.5)], special.k1),
    "k0e": Case(
        lambda x: mp.besselk(0, x) * mp.exp(x), lambda r: np.r_[r.uniform(0, 20), r.magnitude(-10, 3)], special.k0e
    ),
    "k1e": Case(
        lambda x: mp.besselk(1, x) * mp.exp(x), lambda r: np.r_[r.uniform(0, 20), r.magnitude(-10, 3)], special.k1e
    ),
    "pow": Case(
        mp.power,
        lambda r: (
            np.r_[r.magnitude(-5, 5), 1 + r.rng.normal(size=r.n) * 1e-3],
            np.r_[r.rng.normal(size=r.n) * 6, r.rng.normal(size=r.n) * 3e4],
        ),
        np.power,
    ),
    "atan2": Case(
        mp.atan2,
        lambda r: (
            np.r_[r.rng.normal(size=r.n), r.magnitude(-15, 15) * r.signs()],
            np.r_[r.rng.normal(size=r.n), r.magnitude(-15, 15) * r.signs()],
        ),
        np.arctan2,
    ),
    "hypot": Case(
        mp.hypot,
        lambda r: (
            np.r_[r.rng.normal(size=r.n), r.magnitude(-37, 37)],
            np.r_[r.rng.normal(size=r.n), r.magnitude(-37, 37)],
        ),
        np.hypot,
    ),
    "logaddexp": Case(
        lambda x, y: mp.log(mp.exp(x) + mp.exp(y)), lambda r: (r.uniform(0, 9), r.uniform(-9, 9)), np.logaddexp, 1.0
    ),
    "logaddexp2": Case(
        lambda x, y: mp.log(mp.mpf(2) ** x + mp.mpf(2) ** y) / mp.log(2),
        lambda r: (r.uniform(0, 9), r.uniform(-9, 9)),
        np.logaddexp2,
        1.0,
    ),
    "xlogy": Case(lambda x, y: x * mp.log(y), lambda r: (r.uniform(-9, 9), r.magnitude(-20, 20)), special.xlogy),
    "xlog1py": Case(lambda x, y: x * mp.log1p(y), lambda r: (r.uniform(-9, 9), r.magnitude(-20, 20)), special.xlog1py),
    "zeta": Case(hurwitz, lambda r: (1 + r.magnitude(-2, 1.2), r.magnitude(-2, 3)), special.zeta),
    "polygamma": Case(
        lambda n, x: mp.polygamma(int(n), x), lambda r: (r.rng.integers(0, 6, r.n) * 1.0, r.uniform(-5, 20)), None, 1.0
    ),
    "igamma": Case(
        lambda a, x: mp.gammainc(a, 0, x, regularized=True),
        lambda r: (r.magnitude(-3, 2), r.magnitude(-3, 2)),
        special.gammainc,
        1e-9,
    ),
    "igammac": Case(
        lambda a, x: mp.gammainc(a, x, regularized=True),
        lambda r: (r.magnitude(-3, 2), r.magnitude(-3, 2)),
        special.gammaincc,
        1e-9,
    ),
}
# Where SciPy's edge values are not PyTorch's: infinities, huge arguments, arguments outside the domain.
UNLIKE_SCIPY = {"i0", "i1", "j0", "j1", "y0", "y1", "lgamma", "digamma", "tgamma", "zeta", "igamma", "igammac"}
EXACT = {"fmod": np.fmod, "remainder": python_remainder, "floor_divide": np.floor_divide, "nextafter": np.nextafter}


def ulp(value: np.ndarray, dtype: type, absolute: float) -> np.ndarray:
    """The distance between numbers of dtype at this size; that of the largest finite number beyond it."""
    size = np.maximum(np.abs(value), absolute)
    return np.spacing(np.minimum(size, np.finfo(dtype).max).astype(dtype)).astype(np.float64)


def worst(got: np.ndarray, exact: list[mp.mpf], dtype: type, absolute: float) -> tuple[float, int]:
    """The largest error in ULP, and where."""
    largest, place = 0.0, 0
    top = mp.mpf(float(np.finfo(dtype).max)) * (1 + mp.mpf(2) ** (-25 if dtype is SINGLE else -54))
    for i, (value, want) in enumerate(zip(got, exact, strict=True)):
        if abs(want) >= top:
            error = 0.0 if np.isinf(value) and (value > 0) == (want > 0) else float("inf")
        elif not np.isfinite(value):
            error = float("inf")
        else:
            nearest = min(abs(float(want)), float(np.finfo(dtype).max))
            error = float(abs(mp.mpf(float(value)) - want) / float(ulp(np.float64(nearest), dtype, absolute)))
        if error > largest:
            largest, place = error, i
    return largest, place


def arguments(case: Case, dtype: type, count: int) -> list[np.ndarray]:
    points = case.points(Random(dtype, count))
    return [p.astype(dtype) for p in (points if isinstance(points, tuple) else (points,))]


def test_every_function_is_tested(library: Library) -> None:
    assert set(library.index) == set(CASES) | set(EXACT)
    assert set(CASES) <= set(stated_bounds())


def test_registers(library: Library, capfd: pytest.CaptureFixture[str]) -> None:
    failures = library.lib.check_vec()
    assert failures == 0, capfd.readouterr().out


def test_symbols(library: Library) -> None:
    """No inline function is shared between ISAs, and nothing but special.h and memory functions is called."""
    if not shutil.which("nm"):
        pytest.skip("no nm")
    lines = subprocess.run(["nm", "-C", library.object], check=True, capture_output=True, text=True).stdout.splitlines()
    shared = [line for line in lines if re.match(r"\S* [WVu] ", line) and f"bulssi::{library.isa}::" not in line]
    shared = [line for line in shared if "bulssi::reference" not in line and "std::" not in line]
    assert not shared
    assert any(f"bulssi::{library.isa}::" in line for line in lines)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("name", CASES)
def test_error_bound(library: Library, name: str, dtype: type) -> None:
    case, bound = CASES[name], stated_bounds()[name]
    slow = name in ("zeta", "polygamma", "igamma", "igammac", "ndtri", "erfinv") or "bessel" in str(
        case.truth.__code__.co_names
    )
    count = (60 if slow else 200) if library.isa == BEST else 25
    xs = arguments(case, dtype, count)
    with mp.workprec(140):
        exact = [mp.mpf(case.truth(*(mp.mpf(float(v)) for v in point))) for point in zip(*xs, strict=True)]
    error, i = worst(library(name, *xs), exact, dtype, case.absolute)
    assert error <= bound, f"{name}({[float(x[i]) for x in xs]}): {error:.2f} ULP, {bound} stated"


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].fast is not None])
def test_many_floats(library: Library, name: str) -> None:
    case, bound = CASES[name], stated_bounds()[name]
    xs = arguments(case, SINGLE, 20000)
    with np.errstate(all="ignore"):
        want = case.fast(*(x.astype(DOUBLE) for x in xs))
        got = library(name, *xs).astype(DOUBLE)
        error = np.abs(got - want) / ulp(want, SINGLE, case.absolute)
        overflow = np.abs(want) > np.finfo(SINGLE).max
        error = np.where(overflow & (np.isinf(got) | (np.abs(got) == np.finfo(SINGLE).max)), 0, error)
        error = np.where(got == want, 0, error)  # infinities
    i = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    assert error[i] <= bound + 0.01, f"{name}({[float(x[i]) for x in xs]}) = {got[i]}, expected {want[i]}"


MODERATE: dict[str, tuple[Callable[..., mp.mpf], Callable[[Random], tuple[np.ndarray, ...]]]] = {
    "polygamma": (
        lambda n, x: mp.polygamma(1, x),
        lambda r: (np.ones(3 * r.n), np.r_[r.uniform(0, 30), r.uniform(-9, 0), r.magnitude(-8, 8)]),
    ),
    "zeta": (hurwitz, lambda r: (1 + r.magnitude(-2, 1.2), r.magnitude(-2, 3))),
    "igamma": (CASES["igamma"].truth, lambda r: (r.uniform(0.01, 30), r.uniform(0.01, 20))),
    "igammac": (CASES["igammac"].truth, lambda r: (r.uniform(0.5, 5), r.uniform(0.01, 4))),
}


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("name", MODERATE)
def test_moderate_arguments(library: Library, name: str, dtype: type) -> None:
    """What whole registers of ordinary arguments go through, where rare ones are computed lane by lane."""
    truth, points = MODERATE[name]
    xs = [p.astype(dtype) for p in points(Random(dtype, 80))]
    with mp.workprec(140):
        exact = [mp.mpf(truth(*(mp.mpf(float(v)) for v in point))) for point in zip(*xs, strict=True)]
    error, i = worst(library(name, *xs), exact, dtype, 1e-9 if name.startswith("igamma") else 0.0)
    assert error <= stated_bounds()[name], f"{name}({[float(x[i]) for x in xs]}): {error:.2f} ULP"


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("name", EXACT)
def test_exact(library: Library, name: str, dtype: type) -> None:
    r = Random(dtype, 20000)
    x = np.r_[r.rng.normal(size=r.n) * r.magnitude(-15, 15), r.rng.integers(-50, 50, r.n)].astype(dtype)
    y = np.r_[r.rng.normal(size=r.n) * r.magnitude(-15, 15), r.rng.integers(-9, 9, r.n)].astype(dtype)
    with np.errstate(all="ignore"):
        assert_same(library(name, x, y), EXACT[name](x, y), x, y)


def edges(dtype: type) -> np.ndarray:
    info = np.finfo(dtype)
    tiny = [info.tiny, info.smallest_subnormal, info.eps, 1e-30, 1e-3]
    near_one = [1 + info.eps, 1 - info.eps / 2, 1, 2, 0.5, 1.5, 2.5, 3, 7, 1e10]
    thresholds = [88.7, 88.8, 87.4, 103.9, 104.1, 709.7, 709.8, 745.1, 745.2, 708.5, 1000, 1024]
    values = np.array([0, *tiny, *near_one, *thresholds, 1e5, 1e20, 1e30, info.max, np.inf], dtype)
    return np.concatenate([values, -values, np.array([np.nan], dtype)])


def assert_same(got: np.ndarray, want: np.ndarray, *xs: np.ndarray, ulps: float = 0.0, absolute: float = 0.0) -> None:
    """Equal with the sign of zero, both NaN, or within so many ULP."""
    same = (np.isnan(got) & np.isnan(want)) | ((got == want) & (np.signbit(got) == np.signbit(want)))
    if ulps:
        close = np.abs(got.astype(DOUBLE) - want.astype(DOUBLE)) <= ulps * ulp(want, want.dtype.type, absolute)
        same_sign = (np.signbit(got) == np.signbit(want)) | (absolute > 0)
        same |= close & np.isfinite(got) & np.isfinite(want) & same_sign
    bad = np.flatnonzero(~same)
    assert not bad.size, [(*(float(x[i]) for x in xs), float(got[i]), float(want[i])) for i in bad[:8]]


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize(
    "name", [n for n in CASES if CASES[n].fast is not None and n not in UNLIKE_SCIPY] + list(EXACT)
)
def test_edges(library: Library, name: str, dtype: type) -> None:
    case = CASES.get(name)
    fast = case.fast if case else EXACT[name]
    x = edges(dtype)
    xs = [x] if len(arguments(case, dtype, 1) if case else "xy") == 1 else [a.ravel() for a in np.meshgrid(x, x)]
    with np.errstate(all="ignore"):
        wide = DOUBLE if dtype is SINGLE and case else dtype
        want = fast(*(v.astype(wide) for v in xs)).astype(dtype)
        assert_same(
            library(name, *xs),
            want,
            *xs,
            ulps=stated_bounds()[name] + 1 if case else 0,
            absolute=case.absolute if case else 0,
        )


@pytest.mark.parametrize("library", [BEST], indirect=True)
@pytest.mark.parametrize("name", CASES)
def test_reference(library: Library, name: str) -> None:
    """reference_math.h, the other interpretation, agrees with the kernels."""
    case = CASES[name]
    xs = arguments(case, DOUBLE, 500)
    got, want = library(name, *xs), library(name, *xs, kind="reference")
    tolerance = 1e-12 * np.maximum(np.abs(got), max(case.absolute, np.finfo(DOUBLE).tiny))
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~((np.abs(got - want) <= tolerance) | (got == want)))
    assert not bad.size, [(*(float(x[i]) for x in xs), float(got[i]), float(want[i])) for i in bad[:5]]
