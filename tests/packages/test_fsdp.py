"""Parameters split over processes: training beside that of one process, states, checkpoints, and refusals."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import bulssi
import bulssi.nn.functional as F
from bulssi import nn
from bulssi.distributed.device_mesh import init_device_mesh
from bulssi.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from bulssi.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from bulssi.utils.checkpoint import checkpoint
from tests.packages.test_distributed import together
from tests.packages.test_dtensor import Net, sequence_parallel

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside threads


class Checkpointed(Net):
    """Layers whose intermediate results are computed again."""

    reentrant = False

    def forward(self, ids: Any) -> Any:
        h = self.embeddings(ids)
        for layer in self.layers:
            h = checkpoint(layer, h, None, use_reentrant=self.reentrant)
        return self.output(self.norm(h))


class Inside(Net):
    """The same, within each layer."""

    def forward(self, ids: Any) -> Any:
        h = self.embeddings(ids)
        for layer in self.layers:
            h = layer(h, None)
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
