"""SGD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim import _fused
from bulssi.optim.optimizer import ElementwiseOptimizer, _check_fused_param, _check_nonnegative

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["SGD"]


class SGD(ElementwiseOptimizer):
    """Stochastic gradient descent, with momentum as an option (Sutskever et al. 2013, "On the importance of
    initialization and momentum in deep learning").

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate, a number or a one-element tensor.
        momentum: part of the last update that is kept.
        dampening: part of the gradient that does not enter the momentum.
        weight_decay: factor of the L2 penalty.
        nesterov: look-ahead momentum; needs momentum > 0 and dampening 0.
        maximize: climb instead of descend.
        foreach, fused: choose between PyTorch's implementations; accepted, the result is the same.
        differentiable: record step() for autograd.

    Raises:
        ValueError: an option is out of its range.
    """

    _kind = "sgd"
    _setstate_defaults = {
        "nesterov": False, "maximize": False, "foreach": None, "differentiable": False, "fused": False,
    }  # fmt: skip
    _scalar_states = ()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        if isinstance(lr, bulssi.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        _check_nonnegative(momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, defaults)
        self._check_fused(fused, foreach, differentiable)

    def _scalars(self, group: dict[str, Any]) -> dict[str, Any]:
        names = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize", "differentiable")
        return {name: group[name] for name in names}

    def _step_group(self, group: dict[str, Any]) -> None:
        # A new momentum buffer takes the whole gradient, whatever the dampening, so first steps go apart.
        momentum, scalars = group["momentum"] != 0, self._scalars(group)
        new: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        old: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
        for p in group["params"]:
            grad = p.grad
            if grad is None:
                continue
            if group["fused"]:
                _check_fused_param(p)
            buf, batch = None, old
            if momentum:
                state = self.state[p]
                buf = state.get("momentum_buffer")
                if buf is None:
                    buf, batch = bulssi.empty_like(grad), new
                    state["momentum_buffer"] = buf
            batch[0].append(p)
            batch[1].append(grad)
            batch[2].append((buf,))
        for first_step, (params, grads, states) in ((True, new), (False, old)):
            if params:
                _fused.step("sgd", params, grads, states, {**scalars, "first_step": first_step})
