"""Operations of tensors and numbers of mixed dtypes and shapes, drawn at random, beside PyTorch."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")

DTYPES = "float32 float64 float16 bfloat16 int8 int16 int32 int64 uint8 bool".split()
ARITY = {
    name: arity
    for arity, names in {
        1: "abs neg sign sgn exp log sqrt sin tanh floor ceil round trunc frac reciprocal sigmoid isnan signbit "
        "logical_not bitwise_not square nan_to_num sum mean prod cumsum amax argmin all any var logsumexp",
        2: "add sub mul div true_divide floor_divide remainder fmod pow maximum minimum fmax fmin atan2 hypot eq ne lt "
        "le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
        "bitwise_right_shift copysign nextafter gcd lcm heaviside xlogy isclose",
        3: "where addcmul addcdiv clamp",
    }.items()
    for name in names.split()
}
TOLERANCE = {"torch.float32": 2e-5, "torch.float64": 1e-12, "torch.float16": 4e-3, "torch.bfloat16": 3e-2}


def draw_values(dtype: str, count: int, rng: random.Random) -> list[Any]:
    if dtype == "bool":
        return [rng.random() < 0.5 for _ in range(count)]
    if dtype == "uint8":
        return [rng.randrange(256) for _ in range(count)]
    if dtype.startswith("int"):
        return [rng.choice([rng.randrange(-5, 6), rng.randrange(-100, 100), 0, 1, -1]) for _ in range(count)]
    special = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 2.5]
    return [rng.gauss(0, 1) if rng.random() < 0.6 else rng.choice(special) for _ in range(count)]


def draw_operand(rng: random.Random) -> tuple[Any, ...]:
    if rng.random() < 0.2:
        return ("number", rng.choice([2, -3, 0, 2.5, -0.5, True, 100, -1]))
    shape = rng.choice([[], [], [3], [2, 3], [1, 3], [2, 1], [0], [17]])
    dtype = rng.choice(DTYPES)
    return ("tensor", dtype, shape, draw_values(dtype, math.prod(shape), rng))


def described(result: Any) -> Any:
    if hasattr(result, "dtype"):
        return str(result.dtype), list(result.shape), result.flatten().tolist()
    return result


def outcome(library: Any, name: str, form: str, operands: list[tuple[Any, ...]]) -> Any:
    arguments = [
        operand[1]
        if operand[0] == "number"
        else library.tensor(operand[3], dtype=getattr(library, operand[1])).reshape(operand[2])
        for operand in operands
    ]
    try:
        if form == "function":
            return described(getattr(library, name)(*arguments))
        return described(getattr(arguments[0], name + ("_" if form == "in place" else ""))(*arguments[1:]))
    except (RuntimeError, TypeError, AttributeError, IndexError, ValueError) as error:
        return type(error).__name__


def same(theirs: Any, ours: Any) -> bool:
    if not isinstance(theirs, tuple) or not isinstance(ours, tuple):
        return theirs == ours
    if theirs[:2] != ours[:2]:
        return False
    tolerance = TOLERANCE.get(theirs[0], 0)
    for a, b in zip(theirs[2], ours[2], strict=True):
        if a == b or (a != a and b != b):
            continue
        if not abs(a - b) <= tolerance * (1 + abs(a)) or math.isinf(a) or math.isinf(b):
            return False
    return True


@pytest.mark.filterwarnings("ignore:(var|std)\\(\\). degrees of freedom")
@pytest.mark.parametrize("seed", range(10))
def test_random_calls(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(400):
        name = rng.choice(list(ARITY))
        operands = [draw_operand(rng) for _ in range(ARITY[name])]
        if name == "where":
            operands[0] = ("tensor", "bool", [3], draw_values("bool", 3, rng))
        form = rng.choice(["function", "method", "in place"])
        theirs, ours = (outcome(library, name, form, operands) for library in (torch, bulssi))
        assert same(theirs, ours), (name, form, operands, theirs, ours)


def test_integers_wrap_before_they_are_used() -> None:
    small = bulssi.tensor([10, 200], dtype=bulssi.uint8)
    assert (small // -3).tolist() == [0, 0]  # 253 fits in neither
    assert (small % 300).tolist() == [10, 24]  # 300 is 44
    assert bulssi.maximum(small, bulssi.tensor(300)).tolist() == [44, 200]


def test_results_are_rounded_to_their_own_type_first() -> None:
    half = bulssi.tensor([2.5], dtype=bulssi.float16)
    out = bulssi.empty(1, dtype=bulssi.float64)
    assert bulssi.rsqrt(half, out=out).item() == bulssi.rsqrt(half).double().item()


def test_the_next_half() -> None:
    one = bulssi.tensor([1.0, 0.0, -2.0, math.nan, 1.0], dtype=bulssi.float16)
    two = bulssi.tensor([2.0, 1.0, 5.0, 1.0, 1.0], dtype=bulssi.float16)
    assert bulssi.nextafter(one, two).tolist()[:3] == [1 + 2**-10, 2**-24, -2 + 2**-10]
    assert bulssi.nextafter(one, two)[3].isnan() and bulssi.nextafter(one, two)[4] == 1
