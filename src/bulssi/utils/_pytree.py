"""Nested containers as a list of leaves and a description of the nesting.

Tuples, named tuples, lists, dicts (also ordered ones, in their order) and deques are containers; everything else is a
leaf, unless it is registered.

    leaves, spec = tree_flatten({"a": [1, 2], "b": 3})     # [1, 2, 3]
    tree_unflatten([x * 10 for x in leaves], spec)         # {"a": [10, 20], "b": 30}
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "TreeSpec", "register_pytree_node", "tree_all", "tree_any", "tree_flatten", "tree_leaves", "tree_map",
    "tree_map_", "tree_map_only", "tree_structure", "tree_unflatten",
]  # fmt: skip

_Parts = tuple[list[Any], Any]  # children and context

# By type: container -> (children, context), and (children, context) -> container.
_KINDS: dict[Any, tuple[Callable[[Any], _Parts], Callable[[Any, Any], Any]]] = {
    tuple: (lambda x: (list(x), None), lambda parts, _: tuple(parts)),
    list: (lambda x: (list(x), None), lambda parts, _: list(parts)),
    dict: (lambda x: (list(x.values()), list(x)), lambda parts, keys: dict(zip(keys, parts, strict=True))),
    OrderedDict: (
        lambda x: (list(x.values()), list(x)),
        lambda parts, keys: OrderedDict(zip(keys, parts, strict=True)),
    ),
    defaultdict: (
        lambda x: (list(x.values()), [x.default_factory, list(x)]),
        lambda parts, context: defaultdict(context[0], zip(context[1], parts, strict=True)),
    ),
    deque: (lambda x: (list(x), x.maxlen), lambda parts, maxlen: deque(parts, maxlen)),
}


def register_pytree_node(cls: type, flatten_fn: Callable[[Any], Any], unflatten_fn: Callable[[Any, Any], Any]) -> None:
    """Makes `cls` a container: `flatten_fn(x)` gives (children, context), `unflatten_fn(children, context)` an x."""
    if cls in _KINDS:
        raise ValueError(f"{cls} is already registered as pytree node.")
    _KINDS[cls] = (flatten_fn, unflatten_fn)


def _kind(x: Any) -> Any:
    cls = type(x)
    if cls not in _KINDS and isinstance(x, tuple) and hasattr(x, "_fields"):
        _KINDS[cls] = (lambda x: (list(x), None), lambda parts, _: cls(*parts))
    return cls if cls in _KINDS else None


class TreeSpec:
    """The nesting of a tree: `type` (None for a leaf), `context` and the specs of the children."""

    __slots__ = ("children_specs", "context", "num_leaves", "type")

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]) -> None:
        self.type, self.context, self.children_specs = type, context, children_specs
        self.num_leaves = sum(child.num_leaves for child in children_specs) if type is not None else 1

    def is_leaf(self) -> bool:
        """Whether the whole tree is one leaf."""
        return self.type is None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeSpec):
            return NotImplemented
        mine, its = (self.type, self.context, self.children_specs), (other.type, other.context, other.children_specs)
        return mine == its

    def __hash__(self) -> int:
        return hash((self.type, tuple(self.children_specs)))

    def __repr__(self) -> str:
        if self.type is None:
            return "*"
        return f"TreeSpec({self.type.__name__}, {self.context}, {self.children_specs})"


def _walk(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> TreeSpec:
    kind = None if is_leaf is not None and is_leaf(tree) else _kind(tree)
    if kind is None:
        leaves.append(tree)
        return TreeSpec(None, None, [])
    children, context = _KINDS[kind][0](tree)
    return TreeSpec(kind, context, [_walk(child, leaves, is_leaf) for child in children])


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves from left to right, and the nesting; `is_leaf(x)` may keep a container whole."""
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves, is_leaf)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The tree of this nesting with these leaves."""
    if not isinstance(leaves, (list, tuple)):
        leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten(leaves, treespec): `leaves` has length {len(leaves)} but the spec refers to a pytree that "
            f"holds {treespec.num_leaves} items ({treespec})."
        )
    rest = iter(leaves)

    def build(spec: TreeSpec) -> Any:
        if spec.type is None:
            return next(rest)
        return _KINDS[spec.type][1]([build(child) for child in spec.children_specs], spec.context)

    return build(treespec)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves from left to right."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The nesting."""
    return tree_flatten(tree, is_leaf)[1]


def _same_nesting(tree: Any, spec: TreeSpec) -> list[Any]:
    """The parts of `tree` where a tree of nesting `spec` has leaves."""
    if spec.type is None:
        return [tree]
    if _kind(tree) is not spec.type:
        raise ValueError(f"Node type mismatch; expected {spec.type!r}, but got {type(tree)!r}.")
    children = _KINDS[spec.type][0](tree)[0]
    if len(children) != len(spec.children_specs):
        raise ValueError(f"Node arity mismatch; expected {len(spec.children_specs)}, but got {len(children)}.")
    return [part for x, child in zip(children, spec.children_specs, strict=True) for part in _same_nesting(x, child)]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The tree with `func(leaf, …)` for every leaf; further trees of the same nesting give further arguments."""
    leaves, spec = tree_flatten(tree, is_leaf)
    return tree_unflatten([func(*x) for x in zip(leaves, *[_same_nesting(r, spec) for r in rests], strict=True)], spec)


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Calls `func` on every leaf for its effect; returns the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(kinds: Any, func: Callable[[Any], Any], tree: Any, is_leaf: Any = None) -> Any:
    """The tree with `func(leaf)` for the leaves of a type, of some types, or for which a function is true."""
    wanted = kinds if callable(kinds) and not isinstance(kinds, type) else lambda x: isinstance(x, kinds)
    return tree_map(lambda x: func(x) if wanted(x) else x, tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether `pred` holds for all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> bool:
    """Whether `pred` holds for a leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))
