"""Nested containers as lists of leaves."""

from __future__ import annotations

from collections import OrderedDict, deque, namedtuple

import pytest

from bulssi.utils import _pytree

Point = namedtuple("Point", "x y")
TREES = [
    1,
    [1, (2, 3), {"b": 4, "a": [5]}],
    OrderedDict(z=1, y=(2,)),
    Point(1, [2, 3]),
    deque([1, 2], maxlen=4),
    [],
    {"a": None},
]


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: type(tree).__name__)
def test_there_and_back(tree) -> None:
    leaves, spec = _pytree.tree_flatten(tree)
    again = _pytree.tree_unflatten(leaves, spec)
    assert again == tree and type(again) is type(tree)
    assert spec == _pytree.tree_structure(tree) and spec.num_leaves == len(leaves)


def test_order_is_pytorchs() -> None:
    torch_tree = pytest.importorskip("torch.utils._pytree")
    for tree in TREES:
        assert _pytree.tree_leaves(tree) == torch_tree.tree_leaves(tree)


def test_map() -> None:
    assert _pytree.tree_map(lambda a, b: a + b, {"k": [1, 2]}, {"k": [10, 20]}) == {"k": [11, 22]}
    assert _pytree.tree_map_only(int, lambda a: -a, [1, "x", (2,)]) == [-1, "x", (-2,)]
    assert _pytree.tree_map(len, [[1], [2, 3]], is_leaf=lambda x: x and isinstance(x[0], int)) == [1, 2]
    assert _pytree.tree_all(bool, [1, [2]]) and not _pytree.tree_any(lambda x: x > 2, [1, [2]])


def test_refusals() -> None:
    spec = _pytree.tree_structure([1, 2])
    with pytest.raises(ValueError, match="`leaves` has length 1"):
        _pytree.tree_unflatten([1], spec)
    with pytest.raises(ValueError, match="mismatch"):
        _pytree.tree_map(max, [1, 2], (1, 2))
    with pytest.raises(ValueError, match="already registered"):
        _pytree.register_pytree_node(list, list, list)
