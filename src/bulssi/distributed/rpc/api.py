"""Calling functions in other processes."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bulssi.distributed import store as _store
from bulssi.distributed._mesh import Mesh
from bulssi.distributed.rendezvous import rendezvous
from bulssi.futures import Future

from ._agent import Agent, WorkerInfo

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
UNSET_RPC_TIMEOUT = -1.0
_agents: list[Agent] = []


class BackendType(enum.Enum):
    """How processes talk; TENSORPIPE is the name that programs know."""

    TENSORPIPE = "TENSORPIPE"


class RpcBackendOptions:
    """Settings of :func:`init_rpc`.

    Args:
        rpc_timeout: seconds that a call may take; 0 is forever.
        init_method: where to meet: see :func:`bulssi.distributed.rendezvous`.
        num_worker_threads: how many calls a process serves at a time.
    """

    rpc_timeout: float = 60.0
    init_method: str = "env://"
    num_worker_threads: int = 16

    def __init__(
        self, rpc_timeout: float = 60.0, init_method: str = "env://", num_worker_threads: int = 16, **kwargs: Any
    ) -> None:
        self.rpc_timeout, self.init_method, self.num_worker_threads = rpc_timeout, init_method, num_worker_threads


class TensorPipeRpcBackendOptions(RpcBackendOptions):
    """Settings under the name that programs know; device maps are for GPUs.

    Raises:
        ValueError: a map or list of devices is given.
    """

    def __init__(
        self,
        *,
        num_worker_threads: int = 16,
        rpc_timeout: float = 60.0,
        init_method: str = "env://",
        device_maps: Any = None,
        devices: Any = None,
        _transports: list[str] | None = None,
        _channels: list[str] | None = None,
    ) -> None:
        super().__init__(rpc_timeout, init_method, num_worker_threads)
        if device_maps or devices:
            raise ValueError("device_maps and devices are for GPUs, and there is none")
        self.device_maps: dict[str, Any] = {}
        self.devices: list[Any] = []


def _agent() -> Agent:
    if not _agents:
        raise RuntimeError("RPC has not been initialized. Call torch.distributed.rpc.init_rpc first.")
    return _agents[0]


def init_rpc(
    name: str,
    backend: BackendType | None = None,
    rank: int = -1,
    world_size: int | None = None,
    rpc_backend_options: RpcBackendOptions | None = None,
) -> None:
    """Meet the other processes, under a name. Every process calls this, with its own name and rank.

    Raises:
        RuntimeError: it was called already, or two have the same name.
        ValueError: a number is missing.
    """
    if _agents:
        raise RuntimeError("RPC is already initialized")
    options = rpc_backend_options or TensorPipeRpcBackendOptions()
    store, rank, size = rendezvous(options.init_method, rank, -1 if world_size is None else world_size)
    prefixed = _store.PrefixStore("rpc", store)
    mesh = Mesh(prefixed, rank, size, 300.0)
    prefixed.set(f"name/{rank}", name)
    names = [prefixed.get(f"name/{i}").decode() for i in range(size)]
    if len(set(names)) != size:
        mesh.close()
        raise RuntimeError(f"RPC worker name {name} is not unique. Workers are called {', '.join(names)}")
    agent = Agent(mesh, names, options.rpc_timeout, options.num_worker_threads)
    agent.store = store  # type: ignore[attr-defined]
    _agents.append(agent)
    agent._meet(-1)


def shutdown(graceful: bool = True, timeout: float = 0) -> None:
    """Leave. A graceful end waits until all processes have called this, and serves them until then.

    Raises:
        RuntimeError: :func:`init_rpc` was not called.
    """
    agent = _agent()
    try:
        agent.close(graceful)
    finally:
        _agents.clear()
        store: Any = getattr(agent, "store", None)
        if hasattr(store, "close"):
            try:
                store.close()
            except _store.DistError:
                return  # whoever holds the store has left before


def get_worker_info(worker_name: str | None = None) -> WorkerInfo:
    """A process by its name; this one without a name.

    Raises:
        RuntimeError: there is none of that name.
    """
    agent = _agent()
    if worker_name is None:
        return agent.workers[agent.rank]
    for worker in agent.workers:
        if worker.name == worker_name:
            return worker
    raise RuntimeError(f"Unknown destination worker {worker_name}\nthere are {[w.name for w in agent.workers]}")


def _number(to: Any) -> int:
    if isinstance(to, WorkerInfo):
        return to.id
    if isinstance(to, int):
        agent = _agent()
        if not 0 <= to < len(agent.workers):
            raise RuntimeError(f"Unknown destination worker {to}\nthere are {len(agent.workers)} workers")
        return to
    if isinstance(to, str):
        return get_worker_info(to).id
    raise ValueError(f"Cannot get WorkerInfo from name {to}")


def _check_function(func: Any) -> None:
    if not callable(func):
        raise TypeError("function should be callable.")


def rpc_async(
    to: Any, func: Callable[..., Any], args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT
) -> Future[Any]:
    """Call a function in another process; a future of its result.

    Args:
        to: the process: its name, number or :class:`WorkerInfo`.
        func: a function that can be pickled; it is run in a thread of that process.
        args, kwargs: its arguments; tensors are copied.
        timeout: seconds after which the future fails.
    """
    _check_function(func)
    agent = _agent()
    future = agent.call(_number(to), "call", func, tuple(args or ()), dict(kwargs or {}))
    if timeout > 0:
        _limit(future, timeout)
    return future


def _limit(future: Future[Any], timeout: float) -> None:
    import threading

    def late() -> None:
        if not future.done():
            message = (
                f"RPC ran for more than set timeout ({round(timeout * 1000)} ms) and will now be marked with an error"
            )
            try:
                future._finish(None, RuntimeError(message))
            except RuntimeError:
                return  # it came in the meantime

    timer = threading.Timer(timeout, late)
    timer.daemon = True
    timer.start()
    future.add_done_callback(lambda _: timer.cancel())


def rpc_sync(
    to: Any, func: Callable[..., Any], args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT
) -> Any:
    """Call a function in another process; its result.

    Raises:
        RuntimeError: it took longer than ``timeout`` seconds.
        whatever the function raises, with where it happened.
    """
    _check_function(func)
    agent = _agent()
    return agent.wait(agent.call(_number(to), "call", func, tuple(args or ()), dict(kwargs or {})), timeout)


def remote(
    to: Any, func: Callable[..., Any], args: Any = None, kwargs: Any = None, timeout: float = UNSET_RPC_TIMEOUT
) -> RRef[Any]:
    """Call a function in another process, which keeps the result; a reference to it."""
    _check_function(func)
    agent = _agent()
    owner = _number(to)
    key = agent.new_key()
    agent.call(owner, "remote", key, func, tuple(args or ()), dict(kwargs or {}))
    return RRef._referring(agent, owner, key)


class RRef(Generic[T]):
    """A reference to a value that a process keeps, which other processes can hold.

    ``RRef(value)`` keeps the value here; :func:`remote` makes one elsewhere. It can be sent in calls. The value is kept
    until nobody refers to it.
    """

    _owner: int
    _key: tuple[int, int]
    _held_by: Agent | None = None

    def __init__(self, value: T, type_hint: Any = None) -> None:
        agent = _agent()
        self._held_by, self._owner, self._key = agent, agent.rank, agent.keep(value)

    @classmethod
    def _referring(cls, agent: Agent, owner: int, key: tuple[int, int]) -> RRef[Any]:
        made = object.__new__(cls)
        made._held_by, made._owner, made._key = agent, owner, key
        return made

    def _described(self, agent: Agent, to: int) -> tuple[Any, ...]:
        """For pickle; see Note [References]."""
        if self._owner == agent.rank:
            agent._serve_count(self._key, 1)
        elif to != self._owner:
            agent.wait(agent.call(self._owner, "count", self._key, 1), None)
        return _received, (self._owner, self._key, to == self._owner != agent.rank)

    def __reduce__(self) -> Any:
        raise RuntimeError("Can not pickle rref in python pickler, rref can only be pickled when using RPC")

    def __del__(self) -> None:
        if self._held_by is not None:
            self._held_by.drop(self._owner, self._key)

    def __repr__(self) -> str:
        kind = "OwnerRRef" if self.is_owner() else "UserRRef"
        return f"{kind}(RRefId = GloballyUniqueId(created_on={self._key[0]}, local_id={self._key[1]}))"

    def is_owner(self) -> bool:
        """Whether this process keeps the value."""
        return self._owner == _agent().rank

    def owner(self) -> WorkerInfo:
        """Who keeps the value."""
        return _agent().workers[self._owner]

    def owner_name(self) -> str:
        """The name of who keeps the value."""
        return self.owner().name

    def confirmed_by_owner(self) -> bool:
        """Whether the owner has answered about it."""
        agent = _agent()
        return self.is_owner() or agent.wait(agent.call(self._owner, "ping"), None) is None

    def to_here(self, timeout: float = UNSET_RPC_TIMEOUT) -> T:
        """A copy of the value, or the value itself where it is kept."""
        agent = _agent()
        if self.is_owner():
            return agent.wait(agent.values[self._key], timeout)
        return agent.wait(agent.call(self._owner, "fetch", self._key), timeout)

    def local_value(self) -> T:
        """The value itself.

        Raises:
            RuntimeError: it is kept elsewhere.
        """
        agent = _agent()
        if not self.is_owner():
            raise RuntimeError(
                f"For {self!r}, can't call localValue() on user {agent.workers[agent.rank]}. Call it on "
                f"owner {self.owner()}"
            )
        return agent.wait(agent.values[self._key], 0)

    def rpc_sync(self, timeout: float = UNSET_RPC_TIMEOUT) -> Any:
        """``rref.rpc_sync().method(...)`` calls a method of the value where it is kept."""
        return _Methods(self, rpc_sync, timeout)

    def rpc_async(self, timeout: float = UNSET_RPC_TIMEOUT) -> Any:
        """As :meth:`rpc_sync`, for a future."""
        return _Methods(self, rpc_async, timeout)

    def remote(self, timeout: float = UNSET_RPC_TIMEOUT) -> Any:
        """As :meth:`rpc_sync`, for a reference to the result."""
        return _Methods(self, remote, timeout)

    def backward(self, dist_autograd_ctx_id: int = -1, retain_graph: bool = False) -> None:
        """Backward from the value, where it is kept: in an autograd context if its number is given."""
        rpc_sync(self._owner, _backward_here, (self, dist_autograd_ctx_id, retain_graph))


def _received(owner: int, key: tuple[int, int], count_here: bool) -> RRef[Any]:
    agent = _agent()
    if count_here:
        agent._serve_count(key, 1)
    return RRef._referring(agent, owner, key)


def _backward_here(rref: RRef[Any], context: int, retain_graph: bool) -> None:
    value = rref.local_value()
    if context == -1:
        value.backward(retain_graph=retain_graph)
        return
    from bulssi.distributed import autograd

    autograd.backward(context, [value], retain_graph=retain_graph)


def _call_method(rref: RRef[Any], name: str, args: Any, kwargs: Any) -> Any:
    """Run where the value is kept; a method that answers later is waited for."""
    method = getattr(rref.local_value(), name)
    result = method(*args, **kwargs)
    later = getattr(method, "_wrapped_async_rpc_function", None) is not None
    return result.wait() if later else result


class _Methods:
    """The methods of a value that is kept elsewhere."""

    def __init__(self, rref: RRef[Any], call: Callable[..., Any], timeout: float) -> None:
        self._rref, self._call, self._timeout = rref, call, timeout

    def __getattr__(self, name: str) -> Any:
        def method(*args: Any, **kwargs: Any) -> Any:
            return self._call(self._rref._owner, _call_method, (self._rref, name, args, kwargs), timeout=self._timeout)

        return method
