"""The core's one-pass step against the formulas in Python."""

from __future__ import annotations

import pytest

import bulssi
from bulssi.optim import _fused

core = pytest.importorskip("bulssi._core")
if not hasattr(core, "fused_step"):
    pytest.skip("this build has no fused step", allow_module_level=True)

OPTIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.01, "betas": (0.3, 0.9)}),
    ("AdamW", {"lr": 0.01, "amsgrad": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adadelta", {"lr": 0.5, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.01, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "centered": True}),
    ("Rprop", {"lr": 0.1, "maximize": True}),
    ("ASGD", {"lr": 0.1, "t0": 3, "weight_decay": 0.1}),
]
SIZES = [(3, 5), (), (1,), (0, 4), (40_001,), (7,)]


def trained(name: str, options: dict, dtype, steps: int = 9) -> tuple[list, list]:
    generator = bulssi.Generator().manual_seed(0)

    def random(shape):
        return bulssi.randn(shape, dtype=bulssi.float64, generator=generator).to(dtype)

    params = [random(shape).requires_grad_() for shape in SIZES]
    opt = getattr(bulssi.optim, name)(params, **options)
    for _ in range(steps):
        for p in params:
            p.grad = random(p.shape)
        opt.step()
    states = [v for p in params for v in opt.state[p].values()]
    return params, states


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fused, "_core_step", None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name,options", OPTIONS, ids=lambda v: v if isinstance(v, str) else "")
def test_one_pass_is_the_formula(name: str, options: dict, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args):
        calls.append(core.fused_step(*args))
        return calls[-1]

    monkeypatch.setattr(_fused, "_core_step", counted)
    fast = trained(name, options, getattr(bulssi, dtype))
    assert calls and all(calls), "the core took every step"
    refuse(monkeypatch)
    slow = trained(name, options, getattr(bulssi, dtype))
    tolerance = 1e-11 if dtype == "float64" else 2e-5
    for a, b in zip(fast[0] + fast[1], slow[0] + slow[1], strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        if a.numel():
            scale = b.abs().max().item() + 1e-3
            assert (a - b).abs().max().item() <= tolerance * scale


@pytest.mark.parametrize("name,options", OPTIONS[:1] + OPTIONS[4:5] + OPTIONS[15:16], ids=str)
def test_the_same_bits_for_any_number_of_threads(name: str, options: dict) -> None:
    before, results = bulssi.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            bulssi.set_num_threads(threads)
            results.append([t.tolist() for part in trained(name, options, bulssi.float32, 3) for t in part])
    finally:
        bulssi.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_nan_and_infinity_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [1.0, float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45]
    for name, options in OPTIONS:
        results = []
        for one_pass in (True, False):
            if not one_pass:
                refuse(monkeypatch)
            w = bulssi.ones(len(values), requires_grad=True)
            opt = getattr(bulssi.optim, name)([w], **options)
            for _ in range(3):
                w.grad = bulssi.tensor(values)
                opt.step()
            results.append(
                [repr(v) if v != v or v in (float("inf"), -float("inf")) else round(v, 4) for v in w.tolist()]
            )
            monkeypatch.undo()
        assert results[0] == results[1], name


def test_what_it_does_not_take_is_left_alone() -> None:
    def sgd(p, g, **extra) -> bool:
        numbers = {
            "lr": 1.0, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False,
            "first_step": False, "differentiable": False, **extra,
        }  # fmt: skip
        return core.fused_step("sgd", p, g, [(None,)] * len(p), numbers)

    w, ones = bulssi.zeros(4, 4), bulssi.ones(4, 4)
    assert not sgd([w.t()[:, :2]], [ones[:, :2]])
    assert not sgd([w.to(bulssi.bfloat16)], [ones.to(bulssi.bfloat16)])
    assert not sgd([w, w], [ones, ones])
    assert not sgd([w], [ones[0]])
    assert not core.fused_step("unknown", [w], [ones], [(None,)], {})
    assert not core.fused_step("adam", [w], [ones], [(None,) * 4], {})
    assert w.tolist() == [[0.0] * 4] * 4
    with pytest.raises(ValueError, match="different lengths"):
        sgd([w], [])
    with pytest.raises(TypeError, match="the number 'lr' is missing"):
        core.fused_step("sgd", [w], [ones], [(None,)], {"maximize": False, "weight_decay": 0.0})
    with pytest.raises(TypeError):
        sgd([w], [ones], lr="fast")
    assert w.tolist() == [[0.0] * 4] * 4
    version = w._version
    assert sgd([w], [ones.t()]) and w.tolist() == [[-1.0] * 4] * 4 and w._version == version + 1


def test_a_parameter_given_twice_is_stepped_twice() -> None:
    w = bulssi.zeros(2, requires_grad=True)
    with pytest.warns(UserWarning, match="duplicate"):
        opt = bulssi.optim.SGD([w, w], lr=1.0)
    w.grad = bulssi.ones(2)
    opt.step()
    assert w.tolist() == [-2.0, -2.0]
