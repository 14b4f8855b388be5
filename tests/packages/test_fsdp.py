"""Parameters split over processes: training beside that of one process, states, checkpoints, and refusals."""

from __future__ import annotations

import copy
import functools
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import bulssi
import bulssi.distributed as dist
import bulssi.nn.functional as F
from bulssi import nn
from bulssi.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    CheckpointWrapper,
    apply_activation_checkpointing,
    checkpoint_wrapper,
)
from bulssi.distributed.device_mesh import init_device_mesh
from bulssi.distributed.fsdp import (
    FSDPModule,
    FullStateDictConfig,
    MixedPrecision,
    MixedPrecisionPolicy,
    OptimStateKeyType,
    ShardingStrategy,
    StateDictType,
    fully_shard,
    register_fsdp_forward_method,
    wrap,
)
from bulssi.distributed.fsdp import FullyShardedDataParallel as FSDP
from bulssi.distributed.fsdp.wrap import ModuleWrapPolicy
from bulssi.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from bulssi.utils.checkpoint import checkpoint
from tests.packages.test_distributed import together
from tests.packages.test_dtensor import Block, FeedForward, Net, sequence_parallel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside threads


class Checkpointed(Net):
    """Layers whose intermediate results are computed again."""

    reentrant = False

    def forward(self, ids: Any) -> Any:
        h = self.embeddings(ids)
        for layer in self.layers:
            h = checkpoint(layer, h, None, use_reentrant=self.reentrant)
        return self.output(self.norm(h))


def build(kind: type = Net) -> Any:
    bulssi.manual_seed(0)
    return kind().double()


def batch(step: int) -> Any:
    return bulssi.randint(0, 20, (8, 6), generator=bulssi.Generator().manual_seed(step))


def train(net: Any, optimizer: Any, rank: int = 0, size: int = 1, first: int = 0, steps: int = 3) -> list[float]:
    """Each process has its part of every batch; norms of gradients."""
    out = []
    for step in range(first, first + steps):
        ids = batch(step)[rank::size]
        optimizer.zero_grad()
        F.cross_entropy(net(ids).flatten(0, 1), ids.flatten()).backward()
        out.append(nn.utils.clip_grad_norm_(net.parameters(), 1.0).item())
        optimizer.step()
    return out


def adam(net: Any) -> Any:
    return bulssi.optim.AdamW(net.parameters(), lr=0.01)


def reference(steps: int = 3) -> tuple[list[float], dict[str, Any]]:
    net = build()
    return train(net, adam(net), steps=steps), net.state_dict()


def check(net: Any, weights: dict[str, Any]) -> None:
    state = net.state_dict()
    assert list(state) == list(weights)
    for name, value in weights.items():
        whole = state[name].full_tensor() if isinstance(state[name], DTensor) else state[name]
        assert whole.allclose(value, atol=1e-9), name


def sharded(net: Any, **options: Any) -> Any:
    for layer in net.layers:
        fully_shard(layer, **options)
    return fully_shard(net, **options)


def _memory(net: Any) -> int:
    """The bytes of gathered parameters."""
    units = [m._fsdp_unit for m in net.modules() if isinstance(m, FSDPModule)]
    return sum(item.full.untyped_storage().nbytes() for unit in units for item in unit.items)


def _train(rank: int, size: int, kind: Any, options: Any, expected: Any) -> None:
    net = build(kind)
    whole = sum(p.nbytes for p in net.parameters())
    sharded(net, **options)
    assert isinstance(net, kind) and isinstance(net, FSDPModule) and type(net).__name__ == f"FSDP{kind.__name__}"
    for p in net.parameters():
        assert isinstance(p, DTensor) and p.placements == (Shard(0),) and isinstance(p, nn.Parameter)
    assert _memory(net) < whole / 5
    norms = train(net, adam(net), rank, size)
    assert norms == pytest.approx(expected[0], abs=1e-10)
    assert _memory(net) < whole / 5  # given up again
    check(net, expected[1])


@pytest.mark.parametrize(
    ("kind", "options", "size"),
    [
        (Net, {}, 2),
        (Net, {}, 3),
        (Net, {"reshard_after_forward": True}, 2),
        (Net, {"reshard_after_forward": False}, 2),
        (Checkpointed, {}, 2),
    ],
)
def test_training_is_that_of_one_process(kind: Any, options: Any, size: int, tmp_path: Path) -> None:
    if size == 3:  # 8 samples do not divide: all have the same
        together(_train_alike, size, tmp_path, reference())
        return
    together(_train, size, tmp_path, kind, options, reference())


