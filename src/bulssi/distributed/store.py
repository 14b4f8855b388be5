"""Stores: small values by name that processes share, in order to find each other."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from datetime import timedelta
from typing import Any

__all__ = [
    "DistError",
    "DistNetworkError",
    "DistStoreError",
    "FileStore",
    "HashStore",
    "PrefixStore",
    "Store",
    "TCPStore",
]

DEFAULT_TIMEOUT = timedelta(seconds=300)


class DistError(RuntimeError):
    """Something went wrong between processes."""


class DistNetworkError(DistError):
    """An address cannot be reached, or a connection ended."""


class DistStoreError(DistError):
    """A value did not appear in time."""


def seconds(timeout: timedelta | float | None, default: timedelta = DEFAULT_TIMEOUT) -> float:
    """A timeout in seconds."""
    if timeout is None:
        timeout = default
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)


class Store:
    """Values (bytes) by name (str). What a store is on, its subclasses say.

    ``get`` and ``wait`` wait until a name is set, at most :attr:`timeout`.
    """

    def __init__(self) -> None:
        self._timeout = DEFAULT_TIMEOUT

    @property
    def timeout(self) -> timedelta:
        """How long to wait for a value."""
        return self._timeout

    def set_timeout(self, timeout: timedelta) -> None:
        """Set how long to wait for a value."""
        self._timeout = timeout

    # What subclasses do: each step is one transaction.

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        raise NotImplementedError

    def _poll(self, keys: list[str], limit: float) -> bool:
        """Wait until all are set; False when the time is over."""
        end = time.monotonic() + limit
        pause = 0.001
        while not self.check(keys):
            if time.monotonic() > end:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        return True

    # What programs call.

    def set(self, key: str, value: str | bytes) -> None:
        """Set a value."""
        self._do("set", key, _bytes(value))

    def get(self, key: str) -> bytes:
        """A value, once it is set.

        Raises:
            DistStoreError: it was not in time.
        """
        self.wait([key])
        found = self._do("get", key)
        if found is None:
            raise DistStoreError(f"the key {key} was deleted meanwhile")
        return found

    def add(self, key: str, amount: int) -> int:
        """Add to a number, which starts at 0; returns it."""
        return int(self._do("add", key, str(int(amount)).encode()) or b"0")

    def append(self, key: str, value: str | bytes) -> None:
        """Add to the end of a value."""
        self._do("append", key, _bytes(value))

    def compare_set(self, key: str, expected_value: str, desired_value: str) -> bytes:
        """Set a value if it is the expected one, or not set and the expected one is empty; returns what it is then."""
        return self._do("compare_set", key, _bytes(expected_value), _bytes(desired_value)) or b""

    def check(self, keys: list[str]) -> bool:
        """Whether all are set."""
        return all(self._do("has", key) == b"1" for key in keys)

    def wait(self, keys: list[str], timeout: timedelta | None = None) -> None:
        """Wait until all are set.

        Raises:
            DistStoreError: they were not in time.
        """
        limit = seconds(timeout, self._timeout)
        if not self._poll(keys, limit):
            raise DistStoreError(f"wait timeout after {round(limit * 1000)}ms, keys: /{', /'.join(keys)}")

    def delete_key(self, key: str) -> bool:
        """Forget a value; whether it was set."""
        return self._do("delete", key) == b"1"

    def num_keys(self) -> int:
        """How many names are set."""
        return int(self._do("count", "") or b"0")

    def multi_get(self, keys: list[str]) -> list[bytes]:
        """Several values."""
        return [self.get(key) for key in keys]

    def multi_set(self, keys: list[str], values: list[str]) -> None:
        """Set several values."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _apply(data: dict[str, bytes], command: str, key: str, values: list[bytes]) -> bytes | None:
    """What a command does to the values, and what it answers."""
    if command == "set":
        data[key] = values[0]
        return b""
    if command == "get":
        return data.get(key)
    if command == "has":
        return b"1" if key in data else b"0"
    if command == "add":
        data[key] = str(int(data.get(key, b"0")) + int(values[0])).encode()
        return data[key]
    if command == "append":
        data[key] = data.get(key, b"") + values[0]
        return b""
    if command == "delete":
        return b"0" if data.pop(key, None) is None else b"1"
    if command == "count":
        return str(len(data)).encode()
    if command == "compare_set":
        if data.get(key, b"") == values[0]:
            data[key] = values[1]
        return data.get(key, values[0])
    raise ValueError(f"a store has no command {command!r}")


class HashStore(Store):
    """A store of this process, for its threads."""

    def __init__(self) -> None:
        super().__init__()
        self._data: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        with self._lock:
            return _apply(self._data, command, key, list(values))


class PrefixStore(Store):
    """Another store, with something in front of every name."""

    def __init__(self, prefix: str, store: Store) -> None:
        super().__init__()
        self.prefix, self.underlying_store = prefix, store
        self._timeout = store.timeout

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        return self.underlying_store._do(command, f"{self.prefix}/{key}", *values)


