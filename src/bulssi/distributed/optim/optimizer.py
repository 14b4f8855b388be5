"""`DistributedOptimizer`: an optimizer in every process that has parameters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from bulssi.distributed import autograd as dist_autograd
from bulssi.distributed import rpc
from bulssi.futures import wait_all

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DistributedOptimizer"]


class _LocalOptimizer:
    """The optimizer of one process's parameters; one step at a time."""

    _one_at_a_time = threading.Lock()

    def __init__(self, optimizer_class: type, references: Sequence[Any], args: Any, kwargs: Any) -> None:
        self._parameters = [reference.local_value() for reference in references]
        self._optimizer = optimizer_class(self._parameters, *args, **kwargs)

    def step(self, context_id: int) -> None:
        gradients = dist_autograd.get_gradients(context_id)
        with self._one_at_a_time:
            for p in self._parameters:
                p.grad = gradients.get(p)
            self._optimizer.step()


class DistributedOptimizer:
    """Updates parameters that several processes keep, by the gradients of an autograd context.

    Args:
        optimizer_class: the class of the optimizer that every process makes for its parameters.
        params_rref: references to the parameters.
        args, kwargs: further arguments of the class.
    """

    def __init__(self, optimizer_class: type, params_rref: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        by_owner: dict[Any, list[Any]] = {}
        for reference in params_rref:
            by_owner.setdefault(reference.owner(), []).append(reference)
        self.remote_optimizers = [
            rpc.remote(owner, _LocalOptimizer, (optimizer_class, references, args, kwargs))
            for owner, references in by_owner.items()
        ]

    def step(self, context_id: int) -> None:
        """One step of all of them, together.

        Raises:
            whatever one raises.
        """
        wait_all([optimizer.rpc_async().step(context_id) for optimizer in self.remote_optimizers])
