"""Timing of two statements against each other, and of the machine they run on."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from .row import Library, Row, Statement

BATCH_SECONDS = 5e-3  # long enough that the clock's resolution and one interrupt do not matter
SETTLE_SECONDS, MAX_SETTLES = 12e-3, 5  # longer than a tick of the scheduler, at which a busy thread's time is added up
MIN_ROUNDS, MAX_ROUNDS = 5, 61


def batch(statement: Statement, count: int) -> float:
    """Seconds that `count` calls take together."""
    calls = range(count)
    start = time.perf_counter()
    for _ in calls:
        statement()
    return time.perf_counter() - start


@cache
def call_overhead() -> float:
    """Seconds that the loop and the call of an empty statement take; both libraries' times are without it."""
    return min(batch(lambda: None, 10_000) for _ in range(20)) / 10_000


def calls_per_batch(statement: Statement) -> int:
    count = 1
    while (seconds := batch(statement, count)) < BATCH_SECONDS:
        count = max(count * 2, math.ceil(count * BATCH_SECONDS / max(seconds, 1e-9) * 0.7))
    return count


def settle() -> None:
    """Wait until no thread of this process is at work: an OpenMP pool spins for two to ten milliseconds after its last
    loop, depending on the machine's load, and would take a core from the other library."""
    for _ in range(MAX_SETTLES):
        before = time.process_time()
        time.sleep(SETTLE_SECONDS)
        if time.process_time() - before < SETTLE_SECONDS / 10:
            break


def warm_batch(statement: Statement, count: int) -> float:
    """A batch timed after the other library's threads have gone to sleep and one's own have woken up."""
    settle()
    batch(statement, max(1, count // 10))
    return batch(statement, count) / count - call_overhead()


def interleaved(statements: list[Statement], seconds: float) -> list[float]:
    """Median seconds per call of each statement, measured in turns so that drift of the machine meets all alike."""
    counts = [calls_per_batch(statement) for statement in statements]
    times: list[list[float]] = [[] for _ in statements]
    end = time.perf_counter() + seconds
    gc.collect()
    gc.disable()
    try:
        for done in range(MAX_ROUNDS):
            if done >= MIN_ROUNDS and time.perf_counter() > end:
                break
            order = range(len(statements)) if done % 2 == 0 else reversed(range(len(statements)))
            for which in order:
                times[which].append(warm_batch(statements[which], counts[which]))
    finally:
        gc.enable()
    return [max(statistics.median(samples), 1e-9) for samples in times]


@dataclass
class Outcome:
    """What a row measured. Seconds per call; `error` says why there are none, or that the results disagree."""

    row: Row
    oracle: float = math.nan
    candidate: float = math.nan
    floor: float = math.nan
    error: str = ""

    @property
    def ratio(self) -> float:
        return self.oracle / self.candidate


def arrays(result: Any) -> Iterable[Any]:
    """NumPy arrays of every tensor and number in a result."""
    import numpy

    if isinstance(result, (list, tuple)):
        for part in result:
            yield from arrays(part)
    elif hasattr(result, "detach"):
        yield result.detach().numpy()
    elif result is not None:
        yield numpy.asarray(result)


def disagreement(expected: Any, actual: Any) -> str:
    """Why two results are not the same, or an empty string; float32 rounding in another order is the same."""
    import numpy

    pairs = list(zip(arrays(expected), arrays(actual), strict=True))
    for expected_array, actual_array in pairs:
        if expected_array.shape != actual_array.shape or expected_array.dtype != actual_array.dtype:
            return (
                f"result is {actual_array.dtype}{list(actual_array.shape)}, "
                f"expected {expected_array.dtype}{list(expected_array.shape)}"
            )
        finite = expected_array[numpy.isfinite(expected_array)]
        scale = float(numpy.abs(finite).max()) if finite.size else 0.0
        # PyTorch's derivative of sinc is off by 4e-4 of the scale near 0.
        if not numpy.allclose(expected_array, actual_array, rtol=1e-3, atol=5e-4 * scale, equal_nan=True):
            worst = numpy.nanmax(numpy.abs(expected_array.astype(float) - actual_array.astype(float)))
            return f"results differ by up to {worst:.3g} (scale {scale:.3g})"
    return ""


def prepared(row: Row, lib: Library) -> tuple[Statement, Any]:
    """The statement of a row for one library, and its first result."""
    lib.manual_seed(0)
    statement = row.setup(lib)
    lib.manual_seed(1)
    return statement, statement()


def measure(row: Row, oracle: Library, candidate: Library, seconds: float) -> Outcome:
    """Run one row through both libraries. An exception of the candidate is an outcome; one of the oracle is a bug."""
    outcome = Outcome(row, floor=floor(row, oracle))
    expected_statement, expected = prepared(row, oracle)
    try:
        statement, actual = prepared(row, candidate)
        if row.compare:
            outcome.error = disagreement(expected, actual)
        outcome.oracle, outcome.candidate = interleaved([expected_statement, statement], seconds)
    except Exception as error:  # noqa: BLE001 - whatever the candidate lacks is reported beside the other rows
        outcome.error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return outcome


def floor(row: Row, lib: Library) -> float:
    """Seconds below which this machine cannot do the row's work: bytes over bandwidth or flops over peak."""
    seconds = max(
        row.bytes / bandwidth(lib, max(20, round(math.log2(row.bytes)))) if row.bytes else 0.0,
        row.flops / peak(lib) if row.flops else 0.0,
    )
    return seconds or math.nan


@cache
def bandwidth(lib: Library, log2_bytes: int) -> float:
    """Bytes per second of a copy that touches 2**log2_bytes bytes, at best: small ones stay in a cache."""
    elements = max(1, 2**log2_bytes // 8)
    source, target = lib.ones(elements), lib.zeros(elements)
    return 8 * elements / best(lambda: target.copy_(source))


@cache
def peak(lib: Library) -> float:
    """Floating-point operations per second of the best matrix product, float32."""
    best_rate = 0.0
    for n in (512, 1024, 2048):
        a, b, c = lib.ones(n, n), lib.ones(n, n), lib.zeros(n, n)
        best_rate = max(best_rate, 2 * n**3 / best(lambda a=a, b=b, c=c: lib.mm(a, b, out=c)))
    return best_rate


def best(statement: Statement, seconds: float = 0.15) -> float:
    """The shortest time of one call: for floors, where the machine at its best is the question."""
    count = calls_per_batch(statement)
    end = time.perf_counter() + seconds
    shortest = math.inf
    while time.perf_counter() < end:
        shortest = min(shortest, batch(statement, count) / count)
    return shortest
