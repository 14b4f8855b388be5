"""Calls of other processes, references, and backward through them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bulssi
import bulssi.multiprocessing as mp
from bulssi.distributed import autograd as dist_autograd
from bulssi.distributed import rpc
from bulssi.distributed.nn import RemoteModule
from bulssi.distributed.optim import DistributedOptimizer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside threads


def _member(rank: int, size: int, method: str, body: Callable[..., None]) -> None:
    options = rpc.TensorPipeRpcBackendOptions(init_method=method, rpc_timeout=30)
    rpc.init_rpc(f"worker{rank}", rank=rank, world_size=size, rpc_backend_options=options)
    if rank == 0:
        body()
    rpc.shutdown()


def together(body: Callable[..., None], size: int, tmp_path: Path) -> None:
    """Run body() in process 0 of that many."""
    mp.start_processes(_member, (size, f"file://{tmp_path}/meet", body), nprocs=size, start_method="fork")


def add(a: Any, b: Any = 1) -> Any:
    return a + b


def fail() -> None:
    raise KeyError("mine")


def where() -> str:
    return rpc.get_worker_info().name


def slow() -> None:
    time.sleep(1)


def chained(to: str, x: Any) -> Any:
    return rpc.rpc_sync(to, add, (x,)) * 2


@rpc.functions.async_execution
def later(to: str, x: Any) -> Any:
    return rpc.rpc_async(to, add, (x,)).then(lambda done: done.wait() + 100)


class Counter:
    def __init__(self, start: int) -> None:
        self.n = start
        self.lock = threading.Lock()

    def add(self, k: int = 1) -> int:
        with self.lock:
            self.n += k
            return self.n

    @rpc.functions.async_execution
    def later(self) -> Any:
        return rpc.rpc_async("worker0", add, (self.n,))


def through(reference: Any, k: int) -> int:
    return reference.rpc_sync().add(k)


def value_of(reference: Any) -> Any:
    return reference.to_here().n


def kept() -> int:
    from bulssi.distributed.rpc.api import _agent

    return len(_agent().values)


def _calls() -> None:
    assert rpc.rpc_sync("worker1", where) == "worker1" and rpc.rpc_sync(0, where) == "worker0"
    assert rpc.get_worker_info() == rpc.WorkerInfo("worker0", 0) and rpc.get_worker_info("worker2").id == 2
    x = bulssi.arange(6.0).reshape(2, 3)
    assert rpc.rpc_sync("worker1", bulssi.add, (x, 1)).equal(x + 1)
    assert rpc.rpc_sync("worker1", add, args=(x,), kwargs={"b": x}).equal(2 * x)
    futures = [rpc.rpc_async(f"worker{i % 3}", add, (i,)) for i in range(50)]
    assert bulssi.futures.wait_all(futures) == list(range(1, 51))
    assert rpc.rpc_sync("worker1", chained, ("worker2", 3)) == 8
    assert rpc.rpc_sync("worker1", later, ("worker2", 3)) == 104
    with pytest.raises(KeyError, match=r"On WorkerInfo\(id=1, name=worker1\)"):
        rpc.rpc_sync("worker1", fail)
    with pytest.raises(KeyError):
        rpc.remote("worker1", fail).to_here()
    with pytest.raises(RuntimeError, match=r"RPC ran for more than set timeout \(100 ms\)"):
        rpc.rpc_sync("worker1", slow, timeout=0.1)
    with pytest.raises(RuntimeError, match=r"RPC ran for more than set timeout \(100 ms\)"):
        rpc.rpc_async("worker1", slow, timeout=0.1).wait()
    with pytest.raises(RuntimeError, match="Unknown destination worker nobody"):
        rpc.rpc_sync("nobody", where)
    with pytest.raises(RuntimeError, match="already initialized"):
        rpc.init_rpc("again")
    with pytest.raises(Exception, match="pickle|Can't get|local object"):
        rpc.rpc_sync("worker1", lambda: 1)


def _references() -> None:
    here = rpc.RRef(Counter(5))
    assert here.is_owner() and here.local_value().n == 5 and rpc.rpc_sync("worker1", through, (here, 2)) == 7
    there = rpc.remote("worker1", Counter, (10,))
    assert there.owner_name() == "worker1" and not there.is_owner() and there.confirmed_by_owner()
    assert there.rpc_sync().add(5) == 15 and there.rpc_async().add().wait() == 16
    assert there.remote().add().to_here() == 17 and there.rpc_sync().later() == 18
    assert rpc.rpc_sync("worker2", through, (there, 3)) == 20 and rpc.rpc_sync("worker1", through, (there, 1)) == 21
    with pytest.raises(RuntimeError, match="can't call localValue"):
        there.local_value()
    with pytest.raises(RuntimeError, match="rref can only be pickled when using RPC"):
        import pickle

        pickle.dumps(there)
    references = [rpc.remote("worker2", Counter, (i,)) for i in range(5)]
    assert [r.to_here(timeout=20).lock is not None for r in []] == []
    assert [r.rpc_sync().add(0) for r in references] == list(range(5))
    del references
    end = time.monotonic() + 20
    while rpc.rpc_sync("worker2", kept) and time.monotonic() < end:
        time.sleep(0.02)
    assert rpc.rpc_sync("worker2", kept) == 0 and rpc.rpc_sync("worker1", kept) == 1


class Part(bulssi.nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        bulssi.manual_seed(seed)
        self.lin = bulssi.nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        return self.lin(x).tanh()

    def parameter_references(self) -> list[Any]:
        return [rpc.RRef(p) for p in self.parameters()]

    def gradient(self, context: int) -> Any:
        return dist_autograd.get_gradients(context)[self.lin.weight]

    def weight(self) -> Any:
        return self.lin.weight


def _gradients() -> None:
    far, farther = rpc.remote("worker1", Part, (1,)), rpc.remote("worker2", Part, (2,))
    near = bulssi.nn.Linear(3, 3)
    x = bulssi.randn(4, 3)
    parts = [Part(1), Part(2)]
    # The same in one process: worker1, here, worker2, here, and worker1 once more.
    h = parts[0](x)
    loss = (parts[0](parts[1](near(h))) ** 2).sum()
    loss.backward()
    parameters = [rpc.RRef(p) for p in near.parameters()]
    parameters += far.rpc_sync().parameter_references() + farther.rpc_sync().parameter_references()
    optimizer = DistributedOptimizer(bulssi.optim.SGD, parameters, lr=0.1)
    with dist_autograd.context() as context:
        h = far.rpc_sync().forward(x)
        out = far.rpc_sync().forward(farther.rpc_sync().forward(near(h)))
        again = (out**2).sum()
        assert bulssi.allclose(again, loss)
        dist_autograd.backward(context, [again])
        mine = dist_autograd.get_gradients(context)
        assert bulssi.allclose(mine[near.weight], near.weight.grad, atol=1e-6)
        for reference, part in ((far, parts[0]), (farther, parts[1])):
            assert bulssi.allclose(reference.rpc_sync().gradient(context), part.lin.weight.grad, atol=1e-6)
        optimizer.step(context)
        with pytest.raises(RuntimeError, match="Already have an autograd context"), dist_autograd.context():
            pass
        with pytest.raises(RuntimeError, match="scalar outputs"):
            dist_autograd.backward(context, [out])
        with pytest.raises(RuntimeError, match="requires_grad not set on root"):
            dist_autograd.backward(context, [bulssi.ones(1)])
    expected = parts[0].lin.weight - 0.1 * parts[0].lin.weight.grad
    assert bulssi.allclose(far.rpc_sync().weight(), expected, atol=1e-6)
    with pytest.raises(RuntimeError, match="Could not find autograd context"):
        dist_autograd.get_gradients(context)
    assert not rpc.rpc_sync("worker1", add, (near(x),)).requires_grad


@pytest.mark.parametrize("body", [_calls, _references, _gradients])
def test_together(body: Any, tmp_path: Path) -> None:
    together(body, 3, tmp_path)


def test_without_init_it_says_so() -> None:
    for call in (lambda: rpc.rpc_sync("x", add, (1,)), rpc.shutdown, lambda: rpc.RRef(1), rpc.get_worker_info):
        with pytest.raises(
            RuntimeError, match="RPC has not been initialized. Call torch.distributed.rpc.init_rpc first."
        ):
            call()


def _dies(rank: int, method: str) -> None:
    import os

    options = rpc.TensorPipeRpcBackendOptions(init_method=method)
    rpc.init_rpc(f"worker{rank}", rank=rank, world_size=2, rpc_backend_options=options)
    if rank == 0:
        with pytest.raises(RuntimeError, match="Connection closed by peer: process 1"):
            rpc.rpc_sync("worker1", os._exit, (1,))
        rpc.shutdown(graceful=False)
    else:
        time.sleep(60)


def test_a_death_is_told_to_callers(tmp_path: Path) -> None:
    context = mp.start_processes(_dies, (f"file://{tmp_path}/meet",), nprocs=2, join=False, start_method="fork")
    assert context is not None
    for process in context.processes:
        process.join(timeout=60)
    assert [process.exitcode for process in context.processes] == [0, 1]


def _modules() -> None:
    x = bulssi.ones(3, 4, requires_grad=True)
    layer = RemoteModule("worker1/cpu", bulssi.nn.Linear, (4, 2), {"bias": False})
    weight = layer.remote_parameters()[0]
    w = weight.to_here()
    assert weight.owner_name() == "worker1" and layer(x).allclose(x @ w.t())
    assert layer.forward_async(x).wait().allclose(x @ w.t()) and layer.on == "worker1" and layer.device == "cpu"
    same = RemoteModule.init_from_module_rref("rank:1/cpu", layer.get_module_rref())
    assert same(x).allclose(layer(x))
    with dist_autograd.context() as number:
        dist_autograd.backward(number, [layer(x).sum()])
        assert dist_autograd.get_gradients(number)[x].allclose(w.sum(0).expand(3, 4))
        optimizer = DistributedOptimizer(bulssi.optim.SGD, layer.remote_parameters(), lr=0.5)
        optimizer.step(number)
    assert weight.to_here().allclose(w - 1.5)
    for name in ("parameters", "state_dict", "to", "train", "zero_grad"):
        with pytest.raises(ValueError, match=f"Method ``{name}`` not supported for RemoteModule"):
            getattr(layer, name)()
    with pytest.raises(ValueError, match="Could not parse remote_device: worker1/cpu/3"):
        RemoteModule("worker1/cpu/3", bulssi.nn.Linear)
    with pytest.raises(ValueError, match="tensors are on the CPU"):
        RemoteModule("worker1/cuda:0", bulssi.nn.Linear)
    with pytest.raises(ValueError, match="returns an instance of <class nn.Module>"):
        RemoteModule("worker1", Counter, (1,))(x)  # pyright: ignore
    assert rpc.RpcBackendOptions.init_method == "env://"


def test_modules_in_other_processes(tmp_path: Path) -> None:
    together(_modules, 2, tmp_path)
