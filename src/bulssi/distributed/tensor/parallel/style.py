"""Ways of splitting a module over processes: how its parameters, inputs and outputs are placed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulssi import Tensor, nn

from .._api import DTensor, distribute_module, distribute_tensor
from ..placement_types import Placement, Replicate, Shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi.nn import Module

    from ...device_mesh import DeviceMesh

__all__ = [
    "ColwiseParallel",
    "ParallelStyle",
    "PrepareModuleInput",
    "PrepareModuleInputOutput",
    "PrepareModuleOutput",
    "RowwiseParallel",
    "SequenceParallel",
]


class ParallelStyle:
    """A way of splitting a module; :func:`parallelize_module` applies it."""

    src_data_rank: int | None = 0

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        raise NotImplementedError(f"{type(self).__name__} does not say how it is applied")


def _placed(value: Any, mesh: DeviceMesh, layout: Placement, desired: Placement) -> Any:
    """A part, or a `DTensor`, as a `DTensor` with the desired placement."""
    if not isinstance(value, DTensor):
        value = DTensor.from_local(value, mesh, (layout,), run_check=False)
    return value.redistribute(placements=(desired,))


def _left(value: DTensor, layout: Placement, local: bool) -> Any:
    value = value.redistribute(placements=(layout,))
    return value.to_local() if local else value


class _SplitLayer(ParallelStyle):
    """What splitting along columns and rows have in common."""

    _input: Placement
    _output: Placement
    # For each kind of module: how its first input is placed, and its parameters, by name.
    _kinds: tuple[tuple[type[Module], Placement, dict[str, Placement]], ...]

    def __init__(
        self,
        *,
        input_layouts: Placement | None = None,
        output_layouts: Placement | None = None,
        use_local_output: bool = True,
    ) -> None:
        self.input_layouts = (input_layouts or self._input,)
        self.output_layouts = (output_layouts or self._output,)
        self.use_local_output = use_local_output

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        found = next((row for row in self._kinds if isinstance(module, row[0])), None)
        if found is None:
            raise NotImplementedError(
                f"{type(self).__name__} currently only support nn.Linear and nn.Embedding!\ngot {type(module).__name__}"
            )
        _, desired, parameters = found

        def partition(name: str, part: Module, mesh: DeviceMesh) -> None:
            for key, parameter in list(part.named_parameters(recurse=False)):
                split = distribute_tensor(parameter, mesh, [parameters[key]], src_data_rank=self.src_data_rank)
                part.register_parameter(key, nn.Parameter(split, parameter.requires_grad))

        def prepare(part: Module, inputs: Any, mesh: DeviceMesh) -> Any:
            return (_placed(inputs[0], mesh, self.input_layouts[0], desired), *inputs[1:])

        def finish(part: Module, outputs: Any, mesh: DeviceMesh) -> Any:
            return _left(outputs, self.output_layouts[0], self.use_local_output)

        return distribute_module(module, device_mesh, partition, prepare, finish)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_layouts={self.input_layouts}, output_layouts={self.output_layouts}, "
            f"use_local_output={self.use_local_output})"
        )


class ColwiseParallel(_SplitLayer):
    """Split a linear layer by its outputs, an embedding by its columns.

    Args:
        input_layouts: how the input is placed; replicated.
        output_layouts: how the output shall be placed; split along its last dimension.
        use_local_output: give the part of the output as a plain tensor, not a `DTensor`.

    Raises:
        NotImplementedError: when applied to another module.
    """

    _input, _output = Replicate(), Shard(-1)
    _kinds = (
        (nn.Linear, Replicate(), {"weight": Shard(0), "bias": Shard(0)}),
        (nn.Embedding, Replicate(), {"weight": Shard(1)}),
    )


class RowwiseParallel(_SplitLayer):
    """Split a linear layer by its inputs, an embedding by its rows.

    Args:
        input_layouts: how the input is placed; split along its last dimension.
        output_layouts: how the output shall be placed; replicated.
        use_local_output: give the part of the output as a plain tensor, not a `DTensor`.

    Raises:
        NotImplementedError: when applied to another module.
    """

    _input, _output = Shard(-1), Replicate()
    _kinds = (
        (nn.Linear, Shard(-1), {"weight": Shard(1), "bias": Replicate()}),
        (nn.Embedding, Replicate(), {"weight": Shard(0)}),
    )


class SequenceParallel(ParallelStyle):
    """Split the input of a norm, of dropout and the like along the sequence; parameters are replicated
    (Korthikanti et al. 2022, arXiv:2205.05198).

    Args:
        sequence_dim: the dimension of the sequence.
        use_local_output: give the part of the output as a plain tensor, not a `DTensor`.
    """

    def __init__(self, *, sequence_dim: int = 1, use_local_output: bool = False) -> None:
        self.sequence_sharding = (Shard(sequence_dim),)
        self.use_local_output = use_local_output

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        def replicate(name: str, part: Module, mesh: DeviceMesh) -> None:
            for key, parameter in list(part.named_parameters(recurse=False)):
                same = DTensor.from_local(parameter.detach(), mesh, [Replicate()], run_check=False)
                part.register_parameter(key, nn.Parameter(same, parameter.requires_grad))

        def prepare(part: Module, inputs: Any, mesh: DeviceMesh) -> Any:
            if not isinstance(inputs[0], Tensor):
                raise ValueError(f"expecting input of {part} to be a torch.Tensor or DTensor, but got {inputs[0]}")
            split = self.sequence_sharding[0]
            return (_placed(inputs[0], mesh, split, split), *inputs[1:])

        def finish(part: Module, outputs: Any, mesh: DeviceMesh) -> Any:
            return outputs.to_local() if self.use_local_output else outputs

        return distribute_module(module, device_mesh, replicate, prepare, finish)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(sequence_dim={self.sequence_sharding[0].dim}, "
            f"use_local_output={self.use_local_output})"
        )


def _several(layouts: Any) -> tuple[Any, ...]:
    return (layouts,) if isinstance(layouts, Placement) else tuple(layouts)


class PrepareModuleInput(ParallelStyle):
    """Place the inputs of a module.

    Args:
        input_layouts: how the inputs are placed, None for those that are left as they are.
        desired_input_layouts: how they shall be placed.
        input_kwarg_layouts, desired_input_kwarg_layouts: the same for keyword arguments, by name.
        use_local_output: give the module the parts as plain tensors.

    Raises:
        AssertionError: desired layouts are missing or not as many.
    """

    def __init__(
        self,
        *,
        input_layouts: Any = None,
        desired_input_layouts: Any = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None,
        use_local_output: bool = False,
    ) -> None:
        self.input_layouts = None if input_layouts is None else _several(input_layouts)
        self.desired_input_layouts = None if desired_input_layouts is None else _several(desired_input_layouts)
        self.use_local_output = use_local_output
        if self.input_layouts is not None:
            if self.desired_input_layouts is None:
                raise AssertionError("desired module inputs should not be None!")
            if len(self.input_layouts) != len(self.desired_input_layouts):
                raise AssertionError("input_layouts and desired_input_layouts should have same length!")
        self.input_kwarg_layouts = input_kwarg_layouts or {}
        self.desired_input_kwarg_layouts = desired_input_kwarg_layouts or {}
        if self.input_kwarg_layouts.keys() != self.desired_input_kwarg_layouts.keys():
            raise AssertionError("input_kwarg_layouts and desired_input_kwarg_layouts should have same length!")

    def _one(self, value: Any, mesh: DeviceMesh, layout: Any, desired: Any) -> Any:
        if layout is None or value is None:
            return value
        if not isinstance(value, Tensor):
            raise AssertionError(f"expecting input to be a torch.Tensor, but got {type(value)}")
        placed = _placed(value, mesh, layout, layout if desired is None else desired)
        return placed.to_local() if self.use_local_output else placed

    def _prepare(self, inputs: Any, kwargs: dict[str, Any], mesh: DeviceMesh) -> tuple[Any, dict[str, Any]]:
        if self.input_layouts is not None and self.desired_input_layouts is not None:
            inputs = inputs if isinstance(inputs, tuple) else (inputs,)
            if len(inputs) != len(self.input_layouts):
                raise ValueError(
                    "module inputs and input_layouts should have same length!\n"
                    f"there are {len(inputs)} inputs and {len(self.input_layouts)} layouts"
                )
            layouts = zip(inputs, self.input_layouts, self.desired_input_layouts, strict=True)
            inputs = tuple(self._one(value, mesh, a, b) for value, a, b in layouts)
        kwargs = dict(kwargs)
        for name, layout in self.input_kwarg_layouts.items():
            if name in kwargs:
                kwargs[name] = self._one(kwargs[name], mesh, layout, self.desired_input_kwarg_layouts[name])
        return inputs, kwargs

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        module.register_forward_pre_hook(
            lambda _, inputs, kwargs: self._prepare(inputs, kwargs, device_mesh), with_kwargs=True
        )
        return module

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_layouts={self.input_layouts}, "
            f"desired_input_layouts={self.desired_input_layouts}, input_kwarg_layouts={self.input_kwarg_layouts}, "
            f"desired_input_kwarg_layouts={self.desired_input_kwarg_layouts}, use_local_output={self.use_local_output})"
        )


class PrepareModuleOutput(ParallelStyle):
    """Place the outputs of a module.

    Args:
        output_layouts: how they are placed, None for those that are left as they are.
        desired_output_layouts: how they shall be placed.
        use_local_output: give the parts as plain tensors.

    Raises:
        AssertionError: layouts are not as many.
    """

    def __init__(self, *, output_layouts: Any, desired_output_layouts: Any, use_local_output: bool = True) -> None:
        self.output_layouts, self.desired_output_layouts = _several(output_layouts), _several(desired_output_layouts)
        self.use_local_output = use_local_output
        if len(self.output_layouts) != len(self.desired_output_layouts):
            raise AssertionError("output_layouts and desired_output_layouts should have same length!")

    def _finish(self, outputs: Any, mesh: DeviceMesh) -> Any:
        several: Sequence[Any] = outputs if isinstance(outputs, tuple) else (outputs,)
        if len(several) != len(self.output_layouts):
            raise ValueError(
                "module outputs and output_layouts should have same length!\n"
                f"there are {len(several)} outputs and {len(self.output_layouts)} layouts"
            )
        made = []
        for value, layout, desired in zip(several, self.output_layouts, self.desired_output_layouts, strict=True):
            if layout is not None and value is not None:
                value = _placed(value, mesh, layout, layout if desired is None else desired)
                value = value.to_local() if self.use_local_output else value
            made.append(value)
        return tuple(made) if isinstance(outputs, tuple) else made[0]

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        module.register_forward_hook(lambda _, inputs, outputs: self._finish(outputs, device_mesh))
        return module

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(output_layouts={self.output_layouts}, "
            f"desired_output_layouts={self.desired_output_layouts}, use_local_output={self.use_local_output})"
        )


class PrepareModuleInputOutput(ParallelStyle):
    """Place the inputs and the outputs of a module: :class:`PrepareModuleInput`, :class:`PrepareModuleOutput`."""

    def __init__(
        self,
        *,
        input_layouts: Any = None,
        desired_input_layouts: Any = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None,
        use_local_input: bool = False,
        output_layouts: Any,
        desired_output_layouts: Any,
        use_local_output: bool = True,
    ) -> None:
        self.prepare_module_input = PrepareModuleInput(
            input_layouts=input_layouts,
            desired_input_layouts=desired_input_layouts,
            input_kwarg_layouts=input_kwarg_layouts,
            desired_input_kwarg_layouts=desired_input_kwarg_layouts,
            use_local_output=use_local_input,
        )
        self.prepare_module_output = PrepareModuleOutput(
            output_layouts=output_layouts,
            desired_output_layouts=desired_output_layouts,
            use_local_output=use_local_output,
        )

    def _apply(self, module: Module, device_mesh: DeviceMesh) -> Module:
        self.prepare_module_input._apply(module, device_mesh)
        return self.prepare_module_output._apply(module, device_mesh)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.prepare_module_input!r}, {self.prepare_module_output!r})"
