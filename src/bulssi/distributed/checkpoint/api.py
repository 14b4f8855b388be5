"""Saving the state of several processes, and loading it into any number."""

from __future__ import annotations

import os
import threading
import warnings
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import Tensor

from .. import distributed_c10d as c10d
from ..tensor import DTensor
from ..tensor.placement_types import local_shape
from .filesystem import FileSystemReader, FileSystemWriter
from .metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)
from .planner import DefaultLoadPlanner, DefaultSavePlanner, LoadPlanner, SavePlanner, flattened, put
from .stateful import Stateful

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._process_group import ProcessGroup

__all__ = ["CheckpointException", "async_save", "load", "load_state_dict", "save", "save_state_dict"]


class CheckpointException(BaseException):
    """Saving or loading has failed in some processes.

    Attributes:
        failures: what went wrong, by process.
    """

    def __init__(self, msg: str, failures: dict[int, BaseException]) -> None:
        super().__init__(msg, failures)
        self._failures = failures

    @property
    def failures(self) -> dict[int, BaseException]:
        """What went wrong, by process."""
        return self._failures

    def __str__(self) -> str:
        lines = [f"CheckpointException ranks:{self._failures.keys()}"]
        lines += [f"(RANK {rank}) {type(error).__name__}: {error}" for rank, error in self._failures.items()]
        return "\n".join(lines)


class _Together:
    """The processes that save or load together; with None for a group this one alone."""

    def __init__(self, group: ProcessGroup | None) -> None:
        self.group = group
        self.rank = 0 if group is None else group.rank()

    def all(self, do: Callable[[], Any]) -> list[Any]:
        """What it gives in all processes.

        Raises:
            CheckpointException: in all, if it failed in one.
        """
        failure: Exception | None = None
        result = None
        try:
            result = do()
        except Exception as error:
            failure = error
        found: list[Any] = [(result, failure)]
        if self.group is not None:
            found = [None] * self.group.size()
            shown = None if failure is None else RuntimeError(f"{type(failure).__name__}: {failure}")
            c10d.all_gather_object(found, (result, shown), self.group)
            if failure is not None:
                found[self.rank] = result, failure
        failures = {rank: error for rank, (_, error) in enumerate(found) if error is not None}
        if failures:
            raise CheckpointException("a checkpoint could not be saved or loaded", failures) from failure
        return [value for value, _ in found]


def _group(process_group: Any, no_dist: bool, verb: str) -> ProcessGroup | None:
    if no_dist:
        return None
    if not c10d.is_initialized():
        warnings.warn(
            f"torch.distributed is disabled, unavailable or uninitialized, assuming the intent is to {verb} in a "
            "single process.",
            stacklevel=3,
        )
        return None
    return c10d._group(process_group)


def _place(checkpoint_id: Any, given: Any, kind: type) -> Any:
    if given is not None:
        return given
    if checkpoint_id is None:
        raise RuntimeError("`checkpoint_id` must be specified if storage_reader/storage_writer is None.")
    return kind(checkpoint_id)


def _part_of(value: Tensor) -> tuple[Tensor, tuple[int, ...]] | None:
    """This process's part of a tensor, and the index of its first element; None if another has it as well."""
    if not isinstance(value, DTensor):
        return value.detach(), (0,) * value.dim()
    mesh = value.device_mesh
    place = mesh.get_coordinate()
    if place is None or any(c and p.is_replicate() for c, p in zip(place, value.placements, strict=True)):
        return None
    if any(p.is_partial() for p in value.placements):
        raise ValueError(f"a tensor placed as {value.placements} is a sum: redistribute() it before it is saved")
    _, begin = local_shape(value.shape, mesh.shape, place, value.placements)
    return value.to_local().detach(), begin


def _with_states(state: dict[str, Any]) -> dict[str, Any]:
    """Objects with a state replaced by that."""
    return {key: value.state_dict() if isinstance(value, Stateful) else value for key, value in state.items()}


# ---- saving ----------------------------------------------------------------------------------------------------------


def save(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_writer: FileSystemWriter | None = None,
    planner: SavePlanner | None = None,
    process_group: ProcessGroup | None = None,
    no_dist: bool = False,
    use_collectives: bool = True,
) -> Metadata:
    """Save a state in a folder. All processes call this.

    Each process writes its parts of `DTensor`; what several have, the first of them writes. The folder holds the old
    checkpoint until the new one is complete.

    Args:
        state_dict: tensors, numbers, texts, nested dicts and lists of them, and objects with a ``state_dict()``.
        checkpoint_id: the folder.
        storage_writer: in place of that.
        planner: options.
        process_group: who takes part; all.
        no_dist: this process alone.

    Raises:
        CheckpointException: it has failed in some process; the folder holds what it held.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> _ = save({"weight": torch.ones(2)}, checkpoint_id=folder, no_dist=True)
        >>> state = {"weight": torch.zeros(2)}
        >>> load(state, checkpoint_id=folder, no_dist=True)
        >>> state["weight"]
        tensor([1., 1.])
    """
    writer = _place(checkpoint_id, storage_writer, FileSystemWriter)
    together = _Together(_group(process_group, no_dist, "save"))
    return _save(_with_states(state_dict), writer, planner or DefaultSavePlanner(), together)