def _train_alike(rank: int, size: int, expected: Any) -> None:
    net = sharded(build())
    assert train(net, adam(net)) == pytest.approx(expected[0], abs=1e-10)
    check(net, expected[1])


def _two_dimensions(rank: int, size: int, expected: Any) -> None:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    # Rows that are replicated.
    net = sharded(build(), mesh=mesh)
    assert all(p.placements == (Replicate(), Shard(0)) for p in net.parameters())
    assert train(net, adam(net), rank, size) == pytest.approx(expected[0], abs=1e-10)
    check(net, expected[1])
    # Layers that are split already.
    net = sequence_parallel(build(), mesh["tp"])
    sharded(net, mesh=mesh["dp"])
    placed = {name: str(p.placements) for name, p in net.named_parameters()}
    assert placed["layers.0.attention.wq.weight"] == "(_StridedShard(dim=0, sf=2), Shard(dim=0))"
    assert placed["layers.0.attention.wo.weight"] == "(Shard(dim=0), Shard(dim=1))"
    assert placed["norm.weight"] == "(Shard(dim=0), Replicate())"
    assert train(net, adam(net), rank // 2, 2) == pytest.approx(expected[0], abs=1e-10)
    check(net, expected[1])


def test_meshes_of_two_dimensions(tmp_path: Path) -> None:
    together(_two_dimensions, 4, tmp_path, reference())


def _accumulation(rank: int, size: int) -> None:
    plain, net = build(), sharded(build())
    losses = []
    for model, mine in ((plain, batch(0)), (net, batch(0)[rank::size])):
        for i, ids in enumerate((mine, mine.flip(0))):
            if model is net:
                net.set_requires_gradient_sync(i == 1)
            loss = model(ids).pow(2).mean()
            loss.backward()
        losses.append(loss.item())
        for i in range(2):  # and once more into .grad
            if model is net and i == 0:
                assert all(p.grad is not None for p in net.parameters())
        model(mine).pow(2).mean().backward()
    for p, q in zip(net.parameters(), plain.parameters(), strict=True):
        assert p.grad.full_tensor().allclose(q.grad)
    net.set_requires_gradient_sync(False)
    net.zero_grad()
    net(batch(0)).sum().backward()
    assert all(p.grad is None for p in net.parameters())


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.never = (nn.Linear(2, 2) for _ in range(3))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x: Any, which: str) -> Any:
        return {"out": [self.frozen(getattr(self, which)(x))], "none": None}

    def other(self, x: Any) -> Any:
        return self.a(x)


def _unused(rank: int, size: int) -> None:
    bulssi.manual_seed(0)
    plain = Branches()
    net = fully_shard(copy.deepcopy(plain))
    x = bulssi.ones(3, 2)
    net(x, "ab"[rank])["out"][0].sum().backward()
    for branch in (plain.a, plain.b):
        (plain.frozen(branch(x)).sum() / 2).backward()
    for (name, p), q in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert isinstance(p, DTensor) and (p.grad is None) == (q.grad is None), name
        assert p.grad is None or p.grad.full_tensor().allclose(q.grad), name
    with pytest.raises(AttributeError):
        net(x, "missing")
    assert isinstance(net.a.weight, DTensor)
    register_fsdp_forward_method(net, "other")
    assert net.other(x).allclose(plain.other(x))
    net.reshard()
    with pytest.raises(RuntimeError, match="mixed torch.Tensor and DTensor"):
        net.a(x)  # the parameters are not gathered
    net.unshard()
    assert type(net.a.weight) is nn.Parameter and net.a(x).allclose(plain.a(x))
    net.reshard()
    with bulssi.no_grad():
        net.a.weight.zero_()
    assert net(x, "a")["out"][0].allclose(plain.frozen(plain.a.bias.expand(3, 2)))
    # An error in backward leaves a net that works.
    out = net(x, "a")["out"][0]
    out.register_hook(_fail)
    with pytest.raises(ValueError, match="mine"):
        out.sum().backward()
    net.reshard()
    net.zero_grad()
    net(x, "b")["out"][0].sum().backward()
    assert net.b.weight.grad.full_tensor().allclose(2 * plain.b.weight.grad)


