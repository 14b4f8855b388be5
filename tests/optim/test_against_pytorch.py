"""Every optimizer and schedule against PyTorch: values, state dicts both ways, error texts."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

import bulssi

torch = pytest.importorskip("torch")

SHAPES = [(5, 3), (4,), (), (2, 3, 2)]
OPTIONS = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "fused": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.01, "betas": (0.7, 0.9), "maximize": True, "foreach": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True, "fused": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "momentum_decay": 6e-3}),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "eps": 1e-6, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (1e-3, 1.0), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "t0": 5, "weight_decay": 0.1, "lambd": 1e-2}),
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.1, "weight_decay": 0.1, "d": 2.0, "maximize": True, "eps": (1e-3, 1e-2)}),
]
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(OPTIONS)]


def parameters(lib, dtype: str, seed: int = 0) -> list:
    rng = np.random.default_rng(seed)
    return [
        lib.tensor(rng.standard_normal(shape).tolist(), dtype=getattr(lib, dtype), requires_grad=True)
        for shape in SHAPES
    ]


def set_gradients(lib, params: list, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = lib.tensor(rng.standard_normal(tuple(p.shape)).tolist(), dtype=p.dtype)


def run(lib, opt, params: list, steps: range) -> None:
    for seed in steps:
        set_gradients(lib, params, 100 + seed)
        opt.step()


def plain(value):
    """Tensors as (dtype name, nested list), so that both libraries' values compare."""
    if isinstance(value, (bulssi.Tensor, torch.Tensor)):
        return str(value.dtype).split(".")[-1], value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    return value


def translate(value, to):
    """The same state in the other library's tensors."""
    if isinstance(value, (bulssi.Tensor, torch.Tensor)):
        return to.tensor(value.tolist(), dtype=getattr(to, str(value.dtype).split(".")[-1]))
    if isinstance(value, dict):
        return {k: translate(v, to) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(translate(v, to) for v in value)
    return value


def assert_close(ours: list, theirs: list, rtol: float) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.array(a.tolist()), np.array(b.tolist()), rtol=rtol, atol=rtol * 1e-2)


@pytest.mark.parametrize("dtype,rtol", [("float32", 2e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("name,options", OPTIONS, ids=IDS)
def test_values_and_state(name: str, options: dict, dtype: str, rtol: float) -> None:
    ours, theirs = parameters(bulssi, dtype), parameters(torch, dtype)
    opt, ref = getattr(bulssi.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    assert repr(opt) == repr(ref)
    run(bulssi, opt, ours, range(12))
    run(torch, ref, theirs, range(12))
    assert_close(ours, theirs, rtol)
    mine, other = opt.state_dict(), ref.state_dict()
    assert mine["param_groups"] == other["param_groups"]
    assert mine["state"].keys() == other["state"].keys()
    for key, state in other["state"].items():
        assert list(mine["state"][key]) == list(state)
        for part, value in state.items():
            dtypes = plain(mine["state"][key][part]), plain(value)
            assert dtypes[0][0] == dtypes[1][0], part


@pytest.mark.parametrize("name,options", OPTIONS, ids=IDS)
def test_state_dicts_are_interchangeable(name: str, options: dict) -> None:
    theirs = parameters(torch, "float64")
    ref = getattr(torch.optim, name)(theirs, **options)
    run(torch, ref, theirs, range(6))
    ours = [bulssi.tensor(p.tolist(), dtype=bulssi.float64, requires_grad=True) for p in theirs]
    opt = getattr(bulssi.optim, name)(ours, **options)
    opt.load_state_dict(translate(ref.state_dict(), bulssi))
    run(bulssi, opt, ours, range(6, 12))
    # and back: PyTorch goes on from our state
    back = [torch.tensor(p.tolist(), dtype=torch.float64, requires_grad=True) for p in ours]
    again = getattr(torch.optim, name)(back, **options)
    again.load_state_dict(translate(opt.state_dict(), torch))
    run(torch, again, back, range(12, 18))
    run(torch, ref, theirs, range(6, 18))
    assert_close(back, theirs, 1e-6 if name in ("NAdam", "ASGD") else 1e-12)  # PyTorch casts their counters


@pytest.mark.parametrize("name,options", OPTIONS, ids=IDS)
def test_differentiable_and_tensor_lr(name: str, options: dict) -> None:
    if name == "Adafactor" or options.get("fused") or options.get("foreach"):
        return
    for extra in ({"differentiable": True}, {"lr": "tensor"}):
        ours, theirs = parameters(bulssi, "float64"), parameters(torch, "float64")
        results = []
        for lib, params in ((bulssi, ours), (torch, theirs)):
            given = {**options, **extra}
            if given.get("lr") == "tensor":
                given["lr"] = lib.tensor([0.05], dtype=lib.float64)
            if given.get("differentiable"):
                params = [p.clone() for p in params]
            opt = getattr(lib.optim, name)(params, **given)
            for seed in range(3):
                rng = np.random.default_rng(seed)
                for p in params:
                    p.grad = lib.tensor(rng.standard_normal(tuple(p.shape)).tolist(), dtype=p.dtype)
                opt.step()
            results.append(params)
        # The counters are float32 tensors there, and 1 - beta ** step magnifies the last bit of their power.
        assert_close(*results, 2e-5 if "differentiable" in extra else 1e-9)


def test_gradient_through_a_step() -> None:
    for name in ("SGD", "Adam", "NAdam", "RMSprop", "Adagrad"):
        out = []
        for lib in (bulssi, torch):
            start = lib.tensor([1.0, -2.0], dtype=lib.float64, requires_grad=True)
            w = start.clone()
            opt = getattr(lib.optim, name)([w], lr=0.1, differentiable=True)
            w.grad = (start * 3).detach() if name == "Adagrad" else start * 3
            opt.step()
            w.sum().backward()
            out.append(start.grad.tolist())
        np.testing.assert_allclose(out[0], out[1], rtol=1e-9, err_msg=name)


def rosenbrock(lib, name: str, options: dict) -> list[float]:
    xy = lib.tensor([-1.2, 1.0], dtype=lib.float64, requires_grad=True)
    opt = getattr(lib.optim, name)([xy], **options)
    seen = []

    def closure():
        opt.zero_grad()
        loss = (1 - xy[0]) ** 2 + 100 * (xy[1] - xy[0] ** 2) ** 2
        loss.backward()
        seen.append(loss.item())
        return loss

    for _ in range(4):
        opt.step(closure)
    return [*seen, *xy.tolist()]


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 1e-3},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 7},
        {"line_search_fn": "strong_wolfe", "lr": 0.1, "max_eval": 5},
    ],
)
def test_lbfgs(options: dict) -> None:
    ours, theirs = rosenbrock(bulssi, "LBFGS", options), rosenbrock(torch, "LBFGS", options)
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-12)


