"""Trading time for memory: parts of a program whose intermediate results are computed again for backward.

Two ways. Without reentrance, forward runs recorded, but what operations save is only counted, not kept; the first
backward that needs a saved tensor runs the function once more, and takes the tensors in the order in which they are
saved again. With reentrance, forward runs unrecorded inside one node, whose backward runs the function recorded and
then a backward of its own.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from bulssi import _core
from bulssi.autograd.function import Function
from bulssi.autograd.grad_mode import enable_grad, no_grad
from bulssi.autograd.graph import saved_tensors_hooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "checkpoint",
    "checkpoint_sequential",
    "noop_context_fn",
    "set_checkpoint_early_stop",
]


class CheckpointError(RuntimeError):
    """The function did not do the same when it ran again."""


class _NoContext:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass


def noop_context_fn() -> tuple[Any, Any]:
    """Two context managers that do nothing: the default `context_fn`."""
    return _NoContext(), _NoContext()


class _RandomState:
    """The state of the random stream at one moment, to run something from there and come back."""

    def __init__(self) -> None:
        from bulssi import get_rng_state

        self._then = get_rng_state()
        self._now: list[Tensor] = []

    def __enter__(self) -> None:
        from bulssi import get_rng_state, set_rng_state

        self._now.append(get_rng_state())
        set_rng_state(self._then)

    def __exit__(self, *exc: object) -> None:
        from bulssi import set_rng_state

        set_rng_state(self._now.pop())


def _moment(preserve_rng_state: bool) -> Any:
    return _RandomState() if preserve_rng_state else _NoContext()


# ---- without reentrance --------------------------------------------------------------------------------------------

_early_stop: bool | None = None


class set_checkpoint_early_stop:
    """Context manager: whether checkpoints made inside end their second run once all saved tensors are there.

    Args:
        enable: True, as by default, or False to run the function to its end.
    """

    def __init__(self, enable: bool) -> None:
        self._enable = enable
        self._former: list[bool | None] = []

    def __enter__(self) -> None:
        global _early_stop
        self._former.append(_early_stop)
        _early_stop = self._enable

    def __exit__(self, *exc: object) -> None:
        global _early_stop
        _early_stop = self._former.pop()


class _Enough(Exception):
    """All saved tensors are there; the rest of the function need not run."""


def _kind(tensor: Tensor) -> tuple[Any, Any, Any]:
    return tensor.shape, tensor.dtype, tensor.device


def _nothing(tensor: Tensor) -> None:
    return None


_DETERMINISM_CHECKS: dict[str, Callable[[Any], Any]] = {"default": _kind, "none": _nothing}


class _Slot:
    """What a node keeps in place of a tensor: its number among those that the function saves."""

    __slots__ = ("frame", "number")

    def __init__(self, frame: _Frame, number: int) -> None:
        self.frame, self.number = frame, number


class _Frame:
    """One call of a checkpointed function."""

    def __init__(self, again: Callable[[], Any], describe: Callable[[Any], Any], early_stop: bool) -> None:
        self.again, self.describe, self.early_stop = again, describe, early_stop
        self.expected: list[Any] = []  # descriptions of the tensors that forward saved, in order
        self.tensors: dict[int, Tensor] = {}  # those of the run again, until they are used

    def pack(self, tensor: Tensor) -> _Slot:
        with no_grad():
            self.expected.append(self.describe(tensor))
        return _Slot(self, len(self.expected) - 1)

    def unpack(self, slot: _Slot) -> Tensor:
        if slot.number not in self.tensors:
            self._run_again()
        return self.tensors.pop(slot.number)

    def _run_again(self) -> None:
        """Fill `tensors`, all of them: a second use of one means another backward."""
        found: list[Tensor] = []

        def keep(tensor: Tensor) -> Tensor:
            found.append(tensor.detach())
            if self.early_stop and len(found) == len(self.expected):
                raise _Enough
            return found[-1]

        try:
            with saved_tensors_hooks(keep, lambda tensor: tensor), enable_grad():
                self.again()
        except _Enough:
            pass
        self._compare(found)
        self.tensors = dict(enumerate(found))

    def _compare(self, found: list[Tensor]) -> None:
        if len(found) != len(self.expected):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {len(self.expected)}\n"
                f"Number of tensors saved during recomputation: {len(found)}.\n"
                "The function must do the same each time: it must not depend on anything that changes in between."
            )
        wrong = [
            f"tensor at position {i}:\nsaved metadata: {expected}\nrecomputed metadata: {self.describe(tensor)}"
            for i, (expected, tensor) in enumerate(zip(self.expected, found, strict=True))
            if expected != self.describe(tensor)
        ]
        if wrong:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than "
                "during the forward pass.\n" + "\n".join(wrong)
            )


def _unpack(slot: _Slot) -> Tensor:
    return slot.frame.unpack(slot)


def _without_reentrance(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    preserve_rng_state: bool,
    context_fn: Callable[[], tuple[Any, Any]],
    describe: Callable[[Any], Any],
    early_stop: bool,
) -> Any:
    forward_context, again_context = context_fn()
    if not _core.is_grad_enabled():
        return function(*args, **kwargs)
    moment = _moment(preserve_rng_state)
    versions = [arg._version if isinstance(arg, _core.Tensor) else None for arg in args]

    def again() -> None:
        for position, (arg, version) in enumerate(zip(args, versions, strict=True)):
            if version is not None and arg._version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"argument {position} of a checkpointed function is at version {arg._version}; expected version "
                    f"{version} instead.\nclone() it before it is changed, or change it before the checkpoint"
                )
        with moment, again_context:
            function(*args, **kwargs)

    frame = _Frame(again, describe, early_stop)
    with saved_tensors_hooks(frame.pack, _unpack), forward_context:
        return function(*args, **kwargs)


# ---- with reentrance -----------------------------------------------------------------------------------------------


class CheckpointFunction(Function):
    """The node of a reentrant checkpoint: `apply(function, preserve_rng_state, *args)`."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        if not any(isinstance(arg, _core.Tensor) and arg.requires_grad for arg in args):
            warnings.warn(
                "None of the inputs have requires_grad=True. Gradients will be None", UserWarning, stacklevel=4
            )
        ctx.function = function
        ctx.moment = _moment(preserve_rng_state)
        ctx.others = [None if isinstance(arg, _core.Tensor) else arg for arg in args]
        ctx.save_for_backward(*[arg if isinstance(arg, _core.Tensor) else None for arg in args])
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        from bulssi.autograd import backward

        args = [
            other if tensor is None else tensor.detach().requires_grad_(tensor.requires_grad)
            for tensor, other in zip(ctx.saved_tensors, ctx.others, strict=True)
        ]
        with ctx.moment, enable_grad():
            outputs = ctx.function(*args)
        listed = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (out, grad)
            for out, grad in zip(listed, grads, strict=True)
            if isinstance(out, _core.Tensor) and out.requires_grad
        ]
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary\n"
                "with use_reentrant=True, at least one argument must require grad"
            )
        backward([out for out, _ in pairs], [grad for _, grad in pairs])
        return (None, None, *[arg.grad if isinstance(arg, _core.Tensor) else None for arg in args])


