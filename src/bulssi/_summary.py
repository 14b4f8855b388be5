"""A table of a model's layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import bulssi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

__all__ = ["Layer", "Summary", "summary"]


class Layer(NamedTuple):
    """One row: a module that was called, its output's shape, its own parameters and its multiply-adds."""

    name: str
    kind: str
    depth: int
    output: str
    parameters: int
    multiply_adds: int


class Summary(NamedTuple):
    """What summary() found out; `str()` is the table."""

    layers: list[Layer]
    parameters: int
    trainable: int
    multiply_adds: int
    parameter_bytes: int

    def __str__(self) -> str:
        rows = [("layer", "output shape", "parameters", "multiply-adds")]
        for layer in self.layers:
            name = "  " * layer.depth + (f"{layer.name}: {layer.kind}" if layer.name else layer.kind)
            rows.append((name, layer.output, _count(layer.parameters), _count(layer.multiply_adds)))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            f"{name:<{widths[0]}}  {output:<{widths[1]}}  {count:>{widths[2]}}  {work:>{widths[3]}}"
            for name, output, count, work in rows
        ]
        rule = "-" * len(lines[0])
        frozen = self.parameters - self.trainable
        note = f" ({frozen:,} of them frozen)" if frozen else ""
        return "\n".join(
            [
                lines[0], rule, *lines[1:], rule,
                f"parameters     {self.parameters:,}{note}, {_size(self.parameter_bytes)}",
                f"multiply-adds  {self.multiply_adds:,}",
            ]
        )  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"Summary({len(self.layers)} layers, {self.parameters:,} parameters, {self.multiply_adds:,} multiply-adds)"
        )


def _count(n: int) -> str:
    return f"{n:,}" if n else "-"


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def _inputs(input_size: Any, dtype: Any, device: Any) -> list[Any]:
    """Zeros of the given shapes; what is a tensor already stays itself."""
    if isinstance(input_size, bulssi.Tensor):
        return [input_size]
    if isinstance(input_size, str) or not hasattr(input_size, "__iter__"):
        raise TypeError(f"summary: input_size must be a shape or a list of shapes, got {input_size!r}")
    sizes = list(input_size)
    if all(isinstance(n, int) for n in sizes):
        sizes = [sizes]
    return [
        size if isinstance(size, bulssi.Tensor) else bulssi.zeros(tuple(size), dtype=dtype, device=device)
        for size in sizes
    ]


def _shapes(value: Any) -> str:
    if isinstance(value, bulssi.Tensor):
        return str(list(value.shape))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shapes(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_shapes(part) for part in value if part is not None)
    return type(value).__name__


def _multiply_adds(module: Any, inputs: tuple[Any, ...], output: Any) -> int:
    """Of one call of a module without children; of what is no matrix product or convolution, 0."""
    nn = bulssi.nn
    x: Any = inputs[0] if inputs else None
    first = output[0] if isinstance(output, tuple) else output
    if isinstance(module, nn.Linear):
        return first.numel() * module.in_features
    if isinstance(module, nn.Bilinear):
        return first.numel() * (module.in1_features * module.in2_features + module.in2_features)
    weight = getattr(module, "weight", None)
    if hasattr(module, "transposed") and hasattr(module, "kernel_size") and weight is not None:
        per_element = math.prod(weight.shape[1:])
        return (x if module.transposed else first).numel() * per_element
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        matrices = [p for name, p in module.named_parameters() if "weight" in name]
        data = getattr(x, "data", x)
        calls = data.numel() // data.shape[-1]  # time steps times batch
        return calls * sum(math.prod(p.shape) for p in matrices)
    if isinstance(module, nn.MultiheadAttention):
        return _attention(module, inputs)
    return 0


def _attention(module: Any, inputs: tuple[Any, ...]) -> int:
    query, key, value = inputs[:3]
    batch_axis = 0 if module.batch_first else 1
    batch = query.shape[batch_axis] if query.dim() == 3 else 1
    width = module.embed_dim
    queries, keys = query.numel() // query.shape[-1] // batch, key.numel() // key.shape[-1] // batch
    projections = queries * query.shape[-1] + keys * (key.shape[-1] + value.shape[-1]) + queries * width
    return batch * (projections * width + 2 * queries * keys * width)


def summary(
    model: Any,
    input_size: Sequence[int] | Sequence[Sequence[int] | Tensor] | Tensor,
    *,
    dtype: Any = None,
    verbose: bool = True,
) -> Summary:
    """Runs a model on an input of zeros and tells about its layers: output shapes, parameters, multiply-adds.

    Args:
        input_size: the shape of the input with its batch dimension, or a list of shapes for several inputs; tensors may
            stand in place of shapes.
        dtype: of the inputs; that of the model's first parameter when None (int64 when the model starts with an
            embedding).
        verbose: print the table.

    The model is called once, in eval mode and without gradients, and left as it was. Parameters that several modules
    share are counted at the first; modules whose parameters the model did not come to are listed at the end.

    Raises:
        TypeError: `model` is no module, or `input_size` is neither shapes nor tensors.

    >>> import bulssi as torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> torch.summary(model, (32, 4), verbose=False)
    Summary(4 layers, 58 parameters, 1,536 multiply-adds)
    """
    if not isinstance(model, bulssi.nn.Module):
        raise TypeError(f"summary: expected an nn.Module, got {type(model).__name__}")
    parameters = list(model.parameters())
    if dtype is None:
        dtype = parameters[0].dtype if parameters else bulssi.get_default_dtype()
        leaf = next((m for m in model.modules() if not list(m.children())), None)
        if isinstance(leaf, (bulssi.nn.Embedding, bulssi.nn.EmbeddingBag)):
            dtype = bulssi.int64
    device = parameters[0].device if parameters else None
    inputs = _inputs(input_size, dtype, device)

    found: list[list[Any]] = []
    seen: set[int] = set()
    handles = []
    names = {module: name for name, module in model.named_modules()}

    def before(module: Any, args: Any) -> None:
        own = [p for p in module._parameters.values() if p is not None and id(p) not in seen]
        seen.update(id(p) for p in own)
        name = names[module]
        found.append([module, name, sum(p.numel() for p in own), None, 0])
        open_calls.append(found[-1])

    def after(module: Any, args: Any, output: Any) -> None:
        row = open_calls.pop()
        row[3], row[4] = _shapes(output), _multiply_adds(module, args, output)

    open_calls: list[list[Any]] = []
    training = {module: module.training for module in model.modules()}
    try:
        for module in model.modules():
            handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        model.eval()
        with bulssi.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    layers = [
        Layer(
            name.rpartition(".")[2], type(module).__name__, name.count(".") + 1 if name else 0, shape or "", count, work
        )
        for module, name, count, shape, work in found
    ]
    for module, name in names.items():
        own = [p for p in module._parameters.values() if p is not None and id(p) not in seen]
        seen.update(id(p) for p in own)
        if own:
            layers.append(Layer(name, type(module).__name__, 1, "not called", sum(p.numel() for p in own), 0))
    result = Summary(
        layers,
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(layer.multiply_adds for layer in layers),
        sum(p.numel() * p.element_size() for p in parameters),
    )
    if verbose:
        print(result)
    return result
