"""Adafactor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import Optimizer, _new_step, _to_scalar

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Adafactor (Shazeer & Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost"): the second
    moment of a matrix is kept as its row and column means.

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: upper bound of the relative step size; at step t it is min(lr, 1 / sqrt(t)).
        beta2_decay: the running mean's weight of the past is 1 - t ** beta2_decay.
        eps: smallest second moment (None: the machine epsilon of the parameter's dtype) and smallest parameter scale.
        d: an update whose root mean square is larger is scaled down to it.
        weight_decay: each step multiplies the parameters by 1 - lr * weight_decay.
        foreach: chooses between PyTorch's implementations; accepted, the result is the same.
        maximize: climb instead of descend.

    Raises:
        ValueError: an option is out of its range.
        RuntimeError: step() on complex parameters.
    """

    _setstate_defaults = {"foreach": None}
    _scalar_states = ("step",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, bulssi.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        for holds, text in (
            (0.0 <= lr, f"Learning rate should be >= 0 but is: {lr}"),
            (0.0 >= beta2_decay, f"beta2_decay should be <= 0 but is: {beta2_decay}"),
            (eps[0] is None or 0.0 <= eps[0], f"epsilon1 should be >= 0 but is: {eps[0]}"),
            (0.0 <= eps[1], f"epsilon2 should be >= 0 but is: {eps[1]}"),
            (1.0 <= d, f"Clipping threshold d should be >= 1 but is: {d}"),
            (0.0 <= weight_decay, f"weight_decay should be >= 0 but is: {weight_decay}"),
        ):
            if not holds:
                raise ValueError(text)
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _new_state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        grad = p.grad
        state = {"step": _new_step(group)}
        if grad.dim() > 1:
            *batch, rows, cols = grad.shape
            state["row_var"] = grad.new_zeros([*batch, rows, 1])
            state["col_var"] = grad.new_zeros([*batch, 1, cols])
        else:
            state["variance"] = bulssi.zeros_like(grad)
        return state

    @bulssi.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Updates all parameters that have a gradient; returns closure's loss when there is a closure."""
        loss = None
        if closure is not None:
            with bulssi.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.is_complex():
                    raise RuntimeError("Adafactor does not support complex parameters")
                state = self.state[p]
                if not state:
                    state.update(self._new_state(p, group))
                _update(p, p.grad, state, group)
        return loss


def _update(param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    lr, (eps1, eps2) = _to_scalar(group["lr"]), group["eps"]
    eps1 = bulssi.finfo(param.dtype).eps if eps1 is None else eps1
    grad = -grad if group["maximize"] else grad
    state["step"] += 1
    count = state["step"].item()
    weight = count ** group["beta2_decay"]
    relative = min(lr, 1 / count**0.5)
    size = max(eps2, param.norm(2).item() / param.numel() ** 0.5) * relative
    if group["weight_decay"] != 0:
        param.mul_(1 - lr * group["weight_decay"])
    if grad.dim() > 1:
        for name, dim in (("row_var", -1), ("col_var", -2)):
            mean = grad.norm(dim=dim, keepdim=True).square_().div_(grad.size(dim))
            state[name].lerp_(mean, weight)
        row = state["row_var"]
        estimate = row @ state["col_var"]
        estimate.div_(row.mean(dim=-2, keepdim=True).clamp_(min=eps1))
    else:
        state["variance"].lerp_(grad * grad, weight)
        estimate = state["variance"].clone()
    update = estimate.clamp_(min=eps1 * eps1).rsqrt_().mul_(grad)
    clip = max(1.0, update.norm(2).item() / (update.numel() ** 0.5 * group["d"]))
    size = size.item() if isinstance(size, bulssi.Tensor) else size
    param.add_(update, alpha=-size / clip)
