"""Derivatives: `backward`, `grad`, grad modes, custom `Function`s, and tools to check derivatives.

The engine is in the core; here are the arguments of its two entry points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bulssi import _core
from bulssi.autograd.function import Function, NestedIOFunction
from bulssi.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor
    from bulssi.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
    from bulssi.autograd.gradcheck import gradcheck, gradgradcheck
    from bulssi.autograd.variable import Variable

__all__ = [
    "Function",
    "NestedIOFunction",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
]

# Loaded on first use, to keep `import bulssi` short: name -> module of this package (None: the name is the module).
_LAZY: dict[str, str | None] = {
    "anomaly_mode": None,
    "functional": None,
    "graph": None,
    "profiler": None,
    "variable": None,
    "gradcheck": "gradcheck",
    "gradgradcheck": "gradcheck",
    "detect_anomaly": "anomaly_mode",
    "set_detect_anomaly": "anomaly_mode",
    "Variable": "variable",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'torch.autograd' has no attribute {name!r}")
    from importlib import import_module

    home = _LAZY[name]
    module = import_module(f"{__name__}.{home or name}")
    found = module if home is None else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def _is_edge(value: Any) -> bool:
    """A `graph.GradientEdge`: a tuple that starts with a Node."""
    return isinstance(value, tuple) and len(value) > 0 and isinstance(value[0], _core.Node)


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return (values,) if isinstance(values, _core.Tensor) or _is_edge(values) else tuple(values)


def _inputs_as_tuple(inputs: Any, caller: str) -> tuple[Any, ...]:
    from collections.abc import Mapping

    if isinstance(inputs, Mapping):
        if type(inputs) is not dict:
            raise TypeError(
                f"`inputs` argument to `{caller}()` must be a dict, not {type(inputs).__name__}. Other Mapping types "
                "are not supported."
            )
        listed = tuple(inputs.values())
    else:
        listed = _as_tuple(inputs)
    if not listed:
        raise RuntimeError(f"`inputs` argument to `{caller}()` cannot be empty.")
    for position, item in enumerate(listed):
        if not isinstance(item, _core.Tensor) and not _is_edge(item):
            raise RuntimeError(
                f"all inputs have to be Tensors or GradientEdges, but got {type(item).__name__}\n"
                f"it is at position {position} of `inputs` of {caller}()"
            )
    return listed


def _ones_for(output: Tensor) -> Tensor:
    if output.numel() != 1:
        raise RuntimeError(
            "grad can be implicitly created only for scalar outputs\n"
            f"the output has shape {tuple(output.shape)}: reduce it, for example with .sum() or .mean(), or pass a "
            "gradient of that shape"
        )
    if not output.dtype.is_floating_point:
        raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {output.dtype}")
    from bulssi import ones_like

    return ones_like(output)


def _gradient_for(output: Any, gradient: Any, position: int) -> Tensor | None:
    """The gradient to start from at `output`: checked if given, 1 if not. Both are what `_given` lets through."""
    if gradient is None:
        if _is_edge(output):
            raise RuntimeError("grad can be implicitly created only for scalar outputs\npass one for a GradientEdge")
        return _ones_for(output) if output.requires_grad else None
    if _is_edge(output):
        return gradient
    if gradient.device != output.device:
        raise RuntimeError(
            f"invalid gradient at index {position} - expected device {output.device} but got {gradient.device}"
        )
    if gradient.shape != output.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{position}] has a shape of {gradient.shape} and output[{position}] has a "
            f"shape of {output.shape}."
        )
    if gradient.dtype.is_complex != output.dtype.is_complex:
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
            f"grad_output[{position}] has a dtype of {gradient.dtype} and output[{position}] has a dtype of "
            f"{output.dtype}."
        )
    return gradient


def _given(outputs: tuple[Any, ...], gradients: Any) -> tuple[Tensor | None, ...]:
    """The gradients that the user gave, one (or None) for each output."""
    if gradients is None:
        gradients = (None,) * len(outputs)
    elif isinstance(gradients, _core.Tensor):
        gradients = (gradients,)
    else:
        gradients = tuple(gradients)
    for output in outputs:
        if not isinstance(output, _core.Tensor) and not _is_edge(output):
            raise AssertionError(f"Expected output to be a torch.Tensor\nbut got {type(output).__name__}")
    for gradient in gradients:
        if gradient is not None and not isinstance(gradient, _core.Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(gradient).__name__}")
    if len(gradients) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(gradients)} gradients")
    return gradients


def _gradients_for(outputs: tuple[Any, ...], gradients: Any) -> tuple[Tensor | None, ...]:
    given = _given(outputs, gradients)
    return tuple([_gradient_for(out, grad, i) for i, (out, grad) in enumerate(zip(outputs, given, strict=True))])


def _batches_for(outputs: tuple[Any, ...], gradients: Any) -> list[tuple[Tensor, ...]]:
    """The gradients to start from for each element of a batch, which is their first dimension."""
    batched = []
    for i, (out, grad) in enumerate(zip(outputs, _given(outputs, gradients), strict=True)):
        if grad is None:
            grad = cast("Tensor", _gradient_for(out, None, i))
        elif not _is_edge(out) and grad.shape[1:] != out.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch "
                "dimension. The sizes of the remaining dimensions are expected to match the shape of corresponding "
                f"output, but a mismatch was detected: grad_output[{i}] has a shape of {grad.shape} and output[{i}] "
                f"has a shape of {out.shape}."
            )
        if not grad.dim():
            raise ValueError(
                "vmap(vjp, in_dims=0, ...)(<inputs>): Got in_dim=0 for some input, but that input is a Tensor of "
                "dimensionality 0 so expected in_dim to satisfy 0 <= in_dim < 0.\n"
                f"With is_grads_batched=True gradient {i} needs a dimension for the batch."
            )
        batched.append(grad)
    sizes = [len(grad) for grad in batched]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
            "mapped dimension"
        )
    return [tuple([grad[k] for grad in batched]) for k in range(max(1, sizes[0] if sizes else 1))]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Tensor | Sequence[Tensor | None] | None = None,
    inputs: Tensor | Sequence[Tensor] | dict[str, Tensor] | None = None,
) -> None:
    """Add the gradient of `tensors` to the `.grad` of the leaves of their graph.

    Args:
        tensors: what to differentiate; a tensor or several, whose gradients are summed.
        grad_tensors: a gradient to start from for each, of the tensor's shape; 1 if left out, for
            one-element tensors only.
        retain_graph: keep what the graph has saved, for another backward; by default as `create_graph`.
        create_graph: record the computation of the gradients, so that they can be differentiated.
        grad_variables: the former name of `grad_tensors`.
        inputs: accumulate into these only (leaves or not); by default into all leaves that require grad.

    Raises:
        RuntimeError: a tensor requires no grad; a gradient is missing or has another shape; the graph has been used
            and freed; a saved tensor was changed in place.

    Example:
        >>> x = tensor(3.0, requires_grad=True)
        >>> backward(x * x)
        >>> x.grad
        tensor(6.)
    """
    if grad_variables is not None:
        import warnings

        warnings.warn("`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, stacklevel=2)
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only "
                "use `grad_tensors`."
            )
        grad_tensors = grad_variables
    chosen = () if inputs is None else _inputs_as_tuple(inputs, "backward")
    outputs = _as_tuple(tensors)
    gradients = _gradients_for(outputs, grad_tensors)
    retain = create_graph if retain_graph is None else retain_graph
    _core.run_backward(outputs, gradients, retain, create_graph, chosen, True, True)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor] | dict[str, Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...] | dict[str, Tensor]:
    """The gradients of (the sum of) `outputs` with respect to `inputs`; no `.grad` is touched.

    Args:
        outputs: what to differentiate.
        inputs: with respect to what; each must require grad. A dictionary gives a dictionary of gradients.
        grad_outputs: a gradient to start from for each output, as for `backward`.
        retain_graph, create_graph: as for `backward`.
        only_inputs: has no effect any more.
        allow_unused: give None for an input that the outputs do not depend on, rather than raise.
        is_grads_batched: the first dimension of each of `grad_outputs` is a batch: the gradients for each of its
            elements, one after the other, are stacked along a first dimension of the results.
        materialize_grads: give zeros rather than None for such an input; implies `allow_unused`.

    Raises:
        RuntimeError: as `backward`, and for an unused input.

    Example:
        >>> x = tensor(3.0, requires_grad=True)
        >>> grad(x * x, x)
        (tensor(6.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if not only_inputs:
        import warnings

        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for "
            "other parts of the graph, please use torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    listed, chosen = _as_tuple(outputs), _inputs_as_tuple(inputs, "grad")
    retain = create_graph if retain_graph is None else retain_graph
    unused = bool(materialize_grads if allow_unused is None else allow_unused)

    def run(gradients: tuple[Tensor | None, ...], retain: bool) -> Any:
        return _core.run_backward(listed, gradients, retain, create_graph, chosen, unused, False)

    if is_grads_batched:
        from bulssi import stack

        batch = _batches_for(listed, grad_outputs)
        rows = [run(gradients, retain or k + 1 < len(batch)) for k, gradients in enumerate(batch)]
        results: Any = tuple([None if column[0] is None else stack(column) for column in zip(*rows, strict=True)])
    else:
        results = run(_gradients_for(listed, grad_outputs), retain)
    if materialize_grads:
        results = _without_none(results, chosen, create_graph)
    return dict(zip(inputs, results, strict=True)) if isinstance(inputs, dict) else results


def _without_none(results: Any, inputs: tuple[Any, ...], create_graph: bool) -> tuple[Tensor, ...]:
    from bulssi import zeros_like

    if any(result is None and _is_edge(item) for result, item in zip(results, inputs, strict=True)):
        raise RuntimeError("materialize_grads cannot be used when the given input is a GradientEdge")
    return tuple(
        [
            zeros_like(item, requires_grad=create_graph) if result is None else result
            for result, item in zip(results, inputs, strict=True)
        ]
    )
