"""Rprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_lr, _new_step, _to_scalar

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["Rprop"]


class Rprop(ElementwiseOptimizer):
    """Resilient backpropagation (Riedmiller & Braun 1993, "A Direct Adaptive Method for Faster Backpropagation
    Learning: The RPROP Algorithm").

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: the first step size.
        etas: factors by which a step size falls when the gradient's sign turns and grows when it stays.
        step_sizes: the smallest and the largest step size.
        capturable: for graph capture on an accelerator; on the CPU step() raises AssertionError, as PyTorch's does.
        foreach: chooses between PyTorch's implementations; accepted, the result is the same.
        maximize: climb instead of descend.
        differentiable: record step() for autograd.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "rprop"
    _setstate_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        lr = _to_scalar(group["lr"])
        lr = lr.item() if isinstance(lr, bulssi.Tensor) else lr
        return {
            "step": _new_step(group), "prev": bulssi.zeros_like(p),
            "step_size": bulssi.full_like(p.grad, complex(lr, lr) if p.is_complex() else lr),
        }  # fmt: skip

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return "step", "prev", "step_size"

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        (etaminus, etaplus), (smallest, largest) = group["etas"], group["step_sizes"]
        return {
            "etaminus": etaminus, "etaplus": etaplus, "step_size_min": smallest, "step_size_max": largest,
            "maximize": group["maximize"], "capturable": group["capturable"],
            "differentiable": group["differentiable"],
        }  # fmt: skip
