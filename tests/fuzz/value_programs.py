"""Makes the random programs of `fuzz_values.py`: tensors of every dtype and layout, one call, perhaps its gradients."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

FLOATING = ["float32", "float64", "float16", "bfloat16"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8"]
DTYPES = [*FLOATING, *INTEGERS, "bool"]
RANGES = {"int8": (-128, 127), "int16": (-(2**15), 2**15 - 1), "int32": (-(2**31), 2**31 - 1),
          "int64": (-(2**63), 2**63 - 1), "uint8": (0, 255)}  # fmt: skip
LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38,
           "float64": 1.7976931348623157e308}  # fmt: skip
SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 5e-324}
NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


class Operand(NamedTuple):
    """A tensor of a program."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    whole: bool  # every element its own memory: it may be written

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return self.name


class Call(NamedTuple):
    """`torch.NAME(ARGUMENTS)`, or the method; what forms of it there are."""

    name: str
    arguments: list[str]
    forms: str = "f"  # f: function, m: method of the first argument, i: in-place method, o: out=


Recipe = Callable[["Maker"], Call]
FAMILIES: dict[str, list[Recipe]] = {}


def family(name: str, times: int = 1) -> Callable[[Recipe], Recipe]:
    def declare(recipe: Recipe) -> Recipe:
        FAMILIES.setdefault(name, []).extend([recipe] * times)
        return recipe

    return declare


