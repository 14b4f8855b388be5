"""Worker processes of the DataLoader, and how batches come from them.

Note [Workers]: each worker has one socket to the parent. The parent sends tasks (epoch, number, indices); the worker
answers each in turn, so the parent knows whose answer the next batch is. A thread of the worker takes tasks off the
socket at once, so that neither side ever waits for the other to read. Large buffers of an answer (tensors, arrays) do
not go through the socket but through segments of shared memory, which the worker makes, the parent copies from, and
the worker then uses again. When either side dies the other one sees the socket close.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import queue
import random
import signal
import socket
import sys
import tempfile
import threading
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

import bulssi
from bulssi._bytes import bytes_of, tensor_over

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_IN_BAND = 16 * 1024  # bytes: smaller buffers go through the socket
_ALIGNMENT = 64


class WorkerInfo(NamedTuple):
    """What get_worker_info() tells: which worker this is, of how many, its seed and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_worker_info: WorkerInfo | None = None
_parent_of_worker = -1


def get_worker_info() -> WorkerInfo | None:
    """In a worker process of a DataLoader: its id, num_workers, seed and dataset. Elsewhere None."""
    return _worker_info


class Failure:
    """An exception of a worker on its way to the parent, with its traceback as text."""

    def __init__(self, worker_id: int) -> None:
        kind, _, _ = sys.exc_info()
        self.where = f"in DataLoader worker process {worker_id}"
        self.text = "".join(traceback.format_exception(*sys.exc_info()))
        self.name = kind.__name__ if kind else "Exception"
        try:
            self.kind: bytes | None = pickle.dumps(kind)
            pickle.loads(self.kind)
        except Exception:  # a class that cannot be named from outside: the text has to do
            self.kind = None

    def reraise(self) -> None:
        """Raises the exception in this process; its message has the worker's traceback."""
        message: Any = f"Caught {self.name} {self.where}.\nOriginal {self.text}"
        kind = RuntimeError if self.kind is None else pickle.loads(self.kind)
        if issubclass(kind, KeyError):
            message = _Verbatim(message)
        try:
            error = kind(message)
        except Exception:  # its class wants other arguments
            error = RuntimeError(message)
        raise error from None


class _Verbatim(str):
    """A text that KeyError shows as it is, not as its repr."""

    def __repr__(self) -> str:
        return str(self)


class Ended:
    """The answer when a stream has no more."""


# ------------------------------------------------------------------------------------------------------------ answers


class _Segment:
    """A piece of memory that two processes share, by a file descriptor."""

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        if descriptor is None:
            if hasattr(os, "memfd_create"):
                descriptor = os.memfd_create("bulssi-batch")
            else:
                with tempfile.TemporaryFile() as file:
                    descriptor = os.dup(file.fileno())
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self.size = size
        self.map = mmap.mmap(descriptor, size)
        self.view = memoryview(self.map)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, bulssi.Tensor) and type(obj) is bulssi.Tensor and obj.device.type == "cpu":
            kept = obj.detach().contiguous()
            args = (pickle.PickleBuffer(bytes_of(kept)), str(kept.dtype).rpartition(".")[2], tuple(kept.shape))
            return _rebuild, (*args, bool(obj.requires_grad))
        return NotImplemented


def _rebuild(buffer: Any, dtype: str, shape: tuple[int, ...], requires_grad: bool) -> Any:
    kind, count = getattr(bulssi, dtype), 1
    for n in shape:
        count *= n
    if isinstance(buffer, bytes):
        buffer = bytearray(buffer)
    out = tensor_over(buffer, kind, count).reshape(shape)
    return out.requires_grad_() if requires_grad else out


class _Buffer:
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        return len(data)


