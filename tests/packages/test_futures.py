"""futures: results, exceptions, callbacks and waiting for several, in both libraries."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("library", [bulssi, torch])
def test_results_and_callbacks(library: Any) -> None:
    future = library.futures.Future()
    seen: list[Any] = []
    future.add_done_callback(lambda done: seen.append(done.value()))
    after = future.then(lambda done: done.wait() + 1).then(lambda done: done.wait() * 2)
    assert not future.done()
    thread = threading.Timer(0.05, lambda: future.set_result(20))
    thread.start()
    assert after.wait() == 42 and future.done() and future.value() == 20
    thread.join()
    assert seen == [20]
    with pytest.raises(RuntimeError):
        future.set_result(1)


@pytest.mark.parametrize("library", [bulssi, torch])
def test_exceptions(library: Any) -> None:
    future = library.futures.Future()
    after = future.then(lambda done: done.wait())
    future.set_exception(ValueError("no"))
    for one in (future, after):
        with pytest.raises((ValueError, RuntimeError), match="no"):
            one.wait()
    with pytest.raises(AssertionError, match="not an Exception"):
        library.futures.Future().set_exception(3)


@pytest.mark.parametrize("library", [bulssi, torch])
def test_several(library: Any) -> None:
    futures = [library.futures.Future() for _ in range(3)]
    everything = library.futures.collect_all(futures)
    for i, future in enumerate(futures):
        assert not everything.done()
        future.set_result(i)
    assert [future.wait() for future in everything.wait()] == [0, 1, 2]
    assert library.futures.wait_all(futures) == [0, 1, 2] and library.futures.collect_all([]).wait() == []