def _save(state: dict[str, Any], writer: FileSystemWriter, planner: SavePlanner, together: _Together) -> Metadata:
    number = together.all(lambda: writer.begin() if together.rank == 0 else None)[0]
    mine: dict[str, tuple[Any, Any]] = {}

    def plan() -> list[tuple[str, Any, Any, Any]]:
        items = []
        for key, (path, value) in flattened(state, planner.flatten_state_dict).items():
            if isinstance(value, Tensor):
                if value.is_meta:
                    raise ValueError(f"{key!r} is on the meta device: it has no elements that could be saved")
                part = _part_of(value)
                if part is not None and (part[0].numel() or not value.numel()):
                    mine[key] = part
                    items.append((key, path, (value.dtype, tuple(value.shape)), (part[1], tuple(part[0].shape))))
            else:
                mine[key] = value, None
                items.append((key, path, None, None))
        return items

    plans = together.all(plan)
    owners: dict[tuple[str, Any], int] = {}
    for rank, items in enumerate(plans):
        for key, _, _, chunk in items:
            owners.setdefault((key, chunk), rank)

    def write() -> list[Any]:
        own = [(key, chunk) for key, _, _, chunk in plans[together.rank] if owners[key, chunk] == together.rank]
        return list(zip(own, writer.write(together.rank, number, [mine[key][0] for key, _ in own]), strict=True))

    try:
        written = together.all(write)
        metadata = _described(plans, [item for items in written for item in items], writer)
        together.all(lambda: writer.commit(metadata) if together.rank == 0 else None)
    except CheckpointException:
        if together.rank == 0:
            writer.discard(number)
        raise
    return metadata


def _described(plans: list[Any], written: list[Any], writer: FileSystemWriter) -> Metadata:
    """What the file ``.metadata`` will say."""
    tensors: dict[str, Any] = {}
    paths = {}
    for items in plans:
        for key, path, about, _ in items:
            paths.setdefault(key, path)
            if about is None:
                tensors.setdefault(key, BytesStorageMetadata())
                continue
            properties = TensorProperties(about[0])
            known = tensors.setdefault(key, TensorStorageMetadata(properties, bulssi.Size(about[1]), []))
            if not isinstance(known, TensorStorageMetadata) or tuple(known.size) != about[1]:
                raise ValueError(f"processes have tensors of different shapes under the key {key!r}")
    places = {}
    for (key, chunk), info in written:
        if chunk is None:
            places[MetadataIndex(key)] = info
            continue
        tensors[key].chunks.append(ChunkStorageMetadata(bulssi.Size(chunk[0]), bulssi.Size(chunk[1])))
        places[MetadataIndex(key, chunk[0], len(tensors[key].chunks) - 1)] = info
    return Metadata(tensors, paths, places, StorageMeta(str(writer.path)), "1.0.0")


_async_groups: dict[int, Any] = {}  # groups of their own, by the group whose processes they have


def async_save(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_writer: FileSystemWriter | None = None,
    planner: SavePlanner | None = None,
    process_group: ProcessGroup | None = None,
    no_dist: bool = False,
) -> Future[Metadata]:
    """:func:`save` in a thread, of what the tensors are now. All processes call this.

    Returns:
        a future of what :func:`save` returns.
    """
    writer = _place(checkpoint_id, storage_writer, FileSystemWriter)
    group = _group(process_group, no_dist, "save")
    if group is not None:
        if group._number not in _async_groups or _async_groups[group._number][0] is not group:
            _async_groups[group._number] = group, c10d.new_group(group._ranks)
        group = _async_groups[group._number][1]
    copied = _copied(_with_states(state_dict))
    future: Future[Metadata] = Future()

    def run() -> None:
        try:
            future.set_result(_save(copied, writer, planner or DefaultSavePlanner(), _Together(group)))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="checkpoint").start()
    return future


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value


# ---- loading ---------------------------------------------------------------------------------------------------------


