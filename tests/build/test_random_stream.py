"""The random stream of core/cpu/random.cpp against PyTorch's, bit for bit, and against recorded numbers."""

from __future__ import annotations

import ctypes
import itertools
import os
import random as python_random
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.build.compile_core import BASE, ROOT, compile_object, link

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="needs PyTorch as the oracle")

TYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"]
FLOATING = TYPES[:4]
SIZES = [0, 1, 2, 15, 16, 17, 31, 32, 33, 100, 511, 1000, 100003]
SEEDS = [0, 42, 2**64 - 1]
STATE_BYTES = 5056
i64, f64 = ctypes.c_int64, ctypes.c_double


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("random")
    objects = [compile_object(source, folder / f"{Path(source).stem}.o") for source in BASE]
    for source in [*sorted((ROOT / "core/cpu").glob("random*.cpp")), ROOT / "tests/build/random_test.cpp"]:
        objects.append(compile_object(str(source.relative_to(ROOT)), folder / f"{source.stem}.o", ["-O3"]))
    lib = ctypes.CDLL(str(link(objects, folder / "librandom_test.so", shared=True)))
    lib.generator_new.restype = lib.generator_clone.restype = ctypes.c_void_p
    for function in (lib.generator_seed, lib.generator_set_random_seed, lib.generator_random64):
        function.restype = ctypes.c_uint64
    lib.generator_random.restype = ctypes.c_uint32
    return lib


