"""Tensors between processes: shared, not copied; and processes that fail."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import bulssi
import bulssi.multiprocessing as mp

METHODS = ["fork", "spawn"]
# Forking a process that has threads warns in new Pythons; the threads of the core sleep then.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def add_index(index: int, shared: Any, private: Any) -> None:
    shared[index] += index + 1
    private += 100


def echo(index: int, incoming: Any, outgoing: Any) -> None:
    for _ in range(2):
        got = incoming.get(timeout=60)
        got.mul_(2)
        outgoing.put(got)
    incoming.get(timeout=60)  # the last result is on its way until the parent says so


def fail(index: int) -> None:
    if index == 1:
        raise ValueError(f"process {index} does not like it")


def leave(index: int, code: int) -> None:
    if index == 0:
        os._exit(code)
    import time

    time.sleep(60)


def die(index: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hogwild(index: int, model: Any) -> None:
    bulssi.manual_seed(index)
    optimizer = bulssi.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(60):
        x = bulssi.randn(16, 2)
        loss = ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("method", METHODS)
def test_arguments_are_shared(method: str) -> None:
    shared = bulssi.zeros(3).share_memory_()
    assert shared.is_shared() and not bulssi.zeros(1).is_shared()
    private = bulssi.zeros(1)
    mp.start_processes(add_index, (shared, private), nprocs=3, start_method=method)
    assert shared.tolist() == [1, 2, 3]
    # A forked process has a copy of ordinary memory; what is pickled for a new one is moved to shared memory.
    assert private.item() == (0 if method == "fork" else 300)


@pytest.mark.parametrize("method", METHODS)
def test_queues_carry_memory(method: str) -> None:
    context = mp.get_context(method)
    there, back = context.Queue(), context.Queue()
    started = mp.start_processes(echo, (there, back), nprocs=1, join=False, start_method=method)
    for x in (bulssi.arange(6.0).reshape(2, 3).t(), bulssi.nn.Parameter(bulssi.ones(2)).data):
        there.put(x)
        y = back.get(timeout=60)
        assert y.equal(x) and x.is_shared() and y.is_shared() and y.stride() == x.stride()
        y[0] = -1
        assert x.equal(y)
    there.put(None)
    assert started is not None and started.join(timeout=60)


def send_and_leave(index: int, queue: Any) -> None:
    queue.put(bulssi.full((3,), float(index)))


def test_a_tensor_outlives_its_sender() -> None:
    context = mp.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=send_and_leave, args=(i, queue)) for i in range(3)]
    for process in processes:
        process.start()
    time.sleep(0.3)
    assert sorted(queue.get(timeout=30).tolist() for _ in processes) == [[0.0] * 3, [1.0] * 3, [2.0] * 3]
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_training_in_parallel_on_one_model() -> None:
    bulssi.manual_seed(0)
    model = bulssi.nn.Linear(2, 1)
    model.share_memory()
    mp.spawn(hogwild, (model,), nprocs=2)
    x = bulssi.randn(64, 2)
    assert ((model(x) - x.sum(1, keepdim=True)) ** 2).mean() < 1e-2


def test_what_cannot_be_sent() -> None:
    from multiprocessing.reduction import ForkingPickler

    x = bulssi.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
        ForkingPickler.dumps(x * 2)


def test_memory_is_given_back() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        bulssi.ones(1000).share_memory_()
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_the_first_exception_is_raised_with_its_traceback() -> None:
    with pytest.raises(mp.ProcessRaisedException) as error:
        mp.spawn(fail, nprocs=2)
    assert error.value.error_index == 1 and error.value.error_pid > 0
    assert "-- Process 1 terminated with the following error" in str(error.value)
    assert "ValueError: process 1 does not like it" in str(error.value)


def test_codes_and_signals() -> None:
    with pytest.raises(mp.ProcessExitedException, match="process 0 terminated with exit code 7") as error:
        mp.start_processes(leave, (7,), nprocs=2, start_method="fork")
    assert error.value.exit_code == 7
    with pytest.raises(mp.ProcessExitedException, match="process 0 terminated with signal SIGKILL") as error:
        mp.start_processes(die, nprocs=1, start_method="fork")
    assert error.value.signal_name == "SIGKILL"
    with pytest.warns(FutureWarning, match="only supports start_method=spawn"):
        mp.spawn(fail, nprocs=1, start_method="fork")


def test_names_are_multiprocessings() -> None:
    assert mp.Queue is not None and mp.cpu_count() == multiprocessing.cpu_count()
    assert set(multiprocessing.__all__) <= set(mp.__all__)
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()
    with pytest.raises(AssertionError, match="invalid sharing strategy"):
        mp.set_sharing_strategy("pigeon")


def test_programs_that_say_torch_spawn_processes(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import torch\nimport torch.multiprocessing as mp\n\n"
        "def work(rank, x):\n    x[rank] = torch.nn.functional.relu(torch.tensor(rank + 1.0))\n\n"
        "if __name__ == '__main__':\n    x = torch.zeros(2)\n    mp.spawn(work, (x,), nprocs=2)\n"
        "    print(x.tolist(), torch.__version__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "bulssi", "run", str(script)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("[1.0, 2.0]") and "bulssi" in done.stdout, done.stderr
