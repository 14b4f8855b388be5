"""Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_betas, _check_nonnegative, _new_step, _to_scalar

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["Adam"]


class Adam(ElementwiseOptimizer):
    """Adam (Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization").

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate, a number or a one-element tensor.
        betas: decay of the running means of the gradient and of its square; both floats or both tensors.
        eps: added to the denominator.
        weight_decay: factor of the L2 penalty, or of the decay when `decoupled_weight_decay`.
        amsgrad: divide by the largest second moment so far (Reddi et al. 2018).
        maximize: climb instead of descend.
        foreach, fused: choose between PyTorch's implementations; accepted, the result is the same.
        capturable: for graph capture on an accelerator; on the CPU step() raises AssertionError, as PyTorch's does.
        differentiable: record step() for autograd.
        decoupled_weight_decay: decay the parameters themselves, as AdamW does.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "adam"
    _setstate_defaults = {
        "amsgrad": False, "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "decoupled_weight_decay": False, "fused": None,
    }  # fmt: skip

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if isinstance(lr, bulssi.Tensor):
            if foreach and not capturable:
                raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
            if lr.numel() != 1:
                raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        _check_nonnegative(epsilon=eps)
        _check_betas(betas)
        _check_nonnegative(weight_decay=weight_decay)
        if not any(all(isinstance(beta, kind) for beta in betas) for kind in (float, bulssi.Tensor)):
            raise ValueError("betas must be either both floats or both Tensors")
        for i, beta in enumerate(betas):
            if isinstance(beta, bulssi.Tensor):
                if foreach and not capturable:
                    raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True")
                if beta.numel() != 1:
                    raise ValueError(f"Tensor betas[{i}] must be 1-element")
        defaults = {
            "lr": lr, "betas": tuple(map(_to_scalar, betas)), "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults)
        self._check_fused(fused, foreach, differentiable)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        state = {"step": _new_step(group), "exp_avg": bulssi.zeros_like(p), "exp_avg_sq": bulssi.zeros_like(p)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = bulssi.zeros_like(p)
        return state

    def _slots(self, group: dict[str, Any]) -> tuple[str | None, ...]:
        return "step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq" if group["amsgrad"] else None

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        return {
            "lr": group["lr"], "beta1": beta1, "beta2": beta2, "eps": group["eps"],
            "weight_decay": group["weight_decay"], "amsgrad": group["amsgrad"],
            "decoupled_weight_decay": group["decoupled_weight_decay"], "maximize": group["maximize"],
            "capturable": group["capturable"], "differentiable": group["differentiable"],
        }  # fmt: skip

    def _step_group(self, group: dict[str, Any]) -> None:
        if group["foreach"] and isinstance(group["lr"], bulssi.Tensor) and not group["capturable"]:
            raise RuntimeError("lr as a Tensor is not supported for capturable=False and foreach=True")
        super()._step_group(group)
