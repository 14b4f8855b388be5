"""DataLoader: batches, orders and random numbers as PyTorch's; data in memory by batch; going on in mid-epoch."""

from __future__ import annotations

import collections
import io
import random
import warnings

import numpy as np
import pytest

import bulssi
from bulssi.utils import data


class Squares(data.Dataset):
    def __init__(self, n: int, noisy: bool = False) -> None:
        self.n, self.noisy = n, noisy

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int):
        noise = (random.random(), float(bulssi.rand(())), float(np.random.rand())) if self.noisy else (0.0,)
        return {"i": i, "x": bulssi.tensor([float(i * i), *noise], dtype=bulssi.float64)}


class Count(data.IterableDataset):
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self):
        info = data.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for i in range(first, self.n, step):
            yield i, random.random()


def rows(batches) -> list:
    """Batches as nested lists."""

    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return value.tolist() if hasattr(value, "tolist") else value

    return [plain(batch) for batch in batches]


LOADERS = {
    "plain": {"batch_size": 3},
    "shuffled": {"batch_size": 4, "shuffle": True},
    "divides": {"batch_size": 5, "shuffle": True},
    "drop_last": {"batch_size": 4, "shuffle": True, "drop_last": True},
    "generator": {"batch_size": 5, "shuffle": True, "generator": 7},
    "single": {"batch_size": None},
    "single shuffled": {"batch_size": None, "shuffle": True},
    "sampler": {"batch_size": 2, "sampler": lambda d: d.RandomSampler(range(20), True, 33)},
    "more": {"batch_size": 7, "sampler": lambda d: d.RandomSampler(range(20), num_samples=50)},
    "subset": {"batch_size": 2, "sampler": lambda d: d.SubsetRandomSampler([3, 5, 7, 11, 13])},
    "weighted": {"batch_size": 4, "sampler": lambda d: d.WeightedRandomSampler([0.1 * i for i in range(20)], 10)},
    "weighted once": {"sampler": lambda d: d.WeightedRandomSampler([1.0 + i for i in range(20)], 10, False)},
    "batches": {"batch_sampler": lambda d: d.BatchSampler(d.RandomSampler(range(20)), 6, True)},
    "lists": {"batch_sampler": lambda d: [[1, 2], [-1], [0, 19, 3]]},
}