class Maker:
    """The text of one program, decided by its seed."""

    def __init__(self, seed: int, names: list[str], pointwise: dict[str, list[tuple[str, int, str]]]) -> None:
        self.rng = random.Random(seed)
        self.pointwise = pointwise
        self.operands: list[Operand] = []
        self.lines: list[str] = []
        # Half of the programs ask for gradients; of those most are in float64, where differences are not of rounding.
        self.gradients = self.rng.random() < 0.4
        self.second = self.rng.random() < 0.7
        self.values = self.rng.choice(["plain", "plain", "ties", "edge", "wide", "positive"])
        self.layouts = self.rng.random() < 0.6
        self.family = self.rng.choice(names)
        if self.family in ("products", "layers", "losses") or (self.gradients and "scatter" in self.family):
            # Where sums overflow depends on their order.
            self.values = {"edge": "special", "wide": "plain"}.get(self.values, self.values)

    # ---- choosing ----

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def pick(self, options: str | list[Any] | range) -> Any:
        return self.rng.choice(options.split() if isinstance(options, str) else options)

    def shape(self, low: int = 0, high: int = 4) -> tuple[int, ...]:
        if low <= 1 <= high and self.chance(0.15):
            return (self.pick([0, 1, 15, 16, 17, 33, 100]),)
        rank = self.rng.randint(low, high)
        sizes = [1, 2, 2, 3, 3, 4, 5] + [0] * self.chance(0.1)
        return tuple(self.pick(sizes) for _ in range(rank))

    def broadcast(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to the given one (or is it)."""
        if self.chance(0.5):
            return shape
        kept = shape[self.rng.randint(0, len(shape)) :]
        return tuple(1 if self.chance(0.25) else n for n in kept)

    def dtype(self, among: list[str] = DTYPES) -> str:
        floating = [d for d in among if d in FLOATING]
        if self.gradients and floating:
            # In halves PyTorch rounds every step of a derivative that is recorded.
            some = ["float32", "float32"] + ["float16", "bfloat16"] * (not self.second)
            return self.pick([d for d in ["float64"] * 8 + some if d in floating])
        return self.pick(floating) if floating and self.chance(0.55) else self.pick(among)

    def dim(self, a: Operand) -> int:
        return self.rng.randint(-a.rank, a.rank - 1) if a.rank else self.pick([0, -1])

    def dims(self, a: Operand) -> str:
        """A list of dimensions for a reduction."""
        if self.chance(0.1):
            return "()" if self.chance(0.5) else "None"
        if a.rank == 0 or self.chance(0.3):
            return str(self.dim(a))
        some = self.rng.sample(range(a.rank), self.rng.randint(1, a.rank))
        return str([d - a.rank if self.chance(0.5) else d for d in some])

    # ---- values ----

    def number(self, dtype: str, values: str) -> float | int | bool:
        r = self.rng
        if dtype == "bool":
            return r.random() < 0.5
        if dtype in INTEGERS:
            low, high = RANGES[dtype]
            if values == "edge" and r.random() < 0.3:
                return r.choice([low, high, low + 1, high - 1, 0, high // 2])
            if values == "positive":
                return r.randint(1, 9)
            return r.randint(max(low, -3), 4) if values == "ties" else r.randint(max(low, -12), 12)
        if values == "edge" and r.random() < 0.4:
            big, small = LARGEST[dtype], SMALLEST[dtype]
            sign = r.choice([1.0, -1.0])
            choices = [math.inf, 0.0, 1.0, big, small, NORMAL[dtype], big / 2, 0.5, 2.0, 3 * small]
            return r.choice([math.nan, *[sign * x for x in choices]])
        if values == "special" and r.random() < 0.2:
            return r.choice([math.inf, -math.inf, math.nan, 0.0, -0.0, 1.0])
        if values == "ties":
            return float(r.randint(-2, 2)) * r.choice([1.0, 1.0, 0.5])
        if values == "wide":
            top = math.log2(LARGEST[dtype]) * r.choice([0.1, 0.3, 0.9])
            return r.choice([1.0, -1.0]) * r.uniform(1, 2) * 2.0 ** r.uniform(-top, top)
        if values == "positive":
            return r.uniform(0.05, 3)
        return r.uniform(-3, 3)

    def tensor(self, shape: tuple[int, ...] | None = None, dtype: str | None = None, values: str | None = None,
               whole: bool = False, grad: bool = True) -> Operand:  # fmt: skip
        shape = self.shape() if shape is None else shape
        dtype = self.dtype() if dtype is None else dtype
        strides, offset, size, whole = self.layout(shape, whole)
        data = [self.number(dtype, values or self.values) for _ in range(size)]
        return self.given(shape, dtype, data, strides, offset, whole, grad)

    def given(self, shape: tuple[int, ...], dtype: str, data: list[Any], strides: list[int] | None = None,
              offset: int = 0, whole: bool = True, grad: bool = True) -> Operand:  # fmt: skip
        """A tensor of these values."""
        name = "abcdefgh"[len(self.operands)]
        laid = ""
        if strides is not None and (strides != row_major(shape) or offset or len(data) != math.prod(shape)):
            laid = f", {shape}, {tuple(strides)}, {offset}"
        elif len(shape) != 1:
            laid = f", {shape}"
        text = "[" + ", ".join(map(str, data)) + "]"
        wanted = ", grad=True" if self.gradients and grad and dtype in FLOATING else ""
        self.lines.append(f"{name} = make({text}, torch.{dtype}{laid}{wanted})")
        self.operands.append(Operand(name, dtype, shape, whole))
        return self.operands[-1]

    def layout(self, shape: tuple[int, ...], whole: bool) -> tuple[list[int], int, int, bool]:
        """Strides, offset, size of the storage, and whether no two elements share memory."""
        strides = row_major(shape)
        count = math.prod(shape)
        kind = self.pick("plain permuted permuted stepped offset expanded windows") if self.layouts else "plain"
        if not shape or not count or kind == "plain":
            return strides, 0, count, True
        offset = 0
        if kind in ("permuted", "stepped", "offset"):
            order = list(range(len(shape)))
            self.rng.shuffle(order)
            step = 1
            for d in reversed(order):
                strides[d] = step
                step *= shape[d] * (self.pick([1, 2, 3]) if kind == "stepped" else 1)
            offset = self.rng.randint(0, 3) if kind != "permuted" else 0
        elif whole:
            return strides, 0, count, True
        elif kind == "expanded":
            chosen = self.rng.randrange(len(shape))
            strides = row_major(tuple(1 if d == chosen else n for d, n in enumerate(shape)))
            strides[chosen] = 0
        else:
            strides = [self.pick([1, 1, 2, 3]) for _ in shape]
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        return strides, offset, last + 1, kind in ("permuted", "stepped", "offset") or count <= 1

    def index(self, shape: tuple[int, ...], below: int, negative: bool = False, dtype: str = "int64") -> Operand:
        low = -below if negative else 0
        strides, offset, size, whole = self.layout(shape, False)
        data = [self.rng.randint(low, max(below - 1, low)) for _ in range(size)]
        return self.given(shape, dtype, data, strides, offset, whole)

    def mask(self, shape: tuple[int, ...]) -> Operand:
        return self.tensor(shape, "bool")

    def scalar(self, dtype: str = "float64") -> str:
        """A number of Python, of any kind."""
        kinds = ["int", "float", "float", "bool", "edge"] if dtype in FLOATING else ["int", "int", "float", "bool"]
        kind = self.pick(kinds)
        if kind == "bool":
            return self.pick("True False")
        if kind == "edge":
            return self.pick("inf -inf nan -0.0 0 0.0 1e30 -1e-30 2 -1")
        return str(self.rng.randint(-4, 5)) if kind == "int" else f"{self.rng.uniform(-3, 3):.3f}"

    # ---- the program ----

    def make(self) -> tuple[list[str], Call]:
        call = self.rng.choice(FAMILIES[self.family])(self)
        return self.lines, call


def row_major(shape: tuple[int, ...]) -> list[int]:
    strides = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        strides[d] = strides[d + 1] * max(shape[d + 1], 1)
    return strides


def keywords(**values: Any) -> list[str]:
    """Keyword arguments, those that are not None."""
    return [f"{name}={value}" for name, value in values.items() if value is not None]
