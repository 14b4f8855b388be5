"""What a process does with calls from others: messages, the threads that serve them, and values kept for others.

All messages of a process come to one thread, in the order in which each sender sent them. It unpickles them, and gives
calls to a pool of threads. Values that others hold references to are counted (Note [References] below).

Note [References]
The owner of a value counts the references to it. One that is sent to the owner is counted when it is unpickled there;
one that is sent to somebody else is counted before it is sent: so the count cannot reach zero on the way, whatever
order messages of different senders arrive in. A reference that goes away sends "drop".
"""

from __future__ import annotations

import io
import itertools
import pickle
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import bulssi
from bulssi.futures import Future

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulssi.distributed._mesh import Mesh

_KEY = "rpc"


class WorkerInfo(NamedTuple):
    """A process that can be called."""

    name: str
    id: int

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, name={self.name})"


class Local(threading.local):
    """What a thread is doing: the autograd context it works for, and the message that it unpickles."""

    context: int | None = None
    incoming: dict[int, Any] | None = None


local = Local()


class _Pickler(pickle.Pickler):
    """Pickles a message to one process: tensors by value, references counted."""

    def __init__(self, file: io.BytesIO, agent: Agent, to: int) -> None:
        super().__init__(file, 5)
        self._agent, self._to = agent, to
        self.sent: list[Any] = []  # tensors whose gradients come back

    def reducer_override(self, obj: Any) -> Any:
        from .api import RRef

        if isinstance(obj, RRef):
            return obj._described(self._agent, self._to)
        if isinstance(obj, bulssi.Tensor) and (obj.requires_grad or type(obj) is not bulssi.Tensor):
            if local.context is not None and obj.requires_grad and bulssi.is_grad_enabled():
                self.sent.append(obj)
                return _entry, (len(self.sent) - 1, obj.detach())
            return _value, (obj.detach(),)
        return NotImplemented


def _value(tensor: Any) -> Any:
    return tensor


def _entry(index: int, tensor: Any) -> Any:
    """A tensor whose gradient goes back to the sender."""
    tensor.requires_grad_()
    if local.incoming is not None:
        local.incoming[index] = tensor
    return tensor