def _fail(grad: Any) -> None:
    raise ValueError("mine")


def _precision(rank: int, size: int) -> None:
    policy = MixedPrecisionPolicy(bulssi.bfloat16, bulssi.float32, bulssi.float32)
    bulssi.manual_seed(0)
    plain = nn.Linear(4, 4)
    seen: list[Any] = []
    net = copy.deepcopy(plain)
    net.register_forward_pre_hook(lambda m, inputs: seen.append((m.weight.dtype, inputs[0].dtype)))
    fully_shard(net, mp_policy=policy)
    x = bulssi.randn(3, 4)
    out = net(x)
    assert out.dtype == bulssi.float32 and seen == [(bulssi.bfloat16, bulssi.bfloat16)]
    out.pow(2).sum().backward(), plain(x).pow(2).sum().backward()
    assert net.weight.grad.dtype == bulssi.float32 and net.weight.dtype == bulssi.float32
    assert net.weight.grad.full_tensor().allclose(plain.weight.grad, rtol=0.1, atol=0.1)
    net.unshard()
    assert net.weight.dtype == bulssi.bfloat16
    net.reshard()


def _prefetch_and_meta(rank: int, size: int, expected: Any) -> None:
    with bulssi.device("meta"):
        net = Net().double()
    sharded(net)
    assert all(p.is_meta for p in net.parameters())
    net.to_empty(device="cpu")
    state = {
        name: nn.Parameter(distribute_tensor(value, p.device_mesh, p.placements))
        for (name, p), value in zip(net.state_dict().items(), build().state_dict().values(), strict=True)
    }
    net.load_state_dict(state, assign=True)
    layers = list(net.layers)
    layers[0].set_modules_to_forward_prefetch([layers[1]])
    layers[1].set_modules_to_backward_prefetch([layers[0]])
    optimizer = adam(net)
    handle = net.unshard(async_op=True)
    handle.wait()
    assert train(net, optimizer, rank, size) == pytest.approx(expected[0], abs=1e-10)
    check(net, expected[1])
    bulssi.manual_seed(3 + rank)
    net.layers[0].attention.wq.reset_parameters()
    bulssi.manual_seed(3)
    one = nn.Linear(16, 16, bias=False, dtype=bulssi.float64)
    assert net.layers[0].attention.wq.weight.full_tensor().equal(one.weight) or rank > 0


def test_prefetch_and_parameters_that_come_later(tmp_path: Path) -> None:
    together(_prefetch_and_meta, 2, tmp_path, reference())


def _refusals(rank: int, size: int) -> None:
    with pytest.raises(ValueError, match="does not support containers that do not implement forward"):
        fully_shard(nn.ModuleList())
    net = fully_shard(nn.Linear(2, 2))
    with pytest.raises(AssertionError, match="before"):
        fully_shard(net)
    with pytest.raises(AssertionError, match="FSDP does not support deepcopy"):
        copy.deepcopy(net)
    with pytest.raises(ValueError, match="expects a 1D or 2D DeviceMesh"):
        fully_shard(nn.Linear(2, 2), mesh=init_device_mesh("cpu", (1, 1, 2)))
    net.weight = nn.Parameter(bulssi.ones(2, 2))
    with pytest.raises(
        ValueError, match=r"parameter 'weight' of FSDPLinear was replaced by Parameter of shape \(2, 2\)"
    ):
        net(bulssi.ones(1, 2))
    mesh = init_device_mesh("cpu", (1, 2), mesh_dim_names=("dp", "tp"))
    wide = nn.Linear(4, 6)
    fully_shard(wide, shard_placement_fn=lambda p: Shard(p.dim() - 1), mesh=mesh["tp"])
    assert wide.weight.placements == (Shard(1),) and wide.weight.to_local().shape == (6, 2)
    plain = nn.Linear(4, 6)
    plain.load_state_dict({k: v.full_tensor() for k, v in wide.state_dict().items()})
    wide(bulssi.ones(2, 4)).pow(2).sum().backward(), plain(bulssi.ones(2, 4)).pow(2).sum().backward()
    assert wide.weight.grad.full_tensor().allclose(plain.weight.grad)


