"""A group of processes and its messages: how tensors travel, and how sums over processes are taken.

Sums and the like are taken in the order of ranks, by one process for each element, so that all have the same bits.
"""

from __future__ import annotations

import enum
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import bulssi
from bulssi import _core
from bulssi.futures import Future

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from bulssi import Tensor

    from ._mesh import Mesh, Pending

__all__ = ["ProcessGroup", "RedOpType", "ReduceOp", "Work"]

_SMALL = 8192  # bytes up to which all_reduce sends everything to everybody


class RedOpType(enum.Enum):
    """How values of several processes become one."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7

    def __str__(self) -> str:
        return f"RedOpType.{self.name}"


class ReduceOp:
    """Names of :class:`RedOpType`: SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR (the last three for integers)."""

    RedOpType = RedOpType
    SUM, AVG, PRODUCT, MIN, MAX = RedOpType.SUM, RedOpType.AVG, RedOpType.PRODUCT, RedOpType.MIN, RedOpType.MAX
    BAND, BOR, BXOR = RedOpType.BAND, RedOpType.BOR, RedOpType.BXOR


_COMBINE: dict[RedOpType, Callable[[Any, Any], Any]] = {
    RedOpType.SUM: lambda a, b: a.logical_or_(b) if a.dtype == bulssi.bool else a.add_(b),
    RedOpType.AVG: lambda a, b: a.add_(b),
    RedOpType.PRODUCT: lambda a, b: a.mul_(b),
    RedOpType.MIN: lambda a, b: a.copy_(bulssi.minimum(a, b)),
    RedOpType.MAX: lambda a, b: a.copy_(bulssi.maximum(a, b)),
    RedOpType.BAND: lambda a, b: a.bitwise_and_(b),
    RedOpType.BOR: lambda a, b: a.bitwise_or_(b),
    RedOpType.BXOR: lambda a, b: a.bitwise_xor_(b),
}


def _reduced(parts: Sequence[Tensor], op: RedOpType) -> Tensor:
    """The parts in one; the first is overwritten."""
    total = parts[0]
    for part in parts[1:]:
        _COMBINE[op](total, part)
    return total.div_(len(parts)) if op is RedOpType.AVG else total


# ---- tensors as bytes ------------------------------------------------------------------------------------------------


def _flat(tensor: Tensor) -> Tensor:
    """The elements in order, on the tensor's memory where that is possible."""
    whole = tensor.detach().contiguous()
    return whole.view(-1) if whole.numel() != 1 else whole.as_strided((1,), (1,))  # one element may have any stride


def _as_bytes(flat: Tensor) -> Any:
    return memoryview(flat.view(bulssi.uint8)) if flat.numel() else b""


def _as_tensor(payload: bytearray, like: Tensor) -> Tensor:
    """The elements that were sent.

    Raises:
        RuntimeError: there are not as many as here.
    """
    count = len(payload) // like.dtype.itemsize
    if count != like.numel():
        raise RuntimeError(
            f"a process sent {count} elements of {like.dtype}, where this one has {like.numel()} (shape "
            f"{tuple(like.shape)}): all have to call with the same shapes"
        )
    if count == 0:
        return like.detach().new_empty(0)
    return _core._frombuffer(payload, like.dtype, -1, 0)


def _write(tensor: Tensor, flat: Tensor) -> None:
    with bulssi.no_grad():
        tensor.detach().copy_(flat.view(tensor.shape))


# ---- work that goes on -----------------------------------------------------------------------------------------------


