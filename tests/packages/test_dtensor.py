"""Tensors split over processes: every operation beside the same one on a plain tensor, with gradients; layers split."""

from __future__ import annotations

import copy
import importlib
import inspect
import io
import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bulssi
import bulssi.nn.functional as F
from bulssi import nn
from bulssi.distributed.device_mesh import DeviceMesh, init_device_mesh
from bulssi.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor, full, ones, randn
from bulssi.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from tests.packages.test_distributed import together

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking beside threads
R, S = Replicate(), Shard


def _values(*shape: int, seed: int = 0) -> Any:
    return bulssi.randn(shape, generator=bulssi.Generator().manual_seed(seed + sum(shape)), dtype=bulssi.float64)


def _mesh_refuses(mesh: DeviceMesh) -> None:
    with pytest.raises(KeyError, match="Invalid mesh_dim_names"):
        mesh["pp"]  # noqa: B018
    with pytest.raises(KeyError, match="ascending order"):
        mesh["tp", "dp"]  # noqa: B018
    with pytest.raises(RuntimeError, match="mesh_dim` needs to be specified"):
        mesh.get_group()
    with pytest.raises(KeyError, match="Mesh dimension 'zz' does not exist"):
        mesh.get_group("zz")
    with pytest.raises(RuntimeError, match="should not be bigger than default world size 4, but found 9 ranks"):
        init_device_mesh("cpu", (3, 3))
    with pytest.raises(RuntimeError, match="should have same length"):
        init_device_mesh("cpu", (2, 2), mesh_dim_names=("a",))
    with pytest.raises(RuntimeError, match="must be unique"):
        init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "a"))
    with pytest.raises(RuntimeError, match="Device type with index is not supported"):
        init_device_mesh("cpu:0", (2, 2))


