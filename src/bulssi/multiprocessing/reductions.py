"""How tensors travel between processes: a descriptor of their memory, and their place in it."""

from __future__ import annotations

import os
import time
from multiprocessing import queues, reduction, resource_sharer, util
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import _core

if TYPE_CHECKING:
    from bulssi import Tensor, dtype

__all__ = ["init_reductions", "reduce_tensor"]


def _rebuild(
    parameter: bool,
    descriptor: Any,
    nbytes: int,
    dtype: dtype,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
) -> Tensor:
    """The tensor that :func:`reduce_tensor` described, on the same memory."""
    if descriptor is None:
        memory = _core.empty(nbytes, dtype=_core.uint8)
    else:
        number = descriptor.detach()
        try:
            memory = _core._from_descriptor(number, nbytes)
        finally:
            os.close(number)
    made = _core._on_storage(memory, dtype, offset, size, stride)
    if parameter:
        return bulssi.nn.Parameter(made, requires_grad=requires_grad)
    return made.requires_grad_() if requires_grad else made


def reduce_tensor(tensor: Tensor) -> tuple[Any, ...]:
    """For pickle: moves the tensor's memory to where processes share it, and describes it.

    Raises:
        RuntimeError: the tensor has a gradient function, which cannot leave the process.
    """
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support "
            "crossing process boundaries.  If you just want to transfer the data, call detach() on the tensor before "
            "serializing (e.g., putting it on the queue)."
        )
    tensor_data = tensor.detach()
    nbytes = tensor_data._storage_bytes()
    descriptor = None
    if nbytes:
        try:
            _core._share_storage(tensor_data)
        except RuntimeError:  # the memory of another library: a copy is sent
            tensor_data = tensor_data.clone()
            nbytes = tensor_data._storage_bytes()
            _core._share_storage(tensor_data)
        number = _core._shared_descriptor(tensor_data)
        if number < 0:  # the system has no descriptors left: the content is sent
            return tensor.__reduce_ex__(4)
        descriptor = reduction.DupFd(number)
    place = tensor_data.storage_offset(), tuple(tensor_data.shape), tensor_data.stride()
    return _rebuild, (type(tensor) is not bulssi.Tensor, descriptor, nbytes, tensor.dtype, *place, tensor.requires_grad)


_PATIENCE = 5.0  # seconds


class _Patient:
    """What a forked process is told about."""


_PATIENT = _Patient()  # kept alive: multiprocessing refers to it weakly


def _stay_until_fetched(_: Any = None) -> None:
    """Let this process, when it ends, wait a while until the others have fetched the descriptors that it has sent."""
    # Before the socket goes (priority 0) from which they are fetched.
    util.Finalize(None, _wait_for_fetches, exitpriority=100)


def _wait_for_fetches() -> None:
    for step in ("_finalize_close", "_finalize_join"):  # queues first: their threads may still be sending
        callback = getattr(queues.Queue, step, None)
        for finalizer in list(getattr(util, "_finalizer_registry", {}).values()):
            if callback is not None and getattr(finalizer, "_callback", None) is callback:
                finalizer()
    sharer = getattr(resource_sharer, "_resource_sharer", None)
    if getattr(sharer, "_address", None) is None:
        return  # it has sent none
    end = time.monotonic() + _PATIENCE
    while getattr(sharer, "_cache", None) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)  # the last one is on its way


def init_reductions() -> None:
    """Have `multiprocessing` send tensors so."""
    for kind in (bulssi.Tensor, bulssi.nn.Parameter):
        reduction.ForkingPickler.register(kind, reduce_tensor)
    _stay_until_fetched()
    util.register_after_fork(_PATIENT, _stay_until_fetched)
