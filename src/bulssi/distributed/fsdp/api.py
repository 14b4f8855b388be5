"""Options of sharded data parallelism."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from bulssi.nn.modules.batchnorm import _BatchNorm

__all__ = [
    "BackwardPrefetch",
    "CPUOffload",
    "CPUOffloadPolicy",
    "FullOptimStateDictConfig",
    "FullStateDictConfig",
    "LocalOptimStateDictConfig",
    "LocalStateDictConfig",
    "MixedPrecision",
    "MixedPrecisionPolicy",
    "OffloadPolicy",
    "OptimStateDictConfig",
    "OptimStateKeyType",
    "ShardedOptimStateDictConfig",
    "ShardedStateDictConfig",
    "ShardingStrategy",
    "StateDictConfig",
    "StateDictSettings",
    "StateDictType",
]


class ShardingStrategy(Enum):
    """What of a model each process has a part of only.

    FULL_SHARD: parameters, gradients and the state of the optimizer; parameters are gathered for forward, and again
    for backward. SHARD_GRAD_OP: the same, but parameters stay gathered in between. NO_SHARD: nothing; gradients are
    averaged. HYBRID_SHARD, _HYBRID_SHARD_ZERO2: as the first two among the processes of one row of a mesh of two
    dimensions, and as NO_SHARD between rows.
    """

    FULL_SHARD = auto()
    SHARD_GRAD_OP = auto()
    NO_SHARD = auto()
    HYBRID_SHARD = auto()
    _HYBRID_SHARD_ZERO2 = auto()


class BackwardPrefetch(Enum):
    """When the next parameters are asked for in backward; accepted, the result is the same."""

    BACKWARD_PRE = auto()
    BACKWARD_POST = auto()


class StateDictType(Enum):
    """What ``state_dict`` has: whole tensors, this process's flat parameters, or tensors split over processes."""

    FULL_STATE_DICT = auto()
    LOCAL_STATE_DICT = auto()
    SHARDED_STATE_DICT = auto()


class OptimStateKeyType(Enum):
    """Keys of a state dict of an optimizer: names or numbers of parameters."""

    PARAM_NAME = auto()
    PARAM_ID = auto()


@dataclass
class MixedPrecision:
    """dtypes of ``FullyShardedDataParallel``; None leaves them.

    Attributes:
        param_dtype: of parameters and inputs in forward and backward.
        reduce_dtype: in which gradients are summed; as ``param_dtype`` without it.
        buffer_dtype: of buffers.
        keep_low_precision_grads: leave gradients in ``reduce_dtype``, rather than convert them to the parameters'.
        cast_forward_inputs: convert the inputs of every wrapped module.
        cast_root_forward_inputs: convert those of the outermost.
    """

    param_dtype: Any = None
    reduce_dtype: Any = None
    buffer_dtype: Any = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True
    _module_classes_to_ignore: Sequence[type] = (_BatchNorm,)


@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """dtypes of ``fully_shard``; None leaves them.

    Attributes:
        param_dtype: of gathered parameters.
        reduce_dtype: in which gradients are summed.
        output_dtype: of the module's outputs.
        cast_forward_inputs: convert inputs to ``param_dtype``.
    """

    param_dtype: Any = None
    reduce_dtype: Any = None
    output_dtype: Any = None
    cast_forward_inputs: bool = True


@dataclass
class CPUOffload:
    """Where parts are kept; tensors are in the memory of the CPU in any case."""

    offload_params: bool = False


@dataclass
class OffloadPolicy:
    """Where parts are kept: where they are."""


@dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Where parts are kept: in the memory of the CPU, where tensors are in any case."""

    pin_memory: bool = True


@dataclass
class StateDictConfig:
    """Options of ``state_dict``.

    Attributes:
        offload_to_cpu: give tensors in the memory of the CPU.
    """

    offload_to_cpu: bool = False


@dataclass
class FullStateDictConfig(StateDictConfig):
    """Options of FULL_STATE_DICT.

    Attributes:
        rank0_only: only process 0 gets it; the others get an empty one.
    """

    rank0_only: bool = False


@dataclass
class LocalStateDictConfig(StateDictConfig):
    """Options of LOCAL_STATE_DICT."""


@dataclass
class ShardedStateDictConfig(StateDictConfig):
    """Options of SHARDED_STATE_DICT; tensors are `DTensor` in any case."""

    _use_dtensor: bool = False


@dataclass
class OptimStateDictConfig:
    """Options of ``optim_state_dict``.

    Attributes:
        offload_to_cpu: give tensors in the memory of the CPU.
    """

    offload_to_cpu: bool = True


@dataclass
class FullOptimStateDictConfig(OptimStateDictConfig):
    """Options for FULL_STATE_DICT.

    Attributes:
        rank0_only: only process 0 gets it; the others get an empty one.
    """

    rank0_only: bool = False


@dataclass
class LocalOptimStateDictConfig(OptimStateDictConfig):
    """Options for LOCAL_STATE_DICT."""

    offload_to_cpu: bool = False


@dataclass
class ShardedOptimStateDictConfig(OptimStateDictConfig):
    """Options for SHARDED_STATE_DICT."""

    _use_dtensor: bool = False


@dataclass
class StateDictSettings:
    """What ``state_dict`` and ``optim_state_dict`` give now."""

    state_dict_type: StateDictType = StateDictType.FULL_STATE_DICT
    state_dict_config: StateDictConfig = field(default_factory=FullStateDictConfig)
    optim_state_dict_config: OptimStateDictConfig = field(default_factory=FullOptimStateDictConfig)