class Agent:
    """The part of a process that calls others and is called.

    Args:
        mesh: connections to all.
        names: of all processes, by number.
        timeout: seconds that a call may take.
        threads: how many calls are served at a time.
    """

    def __init__(self, mesh: Mesh, names: list[str], timeout: float, threads: int) -> None:
        self.mesh, self.rank, self.timeout = mesh, mesh.rank, timeout
        self.workers = [WorkerInfo(name, i) for i, name in enumerate(names)]
        self.handlers: dict[str, Callable[..., Any]] = {
            "call": self._serve_call,
            "remote": self._serve_remote,
            "fetch": self._serve_fetch,
            "count": self._serve_count,
            "ping": lambda: None,
        }
        self.values: dict[tuple[int, int], Future[Any]] = {}
        self._counts: dict[tuple[int, int], int] = {}
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._replies: dict[int, tuple[Future[Any], int]] = {}
        self._busy = 0
        self.contexts: dict[int, Any] = {}
        self.closing = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rpc")
        self._thread = threading.Thread(target=self._receive, daemon=True, name="rpc")
        self._thread.start()

    # ---- messages

    def _pack(self, to: int, head: tuple[Any, ...], content: Any) -> bytes:
        """A message; tensors in it are noted in the autograd context, if there is one."""
        file = io.BytesIO()
        pickler = _Pickler(file, self, to)
        pickler.dump(content)
        note = None
        if local.context is not None:
            number = (self.rank, next(self._numbers))
            note = local.context, number
            if pickler.sent:
                self.context(local.context).sent[number] = pickler.sent
        return pickle.dumps((*head, note, file.getvalue()))

    def _unpack(self, sender: int, note: Any, data: bytes) -> Any:
        local.incoming = {}
        try:
            content = pickle.loads(data)
            if note is not None and local.incoming:
                context, number = note
                self.context(context).receive(number, sender, local.incoming)
            return content
        finally:
            local.incoming = None

    def context(self, number: int) -> Any:
        """The autograd context of that number; made when it is first heard of."""
        from bulssi.distributed.autograd import _Context

        with self._lock:
            return self.contexts.setdefault(number, _Context(number))

    def _send(self, to: int, message: bytes) -> None:
        if to == self.rank:
            self._arrived(to, message)
        else:
            self.mesh.send(to, _KEY, message)

    def _receive(self) -> None:
        while True:
            try:
                sender, message = self.mesh.take(self.mesh.post(None, _KEY), 1e9)
            except RuntimeError as error:
                self._fail_all(error)
                return
            try:
                self._arrived(sender, bytes(message))
            except Exception as error:
                self._fail_all(error)
                raise

    def _fail_all(self, error: Exception) -> None:
        """A process has died: nobody knows what is lost with it."""
        with self._lock:
            waiting = [future for future, _ in self._replies.values()]
            self._replies.clear()
        for future in waiting:
            _finish(future, None, error)

    def _arrived(self, sender: int, message: bytes) -> None:
        kind, number, note, data = pickle.loads(message)
        try:
            content = self._unpack(sender, note, data)
        except Exception as error:
            if kind != "reply":
                self._answer(sender, number, None, error)
                return
            content = False, error
        if kind == "reply":
            with self._lock:
                future, _ = self._replies.pop(number, (None, 0))
            if future is not None:
                ok, value = content
                _finish(future, value if ok else None, None if ok else value)
        elif kind in ("count", "remote"):  # in the order in which they were sent
            self._serve(kind, sender, number, note, content)
        else:
            with self._lock:
                self._busy += 1
            self._pool.submit(self._serve_and_count, kind, sender, number, note, content)

    def _serve_and_count(self, *request: Any) -> None:
        try:
            self._serve(*request)
        finally:
            with self._lock:
                self._busy -= 1

    def _serve(self, kind: str, sender: int, number: int, note: Any, content: tuple[Any, ...]) -> None:
        local.context = note[0] if note is not None else None
        context = local.context
        try:
            result = self.handlers[kind](*content)
        except Exception as error:
            self._answer(sender, number, None, error)
            return
        finally:
            local.context = None
        if isinstance(result, _Later):
            result.future._when_done(lambda done: self._answer_later(done, sender, number, context))
        else:
            self._answer(sender, number, result, None, context)

    def _answer_later(self, done: Future[Any], sender: int, number: int, context: int | None) -> None:
        if done._error is not None:
            self._answer(sender, number, None, done._error)
        else:
            self._answer(sender, number, done._result, None, context)

    def _answer(
        self, to: int, number: int, result: Any, error: BaseException | None, context: int | None = None
    ) -> None:
        before, local.context = local.context, context
        message = b""
        try:
            if error is None:
                try:
                    message = self._pack(to, ("reply", number), (True, result))
                except Exception as problem:  # the result cannot be pickled
                    error = problem
            if error is not None:
                local.context = None
                message = self._pack(to, ("reply", number), (False, self._described(error)))
            self._send(to, message)
        except RuntimeError:
            return  # whoever asked is gone
        finally:
            local.context = before

    def _described(self, error: BaseException) -> BaseException:
        """An exception as the caller sees it: of the same type if that takes a message, with where it happened."""
        if getattr(error, "_described", False):
            return error
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        text = f"On {self.workers[self.rank]}:\n{error!r}\n{lines}"
        try:
            made = type(error)(text)
            pickle.loads(pickle.dumps(made))
        except Exception:
            made = RuntimeError(text)
        return made

    # ---- calling

    def call(self, to: int, kind: str, *content: Any) -> Future[Any]:
        """Send a request; a future of the answer."""
        number = next(self._numbers)
        future: Future[Any] = Future()
        message = self._pack(to, (kind, number), content)
        with self._lock:
            self._replies[number] = future, to
        try:
            self._send(to, message)
        except RuntimeError:
            with self._lock:
                self._replies.pop(number, None)
            raise
        return future

    def wait(self, future: Future[Any], timeout: float | None) -> Any:
        """The answer.

        Raises:
            RuntimeError: it did not come in time.
        """
        limit = self.timeout if timeout is None or timeout < 0 else timeout
        end = time.monotonic() + limit if limit > 0 else None
        with future._arrived:
            while not future._done:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise RuntimeError(
                        f"RPC ran for more than set timeout ({round(limit * 1000)} ms) and will now be marked with "
                        "an error"
                    )
                future._arrived.wait(left)
        return future.value()

    # ---- serving

    @staticmethod
    def _run(function: Any, args: Any, kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if getattr(function, "_wrapped_async_rpc_function", None) is not None:
            if not isinstance(result, Future):
                raise RuntimeError(
                    "Functions decorated with @rpc.async_function must return a torch.futures.Future object, but got "
                    f"{type(result)}"
                )
            return _Later(result)
        return result

    def _serve_call(self, function: Any, args: Any, kwargs: Any) -> Any:
        return self._run(function, args, kwargs)

    def _serve_remote(self, key: tuple[int, int], function: Any, args: Any, kwargs: Any) -> None:
        future: Future[Any] = Future()
        with self._lock:
            self.values[key] = future
            self._counts[key] = self._counts.get(key, 0) + 1
            self._busy += 1
        self._pool.submit(self._make, future, local.context, function, args, kwargs)

    def _make(self, future: Future[Any], context: int | None, function: Any, args: Any, kwargs: Any) -> None:
        local.context = context
        try:
            result = self._run(function, args, kwargs)
            if isinstance(result, _Later):
                result.future._when_done(lambda done: future._finish(done._result, done._error))
            else:
                future._finish(result, None)
        except Exception as error:
            future._finish(None, self._described(error))
        finally:
            local.context = None
            with self._lock:
                self._busy -= 1

    def _serve_fetch(self, key: tuple[int, int]) -> _Later:
        with self._lock:
            if key not in self.values:
                raise RuntimeError(f"the value of reference {key} is gone")
            return _Later(self.values[key])

    def _serve_count(self, key: tuple[int, int], change: int) -> None:
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + change
            dropped = self.values.pop(key, None) if self._counts[key] <= 0 else None
            if dropped is not None:
                del self._counts[key]

    def keep(self, value: Any) -> tuple[int, int]:
        """Keep a value for others; its key."""
        key = (self.rank, next(self._numbers))
        future: Future[Any] = Future()
        future.set_result(value)
        with self._lock:
            self.values[key] = future
            self._counts[key] = 1
        return key

    def new_key(self) -> tuple[int, int]:
        """A key for a value that another process will keep."""
        return self.rank, next(self._numbers)

    def drop(self, owner: int, key: tuple[int, int]) -> None:
        """A reference is gone."""
        if self.closing:
            return
        try:
            if owner == self.rank:
                self._serve_count(key, -1)
            else:
                self.call(owner, "count", key, -1)
        except (RuntimeError, TypeError):
            return  # the owner is gone, or the interpreter ends

    # ---- the end

    def _idle(self) -> None:
        """Wait until nothing is asked for or served here."""
        while True:
            with self._lock:
                if not self._replies and not self._busy:
                    return
            time.sleep(0.002)

    def _meet(self, step: int) -> None:
        others = [worker.id for worker in self.workers if worker.id != self.rank]
        pending = [self.mesh.post(other, ("rpc end", step)) for other in others]
        for other in others:
            self.mesh.send(other, ("rpc end", step), b"")
        for message in pending:
            self.mesh.take(message, 1e9)

    def close(self, graceful: bool) -> None:
        """Leave; if gracefully, when all have nothing left to do."""
        if graceful:
            for step in range(3):  # work that is done may have started other work
                self._idle()
                self._meet(step)
        self.closing = True
        self.mesh.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Later(NamedTuple):
    """A result that comes later."""

    future: Future[Any]


def _finish(future: Future[Any], value: Any, error: BaseException | None) -> None:
    """Complete a future, unless its time was over; what was put on it runs in a thread of its own, as it may wait."""

    def run() -> None:
        try:
            future._finish(value, error)
        except RuntimeError:
            if not future.done():
                raise

    if future._callbacks:
        threading.Thread(target=run, daemon=True).start()
    else:
        run()
