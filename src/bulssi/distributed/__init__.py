"""Processes that work together, on one machine or several: messages, sums over all, and what is built on them.

Processes talk over sockets, each with each; the backend is called ``"gloo"``, as programs for the CPU call it. When a
process dies, the others are told: what waits for it raises.

How it is made. `_mesh` connects each process with each, and `_process_group` builds collectives of its messages:
everybody sends to everybody, and one process sums up each element in the order of ranks. `DistributedDataParallel`
sums gradients in buckets from hooks of the parameters, in a thread, while backward goes on. A `DeviceMesh` is a grid
of processes with a group for each row. A `DTensor` (`tensor`) is a tensor without elements, of the shape of the
whole, that holds this process's part; operations come to it by `__torch_function__`, shapes and errors of the whole
come from doing them on the tensors without elements, and autograd sees only the parts. A sharded module (`fsdp`) has
a `Unit`, whose parts are `DTensor` (`fully_shard`) or one flat parameter. `checkpoint` writes parts where they are,
one file of each process, and last of all the file that names them. `rpc` is requests and answers over the same mesh.
"""

from __future__ import annotations

from typing import Any

from . import distributed_c10d as distributed_c10d
from .distributed_c10d import (
    Backend,
    GroupMember,
    P2POp,
    ProcessGroup,
    ReduceOp,
    Work,
    all_gather,
    all_gather_into_tensor,
    all_gather_object,
    all_reduce,
    all_reduce_coalesced,
    all_to_all,
    all_to_all_single,
    barrier,
    batch_isend_irecv,
    broadcast,
    broadcast_object_list,
    default_pg_timeout,
    destroy_process_group,
    gather,
    gather_object,
    get_backend,
    get_default_backend_for_device,
    get_global_rank,
    get_group_rank,
    get_node_local_rank,
    get_process_group_ranks,
    get_rank,
    get_world_size,
    group,
    init_process_group,
    irecv,
    is_available,
    is_backend_available,
    is_gloo_available,
    is_initialized,
    is_mpi_available,
    is_nccl_available,
    is_torchelastic_launched,
    is_ucc_available,
    is_xccl_available,
    isend,
    monitored_barrier,
    new_group,
    recv,
    reduce,
    reduce_scatter,
    reduce_scatter_tensor,
    scatter,
    scatter_object_list,
    send,
)
from .distributed_c10d import _rank_not_in_group as _rank_not_in_group
from .rendezvous import register_rendezvous_handler, rendezvous
from .store import (
    DistError,
    DistNetworkError,
    DistStoreError,
    FileStore,
    HashStore,
    PrefixStore,
    Store,
    TCPStore,
)

__all__ = [
    "Backend",
    "DistError",
    "DistNetworkError",
    "DistStoreError",
    "FileStore",
    "GroupMember",
    "HashStore",
    "P2POp",
    "PrefixStore",
    "ProcessGroup",
    "ReduceOp",
    "Store",
    "TCPStore",
    "Work",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "all_reduce_coalesced",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "batch_isend_irecv",
    "broadcast",
    "broadcast_object_list",
    "default_pg_timeout",
    "destroy_process_group",
    "gather",
    "gather_object",
    "get_backend",
    "get_default_backend_for_device",
    "get_global_rank",
    "get_group_rank",
    "get_node_local_rank",
    "get_process_group_ranks",
    "get_rank",
    "get_world_size",
    "group",
    "init_process_group",
    "irecv",
    "is_available",
    "is_backend_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "is_ucc_available",
    "is_xccl_available",
    "isend",
    "monitored_barrier",
    "new_group",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "register_rendezvous_handler",
    "rendezvous",
    "scatter",
    "scatter_object_list",
    "send",
]

# Loaded on first use.
_MODULES = (
    "_tensor",
    "algorithms",
    "autograd",
    "checkpoint",
    "device_mesh",
    "fsdp",
    "optim",
    "rpc",
    "run",
    "tensor",
)
_ABSENT = {
    "pipelining": "there are no pipelines",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in ("DeviceMesh", "init_device_mesh"):
        return getattr(import_module(f"{__name__}.device_mesh"), name)
    why = f": {_ABSENT[name]}" if name in _ABSENT else ""
    import sys

    raise AttributeError(
        f"module 'torch.distributed' has no attribute {name!r}{why}", name=name, obj=sys.modules[__name__]
    )
