"""A program on tensors split over four processes; prints what it gets. Run with the library's name and a folder."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

EXPRESSIONS = """
mesh
mesh["tp"]
mesh["dp"].get_local_rank()
mesh.get_coordinate()
mesh.shape, mesh.size(), mesh.size(1), mesh.ndim, mesh.mesh.tolist(), mesh.mesh_dim_names
mesh._flatten()
D.DeviceMesh("cpu", [0, 1, 2, 3])
d
d.placements, tuple(d.shape), d.stride(), d.to_local().tolist()
str(Shard(0)) + str(Replicate()) + str(Partial()), (Shard(0), Replicate(), Partial("avg"))
Shard(1) == Shard(1), Shard(1).is_shard(0), Partial().is_partial(), Replicate().is_replicate()
D.distribute_tensor(x, mesh, [Shard(-1), Replicate()]).placements
D.distribute_tensor(x[:5], mesh["tp"], [Shard(0)]).to_local().tolist()
(d + 1).placements, (d * d).placements, d.exp().placements, (1 - d).to_local().tolist()
(d @ d.t()).placements, (d @ d.t()).full_tensor().tolist()
d.sum().placements, d.sum(0).placements, d.sum(1, keepdim=True).full_tensor().tolist()
(d.sum(0) + d.sum(0)).placements, (d.sum(0) * 2).placements, (d.sum(0) + 1).placements, d.sum(0).exp().placements
d.softmax(0).placements, d.softmax(-1).placements, (d.log_softmax(1) * 1e4).round().full_tensor().tolist()
d.t().placements, d.transpose(0, 1).stride(), d.unsqueeze(0).placements, d[None].shape == (1, 6, 4)
torch.cat([d, d]).placements, torch.stack([d, d]).placements
d.cumsum(0).placements, d.sort(dim=1).values.placements
torch.equal(d, d), d.view(4, 6).placements, d.view(6, 2, 2).placements
D.zeros(4, 4, device_mesh=mesh, placements=[Shard(0), Replicate()])
d.redistribute(placements=[Shard(1), Shard(0)]).to_local().tolist()
d.redistribute(placements=[Replicate(), Shard(1)]).to_local().tolist()
d.full_tensor().tolist()
D.DTensor.from_local(x, mesh, [Partial(), Replicate()]).full_tensor().tolist()
D.DTensor.from_local(x, mesh["tp"], [Shard(0)]).shape == (12, 4)
isinstance(torch.nn.Parameter(d), torch.nn.Parameter), torch.nn.Parameter(d).requires_grad
torch.nn.functional.linear(r, d).placements, torch.nn.functional.linear(r, d).full_tensor().tolist()
torch.nn.functional.layer_norm(d, (4,)).placements
torch.nn.functional.relu(d - 10).placements, torch.where(d > 3, d, d * 2).full_tensor().tolist()
mesh["xx"]
mesh["tp", "dp"]
mesh.get_group("zz")
D.init_device_mesh("cpu", (2, 2), mesh_dim_names=("a",))
D.init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "a"))
D.init_device_mesh("cpu", (3, 3))
D.distribute_tensor(x, mesh, [Shard(0)])
D.distribute_tensor(x, mesh, [Shard(5), Shard(0)])
d.redistribute(placements=[Partial(), Replicate()])
d.redistribute(mesh["tp"], [Shard(0)])
d.numpy()
d.tolist()
P.PrepareModuleInput(input_layouts=(Shard(0), Shard(0)), desired_input_layouts=(Replicate(),))
P.parallelize_module(torch.nn.ReLU(), mesh["tp"], P.ColwiseParallel())
P.parallelize_module(torch.nn.Linear(2, 2), mesh["tp"], 3)
""".strip().splitlines()


def shown(value: Any) -> str:
    return str(value)


def main(rank: int, name: str, folder: str) -> None:
    torch = importlib.import_module(name)
    dist = importlib.import_module(f"{name}.distributed")
    D = importlib.import_module(f"{name}.distributed.tensor")
    P = importlib.import_module(f"{name}.distributed.tensor.parallel")
    dist.init_process_group("gloo", init_method=f"file://{folder}/{name}", rank=rank, world_size=4)
    mesh = D.init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    x = torch.arange(24.0).view(6, 4)
    names = {
        "torch": torch, "D": D, "P": P, "mesh": mesh, "x": x, "Shard": D.Shard, "Replicate": D.Replicate,
        "Partial": D.Partial, "d": D.distribute_tensor(x, mesh, [D.Shard(0), D.Shard(1)]),
        "r": D.distribute_tensor(x[:3], mesh, [D.Replicate(), D.Replicate()]),
    }  # fmt: skip
    found = []
    for expression in EXPRESSIONS:
        try:
            found.append(shown(eval(expression, names)))
        except Exception as error:
            found.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    if rank == 0:
        with open(f"{folder}/{name}.json", "w") as file:
            json.dump(found, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    library, where = sys.argv[1:]
    importlib.import_module(f"{library}.multiprocessing").start_processes(
        main, (library, where), nprocs=4, start_method="fork"
    )