@pytest.mark.parametrize("kind", ["tensors", "subset", "rows"])
@pytest.mark.parametrize("name", LOADERS)
def test_batches_are_pytorchs(name: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (bulssi, torch):
        d = lib.utils.data
        x = lib.arange(40).reshape(20, 2)
        dataset = d.TensorDataset(x, x[:, 0] * 10)
        if kind == "subset":
            dataset = d.Subset(d.Subset(dataset, list(range(-1, 19))), list(reversed(range(20))))
        if kind == "rows":
            dataset = [(x[i], i, float(i), str(i), {"a": i}) for i in range(20)]
        options = {k: v(d) if callable(v) else v for k, v in LOADERS[name].items()}
        if "generator" in options:
            options["generator"] = lib.Generator().manual_seed(options["generator"])
        lib.manual_seed(3)
        loader = d.DataLoader(dataset, **options)
        epochs = [rows(loader), rows(loader)]
        rest = lib.rand(2).tolist() + (
            [] if "generator" not in options else [options["generator"].get_state()[:50].tolist()]
        )
        results.append((epochs, rest, len(loader)))
    assert results[0] == results[1]


def test_random_split_and_samplers() -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (bulssi, torch):
        d = lib.utils.data
        lib.manual_seed(0)
        parts = d.random_split(range(30), [0.3, 0.3, 0.4]) + d.random_split(range(10), [3, 7])
        parts += d.random_split(range(11), [0.5, 0.5], generator=lib.Generator().manual_seed(42))
        shares = [
            list(d.DistributedSampler(range(11), 3, r, shuffle=s, drop_last=drop))
            for r in range(3)
            for s in (True, False)
            for drop in (True, False)
        ]
        results.append(([part.indices for part in parts], shares))
    assert results[0] == results[1]
    with pytest.raises(ValueError, match="Sum of input lengths"):
        data.random_split(range(10), [3, 3])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        data.random_split(range(1), [0.9, 0.1])


def test_memory_is_fetched_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(self, index):
        raise AssertionError("a row was asked for")

    x = bulssi.arange(100).reshape(50, 2)
    dataset = data.TensorDataset(x, x.sum(1))
    fast = data.DataLoader(data.Subset(dataset, range(40)), batch_size=8, shuffle=True, num_workers=2)
    monkeypatch.setattr(data.dataset.TensorDataset, "__getitem__", row)
    from bulssi.utils.data._utils import fetch

    assert fetch.in_memory(dataset, data.default_collate) is not None
    seen = bulssi.cat([batch[0] for batch in fast])
    assert sorted(seen[:, 0].tolist()) == list(range(0, 80, 2))
    batch = next(iter(data.DataLoader(dataset, batch_size=4)))
    batch[0].zero_()
    assert x[1].tolist() == [2, 3], "batches are copies"


def test_a_dataset_that_computes_is_asked_for_rows() -> None:
    class Doubled(data.TensorDataset):
        def __getitem__(self, i):
            return self.tensors[0][i] * 2

    batches = rows(data.DataLoader(Doubled(bulssi.arange(4)), batch_size=2))
    assert batches == [[0, 2], [4, 6]]
    own = data.DataLoader(data.TensorDataset(bulssi.arange(4)), batch_size=2, collate_fn=lambda samples: len(samples))
    assert list(own) == [2, 2]


def test_collate() -> None:
    torch = pytest.importorskip("torch")
    point = collections.namedtuple("point", "x y")
    texts = []
    for lib in (bulssi, torch):
        t = lib.utils.data
        cases = [
            [1, 2], [1.5, 2.5], [True, False], ["a", "b"], [b"a", b"b"], [lib.ones(2), lib.zeros(2)],
            [(1, "a"), (2, "b")], [[1, 2.0], [3, 4.0]], [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}],
            [point(1, 2), point(3, 4)], [collections.OrderedDict(z=1, a=2.0)] * 2, [np.ones(2), np.zeros(2)],
            [np.float32(1), np.float32(2)], [np.int64(3)], [np.float64(3)], [np.bool_(True)],
            [range(2), range(2)],
        ]  # fmt: skip
        out = [repr(t.default_collate(case)) for case in cases]
        out += [repr(t.default_convert(case)) for case in (*cases, 0, np.array([0, 1]), point(np.array(0), 1), "x")]
        for bad in ([object()], [[1], [1, 2]], [np.array("a")], [None]):
            with pytest.raises((TypeError, RuntimeError)) as caught:
                t.default_collate(bad)
            out.append(repr(caught.value))
        texts.append(out)
    assert texts[0] == texts[1]


BAD = [
    {"num_workers": -1}, {"timeout": -1}, {"prefetch_factor": 2}, {"persistent_workers": True},
    {"num_workers": 1, "prefetch_factor": -1}, {"shuffle": True, "sampler": [0]},
    {"batch_sampler": [[0]], "batch_size": 2}, {"batch_size": None, "drop_last": True}, {"batch_size": 0},
    {"batch_size": 2.5}, {"multiprocessing_context": "fork"},
    {"num_workers": 1, "multiprocessing_context": "magic"}, {"num_workers": 1, "multiprocessing_context": 3},
]  # fmt: skip


@pytest.mark.parametrize("options", BAD, ids=str)
def test_bad_options_say_what_pytorch_says(options: dict) -> None:
    torch = pytest.importorskip("torch")
    texts = []
    for lib in (bulssi, torch):
        with pytest.raises((ValueError, TypeError)) as caught:
            lib.utils.data.DataLoader(list(range(3)), **options)
        texts.append(repr(caught.value))
    assert texts[0] == texts[1]


def test_streams() -> None:
    assert rows(data.DataLoader(Count(5), batch_size=2, collate_fn=lambda b: [i for i, _ in b])) == [
        [0, 1],
        [2, 3],
        [4],
    ]
    dropped = data.DataLoader(Count(5), batch_size=2, drop_last=True, collate_fn=lambda b: [i for i, _ in b])
    assert rows(dropped) == [[0, 1], [2, 3]]
    for option in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}):
        with pytest.raises(ValueError, match="DataLoader with IterableDataset: expected unspecified"):
            data.DataLoader(Count(5), **option)
    both = Count(2) + Count(3)
    assert isinstance(both, data.ChainDataset) and [i for i, _ in both] == [0, 1, 0, 1, 2]

    class Short(Count):
        def __len__(self) -> int:
            return 2

    loader = data.DataLoader(Short(3), batch_size=None)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="was reported to be 2"):
        list(loader)


