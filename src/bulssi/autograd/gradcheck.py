"""Derivatives compared with finite differences.

For a function from inputs x to outputs y, the Jacobian from reverse mode is compared with central differences
(f(x + eps d) - f(x - eps d)) / (2 eps), entry by entry, or (fast mode) through one random projection v' J u, which
costs two calls and one backward instead of as many as there are numbers. Inputs are perturbed in place and restored,
so that functions which reach them by other ways (a module's parameters) see the change, too.
"""

from __future__ import annotations

import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from bulssi import _core
from bulssi.autograd.function import Function

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulssi import Tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A derivative is wrong; the text says which, with both values."""


class _Options(NamedTuple):
    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    check_undefined_grad: bool
    check_grad_dtypes: bool
    fast_mode: bool


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _differentiable(values: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(v for v in values if isinstance(v, _core.Tensor) and v.requires_grad)


def _has_float_numbers(value: Any) -> bool:
    return isinstance(value, _core.Tensor) and (value.dtype.is_floating_point or value.dtype.is_complex)


def _check_inputs(inputs: tuple[Any, ...]) -> None:
    found = False
    for position, x in enumerate(inputs):
        if not (isinstance(x, _core.Tensor) and x.requires_grad):
            continue
        found = True
        if x.dtype.is_complex:
            raise NotImplementedError(f"gradcheck: input #{position} is complex, only real inputs are supported")
        if x.dtype.itemsize < 8:
            warnings.warn(
                f"Input #{position} requires gradient and is not a double precision floating point or complex. This "
                "check will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=4,
            )
        if any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(
                f"The {position}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call .contiguous "
                "on the input before passing it to gradcheck."
            )
    if not found:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )


# ---- numerical ---------------------------------------------------------------------------------------------------


def _values(func: Callable[..., Any], inputs: tuple[Any, ...]) -> list[Tensor]:
    """Copies of the floating outputs, without history."""
    return [out.detach().clone() for out in _as_tuple(func(*inputs)) if _has_float_numbers(out)]


def _difference(func: Callable[..., Any], inputs: tuple[Any, ...], x: Tensor, d: Tensor, eps: float) -> list[Tensor]:
    """The derivative of each output in the direction d of the input x, by a central difference."""
    memory, original = x.data, x.detach().clone()
    try:
        memory.copy_(original + d * eps)
        above = _values(func, inputs)
        memory.copy_(original - d * eps)
        below = _values(func, inputs)
    finally:
        memory.copy_(original)
    return [(a - b) / (2 * eps) for a, b in zip(above, below, strict=True)]


def _unit(like: Tensor, index: int) -> Tensor:
    direction = like.new_zeros(like.numel())
    direction[index] = 1
    return direction.reshape(like.shape)


def _numerical_jacobian(
    func: Callable[..., Any], inputs: tuple[Any, ...], x: Tensor, outputs: list[Tensor], eps: float
) -> list[Tensor]:
    """For each output the matrix of shape (elements of x, elements of the output)."""
    from bulssi import stack

    columns = [_difference(func, inputs, x, _unit(x.detach(), i), eps) for i in range(x.numel())]
    if not columns:
        return [out.new_zeros((0, out.numel())) for out in outputs]
    return [stack([column[k].reshape(-1) for column in columns]) for k in range(len(outputs))]


# ---- analytical --------------------------------------------------------------------------------------------------


def _backward(
    output: Tensor, inputs: tuple[Tensor, ...], vector: Tensor, options: _Options, position: int
) -> list[Tensor]:
    """The gradients of one output; zeros where it does not depend on an input."""
    from bulssi import zeros_like
    from bulssi.autograd import grad

    found: Any = grad(output, inputs, vector, retain_graph=True, allow_unused=True)
    made = []
    for number, (gradient, x) in enumerate(zip(found, inputs, strict=True)):
        if gradient is None:
            gradient = zeros_like(x)
        if gradient.shape != x.shape:
            raise GradcheckError(
                f"Analytical gradient has incorrect size\noutput {position}, input {number}: got "
                f"{tuple(gradient.shape)}, expected {tuple(x.shape)}"
            )
        if options.check_grad_dtypes and gradient.dtype != x.dtype:
            raise GradcheckError(
                "Gradient has dtype mismatch\n"
                f"output {position}, input {number}: got {gradient.dtype}, expected {x.dtype}"
            )
        made.append(gradient.detach())
    return made


def _analytical_jacobian(output: Tensor, inputs: tuple[Tensor, ...], options: _Options, position: int) -> list[Tensor]:
    """For each input the matrix of shape (elements of the input, elements of the output)."""
    from bulssi import stack

    rows = [_backward(output, inputs, _unit(output.detach(), j), options, position) for j in range(output.numel())]
    if not rows:
        return [x.new_zeros((x.numel(), 0)) for x in inputs]
    return [stack([row[i].reshape(-1) for row in rows], 1) for i in range(len(inputs))]


# ---- comparing ---------------------------------------------------------------------------------------------------


def _largest_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max()) if a.numel() else 0.0


def _mismatch(numerical: Tensor, analytical: Tensor, output: int, input: int) -> str:
    return (
        f"Jacobian mismatch for output {output} with respect to input {input},\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )


def _not_reentrant(options: _Options, difference: float) -> GradcheckError:
    return GradcheckError(
        "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times gives "
        "different values, although analytical gradient matches numerical gradient."
        f"The tolerance for nondeterminism was {options.nondet_tol}.\nThe largest difference was {difference}."
    )


def _close(a: Tensor, b: Tensor, rtol: float, atol: float) -> bool:
    return bool((a == b).logical_or((a - b).abs() <= atol + rtol * b.abs()).all())


def _check_all_entries(func: Any, inputs: tuple[Any, ...], outputs: list[Tensor], options: _Options) -> None:
    tensors = _differentiable(inputs)
    numbers = [i for i, x in enumerate(inputs) if isinstance(x, _core.Tensor) and x.requires_grad]
    numerical = [_numerical_jacobian(func, inputs, x, outputs, options.eps) for x in tensors]
    for k, output in enumerate(outputs):
        if not output.requires_grad:
            if any(not _close(n[k], n[k] * 0, 0.0, options.atol) for n in numerical):
                raise GradcheckError("Numerical gradient for function expected to be zero")
            continue
        analytical = _analytical_jacobian(output, tensors, options, k)
        again = _analytical_jacobian(output, tensors, options, k)
        for i, (a, b) in enumerate(zip(analytical, again, strict=True)):
            n = numerical[i][k].to(a.dtype)
            if not _close(a, n, options.rtol, options.atol):
                raise GradcheckError(_mismatch(n, a, k, numbers[i]))
            if _largest_difference(a, b) > options.nondet_tol:
                raise _not_reentrant(options, _largest_difference(a, b))


def _random_direction(like: Tensor, seed: int) -> Tensor:
    """A positive vector of length 1, the same for the same seed; the library's own random stream is left alone."""
    from random import Random

    from bulssi import tensor

    rng = Random(seed)
    numbers = tensor([rng.random() + 1e-3 for _ in range(like.numel())], dtype=like.dtype, device=like.device)
    return (
        (numbers / (numbers * numbers).sum().sqrt()).reshape(like.shape)
        if like.numel()
        else numbers.reshape(like.shape)
    )


