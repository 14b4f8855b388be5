"""`ShapeProp`: runs a graph and notes the shape and dtype of every result."""

from __future__ import annotations

from typing import Any, NamedTuple

import bulssi
from bulssi.fx.interpreter import Interpreter
from bulssi.fx.node import Node, map_aggregate

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """What is noted of a tensor."""

    shape: Any
    dtype: Any
    requires_grad: bool
    stride: tuple[int, ...]
    memory_format: Any
    is_quantized: bool
    qparams: dict[str, Any]


def _noted(tensor: Any) -> TensorMetadata:
    formats = (bulssi.contiguous_format, bulssi.channels_last, bulssi.channels_last_3d)
    ranks = {bulssi.channels_last: 4, bulssi.channels_last_3d: 5}
    fits = (f for f in formats if tensor.dim() == ranks.get(f, tensor.dim()) and tensor.is_contiguous(memory_format=f))
    return TensorMetadata(
        tensor.shape, tensor.dtype, tensor.requires_grad, tensor.stride(), next(fits, None), False, {}
    )


class ShapeProp(Interpreter):
    """Notes :class:`TensorMetadata` in ``node.meta["tensor_meta"]`` and the type in ``node.meta["type"]``.

    Example:
        >>> traced = fx.symbolic_trace(lambda x: x.sum(0))
        >>> _ = fx.passes.shape_prop.ShapeProp(traced).propagate(ones(2, 3))
        >>> [tuple(node.meta["tensor_meta"].shape) for node in traced.graph.nodes]
        [(2, 3), (3,), (3,)]
    """

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        found = []

        def note(value: Any) -> Any:
            if not isinstance(value, bulssi.Tensor):
                return value
            found.append(value)
            return _noted(value)

        meta = map_aggregate(result, note)
        if found:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args: Any) -> Any:
        """Run on inputs; returns the result."""
        return self.run(*args)
