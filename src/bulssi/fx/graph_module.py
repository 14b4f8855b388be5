"""`GraphModule`: a module whose `forward` is generated from a graph."""

from __future__ import annotations

import copy
import itertools
import linecache
from typing import Any

from bulssi.nn.modules.module import Module

from .graph import Graph, PythonCode

__all__ = ["GraphModule"]

_numbers = itertools.count()


def _compiled(code: PythonCode) -> Any:
    """The function `forward` of generated code; tracebacks show its lines."""
    name = f"<eval_with_key>.{next(_numbers)}"
    linecache.cache[name] = len(code.src), None, code.src.splitlines(True), name
    scope = dict(code.globals)
    exec(compile(code.src, name, "exec"), scope)
    return scope["forward"]


def _parent(root: Module, path: str) -> tuple[Module, str]:
    """The module that holds the last part of a path; modules on the way are made if need be."""
    *prefix, last = path.split(".")
    for part in prefix:
        child = getattr(root, part, None)
        if child is None:
            child = Module()
            root.add_module(part, child)
        root = child
    return root, last


def _copy_attr(source: Module, to: Module, path: str) -> None:
    """Give `to` what `source` has at a path; nothing if that is nothing."""
    value: Any = source
    for part in path.split("."):
        value = getattr(value, part, None)
        if value is None:
            return
    parent, name = _parent(to, path)
    if getattr(parent, name, None) is not None and isinstance(getattr(parent, name), Module):
        return  # a part of it is there already
    _assign(parent, name, value)


def _assign(parent: Module, name: str, value: Any) -> None:
    import bulssi

    if isinstance(value, bulssi.Tensor) and not isinstance(value, bulssi.nn.Parameter):
        parent.register_buffer(name, value)
    elif isinstance(value, Module):
        parent.add_module(name, value)
    else:
        setattr(parent, name, value)


_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"


class _CodeOnlyModule(Module):
    """A module of the attributes of another one, in its `__dict__`."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.__dict__ = body


class GraphModule(Module):
    """A module that runs a graph.

    Args:
        root: the module whose parameters and submodules the graph names, or a dict from such names to them.
        graph: the graph. After a change of it, :meth:`recompile` has to be called.
        class_name: shown in place of ``GraphModule``.

    Attributes:
        graph: the graph; another can be assigned.
        code: the generated Python code.

    Raises:
        RuntimeError: the dict lacks something that the graph names.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> GraphModule:
        # Each has a class of its own, whose forward is its code.
        base = next((c for c in cls.__mro__ if "_is_generated" not in c.__dict__), GraphModule)
        generated = type("GraphModuleImpl", (base,), {"_is_generated": True, "__module__": base.__module__})
        return super().__new__(generated)

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule") -> None:
        super().__init__()
        type(self).__name__ = class_name
        targets = [str(node.target) for node in graph.nodes if node.op in ("get_attr", "call_module")]
        if isinstance(root, Module):
            self.training = root.training
            for path in targets:
                _copy_attr(root, self, path)
        elif isinstance(root, dict):
            missing = [path for path in targets if path not in root]
            if missing:
                raise RuntimeError(
                    f"Node in the graph referenced target {missing[0]} but that target was not provided in ``root``!"
                )
            for path in sorted(set(targets), key=lambda path: path.count(".")):
                parent, name = _parent(self, path)
                _assign(parent, name, root[path])
        else:
            raise RuntimeError(f"Unsupported type {root} passed for root!")
        self.__dict__["meta"] = dict(getattr(root, "meta", {}) or {}) if isinstance(root, GraphModule) else {}
        self.graph = graph

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "graph":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def graph(self) -> Graph:
        """The graph."""
        return self.__dict__["_graph"]

    @graph.setter
    def graph(self, graph: Graph) -> None:
        if not isinstance(graph, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(graph)}")
        self.__dict__["_graph"] = graph
        graph.owning_module = self
        self.recompile()

    def recompile(self) -> PythonCode:
        """Generate the code again, after the graph has changed."""
        code = self.graph.python_code("self")
        self.__dict__["_code"] = code.src
        type(self).forward = _compiled(code)  # type: ignore[method-assign]
        return code

    @property
    def code(self) -> str:
        """The generated code."""
        return self.__dict__["_code"]

    def add_submodule(self, target: str, m: Module) -> bool:
        """Add a module at a path; modules on the way are made. False if something else is in the way."""
        at: Any = self
        *prefix, last = target.split(".")
        for part in prefix:
            child = getattr(at, part, None)
            if child is None:
                child = Module()
                at.add_module(part, child)
            elif not isinstance(child, Module):
                return False
            at = child
        at.add_module(last, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Remove the module at a path; False if there is none."""
        at: Any = self
        *prefix, last = target.split(".")
        for part in prefix:
            at = getattr(at, part, None)
            if not isinstance(at, Module):
                return False
        if not isinstance(getattr(at, last, None), Module):
            return False
        delattr(at, last)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Remove the modules that the graph does not name, nor parts of them."""
        used: set[str] = set()
        for node in self.graph.nodes:
            if node.op not in ("call_module", "get_attr"):
                continue
            parts = str(node.target).split(".")
            used.update(".".join(parts[: i + 1]) for i in range(len(parts)))
            if node.op == "call_module":
                try:
                    used.update(
                        f"{node.target}.{name}"
                        for name, _ in self.get_submodule(str(node.target)).named_modules()
                        if name
                    )
                except AttributeError:
                    continue
        for name in [name for name, _ in self.named_modules() if name and name not in used]:
            self.delete_submodule(name)

    def print_readable(self, print_output: bool = True, **kwargs: Any) -> str:
        """The code as a class, printed unless ``print_output`` is False; returns it."""
        body = self.graph.python_code("self", verbose=True).src.strip("\n ")
        lines = "\n".join(f"    {line}" if line else line for line in body.split("\n"))
        children = [child for _, child in self.named_children() if isinstance(child, GraphModule)]
        inner = "".join(
            "\n" + "\n".join("    " + line for line in child.print_readable(False).split("\n")) for child in children
        )
        text = f"class {self._get_name()}(torch.nn.Module):\n{lines}\n{inner}"
        if print_output:
            print(text)
        return text

    def __str__(self) -> str:
        return (
            f"{super().__repr__()}\n{self.code}\n# To see more debug info, please use `graph_module.print_readable()`"
        )

    def __copy__(self) -> GraphModule:
        copied = GraphModule(self, copy.deepcopy(self.graph), self._get_name())
        copied.__dict__["meta"] = dict(self.__dict__.get("meta", {}))
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> GraphModule:
        state = {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}
        made = GraphModule({}, Graph(), self._get_name())
        memo[id(self)] = made
        made.__dict__.update(copy.deepcopy(state, memo))
        made.graph = copy.deepcopy(self.graph)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        state = {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}
        return _restored, (state, self.graph, self._get_name())


def _restored(state: dict[str, Any], graph: Graph, name: str) -> GraphModule:
    made = GraphModule({}, Graph(), name)
    made.__dict__.update(state)
    made.graph = graph
    return made
