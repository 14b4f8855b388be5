"""DataLoader: batches of a dataset, in this process or from worker processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import warnings
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import bulssi
from bulssi.utils.data._utils.collate import default_collate, default_convert
from bulssi.utils.data._utils.fetch import in_memory, make_fetcher
from bulssi.utils.data._utils.worker import (
    Ended,
    Failure,
    Receiver,
    WorkerOptions,
    get_worker_info,
    random_state,
    set_random_state,
    worker_main,
)
from bulssi.utils.data.dataset import IterableDataset
from bulssi.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, index_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

_T_co = TypeVar("_T_co", covariant=True)
_JOIN_SECONDS = 5.0  # what a worker gets to end by itself


class _DatasetKind:
    """How a dataset gives its samples: by index, or one after the other."""

    Map = 0
    Iterable = 1


class _InfiniteSampler(Sampler[None]):
    """Stands for the indices that a stream does not need."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader(Generic[_T_co]):
    """Gives the batches of a dataset; every iter() is one epoch.

    Data in memory (a TensorDataset or Subset of one, with the default collate function) is taken from its tensors by
    batch, in this process whatever num_workers says: there is nothing for a worker to do.

    Args:
        dataset: a map-style Dataset (or anything with [] and len) or an IterableDataset.
        batch_size: samples per batch; None gives the samples as they are.
        shuffle: a new random order every epoch.
        sampler, batch_sampler: the order, as indices or as lists of them; exclusive with shuffle, and batch_sampler
            with batch_size, sampler and drop_last too.
        num_workers: processes that load; 0 loads in this one.
        collate_fn: makes a batch of a list of samples.
        pin_memory: accepted; without an accelerator it warns, as PyTorch does.
        drop_last: leave out a last batch that is smaller.
        timeout: seconds to wait for a worker's batch; 0 is for ever (a worker that dies is noticed in any case).
        worker_init_fn: called with the worker's number when it starts.
        multiprocessing_context: a context of multiprocessing or a start method; None is fork where there is one.
        generator: of the random order and of the workers' seeds; the default one when None.
        prefetch_factor: batches that each worker loads ahead; 2 when None.
        persistent_workers: keep the workers from epoch to epoch.
        in_order: give batches in the order of their indices; False: in the order in which workers have them ready.

    `state_dict()` in the middle of an epoch, given to `load_state_dict()` of an equal loader, makes that loader go on
    with the next batch, in the same random order.

    Raises:
        ValueError, TypeError: options that do not go together, with PyTorch's texts.
        RuntimeError: while iterating, when a worker dies or takes too long. What a dataset raises in a worker is raised
            here, with the worker's traceback in its message.
    """

    _FIXED = frozenset({"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"})
    __initialized = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        prefetch_factor = _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.in_order = in_order
        self.multiprocessing_context = multiprocessing_context
        if isinstance(dataset, IterableDataset):
            _check_stream(shuffle, sampler, batch_sampler)
        else:
            shuffle = bool(shuffle)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if isinstance(dataset, IterableDataset):
                sampler = _InfiniteSampler()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self._reported_length: int | None = None
        self._iterator: Any = None
        self._current: Any = None  # a weak reference to the iterator in use
        self._resume: dict[str, Any] | None = None
        self.__initialized = True
        self.check_worker_number_rationality()

    @property
    def multiprocessing_context(self) -> Any:
        return self.__multiprocessing_context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None:
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
                    f"num_workers={self.num_workers}"
                )
            import multiprocessing

            if isinstance(context, str):
                valid = multiprocessing.get_all_start_methods()
                if context not in valid:
                    raise ValueError(
                        f"multiprocessing_context option should specify a valid start method in {valid!r}, but got "
                        f"multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, multiprocessing.context.BaseContext):  # pyright: ignore[reportAttributeAccessIssue]
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string specifying the start "
                    f"method, but got multiprocessing_context={context}"
                )
        self.__multiprocessing_context = context

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__initialized and name in self._FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def _dataset_kind(self) -> int:
        return _DatasetKind.Iterable if isinstance(self.dataset, IterableDataset) else _DatasetKind.Map

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self._index_sampler)
        length = self._reported_length = len(self.dataset)  # pyright: ignore[reportArgumentType]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def __iter__(self) -> Iterator[_T_co]:
        if self._iterator is not None and self._resume is None:
            self._iterator._new_epoch(self)
            return self._iterator
        fetcher = None
        if self._auto_collation and self.worker_init_fn is None:
            fetcher = in_memory(self.dataset, self.collate_fn)
        if self.num_workers == 0 or fetcher is not None:
            iterator: _BaseDataLoaderIter = _SingleProcessDataLoaderIter(self, fetcher)
        else:
            self.check_worker_number_rationality()
            iterator = _MultiProcessingDataLoaderIter(self)
            if self.persistent_workers:
                self._iterator = iterator
        self._current = weakref.ref(iterator)
        return iterator  # pyright: ignore[reportReturnType]

    def check_worker_number_rationality(self) -> None:
        """Warns when there are more workers than processors for this process."""
        if not self.num_workers:
            return
        most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        if most is None or self.num_workers <= most:
            return
        warnings.warn(
            f"This DataLoader will create {self.num_workers} worker processes in total. Our suggested max number of "
            f"worker in current system is {most}, which is smaller than what this DataLoader is going to create. "
            "Please be aware that excessive worker creation might get DataLoader running slow or even freeze, lower "
            "the worker number to avoid potential slowness/freeze if necessary.",
            stacklevel=3,
        )

    # ---- the position in the epoch

    def state_dict(self) -> dict[str, Any]:
        """Where in the data this loader is: plain values and tensors, for save().

        Between epochs it says so; in the middle of one it has the number of batches given and the random states that
        the epoch started from.
        """
        iterator = self._current() if self._current is not None else None
        if iterator is None or iterator._finished:
            return {"in_epoch": False} if self._resume is None else self._resume
        return iterator._state(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Makes the next iter() go on where `state_dict()` was taken. The dataset and the options must be the same.

        A stream is read again up to that place; a map-style dataset is not.
        """
        if "in_epoch" not in state_dict:
            raise ValueError(f"this is no state of a DataLoader: its keys are {sorted(state_dict)}")
        self._resume = dict(state_dict) if state_dict["in_epoch"] else None

    def _generators(self) -> list[Any]:
        """The user's generators that an epoch draws from."""
        holders = [self, self.sampler, self.batch_sampler, getattr(self.batch_sampler, "sampler", None)]
        found: list[Any] = []
        for holder in holders:
            generator = getattr(holder, "generator", None)
            if isinstance(generator, bulssi.Generator) and all(generator is not other for other in found):
                found.append(generator)
        return found


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool) -> int | None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable "
            "multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    return 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor


