"""ASGD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_lr, _check_nonnegative, _new_step, _to_scalar

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["ASGD"]


class ASGD(ElementwiseOptimizer):
    """Averaged stochastic gradient descent (Polyak & Juditsky 1992, "Acceleration of stochastic approximation by
    averaging"); the average of each parameter is in state[p]["ax"].

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate; at step t it is lr / (1 + lambd * lr * t) ** alpha.
        lambd, alpha: see lr; lambd also decays the parameters.
        t0: the step at which averaging starts.
        weight_decay: factor of the L2 penalty.
        foreach: chooses between PyTorch's implementations; accepted, the result is the same.
        maximize: climb instead of descend.
        differentiable: record step() for autograd.
        capturable: for graph capture on an accelerator; on the CPU step() raises AssertionError, as PyTorch's does.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "asgd"
    _setstate_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}
    _scalar_states = ("step", "eta", "mu")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        _check_lr(lr)
        _check_nonnegative(weight_decay=weight_decay)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        step, lr = _new_step(group), _to_scalar(group["lr"])
        lr = lr.item() if isinstance(lr, bulssi.Tensor) else lr
        return {
            "step": step, "eta": bulssi.full((), lr, dtype=step.dtype), "mu": bulssi.ones((), dtype=step.dtype),
            "ax": bulssi.zeros_like(p),
        }  # fmt: skip

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return "step", "mu", "eta", "ax"

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "lambd", "t0", "alpha", "weight_decay", "maximize", "capturable", "differentiable")
        return {name: group[name] for name in names}
