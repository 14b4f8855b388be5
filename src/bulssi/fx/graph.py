"""`Graph`: a program as a list of steps, and the Python code that does the same."""

from __future__ import annotations

import builtins
import enum
import keyword
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import bulssi

from .node import Argument, Node, Target, _type_name, map_arg, qualified_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CodeGen", "Graph", "PythonCode"]

_REFLECTABLE = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "floordiv": "{} // {}",
    "truediv": "{} / {}",
    "mod": "{} % {}",
    "pow": "{} ** {}",
    "lshift": "{} << {}",
    "rshift": "{} >> {}",
    "and_": "{} & {}",
    "or_": "{} | {}",
    "xor": "{} ^ {}",
    "getitem": "{}[{}]",
    "matmul": "{} @ {}",
}
_OPERATORS = {
    "eq": "{} == {}",
    "ne": "{} != {}",
    "lt": "{} < {}",
    "gt": "{} > {}",
    "le": "{} <= {}",
    "ge": "{} >= {}",
    "pos": "+{}",
    "neg": "-{}",
    "invert": "~{}",
    **_REFLECTABLE,
}
_IN_PLACE = {
    "iadd": "{} += {}",
    "iand": "{} &= {}",
    "ifloordiv": "{} //= {}",
    "ilshift": "{} <<= {}",
    "imod": "{} %= {}",
    "imul": "{} *= {}",
    "imatmul": "{} @= {}",
    "ior": "{} |= {}",
    "ipow": "{} **= {}",
    "irshift": "{} >>= {}",
    "isub": "{} -= {}",
    "itruediv": "{} /= {}",
    "ixor": "{} ^= {}",
    "setitem": "{}[{}] = {}",
}


class PythonCode(NamedTuple):
    """Source text of ``forward``, and the names that it uses."""

    src: str
    globals: dict[str, Any]


# What the text of numbers, types and devices needs.
_TEXT_GLOBALS = {
    "inf": math.inf,
    "nan": math.nan,
    "NoneType": type(None),
    "torch": bulssi,
    "device": bulssi.device,
}


class _Names:
    """Names that are used once each, and are no words of Python's."""

    _FORM = re.compile(r"^([a-zA-Z_][0-9a-zA-Z_]*?)(?:_(\d+))?$")

    def __init__(self) -> None:
        self.used: set[str] = set()
        self._counts: dict[str, int] = {}

    def new(self, wanted: str) -> str:
        """A name like `wanted`."""
        wanted = re.sub("[^0-9a-zA-Z_]+", "_", wanted) or "_unnamed"
        if wanted[0].isdigit():
            wanted = f"_{wanted}"
        base, digits = self._FORM.match(wanted).groups()  # type: ignore[union-attr]
        if digits is None or wanted in self.used:
            number = self._counts.get(base, 0)
            if keyword.iskeyword(wanted) or hasattr(builtins, wanted) or wanted in _TEXT_GLOBALS:
                number += 1
                wanted = f"{base}_{number}"
        else:
            number = int(digits)
        while wanted in self.used:
            number += 1
            wanted = f"{base}_{number}"
        self.used.add(wanted)
        self._counts[base] = number
        return wanted


def _base_name(target: Target) -> str:
    """The name of a result, from what is called."""
    name = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
    return re.sub("(?<=[a-z])([A-Z])", r"_\1", name).lower()


def _path(base: str, target: str) -> str:
    """The text of an attribute of an attribute."""
    for part in target.split("."):
        base = f"{base}.{part}" if part.isidentifier() else f'getattr({base}, "{part}")'
    return base


class _Nodes:
    """The nodes of a graph in order, also while it changes."""

    def __init__(self, graph: Graph, backwards: bool = False) -> None:
        self._graph, self._backwards = graph, backwards

    def __len__(self) -> int:
        return self._graph._count

    def __iter__(self) -> Iterator[Node]:
        root = self._graph._root
        at = root._prev if self._backwards else root._next
        while at is not root:
            if not at._erased:
                yield at
            at = at._prev if self._backwards else at._next

    def __reversed__(self) -> Iterator[Node]:
        return iter(_Nodes(self._graph, not self._backwards))


