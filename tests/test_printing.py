"""The text of tensors: literal texts, and thousands of random tensors against PyTorch's text."""

from __future__ import annotations

import math
import random

import pytest

import bulssi

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="the oracle, torch, is not installed")


@pytest.fixture(autouse=True)
def default_options():
    yield
    for library in (bulssi, torch):
        if library is not None:
            library.set_printoptions(profile="default")
            library.set_default_dtype(library.float32)


LITERAL = [
    (lambda t: t.tensor([1.0, 2.0]), "tensor([1., 2.])"),
    (lambda t: t.tensor([1.5, 2.0]), "tensor([1.5000, 2.0000])"),
    (lambda t: t.tensor(3), "tensor(3)"),
    (lambda t: t.tensor(2.5), "tensor(2.5000)"),
    (lambda t: t.tensor([True, False]), "tensor([ True, False])"),
    (lambda t: t.tensor([]), "tensor([])"),
    (lambda t: t.zeros(0, 3), "tensor([], size=(0, 3))"),
    (lambda t: t.zeros(0, dtype=t.int64), "tensor([], dtype=torch.int64)"),
    (lambda t: t.zeros(2, 0, dtype=t.int64), "tensor([], size=(2, 0), dtype=torch.int64)"),
    (lambda t: t.tensor([1, 2], dtype=t.int8), "tensor([1, 2], dtype=torch.int8)"),
    (lambda t: t.tensor([1.0, math.nan, math.inf]), "tensor([1., nan, inf])"),
    (lambda t: t.tensor([-math.inf, 0.5]), "tensor([  -inf, 0.5000])"),
    (lambda t: t.tensor(math.nan), "tensor(nan)"),
    (lambda t: t.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
    (lambda t: t.tensor([1e9, 1.0]), "tensor([1.0000e+09, 1.0000e+00])"),
    (lambda t: t.tensor([0.0, -0.0]), "tensor([0., -0.])"),
    (lambda t: t.tensor([[1, 2], [3, 40]]), "tensor([[ 1,  2],\n        [ 3, 40]])"),
    (lambda t: t.ones(2, 1, 2), "tensor([[[1., 1.]],\n\n        [[1., 1.]]])"),
    (lambda t: t.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
    (lambda t: t.ones(2, requires_grad=True), "tensor([1., 1.], requires_grad=True)"),
    (lambda t: t.ones(2, requires_grad=True) + 1, "tensor([2., 2.], grad_fn=<AddBackward0>)"),
    (lambda t: t.ones(2, dtype=t.float64), "tensor([1., 1.], dtype=torch.float64)"),
    (lambda t: t.tensor([0.1], dtype=t.float16), "tensor([0.1000], dtype=torch.float16)"),
    (lambda t: t.tensor([0.1], dtype=t.bfloat16), "tensor([0.1001], dtype=torch.bfloat16)"),
    (
        lambda t: t.arange(40.0) / 7,
        "tensor([0.0000, 0.1429, 0.2857, 0.4286, 0.5714, 0.7143, 0.8571, 1.0000, 1.1429,\n"
        "        1.2857, 1.4286, 1.5714, 1.7143, 1.8571, 2.0000, 2.1429, 2.2857, 2.4286,\n"
        "        2.5714, 2.7143, 2.8571, 3.0000, 3.1429, 3.2857, 3.4286, 3.5714, 3.7143,\n"
        "        3.8571, 4.0000, 4.1429, 4.2857, 4.4286, 4.5714, 4.7143, 4.8571, 5.0000,\n"
        "        5.1429, 5.2857, 5.4286, 5.5714])",
    ),
]


@pytest.mark.parametrize("index", range(len(LITERAL)))
def test_literal_text(index):
    make, text = LITERAL[index]
    assert repr(make(bulssi)) == text
    assert str(make(bulssi)) == text
    if torch is not None:
        assert repr(make(torch)) == text  # the expectation itself


def test_the_dtype_suffix_follows_the_default_dtype():
    bulssi.set_default_dtype(bulssi.float64)
    assert repr(bulssi.tensor([1.5])) == "tensor([1.5000])"
    assert repr(bulssi.tensor([1.5], dtype=bulssi.float32)) == "tensor([1.5000], dtype=torch.float32)"


def test_format_of_scalars_and_tensors():
    assert f"{bulssi.tensor(1.23456):.2f}" == "1.23"
    assert f"{bulssi.tensor(7):>4d}" == "   7"
    assert f"{bulssi.ones(2)}" == "tensor([1., 1.])"
    with pytest.raises(TypeError, match="unsupported format string passed to Tensor.__format__"):
        f"{bulssi.ones(2):.2f}"


def test_subclass_prints_under_its_own_name():
    class Mine(bulssi.Tensor):
        pass

    assert repr(bulssi.ones(2).as_subclass(Mine)) == "Mine([1., 1.])"


def test_parameter():
    assert repr(bulssi.nn.Parameter(bulssi.ones(2))) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"


def test_options_set_get_and_restored():
    from bulssi import _printing

    before = _printing.get_printoptions()
    with _printing.printoptions(precision=1, linewidth=20):
        assert repr(bulssi.tensor([0.12, 4.5])) == "tensor([0.1, 4.5])"
        assert _printing.get_printoptions()["linewidth"] == 20
    assert _printing.get_printoptions() == before
    with pytest.raises(ValueError, match="unknown profile 'wide'"):
        bulssi.set_printoptions(profile="wide")
    with pytest.raises(ValueError, match="precision = -1"):
        bulssi.set_printoptions(precision=-1, edgeitems=9)
    assert _printing.get_printoptions() == before


def test_large_tensor_is_printed_without_reading_it_all():
    text = repr(bulssi.zeros(3000, 3000))
    assert text.count("0.") == 36 and "..." in text


def _random_case(rng: random.Random):
    """Options and a recipe (dtype name, shape, values) that both libraries can follow."""
    options = {}
    if rng.random() < 0.3:
        options = {
            "precision": rng.randint(0, 7),
            "threshold": rng.choice([0, 1, 5, 20, 1000]),
            "edgeitems": rng.choice([0, 1, 2, 3, 5]),
            "linewidth": rng.choice([10, 40, 80, 120]),
            "sci_mode": rng.choice([None, None, True, False]),
        }
    dtype = rng.choice("float32 float64 float16 bfloat16 int8 int16 int32 int64 uint8 bool".split())
    shape = [rng.choice([0, 1, 2, 3, 4, 7, 8, 12]) for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.1:
        shape = [rng.choice([1001, 1500, 40]) for _ in range(rng.randint(1, 2))]
    if 0 in shape and rng.random() < 0.7:
        shape = [max(1, n) for n in shape]
    count = math.prod(shape)
    if dtype == "bool":
        values = [rng.random() < 0.5 for _ in range(count)]
    elif "int" in dtype:
        low, high = {"uint8": (0, 255), "int8": (-128, 127)}.get(dtype, (-30000, 30000))
        high = rng.choice([high, 9])
        values = [rng.randint(max(low, -high), high) for _ in range(count)]
    else:
        kind = rng.choice(["whole", "plain", "wide", "tiny", "huge", "mixed"])
        spread = {"plain": 1.0, "tiny": 1e-5, "huge": 1e4 if dtype == "float16" else 1e9, "whole": 1, "mixed": 30}
        values = []
        for _ in range(count):
            v = rng.gauss(0, 1) * (10 ** rng.uniform(-4, 4) if kind == "wide" else spread[kind])
            v = float(round(v * 40)) if kind == "whole" else v
            values.append(rng.choice([0.0, -0.0, math.nan, math.inf, -math.inf]) if rng.random() < 0.05 else v)
        values = [v if not math.isfinite(v) else max(-6e4, min(6e4, v)) if dtype == "float16" else v for v in values]
    return options, dtype, shape, values, rng.choice(["no", "no", "leaf", "add"]) if "float" in dtype else "no"


def _text(library, options, dtype, shape, values, grad) -> str:
    library.set_printoptions(profile="default")
    library.set_printoptions(**options)
    x = library.tensor(values, dtype=getattr(library, dtype)).reshape(shape)
    if grad != "no":
        x.requires_grad_(True)
    if grad == "add":
        x = x.reshape(shape) * 1
    return repr(x)


@needs_torch
@pytest.mark.parametrize("block", range(10))
def test_random_tensors_print_as_in_torch(block):
    for seed in range(block * 120, block * 120 + 120):
        case = _random_case(random.Random(seed))
        assert _text(bulssi, *case) == _text(torch, *case), f"seed {seed}: {case[:3]}"


def test_types_show_pytorchs_names_and_can_be_pickled() -> None:
    import pickle

    objects = [bulssi.Size([2, 1]), bulssi.float16, bulssi.device("cuda", 1), bulssi.strided]
    names = ["Size", "dtype", "device", "layout"]
    assert [repr(type(o)) for o in objects] == [f"<class 'torch.{name}'>" for name in names]
    assert repr(type(bulssi.ones(1))) == "<class 'torch.Tensor'>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for o in objects:
            back = pickle.loads(pickle.dumps(o, protocol))
            assert back == o and type(back) is type(o)
    with pytest.raises(TypeError, match="'torch.device' object is not callable"):
        bulssi.device("cpu")()


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda size: size.numel()])
def test_a_size_may_hold_what_no_tensor_has(show) -> None:
    size = bulssi.Size([2, 10**30])
    assert size[1] == 10**30
    with pytest.raises(ValueError, match="Overflow when unpacking"):
        show(size)
