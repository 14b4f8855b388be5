"""Checkpoints of several processes: loaded by other numbers of them, exchanged with PyTorch, and never half."""

from __future__ import annotations

import copy
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest

import bulssi
import bulssi.distributed as dist
import bulssi.distributed.checkpoint as dcp
from bulssi import nn
from bulssi.distributed.checkpoint import metadata as described
from bulssi.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from bulssi.distributed.checkpoint.state_dict import (
    StateDictOptions,
    _init_optim_state,
    get_model_state_dict,
    get_optimizer_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from bulssi.distributed.device_mesh import init_device_mesh
from bulssi.distributed.fsdp import FullyShardedDataParallel as FSDP
from bulssi.distributed.fsdp import StateDictType
from bulssi.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from bulssi.nn.parallel import DistributedDataParallel
from tests.packages.test_distributed import together
from tests.packages.test_dtensor import Net, sequence_parallel
from tests.packages.test_fsdp import _clip_and_train, adam, build, check, sharded, train, wrapped

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside threads


def make(kind: str) -> Any:
    """A net, split in some way over the processes."""
    if kind == "plain":
        return build()
    if kind == "shard":
        return sharded(build())
    if kind == "wrap":
        return wrapped(build())
    if kind == "original":
        return wrapped(build(), use_orig_params=True)
    if kind == "ddp":
        return DistributedDataParallel(build())
    mesh = init_device_mesh("cpu", (dist.get_world_size() // 2, 2), mesh_dim_names=("dp", "tp"))
    return sharded(sequence_parallel(build(), mesh["tp"]), mesh=mesh["dp"])


def _part(kind: str, rank: int, size: int) -> tuple[int, int]:
    return (0, 1) if kind == "plain" else (rank // 2, size // 2) if kind == "two" else (rank, size)


def _run(net: Any, optimizer: Any, kind: str, rank: int, size: int, **options: Any) -> list[float]:
    part = _part(kind, rank, size)
    if isinstance(net, FSDP):
        return _clip_and_train(net, optimizer, *part, **options)
    return train(net, optimizer, *part, **options)


def _save(rank: int, size: int, kind: str, folder: str) -> None:
    net = make(kind)
    optimizer = adam(net)
    _run(net, optimizer, kind, rank, size, steps=2)
    model, optim = get_state_dict(net, optimizer)
    metadata = dcp.save({"model": model, "optim": optim, "step": 2}, checkpoint_id=folder)
    assert metadata.version == "1.0.0" and "model.output.weight" in metadata.state_dict_metadata


def _resume(rank: int, size: int, kind: str, folder: str, expected: Any) -> None:
    net = make(kind)
    optimizer = adam(net)
    model, optim = get_state_dict(net, optimizer)
    state = {"model": model, "optim": optim, "step": 0}
    dcp.load(state, checkpoint_id=folder)
    assert state["step"] == 2
    keys = set_state_dict(net, optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])
    assert not keys.missing_keys and not keys.unexpected_keys
    norms = _run(net, optimizer, kind, rank, size, steps=2, first=2)
    assert norms == pytest.approx(expected[0], abs=1e-6)
    check_named(net, expected[1])


def check_named(net: Any, weights: dict[str, Any]) -> None:
    state = get_model_state_dict(net, options=StateDictOptions(full_state_dict=True))
    assert state.keys() == weights.keys()
    for name, value in weights.items():
        assert type(state[name]) is bulssi.Tensor and state[name].allclose(value, atol=1e-9), name


@pytest.fixture(scope="module")
def trained() -> Any:
    net = build()
    optimizer = adam(net)
    train(net, optimizer, steps=2)
    norms = train(net, optimizer, steps=2, first=2)
    return norms, {name: value.clone() for name, value in net.state_dict().items()}


PAIRS = [
    (("shard", 4), [("shard", 2), ("plain", 1), ("wrap", 2), ("two", 4)]),
    (("wrap", 2), [("shard", 3), ("original", 2), ("ddp", 2)]),
    (("two", 4), [("shard", 2), ("original", 4)]),
    (("plain", 1), [("shard", 2), ("two", 2)]),
]


@pytest.mark.parametrize(("saved", "loaded"), PAIRS)
def test_any_number_of_processes_goes_on(saved: Any, loaded: Any, trained: Any, tmp_path: Path) -> None:
    kind, size = saved
    (tmp_path / "a").mkdir()
    together(_save, size, tmp_path / "a", kind, f"{tmp_path}/saved")
    for i, (other, count) in enumerate(loaded):
        if count == 3:
            continue  # batches do not divide
        (tmp_path / f"b{i}").mkdir()
        together(_resume, count, tmp_path / f"b{i}", other, f"{tmp_path}/saved", trained)


# ---- wrapped modules as their programs save them ---------------------------------------------------------------------


def _programs(rank: int, size: int, folder: str) -> None:
    net = wrapped(build())
    optimizer = adam(net)
    _clip_and_train(net, optimizer, rank, size, steps=1)
    whole = net.state_dict()
    with FSDP.state_dict_type(net, StateDictType.SHARDED_STATE_DICT):
        state = {"model": net.state_dict(), "optim": FSDP.optim_state_dict(net, optimizer)}
        dcp.save_state_dict(state, storage_writer=dcp.FileSystemWriter(folder), planner=DefaultSavePlanner())
    other = wrapped(build())
    with FSDP.state_dict_type(other, StateDictType.SHARDED_STATE_DICT):
        loaded = {"model": other.state_dict()}
        dcp.load_state_dict(loaded, storage_reader=dcp.FileSystemReader(folder))
        other.load_state_dict(loaded["model"])
    check(other, whole)


def test_wrapped_modules_of_older_programs(tmp_path: Path) -> None:
    together(_programs, 2, tmp_path, f"{tmp_path}/saved")


# ---- values of all kinds ---------------------------------------------------------------------------------------------


def _values(library: Any) -> dict[str, Any]:
    library.manual_seed(0)
    model = library.nn.Linear(3, 2)
    optimizer = library.optim.Adam(model.parameters())
    model(library.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "model": dict(model.state_dict()),
        "optim": optimizer.state_dict(),
        "dtypes": [library.ones(2, dtype=getattr(library, n)) for n in ("bfloat16", "int64", "bool", "float64")],
        "empty": library.ones(0, 3),
        "step": 3,
        "text": {"a": "b", "list": [1, 2], "none": None},
    }


def _blank(library: Any, value: Any) -> Any:
    if isinstance(value, library.Tensor):
        return library.zeros_like(value)
    if isinstance(value, dict):
        return {key: _blank(library, item) for key, item in value.items()}
    return [_blank(library, item) for item in value] if isinstance(value, list) else None


def test_folders_are_those_of_pytorch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import torch.distributed.checkpoint as theirs

    for write, read, source, target in ((theirs, dcp, torch, bulssi), (dcp, theirs, bulssi, torch)):
        folder = str(tmp_path / target.__name__)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write.save(_values(source), checkpoint_id=folder, no_dist=True)
            state = _blank(target, _values(target))
            read.load(state, checkpoint_id=folder, no_dist=True)
        assert str(state) == str(_values(target))
    assert described.load((tmp_path / "torch" / ".metadata").read_bytes()).state_dict_metadata


class Counter:
    def __init__(self) -> None:
        self.count = bulssi.zeros(())

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"] + 100


def test_objects_with_a_state(tmp_path: Path) -> None:
    counter = Counter()
    counter.count += 5
    dcp.save({"counter": counter}, checkpoint_id=tmp_path, no_dist=True)
    other = Counter()
    dcp.load({"counter": other}, checkpoint_id=tmp_path, no_dist=True)
    assert other.count == 105
    with pytest.warns(UserWarning, match="assuming the intent is to save in a single process"):
        dcp.save({"a": 1}, checkpoint_id=tmp_path)
    assert len(os.listdir(tmp_path)) == 2


# ---- what goes wrong -------------------------------------------------------------------------------------------------


class Unwilling:
    """An object that cannot be written."""

    def __reduce__(self) -> Any:
        raise ValueError("mine")


def test_refusals(tmp_path: Path) -> None:
    dcp.save({"a": bulssi.ones(2, 3), "b": {"c": 1}}, checkpoint_id=tmp_path, no_dist=True)
    before = sorted(os.listdir(tmp_path))

    def load(state: Any, folder: Path = tmp_path, **options: Any) -> None:
        dcp.load(state, checkpoint_id=folder, no_dist=True, **options)

    a = bulssi.zeros(2, 3)
    with pytest.raises(dcp.CheckpointException, match=r"Size mismatch between saved .*\[2, 3\]\) and current: .*\[3\]"):
        load({"a": bulssi.zeros(3)})
    with pytest.raises(dcp.CheckpointException, match="Missing key in checkpoint state_dict: b.d"):
        load({"a": a, "b": {"d": 2}})
    with pytest.raises(dcp.CheckpointException, match="is a tensor in one of"):
        load({"a": 3})
    assert a.eq(0).all()  # nothing was changed
    load({"a": a, "d": 3}, planner=DefaultLoadPlanner(allow_partial_load=True))
    assert a.eq(1).all()
    with pytest.raises(dcp.CheckpointException, match="FileNotFoundError") as raised:
        load({"a": a}, tmp_path / "nothing")
    assert isinstance(raised.value.failures[0], FileNotFoundError)
    with pytest.raises(dcp.CheckpointException, match="Checkpoint already exists and self.overwrite=False"):
        dcp.save({"a": a}, storage_writer=dcp.FileSystemWriter(tmp_path, overwrite=False), no_dist=True)
    with pytest.raises(dcp.CheckpointException, match="ValueError: mine"):
        dcp.save({"a": a * 7, "b": Unwilling()}, checkpoint_id=tmp_path, no_dist=True)
    with pytest.raises(dcp.CheckpointException, match="duplicated flatten key b.c"):
        dcp.save({"b": {"c": 1}, "b.c": 2}, checkpoint_id=tmp_path, no_dist=True)
    with pytest.raises(dcp.CheckpointException, match="meta device"):
        dcp.save({"b": bulssi.ones(1, device="meta")}, checkpoint_id=tmp_path, no_dist=True)
    with pytest.raises(RuntimeError, match="`checkpoint_id` must be specified if storage_reader/storage_writer is"):
        dcp.save({})
    assert sorted(os.listdir(tmp_path)) == before
    load({"a": a})
    assert a.eq(1).all()
    # Damaged files.
    data = tmp_path / before[1]
    contents = data.read_bytes()
    data.write_bytes(contents[:100])
    with pytest.raises(dcp.CheckpointException, match="the checkpoint is damaged"):
        load({"a": a})
    data.write_bytes(contents)
    text = (tmp_path / ".metadata").read_bytes()
    for wrong in (b"", text[:50], pickle.dumps(os.system), pickle.dumps({})):
        (tmp_path / ".metadata").write_bytes(wrong)
        with pytest.raises(dcp.CheckpointException, match="UnpicklingError"):
            load({"a": a})
    (tmp_path / ".metadata").write_bytes(text.replace(b"__0_0.distcp", b"../0_0.distc"))
    with pytest.raises(dcp.CheckpointException, match="outside of its folder"):
        load({"a": a})


def _one_fails(rank: int, size: int, folder: str) -> None:
    mesh = init_device_mesh("cpu", (size,))
    x = distribute_tensor(bulssi.arange(6.0), mesh, [Shard(0)])
    dcp.save({"x": x, "rank": rank, "same": bulssi.ones(2)}, checkpoint_id=folder)
    before = sorted(os.listdir(folder))
    assert before == [".metadata", "__0_0.distcp", "__1_0.distcp"]
    state: dict[str, Any] = {"y": Unwilling()} if rank == 1 else {}
    with pytest.raises(dcp.CheckpointException, match=r"\(RANK 1\) .*ValueError: mine") as raised:
        dcp.save({"x": x * 2, **state}, checkpoint_id=folder)
    assert list(raised.value.failures) == [1]
    dist.barrier()
    assert sorted(os.listdir(folder)) == before
    y = distribute_tensor(bulssi.zeros(6), mesh, [Replicate()])
    got = {"x": y, "rank": 5}
    dcp.load(got, checkpoint_id=folder)
    assert y.to_local().equal(bulssi.arange(6.0)) and got["rank"] == 0
    with pytest.raises(dcp.CheckpointException, match="Missing key"):
        dcp.load({"z": y} if rank == 0 else {"x": y}, checkpoint_id=folder)
    # In a thread, while something else goes on.
    future = dcp.async_save({"x": x}, checkpoint_id=folder)
    with bulssi.no_grad():
        x.to_local().fill_(9)
    for _ in range(5):
        dist.all_reduce(bulssi.ones(10))
    assert "x" in future.result(60).state_dict_metadata
    dist.barrier()
    dcp.load({"x": y}, checkpoint_id=folder)
    assert y.to_local().equal(bulssi.arange(6.0)) and sorted(os.listdir(folder))[1:] == ["__0_1.distcp", "__1_1.distcp"]


def test_enumerations_as_python_3_11_2_writes_them() -> None:
    """As getattr(class, name), of which only that one class is allowed."""
    for module in ("builtins", "__builtin__"):
        asked = f"c{module}\ngetattr\n(ctorch.distributed.checkpoint.metadata\n".encode()
        member = asked + b"_MEM_FORMAT_ENCODING\nVTORCH_CONTIGUOUS_FORMAT\ntR."
        with pytest.raises(pickle.UnpicklingError, match="holds a _MEM_FORMAT_ENCODING"):
            described.load(member)
        with pytest.raises(pickle.UnpicklingError, match="asks for the attribute '__init__'"):
            described.load(asked + b"Metadata\nV__init__\ntR.")
        with pytest.raises(pickle.UnpicklingError, match="damaged"):
            described.load(asked + b"_MEM_FORMAT_ENCODING\nV__class__\ntR.")


def test_a_checkpoint_is_never_half(tmp_path: Path) -> None:
    together(_one_fails, 2, tmp_path, f"{tmp_path}/saved")


# ---- states by names -------------------------------------------------------------------------------------------------


def _states(rank: int, size: int, kind: str) -> None:
    plain = build()
    plain_optimizer = adam(plain)
    train(plain, plain_optimizer, steps=1)
    net = make(kind)
    optimizer = adam(net)
    _run(net, optimizer, kind, rank, size, steps=1)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    model, optim = get_model_state_dict(net, options=options), get_optimizer_state_dict(net, optimizer, options=options)
    model, optim = copy.deepcopy(model), copy.deepcopy(optim)  # they share memory with what goes on
    assert bool(model) == bool(optim) == (rank == 0)
    names = [name for name, _ in plain.named_parameters()]
    if rank == 0:
        assert list(model) == names and set(optim["state"]) == set(names)
        assert {name for group in optim["param_groups"] for name in group["params"]} == set(names)
        for i, name in enumerate(names):
            assert model[name].allclose(plain.get_parameter(name), atol=1e-9)
            for key, value in plain_optimizer.state_dict()["state"][i].items():
                assert optim["state"][name][key].allclose(value, atol=1e-6), (name, key)
    assert all(isinstance(v, DTensor) or kind == "ddp" for v in get_model_state_dict(net).values())
    further = _run(net, optimizer, kind, rank, size, steps=2, first=5)
    # From process 0 into a fresh one.
    other = make(kind)
    other_optimizer = adam(other)
    everywhere = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(other, model, options=everywhere)
    set_optimizer_state_dict(other, other_optimizer, optim, options=everywhere)
    assert _run(other, other_optimizer, kind, rank, size, steps=2, first=5) == pytest.approx(further, abs=1e-9)
    check_named(other, get_model_state_dict(net, options=StateDictOptions(full_state_dict=True)))
    flat = StateDictOptions(full_state_dict=True, flatten_optimizer_state_dict=True)
    found = get_optimizer_state_dict(other, other_optimizer, options=flat)
    assert found["param_groups.output.weight.lr"] == 0.01 and found["state.norm.bias.step"] == 3
    if kind not in ("wrap", "original"):
        set_optimizer_state_dict(net, optimizer, found, options=flat)
        one = get_model_state_dict(net, submodules={net.norm if kind != "ddp" else net.module.norm})
        assert list(one) == ["norm.weight", "norm.bias"]
        with pytest.raises(KeyError, match="norm.bias"):
            whole = get_optimizer_state_dict(net, optimizer)
            del whole["state"]["norm.bias"]
            set_optimizer_state_dict(net, optimizer, whole)
    with pytest.raises(ValueError, match="full_state_dict must be True when broadcast_from_rank0 is True"):
        set_model_state_dict(net, model, options=StateDictOptions(broadcast_from_rank0=True))


@pytest.mark.parametrize("kind", ["shard", "wrap", "original", "ddp"])
def test_states_by_names(kind: str, tmp_path: Path) -> None:
    together(_states, 2, tmp_path, kind)


def _later(rank: int, size: int) -> None:
    whole = build().state_dict() if rank == 0 else {}
    with bulssi.device("meta"):
        net = Net().double()
    sharded(net)
    set_model_state_dict(net, whole, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True))
    check(net, build().state_dict())


def test_parameters_that_come_later(tmp_path: Path) -> None:
    together(_later, 2, tmp_path)


def test_a_state_is_made_without_a_step() -> None:
    net = nn.Linear(2, 2)
    before = net.weight.detach().clone()
    optimizer = bulssi.optim.AdamW(net.parameters(), lr=0.1)
    _init_optim_state(optimizer)
    assert net.weight.equal(before) and optimizer.param_groups[0]["lr"] == 0.1 and net.weight.grad is None
    assert optimizer.state[net.weight]["exp_avg"].eq(0).all()
