"""Memory that cannot be had: the call raises, tensors, gradients and versions are as before, and work goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A process that may have 400 MiB more, of which `crowded` leaves about 24: tensors have 64 MiB.
BEGINNING = """
import copy, gc, io, pickle, resource, warnings
import bulssi as torch
import bulssi.nn.functional as F

warnings.simplefilter("ignore")
COUNT = 16 << 20

def ones(dtype=torch.float32, **more):
    return torch.ones(COUNT, dtype=dtype, **more)

# What needs addresses once: threads, LAPACK, and what the calls import.
torch.ones(300, 300) @ torch.ones(300, 300)
torch.linalg.inv(torch.eye(3))
torch.ones(10**6).exp().sum()
pickle.dumps(torch.ones(2)), repr(torch.ones(2)), torch.optim.Adam([torch.ones(1)])
gc.collect()
with open("/proc/self/statm") as file:
    mapped = int(file.read().split()[0]) * resource.getpagesize()
limit = mapped + (400 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

def crowded():
    pieces = []
    try:
        while True:
            pieces.append(torch.empty(2 << 20))
    except RuntimeError:
        del pieces[-3:]
    return pieces

def seen(tensors):
    return [
        (t.data_ptr(), t.shape, t.stride(), t._version, t.grad_fn, t.grad, None if t.grad is None else t.grad._version,
         t.detach()[:1000].tolist(), t.detach()[-1000:].tolist())
        for t in tensors
    ]

def refused(name, call, *tensors):
    before = seen(tensors)
    held = crowded()
    try:
        call(*tensors)
        print(name, "was not refused")
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            print(name, "raised", error)
    except MemoryError:
        pass
    del held
    gc.collect()
    if str(seen(tensors)) != str(before):
        print(name, "changed", before, "to", seen(tensors))
    x = torch.ones(3, requires_grad=True)
    (x * x).sum().backward()
    if x.grad.tolist() != [2, 2, 2] or torch.ones(10**6).exp().sum() < 10**6:
        print(name, "left nothing usable")
"""

OPERATIONS = """
CALLS = {
    "add": lambda t: t + 1,
    "double": lambda t: t.double(),
    "cat": lambda t: torch.cat([t, t]),
    "stack": lambda t: torch.stack([t, t]),
    "repeat": lambda t: t.repeat(2),
    "sort": lambda t: t.sort(),
    "argsort": lambda t: t.argsort(),
    "topk": lambda t: t.topk(COUNT),
    "unique": lambda t: t.unique(),
    "nonzero": lambda t: t.nonzero(),
    "cummax": lambda t: t.cummax(0),
    "mask": lambda t: t[t > 0],
    "index": lambda t: t[torch.zeros(1, dtype=torch.int64).expand(2 * COUNT)],
    "gather": lambda t: t.gather(0, torch.zeros(1, dtype=torch.int64).expand(2 * COUNT)),
    "matrix product": lambda t: torch.outer(t, t[:2]),
    "batched product": lambda t: t.view(-1, 1, 1) @ t[:2].view(1, 2).expand(COUNT, 1, 2),
    "einsum": lambda t: torch.einsum("i,j->ij", t, t[:3]),
    "conv": lambda t: F.conv1d(t.view(1, 1, -1), torch.ones(2, 1, 1)),
    "unfold": lambda t: F.unfold(t.view(1, 1, 4096, -1), 2),
    "interpolate": lambda t: F.interpolate(t.view(1, 1, -1), scale_factor=2),
    "embedding": lambda t: F.embedding(torch.zeros(1, dtype=torch.int64).expand(3), t.view(1, -1)),
    "one_hot": lambda t: F.one_hot(torch.arange(10000)),
    "randn": lambda t: torch.randn(2 * COUNT),
    "randperm": lambda t: torch.randperm(COUNT),
    "copy": lambda t: copy.deepcopy(t),
    "pickle": lambda t: pickle.loads(pickle.dumps(t)),
    "list": lambda t: t.tolist(),
    "numbers": lambda t: torch.empty(1 << 45),
    "stretched": lambda t: t[:1].expand(1 << 45) + 1,
    "out": lambda t: torch.cat([t, t], out=t[:0]),
    "resize": lambda t: t.resize_(2 * COUNT),
    "grow the memory": lambda t: t.untyped_storage().resize_(8 * COUNT),
    "write rows": lambda t: t.index_put_((torch.arange(COUNT),), t.clone()),
    "write promoted": lambda t: t.add_(torch.ones(1, dtype=torch.float64).expand(COUNT).clone()),
    "write sorted": lambda t: torch.sort(t, out=(t, torch.empty(0, dtype=torch.int64))),
}
t = ones()
t[0] = 3
for name, call in CALLS.items():
    refused(name, call, t)
"""

GRAPHS = """
x = ones(requires_grad=True)
y = x * 2
refused("forward", lambda x, y: (y * y).exp(), x, y)
refused("in place, the old value is kept", lambda x, y: y.mul_(y), x, y)
refused("view in place", lambda x, y: y[1:].pow_(3), x, y)
del y
total = (x.exp() * x[0]).sum()
refused("backward", lambda x: total.backward(torch.ones(()), retain_graph=True), x)
refused("grad", lambda x: torch.autograd.grad(total, x, create_graph=True), x)
class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.cat([x, x])
    @staticmethod
    def backward(ctx, g):
        return g[:COUNT] + g[COUNT:]
del total
refused("Function", lambda x: Twice.apply(x), x)
del x
gc.collect()
"""

OPTIMIZERS = """
for name in ("Adam", "NAdam", "RMSprop", "Rprop"):
    for more in ({}, {"foreach": True}):
        p = ones(requires_grad=True)
        p.grad = torch.ones_like(p)
        if name == "RMSprop":
            more = {"momentum": 0.9, **more}
        made = getattr(torch.optim, name)([p], lr=0.1, **more)
        refused(name, lambda p: made.step(), p)
        del made, p
        gc.collect()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the addresses of a process, which it reads from /proc")
@pytest.mark.parametrize("program", [OPERATIONS, GRAPHS, OPTIMIZERS], ids=["operations", "graphs", "optimizers"])
def test_what_is_refused_changes_nothing(program):
    command = [sys.executable, "-c", BEGINNING + program + "\nprint('end')"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout == "end\n", done.stdout + done.stderr
