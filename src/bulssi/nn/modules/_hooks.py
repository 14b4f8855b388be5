"""Hooks of modules: handles that remove them, and the pair of graph nodes that watches gradients in and out."""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class RemovableHandle:
    """Removes a hook again: by :meth:`remove`, or at the end of a ``with`` block.

    It refers weakly to the dictionaries that hold the hook, so it keeps no module alive.
    """

    next_id = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extra = extra_dict if isinstance(extra_dict, list) else [] if extra_dict is None else [extra_dict]
        self._refs = [weakref.ref(d) for d in (hooks_dict, *extra)]

    def remove(self) -> None:
        """Take the hook out; does nothing when it is out already."""
        for ref in self._refs:
            holder = ref()
            if holder is not None:
                holder.pop(self.id, None)

    def __getstate__(self) -> Any:
        return self.id, [ref() for ref in self._refs]

    def __setstate__(self, state: Any) -> None:
        self.id, holders = state
        self._refs = [weakref.ref(OrderedDict() if holder is None else holder) for holder in holders]
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def add_hook(hooks: OrderedDict, hook: Any, *, prepend: bool = False, flags: Iterable[tuple[Any, bool]] = ()) -> Any:
    """Put ``hook`` into ``hooks``; each ``(registry, wanted)`` of ``flags`` notes its id when wanted."""
    flags = list(flags)
    handle = RemovableHandle(hooks, extra_dict=[registry for registry, _ in flags])
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    for registry, wanted in flags:
        if wanted:
            registry[handle.id] = True
    return handle


class ModuleHook:
    """A hook that is given its module first, held weakly so that a module and its hook make no cycle."""

    def __init__(self, hook: Callable[..., Any], module: Any) -> None:
        self.hook = hook
        self.module = weakref.ref(module)

    def __call__(self, *args: Any) -> Any:
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args)

    def __getstate__(self) -> Any:
        return self.hook, self.module()

    def __setstate__(self, state: Any) -> None:
        self.hook, module = state
        if module is None:
            raise RuntimeError("You are trying to revive the hook of a dead Module!")
        self.module = weakref.ref(module)


class BackwardHook:
    """Runs a module's backward hooks: an identity node on its inputs and one on its outputs see the gradients pass."""

    def __init__(self, module: Any, hooks: list[Any], pre_hooks: list[Any]) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        self.input_indices: list[int] | None = None
        self.n_inputs = 0

    def watch_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.n_inputs = len(args)
        args, self.input_indices = _through_barrier(args, self._on_grad_inputs, materialize=True)
        return args

    def watch_outputs(self, result: Any) -> Any:
        many = isinstance(result, tuple)
        outputs = result if many else (result,)
        watched, _ = _through_barrier(outputs, self._on_grad_outputs, materialize=False)
        return watched if many else watched[0]

    def _on_grad_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        grads = _call_hooks(self.module, self.pre_hooks, grads, (), "Backward pre hook", "grad_output")
        if self.input_indices is None:
            # No gradient passes through the inputs, so the hooks run here and have nothing to change.
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no "
                "inputs require gradients.",
                stacklevel=2,
            )
            for hook in self.hooks:
                out = hook(self.module, (None,) * self.n_inputs, grads)
                if out is not None and not (isinstance(out, tuple) and all(g is None for g in out)):
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should always return None or None "
                        "for all gradients."
                    )
        else:
            self.grad_outputs = grads
        return grads

    def _on_grad_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.grad_outputs is None:  # the outputs took no part in this backward pass
            return grads
        grad_outputs, self.grad_outputs = self.grad_outputs, None
        return _call_hooks(self.module, self.hooks, grads, (grad_outputs,), "Backward hook", "grad_input")


def _call_hooks(
    module: Any, hooks: list[Any], grads: tuple[Any, ...], more: tuple[Any, ...], kind: str, what: str
) -> Any:
    for hook in hooks:
        out = hook(module, grads, *more)
        if out is None:
            continue
        if len(out) != len(grads):
            raise RuntimeError(
                f"{kind} returned an invalid number of {what}, got {len(out)}, but expected {len(grads)}"
            )
        grads = tuple(out)
    return grads