class _InsertPoint:
    """A block in which new nodes go elsewhere."""

    def __init__(self, graph: Graph, insert: Callable[[Node], None]) -> None:
        self._graph, self._before = graph, graph._insert
        graph._insert = insert

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        self._graph._insert = self._before


class CodeGen:
    """How a graph becomes Python code; subclasses may write another head or other outputs."""

    def gen_fn_def(self, free_vars: list[str], maybe_return_annotation: str) -> str:
        """The ``def`` line: the inputs are ``free_vars``."""
        if not free_vars or free_vars[0] != "self":
            free_vars.insert(0, "self")
        return f"def forward({', '.join(free_vars)}){maybe_return_annotation}:"

    def generate_output(self, output_args: Argument) -> str:
        """The last line."""
        return f"return {_text(output_args)}"

    def process_inputs(self, *args: Any) -> Any:
        """What is given to the placeholders, from the arguments of a call."""
        return args

    def process_outputs(self, outputs: Any) -> Any:
        """What is returned, from the value of the output node."""
        return outputs

    def additional_globals(self) -> list[tuple[str, Any]]:
        """Further names that the code uses."""
        return []


def _text(arg: Any) -> str:
    """An argument as source text; without the globals that it may need."""
    return _Writer("self", {}).text(arg)


class Graph:
    """Steps in order: inputs, calls, one output.

    Nodes are added at the end, or where :meth:`inserting_before` or :meth:`inserting_after` say.

    Example:
        >>> graph = fx.Graph()
        >>> x = graph.placeholder("x")
        >>> _ = graph.output(graph.call_function(relu, (x,)))
        >>> print(graph)
        graph():
            %x : [num_users=1] = placeholder[target=x]
            %relu : [num_users=1] = call_function[target=torch.relu](args = (%x,), kwargs = {})
            return relu
    """

    def __init__(
        self,
        owning_module: Any = None,
        tracer_cls: type[Any] | None = None,
        tracer_extras: dict[str, Any] | None = None,
    ) -> None:
        self._root = Node(self, "", "root", "", (), {})
        self._count = 0
        self._names = _Names()
        self._insert: Callable[[Node], None] = self._root.prepend
        self.owning_module = owning_module
        self._tracer_cls = tracer_cls
        self._codegen = CodeGen()

    @property
    def nodes(self) -> _Nodes:
        """The nodes in order; ``reversed(graph.nodes)`` goes backwards."""
        return _Nodes(self)

    def find_nodes(self, *, op: str, target: Any = None, sort: bool = True) -> list[Node]:
        """The nodes of a kind, and of a target if it is given."""
        return [node for node in self.nodes if node.op == op and target in (None, node.target)]

    # ---- building

    def create_node(
        self,
        op: str,
        target: Target,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """Add a node of any kind; its name is made from ``name`` or from the target."""
        args = () if args is None else args
        kwargs = {} if kwargs is None else kwargs
        if not isinstance(args, tuple):
            raise AssertionError("args must be a tuple")
        if not isinstance(kwargs, dict):
            raise AssertionError("kwargs must be a dict")
        if op not in ("placeholder", "get_attr", "call_function", "call_method", "call_module", "output"):
            raise AssertionError(f"{op!r} is no kind of node")
        map_arg((args, kwargs), self._check_own)
        node = Node(self, self._names.new(name or _base_name(target)), op, target, args, kwargs, type_expr)
        self._insert(node)
        self._count += 1
        return node

    def _check_own(self, node: Node) -> Node:
        if node.graph is not self:
            raise RuntimeError(f"the argument {node} is a node of another graph; node_copy() makes one of this graph")
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = ...) -> Node:
        """Add an input; ``*name`` and ``**name`` take further arguments."""
        args = () if default_value is ... else (default_value,)
        return self.create_node("placeholder", name, args, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """Add a use of a parameter, buffer or other attribute of the module, such as ``layer.weight``."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_function(
        self,
        the_function: Callable[..., Any],
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
        name: str | None = None,
    ) -> Node:
        """Add a call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def call_method(
        self,
        method_name: str,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
    ) -> Node:
        """Add a call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_module(
        self,
        module_name: str,
        args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None,
        type_expr: Any = None,
    ) -> Node:
        """Add a call of a submodule by its path."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def output(self, result: Argument, type_expr: Any = None) -> Node:
        """Add the result of the program."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Argument] = lambda x: x) -> Node:
        """Add a copy of a node of another graph; ``arg_transform`` gives this graph's node for one of that graph's."""
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        copied = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        copied.meta = dict(node.meta)
        return copied

    def graph_copy(self, g: Graph, val_map: dict[Node, Argument], return_output_node: bool = False) -> Any:
        """Add copies of all nodes of another graph but its output; returns what stands for its result.

        Args:
            val_map: from nodes of ``g`` to what stands for them here, such as for its inputs; copies are added to it.
            return_output_node: return also the output node of ``g``.
        """
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                result = map_arg(node.args[0], lambda n: val_map[n])
                return (result, node) if return_output_node else result
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    def inserting_before(self, n: Node | None = None) -> _InsertPoint:
        """A block in which new nodes go before ``n``; at the beginning without one."""
        if n is None:
            return self.inserting_after(self._root)
        if n.graph is not self:
            raise AssertionError("Node to insert before is not in graph.")
        return _InsertPoint(self, n.prepend)

    def inserting_after(self, n: Node | None = None) -> _InsertPoint:
        """A block in which new nodes go behind ``n``; at the end without one."""
        if n is None:
            return self.inserting_before(self._root)
        if n.graph is not self:
            raise AssertionError("Node to insert after is not in graph.")
        place = [n]

        def insert(node: Node) -> None:
            place[0].append(node)
            place[0] = node

        return _InsertPoint(self, insert)

    def erase_node(self, to_erase: Node) -> None:
        """Remove a node that nobody uses.

        Raises:
            RuntimeError: somebody does.
        """
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: "
                f"{to_erase.users}!"
            )
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            return
        to_erase._set_arguments((), {})
        to_erase._remove_from_list()
        to_erase._erased = True
        self._count -= 1

    def output_node(self) -> Node:
        """The output."""
        node = self._root._prev
        if node.op != "output":
            raise AssertionError("the graph has no output")
        return node

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Remove steps whose results nobody uses and that change nothing; whether there were any."""
        impure = is_impure_node or Node.is_impure
        changed = False
        for node in reversed(self.nodes):
            if not node.users and not impure(node):
                self.erase_node(node)
                changed = True
        return changed

    def lint(self) -> None:
        """Check that every node uses only nodes before it, that names differ, and that targets exist.

        Raises:
            RuntimeError, ValueError, AssertionError: what is wrong.
        """
        seen: set[Node] = set()
        names: set[str] = set()
        for node in self.nodes:
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph!")
            for used in node._input_nodes:
                if used not in seen:
                    raise RuntimeError(
                        f"Argument '{used}' of Node '{node}' was used before it has been defined! Please check that "
                        f"Nodes in the graph are topologically ordered\n{self}"
                    )
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            if node.op == "call_function":
                if not callable(node.target):
                    raise ValueError(
                        f"Node {node} target {node.target} has type {type(node.target)} but a Callable is expected"
                    )
            elif not isinstance(node.target, str):
                raise ValueError(f"Node {node} target {node.target} has type {type(node.target)} but str is expected")
            elif node.op in ("get_attr", "call_module") and self.owning_module is not None:
                self._check_path(node)
            seen.add(node)
            names.add(node.name)

    def _check_path(self, node: Node) -> None:
        at = self.owning_module
        for part in str(node.target).split("."):
            if not hasattr(at, part):
                raise RuntimeError(f"Node {node} target {node.target} references nonexistent attribute {part} of {at}")
            at = getattr(at, part)
        if node.op == "call_module" and not isinstance(at, bulssi.nn.Module):
            raise RuntimeError(f"Node {node} target {node.target} does not reference an nn.Module")

    # ---- text

    def python_code(self, root_module: str, *, verbose: bool = False, **kwargs: Any) -> PythonCode:
        """The source text of ``forward``, in which the module is called ``root_module``."""
        return _Writer(root_module, dict(self._codegen.additional_globals())).write(self, verbose)

    def __str__(self) -> str:
        lines = [node.format_node() for node in self.nodes]
        return "graph():" + "".join(f"\n    {line}" for line in lines)

    def print_tabular(self) -> None:
        """Print kind, name, target and arguments of all nodes as a table."""
        rows = [["opcode", "name", "target", "args", "kwargs"]]
        rows += [[node.op, node.name, str(node.target), str(node.args), str(node.kwargs)] for node in self.nodes]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        rows.insert(1, ["-" * width for width in widths])
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def set_codegen(self, codegen: CodeGen) -> None:
        """Have the code written in another way."""
        self._codegen = codegen

    def process_inputs(self, *args: Any) -> Any:
        """What is given to the placeholders, from the arguments of a call."""
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out: Any) -> Any:
        """What is returned, from the value of the output node."""
        return self._codegen.process_outputs(out)

    # ---- copying

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Graph:
        copied = Graph(tracer_cls=self._tracer_cls)
        copied._codegen = self._codegen
        mapped: dict[Node, Argument] = {}
        result = copied.graph_copy(self, mapped, return_output_node=True)
        if result is not None:
            value, old = result
            new = copied.output(value, old.type)
            new.meta = dict(old.meta)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        numbers = {node: i for i, node in enumerate(self.nodes)}

        def numbered(node: Node) -> _Number:
            return _Number(numbers[node])

        rows = [
            (n.op, n.target, map_arg(n.args, numbered), map_arg(n.kwargs, numbered), n.name, n.type) for n in self.nodes
        ]
        return _rebuilt, (rows, self._tracer_cls)


