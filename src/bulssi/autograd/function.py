"""Operations with a hand-written derivative: `Function`, and what its `ctx` offers.

One object is the `ctx` of forward and backward, and the `grad_fn` of the outputs: an instance of `_backward_cls`, a
subclass of the core's `FunctionNode`. The core asks three things of Python here: which inputs get an edge (`_record`),
what each output is (`_commit`), and the gradients (`_backward`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor

__all__ = ["BackwardCFunction", "Function", "FunctionCtx", "InplaceFunction", "NestedIOFunction", "once_differentiable"]

# What an output of forward is to the core, see `FunctionNode._commit`.
_PLAIN, _MADE, _DIRTY = range(3)

_ONE_OUTPUT_FOR_VIEWS = (
    "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return more "
    "than one Tensor. This is not supported by the current autograd engine. You should either make sure the input is "
    "not a view (using .clone() for example) or make your Function only return one Tensor (potentially splitting it "
    "into two Functions: one doing the inplace that returns a single Tensor and a second one that does the other "
    "operations)."
)
_SAVED_AS_IS = (
    "A input that has been returned as-is as output is being saved for backward. This is not supported if you override "
    "setup_context. You should return and save a view of the input instead, e.g. with x.view_as(x) or setup ctx inside "
    "the forward function itself."
)


class FunctionCtx:
    """What `forward` tells `backward`; user code may also set attributes of its own on it."""

    to_save: tuple[Tensor | None, ...] = ()
    dirty_tensors: tuple[Tensor, ...] = ()
    non_differentiable: tuple[Tensor, ...] = ()
    materialize_grads: bool = True
    needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep `tensors` (inputs, outputs or others) for `saved_tensors` in backward, guarded against later changes.

        To be called at most once. Anything but a Tensor or None is a TypeError when forward returns; other values are
        kept as attributes of `ctx`.
        """
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep `tensors` for a forward-mode derivative."""
        self.saved_for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say which inputs forward changes in place; each of them must be returned, too."""
        self.dirty_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say which outputs never require grad; backward still gets an (all zero) gradient for each."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (True, as at start) or None for an output that no gradient has reached."""
        self.materialize_grads = value


class BackwardCFunction(_core.FunctionNode, FunctionCtx):
    """The node and context of one call of a `Function`; each Function has its own subclass, `<name>Backward`."""

    _forward_cls: type[Function]
    _inputs_are_tensors: tuple[bool, ...] = ()
    _output_kinds: tuple[tuple[Any, Any, Any] | None, ...] = ()
    _saved_count: int = 0

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors given to `save_for_backward`.

        Raises:
            RuntimeError: one of them was changed in place since, or the graph has already been used and freed.
        """
        saved = self._saved()
        if len(saved) < self._saved_count:
            raise RuntimeError(
                "the saved tensors of this call are gone: its graph has been freed\nkeep an output to keep the graph"
            )
        return saved

    def _backward(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        """Called by the engine: from a gradient per output to a gradient per tensor among the inputs."""
        if self.materialize_grads:
            from bulssi import zeros

            grads = tuple(
                zeros(meta[0], dtype=meta[1], device=meta[2]) if grad is None and meta is not None else grad
                for grad, meta in zip(grads, self._output_kinds, strict=True)
            )
        results = self._user_backward()(self, *grads)
        return self._for_tensors_only(results if isinstance(results, tuple) else (results,))

    def _user_backward(self) -> Callable[..., Any]:
        made = self._forward_cls
        if made.vjp is Function.vjp:
            return made.backward
        if made.backward is not Function.backward:
            raise RuntimeError(
                "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
                "implement one of them."
            )
        return made.vjp

    def _for_tensors_only(self, results: tuple[Any, ...]) -> tuple[Tensor | None, ...]:
        expected = len(self._inputs_are_tensors)
        if len(results) > expected and all(extra is None for extra in results[expected:]):
            results = results[:expected]
        if len(results) != expected:
            raise RuntimeError(
                f"function {type(self).__name__} returned an incorrect number of gradients (expected {expected}, "
                f"got {len(results)})\nbackward must return one value for each argument of forward (without ctx); "
                "None stands for an argument that gets no gradient"
            )
        kept = []
        for position, (result, is_tensor) in enumerate(zip(results, self._inputs_are_tensors, strict=True)):
            if not is_tensor:
                if result is not None:
                    raise RuntimeError(
                        f"function {type(self).__name__} returned a gradient different than None at position "
                        f"{position + 1}, but the corresponding forward input was not a Variable"
                    )
                continue
            if result is not None and not isinstance(result, _core.Tensor):
                raise RuntimeError(
                    f"expected Variable or None (got {type(result).__name__})\n"
                    f"{type(self).__name__} returned it as the gradient of argument {position + 1} of forward"
                )
            kept.append(result)
        return tuple(kept)


class FunctionMeta(type):
    """Gives every Function its own node type, so that `grad_fn` shows the Function's name."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        cls._backward_cls = type(
            name + "Backward", (BackwardCFunction,), {"_forward_cls": cls, "__module__": "torch.autograd.function"}
        )


