"""NAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_betas, _check_lr, _check_nonnegative, _new_step

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["NAdam"]


class NAdam(ElementwiseOptimizer):
    """Adam with Nesterov momentum (Dozat 2016, "Incorporating Nesterov Momentum into Adam").

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate, a number or a one-element tensor.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: factor of the L2 penalty, or of the decay when `decoupled_weight_decay`.
        momentum_decay: the momentum at step t is betas[0] * (1 - 0.96 ** (t * momentum_decay) / 2).
        decoupled_weight_decay: decay the parameters themselves, as AdamW does.
        foreach: chooses between PyTorch's implementations; accepted, the result is the same.
        maximize: climb instead of descend.
        capturable: for graph capture on an accelerator; on the CPU step() raises AssertionError, as PyTorch's does.
        differentiable: record step() for autograd.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "nadam"
    _setstate_defaults = {
        "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "decoupled_weight_decay": False,
    }  # fmt: skip
    _scalar_states = ("step", "mu_product")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        _check_lr(lr)
        _check_nonnegative(epsilon=eps)
        _check_betas(betas)
        _check_nonnegative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        step = _new_step(group)
        return {
            "step": step, "mu_product": bulssi.ones((), dtype=step.dtype), "exp_avg": bulssi.zeros_like(p),
            "exp_avg_sq": bulssi.zeros_like(p),
        }  # fmt: skip

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return "step", "mu_product", "exp_avg", "exp_avg_sq"

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        names = (
            "lr", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay", "maximize", "capturable",
            "differentiable",
        )  # fmt: skip
        return {"beta1": beta1, "beta2": beta2, **{name: group[name] for name in names}}
