"""Process groups: who takes part, and what they do together."""

from __future__ import annotations

import io
import os
import pickle
import warnings
from datetime import timedelta
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

import bulssi

from . import store as _store
from ._checks import (
    _check_count,
    _check_list,
    _check_op,
    _check_same,
    _check_tensor,
    _check_tensors,
    _check_whole,
    _root,
)
from ._mesh import Mesh
from ._process_group import ProcessGroup, ReduceOp, Work, _flat, _Receive
from .rendezvous import rendezvous

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulssi import Tensor

default_pg_timeout = timedelta(minutes=30)


class Backend(str):
    """The name of a backend, in lower case; the known ones are attributes, such as ``Backend.GLOO``.

    Raises:
        ValueError: not a string.
    """

    UNDEFINED = "undefined"
    GLOO = "gloo"
    NCCL = "nccl"
    UCC = "ucc"
    MPI = "mpi"
    XCCL = "xccl"
    backend_list = [UNDEFINED, GLOO, NCCL, XCCL, UCC, MPI]  # noqa: RUF012 - as in PyTorch, where plugins add names

    def __new__(cls, name: str) -> Backend:
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


class GroupMember:
    """The group of all processes, and what :func:`new_group` gives to those that are not in the group."""

    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER = -100


class _Group(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The group of all processes."""
        return GroupMember.WORLD


class group(metaclass=_Group):
    """``group.WORLD`` is the group of all processes."""


_groups: dict[int, ProcessGroup] = {}
_state: dict[str, Any] = {"number": 0, "store": None, "backend": None}


# ---- beginning and end -----------------------------------------------------------------------------------------------

_NOT_BUILT = {
    "nccl": "Distributed package doesn't have NCCL built in",
    "mpi": "Distributed package doesn't have MPI built in. MPI is only included if you build PyTorch from source on a "
    "host that has MPI installed.",
    "ucc": "Distributed package doesn't have UCC built in",
    "xccl": "Distributed package doesn't have XCCL built in",
}


def is_available() -> bool:
    """True."""
    return True


def is_gloo_available() -> bool:
    """True: under this name processes talk over sockets."""
    return True


def is_nccl_available() -> bool:
    """False: that is for GPUs."""
    return False


def is_mpi_available() -> bool:
    """False."""
    return False


def is_ucc_available() -> bool:
    """False."""
    return False


def is_xccl_available() -> bool:
    """False."""
    return False


def is_backend_available(backend: str) -> bool:
    """Whether a backend can be chosen: gloo."""
    return backend.lower() == "gloo"


def is_torchelastic_launched() -> bool:
    """Whether a launcher such as ``bulssi.distributed.run`` started this process."""
    return os.getenv("TORCHELASTIC_RUN_ID") is not None


def get_default_backend_for_device(device: Any) -> str:
    """The backend for tensors of a device, whether or not it is there.

    Raises:
        ValueError: there is none.
    """
    kind = device.type if isinstance(device, bulssi.device) else bulssi.device(device).type
    found = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl", "mps": "gloo"}.get(kind)
    if found is None:
        raise ValueError(f"Default backend not registered for device : {device}")
    return found


def is_initialized() -> bool:
    """Whether :func:`init_process_group` was called."""
    return GroupMember.WORLD is not None


def _checked_backend(backend: Any) -> str:
    if backend is None:
        return "undefined"
    name = str(backend).lower()
    parts = [part.partition(":")[2] or part for part in name.split(",")]
    if "gloo" in parts:
        return name
    for part in parts:
        if part in _NOT_BUILT:
            raise RuntimeError(f"{_NOT_BUILT[part]}\ntensors are on the CPU: use backend='gloo'")
    raise AssertionError(f"Unknown backend type {backend}\nuse backend='gloo'")


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: timedelta | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: _store.Store | None = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Meet the other processes. Every process calls this, with its own rank.

    Args:
        backend: ``"gloo"``, or None.
        init_method: where to meet: see :func:`rendezvous`; ``"env://"`` without it.
        timeout: how long anything may take, 30 minutes.
        world_size, rank: how many processes there are, and the number of this one.
        store: a store that all reach, in place of ``init_method``.

    Raises:
        ValueError: it was called already, or a number is missing.
        RuntimeError: the backend is one for GPUs.
        DistNetworkError: not all processes came in time.
    """
    if GroupMember.WORLD is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    if timeout is not None and not isinstance(timeout, timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
    name = _checked_backend(backend)
    limit = timeout or default_pg_timeout
    if store is not None:
        if world_size <= 0:
            raise AssertionError("world_size must be positive if using store")
        if rank < 0:
            raise AssertionError("rank must be non-negative if using store")
    else:
        store, rank, world_size = rendezvous(
            init_method or "env://", rank, world_size, min(limit, _store.DEFAULT_TIMEOUT)
        )
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not below world_size {world_size}")
    seconds = _store.seconds(limit)
    mesh = Mesh(_store.PrefixStore("default_pg", store), rank, world_size, min(seconds, 300.0))
    _state.update(number=0, store=store, backend=name)
    Finalize(None, _leave, exitpriority=100)  # when the process ends, also one of multiprocessing's
    GroupMember.WORLD = _groups[0] = ProcessGroup(mesh, 0, list(range(world_size)), seconds, name)


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Leave a group; without one, or for that of all processes, leave all of them and close the connections.

    Raises:
        AssertionError: :func:`init_process_group` was not called.
    """
    world = GroupMember.WORLD
    if world is None:
        raise AssertionError("Process group cannot be None")
    if group is not None and group is not world:
        group._shutdown()
        _groups.pop(group._number, None)
        return
    for other in _groups.values():
        other._shutdown()
    world._mesh.close()
    _groups.clear()
    GroupMember.WORLD = None
    store, _state["store"] = _state["store"], None
    if hasattr(store, "close"):
        try:
            store.close()
        except _store.DistError:
            return  # whoever holds the store has left before


def _leave() -> None:
    """A process that ends in order says so to the others."""
    if GroupMember.WORLD is not None:
        GroupMember.WORLD._mesh.close()


def _group(group: Any = None) -> ProcessGroup:
    if group is None:
        if GroupMember.WORLD is None:
            raise ValueError(
                "Default process group has not been initialized, please make sure to call init_process_group."
            )
        return GroupMember.WORLD
    if not isinstance(group, ProcessGroup):
        raise ValueError("Invalid process group specified")
    return group


def _outside(group: Any) -> bool:
    """Whether this process is not in the group: then calls do nothing, and say so."""
    if group == GroupMember.NON_GROUP_MEMBER:
        warnings.warn(
            f"Running a collective on global rank {get_rank()} which does not belong to the given group.", stacklevel=3
        )
        return True
    return False


def get_rank(group: Any = None) -> int:
    """The number of this process in a group; -1 if it is not in it."""
    return -1 if group == GroupMember.NON_GROUP_MEMBER else _group(group).rank()


def _rank_not_in_group(group: Any) -> bool:
    """Whether this process is not in a group that :func:`new_group` gave it."""
    return group == GroupMember.NON_GROUP_MEMBER


def _get_default_group() -> ProcessGroup:
    """The group of all processes.

    Raises:
        ValueError: there is none yet.
    """
    return _group(None)


def get_world_size(group: Any = None) -> int:
    """How many processes a group has; -1 if this one is not in it."""
    return -1 if group == GroupMember.NON_GROUP_MEMBER else _group(group).size()


def get_backend(group: Any = None) -> str:
    """The name of a group's backend."""
    return _group(group).name()


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The numbers of a group's processes among all."""
    return list(_group(group)._ranks)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The number among all of the process that has a number in a group.

    Raises:
        ValueError: the group has no such process.
    """
    ranks = _group(group)._ranks
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return ranks[group_rank]


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The number in a group of the process that has a number among all.

    Raises:
        ValueError: it is not in the group.
    """
    ranks = _group(group)._ranks
    if global_rank not in ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return ranks.index(global_rank)


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """The number of this process on its machine: the variable LOCAL_RANK."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError(
        "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow "
        "`get_node_local_rank` to work, assuming you are not running in an env that sets LOCAL_RANK."
    )


def new_group(
    ranks: Sequence[int] | None = None,
    timeout: timedelta | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
) -> Any:
    """A group of some processes. All processes call this in the same order, also those that are not in it.

    Returns:
        the group; ``GroupMember.NON_GROUP_MEMBER`` in processes that are not in it.

    Raises:
        ValueError: a rank is given twice, or there is no such process.
    """
    world = _group()
    chosen = list(range(world.size())) if ranks is None else sorted(ranks)
    if len(set(chosen)) != len(chosen):
        raise ValueError("the new group's rank should be unique")
    for rank in chosen:
        if not 0 <= rank < world.size():
            raise ValueError(
                f"Rank {rank} is out of range. Valid ranks are 0 to {world.size() - 1} (world_size={world.size()})"
            )
    name = world.name() if backend is None else _checked_backend(backend)
    _state["number"] += 1
    if world.rank() not in chosen:
        return GroupMember.NON_GROUP_MEMBER
    limit = world._timeout if timeout is None else _store.seconds(timeout)
    made = _groups[_state["number"]] = ProcessGroup(world._mesh, _state["number"], chosen, limit, name)
    return made


# ---- what processes do together --------------------------------------------------------------------------------------


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Give every process the sum (or another ``op``) of the tensors of all, in place.

    Returns:
        with ``async_op`` a :class:`Work`, whose ``wait()`` waits for the result.
    """
    _check_tensor(tensor, "tensor")
    if _outside(group):
        return None
    pg, op = _group(group), _check_op(op)
    key = pg._next()
    return pg._start(lambda: pg._all_reduce(key, tensor, op), async_op)


def all_reduce_coalesced(
    tensors: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Any:
    """:func:`all_reduce` of several tensors."""
    _check_tensors(tensors, "tensors")
    if _outside(group):
        return None
    pg, op = _group(group), _check_op(op)
    keys = [pg._next() for _ in tensors]

    def run() -> list[Tensor]:
        return [pg._all_reduce(key, tensor, op)[0] for key, tensor in zip(keys, tensors, strict=True)]

    return pg._start(run, async_op)


def broadcast(
    tensor: Tensor, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> Work | None:
    """Give every process the tensor of process ``src`` (a number among all), in place."""
    _check_tensor(tensor, "tensor")
    if _outside(group):
        return None
    pg = _group(group)
    root = _root(pg, src, group_src, "broadcast")
    key = pg._next()
    return pg._start(lambda: pg._broadcast(key, tensor, root), async_op)


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Give process ``dst`` the sum (or another ``op``) of the tensors of all, in place."""
    _check_tensor(tensor, "tensor")
    if _outside(group):
        return None
    pg, op = _group(group), _check_op(op)
    root = _root(pg, dst, group_dst, "reduce")
    key = pg._next()
    return pg._start(lambda: pg._reduce(key, tensor, root, op), async_op)


def all_gather(tensor_list: Sequence[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """Give every process the tensors of all, in ``tensor_list`` by rank."""
    _check_tensors(tensor_list, "tensor_list")
    _check_tensor(tensor, "tensor")
    if _outside(group):
        return None
    pg = _group(group)
    _check_count(tensor_list, pg, "allgather")
    _check_same(tensor_list, tensor, "allgather")
    key = pg._next()
    return pg._start(lambda: pg._all_to_all(key, tensor_list, [tensor] * pg.size()), async_op)


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """:func:`all_gather` into one tensor: along a new first dimension, or one after the other along the first."""
    _check_tensor(input_tensor, "input_tensor")
    _check_tensor(output_tensor, "output_tensor")
    if _outside(group):
        return None
    pg = _group(group)
    _check_whole(output_tensor, input_tensor, pg, "all_gather_into_tensor", "output", "input")
    key = pg._next()

    def run() -> Any:
        parts = list(output_tensor.detach().view(pg.size(), -1).unbind(0))
        pg._all_to_all(key, parts, [input_tensor] * pg.size())
        return [output_tensor]

    return pg._start(run, async_op)


def gather(
    tensor: Tensor,
    gather_list: Sequence[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Give process ``dst`` the tensors of all, in its ``gather_list`` by rank."""
    _check_tensor(tensor, "tensor")
    if _outside(group):
        return None
    pg = _group(group)
    root = _root(pg, dst, group_dst, "gather")
    _check_list(gather_list, pg, root, tensor, "gather", "destination")
    key = pg._next()
    return pg._start(lambda: pg._gather(key, gather_list, tensor, root), async_op)


def scatter(
    tensor: Tensor,
    scatter_list: Sequence[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Give every process its tensor of the ``scatter_list`` of process ``src``."""
    _check_tensor(tensor, "tensor")
    if _outside(group):
        return None
    pg = _group(group)
    root = _root(pg, src, group_src, "scatter")
    _check_list(scatter_list, pg, root, tensor, "scatter", "source")
    key = pg._next()
    return pg._start(lambda: pg._scatter(key, tensor, scatter_list, root), async_op)


def reduce_scatter(
    output: Tensor, input_list: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Give process r the sum (or another ``op``) over all processes of ``input_list[r]``."""
    _check_tensor(output, "output")
    _check_tensors(input_list, "input_list")
    if _outside(group):
        return None
    pg, op = _group(group), _check_op(op)
    _check_count(input_list, pg, "reduce_scatter")
    _check_same([input_list[pg.rank()]], output, "reduce_scatter")
    key = pg._next()
    return pg._start(lambda: pg._reduce_scatter(key, output, input_list, op), async_op)


def reduce_scatter_tensor(
    output: Tensor, input: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """:func:`reduce_scatter` of one tensor that has the parts one after the other."""
    _check_tensor(output, "output")
    _check_tensor(input, "input")
    if _outside(group):
        return None
    pg, op = _group(group), _check_op(op)
    _check_whole(input, output, pg, "reduce_scatter_tensor", "input", "output")
    key = pg._next()
    parts = list(_flat(input).view(pg.size(), -1).unbind(0))
    return pg._start(lambda: pg._reduce_scatter(key, output, parts, op), async_op)


def all_to_all(
    output_tensor_list: Sequence[Tensor], input_tensor_list: Sequence[Tensor], group: Any = None, async_op: bool = False
) -> Work | None:
    """Send ``input_tensor_list[r]`` to every process r, and receive what it sends here in ``output_tensor_list[r]``."""
    _check_tensors(output_tensor_list, "output_tensor_list")
    _check_tensors(input_tensor_list, "input_tensor_list")
    if _outside(group):
        return None
    pg = _group(group)
    _check_count(output_tensor_list, pg, "alltoall")
    _check_count(input_tensor_list, pg, "alltoall")
    key = pg._next()
    return pg._start(lambda: pg._all_to_all(key, output_tensor_list, input_tensor_list), async_op)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """:func:`all_to_all` of tensors split along the first dimension, evenly or by the given sizes."""
    _check_tensor(output, "output")
    _check_tensor(input, "input")
    if _outside(group):
        return None
    pg = _group(group)

    def parts(tensor: Tensor, sizes: Sequence[int] | None) -> list[Tensor]:
        if sizes:
            return list(tensor.detach().split(list(sizes)))
        if tensor.shape[0] % pg.size():
            raise RuntimeError("Tensor's dim 0 does not divide equally across group size")
        return list(tensor.detach().chunk(pg.size()))

    outputs, inputs = parts(output, output_split_sizes), parts(input, input_split_sizes)
    key = pg._next()
    return pg._start(lambda: pg._all_to_all(key, outputs, inputs), async_op)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until all processes of the group are here."""
    if _outside(group):
        return None
    pg = _group(group)
    key = pg._next()
    nothing = bulssi.empty(0)
    return pg._start(lambda: pg._exchange(key, [nothing] * pg.size(), [nothing] * pg.size()) and None, async_op)


def monitored_barrier(group: Any = None, timeout: timedelta | None = None, wait_all_ranks: bool = False) -> None:
    """:func:`barrier` that says which processes did not come.

    Raises:
        RuntimeError: some did not come in time.
    """
    if _outside(group):
        return
    pg = _group(group)
    limit = pg._timeout if timeout is None else _store.seconds(timeout)
    key = pg._next()
    nothing = bulssi.empty(0)
    pending = {other: pg._post(other, key) for other in pg._others()}
    for other in pg._others():
        pg._send(other, key, nothing)
    for other, message in pending.items():
        try:
            pg._mesh.take(message, limit)
        except RuntimeError as error:
            raise RuntimeError(
                f"Rank {other} failed to pass monitoredBarrier in {round(limit * 1000)} ms\n{error}"
            ) from error


# ---- from one to one -------------------------------------------------------------------------------------------------


def _partner(pg: ProcessGroup, rank: int | None, group_rank: int | None, what: str) -> int:
    target = _root(pg, rank, group_rank, what)
    if target == pg.rank():
        kind = "destination" if what == "send" else "source"
        raise ValueError(f"Invalid {kind} rank: {kind} rank should not be the same as the rank of the current process.")
    return target


def isend(
    tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None
) -> Work | None:
    """Send a tensor to process ``dst``; the tensor may be changed when this returns."""
    _check_tensor(tensor, "tensor")
    if _outside(group):
        return None
    pg = _group(group)
    target = _partner(pg, dst, group_dst, "send")
    pg._send(target, (pg._number, "message", tag), _flat(tensor))
    return Work()


def irecv(
    tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None
) -> Work | None:
    """Receive a tensor from process ``src``, or from any, into this one; it is there after ``wait()``."""
    _check_tensor(tensor, "tensor")
    if _outside(group):
        return None
    pg = _group(group)
    sender = None
    if src is not None or group_src is not None:
        sender = pg._ranks[_partner(pg, src, group_src, "recv")]
    return _Receive(pg, pg._mesh.post(sender, (pg._number, "message", tag)), tensor)


def send(tensor: Tensor, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Send a tensor to process ``dst``."""
    isend(tensor, dst, group, tag, group_dst)


def recv(tensor: Tensor, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """Receive a tensor from process ``src``, or from any, into this one; returns who sent it, -1 outside the group."""
    work = irecv(tensor, src, group, tag, group_src)
    if work is None:
        return -1
    work.wait()
    return _group(group)._ranks[work.source_rank()]


class P2POp:
    """One of several sends and receives, for :func:`batch_isend_irecv`."""

    def __init__(self, op: Any, tensor: Tensor, peer: int | None = None, group: Any = None, tag: int = 0) -> None:
        if op not in (isend, irecv):
            raise ValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                "``torch.distributed.irecv``."
            )
        self.op, self.tensor, self.peer, self.group, self.tag = op, tensor, peer, group, tag


def batch_isend_irecv(p2p_op_list: Sequence[P2POp]) -> list[Work]:
    """Start several sends and receives."""
    started = [each.op(each.tensor, each.peer, each.group, each.tag) for each in p2p_op_list]
    return [work for work in started if work is not None]


# ---- objects that can be pickled -------------------------------------------------------------------------------------


def _dumped(value: Any) -> bytes:
    file = io.BytesIO()
    pickle.Pickler(file).dump(value)
    return file.getvalue()


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Give every process the objects of all, in ``object_list`` by rank. Only with processes that can be trusted."""
    if _outside(group):
        return
    found = _group(group)._exchange_bytes(_dumped(obj))
    object_list[:] = map(pickle.loads, found)


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Any = None,
    group_dst: int | None = None,
) -> None:
    """Give process ``dst`` the objects of all, in its ``object_gather_list`` by rank."""
    if _outside(group):
        return
    pg = _group(group)
    root = _root(pg, dst, group_dst, "gather")
    key = pg._next()
    if pg.rank() != root:
        pg._mesh.send(pg._ranks[root], key, _dumped(obj))
        return
    if object_gather_list is None:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    pending = {other: pg._post(other, key) for other in pg._others()}
    for other, message in pending.items():
        object_gather_list[other] = pickle.loads(pg._mesh.take(message, pg._timeout)[1])
    object_gather_list[root] = pickle.loads(_dumped(obj))


def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None
) -> None:
    """Give every process the objects in the list of process ``src``, in place."""
    if _outside(group):
        return
    pg = _group(group)
    root = _root(pg, src, group_src, "broadcast")
    key = pg._next()
    if pg.rank() == root:
        payload = _dumped(list(object_list))
        for other in pg._others():
            pg._mesh.send(pg._ranks[other], key, payload)
    else:
        object_list[:] = pickle.loads(pg._mesh.take(pg._post(root, key), pg._timeout)[1])


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: Sequence[Any] | None = None,
    src: int | None = None,
    group: Any = None,
    group_src: int | None = None,
) -> None:
    """Give every process its object of the list of process ``src``, as the first of its output list."""
    if _outside(group):
        return
    if not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    pg = _group(group)
    root = _root(pg, src, group_src, "scatter")
    key = pg._next()
    if pg.rank() == root:
        if scatter_object_input_list is None or len(scatter_object_input_list) != pg.size():
            raise ValueError(f"the source needs {pg.size()} objects, one for each process")
        for other in pg._others():
            pg._mesh.send(pg._ranks[other], key, _dumped(scatter_object_input_list[other]))
        scatter_object_output_list[0] = scatter_object_input_list[root]
    else:
        scatter_object_output_list[0] = pickle.loads(pg._mesh.take(pg._post(root, key), pg._timeout)[1])
