"""Muon."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import Optimizer, _to_scalar

if TYPE_CHECKING:
    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["Muon"]

# Quintic whose iteration drives singular values towards 1 fastest (Jordan et al. 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"): momentum whose matrix is
    replaced by a nearby orthogonal one. For 2-d parameters only; optimize the others by AdamW.

    Args:
        params: 2-d tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate.
        weight_decay: each step multiplies the parameters by 1 - lr * weight_decay.
        momentum: decay of the running mean of the gradient.
        nesterov: look-ahead momentum.
        ns_coefficients, ns_steps: polynomial and number of the Newton-Schulz iterations, which run in bfloat16.
        eps: smallest norm that is divided by.
        adjust_lr_fn: "original" (None) scales the step by sqrt(max(1, rows / columns)); "match_rms_adamw" by
            0.2 * sqrt(max(rows, columns)) (Liu et al. 2025), so that AdamW's learning rates serve.

    Raises:
        ValueError: an option is out of its range, or a parameter is not 2-d.
        RuntimeError: step() on complex parameters.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = _COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        if isinstance(lr, bulssi.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 <= momentum:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}"
                    )

    @bulssi.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Updates all parameters that have a gradient; returns closure's loss when there is a closure."""
        loss = None
        if closure is not None:
            with bulssi.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, momentum = _to_scalar(group["lr"]), group["momentum"]
            for p in group["params"]:
                if (grad := p.grad) is None:
                    continue
                if p.is_complex():
                    raise RuntimeError("Muon does not support complex parameters")
                state = self.state[p]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = bulssi.zeros_like(grad)
                buf = state["momentum_buffer"]
                buf.lerp_(grad, 1 - momentum)
                update = grad.lerp(buf, momentum) if group["nesterov"] else buf
                update = _orthogonalized(update, group["ns_coefficients"], group["ns_steps"], group["eps"])
                p.mul_(1 - lr * group["weight_decay"])
                size = lr * _size_factor(group["adjust_lr_fn"], *p.shape)
                p.add_(update, alpha=-(size.item() if isinstance(size, bulssi.Tensor) else size))
        return loss


def _orthogonalized(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """A nearby orthogonal matrix, in bfloat16, by `steps` Newton-Schulz iterations."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.bfloat16()
    x = x.T if tall else x
    x.div_(x.norm().clamp(min=eps))
    for _ in range(steps):
        gram = x @ x.T
        x = bulssi.addmm(x, bulssi.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def _size_factor(adjust: str | None, rows: int, cols: int) -> float:
    if adjust == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, cols))
    return math.sqrt(max(1, rows / cols))
