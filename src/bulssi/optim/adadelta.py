"""Adadelta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_lr, _check_nonnegative, _new_step

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["Adadelta"]


class Adadelta(ElementwiseOptimizer):
    """Adadelta (Zeiler 2012, "ADADELTA: An Adaptive Learning Rate Method").

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: factor of the update.
        rho: decay of the running means of squared gradients and squared updates, in [0, 1].
        eps: added before the square roots.
        weight_decay: factor of the L2 penalty.
        foreach: chooses between PyTorch's implementations; accepted, the result is the same.
        capturable: for graph capture on an accelerator; on the CPU step() raises AssertionError, as PyTorch's does.
        maximize: climb instead of descend.
        differentiable: record step() for autograd.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "adadelta"
    _setstate_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        _check_nonnegative(epsilon=eps, weight_decay=weight_decay)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": _new_step(group), "square_avg": bulssi.zeros_like(p), "acc_delta": bulssi.zeros_like(p)}

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return "step", "square_avg", "acc_delta"

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "rho", "eps", "weight_decay", "maximize", "capturable", "differentiable")
        return {name: group[name] for name in names}
