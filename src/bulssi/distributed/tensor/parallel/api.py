"""Splitting the layers of a module by a plan."""

from __future__ import annotations

import warnings
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from ...device_mesh import DeviceMesh, _mesh_or_present
from .style import ParallelStyle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulssi.nn import Module

__all__ = ["parallelize_module"]


def _matching(module: Module, path: list[str]) -> Iterator[Module]:
    """The modules whose path matches a pattern, atom by atom."""
    if not path:
        yield module
        return
    for name, child in module.named_children():
        if fnmatch(name, path[0]):
            yield from _matching(child, path[1:])


def parallelize_module(
    module: Module,
    device_mesh: DeviceMesh | None = None,
    parallelize_plan: ParallelStyle | dict[str, ParallelStyle] | None = None,
    *,
    src_data_rank: int | None = 0,
) -> Module:
    """Split the parameters of a module over the processes of a mesh, in place.

    Args:
        device_mesh: a mesh of one dimension, or none to take that of the block or all processes.
        parallelize_plan: a style, or styles by the paths of submodules, in which ``*`` and ``?`` match within a name.
        src_data_rank: the process of the mesh whose parameters count; with None each takes its part of its own.

    Raises:
        ValueError: the mesh has several dimensions.
        TypeError: the plan is something else.

    Example:
        >>> plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}  # doctest: +SKIP
        >>> parallelize_module(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)), mesh, plan)  # doctest: +SKIP
    """
    mesh = _mesh_or_present(device_mesh)
    if mesh.ndim != 1:
        raise ValueError(
            f"parallelize_module works along one dimension, and {mesh} has {mesh.ndim}: give one by name, mesh['tp']"
        )
    if parallelize_plan is None:
        warnings.warn(
            "No parallelize_plan is provided and auto-parallel is not supported at the moment, so this "
            "parallelize_module call will do nothing.",
            stacklevel=2,
        )
        return module
    if isinstance(parallelize_plan, ParallelStyle):
        parallelize_plan.src_data_rank = src_data_rank
        return parallelize_plan._apply(module, mesh)
    if not isinstance(parallelize_plan, dict):
        raise TypeError(
            "Expect Union[ParallelStyle, Dict[str, ParallelStyle]] for parallelize_plan, "
            f"{type(parallelize_plan)} found!"
        )
    for path, style in parallelize_plan.items():
        found = list(_matching(module, path.split("."))) if path else [module]
        if not found:
            warnings.warn(
                f"Parallelize plan key '{path}' could not be resolved: no submodule matching this path", stacklevel=2
            )
        for part in found:
            parallelize_module(part, mesh, style, src_data_rank=src_data_rank)
    return module