def test_datasets() -> None:
    pair = data.ConcatDataset([range(3), range(10, 12)])
    assert [pair[i] for i in range(-5, 5)] == [0, 1, 2, 10, 11] * 2
    with pytest.raises(ValueError, match="absolute value of index"):
        pair[-6]
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        data.TensorDataset(bulssi.ones(2), bulssi.ones(3))
    stack = data.StackDataset(data.Subset(Squares(5), [4, 0]), range(2))
    assert stack.__getitems__([0, 1])[0][0]["i"] == 4 and len(stack) == 2
    named = data.StackDataset(a=range(3), b=range(3))
    assert named[1] == {"a": 1, "b": 1} and named.__getitems__([2]) == [{"a": 2, "b": 2}]
    with pytest.raises(NotImplementedError):
        data.Dataset()[0]
    loader = data.DataLoader(range(3))
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 3
    assert data.Dataset[int] is not None


# ---- going on in the middle of an epoch


def through_a_file(state: dict) -> dict:
    from bulssi.serialization import load, save

    file = io.BytesIO()
    save(state, file)
    file.seek(0)
    return load(file)


def shuffled(make, seed: int, stop: int | None):
    """Two epochs with random numbers drawn between batches; with `stop`, through a state at that batch of epoch 2."""
    bulssi.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    loader, seen, state = make(), [], None
    for epoch in range(2):
        for i, batch in enumerate(loader):
            seen.append((rows([batch]), float(bulssi.rand(())), random.random()))
            if epoch == 1 and i + 1 == stop:
                state = through_a_file(loader.state_dict())
                rng = bulssi.get_rng_state(), random.getstate(), np.random.get_state()
                break
    if state is not None:
        bulssi.manual_seed(999)  # another process would be in another state
        random.seed(999)
        fresh = make()
        fresh.load_state_dict(state)
        bulssi.set_rng_state(rng[0])
        random.setstate(rng[1])
        np.random.set_state(rng[2])
        for batch in fresh:
            seen.append((rows([batch]), float(bulssi.rand(())), random.random()))
        seen.append(rows(fresh))
    else:
        seen.append(rows(loader))
    return seen


class PythonShuffle(data.Sampler):
    def __iter__(self):
        order = list(range(20))
        random.shuffle(order)
        return iter(order)

    def __len__(self) -> int:
        return 20


X = bulssi.arange(40).reshape(20, 2)
RESUMED = {
    "memory": lambda: data.DataLoader(data.TensorDataset(X), 3, shuffle=True),
    "rows": lambda: data.DataLoader(Squares(20), 3, shuffle=True),
    "noisy rows": lambda: data.DataLoader(Squares(20, True), 3, shuffle=True),
    "generator": lambda: data.DataLoader(data.TensorDataset(X), 3, True, generator=bulssi.Generator().manual_seed(5)),
    "weights": lambda: data.DataLoader(Squares(20), 3, sampler=data.WeightedRandomSampler([1.0] * 20, 25)),
    "python": lambda: data.DataLoader(Squares(20), 3, sampler=PythonShuffle()),
    "workers": lambda: data.DataLoader(Squares(20), 3, shuffle=True, num_workers=2),
    "noisy workers": lambda: data.DataLoader(Squares(20, True), 3, shuffle=True, num_workers=2),
    "persistent": lambda: data.DataLoader(Squares(20, True), 3, True, num_workers=2, persistent_workers=True),
    "stream of workers": lambda: data.DataLoader(Count(20), 3, num_workers=2),
}


@pytest.mark.parametrize("stop", [1, 4, 7])
@pytest.mark.parametrize("name", RESUMED)
def test_a_loader_goes_on_where_it_was(name: str, stop: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole, parted = shuffled(RESUMED[name], 1, None), shuffled(RESUMED[name], 1, stop)
    if name == "persistent":  # the third epoch of persistent workers draws no seed, that of new ones does
        whole, parted = whole[:-1], parted[:-1]
    if name == "generator":  # the third epoch's too: the fresh generator was put to the first one's state
        assert parted[-1] == whole[-1]
    assert parted == whole


def test_states_between_epochs() -> None:
    loader = data.DataLoader(data.TensorDataset(X), 8)
    assert loader.state_dict() == {"in_epoch": False}
    list(loader)
    assert loader.state_dict() == {"in_epoch": False}
    with pytest.raises(ValueError, match="no state of a DataLoader"):
        loader.load_state_dict({"a": 1})
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    smaller = data.DataLoader(data.TensorDataset(X[:0]), 8)
    smaller.load_state_dict(state)
    with pytest.raises(ValueError, match="epoch of at least 1 batches, this loader has 0"):
        next(iter(smaller))
