"""Convolution and pooling beside PyTorch: values, and gradients of both orders."""

from __future__ import annotations

import random
from typing import Any

import pytest

import bulssi

from .test_matmul import derivatives, numbers, ours, same, torch

CONVOLUTIONS = [  # rank, input, weight, options
    (1, (2, 3, 9), (4, 3, 3), {}),
    (1, (2, 4, 9), (6, 2, 3), {"groups": 2, "stride": 2, "padding": 1, "dilation": 2}),
    (2, (2, 3, 7, 8), (4, 3, 3, 3), {"padding": 1}),
    (2, (2, 3, 7, 8), (4, 3, 1, 1), {}),
    (2, (2, 4, 7, 8), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    (2, (2, 3, 7, 8), (4, 3, 3, 2), {"stride": (2, 3), "padding": (1, 0), "dilation": (2, 1)}),
    (3, (2, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"stride": (1, 2, 1), "padding": 1}),
]
TRANSPOSED = [
    (1, (2, 3, 5), (3, 4, 3), {"stride": 2, "output_padding": 1}),
    (2, (2, 4, 4, 5), (4, 2, 3, 3), {"groups": 2, "padding": 1, "stride": 2}),
    (2, (2, 4, 4, 5), (4, 2, 3, 3), {"dilation": 2}),
    (3, (1, 2, 3, 3, 3), (2, 3, 2, 2, 2), {"stride": 2}),
    (2, (1, 6, 19, 1), (6, 8, 3, 4), {"padding": (2, 1), "dilation": (3, 2), "output_padding": (2, 1)}),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("name", "case"),
    [(f"conv{c[0]}d", c) for c in CONVOLUTIONS] + [(f"conv_transpose{c[0]}d", c) for c in TRANSPOSED],
)
def test_convolution(name: str, case: Any, bias: bool) -> None:
    _, x, w, options = case
    features = w[1] * options.get("groups", 1) if "transpose" in name else w[0]
    data = [numbers(*x), numbers(*w, seed=1), *([numbers(features, seed=2)] if bias else [])]
    results = []
    for lib, convert in ((bulssi, ours), (torch, torch.clone)):
        f = getattr(lib.nn.functional, name)
        results.append(derivatives(lib, lambda *a, f=f: f(*a, **options), [convert(t).requires_grad_() for t in data]))
    for a, b in zip(*results, strict=True):
        same(a, b, 1e-8)


SIZES = [  # input, weight, options: shapes that take different ways through the columns
    ((5, 8, 60, 61), (40, 8, 3, 3), {"padding": 1}),
    ((3, 8, 28, 28), (16, 8, 3, 3), {"padding": 1, "stride": 2}),
    ((2, 6, 14, 33), (9, 2, 5, 4), {"padding": 2, "stride": (1, 3), "groups": 3}),
    ((9, 16, 8, 8), (32, 16, 3, 3), {"padding": 2, "dilation": 2}),
    ((1, 40, 5, 300), (8, 40, 3, 7), {"padding": (0, 3)}),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "options"), SIZES)
def test_large_enough_to_be_split(x_shape: Any, w_shape: Any, options: dict[str, Any]) -> None:
    x, w, b = numbers(*x_shape), numbers(*w_shape, seed=1), numbers(w_shape[0], seed=2)
    results = []
    for lib, convert in ((bulssi, ours), (torch, torch.clone)):
        leaves = [convert(t).requires_grad_() for t in (x, w, b)]
        y = lib.nn.functional.conv2d(*leaves, **options)
        results.append([y, *lib.autograd.grad((y * y).sum(), leaves)])
    for made, theirs in zip(*results, strict=True):
        same(made, theirs, 1e-8)