class Work:
    """Something that was started; ``wait()`` waits until it is done, and raises what went wrong."""

    def __init__(self, run: Callable[[], Any] | None = None, source: int = -1) -> None:
        self._run = run
        self._future: Future[Any] = Future()
        self._source = source
        if run is None:
            self._future.set_result(None)

    def _execute(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        try:
            result = run()
        except BaseException as error:
            self._future._finish(None, error)
        else:
            self._future._finish(result, None)

    def wait(self, timeout: timedelta | None = None) -> bool:
        """Wait until it is done; True. Raises what went wrong."""
        self._future.wait()
        return True

    def is_completed(self) -> bool:
        """Whether it is done."""
        return self._future.done()

    def is_success(self) -> bool:
        """Whether it is done without an error."""
        return self._future.done() and self._future._error is None

    def exception(self) -> BaseException | None:
        """What went wrong."""
        return self._future._error

    def get_future(self) -> Future[Any]:
        """A future of the result."""
        return self._future

    def result(self) -> Any:
        """The result, once it is there."""
        return self._future.wait()

    def source_rank(self) -> int:
        """Who sent what was received."""
        return self._source

    def synchronize(self) -> None:
        """Wait until it is done."""
        self.wait()


class _Receive(Work):
    """A message that was asked for; it is written into the tensor when somebody waits."""

    def __init__(self, group: ProcessGroup, pending: Pending, tensor: Tensor) -> None:
        super().__init__(self._receive)
        self._group, self._pending, self._tensor = group, pending, tensor
        self._once = threading.Lock()

    def _receive(self) -> Any:
        sender, payload = self._group._mesh.take(self._pending, self._group._timeout)
        _write(self._tensor, _as_tensor(payload, self._tensor))
        self._source = self._group._ranks.index(sender)
        return [self._tensor]

    def wait(self, timeout: timedelta | None = None) -> bool:
        with self._once:
            self._execute()
        return super().wait(timeout)

    def is_completed(self) -> bool:
        if self._pending.done.is_set():
            with self._once:
                self._execute()
        return super().is_completed()


# ---- groups ----------------------------------------------------------------------------------------------------------


class ProcessGroup:
    """Processes that do things together.

    Methods take tensors whose shapes agree in all processes; ranks are counted within the group.
    """

    def __init__(self, mesh: Mesh, number: int, ranks: list[int], timeout: float, backend: str) -> None:
        self._mesh, self._number, self._ranks, self._timeout = mesh, number, ranks, timeout
        self._rank = ranks.index(mesh.rank)
        self._backend = backend
        self._calls = 0
        self._lock = threading.Lock()
        self._worker: ThreadPoolExecutor | None = None
        self.group_name = str(number)

    def rank(self) -> int:
        """The number of this process in the group."""
        return self._rank

    def size(self) -> int:
        """How many processes there are."""
        return len(self._ranks)

    def name(self) -> str:
        """The backend's name."""
        return self._backend

    # ---- messages inside a call

    def _next(self) -> tuple[int, str, int]:
        """A key for the messages of one call: all processes make the calls of a group in the same order."""
        with self._lock:
            self._calls += 1
            return self._number, "call", self._calls

    def _send(self, to: int, key: Any, flat: Tensor) -> None:
        self._mesh.send(self._ranks[to], key, _as_bytes(flat))

    def _post(self, sender: int, key: Any) -> Pending:
        return self._mesh.post(self._ranks[sender], key)

    def _take(self, pending: Pending, like: Tensor) -> Tensor:
        return _as_tensor(self._mesh.take(pending, self._timeout)[1], like)

    def _others(self) -> list[int]:
        """The other ranks, beginning behind this one, so that not all send to the same."""
        n = self.size()
        return [(self._rank + i) % n for i in range(1, n)]

    def _exchange(self, key: Any, out: Sequence[Tensor], like: Sequence[Tensor]) -> list[Tensor]:
        """Send ``out[r]`` to every rank r, and return what every rank sent here."""
        pending = {other: self._post(other, key) for other in self._others()}
        for other in self._others():
            self._send(other, key, out[other])
        received = {other: self._take(p, like[other]) for other, p in pending.items()}
        received[self._rank] = out[self._rank]
        return [received[r] for r in range(self.size())]

    def _start(self, run: Callable[[], Any], async_op: bool) -> Work | None:
        """Do it now, or in a thread that does such things one by one."""

        def quietly() -> Any:
            with bulssi.no_grad():
                return run()

        work = Work(quietly)
        if not async_op:
            work._execute()
            work.wait()
            return None
        if self._worker is None:
            self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="distributed")
        self._worker.submit(work._execute)
        return work

    def _check_rank(self, rank: int, what: str) -> None:
        if not 0 <= rank < self.size():
            raise RuntimeError(f"ProcessGroupGloo::{what}: invalid root rank: {rank}")

    # ---- what groups do

    def _all_reduce(self, key: Any, tensor: Tensor, op: RedOpType) -> list[Tensor]:
        n = self.size()
        if n > 1:
            flat = _flat(tensor)
            if flat.numel() * flat.dtype.itemsize <= _SMALL or flat.numel() < n:
                parts = self._exchange(key, [flat] * n, [flat] * n)
                total = _reduced([parts[0].clone(), *parts[1:]], op)
            else:
                chunks = list(flat.tensor_split(n))
                mine = chunks[self._rank]
                parts = self._exchange((*key, 0), chunks, [mine] * n)
                own = _reduced([parts[0].clone(), *parts[1:]], op)
                total = bulssi.cat(self._exchange((*key, 1), [own] * n, chunks))
            _write(tensor, total)
        return [tensor]

    def _broadcast(self, key: Any, tensor: Tensor, src: int) -> list[Tensor]:
        if self._rank == src:
            flat = _flat(tensor)
            for other in self._others():
                self._send(other, key, flat)
        else:
            _write(tensor, self._take(self._post(src, key), tensor))
        return [tensor]

    def _gather(self, key: Any, outputs: Sequence[Tensor] | None, tensor: Tensor, dst: int) -> Any:
        flat = _flat(tensor)
        if self._rank != dst:
            self._send(dst, key, flat)
            return None
        if outputs is None:
            raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
        pending = {other: self._post(other, key) for other in self._others()}
        for other, output in enumerate(outputs):
            _write(output, flat if other == dst else self._take(pending[other], output))
        return outputs

    def _scatter(self, key: Any, tensor: Tensor, inputs: Sequence[Tensor] | None, src: int) -> Any:
        if self._rank == src:
            if inputs is None:
                raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
            for other in self._others():
                self._send(other, key, _flat(inputs[other]))
            _write(tensor, _flat(inputs[src]))
        else:
            _write(tensor, self._take(self._post(src, key), tensor))
        return [tensor]

    def _all_to_all(self, key: Any, outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> Any:
        for output, part in zip(outputs, self._exchange(key, [_flat(x) for x in inputs], outputs), strict=True):
            _write(output, part)
        return outputs

    def _reduce(self, key: Any, tensor: Tensor, dst: int, op: RedOpType) -> Any:
        flat = _flat(tensor)
        if self._rank != dst:
            self._send(dst, key, flat)
            return [tensor]
        pending = {other: self._post(other, key) for other in self._others()}
        parts = [flat if r == dst else self._take(pending[r], flat) for r in range(self.size())]
        _write(tensor, _reduced([parts[0].clone(), *parts[1:]], op))
        return [tensor]

    def _reduce_scatter(self, key: Any, output: Tensor, inputs: Sequence[Tensor], op: RedOpType) -> Any:
        flats = [_flat(x) for x in inputs]
        parts = self._exchange(key, flats, [flats[self._rank]] * self.size())
        _write(output, _reduced([parts[0].clone(), *parts[1:]], op))
        return [output]

    # ---- whole objects

    def _exchange_bytes(self, payload: bytes) -> list[bytes]:
        key = self._next()
        pending = {other: self._post(other, key) for other in self._others()}
        for other in self._others():
            self._mesh.send(self._ranks[other], key, payload)
        found = {other: bytes(self._mesh.take(p, self._timeout)[1]) for other, p in pending.items()}
        return [payload if r == self._rank else found[r] for r in range(self.size())]

    def _shutdown(self) -> None:
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)