class Refused(Exception):
    """A call that the library refused; `kind` 1 is a RuntimeError, 2 a NotImplementedError."""

    def __init__(self, kind: int, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Stream:
    """A Generator of the library; `call` fills a buffer and returns its bytes."""

    def __init__(self, lib: ctypes.CDLL, seed: int = 0, handle: int | None = None) -> None:
        self.lib = lib
        self.handle = ctypes.c_void_p(handle or lib.generator_new(ctypes.c_uint64(seed % 2**64)))
        self.warning = ""

    def __del__(self) -> None:
        self.lib.generator_delete(self.handle)

    def code(self, dtype: str) -> int:
        return self.lib.dtype_named(dtype.encode())

    def call(self, function: str, dtype: str, n: int, *args: object) -> bytes:
        code = self.code(dtype)
        size = self.lib.itemsize_of(code)
        out = ctypes.create_string_buffer(max(n, 1) * size)
        message = ctypes.create_string_buffer(1000)
        kind = getattr(self.lib, function)(self.handle, code, out, i64(n), *args, message)
        self.warning = message.value.decode() if kind == 10 else ""
        if kind in (1, 2):
            raise Refused(kind, message.value.decode())
        return out.raw[: n * size]

    def normal(self, dtype: str, n: int, mean: float = 0.0, std: float = 1.0, contiguous: bool = True) -> bytes:
        return self.call("normal", dtype, n, f64(mean), f64(std), int(contiguous))

    def uniform(self, dtype: str, n: int, low: float = 0.0, high: float = 1.0) -> bytes:
        return self.call("uniform", dtype, n, f64(low), f64(high))

    def integers(self, dtype: str, n: int, low: int, high: int | None) -> bytes:
        return self.call("integers", dtype, n, i64(low), i64(high or 0), int(high is not None))

    def bernoulli_each(self, dtype: str, p: torch.Tensor) -> bytes:
        p = p.contiguous()
        p_type = self.code(str(p.dtype).removeprefix("torch."))
        return self.call("bernoulli_each", dtype, p.numel(), p_type, pointer(p))

    def multinomial(self, p: torch.Tensor, n: int, replacement: bool) -> bytes:
        rows, columns = (1, *p.shape)[-2:]
        row_stride, column_stride = (columns, *p.stride())[-2:]
        out, message = (i64 * (max(rows * n, 0) + 1))(), ctypes.create_string_buffer(1000)
        shape = (i64 * 4)(rows, columns, row_stride, column_stride)
        dtype = self.code(str(p.dtype).removeprefix("torch."))
        kind = self.lib.multinomial(self.handle, dtype, out, pointer(p), shape, i64(n), int(replacement), message)
        if kind:
            raise Refused(kind, message.value.decode())
        return bytes(out)[: rows * n * 8]

    def state(self) -> bytes:
        out = ctypes.create_string_buffer(STATE_BYTES)
        self.lib.generator_state(self.handle, out)
        return out.raw

    def set_state(self, state: bytes) -> str:
        """Returns what is wrong, or ''."""
        message = ctypes.create_string_buffer(1000)
        self.lib.generator_set_state(self.handle, state, ctypes.c_size_t(len(state)), message)
        return message.value.decode()


def pointer(x: torch.Tensor) -> ctypes.c_void_p:
    address = ctypes.c_void_p(x.data_ptr())
    address.owner = x  # type: ignore[attr-defined]  # lives as long as the address
    return address


def dtype_of(name: str) -> torch.dtype:
    return getattr(torch, name)


def raw(x: torch.Tensor) -> bytes:
    if not x.numel():
        return b""
    dense = torch.empty(x.numel(), dtype=x.dtype).copy_(x.reshape(-1))  # even one element may have a stride
    return dense.view(torch.uint8).numpy().tobytes()


def state_of(generator: torch.Generator) -> bytes:
    return generator.get_state().numpy().tobytes()


def assert_same(ours: bytes, theirs: torch.Tensor, context: object = None) -> None:
    """Equal bits, except that any nan equals any nan."""
    if ours == raw(theirs):
        return
    mine = torch.frombuffer(bytearray(ours), dtype=theirs.dtype)
    theirs = theirs.reshape(-1)
    wrong = [i for i in range(len(mine)) if raw(mine[i]) != raw(theirs[i]) and not (mine[i] != mine[i]).item()]
    assert not wrong, (
        f"{context}: {len(wrong)} of {len(mine)} differ, first at {wrong[0]}: {mine[wrong[0]]} for {theirs[wrong[0]]}"
    )


class Pair:
    """One stream of ours and one of PyTorch's with the same seed."""

    def __init__(self, lib: ctypes.CDLL, seed: int) -> None:
        self.ours = Stream(lib, seed)
        self.theirs = torch.Generator().manual_seed(seed - 2**64 if seed >= 2**63 else seed)

    def check(self, ours: bytes, theirs: torch.Tensor, context: object = None) -> None:
        assert_same(ours, theirs, context)
        assert self.ours.state() == state_of(self.theirs), f"{context}: the streams are at different places"


@pytest.fixture(params=["plain", "avx2"])
def lib(request: pytest.FixtureRequest, library: ctypes.CDLL) -> Iterator[ctypes.CDLL]:
    """The library with each set of kernels that this machine can run."""
    if not library.select_level(["plain", "avx2"].index(request.param)):
        pytest.skip("the processor has no AVX2")
    yield library
    library.select_level(1)


# ---- Without PyTorch: numbers that PyTorch 2.13 gave ----


def test_recorded_words(library: ctypes.CDLL) -> None:
    # The reference implementation's 10000th output for its default seed (also in the C++ standard).
    stream = Stream(library, 5489)
    library.generator_discard(stream.handle, i64(9999))
    assert library.generator_random(stream.handle) == 4123659995
    stream = Stream(library, 5489)
    assert library.generator_random64(stream.handle) == 3499211612 << 32 | 581869302


# The last 8 bytes of what PyTorch 2.13 gives for seed 42.
RECORDED: list[tuple[str, str, int, tuple[object, ...], str]] = [
    ("uniform", "float32", 3, (f64(0.0), f64(1.0)), "b33d6a3fb806c43e"),
    ("uniform", "float64", 1001, (f64(-2.0), f64(5.0)), "b3cf9f64bde5edbf"),
    ("uniform", "float16", 40, (f64(0.0), f64(1.0)), "a0383b3b70387a35"),
    ("bernoulli", "uint8", 2000, (f64(0.4),), "0001000001010000"),
    ("exponential", "float32", 5, (f64(1.0),), "af3c5d3d8a353f3f"),
    ("cauchy", "float64", 5, (f64(0.0), f64(1.0)), "6d3a59caa318b53f"),
    ("log_normal", "float32", 5, (f64(1.0), f64(2.0)), "ece189401a52933e"),
    ("geometric", "int64", 5, (f64(0.1),), "0700000000000000"),
    ("normal", "float32", 3, (f64(0.0), f64(1.0), 1), "9de6033ee716703e"),
    ("normal", "float32", 16, (f64(0.0), f64(1.0), 1), "a0d244bf9f2f433f"),
    ("normal", "float32", 1001, (f64(0.5), f64(2.0), 1), "fd7b9abfe4dcea3f"),
    ("normal", "float64", 1001, (f64(0.5), f64(2.0), 1), "2266b3a6138ff1bf"),
    ("normal", "bfloat16", 1001, (f64(0.5), f64(2.0), 1), "2b4040401e40743f"),
    ("integers", "int64", 1001, (i64(0), i64(10), 1), "0900000000000000"),
    ("integers", "int32", 5, (i64(-7), i64(1073741824), 1), "44119c15baa5ca13"),
    ("random_any", "int8", 1001, (), "1b5b6428633f1a75"),
    ("permutation", "int64", 1000, (), "c701000000000000"),
]


def test_recorded_numbers(lib: ctypes.CDLL) -> None:
    for function, dtype, n, args, expected in RECORDED:
        assert Stream(lib, 42).call(function, dtype, n, *args).hex().endswith(expected), (function, dtype, n)


@pytest.mark.skipif("BULSSI_SLOW" not in os.environ, reason="BULSSI_SLOW is not set: 1.7 GB and 10 s")
def test_recorded_long_permutations(library: ctypes.CDLL) -> None:
    """Both sides of the length at which randperm changes its algorithm; first elements that PyTorch 2.13 gave."""
    for n, drawn, first in (
        (214748363, 10, (94459959, 22248453, 89044632, 134552128)),
        (214748364, 24, (91252029, 200188117, 89143689, 193777243)),
    ):
        stream = Stream(library, 5)
        assert struct.unpack("<4i", stream.call("permutation", "int32", n)[:16]) == first
        assert struct.unpack_from("<Q", stream.state(), 16)[0] == drawn


def test_state_round_trip(library: ctypes.CDLL) -> None:
    for drawn in (0, 1, 100, 623, 624, 625, 1248):
        stream = Stream(library, 7)
        library.generator_discard(stream.handle, i64(drawn))
        stream.normal("float32", 3)  # leaves a kept sample
        saved = stream.state()
        other, clone = Stream(library), Stream(library, handle=library.generator_clone(stream.handle))
        assert other.set_state(saved) == "" and other.state() == saved
        expected = stream.normal("float64", 5) + stream.uniform("float32", 2000)
        assert other.normal("float64", 5) + other.uniform("float32", 2000) == expected
        assert clone.normal("float64", 5) + clone.uniform("float32", 2000) == expected
        assert library.generator_seed(other.handle) == 7


def test_corrupt_states_are_refused(library: ctypes.CDLL) -> None:
    stream = Stream(library, 3)
    stream.uniform("float32", 10)
    good = stream.state()

    def with_field(offset: int, form: str, value: int) -> bytes:
        return good[:offset] + struct.pack(form, value) + good[offset + struct.calcsize(form) :]

    bad = {
        "short": good[:-1],
        "long": good + b"\0",
        "empty": b"",
        "zeros": bytes(STATE_BYTES),
        "left 0": with_field(8, "<i", 0),
        "left negative": with_field(8, "<i", -5),
        "left too great": with_field(8, "<i", 625),
        "unseeded": with_field(12, "<i", 0),
        "next beyond": with_field(16, "<Q", 625),
        "next wraps": with_field(16, "<Q", 2**64 - 1),
        "next and left disagree": with_field(16, "<Q", 400),
        "wide word": with_field(24 + 8 * 5, "<Q", 2**40),
    }
    for name, state in bad.items():
        message = stream.set_state(state)
        assert message.startswith(("Invalid mt19937 state", "Expected a CPUGeneratorImplState of size 5056")), name
        assert stream.state() == good, name


def test_random_seeds_differ(library: ctypes.CDLL) -> None:
    stream = Stream(library)
    seeds = {library.generator_set_random_seed(stream.handle) for _ in range(20)}
    assert len(seeds) == 20 and max(seeds) < 2**53
    seed = library.generator_set_random_seed(stream.handle)
    assert library.generator_seed(stream.handle) == seed and stream.state() == Stream(library, seed).state()


def test_kernels_agree(library: ctypes.CDLL) -> None:
    if not library.select_level(1):
        pytest.skip("the processor has no AVX2")
    calls: list[Callable[[Stream], bytes]] = [
        lambda s: s.normal("float32", 3001, 0.3, 1.7),
        lambda s: s.uniform("float32", 777, -2.5, 3.1) + s.uniform("float64", 778, -2.5, 3.1),
        lambda s: s.integers("int32", 5000, -17, 200_000_003),
        lambda s: s.call("bernoulli", "bool", 1999, f64(0.3)),
    ]
    results = []
    for level in (0, 1):
        assert library.select_level(level)
        stream = Stream(library, 11)
        results.append([call(stream) for call in calls])
    assert results[0] == results[1]
    assert not library.select_level(7)


# ---- Against PyTorch ----


@needs_torch
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", FLOATING)
def test_uniform(lib: ctypes.CDLL, dtype: str, seed: int) -> None:
    pair = Pair(lib, seed)
    for n, (low, high) in itertools.product(SIZES, [(0.0, 1.0), (-2.5, 3.1), (1.0, 1.001), (0.1, 0.1), (-1e4, 5e4)]):
        theirs = torch.empty(n, dtype=dtype_of(dtype)).uniform_(low, high, generator=pair.theirs)
        pair.check(pair.ours.uniform(dtype, n, low, high), theirs, (n, low, high))


@needs_torch
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", FLOATING)
def test_normal(lib: ctypes.CDLL, dtype: str, seed: int) -> None:
    pair = Pair(lib, seed)
    for n, (mean, std) in itertools.product(SIZES, [(0.0, 1.0), (0.3, 1.7), (-100.0, 1e-3), (2.0, 0.0)]):
        theirs = torch.empty(n, dtype=dtype_of(dtype)).normal_(mean, std, generator=pair.theirs)
        pair.check(pair.ours.normal(dtype, n, mean, std), theirs, (n, mean, std))


@needs_torch
@pytest.mark.parametrize("dtype", FLOATING)
def test_normal_with_gaps_takes_the_scalar_path(lib: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(lib, 5)
    for n in (1, 15, 16, 17, 40, 1001):
        theirs = torch.empty(n, 2, dtype=dtype_of(dtype))[:, 0].normal_(0.3, 1.7, generator=pair.theirs)
        pair.check(pair.ours.normal(dtype, n, 0.3, 1.7, contiguous=n == 1), theirs, n)


@needs_torch
@pytest.mark.parametrize("dtype", TYPES)
def test_random_full(lib: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(lib, 1)
    for n in SIZES:
        theirs = torch.empty(n, dtype=dtype_of(dtype)).random_(generator=pair.theirs)
        pair.check(pair.ours.call("random_any", dtype, n), theirs, n)


RANGES: list[tuple[int, int | None]] = [
    (0, 1), (0, 2), (0, 10), (-5, 5), (-128, 128), (0, 2**15), (3, 2**24), (0, 2**28 - 1), (0, 2**28), (-7, 2**28 - 7),
    (0, 2**31), (-(2**31), 2**31 - 1), (5, 2**32 + 9), (-(2**53), 2**53), (0, 2**54 + 3), (-(2**62), 2**62 + 11),
    (-(2**63), 2**63 - 1), (0, None), (1, None), (-9, None), (100, None), (2**20 + 1, None), (-(2**63), None),
    (0, 2049), (0, 4000), (0, 65504), (0, 70000), (-70000, 3), (257, 300), (2**24 + 1, 2**24 + 5), (5, 5), (9, 2),
    (2**63 - 5, None), (2**63 - 2, 2**63 - 1), (-(2**63) + 1, None), (-(2**63), -(2**63) + 1),
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize("dtype", TYPES)
def test_random_ranges(lib: ctypes.CDLL, dtype: str) -> None:
    refused = 0
    for seed, (low, high) in enumerate(RANGES):
        pair = Pair(lib, seed)
        for n in (1, 33, 2000):
            out = torch.empty(n, dtype=dtype_of(dtype))
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                try:
                    theirs, error = out.random_(low, high, generator=pair.theirs), None
                except RuntimeError as caught:
                    theirs, error = None, caught
            if error is None:
                pair.check(pair.ours.integers(dtype, n, low, high), theirs, (low, high, n))
                continue
            refused += 1
            before = pair.ours.state()
            with pytest.raises(Refused) as ours:
                pair.ours.integers(dtype, n, low, high)
            assert str(ours.value).splitlines()[0] == str(error).splitlines()[0]
            assert ours.value.kind == (2 if isinstance(error, NotImplementedError) else 1)
            assert pair.ours.state() == before
    assert refused > 0


@needs_torch
def test_random_range_warnings(lib: ctypes.CDLL) -> None:
    stream = Stream(lib, 0)
    for dtype, bits in (("float32", 24), ("float64", 53), ("float16", 11), ("bfloat16", 8)):
        stream.integers(dtype, 1, 0, 2**bits)
        assert stream.warning == ""
        stream.integers(dtype, 1, 0, 2**bits * 3)
        assert stream.warning.startswith(f"to - 1 is out of bounds [-(2^{bits}), 2^{bits}]. Due to precision")


@needs_torch
@pytest.mark.parametrize("dtype", [t for t in TYPES if t != "bool"])
def test_permutation(lib: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(lib, 9)
    for n in (*SIZES, 127, 128, 129, 255, 256, 257, 2048, 2049, 2050):
        try:
            theirs = torch.randperm(n, dtype=dtype_of(dtype), generator=pair.theirs)
        except RuntimeError as error:
            with pytest.raises(Refused) as ours:
                pair.ours.call("permutation", dtype, n)
            assert str(ours.value).splitlines()[0] == str(error)
        else:
            pair.check(pair.ours.call("permutation", dtype, n), theirs, n)


@needs_torch
@pytest.mark.parametrize("dtype", TYPES)
def test_bernoulli(lib: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(lib, 2)
    for n, p in itertools.product(SIZES, (0.0, 1e-17, 0.1, 0.5, 1 - 0.2, 0.999, 1.0)):
        theirs = torch.empty(n, dtype=dtype_of(dtype)).bernoulli_(p, generator=pair.theirs)
        pair.check(pair.ours.call("bernoulli", dtype, n, f64(p)), theirs, (n, p))


@needs_torch
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("p_dtype", FLOATING)
def test_bernoulli_each(lib: ctypes.CDLL, dtype: str, p_dtype: str) -> None:
    pair = Pair(lib, 2)
    for n in SIZES[:-1]:
        p = torch.linspace(0, 1, n, dtype=torch.float64).to(dtype_of(p_dtype))
        theirs = torch.empty(n, dtype=dtype_of(dtype)).bernoulli_(p, generator=pair.theirs)
        pair.check(pair.ours.bernoulli_each(dtype, p), theirs, n)
    for wrong in (-0.5, 1.5, float("nan")):
        with pytest.raises(Refused, match="Expected p_in >= 0 && p_in <= 1 to be true"):
            pair.ours.bernoulli_each(dtype, torch.tensor([0.5, wrong], dtype=dtype_of(p_dtype)))
    assert pair.ours.state() == state_of(pair.theirs)


@needs_torch
def test_dropout_mask(lib: ctypes.CDLL) -> None:
    for dtype, n, p in itertools.product(FLOATING, (1, 17, 1000), (0.1, 0.5, 0.75)):
        torch.manual_seed(n)
        x = torch.linspace(1, 2, n).to(dtype_of(dtype))
        theirs = torch.nn.functional.dropout(x, p, training=True)
        mask = Stream(lib, n).call("bernoulli", dtype, n, f64(1 - p))
        assert_same(raw(x * torch.frombuffer(bytearray(mask), dtype=x.dtype).div_(1 - p)), theirs, (dtype, n, p))


@needs_torch
@pytest.mark.parametrize("dtype", FLOATING)
def test_alpha_dropout(lib: ctypes.CDLL, dtype: str) -> None:
    p, alpha = 0.3, 1.7580993408473766
    torch.manual_seed(8)
    x = torch.linspace(-1, 2, 100).to(dtype_of(dtype))
    theirs = torch.nn.functional.alpha_dropout(x, p, training=True)
    mask = torch.frombuffer(bytearray(Stream(lib, 8).call("bernoulli", dtype, 100, f64(1 - p))), dtype=x.dtype)
    a = 1 / ((alpha * alpha * p + 1) * (1 - p)) ** 0.5
    assert_same(raw(x * mask.mul(a) + mask.sub(1).mul_(alpha * a).add_(alpha * a * p)), theirs)


@needs_torch
@pytest.mark.parametrize("dtype", FLOATING)
def test_exponential_cauchy_log_normal(lib: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(lib, 4)
    for n in SIZES:
        out = torch.empty(n, dtype=dtype_of(dtype))
        for rate in (1.0, 0.7, 1e-3, 12.0, float("inf")):
            theirs = out.exponential_(rate, generator=pair.theirs)
            pair.check(pair.ours.call("exponential", dtype, n, f64(rate)), theirs, (n, rate))
        for a, b in ((0.0, 1.0), (-3.3, 0.1), (5.0, 70.0)):
            theirs = out.cauchy_(a, b, generator=pair.theirs)
            pair.check(pair.ours.call("cauchy", dtype, n, f64(a), f64(b)), theirs, ("cauchy", n, a, b))
        for a, b in ((1.0, 2.0), (-3.3, 0.1)):
            theirs = out.log_normal_(a, b, generator=pair.theirs)
            pair.check(pair.ours.call("log_normal", dtype, n, f64(a), f64(b)), theirs, ("log_normal", n, a, b))


@needs_torch
@pytest.mark.parametrize("dtype", [t for t in TYPES if t != "bool"])
def test_geometric(lib: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(lib, 6)
    for n, p in itertools.product(SIZES[:-1], (0.5, 0.01, 0.999, 1e-11, 1e-19)):
        theirs = torch.empty(n, dtype=dtype_of(dtype)).geometric_(p, generator=pair.theirs)
        pair.check(pair.ours.call("geometric", dtype, n, f64(p)), theirs, (n, p))


@needs_torch
def test_interleaved_calls(lib: ctypes.CDLL) -> None:
    """Random sequences of calls: the kept normal sample and the place within a block survive everything."""
    choose = python_random.Random(17)
    pair = Pair(lib, 1234)
    for step in range(600):
        n, dtype = choose.choice([1, 2, 3, 7, 15, 16, 17, 40, 313, 624]), choose.choice(FLOATING)
        out = torch.empty(n, dtype=dtype_of(dtype))
        kind = choose.randrange(7)
        if kind == 0:
            pair.check(pair.ours.normal(dtype, n, 0.5, 2), out.normal_(0.5, 2, generator=pair.theirs), step)
        elif kind == 1:
            pair.check(pair.ours.uniform(dtype, n), out.uniform_(generator=pair.theirs), step)
        elif kind == 2:
            theirs = torch.empty(n, 3, dtype=dtype_of(dtype))[:, 1].normal_(0.5, 2, generator=pair.theirs)
            pair.check(pair.ours.normal(dtype, n, 0.5, 2, contiguous=n == 1), theirs, step)
        elif kind == 3:
            theirs = torch.randint(3, 77, (n,), generator=pair.theirs)
            pair.check(pair.ours.integers("int64", n, 3, 77), theirs, step)
        elif kind == 4:
            theirs = torch.randperm(n, generator=pair.theirs)
            pair.check(pair.ours.call("permutation", "int64", n), theirs, step)
        elif kind == 5:  # the state goes from one library to the other and back
            theirs = torch.Generator()
            theirs.set_state(torch.frombuffer(bytearray(pair.ours.state()), dtype=torch.uint8))
            ours = Stream(lib)
            assert ours.set_state(state_of(pair.theirs)) == ""
            pair.theirs, pair.ours = theirs, ours
        else:
            seed = choose.choice([0, 99, 2**40 + 3])
            if choose.random() < 0.3:
                pair.theirs.manual_seed(seed)
                lib.generator_set_seed(pair.ours.handle, ctypes.c_uint64(seed))
        assert pair.ours.state() == state_of(pair.theirs), step


@needs_torch
def test_visiting_order(lib: ctypes.CDLL) -> None:
    """Filling in the order that visiting_order gives is what PyTorch does for outputs of any strides."""
    choose = python_random.Random(3)
    layouts = [
        torch.empty(3, 4).t(), torch.empty(4, 6)[:, ::2], torch.empty(2, 3, 4).permute(2, 0, 1),
        torch.empty(1, 5, 1, 3),
        torch.empty(2, 8, 3, 3).to(memory_format=torch.channels_last), torch.empty(5)[2], torch.empty(5, 1).t(),
        torch.empty(4, 4).t()[1:, :3],
    ]  # fmt: skip
    for _ in range(60):
        sizes = [choose.choice([1, 2, 3, 4]) for _ in range(choose.randint(1, 5))]
        x = torch.empty(sizes).permute(choose.sample(range(len(sizes)), len(sizes)))
        dim = choose.randrange(x.dim())
        layouts.append(x[(slice(None),) * dim + (slice(None, None, choose.choice([1, 2])),)])
    for seed, layout in enumerate(layouts):
        pair = Pair(lib, seed)
        layout.uniform_(generator=pair.theirs)
        dims = layout.dim()
        array, order = i64 * max(dims, 1), (ctypes.c_int * max(dims, 1))()
        lib.order_of(dims, array(*layout.shape), array(*layout.stride()), order)
        slowest_first = list(order)[:dims][::-1]
        visited = layout.permute(slowest_first).contiguous()
        pair.check(pair.ours.uniform("float32", layout.numel()), visited, (layout.shape, layout.stride()))


@needs_torch
def test_messages(lib: ctypes.CDLL) -> None:
    stream = Stream(lib, 0)
    inf, nan = float("inf"), float("nan")
    cases: list[tuple[str, str, str, tuple[float, ...]]] = [
        ("uniform", "uniform_", "float32", (2.0, 1.0)), ("uniform", "uniform_", "float16", (0.0, 1e6)),
        ("uniform", "uniform_", "float32", (-3e38, 3e38)), ("uniform", "uniform_", "int32", (0.0, 1.0)),
        ("uniform", "uniform_", "float64", (-inf, 0.0)), ("uniform", "uniform_", "bfloat16", (nan, 0.0)),
        ("bernoulli", "bernoulli_", "float32", (2.0,)), ("bernoulli", "bernoulli_", "float32", (nan,)),
        ("exponential", "exponential_", "float32", (0.0,)), ("exponential", "exponential_", "int32", (1.0,)),
        ("exponential", "exponential_", "float64", (nan,)), ("cauchy", "cauchy_", "float32", (0.0, -1.0)),
        ("cauchy", "cauchy_", "int32", (0.0, 1.0)), ("log_normal", "log_normal_", "float32", (0.0, 0.0)),
        ("log_normal", "log_normal_", "int32", (0.0, 1.0)), ("geometric", "geometric_", "float32", (1.0,)),
        ("geometric", "geometric_", "bool", (0.5,)),
    ]  # fmt: skip
    before = stream.state()
    for function, method, dtype, args in cases:
        with pytest.raises(Refused) as ours:
            stream.call(function, dtype, 3, *map(f64, args))
        with pytest.raises(RuntimeError) as theirs:
            getattr(torch.empty(3, dtype=dtype_of(dtype)), method)(*args)
        assert str(ours.value).splitlines()[0] == str(theirs.value).splitlines()[0]
        assert ours.value.kind == (2 if isinstance(theirs.value, NotImplementedError) else 1)
    for dtype, std in (("float32", -1.0), ("float32", nan), ("int64", 1.0)):
        with pytest.raises(Refused) as ours:
            stream.normal(dtype, 3, 0.0, std)
        with pytest.raises(RuntimeError) as theirs:
            torch.empty(3, dtype=dtype_of(dtype)).normal_(0.0, std)
        assert str(ours.value) == str(theirs.value)
    assert stream.state() == before


# ---- random_distributions.h ----


@needs_torch
@pytest.mark.parametrize("dtype", FLOATING)
def test_poisson(library: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(library, 21)
    rates = [0.0, 1e-9, 0.3, 1.0, 5.5, 9.99, 10.0, 10.5, 30.0, 200.0, 1e4, 6e4]
    rates += [1e9, 1e19, float("inf")] if dtype in ("float32", "float64") else []
    for rate in rates:
        x = torch.full((3000,), rate, dtype=dtype_of(dtype))
        pair.check(pair.ours.call("poisson", dtype, 3000, pointer(x)), torch.poisson(x, generator=pair.theirs), rate)
    x = torch.linspace(0, 40, 1001).to(dtype_of(dtype))
    pair.check(pair.ours.call("poisson", dtype, 1001, pointer(x)), torch.poisson(x, generator=pair.theirs))
    for wrong in (-1.0, float("nan")):
        with pytest.raises(Refused, match="invalid Poisson rate, expected rate to be non-negative"):
            pair.ours.call("poisson", dtype, 2, pointer(torch.tensor([1.0, wrong], dtype=dtype_of(dtype))))
    assert pair.ours.state() == state_of(pair.theirs)


@needs_torch
@pytest.mark.parametrize("dtype", FLOATING[:2])
def test_binomial(library: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(library, 22)
    counts = [-3.0, 0.0, 1.0, 5.0, 10.5, 19.0, 20.0, 21.0, 40.0, 100.0, 1234.0, 1e6, 1e9, float("inf")]
    for count, prob in itertools.product(counts, (-0.5, 0.0, 1e-7, 0.1, 0.3, 0.5, 0.51, 0.7, 0.999, 1.0, 2.0)):
        c, p = (torch.full((400,), v, dtype=dtype_of(dtype)) for v in (count, prob))
        theirs = torch.binomial(c, p, generator=pair.theirs)
        pair.check(pair.ours.call("binomial", dtype, 400, pointer(c), pointer(p)), theirs, (count, prob))
    c, p = (torch.tensor(v, dtype=dtype_of(dtype)) for v in ([float("nan"), 5.0], [0.5, float("nan")]))
    drawn = torch.frombuffer(bytearray(pair.ours.call("binomial", dtype, 2, pointer(c), pointer(p))), dtype=c.dtype)
    assert drawn.isnan().all()  # PyTorch never returns for a count of nan


@needs_torch
@pytest.mark.parametrize("dtype", FLOATING[:2])
def test_gamma(library: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(library, 23)
    for alpha in (-1.0, 0.0, 1e-30, 1e-3, 0.1, 0.5, 0.999, 1.0, 1.5, 3.0, 50.0, 1e5, 1e30, float("inf"), float("nan")):
        x = torch.full((2000,), alpha, dtype=dtype_of(dtype))
        theirs = torch._standard_gamma(x, generator=pair.theirs)
        pair.check(pair.ours.call("gamma_", dtype, 2000, pointer(x)), theirs, alpha)


@needs_torch
@pytest.mark.parametrize("dtype", FLOATING[:2])
def test_dirichlet(library: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(library, 24)
    for columns in (1, 2, 3, 4, 7, 8, 9, 16, 31, 40, 100, 1000, 5000):
        x = torch.linspace(0.01, 3, 4 * columns, dtype=dtype_of(dtype)).reshape(4, columns)
        theirs = torch._sample_dirichlet(x, generator=pair.theirs)
        pair.check(pair.ours.call("dirichlet", dtype, 4 * columns, i64(columns), pointer(x)), theirs, columns)


@needs_torch
@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("dtype", FLOATING)
def test_multinomial(library: ctypes.CDLL, dtype: str, replacement: bool) -> None:
    pair = Pair(library, 25)
    torch.manual_seed(0)
    for shape in ((1,), (2,), (10,), (300,), (1000,), (3, 5), (4, 200), (2, 1)):
        spread = torch.rand(shape)
        for p in (
            spread,
            torch.where(spread < 0.5, 0.0, spread) + (spread == spread.max(-1, True).values),
            spread.exp(),
        ):
            p = p.to(dtype_of(dtype))
            for n in (1, 2, 4, 10, 150):
                if n <= shape[-1] or replacement:
                    theirs = torch.multinomial(p, n, replacement, generator=pair.theirs)
                    pair.check(pair.ours.multinomial(p, n, replacement), theirs, (shape, n))
    for p in (torch.rand(5, 7).t(), torch.rand(6, 20)[:, ::3], torch.rand(6, 20).t()[::2, 1:], torch.rand(1, 9).t()):
        p = p.to(dtype_of(dtype))
        theirs = torch.multinomial(p, 1, replacement, generator=pair.theirs)
        pair.check(pair.ours.multinomial(p, 1, replacement), theirs, (p.shape, p.stride()))


@needs_torch
def test_multinomial_messages(library: ctypes.CDLL) -> None:
    stream = Stream(library, 0)
    before = stream.state()
    inf, nan = float("inf"), float("nan")
    for weights, n, replacement in itertools.product(
        ([0.0, 0.0], [-1.0, 2.0], [inf, 1.0], [nan, 1.0], [1.0, 2.0]), (1, 0, 3), (False, True)
    ):
        p = torch.tensor(weights)
        try:
            torch.multinomial(p, n, replacement)
        except RuntimeError as theirs:
            with pytest.raises(Refused) as ours:
                stream.multinomial(p, n, replacement)
            assert str(ours.value).splitlines()[0] == str(theirs).splitlines()[0]
    with pytest.raises(Refused, match="multinomial only supports floating-point dtypes for input, got: Long"):
        stream.multinomial(torch.tensor([1, 2]), 1, True)
    assert stream.state() == before


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_rrelu(library: ctypes.CDLL, dtype: str) -> None:
    pair = Pair(library, 26)
    for n, (low, high) in itertools.product((0, 1, 17, 1000), ((1 / 8, 1 / 3), (0.1, 0.1), (-0.5, 2.7))):
        x = torch.linspace(-2, 1, n).to(dtype_of(dtype))
        noise = torch.zeros_like(x)
        theirs = torch._C._nn.rrelu_with_noise(x, noise, low, high, True, pair.theirs)
        our_noise = torch.zeros_like(x)
        ours = pair.ours.call("rrelu", dtype, n, pointer(our_noise), pointer(x), f64(low), f64(high))
        pair.check(ours, theirs, (n, low, high))
        assert_same(raw(our_noise), noise, (n, low, high))
