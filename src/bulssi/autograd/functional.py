"""Derivatives of Python functions: products with the Jacobian and the Hessian, and those matrices themselves.

Everything is made of reverse-mode gradients. Products from the right (`jvp`, `hvp`) differentiate a reverse-mode
product once more with respect to its (arbitrary) vector, of which it is a linear function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import _core
from bulssi.autograd.grad_mode import enable_grad, set_grad_enabled

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi import Tensor

    Tensors = tuple[Tensor, ...]
    TensorOrTensors = Tensor | Tensors

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _checked_tuple(value: Any, what: str, caller: str) -> tuple[bool, Tensors]:
    """Whether `value` was a tuple, and it as a tuple of tensors."""
    several = isinstance(value, tuple)
    listed = value if several else (value,)
    for i, item in enumerate(listed):
        if not isinstance(item, _core.Tensor):
            place = f"value at index {i}" if several else f"given {what}"
            raise TypeError(
                f"The {what} given to {caller} must be either a Tensor or a tuple of Tensors but the {place} has type "
                f"{type(item)}."
            )
    return several, listed


def _fresh(tensors: Tensors, create_graph: bool, requires_grad: bool) -> Tensors:
    """Other tensor objects with the same numbers, so that a captured input is told from the argument."""
    return tuple(
        t.view_as(t) if create_graph and t.requires_grad else t.detach().requires_grad_(requires_grad) for t in tensors
    )


def _finished(tensors: Any, create_graph: bool) -> Any:
    """Without history, unless it was asked for; nested tuples keep their form."""
    if isinstance(tensors, tuple):
        return tuple(_finished(t, create_graph) for t in tensors)
    return tensors if create_graph else tensors.detach()


def _check_vector(v: Tensors, like: Tensors, several: bool) -> None:
    if len(v) != len(like):
        if several:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(v)}.")
        raise RuntimeError("The given v should contain a single Tensor.")
    for i, (a, b) in enumerate(zip(v, like, strict=True)):
        if a.shape != b.shape:
            where = f"Entry {i} in " if several else ""
            raise RuntimeError(f"{where}v has invalid size: should be {b.shape} but got {a.shape}.")


_STRICT = {
    "outputs": "Output {i} of the user-provided function does not require gradients. The outputs must be computed in a "
    "differentiable manner from the input when running in strict mode.",
    "grad_inputs": "The gradient with respect to input {i} is independent of the inputs of the user-provided function. "
    "This is not allowed in strict mode.",
    "jacobian": "While computing the hessian, found that the jacobian of the user-provided function with respect to "
    "input {i} is independent of the input. This is not allowed in strict mode. You should ensure that your function "
    "is twice differentiable and that the jacobian depends on the inputs (this would be violated by a linear function "
    "for example).",
    "hessian": "The hessian of the user-provided function with respect to input {i} is independent of the input. This "
    "is not allowed in strict mode. You should ensure that your function is thrice differentiable and that the hessian "
    "depends on the inputs.",
}

# What is missing when the gradient number i of a stage is None in strict mode.
_INDEPENDENT = {
    "back": "The output of the user-provided function is independent of input {i}. This is not allowed in strict mode.",
    "back_trick": "The gradient with respect to the input is independent of entry {i} in the grad_outputs when using "
    "the double backward trick to compute forward mode gradients. This is not allowed in strict mode.",
    "double_back": "The jacobian of the user-provided function is independent of input {i}. This is not allowed in "
    "strict mode.",
    "double_back_trick": "The hessian of the user-provided function is independent of entry {i} in the grad_jacobian. "
    "This is not allowed in strict mode as it prevents from using the double backward trick to replace forward mode "
    "AD.",
}


def _check_history(tensors: Any, what: str, strict: bool) -> None:
    """In strict mode, every tensor must depend on the inputs."""
    if not strict:
        return
    for i, tensor in enumerate(tensors):
        if tensor is None:
            raise RuntimeError(_INDEPENDENT["back"].format(i=i))
        if not tensor.requires_grad:
            raise RuntimeError(_STRICT[what].format(i=i))


def _gradients(
    outputs: Any,
    inputs: Tensors,
    vectors: Tensors | None = None,
    create_graph: bool = False,
    retain: bool | None = None,
) -> tuple[Tensor | None, ...]:
    """As `autograd.grad`, where outputs that do not require grad (or are None) add nothing."""
    from bulssi.autograd import grad

    pairs = [
        (out, vector)
        for out, vector in zip(outputs, vectors or (None,) * len(outputs), strict=True)
        if out is not None and out.requires_grad
    ]
    if not pairs:
        return (None,) * len(inputs)
    outs, vecs = zip(*pairs, strict=True)
    found = grad(outs, inputs, vecs, retain_graph=retain, create_graph=create_graph, allow_unused=True)
    return found  # type: ignore[return-value]


def _filled(found: Any, like: Any, strict: bool, create_graph: bool, stage: str) -> Tensors:
    """Zeros for what is None; in strict mode errors for what does not depend on the inputs."""
    from bulssi import zeros_like

    made = []
    for i, (gradient, reference) in enumerate(zip(found, like, strict=True)):
        if gradient is None:
            if strict:
                raise RuntimeError(_INDEPENDENT[stage].format(i=i))
            gradient = zeros_like(reference)
        elif strict and create_graph and not gradient.requires_grad:
            matrix = "hessian" if "double" in stage else "jacobian"
            raise RuntimeError(
                f"The {matrix} of the user-provided function is independent of input {i}. This is not allowed in "
                "strict mode when create_graph=True."
            )
        made.append(gradient)
    return tuple(made)


def _vector(v: Any, like: Tensors, several: bool, caller: str, create_graph: bool, missing: str) -> Tensors | None:
    """The checked vector of a product; None stands for 1 where `like` is a single number."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(missing)
        return None
    given = _fresh(_checked_tuple(v, "v", caller)[1], create_graph, False)
    _check_vector(given, like, several)
    return given


