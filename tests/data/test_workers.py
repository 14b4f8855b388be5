"""Worker processes: order, seeds, errors, deaths, time limits, shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback

import numpy as np
import pytest

import bulssi
from bulssi.utils import data


class Items(data.Dataset):
    """What f(i) gives for i < n."""

    def __init__(self, n: int, f) -> None:
        self.n, self.f = n, f

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int):
        return self.f(i)


class Stream(data.IterableDataset):
    def __init__(self, sizes) -> None:
        self.sizes = sizes

    def __iter__(self):
        info = data.get_worker_info()
        yield from (info.id * 100 + i for i in range(self.sizes[info.id]))


def seeds(i: int) -> tuple:
    import random

    info = data.get_worker_info()
    return info.id, info.num_workers, info.seed, random.random(), float(np.random.rand()), os.getpid()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_order_and_contents() -> None:
    def slow(i: int):
        if i % 4 == 0:
            time.sleep(0.02)
        return i, bulssi.full((300, 40), float(i)), np.full(5, i), f"n{i}"

    loader = data.DataLoader(Items(23, slow), batch_size=4, num_workers=3 if os.cpu_count() > 2 else 2)
    for _ in range(2):
        count = 0
        for index, big, array, names in loader:
            assert index.tolist() == list(range(count, count + len(index)))
            assert big.shape == (len(index), 300, 40) and bulssi.equal(big[:, 0, 0].long(), index)
            assert array[:, 0].tolist() == index.tolist() and names[0] == f"n{count}"
            big.add_(1)  # the memory is the batch's own
            count += len(index)
        assert count == 23


def test_batches_stay_as_they_are_when_later_ones_come() -> None:
    loader = data.DataLoader(Items(40, lambda i: bulssi.full((20_000,), float(i))), num_workers=2)
    kept = list(loader)
    assert [batch[0, -1].item() for batch in kept] == list(range(40))


def test_out_of_order() -> None:
    def slow(i: int) -> int:
        time.sleep(0.5 if i == 0 else 0)
        return i

    loader = data.DataLoader(Items(8, slow), num_workers=2, in_order=False)
    seen = [int(batch) for batch in loader]
    assert sorted(seen) == list(range(8)) and seen[0] != 0


def test_seeds_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (bulssi, torch):
        lib.manual_seed(11)

        class Seeds(lib.utils.data.Dataset):
            def __len__(self) -> int:
                return 6

            def __getitem__(self, i: int, lib=lib):
                import random

                info = lib.utils.data.get_worker_info()
                return info.id, info.seed, random.random(), float(np.random.rand()), float(lib.rand(()))

        loader = lib.utils.data.DataLoader(Seeds(), num_workers=2, shuffle=True)
        results.append([[part.tolist() for part in batch] for _ in range(2) for batch in loader])
    assert results[0] == results[1]


def test_persistent_workers_stay() -> None:
    for persistent in (True, False):
        loader = data.DataLoader(Items(4, seeds), num_workers=2, persistent_workers=persistent)
        pids = [{int(batch[5]) for batch in loader} for _ in range(3)]
        assert len(set.union(*pids)) == (2 if persistent else 6)
        for _ in loader:  # an epoch that is left early does not disturb the next
            break
        assert len(list(loader)) == 4


def test_errors_arrive_with_the_workers_traceback() -> None:
    def fails(i: int) -> int:
        if i == 2:
            raise KeyError("missing thing")
        return i

    loader = data.DataLoader(Items(6, fails), num_workers=2)
    iterator, seen = iter(loader), []
    with pytest.raises(KeyError) as caught:
        for batch in iterator:
            seen.append(int(batch))
    text = str(caught.value)
    assert text.startswith(
        "Caught KeyError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):"
    )
    assert "in fails" in text and "missing thing" in text and seen == [0, 1]
    assert [int(batch) for batch in iterator] == [3, 4, 5], "the rest of the epoch is still there"

    class Odd(Exception):
        def __init__(self, a, b) -> None:
            super().__init__(a, b)

    def odd(i: int):
        raise Odd(1, 2)

    with pytest.raises(RuntimeError, match="Caught Odd in DataLoader worker process 0"):
        next(iter(data.DataLoader(Items(6, odd), num_workers=1)))
    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0"):

        def bad_init(worker: int) -> None:
            raise ValueError("init")

        next(iter(data.DataLoader(Items(6, int), num_workers=1, worker_init_fn=bad_init)))
    with pytest.raises(Exception, match="Caught .* in DataLoader worker process 0"):
        next(iter(data.DataLoader(Items(6, lambda i: lambda: i), num_workers=1, collate_fn=list)))


def test_a_killed_worker_raises() -> None:
    def dies(i: int) -> int:
        if i == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return i

    start = time.time()
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly.*SIGKILL"):
        list(data.DataLoader(Items(8, dies), num_workers=2))
    with pytest.raises(RuntimeError, match="exited unexpectedly.*exit code was 7"):
        list(data.DataLoader(Items(8, lambda i: os._exit(7)), num_workers=2))
    assert time.time() - start < 20


def test_time_limit() -> None:
    loader = data.DataLoader(Items(4, lambda i: time.sleep(30)), num_workers=1, timeout=0.3)
    start = time.time()
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.3 seconds"):
        next(iter(loader))
    assert time.time() - start < 15


def test_large_tasks_and_answers_do_not_block_each_other() -> None:
    batches = [list(range(300_000)) for _ in range(6)]
    loader = data.DataLoader(
        Items(300_000, int), batch_sampler=batches, num_workers=1, collate_fn=lambda b: bytes(2_000_000)
    )
    assert [len(batch) for batch in loader] == [2_000_000] * 6


def test_streams_of_workers() -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (bulssi, torch):
        d = lib.utils.data

        class Own(d.IterableDataset):
            def __iter__(self, d=d):
                info = d.get_worker_info()
                yield from (info.id * 100 + i for i in range([7, 2][info.id]))

        results.append([[b.tolist() for b in d.DataLoader(Own(), batch_size=2, num_workers=2)] for _ in range(2)])
    assert results[0] == results[1]
    kept = data.DataLoader(Stream([5, 1]), batch_size=2, num_workers=2, persistent_workers=True)
    assert [[b.tolist() for b in kept] for _ in range(2)] == [[[0, 1], [100], [2, 3], [4]]] * 2


def test_nothing_is_left_behind() -> None:
    import gc
    import multiprocessing

    list(data.DataLoader(Items(4, lambda i: bulssi.ones(50_000)), num_workers=2))
    before = open_descriptors()
    for _ in range(3):
        iterator = iter(data.DataLoader(Items(9, lambda i: bulssi.ones(50_000)), num_workers=2))
        next(iterator)
        del iterator
    gc.collect()
    assert multiprocessing.active_children() == []
    assert open_descriptors() <= before


FORKED = """
import gc, os, sys, bulssi
from bulssi.utils import data
class D(data.Dataset):
    def __len__(self): return 12
    def __getitem__(self, i):
        if i == 5 and held:
            held.clear()  # in a worker this drops the copy of the other loader's iterator
            gc.collect()
        return i