class _Number(NamedTuple):
    """A node in a pickle."""

    number: int


def _rebuilt(rows: list[tuple[Any, ...]], tracer_cls: Any) -> Graph:
    graph = Graph(tracer_cls=tracer_cls)
    nodes: list[Node] = []

    def node_of(value: Any) -> Any:
        if isinstance(value, _Number):
            return nodes[value.number]
        if isinstance(value, (tuple, list)):
            return type(value)(map(node_of, value))
        if isinstance(value, dict):
            return {key: node_of(item) for key, item in value.items()}
        if isinstance(value, slice):
            return slice(node_of(value.start), node_of(value.stop), node_of(value.step))
        return value

    for op, target, args, kwargs, name, kind in rows:
        nodes.append(graph.create_node(op, target, node_of(args), node_of(kwargs), name, kind))
    return graph


class _Writer:
    """Writes a graph as Python."""

    def __init__(self, root: str, names: dict[str, Any]) -> None:
        self._root = root
        self._globals = names
        self._wrapped: dict[str, None] = {}

    def write(self, graph: Graph, verbose: bool) -> PythonCode:
        inputs: list[str] = []
        body: list[str] = []
        returns = ""
        last_uses = self._last_uses(graph)
        commented = False
        for node in graph.nodes:
            if verbose and not commented and node.op not in ("placeholder", "output"):
                body.append("# No stacktrace found for following nodes")
                commented = True
            if node.op == "placeholder":
                default = f" = {self.text(node.args[0])}" if node.args else ""
                inputs.append(f"{node.target}{self._annotation(node)}{default}")
                name = str(node.target).replace("*", "")
                if name != node.name:
                    body.append(f"{node.name} = {name}")
                continue
            if node.op == "output":
                returns = f" -> {self._type(node.type)}" if node.type is not None else ""
                body.append(self._output(graph, node))
                continue
            unused = [] if node.users else [node]
            gone = [n.name for n in [*last_uses.get(node, []), *unused]]
            body.append(self._call(node) + (f";  {' = '.join([*gone, 'None'])}" if gone else ""))
        head = graph._codegen.gen_fn_def(inputs, returns)
        wraps = "\n".join(f'torch.fx._symbolic_trace.wrap("{name}")' for name in self._wrapped)
        lines = "".join(f"    {line}\n" for line in body or ["pass"])
        self._globals.setdefault("torch", bulssi)
        return PythonCode(f"\n{wraps}\n\n{head}\n{lines}    ", self._globals)

    def _output(self, graph: Graph, node: Node) -> str:
        for name in re.findall(r"\b(inf|nan|device|NoneType)\b", self.text(node.args[0])):
            self._globals.setdefault(name, _TEXT_GLOBALS[name])
        return graph._codegen.generate_output(node.args[0])

    @staticmethod
    def _last_uses(graph: Graph) -> dict[Node, list[Node]]:
        """From nodes to the nodes that nobody uses behind them."""
        seen: set[Node] = set()
        uses: dict[Node, list[Node]] = {}
        for node in reversed(graph.nodes):
            for used in node._input_nodes:
                if used not in seen:
                    seen.add(used)
                    uses.setdefault(node, []).append(used)
        return uses

    def _type(self, kind: Any) -> str:
        text = _type_name(kind)
        if isinstance(kind, type) and kind.__module__ not in ("builtins", "bulssi", "bulssi._core", "torch"):
            return self._global(text, kind)
        if not isinstance(kind, type):  # typing's constructs
            first = re.match(r"\w+", text)
            if first is not None and first.group() not in ("torch", *vars(builtins)):
                import sys

                self._globals.setdefault(first.group(), sys.modules.get(first.group()))
        return text

    def _annotation(self, node: Node) -> str:
        return f" : {self._type(node.type)}" if node.type is not None else ""

    def _global(self, name: str, value: Any) -> str:
        """A name by which the code finds a value."""
        if (name + ".").startswith("torch."):
            self._globals.setdefault("torch", bulssi)
            return name
        base = name = re.sub(r"\W", "_", name)
        number = 0
        while self._globals.get(name, value) is not value:
            number += 1
            name = f"{base}_{number}"
        if getattr(builtins, name, None) is not value:
            self._globals[name] = value
        return name

    def text(self, arg: Any) -> str:
        """An argument."""
        if isinstance(arg, Node):
            return arg.name
        if isinstance(arg, tuple) and hasattr(arg, "_fields"):
            return f"{self._global(qualified_name(type(arg)), type(arg))}({self._list(arg)})"
        if isinstance(arg, tuple):
            return f"({self._list(arg)},)" if len(arg) == 1 else f"({self._list(arg)})"
        if isinstance(arg, list):
            return f"[{self._list(arg)}]"
        if isinstance(arg, dict):
            return "{" + ", ".join(f"{self.text(key)}: {self.text(value)}" for key, value in arg.items()) + "}"
        if isinstance(arg, slice):
            return f"slice({self.text(arg.start)}, {self.text(arg.stop)}, {self.text(arg.step)})"
        if isinstance(arg, enum.Enum):
            return f"{self._global(type(arg).__name__, type(arg))}.{arg.name}"
        if isinstance(arg, type) or (callable(arg) and hasattr(arg, "__qualname__")):
            return self._global(qualified_name(arg), arg)
        if isinstance(arg, float) and not math.isfinite(arg):
            self._globals.setdefault("nan" if arg != arg else "inf", abs(arg))
        if isinstance(arg, bulssi.device):
            self._globals.setdefault("device", bulssi.device)
        return repr(arg)

    def _list(self, args: Any) -> str:
        return ", ".join(map(self.text, args))

    def _arguments(self, args: Any, kwargs: dict[str, Any]) -> str:
        return ", ".join([*map(self.text, args), *(f"{name} = {self.text(value)}" for name, value in kwargs.items())])

    def _call(self, node: Node) -> str:
        left = f"{node.name}{self._annotation(node)} = "
        if node.op == "get_attr":
            return left + _path(self._root, str(node.target))
        if node.op == "call_module":
            return f"{left}{_path(self._root, str(node.target))}({self._arguments(node.args, node.kwargs)})"
        if node.op == "call_method":
            base = self.text(node.args[0])
            return f"{left}{_path(base, str(node.target))}({self._arguments(node.args[1:], node.kwargs)})"
        function: Any = node.target
        name = getattr(function, "__name__", "")
        if getattr(function, "__module__", "") == "_operator":
            operands = [self.text(arg) for arg in node.args]
            if name in _OPERATORS:
                return left + _OPERATORS[name].format(*operands)
            if name in _IN_PLACE:
                return f"{_IN_PLACE[name].format(*operands)};  {left}{operands[0]}"
        if function is getattr and len(node.args) == 2 and str(node.args[1]).isidentifier():
            return left + _path(self.text(node.args[0]), str(node.args[1]))
        called = self._global(qualified_name(function), function)
        if node.meta.get("is_wrapped", False):
            self._wrapped.setdefault(called)
        return f"{left}{called}({self._arguments(node.args, node.kwargs)})"
