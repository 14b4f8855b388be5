"""Connections between all processes, and messages that wait until somebody asks for them.

A thread reads from all connections, so that sending never waits for the receiver's program. A message has a key: the
group, what it belongs to, and the sender. When a process ends, its connections end, and whoever waits for it is told.
"""

from __future__ import annotations

import pickle
import secrets
import selectors
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from typing import Any

from .store import DistNetworkError, Store, receive_exactly

_HEAD = struct.Struct("!IQ")  # sizes of key and payload
_BYE = b"bye"  # in place of a key: the process leaves in order


class Pending:
    """A message that is waited for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.payload: bytearray = bytearray()
        self.sender = -1
        self.error: Exception | None = None


class Mesh:
    """Connections of the process ``rank`` to the other ``size - 1``.

    Raises:
        DistNetworkError: not all came in time.
    """

    def __init__(self, store: Store, rank: int, size: int, timeout: float) -> None:
        self.rank, self.size = rank, size
        self._lock = threading.Lock()
        self._arrived: dict[Any, deque[tuple[int, bytearray]]] = defaultdict(deque)
        self._waiting: dict[Any, deque[Pending]] = defaultdict(deque)
        self._gone: dict[int, str] = {}  # processes that have ended, and how
        self._peers: dict[int, socket.socket] = {}
        self._sending = [threading.Lock() for _ in range(size)]
        self._closed = False
        if size > 1:
            self._connect(store, timeout)
            self._wake_read, self._wake_write = socket.socketpair()
            self._thread = threading.Thread(target=self._read, daemon=True, name="distributed")
            self._thread.start()

    # ---- connecting: each process calls those with lower numbers

    def _connect(self, store: Store, timeout: float) -> None:
        address = getattr(store, "own_address", None) or getattr(
            getattr(store, "underlying_store", None), "own_address", "127.0.0.1"
        )
        end = time.monotonic() + timeout
        if self.rank == 0:
            store.set("token", secrets.token_hex(16))
        token = store.get("token")
        with socket.create_server((address, 0), backlog=self.size) as listener:
            port = listener.getsockname()[1]
            store.set(f"address/{self.rank}", f"{address}:{port}")
            for other in range(self.rank):
                host, _, at = store.get(f"address/{other}").decode().rpartition(":")
                connection = socket.create_connection((host, int(at)), timeout=max(0.1, end - time.monotonic()))
                connection.sendall(token + struct.pack("!I", self.rank))
                self._peers[other] = connection
            while len(self._peers) < self.size - 1:
                listener.settimeout(max(0.1, end - time.monotonic()))
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    missing = sorted(set(range(self.size)) - {self.rank, *self._peers})
                    raise DistNetworkError(
                        f"process {self.rank} waited {timeout:.0f} s for processes {missing}, which did not come"
                    ) from None
                self._greet(connection, token)
        for connection in self._peers.values():
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _greet(self, connection: socket.socket, token: bytes) -> None:
        connection.settimeout(10)
        try:
            greeting = bytes(receive_exactly(connection, len(token) + 4))
        except OSError:
            connection.close()
            return
        if greeting[:-4] != token:
            connection.close()  # a stranger
            return
        self._peers[struct.unpack("!I", greeting[-4:])[0]] = connection

    # ---- reading

    def _read(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ, -1)
            for peer, connection in self._peers.items():
                selector.register(connection, selectors.EVENT_READ, peer)
            while True:
                for event, _ in selector.select():
                    if event.data < 0:
                        return
                    if not self._read_one(event.data):
                        selector.unregister(event.fileobj)

    def _read_one(self, peer: int) -> bool:
        """One message; False when there will be no more."""
        connection = self._peers[peer]
        try:
            key_size, size = _HEAD.unpack(receive_exactly(connection, _HEAD.size))
            key = bytes(receive_exactly(connection, key_size))
            payload = receive_exactly(connection, size)
        except OSError:
            self._lose(peer, "its connection was lost: the process has died", all_fail=True)
            return False
        if key == _BYE:
            self._lose(peer, "it has left the group", all_fail=False)
            return False
        self._deliver(pickle.loads(key), peer, payload)
        return True

    def _deliver(self, key: Any, sender: int, payload: bytearray) -> None:
        with self._lock:
            for wanted in ((key, sender), (key, None)):
                if self._waiting.get(wanted):
                    pending = self._waiting[wanted].popleft()
                    if not self._waiting[wanted]:
                        del self._waiting[wanted]
                    break
            else:
                self._arrived[key].append((sender, payload))
                return
        pending.payload, pending.sender = payload, sender
        pending.done.set()

    def _lose(self, peer: int, how: str, all_fail: bool) -> None:
        """A process has ended: those who wait for it fail, or, if it died, everybody who waits."""
        with self._lock:
            if self._closed:
                return
            self._gone.setdefault(peer, how)
            failed = []
            for wanted in list(self._waiting):
                sender = wanted[1]
                if all_fail or sender == peer or (sender is None and len(self._gone) == self.size - 1):
                    failed += self._waiting.pop(wanted)
        for pending in failed:
            pending.error = self._error(peer)
            pending.done.set()

    def _error(self, peer: int) -> Exception:
        return DistNetworkError(
            f"Connection closed by peer: process {peer}: {self._gone.get(peer, 'this process has left the group')}"
        )

    # ---- messages

    def send(self, to: int, key: Any, payload: Any) -> None:
        """Send bytes to a process.

        Raises:
            DistNetworkError: it has ended.
        """
        head = pickle.dumps(key)
        view = memoryview(payload)
        try:
            with self._sending[to]:
                self._peers[to].sendall(_HEAD.pack(len(head), view.nbytes) + head)
                if view.nbytes:
                    self._peers[to].sendall(view)
        except OSError:
            with self._lock:
                self._gone.setdefault(to, "its connection was lost: the process has died")
            raise self._error(to) from None

    def post(self, sender: int | None, key: Any) -> Pending:
        """Ask for the next message with a key from a process, or from any."""
        pending = Pending()
        with self._lock:
            queue = self._arrived.get(key)
            for i, (who, payload) in enumerate(queue or ()):
                if sender is None or who == sender:
                    del queue[i]  # type: ignore[union-attr]
                    if not queue:
                        del self._arrived[key]
                    pending.payload, pending.sender = payload, who
                    pending.done.set()
                    return pending
            died = [peer for peer, how in self._gone.items() if "died" in how]
            lost = died or ([sender] if sender in self._gone else [])
            if lost or self._closed:
                pending.error = self._error(lost[0] if lost else self.rank)  # type: ignore[arg-type]
                pending.done.set()
                return pending
            self._waiting[key, sender].append(pending)
        return pending

    def take(self, pending: Pending, timeout: float) -> tuple[int, bytearray]:
        """The sender and the content of a message that was asked for.

        Raises:
            DistNetworkError: the sender has ended.
            RuntimeError: nothing came in time.
        """
        if not pending.done.wait(timeout):
            raise RuntimeError(f"Timed out waiting {round(timeout * 1000)}ms for recv operation to complete")
        if pending.error is not None:
            raise pending.error
        return pending.sender, pending.payload

    def close(self) -> None:
        """Say goodbye to all and close the connections."""
        with self._lock:
            if self._closed or self.size == 1:
                return
            self._closed = True
        for peer, connection in self._peers.items():
            try:
                with self._sending[peer]:
                    connection.sendall(_HEAD.pack(len(_BYE), 0) + _BYE)
            except OSError:
                continue  # it is gone itself
        self._wake_write.send(b"x")
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)
        for connection in (*self._peers.values(), self._wake_read, self._wake_write):
            connection.close()
        with self._lock:
            waiting = [pending for queue in self._waiting.values() for pending in queue]
            self._waiting.clear()
        for pending in waiting:
            pending.error = self._error(self.rank)
            pending.done.set()