def test_muon() -> None:
    for options in ({}, {"lr": 0.1, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}):
        out = []
        for lib in (bulssi, torch):
            params = [p for p in parameters(lib, "float32") if p.dim() == 2]
            opt = lib.optim.Muon(params, **options)
            run(lib, opt, params, range(4))
            out.append(params)
        assert_close(*out, 2e-2)


SCHEDULES = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda e: 0.95**e),
    "LambdaLR2": lambda s, o: s.LambdaLR(o, [lambda e: 0.95**e, lambda e: e // 3]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.95),
    "StepLR": lambda s, o: s.StepLR(o, 3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.2, 0.9, 7),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 8, 2.0),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 6, 0.001),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.001),
    "SequentialLR": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1, 4), s.ExponentialLR(o, 0.9)], [4]),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)], o),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, 3),
    "CyclicLR2": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.1, 4, mode="triangular2"),
    "CyclicLR3": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, mode="exp_range", gamma=0.99, cycle_momentum=False),
    "CyclicLR4": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, scale_fn=lambda x: 1 / x),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=25),
    "OneCycleLR3": lambda s, o: s.OneCycleLR(o, [0.1, 0.2], epochs=5, steps_per_epoch=5, three_phase=True),
    "OneCycleLRlinear": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=25, anneal_strategy="linear"),
    "SWALR": lambda s, o: (bulssi if s is bulssi.optim.lr_scheduler else torch).optim.swa_utils.SWALR(o, 0.3, 5),
}