class Function(metaclass=FunctionMeta):
    """An operation with a derivative of your own: write `forward` and `backward` as static methods, call `apply`.

    `forward(ctx, *args)` computes the result, without recording. `backward(ctx, *grads)` gets a gradient per output and
    returns one per argument (None for arguments that have none). With `setup_context(ctx, inputs, output)`, `forward`
    is written without `ctx`. If backward is made of differentiable operations, the second derivative works, too;
    otherwise decorate it with `once_differentiable`.

    Example:
        >>> class Square(Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x
        ...     @staticmethod
        ...     def backward(ctx, grad):
        ...         (x,) = ctx.saved_tensors
        ...         return 2 * x * grad
        >>> x = tensor(3.0, requires_grad=True)
        >>> Square.apply(x).backward()
        >>> x.grad
        tensor(6.)
    """

    _backward_cls: type[BackwardCFunction]
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        import warnings

        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself. Instantiating an autograd function will raise an error in a future "
            "version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method: write `@staticmethod def forward(ctx, ...)` and call "
            f"{type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; to be written by the subclass."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Prepare `ctx` for backward; only for a `forward` that is written without `ctx`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """From a gradient per output to a gradient per argument of forward; to be written by the subclass."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Forward-mode derivative; may be written by the subclass."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """Batching rule; may be written by the subclass."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the operation.

        Raises:
            RuntimeError: a tensor marked dirty is not returned, or is a leaf that requires grad, or a view beside
                other outputs.
            TypeError: something that is not a tensor was given to `save_for_backward`.
        """
        separate = cls.setup_context is not Function.setup_context
        ctx = cls._backward_cls()
        if separate:
            args = _bound(cls.forward, args, kwargs)
        elif kwargs:
            args = _bound(cls.forward, (ctx, *args), kwargs)[1:]
        tensors = [arg for arg in args if isinstance(arg, _core.Tensor)]
        ctx._inputs_are_tensors = tuple([isinstance(arg, _core.Tensor) for arg in args])
        ctx.needs_input_grad = tuple([isinstance(arg, _core.Tensor) and arg.requires_grad for arg in args])
        recorded = ctx._record(tuple(tensors))
        former = _core.set_grad_mode(False)
        try:
            if separate:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args)
            listed = result if isinstance(result, tuple) else (result,)
            _core.increment_version([tensor for tensor in ctx.dirty_tensors if not tensor.is_inference()])
            outputs, kinds = _classify(ctx, tensors, listed, separate, recorded)
        finally:
            _core.set_grad_mode(former)
        to_save, ctx.to_save = _checked_to_save(ctx.to_save), ()
        ctx.dirty_tensors = ctx.non_differentiable = ()  # do not keep the tensors alive
        if recorded:
            ctx._output_kinds = tuple(
                [(out.shape, out.dtype, out.device) if isinstance(out, _core.Tensor) else None for out in outputs]
            )
            ctx._saved_count = len(to_save)
            ctx._commit(outputs, kinds, to_save)
        return outputs if isinstance(result, tuple) else outputs[0]


def _bound(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """`args` with keywords and defaults in their places."""
    code = getattr(forward, "__code__", None)
    if not kwargs and code is not None and code.co_argcount == len(args) and not code.co_flags & 0x0C:
        return args
    from inspect import signature

    bound = signature(forward).bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(f"apply() takes no keyword-only arguments, got {', '.join(bound.kwargs)}")
    return bound.args


def _checked_to_save(tensors: Any) -> tuple[Tensor | None, ...]:
    for position, tensor in enumerate(tensors):
        if tensor is not None and not isinstance(tensor, _core.Tensor):
            raise TypeError(
                f"save_for_backward can only save variables, but argument {position} is of type "
                f"{type(tensor).__name__}\nkeep other values as attributes of ctx"
            )
    return tuple(tensors)


def _classify(
    ctx: BackwardCFunction, inputs: list[Tensor], outputs: tuple[Any, ...], separate: bool, recorded: bool
) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """The outputs as `apply` returns them, and what each is to the graph."""
    given = {id(tensor) for tensor in inputs}
    dirty = {id(tensor) for tensor in ctx.dirty_tensors}
    constant = {id(tensor) for tensor in ctx.non_differentiable}
    saved = {id(tensor) for tensor in ctx.to_save} if separate else set()
    if not dirty <= {id(out) for out in outputs}:
        raise RuntimeError(
            "Some elements marked as dirty during the forward method were not returned as output. The inputs that are "
            "modified inplace must all be outputs of the Function."
        )
    if not dirty <= given:
        import warnings

        warnings.warn(
            "Only input Tensors should be given to ctx.mark_dirty(). If a Tensor is not an input, there is no need to "
            "pass it to mark_dirty().",
            UserWarning,
            stacklevel=3,
        )
    returned, kinds = [], []
    for out in outputs:
        kind = _PLAIN
        if isinstance(out, _core.Tensor):
            as_is = id(out) in given and id(out) not in dirty
            differentiable = (
                recorded and id(out) not in constant and (out.dtype.is_floating_point or out.dtype.is_complex)
            )
            if not differentiable:
                if out.requires_grad and id(out) in given:
                    out = out.detach()
                elif out.requires_grad and not out._is_view():
                    out.detach_()
                elif as_is:
                    out = _as_view(out, saved)
            elif id(out) in dirty and id(out) in given:
                ctx._check_dirty(out)
                if out._is_view() and len(outputs) > 1:
                    raise RuntimeError(_ONE_OUTPUT_FOR_VIEWS)
                kind = _DIRTY
            else:
                out = _as_view(out, saved) if as_is else out
                kind = _MADE
        returned.append(out)
        kinds.append(kind)
    several = sum(kind != _PLAIN for kind in kinds) > 1
    for out in returned:
        if isinstance(out, _core.Tensor) and out._is_view() and not (id(out) in dirty and id(out) in given):
            ctx._mark_view(out, several)
    return tuple(returned), tuple(kinds)


def _as_view(given: Tensor, saved: set[int]) -> Tensor:
    """What is returned for an input that forward returned as it is."""
    if id(given) in saved:
        raise RuntimeError(_SAVED_AS_IS)
    return given.view_as(given)


class _NotTwice(Function):
    """Passes gradients through and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Any:
        return tuple(tensor.detach() for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for a `backward` that must not itself be differentiated: doing so raises a RuntimeError.

    Example:
        >>> class Sign(Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return x.sign()
        ...     @staticmethod
        ...     @once_differentiable
        ...     def backward(ctx, grad):
        ...         return grad * 0
    """
    from functools import wraps

    @wraps(backward)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        former = _core.set_grad_mode(False)
        try:
            results = backward(ctx, *grads)
        finally:
            _core.set_grad_mode(former)
        if not former or not any(isinstance(grad, _core.Tensor) and grad.requires_grad for grad in grads):
            return results
        several = isinstance(results, tuple)
        listed = results if several else (results,)
        guarded = [result.detach().requires_grad_() for result in listed if result is not None]
        passed = iter(_NotTwice.apply(*guarded) if guarded else ())
        listed = tuple(None if result is None else next(passed) for result in listed)
        return listed if several else listed[0]

    return wrapper


class InplaceFunction(Function):
    """A Function with an `inplace` flag; kept for programs that name it as a base class."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class NestedIOFunction(Function):
    """Functions with nested containers as arguments; only the name is here: such functions predate static methods."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "NestedIOFunction is not supported: write a Function whose forward and backward are static methods and "
            "flatten the containers before apply"
        )
