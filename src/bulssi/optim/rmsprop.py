"""RMSprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_lr, _check_nonnegative, _new_step

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["RMSprop"]


class RMSprop(ElementwiseOptimizer):
    """RMSprop (Hinton 2012, "Neural Networks for Machine Learning", lecture 6e).

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate, a number or a one-element tensor.
        alpha: decay of the running mean of squared gradients.
        eps: added to the denominator, outside the square root.
        weight_decay: factor of the L2 penalty.
        momentum: part of the last update that is kept.
        centered: divide by the standard deviation instead of the root mean square (Graves 2013).
        capturable: for graph capture on an accelerator; on the CPU step() raises AssertionError, as PyTorch's does.
        foreach: chooses between PyTorch's implementations; accepted, the result is the same.
        maximize: climb instead of descend.
        differentiable: record step() for autograd.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "rmsprop"
    _setstate_defaults = {
        "momentum": 0, "centered": False, "foreach": None, "maximize": False, "differentiable": False,
        "capturable": False,
    }  # fmt: skip

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_lr(lr)
        _check_nonnegative(epsilon=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        state = {"step": _new_step(group), "square_avg": bulssi.zeros_like(p)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = bulssi.zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = bulssi.zeros_like(p)
        return state

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        momentum = "momentum_buffer" if group["momentum"] > 0 else None
        return "step", "square_avg", momentum, "grad_avg" if group["centered"] else None

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        names = (
            "lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize", "capturable", "differentiable",
        )  # fmt: skip
        return {name: group[name] for name in names}
