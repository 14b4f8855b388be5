"""Results that arrive later: `Future`, and waiting for several."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")
S = TypeVar("S")


class Future(Generic[T]):
    """A result, or an exception, that another thread sets.

    Args:
        devices: accepted for PyTorch's sake; results on the CPU are there when they are set.

    Example:
        >>> future = futures.Future()
        >>> double = future.then(lambda done: done.wait() * 2)
        >>> future.set_result(21)
        >>> double.wait()
        42
    """

    def __init__(self, *, devices: list[Any] | None = None) -> None:
        self._arrived = threading.Condition()
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], None]] = []

    def done(self) -> bool:
        """Whether the result, or an exception, is there."""
        return self._done

    def wait(self) -> T:
        """The result, once it is there; an exception is raised."""
        with self._arrived:
            while not self._done:
                self._arrived.wait()
        return self.value()

    def value(self) -> T:
        """The result, which must be there; an exception is raised.

        Raises:
            RuntimeError: nothing is there yet.
        """
        if not self._done:
            raise RuntimeError("Future has not completed yet: wait() for it")
        if self._error is not None:
            raise self._error
        return self._result

    def then(self, callback: Callable[[Future[T]], S]) -> Future[S]:
        """A future of what ``callback(self)`` returns, or raises; it is called once this one is done."""
        after: Future[S] = Future()

        def run(done: Future[T]) -> None:
            try:
                result = callback(done)
            except BaseException as error:
                after._finish(None, error)
            else:
                after._finish(result, None)

        self._when_done(run)
        return after

    def add_done_callback(self, callback: Callable[[Future[T]], None]) -> None:
        """Call ``callback(self)`` once it is done; an exception in it is printed and goes no further."""

        def run(done: Future[T]) -> None:
            try:
                callback(done)
            except Exception:
                import traceback

                traceback.print_exc()

        self._when_done(run)

    def _when_done(self, run: Callable[[Future[T]], None]) -> None:
        with self._arrived:
            if not self._done:
                self._callbacks.append(run)
                return
        run(self)

    def set_result(self, result: T) -> None:
        """Set the result and call back whoever waits.

        Raises:
            RuntimeError: the future is done already.
        """
        self._finish(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Set an exception, which ``wait()`` raises.

        Raises:
            AssertionError: it is no exception.
        """
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._finish(None, result)

    def _finish(self, result: Any, error: BaseException | None) -> None:
        with self._arrived:
            if self._done:
                raise RuntimeError("Future can only be marked completed once")
            self._result, self._error, self._done = result, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._arrived.notify_all()
        for callback in callbacks:
            callback(self)


def collect_all(futures: list[Future[Any]]) -> Future[list[Future[Any]]]:
    """A future of the given ones, done when all are; exceptions in them stay in them."""
    everything: Future[list[Future[Any]]] = Future()
    left = len(futures)
    lock = threading.Lock()
    if not left:
        everything.set_result([])

    def one_more(_: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            everything.set_result(futures)

    for future in futures:
        future._when_done(one_more)
    return everything


def wait_all(futures: list[Future[Any]]) -> list[Any]:
    """The results of all, once they are there; the first exception is raised."""
    return [future.wait() for future in collect_all(futures).wait()]
