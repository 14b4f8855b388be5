"""`replace_pattern`: find parts of a graph that do what a small program does, and put another in their place."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from bulssi.nn.modules.module import Module

from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule
from .node import Node

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Match", "replace_pattern"]


class Match(NamedTuple):
    """A place where a pattern was found: its last node, and from nodes of the pattern to those of the graph."""

    anchor: Node
    nodes_map: dict[Node, Any]


def _graph_of(program: Any) -> Graph:
    if isinstance(program, GraphModule):
        return program.graph
    return program if isinstance(program, Graph) else symbolic_trace(program).graph


class _Matcher:
    """Compares a pattern with the nodes of a graph, from results backwards."""

    def __init__(self, pattern: Graph) -> None:
        self._pattern = pattern
        result = pattern.output_node().args[0]
        self.returned = [n for n in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(n, Node)]
        self.inputs = [n for n in pattern.nodes if n.op == "placeholder"]

    def all_in(self, graph: Graph) -> list[dict[Node, Any]]:
        """The matches in the order of the graph, none of which have a node in common."""
        taken: set[Node] = set()
        found = []
        for node in graph.nodes:
            matched = self._at(node, graph)
            if matched is None:
                continue
            inside = {matched[n] for n in self._pattern.nodes if n in matched and n.op != "placeholder"}
            if inside & taken or not self._closed(matched, inside):
                continue
            taken |= inside
            found.append(matched)
        return found

    def _at(self, node: Node, graph: Graph) -> dict[Node, Any] | None:
        """A match whose first returned node is `node`; the others are looked for in the whole graph."""
        matched: dict[Node, Any] = {}
        if not self._same(self.returned[0], node, matched):
            return None
        for wanted in self.returned[1:]:
            if wanted in matched:
                continue
            for other in graph.nodes:
                attempt = dict(matched)
                if self._same(wanted, other, attempt):
                    matched = attempt
                    break
            else:
                return None
        return matched

    def _same(self, wanted: Any, found: Any, matched: dict[Node, Any]) -> bool:
        if isinstance(wanted, Node):
            if wanted in matched:
                return matched[wanted] is found or (not isinstance(found, Node) and matched[wanted] == found)
            if wanted.op == "placeholder":
                matched[wanted] = found
                return True
            if not isinstance(found, Node) or wanted.op != found.op or found in matched.values():
                return False
            if wanted.op == "output" or not self._same_target(wanted, found):
                return False
            matched[wanted] = found
            return self._same(wanted.args, found.args, matched) and self._same(wanted.kwargs, found.kwargs, matched)
        if isinstance(wanted, (tuple, list)):
            fits = isinstance(found, (tuple, list)) and len(found) == len(wanted)
            return fits and all(self._same(w, f, matched) for w, f in zip(wanted, found, strict=True))
        if isinstance(wanted, dict):
            fits = isinstance(found, dict) and found.keys() == wanted.keys()
            return fits and all(self._same(wanted[key], found[key], matched) for key in wanted)
        if isinstance(wanted, slice):
            parts = "start", "stop", "step"
            return isinstance(found, slice) and all(
                self._same(getattr(wanted, part), getattr(found, part), matched) for part in parts
            )
        return not isinstance(found, Node) and type(wanted) is type(found) and wanted == found

    @staticmethod
    def _same_target(wanted: Node, found: Node) -> bool:
        if wanted.op in ("get_attr", "call_module") and wanted.target != found.target:
            # Modules of another program fit if they are of the same class.
            ours, theirs = (n.graph.owning_module for n in (found, wanted))
            if wanted.op == "get_attr" or ours is None or theirs is None:
                return False
            a, b = ours.get_submodule(str(found.target)), theirs.get_submodule(str(wanted.target))
            return type(a) is type(b)
        return wanted.target == found.target

    def _closed(self, matched: dict[Node, Any], inside: set[Node]) -> bool:
        """Whether results inside are used only inside, but for those that the pattern returns."""
        results = {matched[n] for n in self.returned}
        return all(node in results or all(user in inside for user in node.users) for node in inside)


def replace_pattern(
    gm: GraphModule,
    pattern: Callable[..., Any] | GraphModule,
    replacement: Callable[..., Any] | GraphModule,
) -> list[Match]:
    """Replace every part of a graph that does what ``pattern`` does by what ``replacement`` does.

    Parts are found by what depends on what, not by names; an input of the pattern fits anything. Of parts that overlap,
    the first is replaced.

    Args:
        gm: the module; it is changed.
        pattern, replacement: functions or modules with as many arguments and results as each other.

    Returns:
        the places, with the nodes that were there.

    Raises:
        AssertionError: the two have different numbers of arguments or results.
    """
    graph = gm.graph
    matcher = _Matcher(_graph_of(pattern))
    new = _graph_of(replacement)
    inputs = [n for n in new.nodes if n.op == "placeholder"]
    if len(inputs) != len(matcher.inputs):
        raise AssertionError(f"Placeholder count mismatch: {len(matcher.inputs)} vs {len(inputs)}")
    replaced: dict[Node, Node] = {}
    done = []
    for matched in matcher.all_in(graph):
        mapped: dict[Node, Any] = {}
        for old, fresh in zip(matcher.inputs, inputs, strict=True):
            value = matched.get(old)
            while isinstance(value, Node) and value in replaced:
                value = replaced[value]
            mapped[fresh] = matched[old] = value
        results = [matched[n] for n in matcher.returned]
        users = {user for n in results for user in n.users}
        place = next((n for n in graph.nodes if n in users), None)
        with graph.inserting_before(place) if place is not None else graph.inserting_after(results[-1]):
            made = graph.graph_copy(new, mapped)
        made_nodes = [made] if isinstance(made, Node) else list(made)
        if len(made_nodes) != len(results):
            raise AssertionError(f"Returning nodes count mismatch: {len(results)} vs {len(made_nodes)}")
        for old, fresh in zip(results, made_nodes, strict=True):
            old.replace_all_uses_with(fresh)
            replaced[old] = fresh
        for node in reversed(matcher._pattern.nodes):
            if node in matched and node.op not in ("placeholder", "output"):
                graph.erase_node(matched[node])
        done.append(Match(results[0], matched))
    gm.recompile()
    if isinstance(replacement, Module):
        _take_over(gm, replacement)
    return done


def _take_over(gm: GraphModule, replacement: Module) -> None:
    """Copy what nodes of the replacement name into the module."""
    for node in gm.graph.nodes:
        if node.op not in ("call_module", "get_attr"):
            continue
        try:
            gm.get_submodule(str(node.target)) if node.op == "call_module" else _attribute(gm, str(node.target))
        except AttributeError:
            found = copy.deepcopy(_attribute(replacement, str(node.target)))
            if isinstance(found, Module):
                gm.add_submodule(str(node.target), found)
            else:
                setattr(gm, str(node.target), found)
    gm.graph.lint()


def _attribute(root: Any, path: str) -> Any:
    for part in path.split("."):
        root = getattr(root, part)
    return root