def _check_projection(func: Any, inputs: tuple[Any, ...], outputs: list[Tensor], options: _Options) -> None:
    tensors = _differentiable(inputs)
    numbers = [i for i, x in enumerate(inputs) if isinstance(x, _core.Tensor) and x.requires_grad]
    directions = [_random_direction(x.detach(), 2 * i) for i, x in enumerate(tensors)]
    numerical = [_difference(func, inputs, x, u, options.eps) for x, u in zip(tensors, directions, strict=True)]
    for k, output in enumerate(outputs):
        v = _random_direction(output.detach(), 2 * k + 1)
        if not output.requires_grad:
            if any(not _close(n[k], n[k] * 0, 0.0, options.atol) for n in numerical):
                raise GradcheckError("Numerical gradient for function expected to be zero")
            continue
        analytical = _backward(output, tensors, v, options, k)
        again = _backward(output, tensors, v, options, k)
        for i, (u, a, b) in enumerate(zip(directions, analytical, again, strict=True)):
            n = (numerical[i][k] * v).sum().to(a.dtype)
            # An entry may be off by atol; u'Ev of such an error E is at most atol times the sums of u and v.
            if not _close((a * u).sum(), n, options.rtol, options.atol * float(u.sum()) * float(v.sum())):
                slow = _numerical_jacobian(func, inputs, tensors[i], outputs, options.eps)[k]
                full = _analytical_jacobian(output, tensors, options, k)[i]
                raise GradcheckError(
                    _mismatch(n, (a * u).sum(), k, numbers[i])
                    + "\nThe above quantities relating the numerical and analytical jacobians are computed in fast "
                    f"mode (v' J u for random u and v). The whole Jacobians:\nnumerical:{slow}\nanalytical:{full}\n"
                )
            if _largest_difference(a, b) > options.nondet_tol:
                raise _not_reentrant(options, _largest_difference(a, b))