_NEEDS_V_OUTPUT = (
    "The vector v can only be None if the user-provided function returns a single Tensor with a single element."
)
_NEEDS_V_INPUT = (
    "The vector v can only be None if the input to the user-provided function is a single Tensor with a single element."
)


def _called(func: Callable[..., Any], inputs: Tensors, caller: str, strict: bool) -> tuple[bool, Tensors]:
    several, outputs = _checked_tuple(func(*inputs), "outputs of the user-provided function", caller)
    _check_history(outputs, "outputs", strict)
    return several, outputs


def _pair(outputs: Tensors, several: bool, product: Tensors, product_several: bool, create_graph: bool) -> Any:
    outputs, product = _finished(outputs, create_graph), _finished(product, create_graph)
    return outputs if several else outputs[0], product if product_several else product[0]


def vjp(
    func: Callable[..., Any], inputs: TensorOrTensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[TensorOrTensors, TensorOrTensors]:
    """The product of a vector and the Jacobian of `func` at `inputs`.

    Args:
        func: takes tensors, returns a tensor or a tuple of tensors.
        inputs: its argument or a tuple of its arguments.
        v: of the shape(s) of the outputs; may be None for a single output with one element (1).
        create_graph: make the results differentiable.
        strict: raise an error where an output does not depend on an input, rather than give zeros.

    Returns:
        The outputs, and the product, of the shape(s) of the inputs.

    Example:
        >>> vjp(lambda x: x * x, tensor([1.0, 2.0]), tensor([1.0, 1.0]))
        (tensor([1., 4.]), tensor([2., 4.]))
    """
    with enable_grad():
        inputs_several, given = _checked_tuple(inputs, "inputs", "vjp")
        given = _fresh(given, create_graph, True)
        several, outputs = _called(func, given, "vjp", strict)
        vector = _vector(v, outputs, several, "vjp", create_graph, _NEEDS_V_OUTPUT)
    with set_grad_enabled(create_graph or _core.is_grad_enabled()):
        found = _gradients(outputs, given, vector, create_graph)
        product = _filled(found, given, strict, create_graph, "back")
    return _pair(outputs, several, product, inputs_several, create_graph)


def jvp(
    func: Callable[..., Any], inputs: TensorOrTensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[TensorOrTensors, TensorOrTensors]:
    """The product of the Jacobian of `func` at `inputs` and a vector.

    Args:
        func, inputs, create_graph, strict: as for `vjp`.
        v: of the shape(s) of the inputs; may be None for a single input with one element (1).

    Returns:
        The outputs, and the product, of the shape(s) of the outputs.

    Example:
        >>> jvp(lambda x: x * x, tensor([1.0, 2.0]), tensor([1.0, 0.0]))
        (tensor([1., 4.]), tensor([2., 0.]))
    """
    from bulssi import zeros_like

    with enable_grad():
        inputs_several, given = _checked_tuple(inputs, "inputs", "jvp")
        given = _fresh(given, create_graph, True)
        vector = _vector(v, given, inputs_several, "jvp", create_graph, _NEEDS_V_INPUT)
        several, outputs = _called(func, given, "jvp", strict)
        arbitrary = tuple(zeros_like(out, requires_grad=True) for out in outputs)
        gradients = _gradients(outputs, given, arbitrary, create_graph=True)
        _check_history(gradients, "grad_inputs", strict)
    with set_grad_enabled(create_graph or _core.is_grad_enabled()):
        found = _gradients(gradients, arbitrary, vector, create_graph)
        product = _filled(found, outputs, strict, create_graph, "back_trick")
    return _pair(outputs, several, product, several, create_graph)


def _rows(out: Tensor, index: int, inputs: Tensors, create_graph: bool, strict: bool) -> list[Tensor]:
    """The Jacobian of the tensor `out`, output number `index`, as one tensor per input."""
    from bulssi import stack, zeros_like

    rows: list[list[Tensor]] = [[] for _ in inputs]
    flat = out.reshape(-1)
    for j in range(out.numel()):
        found = _gradients((flat[j],), inputs, create_graph=create_graph, retain=True)
        for number, (gradient, reference) in enumerate(zip(found, inputs, strict=True)):
            if gradient is None:
                if strict:
                    raise RuntimeError(
                        f"Output {index} of the user-provided function is independent of input {number}. This is not "
                        "allowed in strict mode."
                    )
                gradient = zeros_like(reference)
            elif strict and create_graph and not gradient.requires_grad:
                raise RuntimeError(
                    f"The jacobian of the user-provided function is independent of input {index}. This is not allowed "
                    "in strict mode when create_graph=True."
                )
            rows[number].append(gradient)
    if not flat.numel():
        return [out.new_zeros((*out.shape, *reference.shape)) for reference in inputs]
    return [stack(row).reshape((*out.shape, *reference.shape)) for row, reference in zip(rows, inputs, strict=True)]


def _check_options(caller: str, strict: bool, vectorize: bool, strategy: str) -> None:
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    if strategy == "forward-mode":
        raise NotImplementedError(f'{caller}: strategy="forward-mode" is not supported, use "reverse-mode"')
    if vectorize and strict:
        raise RuntimeError(
            f"torch.autograd.functional.{caller}: `strict=True` and `vectorized=True` are not supported together. "
            "Please either set `strict=False` or `vectorize=False`."
        )


def jacobian(
    func: Callable[..., Any],
    inputs: TensorOrTensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of `func` at `inputs`: all derivatives of all outputs.

    Args:
        func, inputs, create_graph, strict: as for `vjp`.
        vectorize: accepted for compatibility; the numbers are the same, row by row.
        strategy: "reverse-mode"; "forward-mode" is not supported.

    Returns:
        For one output and one input a tensor of shape `output.shape + input.shape`; a tuple over the inputs if they are
        a tuple; a tuple over the outputs (of such) if they are one.

    Example:
        >>> jacobian(lambda x: x * x, tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    _check_options("jacobian", strict, vectorize, strategy)
    with enable_grad():
        inputs_several, given = _checked_tuple(inputs, "inputs", "jacobian")
        given = _fresh(given, create_graph, True)
        several, outputs = _called(func, given, "jacobian", strict)
        matrices = tuple(tuple(_rows(out, i, given, create_graph, strict)) for i, out in enumerate(outputs))
    matrices = _finished(matrices, create_graph)
    if not inputs_several:
        matrices = tuple(row[0] for row in matrices)
    return matrices if several else matrices[0]


def _single_number(outputs: Tensors, several: bool, caller: str) -> None:
    if several:
        raise RuntimeError(f"The function given to {caller} should return a single Tensor")
    if outputs[0].numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {caller} should contain a single element")


def hessian(
    func: Callable[..., Any],
    inputs: TensorOrTensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The matrix of second derivatives of `func`, which returns one number, at `inputs`.

    Args:
        func: takes tensors, returns a tensor with one element.
        inputs, create_graph, strict, vectorize: as for `jacobian`.
        outer_jacobian_strategy: "reverse-mode"; "forward-mode" is not supported.

    Returns:
        A tensor of shape `input.shape + input.shape`, or a tuple of tuples of tensors if the inputs are a tuple.

    Example:
        >>> hessian(lambda x: (x ** 3).sum(), tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    _check_options("hessian", strict, vectorize, outer_jacobian_strategy)
    inputs_several, given = _checked_tuple(inputs, "inputs", "hessian")

    def number(*args: Tensor) -> Tensor:
        several, outputs = _called(func, args, "hessian", strict)
        _single_number(outputs, several, "hessian")
        return outputs[0].squeeze()

    def gradient(*args: Tensor) -> Tensors:
        found = jacobian(number, args, create_graph=True)
        _check_history(found, "jacobian", strict)
        return found

    matrices = jacobian(gradient, given, create_graph=create_graph, strict=strict, vectorize=vectorize)
    return matrices if inputs_several else matrices[0][0]


def _first_derivative(
    func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool, caller: str
) -> tuple[bool, Tensors, Tensors | None, Tensors, tuple[Tensor | None, ...]]:
    """For `vhp` and `hvp`: the inputs, the vector, the output, and its differentiable gradient."""
    inputs_several, given = _checked_tuple(inputs, "inputs", caller)
    given = _fresh(given, create_graph, True)
    vector = _vector(v, given, inputs_several, caller, create_graph, _NEEDS_V_INPUT)
    several, outputs = _called(func, given, caller, strict)
    _single_number(outputs, several, caller)
    gradient = _gradients(outputs, given, create_graph=True)
    _check_history(gradient, "jacobian", strict)
    return inputs_several, given, vector, outputs, gradient


def vhp(
    func: Callable[..., Any], inputs: TensorOrTensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensor, TensorOrTensors]:
    """The product of a vector and the Hessian of `func`, which returns one number, at `inputs`.

    Args:
        func: takes tensors, returns a tensor with one element.
        inputs, create_graph, strict: as for `vjp`.
        v: of the shape(s) of the inputs; may be None for a single input with one element (1).

    Returns:
        The output, and the product, of the shape(s) of the inputs.

    Example:
        >>> vhp(lambda x: (x ** 3).sum(), tensor([1.0, 2.0]), tensor([1.0, 1.0]))
        (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        several, given, vector, outputs, gradient = _first_derivative(func, inputs, v, create_graph, strict, "vhp")
    with set_grad_enabled(create_graph or _core.is_grad_enabled()):
        found = _gradients(gradient, given, vector, create_graph)
        product = _filled(found, given, strict, create_graph, "double_back")
    return _pair(outputs, False, product, several, create_graph)


def hvp(
    func: Callable[..., Any], inputs: TensorOrTensors, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensor, TensorOrTensors]:
    """The product of the Hessian of `func`, which returns one number, at `inputs` and a vector.

    The Hessian of a twice continuously differentiable function is symmetric, and `vhp` gives the same for less work.

    Args, Returns:
        As for `vhp`.

    Example:
        >>> hvp(lambda x: (x ** 3).sum(), tensor([1.0, 2.0]), tensor([1.0, 1.0]))
        (tensor(9.), tensor([ 6., 12.]))
    """
    from bulssi import zeros_like

    with enable_grad():
        several, given, vector, outputs, gradient = _first_derivative(func, inputs, v, create_graph, strict, "hvp")
        arbitrary = tuple(zeros_like(t, requires_grad=True) for t in given)
        second = _gradients(gradient, given, arbitrary, create_graph=True)
    with set_grad_enabled(create_graph or _core.is_grad_enabled()):
        found = _gradients(second, arbitrary, vector, create_graph)
        product = _filled(found, given, strict, create_graph, "double_back_trick")
    return _pair(outputs, False, product, several, create_graph)
