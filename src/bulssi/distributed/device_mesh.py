"""Processes in a grid, whose dimensions have names: which of them work together, and on what.

Along each dimension of a `DeviceMesh` the processes of one row are a group. A mesh of two dimensions, say, splits
batches along the first and the parameters of layers along the second.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import bulssi

from . import distributed_c10d as c10d

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

    from ._process_group import ProcessGroup

__all__ = ["DeviceMesh", "init_device_mesh"]

_entered: list[DeviceMesh] = []  # by `with mesh:`
_known: WeakSet[DeviceMesh] = WeakSet()  # for those that come from files


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _check_device(device_type: str) -> str:
    if not isinstance(device_type, str):
        raise TypeError(f"device_type must be str, not {type(device_type).__name__}")
    if ":" in device_type:
        raise RuntimeError(
            f"Device type with index is not supported but got {device_type}. ",
            "If you maintained a 'torch.device' object, it's recommended to pass in 'device.type'.",
        )
    if device_type not in ("cpu", "meta"):
        raise RuntimeError(f"a mesh of {device_type!r} devices: tensors are on the CPU; write 'cpu'")
    return device_type


class DeviceMesh:
    """Processes in a grid.

    All processes make a mesh together, with the same arguments; it makes the groups of its rows.

    Args:
        device_type: ``"cpu"``.
        mesh: numbers of processes, a tensor or nested lists.
        mesh_dim_names: a name for each dimension.
        backend_override: accepted: the backend is "gloo".

    Raises:
        RuntimeError: names are not as many as dimensions or not unique, or a process is in the mesh twice.

    Example:
        >>> mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))  # doctest: +SKIP
        >>> mesh["tp"].get_local_rank()  # doctest: +SKIP
        0
    """

    def __init__(
        self,
        device_type: str,
        mesh: Any,
        *,
        mesh_dim_names: Sequence[str] | None = None,
        backend_override: Any = None,
        _init_backend: bool = True,
    ) -> None:
        tensor = bulssi.as_tensor(mesh, dtype=bulssi.int32)
        self._begin(_check_device(device_type), tensor.reshape(-1).tolist(), tuple(tensor.shape), mesh_dim_names)
        if len(set(self._ranks)) != len(self._ranks):
            raise RuntimeError(f"DeviceMesh cannot have duplicate values, but found {tensor.tolist()}")
        if not c10d.is_initialized():
            c10d.init_process_group()
        if _init_backend:
            self._groups = [self._rows((i,)) for i in range(self.ndim)]

    def _begin(
        self, device_type: str, ranks: list[int], shape: tuple[int, ...], names: Sequence[str] | None
    ) -> DeviceMesh:
        names = None if names is None else tuple(names)
        if names is not None and len(names) != len(shape):
            raise RuntimeError(
                "mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): "
                f"{len(names)} and len(mesh_shape):{len(shape)}."
            )
        if names is not None and len(set(names)) != len(names):
            raise RuntimeError(
                f"Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names {names}"
            )
        self.device_type, self._ranks, self._shape, self.mesh_dim_names = device_type, ranks, shape, names
        self._groups: list[ProcessGroup | None] = []
        _known.add(self)
        self._root: DeviceMesh | None = None  # the mesh that this one is a part of
        self._parts: dict[tuple[str, ...], DeviceMesh] = {}
        self._flattened: dict[str, DeviceMesh] = {}
        return self

    def _line(self, dims: Sequence[int], fixed: Sequence[int]) -> list[int]:
        """The processes that differ from the place ``fixed`` in some dimensions only, in row-major order of these."""
        strides = _strides(self._shape)
        base = sum(c * s for i, (c, s) in enumerate(zip(fixed, strides, strict=True)) if i not in dims)
        offsets = itertools.product(*(range(self._shape[d]) for d in dims))
        return [
            self._ranks[base + sum(o * strides[d] for o, d in zip(offset, dims, strict=True))] for offset in offsets
        ]

    def _rows(self, dims: Sequence[int]) -> Any:
        """Make the groups of all rows along some dimensions; the one that this process is in."""
        mine = None
        rest = [range(1) if i in dims else range(n) for i, n in enumerate(self._shape)]
        for fixed in itertools.product(*rest):
            ranks = self._line(dims, fixed)
            whole = ranks == list(range(c10d.get_world_size()))
            made = c10d._group() if whole else c10d.new_group(ranks)
            if made != c10d.GroupMember.NON_GROUP_MEMBER:
                mine = made
        return mine

    # ---- what it is

    @property
    def mesh(self) -> Tensor:
        """The numbers of the processes, int32."""
        return bulssi.tensor(self._ranks, dtype=bulssi.int32).view(self._shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many processes there are along each dimension."""
        return self._shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._shape)

    def stride(self) -> tuple[int, ...]:
        """How far apart neighbours along each dimension are in the root mesh."""
        if self._root is None or self._root.mesh_dim_names is None or self.mesh_dim_names is None:
            return _strides(self._shape)
        known = dict(zip(self._root.mesh_dim_names, _strides(self._root._shape), strict=True))
        own = _strides(self._shape)
        return tuple(known.get(name, s) for name, s in zip(self.mesh_dim_names, own, strict=True))

    def size(self, mesh_dim: int | None = None) -> int:
        """The number of processes, in all or along a dimension."""
        return math.prod(self._shape) if mesh_dim is None else self._shape[mesh_dim]

    def __repr__(self) -> str:
        sizes = ", ".join(map(str, self._shape)) + ("," if self.ndim == 1 else "")
        if self.mesh_dim_names is not None:
            sizes = ", ".join(f"{name}={n}" for name, n in zip(self.mesh_dim_names, self._shape, strict=True))
        return f"DeviceMesh(({sizes}), '{self.device_type}', stride={self.stride()})"

    def _key(self) -> tuple[Any, ...]:
        return self.device_type, tuple(self._ranks), self._shape, self.mesh_dim_names

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, DeviceMesh) and self._key() == other._key())

    def __hash__(self) -> int:
        return hash(self._key())

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceMesh:
        return self

    def __reduce__(self) -> Any:
        return _find, self._key()

    # ---- this process in it

    def get_rank(self) -> int:
        """The number of this process among all."""
        return c10d.get_rank()

    def get_coordinate(self) -> tuple[int, ...] | None:
        """The place of this process; None if it is not in the mesh."""
        rank = c10d.get_rank()
        if rank not in self._ranks:
            return None
        at = self._ranks.index(rank)
        return tuple(at // s % n for s, n in zip(_strides(self._shape), self._shape, strict=True))

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """The place of this process along a dimension, which a mesh of one dimension need not be told.

        Raises:
            RuntimeError: there are several dimensions, or the process is not in the mesh.
        """
        if self.ndim > 1 and mesh_dim is None:
            raise RuntimeError(
                f"Found the DeviceMesh have {self.ndim} dimensions",
                "Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1.",
            )
        place = self.get_coordinate()
        if place is None:
            raise RuntimeError(f"process {c10d.get_rank()} is not in {self}")
        return place[self._index(mesh_dim or 0)]

    def get_group(self, mesh_dim: int | str | None = None) -> ProcessGroup:
        """The group of the processes in this process's row along a dimension.

        Raises:
            RuntimeError: there are several dimensions, or the process is not in the mesh.
            KeyError: no dimension has that name.
        """
        if self.ndim > 1 and mesh_dim is None:
            raise RuntimeError(
                f"Found the DeviceMesh have {self.ndim} dimensions",
                "Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1.",
                "If you want to get the list of all the ProcessGroups in the DeviceMesh,"
                "please use `get_all_groups()` instead.",
            )
        group = self._groups[self._index(mesh_dim or 0)] if self._groups else None
        if group is None:
            raise RuntimeError(f"process {c10d.get_rank()} has no group along dimension {mesh_dim or 0} of {self}")
        return group

    def get_all_groups(self) -> list[ProcessGroup]:
        """The groups of this process along all dimensions."""
        return [self.get_group(i) for i in range(self.ndim)]

    def _index(self, mesh_dim: int | str) -> int:
        if isinstance(mesh_dim, str):
            if self.mesh_dim_names is None or mesh_dim not in self.mesh_dim_names:
                raise KeyError(
                    f"Mesh dimension '{mesh_dim}' does not exist.",
                    f"Available mesh dimensions are: mesh_dim_names={self.mesh_dim_names}",
                )
            return self.mesh_dim_names.index(mesh_dim)
        return mesh_dim

    # ---- parts

    def __getitem__(self, mesh_dim_names: str | tuple[str, ...]) -> DeviceMesh:
        """The mesh of some dimensions, through this process.

        Raises:
            KeyError: no dimension has such a name, or they are not in the order of the mesh.
        """
        names = (mesh_dim_names,) if isinstance(mesh_dim_names, str) else tuple(mesh_dim_names)
        own = self.mesh_dim_names
        if own is None:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        if len(names) == 1 and names[0] in self._flattened:
            return self._flattened[names[0]]
        if not names or any(name not in own for name in names):
            raise KeyError(
                f"Invalid mesh_dim_names {names} specified. Valid mesh_dim_names are {[*own, *self._flattened]}."
            )
        dims = [own.index(name) for name in names]
        if dims != sorted(dims):
            raise KeyError(f"Invalid mesh_dim_names {names} specified. Mesh dim indices should be in ascending order.")
        if names == own:
            return self
        if names not in self._parts:
            place = self.get_coordinate()
            part = DeviceMesh.__new__(DeviceMesh)._begin(
                self.device_type,
                self._line(dims, place or (0,) * self.ndim),
                tuple(self._shape[d] for d in dims),
                names,
            )
            part._root = self._root or self
            part._groups = [self._groups[d] for d in dims] if self._groups else []
            self._parts[names] = part
        return self._parts[names]

    def _flatten(self, mesh_dim_name: str | None = None) -> DeviceMesh:
        """The mesh of one dimension with all the processes of this one; all processes of the root mesh call this.

        The root mesh knows it by its name, which is made of those of the dimensions without one.
        """
        names = self.mesh_dim_names
        if names is None:
            raise RuntimeError("Cannot flatten a DeviceMesh without mesh_dim_names!")
        name, root = mesh_dim_name or "_".join(names), self._root or self
        if self.ndim == 1 and mesh_dim_name in (None, names[0]):
            return self
        if name not in root._flattened:
            made = DeviceMesh.__new__(DeviceMesh)._begin(self.device_type, self._ranks, (self.size(),), (name,))
            if root.mesh_dim_names is None:
                raise RuntimeError("Cannot flatten a DeviceMesh without mesh_dim_names!")
            made._groups = [root._rows([root.mesh_dim_names.index(n) for n in names])]
            made._root = root
            root._flattened[name] = made
        return root._flattened[name]

    @staticmethod
    def from_group(
        group: ProcessGroup | list[ProcessGroup],
        device_type: str,
        mesh: Any = None,
        *,
        mesh_dim_names: tuple[str, ...] | None = None,
    ) -> DeviceMesh:
        """A mesh of groups that there are: of one, or of one for each dimension with the numbers in ``mesh``.

        Raises:
            ValueError: there is no ``mesh`` for several groups, or its dimensions are not as many.
        """
        groups = list(group) if isinstance(group, (list, tuple)) else [group]
        if mesh is None:
            if len(groups) != 1:
                raise ValueError("Must pass mesh if passing multiple ProcessGroups")
            mesh = c10d.get_process_group_ranks(groups[0])
        made = DeviceMesh(device_type, mesh, mesh_dim_names=mesh_dim_names, _init_backend=False)
        if len(groups) != made.ndim:
            raise ValueError(
                "Expects mesh with ndim equal to number of ProcessGroups but got mesh "
                f"{made.mesh.tolist()} and {len(groups)} ProcessGroups"
            )
        made._groups = list(groups)
        return made

    # ---- the mesh of a block

    def __enter__(self) -> DeviceMesh:
        _entered.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _entered.pop()


def _find(device_type: str, ranks: tuple[int, ...], shape: tuple[int, ...], names: Any) -> DeviceMesh:
    """The mesh that was saved: one that is equal, with its groups, or else one without groups."""
    made = DeviceMesh.__new__(DeviceMesh)._begin(device_type, list(ranks), shape, names)
    return next((mesh for mesh in list(_known) if mesh == made and mesh._groups), made)


def _mesh_or_present(mesh: DeviceMesh | None) -> DeviceMesh:
    """The given mesh, that of the block, or all processes in a row."""
    if mesh is not None:
        return mesh
    if _entered:
        return _entered[-1]
    return init_device_mesh("cpu", (c10d.get_world_size(),))


def init_device_mesh(
    device_type: str,
    mesh_shape: Sequence[int],
    *,
    mesh_dim_names: Sequence[str] | None = None,
    backend_override: Any = None,
) -> DeviceMesh:
    """The processes 0, 1, ... in a grid of a shape. All processes call this.

    Meets the other processes by ``init_process_group()`` if that has not been done.

    Raises:
        RuntimeError: there are not enough processes, or names are not as many as dimensions or not unique.

    Example:
        >>> init_device_mesh("cpu", (2, 4), mesh_dim_names=("dp", "tp"))  # doctest: +SKIP
        DeviceMesh((dp=2, tp=4), 'cpu', stride=(4, 1))
    """
    shape = tuple(mesh_shape)
    if mesh_dim_names is not None and len(mesh_dim_names) != len(shape):
        raise RuntimeError(
            "mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): "
            f"{len(mesh_dim_names)} and len(mesh_shape):{len(shape)}."
        )
    _check_device(device_type)
    if not c10d.is_initialized():
        c10d.init_process_group()
    if math.prod(shape) > c10d.get_world_size():
        raise RuntimeError(
            f"Mesh should not be bigger than default world size {c10d.get_world_size()}, but found "
            f"{math.prod(shape)} ranks!"
        )
    return DeviceMesh(device_type, bulssi.arange(math.prod(shape)).view(shape), mesh_dim_names=mesh_dim_names)