class Sender:
    """The worker's end: puts answers on the socket and their large buffers into segments."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.segments: list[_Segment] = []
        self.free: queue.SimpleQueue[int] = queue.SimpleQueue()  # numbers of segments that the parent has copied
        self.idle: list[int] = []

    def send(self, answer: Any) -> None:
        raws: list[memoryview] = []

        def out_of_band(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < _IN_BAND:
                return True
            raws.append(raw)
            return False

        sink = _Buffer()
        _Pickler(sink, protocol=5, buffer_callback=out_of_band).dump(answer)  # pyright: ignore
        places, end = [], 0
        for raw in raws:
            places.append((end, raw.nbytes))
            end += -(-raw.nbytes // _ALIGNMENT) * _ALIGNMENT
        number, new = -1, None
        if raws:
            number, new = self._segment(end)
            view = self.segments[number].view
            for (start, size), raw in zip(places, raws, strict=True):
                view[start : start + size] = raw.cast("B")
        head = pickle.dumps((number, None if new is None else new.size, places))
        self.connection.send_bytes(head)
        if new is not None:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as sock:
                socket.send_fds(sock, [b"F"], [new.descriptor])
        self.connection.send_bytes(b"".join(sink.parts))

    def _segment(self, size: int) -> tuple[int, _Segment | None]:
        """A free segment's number; and the segment itself when it is new to the parent."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.idle.append(self.free.get_nowait())
        for number in self.idle:
            if self.segments[number].size >= size:
                self.idle.remove(number)
                return number, None
        segment = _Segment(-(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        if self.idle:  # all too small: one is replaced, so that their number stays bounded
            number = self.idle.pop()
            os.close(self.segments[number].descriptor)
            self.segments[number] = segment
        else:
            number = len(self.segments)
            self.segments.append(segment)
        return number, segment


class Receiver:
    """The parent's end of one worker's socket."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.segments: dict[int, _Segment] = {}

    def receive(self) -> tuple[Any, int | None]:
        """The next answer, and the number of the segment that may be used again. EOFError when the worker is gone."""
        number, new_size, places = pickle.loads(self.connection.recv_bytes())
        if new_size is not None:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as sock:
                _, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
            if not descriptors:
                raise EOFError("the worker sent no memory")
            self.segments[number] = _Segment(new_size, descriptors[0])
            os.close(descriptors[0])
        data = self.connection.recv_bytes()
        buffers = []
        for start, size in places:
            own = bytes_of(bulssi.empty(size, dtype=bulssi.uint8))
            own[:] = self.segments[number].view[start : start + size]
            buffers.append(own)
        return pickle.loads(data, buffers=buffers), number if number >= 0 else None


# -------------------------------------------------------------------------------------------------------- the process


class WorkerOptions(NamedTuple):
    """What a worker needs to know."""

    worker_id: int
    num_workers: int
    base_seed: int
    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    init_fn: Callable[[int], Any] | None
    random_state: Any  # when an epoch goes on: the state to start from, or None for that of the seed


def random_state() -> tuple[Any, ...]:
    """The state of all generators a dataset may use, as plain values."""
    numpy = sys.modules.get("numpy")
    arrays = None
    if numpy is not None and "numpy.random" in sys.modules:
        kind, keys, *rest = numpy.random.get_state()
        arrays = (kind, keys.tolist(), *rest)
    return bulssi.get_rng_state(), random.getstate(), arrays


def set_random_state(state: Any) -> None:
    """Puts back what random_state() gave."""
    own, python, arrays = state
    bulssi.set_rng_state(own)
    version, keys, gauss = python
    random.setstate((version, tuple(keys), gauss))
    if arrays is not None:
        import numpy

        kind, keys, *rest = arrays
        numpy.random.set_state((kind, numpy.array(keys, dtype=numpy.uint32), *rest))


def _seed_all(base_seed: int, worker_id: int) -> None:
    random.seed(base_seed + worker_id)
    bulssi.manual_seed(base_seed + worker_id)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
        numpy.random.seed(numpy.random.SeedSequence(entropy).generate_state(4))


def _same_state(a: Any, b: Any) -> bool:
    return a[1:] == b[1:] and bool(bulssi.equal(a[0], b[0]))


def worker_main(connection: Connection, others: list[Any], options: WorkerOptions) -> None:
    """The life of a worker process. See Note [Workers]."""
    for other in others:  # the parent's ends, which a fork copies: while open here they would hide its death
        other.close()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, ConnectionResetError, EOFError):
        _serve(connection, options)


def _serve(connection: Connection, options: WorkerOptions) -> None:
    global _worker_info, _parent_of_worker
    worker_id = options.worker_id
    _parent_of_worker = os.getppid()
    sender = Sender(connection)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks, sender.free), daemon=True).start()
    bulssi.set_num_threads(1)
    _seed_all(options.base_seed, worker_id)
    _worker_info = WorkerInfo(worker_id, options.num_workers, options.base_seed + worker_id, options.dataset)
    server = _Server(options, sender)
    while True:
        task = tasks.get()
        if task is None:
            return
        server.answer(*task)


def _listen(connection: Connection, tasks: queue.SimpleQueue[Any], free: queue.SimpleQueue[int]) -> None:
    """Takes what the parent sends as soon as it comes; None ends the worker."""
    try:
        while True:
            message = pickle.loads(connection.recv_bytes())
            if isinstance(message, int):
                free.put(message)
            else:
                tasks.put(message)
                if message is None:
                    return
    except (EOFError, OSError):
        tasks.put(None)
        if os.getppid() != _parent_of_worker:  # a worker that computes for long would outlive its dead parent
            os.kill(os.getpid(), signal.SIGKILL)


class _Server:
    """Answers tasks; starts the dataset anew at each epoch."""

    def __init__(self, options: WorkerOptions, sender: Sender) -> None:
        self.options = options
        self.sender = sender
        self.epoch = -1
        self.ended = False
        self.failure: Failure | None = None
        self.fetcher: Any = None
        self.last_state: Any = None
        try:
            if options.init_fn is not None:
                options.init_fn(options.worker_id)
        except Exception:
            self.failure = Failure(options.worker_id)

    def answer(self, epoch: int, index: Any) -> None:
        if epoch != self.epoch:
            self._start(epoch)
        if self.ended:
            return
        state = None
        if self.failure is not None:
            data, self.failure = self.failure, None
        else:
            data = self._fetch(index)
            now = random_state()
            if self.last_state is None or not _same_state(now, self.last_state):
                self.last_state = state = now
        try:
            self.sender.send((epoch, data, state))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception:  # the batch cannot be pickled
            self.sender.send((epoch, Failure(self.options.worker_id), None))

    def _start(self, epoch: int) -> None:
        from bulssi.utils.data._utils.fetch import make_fetcher

        options = self.options
        first, self.epoch, self.ended = self.epoch < 0, epoch, False
        try:
            self.fetcher = make_fetcher(options.dataset, options.batched, options.collate_fn, options.drop_last)
            if first and options.random_state is not None:
                set_random_state(options.random_state)
        except Exception:
            self.failure = self.failure or Failure(options.worker_id)
        if self.last_state is None:
            self.last_state = random_state()

    def _fetch(self, index: Any) -> Any:
        from bulssi.utils.data._utils.fetch import IterableFetcher

        if self.fetcher is None or self.ended:
            return Ended()
        try:
            return self.fetcher.fetch(index)
        except StopIteration:
            if isinstance(self.fetcher, IterableFetcher):
                self.ended = True
                return Ended()
            return Failure(self.options.worker_id)
        except Exception:
            return Failure(self.options.worker_id)