def _through_barrier(
    values: tuple[Any, ...], on_grad: Any, materialize: bool
) -> tuple[tuple[Any, ...], list[int] | None]:
    """``values`` with their tensors passed through one identity node that hands its gradients to ``on_grad``.

    ``on_grad`` gets and returns a tuple with one entry per value (``None`` for one that is no tensor). The second
    result
    has the positions of the tensors, or is None when nothing is recorded.
    """
    indices = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
    if not (bulssi.is_grad_enabled() and any(values[i].requires_grad for i in indices)):
        return values, None

    def on_tensor_grads(grads: tuple[Any, ...]) -> tuple[Any, ...]:
        full: list[Any] = [None] * len(values)
        for i, grad in zip(indices, grads, strict=True):
            full[i] = grad
        changed = on_grad(tuple(full))
        return tuple(changed[i] for i in indices)

    passed = _barrier().apply(on_tensor_grads, materialize, *(values[i] for i in indices))
    out = list(values)
    for i, tensor in zip(indices, passed, strict=True):
        out[i] = tensor
    if isinstance(values, tuple) and type(values) is not tuple:
        return type(values)(*out), indices  # a named tuple stays one
    return tuple(out), indices


_barrier_class: Any = None


def _barrier() -> Any:
    """The identity ``autograd.Function``, made on first use: a program without backward hooks needs no
    autograd.Function."""
    global _barrier_class
    if _barrier_class is None:

        class BackwardHookFunction(bulssi.autograd.Function):
            @staticmethod
            def forward(ctx: Any, on_grad: Any, materialize: bool, *tensors: Tensor) -> tuple[Tensor, ...]:
                ctx.on_grad = on_grad
                ctx.set_materialize_grads(materialize)
                ctx.mark_non_differentiable(*(t for t in tensors if not t.requires_grad))
                return tensors

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
                return None, None, *ctx.on_grad(grads)

        _barrier_class = BackwardHookFunction
    return _barrier_class


# ---- hooks of all modules ------------------------------------------------------------------------------------------


class _GlobalHooks:
    """Hooks that hold for every module."""

    def __init__(self) -> None:
        self.forward_pre: OrderedDict = OrderedDict()
        self.forward: OrderedDict = OrderedDict()
        self.forward_with_kwargs: OrderedDict = OrderedDict()
        self.forward_always: OrderedDict = OrderedDict()
        self.backward_pre: OrderedDict = OrderedDict()
        self.backward: OrderedDict = OrderedDict()
        self.backward_is_full: bool | None = None
        self.registration: dict[str, OrderedDict] = {kind: OrderedDict() for kind in ("buffer", "module", "parameter")}


global_hooks = _GlobalHooks()


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before every forward of every module; what it returns, if anything, replaces
    ``args``."""
    return add_hook(global_hooks.forward_pre, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` after every forward of every module (see
    ``Module.register_forward_hook``)."""
    flags = ((global_hooks.forward_with_kwargs, with_kwargs), (global_hooks.forward_always, always_call))
    return add_hook(global_hooks.forward, hook, flags=flags)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_output)`` before the backward of every module."""
    return add_hook(global_hooks.backward_pre, hook)


def add_backward_hook(holder: Any, flag: str, hooks: OrderedDict, full: bool, hook: Any, prepend: bool, of: str) -> Any:
    if getattr(holder, flag) is (not full):
        raise RuntimeError(
            f"Cannot use both regular backward hooks and full backward hooks {of}. Please use only one of them."
        )
    setattr(holder, flag, full)
    return add_hook(hooks, hook, prepend=prepend)


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """The older kind of :func:`register_module_full_backward_hook`: it sees only the gradients of the last
    operation."""
    return add_backward_hook(
        global_hooks, "backward_is_full", global_hooks.backward, False, hook, False, "as a global Module hook"
    )


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, grad_input, grad_output)`` whenever gradients with respect to a module's inputs are there."""
    return add_backward_hook(
        global_hooks, "backward_is_full", global_hooks.backward, True, hook, False, "as a global Module hook"
    )


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` whenever a buffer is registered; what it returns, if anything, is
    registered."""
    return add_hook(global_hooks.registration["buffer"], hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` whenever a submodule is registered."""
    return add_hook(global_hooks.registration["module"], hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, parameter)`` whenever a parameter is registered."""
    return add_hook(global_hooks.registration["parameter"], hook)


def through_registration_hooks(kind: str, module: Any, name: str, value: Any) -> Any:
    for hook in global_hooks.registration[kind].values():
        replacement = hook(module, name, value)
        if replacement is not None:
            value = replacement
    return value