def random_convolution(seed: int) -> tuple[Any, Any, Any, tuple[Any, ...]]:
    """Input, weight, bias and the other arguments of a convolution of any rank, with widths around a register's."""
    draw = random.Random(seed)
    rank, groups, transposed = draw.choice([1, 2, 2, 3]), draw.choice([1, 1, 2, 5]), draw.random() < 0.4
    channels, features = groups * draw.choice([1, 3, 16, 20]), groups * draw.choice([1, 5, 16, 33, 64])
    kernel, stride, dilation = ([draw.randint(1, most) for _ in range(rank)] for most in (4, 3, 2))
    padding = [draw.randint(0, 3) for _ in range(rank)]
    least = [
        0 if transposed else max(0, d * (k - 1) - 2 * p) for d, k, p in zip(dilation, kernel, padding, strict=True)
    ]
    size = [1 + n + draw.randint(4, {1: 70, 2: 24, 3: 9}[rank]) for n in least]
    extra = [draw.randrange(max(s, d)) if transposed else 0 for s, d in zip(stride, dilation, strict=True)]
    x = numbers(draw.randint(1, 5), channels, *size, seed=seed)
    weight_shape = (channels, features // groups) if transposed else (features, channels // groups)
    w, bias = numbers(*weight_shape, *kernel, seed=seed + 1), numbers(features, seed=seed + 2)
    return x, w, bias, (stride, padding, dilation, transposed, extra, groups)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(24))
def test_random_convolutions_and_their_threads(seed: int, dtype: str) -> None:
    x, w, bias, others = random_convolution(seed)
    leaves = [t.requires_grad_() for t in (x, w, bias)]
    y = torch.convolution(*leaves, *others)
    g = numbers(*y.shape, seed=3)
    expected = [y, *torch.autograd.grad(y, leaves, g)]

    def made() -> list[Any]:
        mine = [ours(t.to(getattr(torch, dtype))).requires_grad_() for t in leaves]
        z = bulssi.convolution(*mine, *others)
        return [z.detach(), *bulssi.autograd.grad(z, mine, ours(g.to(getattr(torch, dtype))))]

    threads = bulssi.get_num_threads()
    try:
        bulssi.set_num_threads(1)
        one = made()
        bulssi.set_num_threads(3)
        several = made()
    finally:
        bulssi.set_num_threads(threads)
    for a, b, c in zip(one, several, expected, strict=True):
        assert a.flatten().tolist() == b.flatten().tolist()
        distance = (torch.tensor(a.flatten().tolist(), dtype=torch.float64) - c.detach().flatten()).abs().max()
        assert distance <= (1e-5 if dtype == "float32" else 1e-12) * c.detach().abs().max()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64"])
def test_other_dtypes(dtype: str) -> None:
    x, w = (t.mul(2).to(getattr(torch, dtype)) for t in (numbers(2, 3, 6, 6), numbers(4, 3, 3, 3, seed=1)))
    same(bulssi.conv2d(ours(x), ours(w)), torch.conv2d(x, w), 0 if dtype == "int64" else 5e-2)


def test_a_wrong_channel_count_is_named() -> None:
    with pytest.raises(RuntimeError, match="expected input.* to have 3 channels, but got 2 channels"):
        bulssi.convolution(
            bulssi.ones(1, 2, 4, 4), bulssi.ones(1, 3, 2, 2), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1
        )


