"""SparseAdam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor
    from bulssi.optim.optimizer import ParamsT

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam for sparse gradients, of which only the elements that are there count.

    There are no sparse tensors here, so no gradient is one: programs that make a SparseAdam for parameters which get no
    gradients run, and step() refuses any gradient, as it does dense ones in PyTorch.

    Args:
        params: tensors, (name, tensor) pairs, or dicts, one per group.
        lr: learning rate, a number or a one-element tensor.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        maximize: climb instead of descend.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, bulssi.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not lr > 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps > 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for i, beta in enumerate(betas[:2]):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        places = [(g, i, p) for g, group in enumerate(self.param_groups) for i, p in enumerate(group["params"])]
        if found := [[g, i] for g, i, p in places if p.is_complex()]:
            raise ValueError(f"Complex params at indices {found}: SparseAdam does not support complex parameters")

    @bulssi.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluates ``closure`` and returns the loss.

        Raises:
            RuntimeError: a parameter has a gradient.
        """
        loss = None
        if closure is not None:
            with bulssi.enable_grad():
                loss = closure()
        if any(p.grad is not None for group in self.param_groups for p in group["params"]):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        return loss
