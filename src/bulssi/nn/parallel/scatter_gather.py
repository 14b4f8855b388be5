"""The parts of data parallelism over devices: splitting batches, copying modules, and putting results together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi.nn.modules.module import Module

__all__ = ["gather", "parallel_apply", "replicate", "scatter", "scatter_kwargs"]


def _device(device: Any) -> Any:
    return bulssi.device("cuda", device) if isinstance(device, int) else bulssi.device(device)


def _same(parts: Sequence[Any], kind: Any) -> Any:
    """Values in a container of a type, named tuples included."""
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """Split the tensors in nested tuples, lists and dicts along a dimension, a part for each device. Differentiable.

    Other values go to all. Devices are numbers of GPUs, or anything that ``torch.device`` takes.

    Returns:
        a sequence with a structure for each device, as many as there are parts.

    Example:
        >>> scatter((torch.arange(4), "x"), ["cpu", "cpu"])
        [(tensor([0, 1]), 'x'), (tensor([2, 3]), 'x')]
    """
    if isinstance(inputs, Tensor):
        chunks = inputs.chunk(len(target_gpus), dim)
        return tuple(part.to(_device(device)) for part, device in zip(chunks, target_gpus, strict=False))
    if isinstance(inputs, dict) and inputs:
        columns = [scatter(value, target_gpus, dim) for value in inputs.values()]
        return [type(inputs)(zip(inputs, row, strict=True)) for row in zip(*columns, strict=False)]
    if isinstance(inputs, (tuple, list)) and inputs:
        columns = [scatter(value, target_gpus, dim) for value in inputs]
        return [_same(row, type(inputs)) for row in zip(*columns, strict=False)]
    return [inputs for _ in target_gpus]


def scatter_kwargs(inputs: Any, kwargs: Any, target_gpus: Sequence[Any], dim: int = 0) -> tuple[Any, Any]:
    """:func:`scatter` of the arguments of a module: as many of positional ones as of keywords."""
    parts = list(scatter(inputs, target_gpus, dim)) if inputs else []
    named = list(scatter(kwargs, target_gpus, dim)) if kwargs else []
    parts += [() for _ in range(len(named) - len(parts))]
    named += [{} for _ in range(len(parts) - len(named))]
    return tuple(parts), tuple(named)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """Put results of several devices together along a dimension, on one. Differentiable.

    Raises:
        ValueError: dicts have different keys.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        device = _device(target_device)
        return bulssi.cat([t.unsqueeze(0) if t.dim() == 0 else t for t in (part.to(device) for part in outputs)], dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(part) != len(first) for part in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((key, gather([part[key] for part in outputs], target_device, dim)) for key in first)
    return _same([gather(row, target_device, dim) for row in zip(*outputs, strict=True)], type(first))


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Module]:
    """A copy of a module for each device, whose parameters lead gradients back to the module's, unless ``detach``."""
    made = []
    for device in map(_device, devices):
        copies: dict[Module, Module] = {}
        for module in network.modules():
            twin = copies[module] = module.__new__(type(module))
            twin.__dict__.update(module.__dict__)
            twin._parameters, twin._modules = {}, {}
            twin._buffers = {k: None if b is None else b.to(device) for k, b in module._buffers.items()}
        for module, twin in copies.items():
            for name, child in module._modules.items():
                twin._modules[name] = None if child is None else copies[child]
            for name, parameter in module._parameters.items():
                value = None if parameter is None else parameter.to(device)
                twin.__dict__[name] = value if value is None else value.detach() if detach else value.view_as(value)
        made.append(copies[network])
    return made


def parallel_apply(
    modules: Sequence[Module],
    inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """Call each module with its inputs.

    Raises:
        AssertionError: there are not as many inputs as modules.
    """
    if len(modules) != len(inputs):
        raise AssertionError(f"The number of modules {len(modules)} is not equal to the number of inputs {len(inputs)}")
    named = kwargs_tup or [{}] * len(modules)
    return [
        module(*(given if isinstance(given, (list, tuple)) else (given,)), **options)
        for module, given, options in zip(modules, inputs, named, strict=True)
    ]