POOLS = [
    ("max_pool1d", (2, 3, 9), {"kernel_size": 3}),
    ("max_pool2d", (2, 3, 8, 8), {"kernel_size": 2}),
    ("max_pool2d", (2, 3, 9, 7), {"kernel_size": 2}),
    ("max_pool2d", (2, 3, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True}),
    ("max_pool3d", (2, 3, 4, 5, 6), {"kernel_size": 2, "stride": 1}),
    ("avg_pool1d", (2, 3, 9), {"kernel_size": 3, "padding": 1}),
    ("avg_pool2d", (2, 3, 9, 8), {"kernel_size": (3, 2), "padding": 1, "count_include_pad": False, "ceil_mode": True}),
    ("avg_pool2d", (2, 3, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (2, 3, 9, 8), {"kernel_size": 3, "divisor_override": 5}),
    ("avg_pool3d", (2, 3, 4, 5, 6), {"kernel_size": 2}),
    ("adaptive_avg_pool2d", (2, 3, 8, 8), {"output_size": (2, 1)}),
]


@pytest.mark.parametrize(("name", "shape", "options"), POOLS)
def test_pooling(name: str, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    results = []
    for lib, convert in ((bulssi, ours), (torch, torch.clone)):
        f = getattr(lib.nn.functional, name)
        results.append(derivatives(lib, lambda x, f=f: f(x, **options), [convert(numbers(*shape)).requires_grad_()]))
    for a, b in zip(*results, strict=True):
        same(a, b)


def test_nan_wins_and_indices_agree() -> None:
    x = numbers(1, 2, 6, 6)
    x[0, 0, 2, 3] = float("nan")
    theirs = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    made = bulssi.nn.functional.max_pool2d(ours(x), 2, return_indices=True)
    assert made[1].tolist() == theirs[1].tolist()
    assert str(made[0].tolist()) == str(theirs[0].tolist())


def test_the_same_bits_for_any_number_of_threads() -> None:
    def step() -> list[Any]:
        x, w = (ours(numbers(*s).float()).requires_grad_() for s in ((6, 8, 40, 40), (16, 8, 3, 3)))
        y = bulssi.nn.functional.max_pool2d(bulssi.conv2d(x, w, padding=1), 2)
        return [t.detach().flatten().tolist() for t in (y, *bulssi.autograd.grad((y * y).sum(), [x, w]))]

    before = bulssi.get_num_threads()
    try:
        bulssi.set_num_threads(1)
        one = step()
        bulssi.set_num_threads(2)
        assert step() == one
    finally:
        bulssi.set_num_threads(before)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_no_elements_in_space_is_refused(rank: int) -> None:
    layer = getattr(bulssi.nn, f"ConvTranspose{rank}d")(4, 5, 3)
    with pytest.raises(RuntimeError, match="Only zero batch or zero channel inputs are supported"):
        layer(bulssi.zeros(1, 4, *(0,) * rank))
    assert layer(bulssi.zeros(0, 4, *(5,) * rank)).shape == (0, 5, *(7,) * rank)


@pytest.mark.parametrize("width", [2, 7, 14, 33, 70])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_halving_by_the_maximum(width: int, dtype: str) -> None:
    """Ties go to the first element and a nan wins, in whole and partial registers."""
    x = torch.randint(-2, 3, (3, 4, 6, width), generator=torch.Generator().manual_seed(width)).to(getattr(torch, dtype))
    if x.is_floating_point():
        x[torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.05] = float("nan")
    values, places = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    made, found = bulssi.nn.functional.max_pool2d(ours(x), 2, return_indices=True)
    torch.testing.assert_close(torch.tensor(made.tolist(), dtype=x.dtype), values, rtol=0, atol=0, equal_nan=True)
    assert found.tolist() == places.tolist()


@pytest.mark.parametrize("stride", [40, 2**31, 2**61, 2**63 - 1])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_stride_beyond_the_input_has_one_position(rank: int, stride: int) -> None:
    x, w = (ours(numbers(*shape)).requires_grad_() for shape in ((2, 16, *(5,) * rank), (4, 16, *(3,) * rank)))
    apply = getattr(bulssi.nn.functional, f"conv{rank}d")
    results = []
    for step in (stride, 39):
        y = apply(x, w, stride=step, padding=3)
        results.append([t.tolist() for t in (y.detach(), *bulssi.autograd.grad((y * y).sum(), [x, w]))])
    assert y.shape == (2, 4, *(1,) * rank) and results[0] == results[1]


@pytest.mark.parametrize("empty", ["batch", "channels"])
def test_nothing_to_sum(empty: str) -> None:
    batch, channels = (0 if empty == name else 3 for name in ("batch", "channels"))
    x = bulssi.ones(batch, channels, 5, 6, requires_grad=True)
    w = bulssi.ones(2, channels, 3, 2, requires_grad=True)
    y = bulssi.conv2d(x, w, padding=1)
    assert y.shape == (batch, 2, 5, 7) and not y.any()
    y.sum().backward()
    assert x.grad is not None and w.grad is not None and not x.grad.any() and not w.grad.any()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("padding", [2**63 - 1, 2**62, 2**61, 2**40])
def test_sizes_that_cannot_be(padding: int, transposed: bool) -> None:
    apply, channels = (bulssi.conv_transpose1d, 16) if transposed else (bulssi.conv1d, 4)
    for options in ({"padding": padding}, {"padding": padding, "stride": 2}, {"dilation": padding}):
        with pytest.raises((RuntimeError, MemoryError)):
            apply(bulssi.ones(2, 16, 9), bulssi.ones(channels, 16, 2), **options)
