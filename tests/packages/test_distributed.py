"""Processes that work together: stores, collectives beside plain sums, DDP beside one process, and deaths."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import bulssi
import bulssi.distributed as dist
import bulssi.multiprocessing as mp
from bulssi.distributed.nn import functional as fn
from bulssi.nn.parallel import DistributedDataParallel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside threads


def _member(rank: int, size: int, method: str, body: Callable[..., None], args: tuple[Any, ...]) -> None:
    dist.init_process_group("gloo", init_method=method, rank=rank, world_size=size, timeout=timedelta(seconds=60))
    body(rank, size, *args)
    dist.destroy_process_group()


def together(body: Callable[..., None], size: int, tmp_path: Path, *args: Any) -> None:
    """Run body(rank, size, *args) in that many processes; failures in them are raised."""
    method = f"file://{tmp_path}/meet"
    mp.start_processes(_member, (size, method, body, args), nprocs=size, start_method="fork")


DTYPES = [bulssi.float32, bulssi.float64, bulssi.bfloat16, bulssi.int64, bulssi.uint8]


def _collectives(rank: int, size: int) -> None:
    everybody = range(size)
    for dtype in DTYPES:
        for shape in ((), (3,), (5, 7), (4000,), (0,)):
            x = bulssi.full(shape, rank + 1).to(dtype)
            total = x.clone()
            dist.all_reduce(total)
            assert total.equal(bulssi.full(shape, size * (size + 1) // 2).to(dtype))
            outputs = [bulssi.empty(shape, dtype=dtype) for _ in everybody]
            dist.all_gather(outputs, x)
            assert all(o.equal(bulssi.full(shape, r + 1).to(dtype)) for r, o in enumerate(outputs))
            y = x.clone()
            dist.broadcast(y, src=size - 1)
            assert y.equal(outputs[-1])
            y = x.clone()
            dist.reduce(y, dst=0)
            assert y.equal(total if rank == 0 else x)
            gathered = [bulssi.empty(shape, dtype=dtype) for _ in everybody] if rank == 1 else None
            dist.gather(x, gathered, dst=1)
            assert gathered is None or all(a.equal(b) for a, b in zip(gathered, outputs, strict=True))
            dist.scatter(y, outputs if rank == 0 else None, src=0)
            assert y.equal(x)
            dist.reduce_scatter(y, [x * 0 + r for r in everybody])
            assert y.equal(bulssi.full(shape, size * rank).to(dtype))
            swapped = [bulssi.empty(shape, dtype=dtype) for _ in everybody]
            dist.all_to_all(swapped, [x * 0 + 10 * rank + r for r in everybody])
            assert all(s.equal(bulssi.full(shape, 10 * r + rank).to(dtype)) for r, s in enumerate(swapped))


def _reductions(rank: int, size: int) -> None:
    ops = dist.ReduceOp
    values = [3, 5, 6, 9][:size]
    for op, expected in (
        (ops.MIN, min(values)),
        (ops.MAX, max(values)),
        (ops.PRODUCT, 3 * 5 * 6),
        (ops.BAND, 3 & 5 & 6),
        (ops.BOR, 3 | 5 | 6),
        (ops.BXOR, 3 ^ 5 ^ 6),
    ):
        for shape in ((2,), (3001,)):
            x = bulssi.full(shape, values[rank])
            dist.all_reduce(x, op)
            assert x.eq(expected).all(), op
    x = bulssi.full((2,), float(values[rank]))
    dist.all_reduce(x, ops.AVG)
    assert x.tolist() == pytest.approx([14 / 3] * 2)
    # Not contiguous, requiring grad, and the same bits everywhere.
    x = bulssi.randn(50, 70, requires_grad=True)
    view = x.detach().t()[1:]
    dist.all_reduce(view)
    everybody: list[Any] = [None] * size
    dist.all_gather_object(everybody, view.tolist())
    assert all(other == everybody[0] for other in everybody)


def _messages(rank: int, size: int) -> None:
    right, left = (rank + 1) % size, (rank - 1) % size
    got = bulssi.zeros(100_000)
    request = dist.irecv(got, src=left, tag=7)
    sent = dist.isend(bulssi.full((100_000,), float(rank)), right, tag=7)
    assert request is not None and sent is not None
    request.wait(), sent.wait()
    assert got[0] == left and request.is_completed()
    if rank == 0:
        seen = set()
        for _ in range(size - 1):
            x = bulssi.zeros(1)
            source = dist.recv(x)
            assert x.item() == 10 * source
            seen.add(source)
        assert seen == set(range(1, size))
    else:
        dist.send(bulssi.tensor([10.0 * rank]), 0)
    dist.barrier()
    a, b = bulssi.zeros(1), bulssi.zeros(1)
    dist.batch_isend_irecv([dist.P2POp(dist.isend, bulssi.ones(1), right), dist.P2POp(dist.irecv, a, left)])[1].wait()
    assert a.item() == 1 and b.item() == 0
    with pytest.raises(ValueError, match="should not be the same as the rank of the current process"):
        dist.send(a, rank)


def _objects_and_groups(rank: int, size: int) -> None:
    everybody: list[Any] = [None] * size
    dist.all_gather_object(everybody, {"rank": rank})
    assert everybody == [{"rank": r} for r in range(size)]
    objects = ["x", 3] if rank == 0 else [None, None]
    dist.broadcast_object_list(objects, src=0)
    assert objects == ["x", 3]
    out: list[Any] = [None]
    dist.scatter_object_list(out, [10, 11, 12] if rank == 1 else None, src=1)
    assert out == [10 + rank]
    collected: list[Any] = [None] * size
    dist.gather_object(rank, collected if rank == 2 else None, dst=2)
    assert rank != 2 or collected == [0, 1, 2]
    some = dist.new_group([0, 2])
    x = bulssi.ones(3) * rank
    if rank == 1:
        assert some == dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(some) == -1
    else:
        dist.all_reduce(x, group=some)
        assert x.tolist() == [2, 2, 2] and dist.get_rank(some) == rank // 2 and dist.get_world_size(some) == 2
        assert dist.get_global_rank(some, 1) == 2 and dist.get_process_group_ranks(some) == [0, 2]
        dist.broadcast(x.fill_(rank), src=2, group=some)
        assert x[0] == 2
    dist.barrier()
    work = dist.all_reduce(x.fill_(1), async_op=True)
    assert work is not None and work.wait() and x[0] == 3 and work.is_success()
    whole = bulssi.zeros(size * 2)
    dist.all_gather_into_tensor(whole, bulssi.full((2,), float(rank)))
    assert whole.tolist() == [0, 0, 1, 1, 2, 2]
    part = bulssi.zeros(2)
    dist.reduce_scatter_tensor(part, whole)
    assert part.tolist() == [3 * rank] * 2
    dist.all_to_all_single(whole, bulssi.arange(6.0) + 10 * rank)
    assert whole.tolist() == [10.0 * r + 2 * rank + i for r in range(3) for i in range(2)]
    dist.monitored_barrier()


def _refusals(rank: int, size: int) -> None:
    x = bulssi.ones(2)
    with pytest.raises(ValueError, match="trying to initialize the default process group twice"):
        dist.init_process_group("gloo")
    with pytest.raises(TypeError, match="Invalid function argument. Expected parameter `tensor` of type torch.Tensor"):
        dist.all_reduce(3)  # pyright: ignore
    with pytest.raises(RuntimeError, match=r"allgather: invalid tensor size at index 0 \(expected \(2\), got \(3\)\)"):
        dist.all_gather([bulssi.zeros(3)] * size, x)
    with pytest.raises(RuntimeError, match=r"expected length 2, got 1"):
        dist.all_gather([bulssi.zeros(2)], x)
    with pytest.raises(RuntimeError, match="invalid root rank: 5"):
        dist.broadcast(x, src=5)
    with pytest.raises(ValueError, match="Rank 3 is out of range"):
        dist.new_group([3])
    with pytest.raises(TypeError, match="ReduceOp"):
        dist.all_reduce(x, op="sum")
    dist.all_reduce(x)
    assert x.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="all have to call with the same shapes"):
        dist.all_reduce(bulssi.ones(2 + rank))


@pytest.mark.parametrize(
    ("body", "size"),
    [(_collectives, 3), (_collectives, 2), (_reductions, 3), (_messages, 3), (_objects_and_groups, 3), (_refusals, 2)],
)
def test_together(body: Any, size: int, tmp_path: Path) -> None:
    together(body, size, tmp_path)


# ---- deaths ---------------------------------------------------------------------------------------------------------


def _one_dies(rank: int, size: int, what: str) -> None:
    if rank == 1:
        dist.barrier()
        os._exit(3)
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="Connection closed by peer: process [0-2]: its connection was lost"):
        dist.barrier()  # the other may be gone before this one is through
        if what == "all_reduce":
            dist.all_reduce(bulssi.ones(10_000))
        elif what == "recv":
            dist.recv(bulssi.zeros(1), src=1)
        else:  # waiting for a process that waits itself
            dist.recv(bulssi.zeros(1), src=2 if rank == 0 else 0)
    assert time.monotonic() - started < 20
    os._exit(0)


def _one_raises(rank: int, size: int) -> None:
    if rank == 1:
        raise ValueError("mine")
    dist.all_reduce(bulssi.ones(3))


@pytest.mark.parametrize("what", ["all_reduce", "recv", "chain"])
def test_a_death_is_told_to_all(what: str, tmp_path: Path) -> None:
    context = mp.start_processes(
        _member, (3, f"file://{tmp_path}/meet", _one_dies, (what,)), nprocs=3, join=False, start_method="fork"
    )
    assert context is not None
    for process in context.processes:
        process.join(timeout=60)
    assert [process.exitcode for process in context.processes] == [0, 3, 0]


def test_an_exception_ends_all(tmp_path: Path) -> None:
    with pytest.raises(mp.ProcessRaisedException, match="ValueError: mine|Connection closed by peer"):
        together(_one_raises, 3, tmp_path)


def _leaves_early(rank: int, size: int) -> None:
    if rank == 0:
        time.sleep(0.5)
    dist.barrier()  # the others leave at once, without a word but their goodbye
    if rank == 0:
        time.sleep(0.3)
        with pytest.raises(RuntimeError, match="it has left the group"):
            dist.recv(bulssi.zeros(1), src=1)


def test_who_leaves_in_order_does_no_harm(tmp_path: Path) -> None:
    together(_leaves_early, 3, tmp_path)


def _silent(rank: int, size: int) -> None:
    if rank == 0:
        with pytest.raises(RuntimeError, match="Rank 1 failed to pass monitoredBarrier in 200 ms"):
            dist.monitored_barrier(timeout=timedelta(milliseconds=200))
    else:
        time.sleep(1)


def test_somebody_who_does_not_come_is_named(tmp_path: Path) -> None:
    together(_silent, 2, tmp_path)


# ---- meeting --------------------------------------------------------------------------------------------------------


def _env_member(rank: int, port: int) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group()
    x = bulssi.ones(1)
    dist.all_reduce(x)
    assert x.item() == 2 and dist.get_rank() == rank and dist.get_world_size() == 2
    assert dist.get_backend() == "undefined" and dist.is_initialized()
    dist.destroy_process_group()
    assert not dist.is_initialized()


def _tcp_member(rank: int, port: int) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=rank, world_size=2)
    dist.barrier()
    assert dist.get_backend() == "gloo"


@pytest.mark.parametrize("member", [_env_member, _tcp_member])
def test_meeting_over_the_network(member: Any) -> None:
    from bulssi.distributed.run import _free_port

    mp.start_processes(member, (_free_port(),), nprocs=2, start_method="fork")


@pytest.mark.filterwarnings("ignore:Attempted to get default timeout")
def test_what_cannot_begin(monkeypatch: Any) -> None:
    torch = pytest.importorskip("torch")
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    address = "tcp://127.0.0.1:29999"
    for library in (bulssi, torch):
        d = library.distributed
        assert d.is_available() and not d.is_initialized() and d.get_default_backend_for_device("cpu") == "gloo"
        for call in (d.get_rank, d.get_world_size, d.barrier):
            with pytest.raises(ValueError, match="Default process group has not been initialized"):
                call()
        with pytest.raises(ValueError, match="environment variable RANK expected, but not set"):
            d.init_process_group("gloo")
        with pytest.raises(RuntimeError, match="Distributed package doesn't have NCCL built in"):
            d.init_process_group("nccl", init_method=address, rank=0, world_size=1)
        with pytest.raises(RuntimeError, match="No rendezvous handler for abc://"):
            d.init_process_group("gloo", init_method="abc://x", rank=0, world_size=1)
        with pytest.raises(AssertionError, match="Process group cannot be None"):
            d.destroy_process_group()
    with pytest.raises(AttributeError, match="there are no pipelines"):
        dist.pipelining  # noqa: B018


def test_stores(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    soon = timedelta(milliseconds=100)
    stores = [
        (bulssi, dist.HashStore()),
        (bulssi, dist.FileStore(str(tmp_path / "a"), 1)),
        (bulssi, dist.TCPStore("localhost", 0, is_master=True, timeout=soon)),
        (torch, torch.distributed.HashStore()),
        (torch, torch.distributed.TCPStore("localhost", 0, is_master=True, timeout=soon)),
    ]
    for library, inner in stores:
        for s in (inner, library.distributed.PrefixStore("p", inner)):
            s.set_timeout(soon)
            s.set("key", "value")
            assert s.get("key") == b"value" and s.add("n", 2) == 2 and s.add("n", 3) == 5 and s.get("n") == b"5"
            assert s.compare_set("key", "other", "new") == b"value" and s.compare_set("key", "value", "new") == b"new"
            assert s.check(["key", "n"]) and not s.check(["key", "m"]) and s.delete_key("n") and not s.delete_key("n")
            with pytest.raises(RuntimeError, match="(?i)timeout"):
                s.get("missing")
            if library is torch:
                continue  # its client waits with the connection held
            later = threading.Timer(0.02, lambda s=s: s.set("later", "x"))
            later.start()
            s.wait(["later"], timedelta(seconds=20))
            later.join()


def test_nobody_answers() -> None:
    from bulssi.distributed.run import _free_port

    with pytest.raises(RuntimeError, match="timed out after 200ms while trying to connect to"):
        dist.TCPStore("localhost", _free_port(), 2, is_master=False, timeout=timedelta(milliseconds=200))


# ---- data parallel --------------------------------------------------------------------------------------------------


def _net() -> Any:
    return bulssi.nn.Sequential(
        bulssi.nn.Linear(4, 8),
        bulssi.nn.BatchNorm1d(8),
        bulssi.nn.Tanh(),
        bulssi.nn.Linear(8, 3),
        bulssi.nn.Linear(3, 1),
    )


def _data() -> tuple[Any, Any]:
    generator = bulssi.Generator().manual_seed(5)
    x = bulssi.randn(12, 4, generator=generator)
    return x, x.sum(1, keepdim=True)


def _train(rank: int, size: int, options: dict[str, Any], expected: Any) -> None:
    bulssi.manual_seed(rank)  # process 0 decides
    net = _net()
    net[1].eval()
    model = DistributedDataParallel(net, **options)
    optimizer = bulssi.optim.SGD(model.parameters(), lr=0.05)
    x, y = (t[rank::size] for t in _data())
    for step in range(4):
        optimizer.zero_grad()
        if step % 2:
            with model.no_sync():
                ((model(x) - y) ** 2).mean().backward()
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
    assert next(iter(model.state_dict())).startswith("module.")
    for p, q in zip(model.parameters(), expected, strict=True):
        assert bulssi.allclose(p, q, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"bucket_cap_mb": 0.00001}, {"find_unused_parameters": True}])
def test_training_is_that_of_one_process(options: dict[str, Any], tmp_path: Path) -> None:
    bulssi.manual_seed(0)
    net = _net()
    net[1].eval()
    optimizer = bulssi.optim.SGD(net.parameters(), lr=0.05)
    x, y = _data()
    for step in range(4):
        optimizer.zero_grad()
        for _ in range(2 if step % 2 else 1):
            ((net(x) - y) ** 2).mean().backward()
        optimizer.step()
    expected = [p.detach() for p in net.parameters()]
    together(_train, 2, tmp_path, options, expected)


class Branches(bulssi.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.never = (bulssi.nn.Linear(1, 1, bias=False) for _ in range(3))

    def forward(self, x: Any, both: bool) -> Any:
        return self.a(x) + self.b(x) if both else self.a(x)


def _unused(rank: int, size: int) -> None:
    model = DistributedDataParallel(Branches(), find_unused_parameters=True)
    model(bulssi.ones(1, 1), both=rank == 0).sum().backward()
    assert model.module.a.weight.grad.item() == 1 and model.module.b.weight.grad.item() == 0.5
    assert model.module.never.weight.grad is None
    strict = DistributedDataParallel(Branches())
    strict(bulssi.ones(1, 1), both=True).sum().backward()
    with pytest.raises(
        RuntimeError, match="(?s)Expected to have finished reduction in the prior iteration.*never.weight"
    ):
        strict(bulssi.ones(1, 1), both=True)


def _hooks_and_buffers(rank: int, size: int) -> None:
    model = DistributedDataParallel(bulssi.nn.BatchNorm1d(2))
    seen = []

    def hook(state: str, bucket: Any) -> Any:
        seen.append((state, bucket.index(), bucket.is_last(), len(bucket.gradients())))
        flat = bucket.buffer()
        return dist.all_reduce(flat, async_op=True).get_future().then(lambda done: done.value()[0] * 10)

    model.register_comm_hook("state", hook)
    model.module.running_mean.fill_(rank)
    model(bulssi.randn(4, 2)).sum().backward()
    assert seen == [("state", 0, True, 2)] and model.module.bias.grad.tolist() == [80, 80]
    with bulssi.no_grad():
        model(bulssi.randn(4, 2))
    model.eval()(bulssi.randn(4, 2))
    means: list[Any] = [None] * size
    dist.all_gather_object(means, model.module.num_batches_tracked.item())
    assert means == [2, 2]


def _different_models(rank: int, size: int) -> None:
    with pytest.raises(RuntimeError, match="DDP expects same model across all ranks, but Rank 0 has 2 params"):
        DistributedDataParallel(bulssi.nn.Linear(2, 2, bias=rank == 0))
    with pytest.raises(RuntimeError, match="appears not to match sizes of the same param in process 0"):
        DistributedDataParallel(bulssi.nn.Linear(2, 2 + rank))
    with pytest.raises(RuntimeError, match="doesn't have any parameter that requires a gradient"):
        DistributedDataParallel(bulssi.nn.ReLU())
    with pytest.raises(ValueError, match="device_ids"):
        DistributedDataParallel(bulssi.nn.Linear(1, 1), device_ids=[0])


@pytest.mark.parametrize("body", [_unused, _hooks_and_buffers, _different_models])
def test_data_parallel(body: Any, tmp_path: Path) -> None:
    together(body, 2, tmp_path)


def test_a_program_is_started_in_several_processes(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import os, torch, torch.distributed as dist\n"
        "from torch.nn.parallel import DistributedDataParallel as DDP\n"
        "dist.init_process_group('gloo')\n"
        "model = DDP(torch.nn.Linear(1, 1))\nmodel(torch.ones(1, 1) * dist.get_rank()).sum().backward()\n"
        "line = f\"{dist.get_rank()} {model.module.weight.grad.item()} {os.environ['LOCAL_RANK']}\\n\"\n"
        "os.write(1, line.encode())  # in one piece: both write to the same pipe\n"
        "dist.destroy_process_group()\n"
    )
    command = [sys.executable, "-m", "bulssi.distributed.run", "--nproc_per_node=2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and sorted(done.stdout.splitlines()) == ["0 0.5 0", "1 0.5 1"], done.stderr
    script.write_text("import os, time\nif os.environ['RANK'] == '1':\n    raise SystemExit(5)\ntime.sleep(60)\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 5 and "process 1 ended with code 5" in done.stderr


# ---- with gradients -------------------------------------------------------------------------------------------------


def _functional(rank: int, size: int) -> None:
    """Each beside the same function of the tensors of all, computed here."""

    def all_of(make: Any) -> list[Any]:
        return [make(r).requires_grad_() for r in range(size)]

    def make(r: int) -> Any:
        return bulssi.randn(size * 2, 3, generator=bulssi.Generator().manual_seed(r), dtype=bulssi.float64)

    def weight(r: int, shape: Any) -> Any:
        return bulssi.arange(1.0, 1 + bulssi.Size(shape).numel(), dtype=bulssi.float64).view(shape).sin() * (r + 1)

    cases: dict[str, tuple[Any, Any]] = {
        "all_reduce": (lambda x: [fn.all_reduce(x)], lambda xs, r: [sum(xs)]),
        "all_gather": (lambda x: fn.all_gather(x), lambda xs, r: xs),
        "broadcast": (lambda x: [fn.broadcast(x, 1)], lambda xs, r: [xs[1]]),
        "reduce": (lambda x: [fn.reduce(x, 1)], lambda xs, r: [sum(xs) if r == 1 else xs[r].detach()]),
        "gather": (lambda x: fn.gather(x, 1), lambda xs, r: xs if r == 1 else [x.detach() * 0 for x in xs]),
        "scatter": (lambda x: [fn.scatter(x.chunk(size), 1)], lambda xs, r: [xs[1].chunk(size)[r]]),
        "reduce_scatter": (
            lambda x: [fn.reduce_scatter(bulssi.empty(2, 3), x.chunk(size))],
            lambda xs, r: [sum(x.chunk(size)[r] for x in xs)],
        ),
        "all_to_all": (
            lambda x: fn.all_to_all(x.chunk(size), x.chunk(size)),
            lambda xs, r: [x.chunk(size)[r] for x in xs],
        ),
        "all_to_all_single": (
            lambda x: [fn.all_to_all_single(x, x)],
            lambda xs, r: [bulssi.cat([x.chunk(size)[r] for x in xs])],
        ),
    }
    for name, (ours, plain) in cases.items():
        x, xs = make(rank).requires_grad_(), all_of(make)
        found = ours(x)
        total: Any = 0
        for r in range(size):
            for out in plain(xs, r):
                total = total + (out * weight(r, out.shape)).sum()
        total.backward()
        for got, expected in zip(found, plain(xs, rank), strict=True):
            assert got.allclose(expected) or (name == "reduce" and rank != 1), name
        sum((out * weight(rank, out.shape)).sum() for out in found).backward()
        if name == "reduce":
            continue  # what others than the one get is undefined, and its gradient too
        expected = bulssi.zeros_like(x) if xs[rank].grad is None else xs[rank].grad
        assert x.grad is not None and x.grad.allclose(expected), name
    y = make(rank).requires_grad_()
    (fn.reduce(y, 0) * (rank == 0)).sum().backward()
    assert y.grad is not None and y.grad.eq(1).all()
    with pytest.raises(ValueError, match="gradients for ReduceOp.SUM and AVG only"):
        fn.reduce_scatter(bulssi.empty(1), [y] * size, dist.ReduceOp.MAX)


def test_gradients_travel_the_way_back(tmp_path: Path) -> None:
    together(_functional, 3, tmp_path)


def test_parts_of_batches() -> None:
    parallel = bulssi.nn.parallel
    x, devices = bulssi.arange(10.0).view(5, 2).requires_grad_(), ["cpu"] * 3
    parts = parallel.scatter({"x": x, "y": (x, 3)}, devices)
    assert [p["x"].shape[0] for p in parts] == [2, 2, 1] and parts[2]["y"][0].equal(x[4:]) and parts[1]["y"][1] == 3
    net = bulssi.nn.Sequential(bulssi.nn.Linear(2, 3), bulssi.nn.BatchNorm1d(3).eval())
    copies = parallel.replicate(net, devices)
    assert not list(copies[0].parameters()) and isinstance(copies[2][0], bulssi.nn.Linear)
    out = parallel.gather(parallel.parallel_apply(copies, [p["x"] for p in parts]), "cpu")
    assert out.allclose(net(x))
    out.sum().backward()
    assert net[0].weight.grad.allclose(x.detach().sum(0).expand(3, 2), rtol=1e-3) and x.grad is not None
    assert parallel.gather([bulssi.tensor(1.0), bulssi.tensor(2.0)], "cpu").tolist() == [1, 2]
    assert parallel.gather([{"a": [x]}, {"a": [x]}], "cpu")["a"][0].shape == (10, 2)
    args, kwargs = parallel.scatter_gather.scatter_kwargs((x,), {"k": 1}, devices[:2])
    assert len(args) == len(kwargs) == 2 and kwargs[1] == {"k": 1}
    with pytest.raises((RuntimeError, AssertionError), match="CUDA"):
        parallel.scatter(x, [0, 1])
    with pytest.raises(ValueError, match="All dicts must have the same number of keys"):
        parallel.gather([{"a": x}, {}], "cpu")
    assert not x.is_xpu and not x.is_mps
    with pytest.raises(RuntimeError, match="NCCL"):
        bulssi.cuda.nccl.version()