def _check_stream(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )


class _BaseDataLoaderIter:
    """One epoch: the indices of its batches, and the state to find back to a place in it."""

    def __init__(self, loader: DataLoader[Any], by_tensor: bool = False) -> None:
        self._dataset = loader.dataset
        self._by_tensor = by_tensor
        self._warn_pin_memory(loader)
        resume, loader._resume = loader._resume, None
        outside = self._snapshot(loader) if resume is not None else None
        if resume is not None:
            self._put_back(loader, resume["start"])
        self._begin(loader)
        # As in PyTorch one number is drawn for the workers' seeds, whether there are workers or not; but not when
        # persistent workers start another epoch.
        self._drew_seed = True
        if resume is not None and not resume["drew_seed"]:
            self._drew_seed, self._base_seed = False, int(resume["base_seed"])
        else:
            seed = bulssi.empty((), dtype=bulssi.int64).random_(generator=loader.generator)
            self._base_seed = int(seed.item())
        if resume is not None and outside is not None:
            self._start = resume["start"]
            self._go_on(loader, resume)
            self._put_back(loader, {"random": outside["random"], "generators": resume["generators"]})

    def _begin(self, loader: DataLoader[Any]) -> None:
        self._start = self._snapshot(loader)
        self._finished = False
        self._num_yielded = 0
        self._reported_length = loader._reported_length
        batches = index_batches(loader.batch_sampler) if self._by_tensor else None
        self._indices = iter(loader._index_sampler) if batches is None else batches

    @staticmethod
    def _warn_pin_memory(loader: DataLoader[Any]) -> None:
        if loader.pin_memory and not bulssi.cuda.is_available():
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be "
                "used.",
                stacklevel=4,
            )

    # ---- going on in the middle of an epoch

    @staticmethod
    def _snapshot(loader: DataLoader[Any]) -> dict[str, Any]:
        """The random states that the order of the batches may depend on."""
        return {"random": random_state(), "generators": [g.get_state() for g in loader._generators()]}

    @staticmethod
    def _put_back(loader: DataLoader[Any], snapshot: dict[str, Any]) -> None:
        set_random_state(snapshot["random"])
        generators = loader._generators()
        if len(generators) != len(snapshot["generators"]):
            raise ValueError(
                f"the state is of a loader with {len(snapshot['generators'])} generators, this one has "
                f"{len(generators)}; make the loader with the same options"
            )
        for generator, state in zip(generators, snapshot["generators"], strict=True):
            generator.set_state(state)

    def _go_on(self, loader: DataLoader[Any], resume: dict[str, Any]) -> None:
        """Passes over the batches that were given before: draws their indices, in the epoch's random state."""
        self._num_yielded = resume["yielded"]
        for done in range(self._num_yielded):
            if next(self._indices, self) is self:
                raise ValueError(
                    f"the state is of an epoch of at least {self._num_yielded} batches, this loader has {done}; make "
                    "the loader with the same dataset and options"
                )

    def _state(self, loader: DataLoader[Any]) -> dict[str, Any]:
        return {
            "in_epoch": True,
            "yielded": self._num_yielded,
            "start": self._start,
            "drew_seed": self._drew_seed,
            "base_seed": self._base_seed,
            "generators": [g.get_state() for g in loader._generators()],
        }

    # ---- the iterator protocol

    def __iter__(self) -> _BaseDataLoaderIter:
        return self

    def __next__(self) -> Any:
        try:
            data = self._next_data()
        except StopIteration:
            self._finished = True
            raise
        self._num_yielded += 1
        if self._reported_length is not None and self._num_yielded > self._reported_length:
            warnings.warn(
                f"Length of IterableDataset {self._dataset} was reported to be {self._reported_length}"
                f"(when accessing len(dataloader)), but {self._num_yielded} samples have been fetched. ",
                stacklevel=2,
            )
        return data

    def _next_data(self) -> Any:
        raise NotImplementedError

    def __getstate__(self) -> Any:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Loads in this process."""

    def __init__(self, loader: DataLoader[Any], fetcher: Any) -> None:
        if loader.num_workers == 0 and loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self._fetcher: Any = fetcher
        super().__init__(loader, by_tensor=fetcher is not None)
        if self._fetcher is None:
            self._make(loader)

    def _make(self, loader: DataLoader[Any]) -> None:
        self._fetcher = make_fetcher(loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)

    def _go_on(self, loader: DataLoader[Any], resume: dict[str, Any]) -> None:
        super()._go_on(loader, resume)
        if self._fetcher is None and isinstance(loader.dataset, IterableDataset):
            self._make(loader)
            fetcher: Any = self._fetcher
            for index in itertools.islice(loader._index_sampler, self._num_yielded):
                fetcher.fetch(index)

    def _next_data(self) -> Any:
        return self._fetcher.fetch(next(self._indices))


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Loads by worker processes. See Note [Workers]."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._workers: list[Any] = []
        self._receivers: list[Receiver] = []
        self._closed = False
        self._owner = os.getpid()
        self._count = loader.num_workers
        if not loader.prefetch_factor:
            raise AssertionError("prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter")
        self._prefetch = loader.prefetch_factor
        self._timeout = loader.timeout
        self._in_order = loader.in_order
        self._persistent = loader.persistent_workers
        self._is_stream = isinstance(loader.dataset, IterableDataset)
        self._epoch = 0
        self._worker_states: dict[int, Any] = {}
        self._to_drop = 0
        super().__init__(loader)
        self._start_workers(loader)
        self._prime()
        for _ in range(self._to_drop):
            self._next_data()

    # ---- processes

    def _start_workers(self, loader: DataLoader[Any]) -> None:
        import multiprocessing

        context = loader.multiprocessing_context
        if context is None:
            fork = "fork" in multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context("fork" if fork else None)
        for worker_id in range(self._count):
            ours, theirs = context.Pipe(duplex=True)
            options = WorkerOptions(
                worker_id, self._count, self._base_seed, loader.dataset, loader._auto_collation, loader.collate_fn,
                loader.drop_last, loader.worker_init_fn, self._worker_states.get(worker_id),
            )  # fmt: skip
            forked = context.get_start_method() == "fork"
            others = [receiver.connection for receiver in self._receivers] + [ours] if forked else []
            worker = context.Process(target=worker_main, args=(theirs, others, options), daemon=True)
            with warnings.catch_warnings():
                # The library's threads sleep and hold no lock while this process forks.
                warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
                worker.start()
            theirs.close()
            self._workers.append(worker)
            self._receivers.append(Receiver(ours))

    def _prime(self) -> None:
        self._owners: deque[int] = deque()  # workers of the tasks not yet answered, in order
        self._active = [True] * self._count
        self._cycle = itertools.cycle(range(self._count))
        if not self._is_stream:  # an epoch that goes on does so with the worker whose turn it is
            for _ in range(self._num_yielded % self._count):
                next(self._cycle)
        for _ in range(self._prefetch * self._count):
            self._send_task()

    def _new_epoch(self, loader: DataLoader[Any]) -> None:
        self._epoch += 1
        self._begin(loader)
        self._drew_seed = False
        loader._current = weakref.ref(self)
        self._prime()

    def _send_task(self) -> None:
        try:
            index = next(self._indices)
        except StopIteration:
            return
        for _ in range(self._count):
            worker = next(self._cycle)
            if self._active[worker]:
                break
        else:
            return
        self._send(worker, (self._epoch, index))
        self._owners.append(worker)

    def _send(self, worker: int, message: Any) -> None:
        import pickle

        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # receiving will tell that it died
            self._receivers[worker].connection.send_bytes(pickle.dumps(message))

    # ---- batches

    def _next_data(self) -> Any:
        while self._owners:
            worker = self._owners[0]
            if not self._active[worker]:
                self._owners.popleft()
                continue
            if not self._in_order:
                worker = self._first_ready()
            data = self._receive(worker)
            self._owners.remove(worker)
            if isinstance(data, Ended):
                self._active[worker] = False
                self._send_task()
                continue
            self._send_task()
            if isinstance(data, Failure):
                data.reraise()
            return data
        if not self._persistent:
            self._shut_down()
        raise StopIteration

    def _first_ready(self) -> int:
        from multiprocessing.connection import wait

        connections = {self._receivers[w].connection: w for w in set(self._owners) if self._active[w]}
        ready = wait([*connections, *[self._workers[w].sentinel for w in connections.values()]], self._timeout or None)
        for connection, worker in connections.items():
            if connection in ready:
                return worker
        for worker in connections.values():
            if self._workers[worker].sentinel in ready:
                return worker
        return self._owners[0]  # nobody in time: waiting for this one says so

    def _receive(self, worker: int) -> Any:
        """The next answer of a worker to a task of this epoch."""
        from multiprocessing.connection import wait

        receiver, process = self._receivers[worker], self._workers[worker]
        while True:
            ready = wait([receiver.connection, process.sentinel], self._timeout or None)
            if not ready:
                self._shut_down(kill=True)
                raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
            try:
                if receiver.connection not in ready and not receiver.connection.poll():
                    raise EOFError
                (epoch, data, state), used = receiver.receive()
            except (EOFError, OSError):
                self._raise_dead(worker)
                raise
            if used is not None:
                self._send(worker, used)
            if epoch == self._epoch:
                if state is not None:
                    self._worker_states[worker] = state
                return data

    def _raise_dead(self, worker: int) -> None:
        import signal

        process = self._workers[worker]
        process.join(_JOIN_SECONDS)
        code, pid = process.exitcode, process.pid
        how = f"its exit code was {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"it was killed by signal {-code} ({signal.Signals(-code).name})"
                if code == -signal.SIGKILL:
                    how += ", perhaps because memory ran out"
        self._shut_down(kill=True)
        raise RuntimeError(f"DataLoader worker (pid(s) {pid}) exited unexpectedly: {how}") from None

    # ---- going on in the middle of an epoch

    def _go_on(self, loader: DataLoader[Any], resume: dict[str, Any]) -> None:
        if self._is_stream:  # only reading it again finds the place
            self._to_drop = self._num_yielded = resume["yielded"]
        else:
            super()._go_on(loader, resume)
            self._worker_states = dict(resume.get("workers", {}))

    def _state(self, loader: DataLoader[Any]) -> dict[str, Any]:
        return {**super()._state(loader), "workers": dict(self._worker_states)}

    # ---- the end

    def _shut_down(self, kill: bool = False) -> None:
        if self._closed or self._owner != os.getpid():  # a copy that a fork made must leave the workers alone
            return
        self._closed = True
        for worker in range(len(self._workers)):
            with contextlib.suppress(OSError):
                self._send(worker, None)
        for receiver in self._receivers:
            receiver.connection.close()
        for process in self._workers:
            if kill:
                process.terminate()
            process.join(_JOIN_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self._shut_down()
