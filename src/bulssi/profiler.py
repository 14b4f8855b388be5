"""`profile`: how long operations take, in chosen steps of a loop. What is measured: see `autograd.profiler`."""

from __future__ import annotations

import enum
import os
import socket
import tempfile
import time
import warnings
from typing import TYPE_CHECKING, Any

from bulssi.autograd import profiler as _profiler
from bulssi.autograd.profiler import record_function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "DeviceType",
    "ProfilerAction",
    "ProfilerActivity",
    "kineto_available",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(enum.Enum):
    """What can be measured."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class DeviceType(enum.Enum):
    """Where it ran."""

    CPU = 0
    CUDA = 1


class ProfilerAction(enum.Enum):
    """What is done in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """The CPU's."""
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """False: the record is the core's own."""
    return False


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """What to do in each step: skip ``skip_first``, then in turns wait, warm up and record as many steps as given.

    Args:
        repeat: how many turns; 0 goes on.
        skip_first_wait: whether the first turn does not wait.

    Example:
        >>> [profiler.schedule(wait=1, warmup=0, active=1)(step).name for step in range(3)]
        ['NONE', 'RECORD_AND_SAVE', 'NONE']
    """
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError("Invalid profiler schedule arguments")
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        turn, at = divmod(step, wait + warmup + active)
        if (repeat > 0 and turn >= repeat) or at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if at == wait + warmup + active - 1 else ProfilerAction.RECORD

    return action


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """An ``on_trace_ready`` that writes ``dir_name/worker.time.pt.trace.json``, which TensorBoard's plugin shows."""

    def write(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, name))

    return write


class profile:
    """A block, or what is between ``start()`` and ``stop()``, whose operations are timed.

    Args:
        activities: only ``ProfilerActivity.CPU`` is measured; others warn.
        schedule: from the number of a step (see :meth:`step`) to what is done in it; without it, all is recorded.
        on_trace_ready: called with the profile each time a record is complete.
        record_shapes: keep the shapes of arguments.
        profile_memory: show the bytes that calls took, less those that they gave back.
        acc_events: keep the events of all turns of the schedule, not of the last only.

    ``with_stack``, ``with_flops``, ``with_modules`` and ``experimental_config`` are accepted for PyTorch's sake, and
    not measured.

    Example:
        >>> with profiler.profile() as prof:
        ...     _ = ones(3).exp()
        >>> print(prof.key_averages().table(sort_by="cpu_time_total"))  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[..., Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self.activities = set(activities) if activities is not None else supported_activities()
        for other in sorted(self.activities - supported_activities(), key=lambda activity: activity.value):
            warnings.warn(f"{other.name} is not available, disabling {other.name} profiling", stacklevel=2)
        self.activities &= supported_activities()
        if not self.activities:
            raise AssertionError("No valid profiler activities found")
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.record_steps = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.with_stack, self.with_flops, self.with_modules = with_stack, with_flops, with_modules
        self.acc_events = acc_events
        self.step_num = 0
        self.current_action = self.schedule(0)
        self._recording = False
        self._taken: _profiler.EventList | None = None
        self._step: record_function | None = None

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin the first step."""
        self._begin()

    def stop(self) -> None:
        """End the last step."""
        self._end()
        if self._recording:
            self._finish()

    def step(self) -> None:
        """Say that the next step begins."""
        self._end()
        before = self.current_action
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)
        keep = self.current_action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        if self._recording and (before is ProfilerAction.RECORD_AND_SAVE or not keep):
            self._finish()
        self._begin()

    def _begin(self) -> None:
        if not self._recording and self.current_action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            _profiler._start(self.record_shapes)
            self._recording = True
        if self.record_steps:
            self._step = record_function(f"ProfilerStep#{self.step_num}")
            self._step.__enter__()

    def _end(self) -> None:
        if self._step is not None:
            self._step.__exit__()
            self._step = None

    def _finish(self) -> None:
        events = _profiler._stop(self.profile_memory)
        self._recording = False
        if self.acc_events and self._taken is not None:
            events[:0] = self._taken
        self._taken = events
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def events(self) -> _profiler.EventList:
        """The calls of the last record.

        Raises:
            AssertionError: nothing was recorded yet.
        """
        if self._taken is None:
            raise AssertionError("Profiler must be initialized before getting events\nnothing was recorded yet")
        return self._taken

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **kwargs: Any) -> Any:
        """The calls of each name together; see :meth:`autograd.profiler.EventList.key_averages`."""
        return self.events().key_averages(group_by_input_shape)

    def export_chrome_trace(self, path: str) -> None:
        """Write the calls as JSON for chrome://tracing or https://ui.perfetto.dev; compressed if it ends in .gz."""
        if not str(path).endswith(".gz"):
            self.events().export_chrome_trace(path)
            return
        import gzip

        with tempfile.TemporaryDirectory() as folder:
            plain = os.path.join(folder, "trace.json")
            self.events().export_chrome_trace(plain)
            with open(plain, "rb") as source, gzip.open(path, "wb") as file:
                file.write(source.read())

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Raises: stacks are not kept.

        Raises:
            AssertionError: ``with_stack`` was not set.
            NotImplementedError: it was.
        """
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        raise NotImplementedError("export_stacks(): Python stacks are not measured")

    def add_metadata(self, key: str, value: str) -> None:
        """Raises NotImplementedError: traces hold events only."""
        raise NotImplementedError("add_metadata(): traces hold events only")

    add_metadata_json = add_metadata