class FileStore(Store):
    """A store in a file that all processes can write to, on this machine or a shared file system with locks.

    Args:
        file_name: the file; it should not be left from an earlier run.
        world_size: how many processes use it; the last that is collected removes the file. Without it, it stays.
    """

    def __init__(self, file_name: str, world_size: int = -1) -> None:
        super().__init__()
        self.path = file_name
        self._world_size = world_size
        self.add("_users", 1)

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        import fcntl

        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            content = file.read()
            data = {k: v.encode("latin1") for k, v in json.loads(content).items()} if content else {}
            before = dict(data)
            answer = _apply(data, command, key, list(values))
            if data != before:
                file.seek(0)
                file.write(json.dumps({k: v.decode("latin1") for k, v in data.items()}).encode())
                file.truncate()
        return answer

    def close(self) -> None:
        """Remove the file, if all have closed it."""
        if self._world_size > 0 and os.path.exists(self.path) and self.add("_closed", 1) >= self._world_size:
            os.remove(self.path)


# ---- over a network --------------------------------------------------------------------------------------------------


def send_parts(connection: socket.socket, parts: list[bytes]) -> None:
    """Send a list of bytes."""
    head = struct.pack(f"!I{len(parts)}I", len(parts), *map(len, parts))
    connection.sendall(head + b"".join(parts))


def receive_parts(connection: socket.socket) -> list[bytes]:
    """Receive a list of bytes; raises ConnectionError at the end of the connection."""
    (count,) = struct.unpack("!I", receive_exactly(connection, 4))
    sizes = struct.unpack(f"!{count}I", receive_exactly(connection, 4 * count))
    return [bytes(receive_exactly(connection, size)) for size in sizes]


def receive_exactly(connection: socket.socket, size: int) -> bytearray:
    """Receive that many bytes; raises ConnectionError at the end of the connection."""
    data = bytearray(size)
    view = memoryview(data)
    got = 0
    while got < size:
        n = connection.recv_into(view[got:])
        if n == 0:
            raise ConnectionError("the other side has closed the connection")
        got += n
    return data


class _Server:
    """Holds the values for all processes: a thread for each connection."""

    _here: dict[int, _Server] = {}

    def __init__(self, host: str, port: int) -> None:
        try:
            self._socket = socket.create_server((host, port), backlog=1024)
        except OSError as error:
            raise DistNetworkError(
                f"The server socket has failed to listen on any local network address. port: {port}, error: {error}"
            ) from error
        self.port = self._socket.getsockname()[1]
        self._users = 1
        self._data: dict[str, bytes] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True, name="store").start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True, name="store").start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while True:
                try:
                    command, key, *values = receive_parts(connection)
                    with self._lock:
                        answer = _apply(self._data, command.decode(), key.decode(), values)
                    send_parts(connection, [] if answer is None else [answer])
                except (OSError, ValueError):
                    return  # the client is gone

    @classmethod
    def at(cls, host: str, port: int) -> _Server:
        """The server of a port: that which this process has there already, for another purpose, or a new one."""
        known = cls._here.get(port)
        if known is not None:
            known._users += 1
            return known
        made = cls(host, port)
        cls._here[made.port] = made
        return made

    def close(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._here.pop(self.port, None)
            self._socket.close()


class TCPStore(Store):
    """A store that one process holds, and all reach over the network.

    Args:
        host_name, port: where the process that holds it listens; port 0 takes a free one.
        world_size: how many processes there will be; with ``wait_for_workers`` the constructor waits for all.
        is_master: whether this process holds it.
        timeout: how long to wait for the holder, and for values.

    Raises:
        DistNetworkError: the address is taken, or nobody answers there in time.
    """

    def __init__(
        self,
        host_name: str,
        port: int = 0,
        world_size: int | None = None,
        is_master: bool = False,
        timeout: timedelta = DEFAULT_TIMEOUT,
        wait_for_workers: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self._timeout = timeout
        local = host_name in ("localhost", "127.0.0.1", "::1")
        self._server = _Server.at("127.0.0.1" if local else "", port) if is_master else None
        self.host = host_name
        self.port = self._server.port if self._server is not None else port
        self._lock = threading.Lock()
        self._connection = self._connect(seconds(timeout))
        if wait_for_workers and world_size is not None and world_size > 0:
            self._meet(world_size)

    def _connect(self, limit: float) -> socket.socket:
        end = time.monotonic() + limit
        target = "127.0.0.1" if self.host in ("localhost", "::1") else self.host
        while True:
            try:
                connection = socket.create_connection((target, self.port), timeout=max(0.1, end - time.monotonic()))
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise DistNetworkError(
                        f"The client socket has timed out after {round(limit * 1000)}ms while trying to connect to "
                        f"({self.host}, {self.port})."
                    ) from error
                time.sleep(0.02)
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _meet(self, world_size: int) -> None:
        arrived = self.add("_workers", 1)
        if arrived == world_size:
            self.set("_all_here", "1")
        elif self._server is not None:
            self.wait(["_all_here"])

    @property
    def own_address(self) -> str:
        """The address of this machine, as the holder sees it."""
        return self._connection.getsockname()[0]

    def _do(self, command: str, key: str, *values: bytes) -> bytes | None:
        with self._lock:
            try:
                send_parts(self._connection, [command.encode(), key.encode(), *values])
                answer = receive_parts(self._connection)
            except OSError as error:
                raise DistNetworkError(
                    f"the store at {self.host}:{self.port} does not answer: the process that holds it has ended"
                ) from error
        return answer[0] if answer else None

    def close(self) -> None:
        """Leave the store; the process that holds it closes it."""
        connection, server = getattr(self, "_connection", None), getattr(self, "_server", None)
        if connection is not None:
            connection.close()
        if server is not None:
            self._server = None
            server.close()

    __del__ = close