def _mesh(rank: int, size: int) -> None:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    assert repr(mesh) == "DeviceMesh((dp=2, tp=2), 'cpu', stride=(2, 1))"
    assert mesh.mesh.tolist() == [[0, 1], [2, 3]] and mesh.shape == (2, 2) and mesh.size() == 4 and mesh.size(1) == 2
    assert mesh.get_coordinate() == divmod(rank, 2) and mesh.get_rank() == rank
    dp, tp = mesh["dp"], mesh["tp"]
    assert dp.get_local_rank() == rank // 2 and tp.get_local_rank() == rank % 2 == mesh.get_local_rank("tp")
    assert tp.mesh.tolist() == [rank // 2 * 2, rank // 2 * 2 + 1] and mesh["dp", "tp"] is mesh and mesh["tp"] is tp
    assert repr(dp) == "DeviceMesh((dp=2), 'cpu', stride=(2,))"
    x = bulssi.tensor([float(rank)])
    bulssi.distributed.all_reduce(x, group=dp.get_group())
    assert x.item() == 2 + 2 * (rank % 2) and len(mesh.get_all_groups()) == 2
    flat = mesh._flatten()
    assert flat.size() == 4 and mesh["dp_tp"] is flat and flat.get_group().size() == 4
    assert copy.deepcopy(mesh) is mesh and mesh == init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    again = DeviceMesh.from_group(tp.get_group(), "cpu", mesh_dim_names=("tp",))
    assert again.get_local_rank() == rank % 2
    _mesh_refuses(mesh)


def _redistribution(rank: int, size: int) -> None:
    mesh = init_device_mesh("cpu", (2, size // 2))
    for shape in ((4, 8), (5, 3), (1, 7)):
        x = _values(*shape)
        for source in itertools.product((R, S(0), S(1)), repeat=2):
            d = distribute_tensor(x, mesh, source)
            assert d.shape == x.shape and d.to_local().shape == _part(x, mesh, source).shape
            assert d.to_local().equal(_part(x, mesh, source)) and d.full_tensor().equal(x)
            for target in itertools.product((R, S(0), S(1)), repeat=2):
                moved = d.redistribute(placements=target)
                assert moved.placements == target and moved.to_local().equal(_part(x, mesh, target)), (source, target)
                leaf = _part(x, mesh, source).clone().requires_grad_()
                out = DTensor.from_local(leaf, mesh, source, shape=x.shape, stride=x.stride())
                w = distribute_tensor(x * 3, mesh, target)
                (out.redistribute(placements=target) * w).sum().backward()
                assert leaf.grad.allclose(_part(x * 3, mesh, source)), (source, target)
        # Sums become what is asked for.
        for target in itertools.product((R, S(0), S(1)), repeat=2):
            for placed, count in (((Partial(), R), 2), ((Partial(), Partial()), size), ((S(0), Partial()), size // 2)):
                local = _part(x, mesh, [R if p.is_partial() else p for p in placed])
                d = DTensor.from_local(local, mesh, placed, shape=x.shape, stride=x.stride())
                assert d.redistribute(placements=target).to_local().allclose(_part(x * count, mesh, target))
        leaf = x.clone().requires_grad_()
        DTensor.from_local(leaf, mesh, (R, R), grad_placements=(Partial(), R)).sum().to_local().backward()
        assert leaf.grad.eq(0.5).all()
        mean = DTensor.from_local(x, mesh, (Partial("avg"), Partial("max")))
        assert mean.full_tensor().allclose(x)


def _part(x: Any, mesh: DeviceMesh, placements: Any) -> Any:
    """What chunk makes of it."""
    place = mesh.get_coordinate()
    for i, p in enumerate(placements):
        if p.is_shard():
            chunks = list(x.chunk(mesh.size(i), p.dim))
            empty = x.narrow(p.dim, 0, 0)
            x = chunks[place[i]] if place[i] < len(chunks) else empty
    return x


# Operations of two tensors of the shapes (6, 4) and (6, 4), or of one and (4, 6).
OPERATIONS: dict[str, Any] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - 2 * y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (y.exp() + 1),
    "number": lambda x, y: 1 - (x + 1) / 2 + 3 * y**2,
    "broadcast": lambda x, y: x * y[:1] + y[:, :1],
    "where": lambda x, y: bulssi.where(x > 0, x, y),
    "masked": lambda x, y: x.masked_fill(y > 0, 2.0),
    "clamp": lambda x, y: x.clamp(-0.5, 0.5) + F.gelu(y) + F.relu(x).tanh() + F.silu(y),
    "addcmul": lambda x, y: bulssi.addcmul(x, x, y, value=0.5).lerp(y, 0.3),
    "matmul": lambda x, y: x @ y.t(),
    "mm": lambda x, y: bulssi.mm(x.t(), y),
    "bmm": lambda x, y: bulssi.bmm(x.view(3, 2, 4), y.view(3, 4, 2)),
    "batched": lambda x, y: x.view(2, 3, 4) @ y.t(),
    "vector": lambda x, y: (x @ y.sum(0), y.sum(1) @ x),
    "linear": lambda x, y: F.linear(x, y, y.sum(1)),
    "addmm": lambda x, y: bulssi.addmm(y.sum(1), x, y.t()),
    "softmax": lambda x, y: x.softmax(0) * y.log_softmax(-1),
    "norm": lambda x, y: F.layer_norm(x, (4,), y.sum(0), y.mean(0)) + F.rms_norm(y, (4,), x.sum(0)),
    "sum": lambda x, y: (x.sum(), y.sum(0), x.sum(1, keepdim=True), (x * y).mean(), y.mean(1), x.sum((0, 1))),
    "partials": lambda x, y: (x.sum(0) + y.sum(0)) * 2 - x.sum(0) * y.sum(0) + y.sum(),
    "reductions": lambda x, y: (x.amax(0), y.var(1), x.max(), y.logsumexp(0), x.max(1).values, y.std()),
    "norms": lambda x, y: (bulssi.linalg.vector_norm(x), y.norm(), x.norm(dim=1), bulssi.linalg.vector_norm(y, 3.0)),
    "cumsum": lambda x, y: x.cumsum(0) + y.sort(1).values,
    "cat": lambda x, y: (bulssi.cat([x, y]), bulssi.cat([x, y], 1), bulssi.stack([x, y], 1)),
    "views": lambda x, y: (x.view(2, 3, 4), y.reshape(24), x.view(3, 8), y.flatten().view(6, 2, 2), x.view(-1, 2)),
    "dims": lambda x, y: (
        x.t(),
        y.transpose(0, 1),
        x.unsqueeze(0),
        y[None].squeeze(0),
        x.view(3, 2, 4).permute(2, 0, 1),
    ),
    "index": lambda x, y: (x[0], y[:, 1], x[1:3], y[:, None], x[..., :2], y[::2]),
    "parts": lambda x, y: (*x.split(2), *y.chunk(2, 1), x.narrow(1, 1, 2), *y.unbind(1), x.select(0, 3)),
    "expand": lambda x, y: (x[None].expand(3, 6, 4), y[:, :1].expand(6, 4), x.unsqueeze(1).expand(-1, 2, -1)),
    "tril": lambda x, y: x.tril() + y.triu(),
    "gather": lambda x, y: x.gather(1, y.argsort(1)),
    "attention": lambda x, y: F.scaled_dot_product_attention(
        x.view(2, 3, 2, 2), y.view(2, 3, 2, 2), x.view(2, 3, 2, 2), is_causal=True
    ),
    "embedding": lambda x, y: F.embedding((x > 0).long() + 2, y),
    "losses": lambda x, y: (F.mse_loss(x, y), F.cross_entropy(x, y.argmax(1)), F.l1_loss(x, y, reduction="sum")),
    "conv": lambda x, y: F.conv1d(x.view(2, 3, 4), y.view(4, 3, 2)),
    "convert": lambda x, y: x.float().double() + y.clone().contiguous().to(bulssi.float64) + bulssi.ones_like(x),
    "checkpoint": lambda x, y: F.dropout(x, 0.5, training=False) + F.leaky_relu(y),
}


def _each(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _operations(rank: int, size: int, mesh_shape: tuple[int, ...]) -> None:
    mesh = init_device_mesh("cpu", mesh_shape)
    x, y = _values(6, 4), _values(6, 4, seed=1)
    choices = list(itertools.product((R, S(0), S(1)), repeat=mesh.ndim))
    for name, f in OPERATIONS.items():
        a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
        expected = _each(f(a, b))
        weights = [_values(*e.shape, seed=5) for e in expected]
        sum((e * w).sum() for e, w in zip(expected, weights, strict=True)).backward()
        for p, q in itertools.product(choices, choices):
            if mesh.ndim > 1 and p != q and S(0) in p:
                continue
            c = distribute_tensor(x, mesh, p).requires_grad_()
            d = distribute_tensor(y, mesh, q).requires_grad_()
            found = _each(f(c, d))
            what = name, p, q
            assert [r.shape for r in found] == [e.shape for e in expected], what
            total: Any = 0
            for r, e, w in zip(found, expected, weights, strict=True):
                assert bulssi.allclose(r.detach().full_tensor(), e), what
                assert r.stride() == e.stride() or not r.to_local().is_contiguous() or r.numel() < 2, what
                total = (r * distribute_tensor(w, mesh, [R] * mesh.ndim)).sum() + total
            total.backward()
            for leaf, plain in ((c, a), (d, b)):
                assert (leaf.grad is None) == (plain.grad is None), what
                if leaf.grad is not None:
                    assert leaf.grad.placements == leaf.placements
                    assert leaf.grad.full_tensor().allclose(plain.grad), what


def _refusals(rank: int, size: int) -> None:
    mesh = init_device_mesh("cpu", (size,))
    x = _values(6, 4)
    d = distribute_tensor(x, mesh, [S(0)])
    with pytest.raises(ValueError, match="`placements` must have the same length as `device_mesh.ndim`! Found"):
        distribute_tensor(x, mesh, [S(0), R])
    with pytest.raises(AssertionError, match="Sharding dim 5 greater than tensor ndim 2"):
        distribute_tensor(x, mesh, [S(5)])
    with pytest.raises(RuntimeError, match="redistributing to Partial is for internal use only"):
        d.redistribute(placements=[Partial()])
    with pytest.raises(NotImplementedError, match="Cross device mesh comm not supported yet"):
        d.redistribute(init_device_mesh("cpu", (1, size)), [R, R])
    with pytest.raises(RuntimeError, match="got mixed torch.Tensor and DTensor, need to convert all") as raised:
        d + x  # noqa: B018
    assert "shape (6, 4)" in str(raised.value)
    with pytest.raises(RuntimeError, match="in-place operations that require placement changes") as raised:
        DTensor.from_local(x, mesh, [Partial()]).exp_()
    assert "placed as (Partial(sum),)" in str(raised.value) and "DeviceMesh" in str(raised.value)
    with pytest.raises(NotImplementedError, match="does not have a sharding strategy registered") as raised:
        d.kron(d)
    assert "(6, 4) placed as (Shard(dim=0),)" in str(raised.value)
    assert distribute_tensor(x, mesh, [R]).kron(distribute_tensor(x, mesh, [R])).to_local().equal(x.kron(x))
    with pytest.raises(RuntimeError, match="not supported for tensor subclasses"):
        d.numpy()
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        d.requires_grad_().backward()
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        bulssi.mm(d, d)


def _as_a_tensor(rank: int, size: int) -> None:
    mesh = init_device_mesh("cpu", (size,))
    x = _values(5, 4)
    p = nn.Parameter(distribute_tensor(x, mesh, [S(0)]))
    assert (
        isinstance(p, nn.Parameter) and isinstance(p, DTensor) and p.requires_grad and p.is_leaf and p.shape == (5, 4)
    )
    seen: list[Any] = []
    p.register_hook(lambda g: seen.append(g) or g * 2)
    p.register_post_accumulate_grad_hook(lambda q: seen.append(q))
    (p * p).sum().backward()
    assert p.grad.full_tensor().allclose(4 * x) and seen[0].full_tensor().allclose(2 * x) and seen[1] is p
    assert p.grad is p.grad and p.grad.placements == (S(0),)
    with bulssi.no_grad():
        p.add_(p.grad, alpha=-0.5)
        p[0].copy_(distribute_tensor(x[1], mesh, [R])) if size == 1 else None
    assert p.full_tensor().allclose(-x)
    twin = copy.deepcopy(p)
    assert type(twin) is type(p) and twin.placements == p.placements and twin.full_tensor().equal(p.full_tensor())
    file = io.BytesIO()
    bulssi.save({"p": p.detach()}, file)
    file.seek(0)
    back = bulssi.load(file, weights_only=False)["p"]
    assert back.device_mesh == mesh and back.full_tensor().equal(p.full_tensor())
    assert p.sum().item() == pytest.approx(-x.sum().item()) and f"{p.sum():.3f}" == f"{-x.sum():.3f}"
    assert bulssi.equal(p, p.detach()) and "DTensor(local_tensor=tensor(" in repr(p) and "Shard(dim=0)" in repr(p)
    loss = F.linear(full((2, 4), 1.0, dtype=bulssi.float64, device_mesh=mesh), p).pow(2).mean()
    loss.backward()
    assert ones(3, device_mesh=mesh, placements=[S(0)]).sum().full_tensor() == 3
    # Random numbers are those of one process, however they are split.
    bulssi.manual_seed(7 if rank == 0 else 70 + rank)
    d = randn(5, 3, device_mesh=mesh, placements=[S(0)]).full_tensor()
    e = F.dropout(ones(4, 4, device_mesh=mesh, placements=[S(1)]), 0.5).full_tensor()
    bulssi.manual_seed(7)
    assert d.equal(bulssi.randn(5, 3)) and (rank != 0 or e.equal(F.dropout(bulssi.ones(4, 4), 0.5)))


@pytest.mark.parametrize(
    ("body", "size"), [(_mesh, 4), (_redistribution, 4), (_refusals, 2), (_as_a_tensor, 2), (_as_a_tensor, 3)]
)
def test_split_tensors(body: Any, size: int, tmp_path: Path) -> None:
    together(body, size, tmp_path)


@pytest.mark.parametrize("mesh_shape", [(2,), (3,), (2, 2)])
def test_operations_are_those_of_plain_tensors(mesh_shape: tuple[int, ...], tmp_path: Path) -> None:
    size = 1
    for n in mesh_shape:
        size *= n
    together(_operations, size, tmp_path, mesh_shape)


# ---- layers ----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: Any, mask: Any) -> Any:
        n, length, _ = x.shape
        q, k, v = (w(x).view(n, length, self.heads, self.size).transpose(1, 2) for w in (self.wq, self.wk, self.wv))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.wo(out.transpose(1, 2).contiguous().view(n, length, -1))


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1, self.w2, self.w3 = nn.Linear(width, 24), nn.Linear(24, width), nn.Linear(width, 24)

    def forward(self, x: Any) -> Any:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, 4)
        self.ffn_norm, self.feed_forward = nn.RMSNorm(width), FeedForward(width)

    def forward(self, x: Any, mask: Any) -> Any:
        h = x + self.attention(self.attention_norm(x), mask)
        return h + self.feed_forward(self.ffn_norm(h))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(20, 16)
        self.layers = nn.ModuleList(Block(16) for _ in range(2))
        self.norm, self.output = nn.LayerNorm(16), nn.Linear(16, 20, bias=False)

    def forward(self, ids: Any) -> Any:
        h = self.embeddings(ids)
        for layer in self.layers:
            h = layer(h, None)
        return self.output(self.norm(h))


def sequence_parallel(net: Net, mesh: DeviceMesh) -> Net:
    """Tensor parallel layers, between them split along the sequence."""
    parallelize_module(
        net,
        mesh,
        {
            "embeddings": RowwiseParallel(input_layouts=R, output_layouts=S(1)),
            "norm": SequenceParallel(),
            "output": ColwiseParallel(input_layouts=S(1), output_layouts=R),
        },
    )
    for block in net.layers:
        block.attention.heads //= mesh.size()  # pyright: ignore
        gathered = PrepareModuleInput(input_layouts=(S(1),), desired_input_layouts=(R,))
        parallelize_module(
            block,
            mesh,
            {
                "*_norm": SequenceParallel(),
                "attention": PrepareModuleInput(input_layouts=(S(1), None), desired_input_layouts=(R, None)),
                "attention.w[qkv]": ColwiseParallel(),
                "attention.wo": RowwiseParallel(output_layouts=S(1)),
                "feed_forward": gathered,
                "feed_forward.w[13]": ColwiseParallel(),
                "feed_forward.w2": RowwiseParallel(output_layouts=S(1)),
            },
        )
    return net


def _net() -> Net:
    bulssi.manual_seed(0)
    return Net().double()


def train(net: Any, optimizer: Any, steps: int = 3) -> list[tuple[float, float]]:
    """Losses and norms of gradients."""
    out = []
    generator = bulssi.Generator().manual_seed(3)
    for _ in range(steps):
        ids = bulssi.randint(0, 20, (4, 8), generator=generator)
        loss = F.cross_entropy(net(ids).flatten(0, 1), ids.flatten())
        optimizer.zero_grad()
        loss.backward()
        out.append((loss.item(), nn.utils.clip_grad_norm_(net.parameters(), 1.0).item()))
        optimizer.step()
    return out


@pytest.mark.parametrize("size", [2, 4])
def test_a_split_net_trains_as_one_process_does(size: int, tmp_path: Path) -> None:
    net = _net()
    expected = train(net, bulssi.optim.AdamW(net.parameters(), lr=0.01))
    together(_split_net, size, tmp_path, expected, net.state_dict())


def _split_net(rank: int, size: int, expected: Any, weights: Any) -> None:
    net = sequence_parallel(_net(), init_device_mesh("cpu", (size,)))
    optimizer = bulssi.optim.AdamW(net.parameters(), lr=0.01)
    found = train(net, optimizer)
    for (a, b), (c, d) in zip(found, expected, strict=True):
        assert a == pytest.approx(c, abs=1e-12) and b == pytest.approx(d, abs=1e-12)
    placed = {name: p.placements[0] for name, p in net.named_parameters()}
    assert placed["layers.0.attention.wq.weight"] == S(0) and placed["layers.0.attention.wo.weight"] == S(1)
    assert placed["layers.0.feed_forward.w2.bias"] == R and placed["embeddings.weight"] == S(0)
    state = net.state_dict()
    for name, value in weights.items():
        assert state[name].shape == value.shape and state[name].full_tensor().allclose(value, atol=1e-9), name
    moment = optimizer.state[net.output.weight]["exp_avg"]
    assert moment.placements == (S(0),) and moment.shape == (20, 16)


def _styles(rank: int, size: int) -> None:
    mesh = init_device_mesh("cpu", (size,))
    bulssi.manual_seed(rank)  # process 0 decides
    a, b = nn.Linear(6, 8), nn.Linear(8, 3)
    bulssi.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    net = parallelize_module(nn.Sequential(a, nn.ReLU(), b), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    x = bulssi.ones(5, 6, requires_grad=True)
    y = bulssi.ones(5, 6, requires_grad=True)
    out, expected = net(x), plain(y)
    assert type(out) is bulssi.Tensor and out.allclose(expected) and net[0](x).shape == (5, 8 // size)
    out.pow(2).sum().backward(), expected.pow(2).sum().backward()
    assert x.grad.allclose(y.grad, atol=1e-5)  # pyright: ignore
    for p, q in zip(net.parameters(), plain.parameters(), strict=True):
        assert p.grad.full_tensor().allclose(q.grad, atol=1e-5)
    kept = parallelize_module(nn.Linear(6, 8), mesh, ColwiseParallel(output_layouts=R, use_local_output=False))
    assert isinstance(kept(x), DTensor) and kept(x).placements == (R,)
    split = parallelize_module(nn.Embedding(10, 4), mesh, ColwiseParallel())
    table = split.weight.full_tensor()
    assert split(bulssi.tensor([1, 9])).equal(table[[1, 9]].chunk(size, 1)[rank])
    rows = parallelize_module(nn.Embedding(9, 4, padding_idx=8), mesh, RowwiseParallel(input_layouts=R))
    rows(bulssi.tensor([1, 8, 7])).sum().backward()
    assert rows.weight.grad.full_tensor().sum(1).tolist() == [0, 4, 0, 0, 0, 0, 0, 4, 0]
    assert rows(bulssi.tensor([1, 8])).equal(rows.weight.full_tensor()[[1, 8]])
    prepared = parallelize_module(
        nn.Identity(), mesh, PrepareModuleOutput(output_layouts=S(0), desired_output_layouts=R)
    )
    assert prepared(bulssi.full((1,), rank)).tolist() == list(range(size))
    with pytest.raises(NotImplementedError, match="ColwiseParallel currently only support nn.Linear and nn.Embedding!"):
        parallelize_module(nn.ReLU(), mesh, ColwiseParallel())
    with pytest.warns(UserWarning, match="Parallelize plan key 'nothing' could not be resolved"):
        parallelize_module(nn.Linear(2, 2), mesh, {"nothing": ColwiseParallel()})
    with pytest.raises(TypeError, match="Expect Union"):
        parallelize_module(nn.Linear(2, 2), mesh, 3)  # pyright: ignore
    with pytest.raises(AssertionError, match="should have same length"):
        PrepareModuleInput(input_layouts=(R, R), desired_input_layouts=(R,))
    with pytest.raises(ValueError, match="module inputs and input_layouts should have same length"):
        gathered = PrepareModuleInput(input_layouts=(R,), desired_input_layouts=(R,))
        parallelize_module(nn.Bilinear(2, 2, 2), mesh, gathered)(bulssi.ones(1, 2), bulssi.ones(1, 2))


def test_styles(tmp_path: Path) -> None:
    together(_styles, 2, tmp_path)


# ---- beside PyTorch --------------------------------------------------------------------------------------------------


def test_a_program_prints_what_it_prints_with_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    program = Path(__file__).with_name("dtensor_program.py")
    found = {}
    for name in ("torch", "bulssi"):
        subprocess.run([sys.executable, "-W", "ignore", program, name, tmp_path], check=True, timeout=300)
        found[name] = json.loads((tmp_path / f"{name}.json").read_text())
    expressions = runpy.run_path(str(program))["EXPRESSIONS"]
    assert len(expressions) == len(found["torch"]) == len(found["bulssi"])
    for expression, theirs, ours in zip(expressions, found["torch"], found["bulssi"], strict=True):
        assert ours == theirs, expression


def test_signatures_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for path in ("device_mesh", "tensor", "tensor.parallel"):
        theirs = importlib.import_module(f"torch.distributed.{path}")
        ours = importlib.import_module(f"bulssi.distributed.{path}")
        assert torch is not None
        pairs = [(getattr(ours, name), getattr(theirs, name)) for name in ours.__all__ if name != "DTensor"]
        if path == "tensor":
            names = ("from_local", "full_tensor", "redistribute", "to_local")
            pairs += [(getattr(ours.DTensor, name), getattr(theirs.DTensor, name)) for name in names]
        for own, other in pairs:
            if not hasattr(other, "__code__") and not hasattr(other.__init__, "__code__"):
                continue  # theirs says nothing of its signature
            a, b = inspect.signature(own).parameters, inspect.signature(other).parameters
            public = [key for key in b if not key.startswith("_")]
            assert {key for key in a if not key.startswith("_")} == set(public), own
            assert all(a[key].kind == b[key].kind for key in public), own