def _check_zero_gradients(outputs: list[Tensor], tensors: tuple[Tensor, ...]) -> None:
    """Backward is linear: zeros must give zeros."""
    from bulssi import zeros_like
    from bulssi.autograd import grad

    for output in outputs:
        if output.requires_grad:
            for gradient in grad(output, tensors, zeros_like(output), retain_graph=True, allow_unused=True):
                if gradient is not None and bool((gradient != 0).any()):  # pyright: ignore[reportAttributeAccessIssue]
                    raise GradcheckError("backward not multiplied by grad_output")


class _NoGradient(Function):
    """The identity, through which no gradient comes back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None


def _check_undefined_gradients(func: Any, inputs: tuple[Any, ...]) -> None:
    """Backward must work when some or all of its gradients are undefined."""
    from bulssi import ones_like, zeros_like
    from bulssi.autograd import grad

    tensors = _differentiable(inputs)
    outputs = _differentiable(_as_tuple(func(*inputs)))
    for missing in [set(range(len(outputs))), *([{i} for i in range(len(outputs))] if len(outputs) > 1 else [])]:
        outs = [_NoGradient.apply(out) if i in missing else out for i, out in enumerate(outputs)]
        vectors = [ones_like(out) if i in missing else zeros_like(out) for i, out in enumerate(outs)]
        try:
            found = grad(outs, tensors, vectors, retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            raise GradcheckError(
                "Expected backward function to handle undefined output grads.\n"
                f"With None as the gradient of output(s) {sorted(missing)} it raised: {error}"
            ) from error
        if any(gradient is not None and bool((gradient != 0).any()) for gradient in found):  # pyright: ignore[reportAttributeAccessIssue]
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are undefined or zero."
            )


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of `func` with finite differences.

    Args:
        func: takes tensors, returns a tensor or a tuple of tensors; must be deterministic.
        inputs: its argument or a tuple of its arguments; those that require grad are checked and should be float64,
            at points where `func` is differentiable.
        eps: the step of the finite differences.
        atol, rtol: an entry passes if |numerical - analytical| <= atol + rtol |numerical|.
        raise_exception: raise GradcheckError on a failure; otherwise return False.
        nondet_tol: by how much two runs of the same backward may differ.
        check_undefined_grad: check that backward works with undefined gradients.
        check_grad_dtypes: check that gradients have the dtype of the inputs.
        fast_mode: check one random projection instead of every entry.
        check_batched_grad, check_batched_forward_grad, check_forward_ad: not supported.
        check_backward_ad: must be True.
        masked: of no effect here (there are no sparse tensors).

    Returns:
        True if all is well.

    Raises:
        GradcheckError: with the place and both values.
        ValueError: no input requires grad.

    Example:
        >>> gradcheck(sin, (tensor([0.5], dtype=float64, requires_grad=True),))
        True
    """
    unsupported = {
        "check_batched_grad": check_batched_grad,
        "check_batched_forward_grad": check_batched_forward_grad,
        "check_forward_ad": check_forward_ad,
    }
    for name, wanted in unsupported.items():
        if wanted:
            raise NotImplementedError(f"gradcheck: {name}=True is not supported")
    if not check_backward_ad:
        raise ValueError(
            "Expected at least one of check_forward_ad or check_backward_ad to be True\n"
            "and forward mode is not supported here"
        )
    options = _Options(eps, atol, rtol, nondet_tol, check_undefined_grad, check_grad_dtypes, fast_mode)
    given = _as_tuple(inputs)
    try:
        _check(func, given, options)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check(func: Callable[..., Any], inputs: tuple[Any, ...], options: _Options) -> None:
    _check_inputs(inputs)
    outputs = [out for out in _as_tuple(func(*inputs)) if _has_float_numbers(out)]
    if not outputs:
        return
    if any(out.dtype.is_complex for out in outputs):
        raise NotImplementedError("gradcheck: an output is complex, only real outputs are supported")
    (_check_projection if options.fast_mode else _check_all_entries)(func, inputs, outputs, options)
    if any(out.requires_grad for out in outputs):
        _check_zero_gradients(outputs, _differentiable(inputs))
        if options.check_undefined_grad:
            _check_undefined_gradients(func, inputs)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Compare the second derivatives of `func` with finite differences of its first ones.

    Args:
        grad_outputs: gradients of the outputs at which to check; random ones that require grad if None.
        gen_non_contig_grad_outputs: make the random ones non-contiguous.
        check_fwd_over_rev: not supported.
        check_rev_over_rev: must be True.
        The others are as for `gradcheck`.

    Example:
        >>> gradgradcheck(sin, (tensor([0.5], dtype=float64, requires_grad=True),))
        True
    """
    if check_fwd_over_rev or not check_rev_over_rev:
        raise NotImplementedError("gradgradcheck: only check_rev_over_rev=True is supported")
    given = _as_tuple(inputs)
    if grad_outputs is None:
        made = _differentiable(_as_tuple(func(*given)))
        vectors = tuple(_random_gradient(out, i, gen_non_contig_grad_outputs) for i, out in enumerate(made))
    else:
        vectors = _as_tuple(grad_outputs)
    count = len(vectors)

    def first_derivatives(*args: Any) -> tuple[Tensor, ...]:
        from bulssi.autograd import grad

        arguments, gradients = args[: len(args) - count], args[len(args) - count :]
        # Views, so that an input that is returned as it is does not count as independent of itself.
        arguments = tuple(a.view_as(a) if isinstance(a, _core.Tensor) and a.requires_grad else a for a in arguments)
        outputs = _differentiable(_as_tuple(func(*arguments)))
        found = grad(outputs, _differentiable(arguments), gradients, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)  # pyright: ignore[reportReturnType]

    return gradcheck(
        first_derivatives,
        given + vectors,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        fast_mode=fast_mode,
    )


def _random_gradient(output: Tensor, seed: int, spread: bool) -> Tensor:
    from bulssi import stack

    made = _random_direction(output.detach(), seed) * 2 - 0.5
    if spread:  # every second element of a larger memory
        made = stack([made, made], -1)[..., 0]
    return made.detach().requires_grad_()


class _CallableModule(ModuleType):
    """Callable as the function: `import bulssi.autograd.gradcheck` puts the module in the function's place."""

    def __call__(self, *args: Any, **kwargs: Any) -> bool:
        return gradcheck(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
