"""Adamax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_betas, _check_lr, _check_nonnegative, _new_step

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["Adamax"]


class Adamax(ElementwiseOptimizer):
    """Adamax, Adam with the infinity norm (Kingma & Ba 2015, section 7.1).

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate, a number or a one-element tensor.
        betas: decay of the running mean of the gradient and of its running largest magnitude.
        eps: added to the magnitudes.
        weight_decay: factor of the L2 penalty.
        foreach: chooses between PyTorch's implementations; accepted, the result is the same.
        maximize: climb instead of descend.
        differentiable: record step() for autograd.
        capturable: for graph capture on an accelerator; on the CPU step() raises AssertionError, as PyTorch's does.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "adamax"
    _setstate_defaults = {"foreach": None, "maximize": False, "differentiable": False, "capturable": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        _check_lr(lr)
        _check_nonnegative(epsilon=eps)
        _check_betas(betas)
        _check_nonnegative(weight_decay=weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": _new_step(group), "exp_avg": bulssi.zeros_like(p), "exp_inf": bulssi.zeros_like(p)}

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return "step", "exp_avg", "exp_inf"

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        names = ("lr", "eps", "weight_decay", "maximize", "capturable", "differentiable")
        return {"beta1": beta1, "beta2": beta2, **{name: group[name] for name in names}}
