"""Backward through calls of other processes.

Inside a `context`, tensors that are sent in calls and answers are noted on both sides. `backward` starts where the loss
is; where it reaches tensors that came from another process, their gradients go there, and backward goes on in it.
Gradients of parameters are kept by the context in the process of each parameter, not in `.grad`.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi.autograd import grad as _grad

from .rpc._agent import local
from .rpc.api import _agent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

__all__ = ["backward", "context", "get_gradients"]

_numbers = itertools.count()


class _Context:
    """What a process notes for one context."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent: dict[Any, list[Tensor]] = {}
        self.entries: dict[int, tuple[Tensor, int, Any, int]] = {}  # id -> tensor, sender, message, index
        self.grads: dict[Tensor, Tensor] = {}
        self.lock = threading.Lock()

    def receive(self, message: Any, sender: int, tensors: dict[int, Tensor]) -> None:
        """Note tensors that came in a message."""
        with self.lock:
            for index, tensor in tensors.items():
                self.entries[id(tensor)] = tensor, sender, message, index


class context:
    """A block in which calls are noted for :func:`backward`; gives its number.

    Raises:
        RuntimeError: on entering, in such a block.
    """

    def __enter__(self) -> int:
        if local.context is not None:
            raise RuntimeError("Already have an autograd context id for this thread.")
        agent = _agent()
        self._number = (agent.rank << 48) + next(_numbers)
        agent.context(self._number)
        local.context = self._number
        return self._number

    def __exit__(self, *exc: object) -> None:
        local.context = None
        agent = _agent()
        agent.contexts.pop(self._number, None)
        for worker in agent.workers:
            if worker.id != agent.rank:
                try:
                    agent.call(worker.id, "call", _release, (self._number,), {})
                except RuntimeError:
                    continue  # it is gone


def _release(number: int) -> None:
    _agent().contexts.pop(number, None)


def _known(number: int) -> _Context:
    found = _agent().contexts.get(number)
    if found is None:
        raise RuntimeError(f"Could not find autograd context with id: {number}")
    return found


def get_gradients(context_id: int) -> dict[Tensor, Tensor]:
    """The gradients of this process's parameters in a context, by parameter.

    Raises:
        RuntimeError: there is no such context.
    """
    return dict(_known(context_id).grads)


def backward(context_id: int, roots: Sequence[Tensor], retain_graph: bool = False) -> None:
    """Gradients of the roots, numbers, in all processes of a context.

    Raises:
        RuntimeError: a root is no number or needs no gradient, or there is no such context.
    """
    if not roots:
        raise RuntimeError("No tensors provided for gradient computation.")
    for root in roots:
        if not root.requires_grad:
            raise RuntimeError("requires_grad not set on root")
        if root.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs\nsum() or mean() the root")
    _propagate(_known(context_id), list(roots), [bulssi.ones_like(root) for root in roots])


def _leaves(roots: Sequence[Tensor]) -> list[Tensor]:
    """The leaves that tensors depend on."""
    found: dict[int, Tensor] = {id(root): root for root in roots if root.grad_fn is None}
    stack = [root.grad_fn for root in roots if root.grad_fn is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found[id(leaf)] = leaf
        for before, _ in node.next_functions:
            if before is not None and before not in seen:
                seen.add(before)
                stack.append(before)
    return list(found.values())


def _propagate(where: _Context, roots: list[Tensor], grads: list[Tensor]) -> None:
    """Backward in this process, and then in those whose tensors it reaches."""
    leaves = _leaves(roots)
    # The graph is kept: backward may come here again from another message.
    made: Any = _grad(roots, leaves, grads, retain_graph=True, allow_unused=True)
    onwards: dict[tuple[int, Any], dict[int, Tensor]] = {}
    with where.lock, bulssi.no_grad():
        for leaf, g in zip(leaves, made, strict=True):
            if g is None:
                continue
            entry = where.entries.get(id(leaf))
            if entry is not None:
                _, sender, message, index = entry
                onwards.setdefault((sender, message), {})[index] = g
            elif leaf in where.grads:
                where.grads[leaf] = where.grads[leaf] + g
            else:
                where.grads[leaf] = g.clone()
    agent = _agent()
    before, local.context = local.context, None  # gradients are not noted themselves
    try:
        started = [
            agent.call(sender, "call", _arrived, (where.number, message, parts), {})
            for (sender, message), parts in onwards.items()
        ]
        for future in started:
            agent.wait(future, 0)
    finally:
        local.context = before


def _arrived(number: int, message: Any, parts: dict[int, Tensor]) -> None:
    """Gradients of tensors that this process has sent in a message."""
    where = _known(number)
    tensors = where.sent[message]
    _propagate(where, [tensors[index] for index in parts], list(parts.values()))
