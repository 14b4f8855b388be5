"""Adagrad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_lr, _check_nonnegative, _new_step

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["Adagrad"]


class Adagrad(ElementwiseOptimizer):
    """Adagrad (Duchi, Hazan & Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization").

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate; at step t it is lr / (1 + (t - 1) * lr_decay).
        lr_decay: see lr.
        weight_decay: factor of the L2 penalty.
        initial_accumulator_value: what the sum of squared gradients starts from.
        eps: added to the denominator.
        foreach, fused: choose between PyTorch's implementations; accepted, the result is the same.
        maximize: climb instead of descend.
        differentiable: record step() for autograd.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "adagrad"
    _setstate_defaults = {"foreach": None, "maximize": False, "differentiable": False, "fused": None}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        _check_lr(lr)
        _check_nonnegative(
            lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value,
            epsilon=eps,
        )  # fmt: skip
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        self._check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p].update(self._new_state(p, group))

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        start = self.defaults["initial_accumulator_value"]
        return {
            "step": _new_step(group),
            "sum": bulssi.full_like(p, complex(start, start) if p.is_complex() else start),
        }

    def share_memory(self) -> None:
        """Moves the state to shared memory."""
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["sum"].share_memory_()

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return "step", "sum"

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "lr_decay", "weight_decay", "eps", "maximize", "differentiable")
        return {name: group[name] for name in names}
