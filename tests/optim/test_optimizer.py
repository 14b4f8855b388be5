"""The optimizer base: hooks, groups, zero_grad, pickles, closures; and averaged models."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest

import bulssi
from bulssi import optim


def one_parameter() -> bulssi.Tensor:
    return bulssi.tensor([1.0, -2.0], requires_grad=True)


def test_lbfgs_goes_on_after_a_step_that_failed() -> None:
    def minimise(fails_at: int) -> list[float]:
        w = bulssi.tensor([1.0, -2.0, 3.0], requires_grad=True)
        opt = optim.LBFGS([w], lr=0.5, max_iter=3)
        calls = 0

        def closure() -> bulssi.Tensor:
            nonlocal calls
            calls += 1
            if calls == fails_at:
                raise ValueError("no loss")
            opt.zero_grad()
            loss = (w**2).sum()
            loss.backward()
            return loss

        for _ in range(5):
            try:
                opt.step(closure)
            except ValueError:
                calls = 100
        return w.tolist()

    for fails_at in range(1, 8):
        assert max(abs(x) for x in minimise(fails_at)) < 0.1


def test_hooks_run_in_order_and_can_change_arguments() -> None:
    w = one_parameter()
    opt = optim.SGD([w], lr=0.1)
    seen: list[str] = []
    handles = [
        opt.register_step_pre_hook(lambda o, args, kwargs: seen.append("pre")),
        opt.register_step_post_hook(lambda o, args, kwargs: seen.append("post")),
        optim.optimizer.register_optimizer_step_pre_hook(lambda o, args, kwargs: seen.append("global pre")),
        optim.optimizer.register_optimizer_step_post_hook(lambda o, args, kwargs: seen.append("global post")),
        opt.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: seen.append("closure") or 7), kwargs)),
    ]
    assert opt.step() == 7
    assert seen == ["global pre", "pre", "closure", "post", "global post"]
    for handle in handles:
        handle.remove()
    seen.clear()
    opt.step()
    assert seen == []
    opt.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple of"):
        opt.step()


def test_state_dict_hooks() -> None:
    opt = optim.Adam([one_parameter()])
    seen: list[str] = []
    opt.register_state_dict_pre_hook(lambda o: seen.append("a"))
    opt.register_state_dict_pre_hook(lambda o: seen.append("b"), prepend=True)
    opt.register_state_dict_post_hook(lambda o, d: {**d, "note": 1})
    assert opt.state_dict()["note"] == 1
    opt.register_load_state_dict_pre_hook(lambda o, d: {k: v for k, v in d.items() if k != "note"})
    opt.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    opt.load_state_dict(opt.state_dict())
    assert seen == ["b", "a", "b", "a", "loaded"]


def test_load_state_dict_refuses_other_groups_and_stays_as_it_was() -> None:
    w, v = one_parameter(), one_parameter()
    opt, other = optim.SGD([w], lr=0.1, momentum=0.5), optim.SGD([w, v], lr=0.2)
    two = optim.SGD([{"params": [w]}, {"params": [v]}], lr=0.3)
    with pytest.raises(ValueError, match="different number of parameter groups"):
        opt.load_state_dict(two.state_dict())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        opt.load_state_dict(other.state_dict())
    assert opt.param_groups[0]["lr"] == 0.1 and opt.param_groups[0]["params"] == [w]


def test_zero_grad() -> None:
    w = one_parameter()
    opt = optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    grad = w.grad
    opt.zero_grad(set_to_none=False)
    assert w.grad is grad and grad.tolist() == [0, 0]
    opt.zero_grad()
    assert w.grad is None
    opt.step()  # nothing to do


def test_copies_step_like_the_original() -> None:
    w = one_parameter()
    opt = optim.Adam([w], lr=0.1)
    w.grad = bulssi.ones(2)
    opt.step()
    for clone in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        (p,) = clone.param_groups[0]["params"]
        assert p is not w and p.tolist() == w.tolist()
        p.grad = bulssi.ones(2)
        clone.step()
        assert p.tolist() != w.tolist()
        assert clone.state[p]["step"].item() == 2


def test_named_parameters_are_kept_in_state_dicts() -> None:
    w, v = one_parameter(), one_parameter()
    opt = optim.SGD([("w", w), ("v", v)], lr=0.1)
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["w", "v"]
    opt.add_param_group({"params": [("u", one_parameter())], "lr": 1.0})
    assert opt.param_groups[1]["lr"] == 1.0 and opt.param_groups[1]["momentum"] == 0


def test_a_subclass_of_the_users() -> None:
    class Plain(optim.Optimizer):
        def __init__(self, params, lr=optim.optimizer.required):
            super().__init__(params, {"lr": lr})

        @bulssi.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=-group["lr"])

    w = one_parameter()
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        Plain([w])
    opt = Plain([w], lr=0.5)
    w.grad = bulssi.ones(2)
    seen = []
    opt.register_step_post_hook(lambda *a: seen.append(1))
    opt.step()
    assert w.tolist() == [0.5, -2.5] and seen == [1]
    sched = optim.lr_scheduler.StepLR(opt, 1)
    opt.step()
    sched.step()
    assert opt.param_groups[0]["lr"] == pytest.approx(0.05)


def test_schedulers_warn_about_the_order_of_calls() -> None:
    w = one_parameter()
    opt = optim.SGD([w], lr=0.1)
    sched = optim.lr_scheduler.StepLR(opt, 1)
    with pytest.warns(UserWarning, match=r"lr_scheduler.step\(\)` before `optimizer.step"):
        sched.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        sched.get_lr()
    with pytest.warns(UserWarning, match="epoch parameter"):
        sched.step(3)
    opt = optim.SGD([w], lr=0.1)
    sched = optim.lr_scheduler.StepLR(opt, 1)
    opt.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sched.step()
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        optim.lr_scheduler.StepLR(3, 1)


def test_averaged_models() -> None:
    from bulssi.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn, update_bn

    model = bulssi.nn.Sequential(bulssi.nn.Linear(2, 3), bulssi.nn.BatchNorm1d(3))
    mean = AveragedModel(model)
    ema, multi = (
        AveragedModel(model, avg_fn=get_ema_avg_fn(0.9)),
        AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)),
    )
    values = []
    for i in range(4):
        with bulssi.no_grad():
            for p in model.parameters():
                p.fill_(float(i))
        for average in (mean, ema, multi):
            average.update_parameters(model)
        values.append(float(i))
    expected = 0.0
    for value in values[1:]:
        expected = 0.9 * expected + 0.1 * value
    assert mean.module[0].weight[0, 0].item() == pytest.approx(1.5)
    assert ema.module[0].weight[0, 0].item() == pytest.approx(expected)
    assert multi.module[0].weight[0, 0].item() == pytest.approx(expected)
    assert mean.n_averaged.item() == 4
    data = bulssi.randn(20, 2)
    update_bn([data[:10], data[10:]], mean)
    assert mean.module[1].num_batches_tracked.item() == 2
    assert mean.module[1].momentum == 0.1


def test_sparse_adam_refuses_gradients_which_are_all_dense():
    p = bulssi.nn.Parameter(bulssi.ones(2))
    optimizer = bulssi.optim.SparseAdam([p], maximize=True)
    assert optimizer.step(lambda: 3.0) == 3.0
    p.grad = bulssi.ones(2)
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients, please consider Adam instead"):
        optimizer.step()
    assert p.tolist() == [1.0, 1.0]
    for options, message in (
        ({"lr": 0.0}, "Invalid learning rate: 0.0"),
        ({"eps": -1}, "Invalid epsilon value: -1"),
        ({"betas": (1.0, 0.0)}, "Invalid beta parameter at index 0: 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            bulssi.optim.SparseAdam([p], **options)
