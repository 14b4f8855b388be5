"""Looking into the recorded graph, and deciding how tensors are kept for backward.

A node of the graph (`tensor.grad_fn`) offers: `name()`; `next_functions`, pairs of a node and which of its results;
`metadata`, a dictionary for the user; `register_hook(fn)`, where `fn(grad_inputs, grad_outputs)` runs after the node
and may return other `grad_inputs`; `register_prehook(fn)`, where `fn(grad_outputs)` runs before it and may return
others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bulssi import _core
from bulssi.autograd.grad_mode import enable_grad

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bulssi import Tensor

__all__ = [
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]

Node = _core.Node


class GradientEdge(NamedTuple):
    """A place in the graph where a gradient arrives: result number `output_nr` of `node`."""

    node: Any
    output_nr: int
    ownership_token: Any = None


def _node_of(tensor: Tensor) -> Any:
    """The producer of a tensor, or what accumulates into a leaf."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn
    with enable_grad():
        return tensor.view_as(tensor).grad_fn.next_functions[0][0]


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge at which the gradient of `tensor` arrives, to be used in place of the tensor in `grad` and `backward`.

    Example:
        >>> x = ones(1, requires_grad=True)
        >>> get_gradient_edge(x * 2).node.name()
        'MulBackward0'
    """
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node = _node_of(tensor)
    token = None
    if isinstance(node, _core.FunctionNode):  # such an object does not keep the graph alive; a view's node does
        with enable_grad():
            token = tensor.view_as(tensor).grad_fn
    return GradientEdge(node, tensor.output_nr, token)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Count a change of the memory of `tensor` (or of several), as an in-place operation would."""
    _core.increment_version((tensor,) if isinstance(tensor, _core.Tensor) else tuple(tensor))


class saved_tensors_hooks:
    """Context manager: operations inside keep `pack(tensor)` for backward, which gets it back as `unpack(packed)`.

    Args:
        pack_hook: from a tensor to any object; must not change the tensor.
        unpack_hook: from that object to a tensor with the same numbers.

    Example:
        >>> x = ones(2, requires_grad=True)
        >>> with saved_tensors_hooks(lambda t: t.tolist(), tensor):
        ...     y = x.exp()
        >>> y.sum().backward()
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        _core.push_saved_tensors_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc: object) -> None:
        _core.pop_saved_tensors_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Context manager: what is kept for backward waits in the memory of the CPU.

    Args:
        pin_memory: keep it in page-locked memory (of use with an accelerator only).
        device_type: kind of the accelerator.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        def pack(tensor: Tensor) -> tuple[Any, Tensor]:
            return tensor.device, tensor.cpu()

        def unpack(packed: tuple[Any, Tensor]) -> Tensor:
            return packed[1].to(packed[0])

        super().__init__(pack, unpack)


class disable_saved_tensors_hooks:
    """Context manager: entering `saved_tensors_hooks` inside raises a RuntimeError with `error_message`."""

    def __init__(self, error_message: str) -> None:
        self._message = error_message
        self._former: list[str | None] = []

    def __enter__(self) -> None:
        self._former.append(_core.set_saved_tensors_hooks_disabled(self._message))

    def __exit__(self, *exc: object) -> None:
        _core.set_saved_tensors_hooks_disabled(self._former.pop())


class _Handles:
    """Removes several hooks at once."""

    def __init__(self, handles: tuple[Any, ...]) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all") -> _Handles:
    """Call `fn` in a backward when the gradients of `tensors` are known.

    Args:
        tensors: tensors that require grad.
        fn: with mode "all", called once all have arrived, with a list of the gradients, in order (None for a tensor
            that this backward does not reach); with mode "any", called with the first that arrives.
        mode: "all" or "any".

    Returns:
        A handle whose `remove()` takes the hook away.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    nodes = [_node_of(tensor) for tensor in tensors]
    arrived: dict[int, dict[int, Tensor]] = {}
    called: set[int] = set()

    def hook_of(position: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            run = _core.current_graph_task_id()
            if mode == "any":
                if run not in called:
                    called.add(run)
                    fn(gradient)
                return
            gradients = arrived.setdefault(run, {})
            gradients[position] = gradient
            if len(gradients) == sum(map(_core.will_execute_node, nodes)):
                del arrived[run]
                fn([gradients.get(i) for i in range(len(nodes))])

        return hook

    chosen = [(i, tensor) for i, tensor in enumerate(tensors) if mode == "all" or tensor.requires_grad]
    return _Handles(tuple([tensor.register_hook(hook_of(i)) for i, tensor in chosen]))