def groups_of(opt) -> list:
    keys = ("lr", "momentum", "betas", "initial_lr")
    return [[group.get(key) for key in keys] for group in opt.param_groups]


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str, kind: str) -> None:
    traces = []
    for lib in (bulssi, torch):
        params = parameters(lib, "float32")
        groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
        opt = getattr(lib.optim, kind)(groups, lr=0.1, **({"momentum": 0.9} if kind == "SGD" else {}))
        sched = SCHEDULES[name](lib.optim.lr_scheduler, opt)
        trace = [groups_of(opt)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for i in range(24):
                opt.step()
                sched.step()
                trace.append((groups_of(opt), list(sched.get_last_lr())))
                if i == 11:  # through a state dict of a fresh scheduler
                    state = copy.deepcopy(sched.state_dict())
                    saved = copy.deepcopy(opt.state_dict())
                    sched = SCHEDULES[name](lib.optim.lr_scheduler, opt)
                    sched.load_state_dict(state)
                    opt.load_state_dict(saved)
        traces.append((trace, sorted(sched.state_dict())))
    ours, theirs = traces
    assert ours[0] == theirs[0]
    hidden = {"anneal_func", "_scale_fn_ref"}
    assert set(theirs[1]) - set(ours[1]) <= hidden


def test_plateau() -> None:
    metrics = [5, 4, 4, 4, 4.1, 3, 3, 3, 3, 3, 3, 3, 2.99, 2, 2, 2, 2, 2, 2, 2]
    for options in ({"patience": 2}, {"patience": 1, "cooldown": 2, "threshold_mode": "abs", "mode": "max"}):
        traces = []
        for lib in (bulssi, torch):
            opt = lib.optim.SGD(parameters(lib, "float32"), lr=0.1)
            sched = lib.optim.lr_scheduler.ReduceLROnPlateau(opt, min_lr=1e-4, factor=0.3, **options)
            trace = []
            for metric in metrics:
                sched.step(lib.tensor(metric))
                trace.append((opt.param_groups[0]["lr"], sched.num_bad_epochs, sched.get_last_lr()))
            traces.append((trace, sched.state_dict()))
        assert traces[0] == traces[1]


BAD = [
    ("SGD", {"lr": -1.0}),
    ("SGD", {"momentum": -0.5}),
    ("SGD", {"weight_decay": -0.5}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"fused": True, "foreach": True}),
    ("SGD", {"fused": True, "differentiable": True}),
    ("Adam", {"lr": -1.0}),
    ("Adam", {"eps": -1.0}),
    ("Adam", {"betas": (1.0, 0.9)}),
    ("Adam", {"betas": (0.9, 1.0)}),
    ("Adam", {"betas": (0, 0.9)}),
    ("Adam", {"weight_decay": -1}),
    ("Adam", {"fused": True, "foreach": True}),
    ("AdamW", {"weight_decay": -1}),
    ("Adagrad", {"lr_decay": -0.5}),
    ("Adagrad", {"initial_accumulator_value": -0.5}),
    ("Adadelta", {"rho": 1.1}),
    ("Adamax", {"betas": (0.9, 1.0)}),
    ("NAdam", {"momentum_decay": -0.1}),
    ("RAdam", {"eps": -1}),
    ("RMSprop", {"alpha": -1}),
    ("RMSprop", {"momentum": -1}),
    ("Rprop", {"etas": (1.0, 0.5)}),
    ("ASGD", {"weight_decay": -0.5}),
    ("Adafactor", {"beta2_decay": 0.8}),
    ("Adafactor", {"eps": (-1e-3, 1.0)}),
    ("Adafactor", {"d": 0.5}),
    ("LBFGS", {"lr": -1}),
    ("Muon", {}),
]


@pytest.mark.parametrize("name,options", BAD)
def test_bad_options_say_what_pytorch_says(name: str, options: dict) -> None:
    texts = []
    for lib in (bulssi, torch):
        with pytest.raises((ValueError, RuntimeError)) as caught:
            getattr(lib.optim, name)(parameters(lib, "float32"), **options)
        texts.append((caught.type, str(caught.value)))
    assert texts[0] == texts[1]


def bad_params(lib) -> list:
    w, v = lib.zeros(2, requires_grad=True), lib.zeros(2, requires_grad=True)
    return [
        w, [], {w}, [1], [w * 2], [{"params": {w}}], [("a", w), v], [{"params": [w]}, {"params": [w, v]}],
        [{"params": [("a", w)]}, {"params": [v]}],
    ]  # fmt: skip


@pytest.mark.parametrize("case", range(9))
def test_bad_parameters_say_what_pytorch_says(case: int) -> None:
    if case == 2:
        return  # a set of tensors at the top is accepted by both
    texts = []
    for lib in (bulssi, torch):
        with pytest.raises((ValueError, TypeError)) as caught:
            lib.optim.SGD(bad_params(lib)[case])
        texts.append((caught.type, str(caught.value).split(";")[0]))
    assert texts[0] == texts[1]


def test_duplicates_warn_and_capturable_raises() -> None:
    w = bulssi.zeros(2, requires_grad=True)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        bulssi.optim.SGD([w, w])
    for name in ("Adam", "ASGD", "NAdam", "Adadelta", "Rprop"):
        texts = []
        for lib in (bulssi, torch):
            w = lib.zeros(2, requires_grad=True)
            opt = getattr(lib.optim, name)([w], capturable=True)
            w.grad = lib.ones(2)
            with pytest.raises(AssertionError) as caught:
                opt.step()
            texts.append(str(caught.value))
        assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "name", ["ASGD", "Adadelta", "Adagrad", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"]
)
@pytest.mark.parametrize("flags", [{"foreach": True, "differentiable": True}, {"foreach": True, "capturable": True}])
def test_flags_that_do_not_go_together_raise_at_the_first_step(name: str, flags: dict) -> None:
    if name == "Adagrad" and "capturable" in flags:
        return
    texts = []
    for lib in (bulssi, torch):
        w = lib.zeros(2).clone()
        opt = getattr(lib.optim, name)([w], **flags)
        w.grad = lib.ones(2)
        with pytest.raises(AssertionError) as caught:
            opt.step()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
