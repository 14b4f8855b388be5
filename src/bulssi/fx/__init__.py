"""Programs as graphs: `symbolic_trace` records what a module or function does, the graph can be looked at and changed,
and a `GraphModule` runs it as generated Python code.

The code is meant to be read and changed, not to be faster: it does what the program did.
"""

from __future__ import annotations

from . import node as node
from . import passes as passes
from . import proxy as proxy
from ._symbolic_trace import PH, Tracer, symbolic_trace, wrap
from .graph import CodeGen, Graph
from .graph_module import GraphModule
from .interpreter import Interpreter, Transformer
from .node import Node, has_side_effect, map_arg
from .proxy import Proxy
from .subgraph_rewriter import replace_pattern

__all__ = [
    "CodeGen",
    "Graph",
    "GraphModule",
    "Interpreter",
    "Node",
    "PH",
    "Proxy",
    "Tracer",
    "Transformer",
    "has_side_effect",
    "map_arg",
    "replace_pattern",
    "symbolic_trace",
    "wrap",
]
