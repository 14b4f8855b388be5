"""How long operations take: calls of operations and of `nn.functional`, nodes of backward, and named ranges.

The core writes down the start and end of every call that Python makes of an operation, and of every node that backward
runs, while a profile is on; :class:`record_function` adds ranges. What an operation calls inside the core is part of
its own time. Times are of the wall clock.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

from bulssi import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "profile", "record_function"]

_ranges: list[tuple[str, int, int, int]] | None = None  # while a profile is on: name, start, end (ns), thread


class record_function:
    """A named range of a profile: a block, or a function decorated.

    Args:
        name: shown in tables and traces.
        args: shown beside it in PyTorch; here for its sake.

    Example:
        >>> with autograd.profiler.profile() as prof:
        ...     with autograd.profiler.record_function("mine"):
        ...         _ = ones(3).exp()
        >>> [event.name for event in prof.function_events]
        ['mine', 'aten::ones', 'aten::exp']
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args
        self._starts: list[int] = []

    def __enter__(self) -> record_function:
        self._starts.append(time.perf_counter_ns())
        return self

    def __exit__(self, *exc: object) -> None:
        start = self._starts.pop()
        if _ranges is not None:
            _ranges.append((self.name, start, time.perf_counter_ns(), threading.get_ident()))

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def ranged(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return ranged


# ---- events ----------------------------------------------------------------------------------------------------------


class Interval:
    """A span of time in microseconds."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        """Its length."""
        return self.end - self.start


class _Times:
    """Times as tables show them; all in microseconds."""

    count: int
    cpu_time_total: float
    self_cpu_time_total: float

    @property
    def cpu_time(self) -> float:
        """The mean time of one call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        """The mean time of one call, in the unit that fits."""
        return _time(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        """The time of all calls."""
        return _time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        """The time of all calls, without what they called."""
        return _time(self.self_cpu_time_total)

    # There is no other device whose time could pass.
    device_time = device_time_total = self_device_time_total = cuda_time = cuda_time_total = 0.0
    self_cuda_time_total = device_memory_usage = self_device_memory_usage = 0


class FunctionEvent(_Times):
    """One call, with those inside it as ``cpu_children``."""

    count = 1

    def __init__(
        self, id: int, name: str, thread: int, start_us: float, end_us: float, memory: int, shapes: Any, user: bool
    ) -> None:
        self.id, self.name, self.key, self.thread = id, name, name, thread
        self.time_range = Interval(start_us, end_us)
        self.cpu_memory_usage = memory
        self.input_shapes = shapes or []
        self.is_user_annotation = user
        self.cpu_parent: FunctionEvent | None = None
        self.cpu_children: list[FunctionEvent] = []

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        """Its time."""
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        """Its time without that of its children."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def self_cpu_memory_usage(self) -> int:
        """Bytes that it took, less those that it gave back and those of its children."""
        return self.cpu_memory_usage - sum(child.cpu_memory_usage for child in self.cpu_children)

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} "
            f"start_us={self.time_range.start:.3f} end_us={self.time_range.end:.3f} "
            f"cpu_children={[child.id for child in self.cpu_children]} thread={self.thread} "
            f"input_shapes={self.input_shapes} cpu_memory_usage={self.cpu_memory_usage}>"
        )


class FunctionEventAvg(_Times):
    """Calls of one name, or of one name and shapes, together."""

    def __init__(self, key: str = "Total", shapes: Any = None) -> None:
        self.key = key
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.input_shapes = shapes or ""
        self.is_user_annotation = False

    def add(self, other: FunctionEvent | FunctionEventAvg) -> FunctionEventAvg:
        """Count ``other`` in."""
        self.count += other.count
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.cpu_memory_usage += other.cpu_memory_usage
        self.self_cpu_memory_usage += other.self_cpu_memory_usage
        self.is_user_annotation = other.is_user_annotation
        return self

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str} input_shapes={self.input_shapes} "
            f"cpu_memory_usage={self.cpu_memory_usage}>"
        )


def _time(us: float) -> str:
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    return f"{us / 1e3:.3f}ms" if us >= 1e3 else f"{us:.3f}us"


def _memory(size: int) -> str:
    for power, unit in ((30, "GB"), (20, "MB"), (10, "KB")):
        if abs(size) >= 1 << power:
            return f"{size / (1 << power):.2f} {unit}"
    return f"{size} B"


class EventList(list):
    """Calls, or groups of them, with tables and traces of them."""

    def __init__(self, events: Iterable[Any] = (), profile_memory: bool = False) -> None:
        super().__init__(events)
        self._profile_memory = profile_memory

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all, each counted once; microseconds."""
        return sum(event.self_cpu_time_total for event in self)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **kwargs: Any) -> EventList:
        """The calls of each name together, or of each name and shapes of arguments."""
        groups: dict[Any, FunctionEventAvg] = {}
        for event in self:
            key = event.key, str(event.input_shapes) if group_by_input_shape else None
            if key not in groups:
                groups[key] = FunctionEventAvg(event.key, event.input_shapes if group_by_input_shape else None)
            groups[key].add(event)
        return EventList(groups.values(), self._profile_memory)

    def total_average(self) -> FunctionEventAvg:
        """All together."""
        total = FunctionEventAvg()
        for event in self:
            total.add(event)
        total.key = "Total"
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        **kwargs: Any,
    ) -> str:
        """A table of names, times, memory (if it was measured) and counts.

        Args:
            sort_by: the attribute that the rows are sorted by, the largest first, such as ``"cpu_time_total"``.
            row_limit: how many rows; -1 for all.
            max_name_column_width: longer names are cut.
            max_shapes_column_width: longer shapes are cut.
            header: a line above the table.
            top_level_events_only: only calls that no other made.

        Raises:
            AttributeError: there is nothing called ``sort_by``.
        """
        if not self:
            return ""
        events = list(self)
        if sort_by is not None:
            key = sort_by
            events.sort(key=lambda event: getattr(event, key), reverse=True)
        if top_level_events_only:
            events = [event for event in events if getattr(event, "cpu_parent", None) is None]
        shapes = any(event.input_shapes for event in events)
        columns = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]
        columns += ["CPU Mem", "Self CPU Mem"] if self._profile_memory else []
        columns += ["# of Calls"] + (["Input Shapes"] if shapes else [])
        total = self.self_cpu_time_total or 1.0
        rows = []
        for event in events if row_limit < 0 else events[:row_limit]:
            row = [_cut(event.key, max_name_column_width), f"{event.self_cpu_time_total / total * 100:.2f}%"]
            row += [event.self_cpu_time_total_str, f"{event.cpu_time_total / total * 100:.2f}%"]
            row += [event.cpu_time_total_str, event.cpu_time_str]
            if self._profile_memory:
                row += [_memory(event.cpu_memory_usage), _memory(event.self_cpu_memory_usage)]
            row.append(str(event.count))
            if shapes:
                row.append(_cut(str(event.input_shapes), max_shapes_column_width))
            rows.append(row)
        widths = [max(12, *(len(row[i]) for row in rows)) for i in range(len(columns))]
        widths[0] = max(len(row[0]) for row in rows) + 4
        line = "  ".join("-" * width for width in widths) + "  "
        lines = ["-" * len(line), header] if header else []
        lines += [line, *(_justified(row, widths) for row in [columns]), line]
        lines += [_justified(row, widths) for row in rows]
        lines += [line, f"Self CPU time total: {_time(self.self_cpu_time_total)}", ""]
        return "\n".join(lines)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the calls as a JSON file for chrome://tracing or https://ui.perfetto.dev."""
        pid = os.getpid()
        events = [
            {
                "ph": "X",
                "cat": "user_annotation" if event.is_user_annotation else "cpu_op",
                "name": event.name,
                "pid": pid,
                "tid": event.thread,
                "ts": event.time_range.start,
                "dur": event.cpu_time_total,
                "args": {"External id": event.id} | ({"Input Dims": event.input_shapes} if event.input_shapes else {}),
            }
            for event in self
        ]
        with open(path, "w") as file:
            json.dump({"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": events}, file)

    def __str__(self) -> str:
        return self.table()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _justified(row: list[str], widths: list[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + "  "


# ---- a profile -------------------------------------------------------------------------------------------------------


def _start(record_shapes: bool) -> None:
    global _ranges
    _core._profile_start(record_shapes)
    _ranges = []


def _stop(profile_memory: bool) -> EventList:
    """The events since `_start`, by their starts, each with its parent and children."""
    global _ranges
    calls: list[tuple[Any, ...]] = []
    for what, start, end, thread, memory, shapes in _core._profile_stop():
        name = what if isinstance(what, str) else f"aten::{what.__name__}"
        if name.startswith("aten::_record_function"):
            continue  # the range itself is there
        calls.append((start, -end, name, thread, memory, shapes, False))
    for name, start, end, thread in _ranges or ():
        calls.append((start, -end, name, thread, 0, None, True))
    _ranges = None
    calls.sort(key=lambda call: call[:2])
    first = calls[0][0] if calls else 0
    events = EventList(profile_memory=profile_memory)
    open_events: dict[int, list[FunctionEvent]] = {}
    for id, (start, minus_end, name, thread, memory, shapes, user) in enumerate(calls, 1):
        start_us, end_us = (start - first) / 1e3, (-minus_end - first) / 1e3
        shapes = [list(shape) for shape in shapes] if shapes is not None else None
        event = FunctionEvent(id, name, thread, start_us, end_us, memory, shapes, user)
        stack = open_events.setdefault(thread, [])
        while stack and stack[-1].time_range.end < event.time_range.end:
            stack.pop()
        if stack and stack[-1].name == name and name.startswith("aten::"):
            continue  # nn.functional's relu has called the core's: one call
        if stack:
            event.cpu_parent = stack[-1]
            stack[-1].cpu_children.append(event)
        stack.append(event)
        events.append(event)
    for event in reversed(events):  # ranges and nodes have the memory of what is inside them
        if event.is_user_annotation or not event.name.startswith("aten::"):
            event.cpu_memory_usage = sum(child.cpu_memory_usage for child in event.cpu_children)
    return events


class profile:
    """A block whose operations are timed.

    Args:
        enabled: False measures nothing.
        record_shapes: keep the shapes of arguments.
        profile_memory: show the bytes that calls took, less those that they gave back.

    Arguments about other devices, stacks, modules and floating-point operations are accepted for PyTorch's sake, and
    not measured.

    Attributes:
        function_events: the calls, an :class:`EventList`, once the block has ended.

    Raises:
        RuntimeError: on entering, if another profile is on.

    Example:
        >>> with autograd.profiler.profile() as prof:
        ...     _ = ones(3).exp()
        >>> prof.key_averages()[0].key
        'aten::ones'
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        **kwargs: Any,
    ) -> None:
        self.enabled, self.record_shapes, self.profile_memory = enabled, record_shapes, profile_memory
        self.function_events: EventList | None = None
        self.entered = False

    def __enter__(self) -> profile:
        if not self.enabled:
            return self
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        _start(self.record_shapes)
        self.entered = True
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled:
            self.function_events = _stop(self.profile_memory)

    def _events(self) -> EventList:
        if self.function_events is None:
            raise RuntimeError("Profiler didn't finish running")
        return self.function_events

    def table(self, sort_by: str | None = None, row_limit: int = 100, **kwargs: Any) -> str:
        """See :meth:`EventList.table`."""
        return self._events().table(sort_by, row_limit, **kwargs)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **kwargs: Any) -> EventList:
        """See :meth:`EventList.key_averages`."""
        return self._events().key_averages(group_by_input_shape)

    def total_average(self) -> FunctionEventAvg:
        """See :meth:`EventList.total_average`."""
        return self._events().total_average()

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """See :meth:`EventList.export_chrome_trace`."""
        self._events().export_chrome_trace(path)

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all calls; microseconds."""
        return self._events().self_cpu_time_total

    def __repr__(self) -> str:
        return repr(self.function_events) if self.function_events is None else str(self.function_events)

    __str__ = __repr__


def emit_nvtx(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: NVTX is a tool for GPUs."""
    raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")