@pytest.mark.parametrize("body", [_accumulation, _unused, _precision, _refusals])
def test_sharded_modules(body: Any, tmp_path: Path) -> None:
    together(body, 2, tmp_path)


# ---- around a module -------------------------------------------------------------------------------------------------


def wrapped(net: Any, **options: Any) -> Any:
    return FSDP(net, auto_wrap_policy=ModuleWrapPolicy({Block}), **options)


def _names(net: Any) -> list[str]:
    return [name for name, _ in net.named_parameters()]


def _clip_and_train(net: Any, optimizer: Any, rank: int, size: int, steps: int = 3, first: int = 0) -> list[float]:
    out = []
    for step in range(first, first + steps):
        ids = batch(step)[rank::size]
        optimizer.zero_grad()
        F.cross_entropy(net(ids).flatten(0, 1), ids.flatten()).backward()
        out.append(net.clip_grad_norm_(1.0).item())
        optimizer.step()
    return out


def _wrapped_trains(rank: int, size: int, kind: Any, options: Any, expected: Any) -> None:
    options = dict(options)
    if options.pop("hybrid", False):
        options["device_mesh"] = init_device_mesh("cpu", (2, size // 2))
    net = wrapped(build(kind), **options)
    assert len(FSDP.fsdp_modules(net)) == 3 and FSDP.fsdp_modules(net, root_only=True) == [net]
    if options.get("use_orig_params"):
        assert _names(net)[0] == "_fsdp_wrapped_module.embeddings.weight" and len(_names(net)) == len(expected[1])
    else:
        assert "_fsdp_wrapped_module.layers.0._fsdp_wrapped_module._flat_param" in _names(net) and len(_names(net)) == 3
    optimizer = adam(net)
    norms = _clip_and_train(net, optimizer, rank, size)
    assert norms == pytest.approx(expected[0], abs=1e-6)
    check(net, expected[1])
    assert net.embeddings is net.module.embeddings and isinstance(net.layers[0], FSDP)


STRATEGIES = [
    ({}, 2),
    ({"use_orig_params": True}, 2),
    ({"sharding_strategy": ShardingStrategy.SHARD_GRAD_OP}, 2),
    ({"sharding_strategy": ShardingStrategy.NO_SHARD}, 2),
    ({"sharding_strategy": ShardingStrategy.HYBRID_SHARD, "hybrid": True, "use_orig_params": True}, 4),
]


@pytest.mark.parametrize(("options", "size"), STRATEGIES)
def test_a_wrapped_module_trains_as_in_one_process(options: Any, size: int, tmp_path: Path) -> None:
    together(_wrapped_trains, size, tmp_path, Net, options, reference())


class Reentrant(Checkpointed):
    reentrant = True


@pytest.mark.parametrize("kind", [Checkpointed, Reentrant])
def test_checkpoints_around_wrapped_modules(kind: Any, tmp_path: Path) -> None:
    together(_wrapped_trains, 2, tmp_path, kind, {}, reference())


def _activation_checkpointing(rank: int, size: int, expected: Any) -> None:
    for impl in CheckpointImpl:
        for kind in ("fsdp", "shard"):
            net = wrapped(build()) if kind == "fsdp" else sharded(build())
            apply_activation_checkpointing(
                net, lambda m, i=impl: checkpoint_wrapper(m, checkpoint_impl=i), lambda m: isinstance(m, FeedForward)
            )
            assert isinstance(net.layers[0].feed_forward, CheckpointWrapper)
            optimizer = adam(net)
            norms = (_clip_and_train if kind == "fsdp" else train)(net, optimizer, rank, size)
            assert norms == pytest.approx(expected[0], abs=1e-6), (impl, kind)
            check(net, expected[1])


def test_activation_checkpointing_inside(tmp_path: Path) -> None:
    together(_activation_checkpointing, 2, tmp_path, reference())


def _two_dimensions_wrapped(rank: int, size: int, expected: Any) -> None:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    net = FSDP(sequence_parallel(build(), mesh["tp"]), device_mesh=mesh["dp"], use_orig_params=True)
    optimizer = adam(net)
    for step in range(3):
        ids = batch(step)[rank // 2 :: 2]
        optimizer.zero_grad()
        F.cross_entropy(net(ids).flatten(0, 1), ids.flatten()).backward()
        total = bulssi.tensor(0.0, dtype=bulssi.float64)
        split = {
            i for i, s in enumerate(net._unit.specs) if s.like is not None and not s.like.placements[0].is_replicate()
        }
        for i, p in enumerate(net._unit.parts):
            total += p.grad.pow(2).sum() / (1 if i in split else 2)
        dist.all_reduce(total)
        assert total.sqrt().item() == pytest.approx(expected[0][step], abs=1e-6)
        for p in net.parameters():
            p.grad.mul_((1.0 / (total.sqrt() + 1e-6)).clamp(max=1.0))
        optimizer.step()
    check(net, expected[1])
    saved = net.state_dict()
    with bulssi.no_grad():
        for p in net.parameters():
            p.zero_()
    net.load_state_dict(saved)
    check(net, expected[1])
    with FSDP.state_dict_type(net, StateDictType.SHARDED_STATE_DICT):
        check(net, expected[1])


def test_wrapping_layers_that_are_split_already(tmp_path: Path) -> None:
    together(_two_dimensions_wrapped, 4, tmp_path, reference())


def _states(rank: int, size: int, expected: Any, original: bool) -> None:
    net = wrapped(build(), use_orig_params=original)
    optimizer = adam(net)
    _clip_and_train(net, optimizer, rank, size)
    weights = expected[1]
    # Whole, in all processes or in the first.
    check(net, weights)
    config = FullStateDictConfig(offload_to_cpu=True, rank0_only=True)
    with FSDP.state_dict_type(net, StateDictType.FULL_STATE_DICT, config):
        assert FSDP.get_state_dict_type(net).state_dict_type is StateDictType.FULL_STATE_DICT
        saved = net.state_dict()
        assert list(saved) == (list(weights) if rank == 0 else [])
    full = net.state_dict()
    other = wrapped(build(), use_orig_params=original)
    _zero(other)
    other.load_state_dict(full)
    check(other, weights)
    with pytest.raises(RuntimeError, match="size mismatch for .*output.weight"):
        other.load_state_dict({**full, "output.weight": bulssi.zeros(3)})
    with pytest.raises(RuntimeError, match=r"Missing key.*norm.bias"):
        other.load_state_dict({k: v for k, v in full.items() if k != "norm.bias"})
    check(other, weights)
    # Split.
    for kind in (StateDictType.SHARDED_STATE_DICT, StateDictType.LOCAL_STATE_DICT):
        with FSDP.state_dict_type(net, kind):
            split = net.state_dict()
            assert all(isinstance(v, DTensor) for v in split.values())
            if kind is StateDictType.LOCAL_STATE_DICT:
                assert list(split) == ["_flat_param", "layers.0._flat_param", "layers.1._flat_param"]
            else:
                check(net, weights)
        _zero(other)
        with FSDP.state_dict_type(other, kind):
            other.load_state_dict(split)
        check(other, weights)
    # Optimizers.
    plain = build()
    plain_optimizer = adam(plain)
    train(plain, plain_optimizer)
    found = FSDP.full_optim_state_dict(net, optimizer)
    by_name = FSDP.rekey_optim_state_dict(plain_optimizer.state_dict(), OptimStateKeyType.PARAM_NAME, plain)
    assert (rank == 0) == bool(found)
    if rank == 0:
        assert found["state"].keys() == by_name["state"].keys()
        for name, row in by_name["state"].items():
            for key, value in row.items():
                assert found["state"][name][key].allclose(value, atol=1e-6), (name, key)
        back = FSDP.rekey_optim_state_dict(found, OptimStateKeyType.PARAM_ID, plain)
        plain_optimizer.load_state_dict(back)
    further = [_further(net, optimizer, rank, size)]
    optimizers = []
    for how in range(3):
        other = wrapped(build(), use_orig_params=original)
        other.load_state_dict(full)
        optimizers.append((other, adam(other)))
        made = optimizers[-1][1]
        if how == 0:
            made.load_state_dict(FSDP.scatter_full_optim_state_dict(found or None, other, optim=made))
        elif how == 1:
            with FSDP.state_dict_type(other, StateDictType.SHARDED_STATE_DICT):
                with FSDP.state_dict_type(other, StateDictType.FULL_STATE_DICT, None, None):
                    whole = FSDP.optim_state_dict_to_load(other, made, _everywhere(found))
            made.load_state_dict(whole)
        else:
            made.load_state_dict(FSDP.shard_full_optim_state_dict(_everywhere(found), other))
        further.append(_further(other, made, rank, size))
    assert all(state.keys() == further[0].keys() for state in further)
    for state in further[1:]:
        for name, value in state.items():
            assert value.allclose(further[0][name], atol=1e-9), name


def _everywhere(value: Any) -> Any:
    found = [value]
    dist.broadcast_object_list(found, src=0)
    return found[0]


def _zero(net: Any) -> None:
    with bulssi.no_grad():
        for p in net.parameters():
            p.zero_()


def _further(net: Any, optimizer: Any, rank: int, size: int) -> Any:
    _clip_and_train(net, optimizer, rank, size, steps=2, first=7)
    return net.state_dict()


@pytest.mark.parametrize("original", [False, True])
def test_states(original: bool, tmp_path: Path) -> None:
    together(_states, 2, tmp_path, reference(), original)


class Uneven(nn.Module):
    """With parameters that do not divide, a frozen one, one shared, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 5), nn.Linear(5, 3)
        self.extra = nn.Parameter(bulssi.ones(3))
        self.tied = self.last
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Any) -> Any:
        return self.norm(self.tied(self.first(x)) * self.extra)


def _options(rank: int, size: int) -> None:
    bulssi.manual_seed(rank)
    plain = Uneven()
    net = FSDP(copy.deepcopy(plain), sync_module_states=True)
    everybody: list[Any] = [None] * size
    dist.all_gather_object(everybody, {k: v.clone() for k, v in net.state_dict().items()})
    for name, value in everybody[0].items():
        assert all(other[name].equal(value) for other in everybody)
    assert rank > 0 or all(value.equal(everybody[0][name]) for name, value in plain.state_dict().items())
    plain.load_state_dict(everybody[0])
    x = bulssi.randn(4, 3, generator=bulssi.Generator().manual_seed(1))
    net(x).pow(2).mean().backward(), plain(x).pow(2).mean().backward()
    with FSDP.summon_full_params(net, with_grads=True):
        assert [n for n, _ in net.named_parameters()] == [n for n, _ in plain.named_parameters()]
        for (name, p), q in zip(net.named_parameters(), plain.parameters(), strict=True):
            assert p.equal(q) and p.grad.allclose(q.grad, atol=1e-6), name
        with bulssi.no_grad():
            net.module.extra.fill_(5)
    assert net.state_dict()["extra"].tolist() == [5, 5, 5] and "_flat_param" in _names(net.module)
    with FSDP.summon_full_params(net, writeback=False):
        net.module.extra.data.fill_(7)
    assert net.state_dict()["extra"].tolist() == [5, 5, 5]
    net.apply(lambda m: nn.init.ones_(m.weight) if isinstance(m, nn.Linear) else None)
    assert net.state_dict()["first.weight"].eq(1).all()
    # Gradients add up without messages.
    net.zero_grad()
    with net.no_sync():
        net(x).sum().backward()
    assert all(p.grad is None for p in net.parameters())
    net(x).sum().backward()
    # Frozen parameters.
    frozen = Uneven()
    frozen.first.requires_grad_(False)
    with pytest.raises(ValueError, match="uniform requires_grad when use_orig_params=False\nof 7 parameters, these"):
        FSDP(frozen)
    half = FSDP(frozen, use_orig_params=True)
    half(x).sum().backward()
    grads = {name: p.grad is not None for name, p in half.module.named_parameters()}
    assert not grads["first.weight"] and grads["last.weight"]
    half.double()
    assert half(x.double()).dtype == bulssi.float64 and half.state_dict()["extra"].dtype == bulssi.float64
    with pytest.raises(ValueError, match="uniform dtype but got torch.float32 and torch.float64"):
        FSDP(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).double()))
    with pytest.raises(ValueError, match="requires explicit specification of process group or device_mesh"):
        FSDP(nn.Linear(1, 1), sharding_strategy=ShardingStrategy.HYBRID_SHARD)
    with pytest.raises(RuntimeError, match="Expected state_dict_config of type"):
        FSDP.set_state_dict_type(net, StateDictType.LOCAL_STATE_DICT, FullStateDictConfig())
    # From nothing.
    with bulssi.device("meta"):
        empty = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    made = FSDP(empty, sync_module_states=True)
    assert made(x).shape == (4, 3) and not made.state_dict()["0.weight"].is_meta
    kept = nn.Linear(3, 3)
    ignoring = FSDP(nn.Sequential(nn.Linear(3, 3), kept), ignored_modules=[kept])
    assert type(kept.weight) is nn.Parameter and list(ignoring.state_dict()) == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
    ]


def _mixed(rank: int, size: int) -> None:
    low = MixedPrecision(bulssi.bfloat16, bulssi.float32, bulssi.bfloat16)
    bulssi.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.warns(UserWarning, match="Both mixed precision and an auto_wrap_policy were specified"):
        net = FSDP(copy.deepcopy(plain), mixed_precision=low, auto_wrap_policy=ModuleWrapPolicy({nn.Linear}))
    seen = []
    net[1].module.register_forward_hook(lambda m, i, o: seen.append((m.weight.dtype, i[0].dtype, m.running_mean.dtype)))
    net[0].module.register_forward_hook(lambda m, i, o: seen.append((m.weight.dtype, i[0].dtype)))
    x = bulssi.randn(6, 4)
    out = net(x)
    assert out.dtype == bulssi.bfloat16
    assert seen == [(bulssi.bfloat16,) * 2, (bulssi.float32,) * 3]
    out.float().pow(2).mean().backward(), plain(x).pow(2).mean().backward()
    with FSDP.summon_full_params(net, with_grads=True):
        for (name, p), q in zip(net.named_parameters(), plain.parameters(), strict=True):
            assert p.dtype == p.grad.dtype == bulssi.float32 and p.grad.allclose(q.grad, rtol=0.1, atol=0.05), name


@pytest.mark.parametrize("body", [_options, _mixed])
def test_wrapped_modules(body: Any, tmp_path: Path) -> None:
    together(body, 2, tmp_path)


def test_policies() -> None:
    small = nn.ModuleList([nn.Linear(4, 4)])
    net = nn.Sequential(nn.Linear(10, 10), nn.Sequential(nn.Linear(10, 5), nn.Linear(5, 10)), small)
    size = functools.partial(wrap.size_based_auto_wrap_policy, min_num_params=100)
    assert size(net[0], False, 110) and not size(net[0], False, 99) and not size(net[2], False, 500)
    assert not size(nn.MultiheadAttention(4, 1), True, 500)
    layers = functools.partial(wrap.transformer_auto_wrap_policy, transformer_layer_cls={nn.ReLU})
    assert layers(net, True, 0) and not layers(net, False, 0) and layers(nn.ReLU(), False, 0)
    assert wrap.lambda_auto_wrap_policy(net, False, 0, lambda m: m is net) and wrap.always_wrap_policy()

    class Unit(nn.Module):
        def __init__(self, module: nn.Module, **options: Any) -> None:
            super().__init__()
            self.module, self.options = module, options

    wrap.wrap_children(net, size, Unit, Unit, set())
    assert [type(child) for child in net] == [Unit, Unit, nn.ModuleList]
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    custom = wrap.CustomPolicy(lambda m: {"x": 1} if isinstance(m, nn.Linear) else False)
    wrap.wrap_children(net, custom, Unit, Unit, set())
    assert net[0].options == {"x": 1} == net[1][0].options
    with wrap.enable_wrap(wrapper_cls=Unit, a=1):
        assert wrap.wrap(nn.ReLU(), b=2).options == {"a": 1, "b": 2}
    assert isinstance(wrap.wrap(nn.ReLU()), nn.ReLU)


def test_names_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    import inspect

    import torch.distributed.fsdp as theirs

    from bulssi.distributed import fsdp as ours

    for name in ours.__all__:
        a, b = getattr(ours, name), getattr(theirs, name)
        if inspect.isclass(a) and issubclass(a, Enum):
            assert [(m.name, m.value) for m in a] == [(m.name, m.value) for m in b]
        elif name not in ("FlatParameter", "UnshardHandle", "MixedPrecision"):
            missing = set(inspect.signature(a).parameters) ^ set(inspect.signature(b).parameters)
            assert not missing - {"dp_mesh_dims"}, (name, missing)
    public = {n for n in vars(theirs.FullyShardedDataParallel) if not n.startswith("_")}
    assert public - set(vars(FSDP)) == {"register_comm_hook"}
    assert torch is not None
