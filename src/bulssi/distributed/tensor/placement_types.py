"""What each process has of a tensor, along one dimension of a mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Partial", "Placement", "Replicate", "Shard"]


class Placement:
    """What the processes along one dimension of a mesh have of a tensor: one of the three below."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether each has a part (along ``dim``)."""
        return isinstance(self, Shard) and (dim is None or self.dim == dim)

    def is_replicate(self) -> bool:
        """Whether each has all."""
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op: str | None = None) -> bool:
        """Whether the tensor is the sum (or another ``reduce_op``) of what they have."""
        return isinstance(self, Partial) and (reduce_op is None or self.reduce_op == reduce_op)


class Shard(Placement):
    """Each process has a part along a dimension, as ``chunk`` cuts it: the last ones may be smaller, or empty.

    >>> Shard(0)
    Shard(dim=0)
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def __repr__(self) -> str:
        return f"Shard(dim={self.dim})"

    def __str__(self) -> str:
        return f"S({self.dim})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self).__name__, *self.__dict__.values()))

    @staticmethod
    def local_shard_size_and_offset(curr_local_size: int, num_chunks: int, rank: int) -> tuple[int, int]:
        """Size and first index of a process's part of a dimension."""
        step = -(-curr_local_size // num_chunks)
        begin = min(curr_local_size, step * rank)
        return min(curr_local_size, begin + step) - begin, begin


class _StridedShard(Shard):
    """A part of what dimensions of the mesh further right have cut already, into ``split_factor`` parts."""

    def __init__(self, dim: int, *, split_factor: int) -> None:
        super().__init__(dim)
        self.split_factor = split_factor

    def __repr__(self) -> str:
        return f"_StridedShard(dim={self.dim}, sf={self.split_factor})"

    def __str__(self) -> str:
        return f"_S({self.dim}, {self.split_factor})"


class Replicate(Placement):
    """Each process has all of it."""

    def __repr__(self) -> str:
        return "Replicate()"

    def __str__(self) -> str:
        return "R"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Replicate)

    def __hash__(self) -> int:
        return hash("Replicate")


class Partial(Placement):
    """The tensor is the sum of what the processes have; ``reduce_op`` may be avg, product, max or min instead."""

    def __init__(self, reduce_op: str = "sum") -> None:
        self.reduce_op = reduce_op

    def __repr__(self) -> str:
        return f"Partial({self.reduce_op})"

    def __str__(self) -> str:
        return f"P({self.reduce_op})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Partial) and self.reduce_op == other.reduce_op

    def __hash__(self) -> int:
        return hash(("Partial", self.reduce_op))


def local_shape(
    shape: Sequence[int], sizes: Sequence[int], place: Sequence[int], placements: Sequence[Placement]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of the part of the process at a place, and the index of its first element.

    Args:
        shape: of the whole tensor.
        sizes: of the mesh.
        place: of the process in the mesh.
    """
    part, begin = list(shape), [0] * len(shape)
    for i in split_order(placements):
        d = placements[i].dim  # type: ignore[attr-defined]
        part[d], offset = Shard.local_shard_size_and_offset(part[d], sizes[i], place[i])
        begin[d] += offset
    return tuple(part), tuple(begin)


def split_order(placements: Sequence[Placement]) -> list[int]:
    """The dimensions of the mesh that split the tensor, in the order in which they do."""
    plain = [i for i, p in enumerate(placements) if isinstance(p, Shard) and not isinstance(p, _StridedShard)]
    return plain + [i for i, p in reversed(list(enumerate(placements))) if isinstance(p, _StridedShard)]