# ---- the public functions ------------------------------------------------------------------------------------------


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Call `function(*args, **kwargs)` without keeping its intermediate results; backward computes them again.

    Args:
        function: what to call; must do the same when called again with the same arguments.
        use_reentrant: which of the two ways; False is recommended. With True, at least one argument must require grad,
            keyword arguments are not passed on, and only `.backward()` works, not `autograd.grad`.
        preserve_rng_state: (keyword, True by default) run again from the state that the random stream had, so that
            dropout drops the same.
        context_fn: makes two context managers, for the first and the second run (not with `use_reentrant=True`).
        determinism_check: "default" compares shape, dtype and device of the tensors saved in both runs, "none" nothing.
        debug: accepted for compatibility; errors say what differs in any case.
        early_stop: stop the second run when all saved tensors are there.

    Raises:
        CheckpointError: in backward, if the second run saved other tensors than the first.
        ValueError: contradicting options.

    Example:
        >>> x = ones(2, requires_grad=True)
        >>> checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False).sum().backward()
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, "
            "calling checkpoint without use_reentrant will raise an exception. use_reentrant=False is recommended, but "
            "if you need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for "
            "more details on the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in _DETERMINISM_CHECKS:
        raise ValueError(f"determinism_check should be one of {list(_DETERMINISM_CHECKS)}, but got {determinism_check}")
    describe = _DETERMINISM_CHECKS[determinism_check]
    stop = early_stop if _early_stop is None else _early_stop
    return _without_reentrance(function, args, kwargs, preserve, context_fn, describe, stop)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run a chain of functions in `segments` checkpointed parts (the last one is kept as usual).

    Args:
        functions: an nn.Sequential, or a list of functions that each take what the one before returns.
        segments: number of parts, at least 1 and at most the number of functions.
        input: argument of the first function.
        use_reentrant, preserve_rng_state: as for `checkpoint`.

    Example:
        >>> checkpoint_sequential([sin, exp], 2, ones(2, requires_grad=True), use_reentrant=False)
        tensor([2.3198, 2.3198], grad_fn=<ExpBackward0>)
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. In "
            "version 2.9 we will raise an exception if use_reentrant is not passed. use_reentrant=False is "
            "recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    chain = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(1, len(chain)):
        raise ValueError(
            f"checkpoint_sequential: segments = {segments}, expected at least 1 and at most the number of functions, "
            f"{len(chain)}"
        )

    def part(first: int, last: int) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for function in chain[first:last]:
                value = function(value)
            return value

        return run

    size, first = len(chain) // segments, 0
    for _ in range(segments - 1):
        run = part(first, first + size)
        input = checkpoint(run, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
        first += size
    return part(first, len(chain))(input)