held = []
first = iter(data.DataLoader(D(), num_workers=2))
seen = [int(next(first))]
held.append(first)
del first
assert [int(b) for b in data.DataLoader(D(), num_workers=2)] == list(range(12))
print(seen + [int(b) for b in held[0]])
"""


def test_workers_leave_other_loaders_alone() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{list(range(12))}\n", "")


ORPHANS = """
import os, sys, time, bulssi
from bulssi.utils import data
class D(data.Dataset):
    def __len__(self): return 1000
    def __getitem__(self, i):
        open(sys.argv[1] + f"/{os.getpid()}", "w").close()
        time.sleep(0.05)
        return i
it = iter(data.DataLoader(D(), num_workers=2))
next(it)
print("ready", flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_end_when_the_parent_is_killed(tmp_path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.time() + 15
    pids = [int(name) for name in os.listdir(tmp_path)]
    assert len(pids) == 2
    while any(alive(pid) for pid in pids):
        assert time.time() < deadline, "workers outlive their parent"
        time.sleep(0.05)


INTERRUPTED = """
import multiprocessing, os, sys, time, bulssi
from bulssi.utils import data
class D(data.Dataset):
    def __len__(self): return 100_000
    def __getitem__(self, i):
        open(sys.argv[1] + f"/{os.getpid()}", "w").close()
        time.sleep(0.01)
        return i
if __name__ == "__main__":
    try:
        for i, batch in enumerate(data.DataLoader(D(), num_workers=2, multiprocessing_context=sys.argv[2])):
            if i == 3:
                print("ready", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("group", [True, False], ids=["Ctrl-C", "kill -INT"])
def test_an_interrupt_leaves_nothing_behind(tmp_path, method: str, group: bool) -> None:
    (tmp_path / "program.py").write_text(INTERRUPTED)
    (tmp_path / "pids").mkdir()
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "pids"), method]
    pipe = subprocess.PIPE
    program = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    assert program.stdout.readline() == "ready\n"
    (os.killpg if group else os.kill)(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=30)
    assert (out, err, program.returncode) == ("interrupted\n", "", 0)
    pids = [int(name) for name in os.listdir(tmp_path / "pids")]
    deadline = time.time() + 15
    assert len(pids) == 2
    while any(alive(pid) for pid in pids):
        assert time.time() < deadline, "workers outlive the program"
        time.sleep(0.05)


def test_spawned_workers() -> None:
    loader = data.DataLoader(list(range(4)), num_workers=1, multiprocessing_context="spawn")
    try:
        assert [int(batch) for batch in loader] == [0, 1, 2, 3]
    except Exception:
        traceback.print_exc()
        raise