def load(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_reader: FileSystemReader | None = None,
    planner: LoadPlanner | None = None,
    process_group: ProcessGroup | None = None,
    no_dist: bool = False,
) -> None:
    """Load a state from a folder, into the tensors that are there. All processes call this.

    There may be another number of processes, and tensors may be split in another way, than when it was saved: each
    process reads what it needs.

    Args:
        state_dict: tensors that are filled; other values are replaced; objects with a ``load_state_dict()`` are given
            their state.
        checkpoint_id: the folder.
        storage_reader: in place of that.
        planner: options.
        process_group: who takes part; all.
        no_dist: this process alone.

    Raises:
        CheckpointException: it has failed in some process: there is no checkpoint, a key is missing, a shape differs.
    """
    reader = _place(checkpoint_id, storage_reader, FileSystemReader)
    together = _Together(_group(process_group, no_dist, "load"))
    states = _with_states(state_dict)
    options = planner or DefaultLoadPlanner()
    together.all(lambda: _load(states, reader, options))
    for key, value in state_dict.items():
        if isinstance(value, Stateful):
            value.load_state_dict(states[key])
        else:
            state_dict[key] = states[key]


def _load(state: dict[str, Any], reader: FileSystemReader, planner: LoadPlanner) -> None:
    metadata = reader.read_metadata()
    wanted = flattened(state, planner.flatten_state_dict)
    todo = []
    for key, (path, value) in wanted.items():
        known = metadata.state_dict_metadata.get(key)
        if known is None:
            if planner.allow_partial_load:
                continue
            raise RuntimeError(f"Missing key in checkpoint state_dict: {key}.")
        if isinstance(value, Tensor) != isinstance(known, TensorStorageMetadata):
            raise ValueError(f"{key!r} is a tensor in one of the state and the checkpoint only")
        if isinstance(known, TensorStorageMetadata) and tuple(known.size) != tuple(value.shape):
            raise ValueError(f"Size mismatch between saved {known.size} and current: {value.size()} for {key}")
        todo.append((key, path, value, known))
    # All is checked before anything is changed.
    for key, path, value, known in todo:
        if isinstance(value, Tensor):
            _fill(key, value, known, metadata, reader)
        else:
            put(state, path, reader.read(metadata.storage_data[MetadataIndex(key)], tensor=False))


def _fill(key: str, value: Tensor, known: Any, metadata: Metadata, reader: FileSystemReader) -> None:
    """Read the parts of a tensor that overlap this process's."""
    target, begin = value, (0,) * value.dim()
    if isinstance(value, DTensor):
        target, place = value._local_tensor, value.device_mesh.get_coordinate()
        if place is None:
            return
        _, begin = local_shape(value.shape, value.device_mesh.shape, place, value.placements)
    left = target.numel()
    with bulssi.no_grad():
        target = target.detach()
        for chunk in known.chunks:
            low = [max(a, b) for a, b in zip(begin, chunk.offsets, strict=True)]
            ends = zip(begin, target.shape, chunk.offsets, chunk.sizes, strict=True)
            high = [min(a + n, b + m) for a, n, b, m in ends]
            if any(a >= b for a, b in zip(low, high, strict=True)):
                continue
            stored = reader.read(metadata.storage_data[MetadataIndex(key, chunk.offsets)], tensor=True)
            if not isinstance(stored, Tensor) or tuple(stored.shape) != tuple(chunk.sizes):
                raise RuntimeError(f"the checkpoint in {reader.path} has something else where {key!r} should be")
            part, source = target, stored
            for d, (a, b) in enumerate(zip(low, high, strict=True)):
                part = part.narrow(d, a - begin[d], b - a)
                source = source.narrow(d, a - chunk.offsets[d], b - a)
            part.copy_(source)
            left -= part.numel()
    if left > 0:
        raise RuntimeError(f"the checkpoint in {reader.path} lacks {left} elements of {key!r}")


# ---- former names ----------------------------------------------------------------------------------------------------


def save_state_dict(
    state_dict: dict[str, Any],
    storage_writer: FileSystemWriter,
    process_group: ProcessGroup | None = None,
    coordinator_rank: int = 0,
    no_dist: bool = False,
    planner: SavePlanner | None = None,
) -> Metadata:
    """The former name of :func:`save`."""
    return save(
        state_dict, storage_writer=storage_writer, planner=planner, process_group=process_group, no_dist=no_dist
    )


def load_state_dict(
    state_dict: dict[str, Any],
    storage_reader: FileSystemReader,
    process_group: ProcessGroup | None = None,
    coordinator_rank: int = 0,
    no_dist: bool = False,
    planner: LoadPlanner | None = None,
) -> None:
    """The former name of :func:`load`."""
    load(state_dict, storage_reader=storage_reader, planner=planner, process_group=process_group, no_dist=no_dist)
