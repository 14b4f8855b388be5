"""Rows for tensors, operations and autograd."""

from __future__ import annotations

from typing import Any

from tools.schema import parse

from .row import MILLION, ROWS, Library, Statement, row

FLOAT = 4  # bytes of a float32
SIDE = 1 << 10  # a matrix of SIDE x SIDE has MILLION elements


# ---- What one small operation costs -------------------------------------------------------------------------------


@row("a + b, 4 floats")
def _(lib: Library) -> Statement:
    a, b = lib.randn(4), lib.randn(4)
    return lambda: a + b


@row("a + b, 4 floats, recorded")
def _(lib: Library) -> Statement:
    a, b = lib.randn(4, requires_grad=True), lib.randn(4, requires_grad=True)
    return lambda: a + b


@row("(a * b + b).sum().backward(), 4 floats")
def _(lib: Library) -> Statement:
    a, b = lib.randn(4, requires_grad=True), lib.randn(4, requires_grad=True)
    return lambda: ((a * b + b).sum()).backward()


@row("100 x tanh, 16 floats, forward + backward")
def _(lib: Library) -> Statement:
    x = lib.randn(16, requires_grad=True)

    def statement() -> None:
        y = x
        for _ in range(100):
            y = y.tanh()
        y.sum().backward()

    return statement


@row("x[2]")
def _(lib: Library) -> Statement:
    x = lib.randn(4, 4)
    return lambda: x[2]


@row("x[1:3]")
def _(lib: Library) -> Statement:
    x = lib.randn(4, 4)
    return lambda: x[1:3]


@row("x.view(2, 6).transpose(0, 1).reshape(3, 4)")
def _(lib: Library) -> Statement:
    x = lib.randn(3, 4)
    return lambda: x.view(2, 6).transpose(0, 1).reshape(3, 4)


@row("tensor([1., 2., 3., 4.])")
def _(lib: Library) -> Statement:
    return lambda: lib.tensor([1.0, 2.0, 3.0, 4.0])


@row("zeros(4)")
def _(lib: Library) -> Statement:
    return lambda: lib.zeros(4)


@row("randn(4)")
def _(lib: Library) -> Statement:
    return lambda: lib.randn(4)


@row("x.item()")
def _(lib: Library) -> Statement:
    x = lib.randn(())
    return lambda: x.item()


# ---- Every pointwise operation of the registry, value and backward ------------------------------------------------


def find(lib: Library, name: str) -> Any:
    """The function of a registry name in either library, or None."""
    for place in (lib, lib.nn.functional, lib.special):
        found = getattr(place, name.removeprefix("special_"), None)
        if callable(found):
            return found
    return None


def has_derivative(function: Any, domain: tuple[float, float], tensors: int) -> bool:
    """Whether the oracle differentiates a function in every argument (zeta, for one, it does not) into memory: the
    zeros of sgn's gradient have none, so that there is nothing to measure."""
    import torch

    arguments = [torch.full((), sum(domain) / 2, requires_grad=True) for _ in range(tensors)]
    try:
        gradients = torch.autograd.grad(function(*arguments), arguments, allow_unused=True)
    except NotImplementedError:
        return False
    return not any(g is not None and g._is_zerotensor() for g in gradients)


def pointwise_rows() -> None:
    """Declare rows for the unary and binary pointwise operations that record gradients, as the registry names them."""
    import torch

    from bulssi import _core

    for entry in _core.registry():
        signature = parse(entry["schema"])
        public = entry["kind"] == "pointwise" and entry["differentiable"] and entry["function"]
        measured = public and find(torch, entry["name"]) is not None
        if measured and f"{entry['name']}, 1M" not in ROWS and len(signature.tensors) == len(signature.required) <= 2:
            backward = has_derivative(find(torch, entry["name"]), entry["domain"], len(signature.tensors))
            pointwise_row(entry["name"], len(signature.tensors), entry["domain"], backward)


def pointwise_row(name: str, tensors: int, domain: tuple[float, float], backward: bool) -> None:
    low, high = domain

    def inputs(lib: Library, requires_grad: bool) -> list[Any]:
        uniform = [lib.rand(MILLION) * (high - low) + low for _ in range(tensors)]
        return [x.requires_grad_(requires_grad) for x in uniform]

    @row(f"{name}, 1M", group="pointwise, 1M", bytes=(tensors + 1) * FLOAT * MILLION)
    def _(lib: Library) -> Statement:
        function, arguments = find(lib, name), inputs(lib, False)
        return lambda: function(*arguments)

    if not backward:
        return

    @row(f"{name} backward, 1M", group="pointwise, 1M", bytes=(2 * tensors + 1) * FLOAT * MILLION)
    def _(lib: Library) -> Statement:
        arguments = inputs(lib, True)
        y = find(lib, name)(*arguments)
        g = lib.randn(MILLION)
        return lambda: lib.autograd.grad(y, arguments, g, retain_graph=True, allow_unused=True)


pointwise_rows()


# ---- Large tensors ------------------------------------------------------------------------------------------------


@row("add, 16M", bytes=3 * FLOAT * 16 * MILLION)
def _(lib: Library) -> Statement:
    a, b = lib.randn(16 * MILLION), lib.randn(16 * MILLION)
    return lambda: a + b


@row("exp, 16M", bytes=2 * FLOAT * 16 * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(16 * MILLION)
    return lambda: x.exp()


@row("gelu, 16M", bytes=2 * FLOAT * 16 * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(16 * MILLION)
    return lambda: lib.nn.functional.gelu(x)


@row("where, 1M", bytes=(1 + 3 * FLOAT) * MILLION)
def _(lib: Library) -> Statement:
    a, b = lib.randn(MILLION), lib.randn(MILLION)
    condition = a > 0
    return lambda: lib.where(condition, a, b)


@row("x[mask], 1M", bytes=(1 + 1.5 * FLOAT) * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(MILLION)
    mask = x > 0
    return lambda: x[mask]


@row("max(dim), 1M", bytes=FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(SIDE, SIDE)
    return lambda: tuple(x.max(1))


@row("x * column, 1M", bytes=2 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x, column = lib.randn(SIDE, SIDE), lib.randn(SIDE, 1)
    return lambda: x * column


@row("sum, 1M", bytes=FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.rand(SIDE, SIDE)
    return lambda: x.sum()


@row("sum(0), 1M", bytes=FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(SIDE, SIDE)
    return lambda: x.sum(0)


@row("softmax, 1M", bytes=2 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(SIDE, SIDE)
    return lambda: x.softmax(-1)


@row("layer_norm, 1M", bytes=2 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x, weight, bias = lib.randn(SIDE, SIDE), lib.randn(SIDE), lib.randn(SIDE)
    return lambda: lib.nn.functional.layer_norm(x, (SIDE,), weight, bias)


@row("cumsum, 1M", bytes=2 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(SIDE, SIDE)
    return lambda: x.cumsum(1)


@row("cat, 1M", bytes=2 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    parts = [lib.randn(SIDE // 4, SIDE) for _ in range(4)]
    return lambda: lib.cat(parts)


@row("transposed copy, 1M", bytes=2 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(SIDE, SIDE)
    return lambda: x.t().contiguous()


@row("index_select, 1M", bytes=2 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x, rows = lib.randn(SIDE, SIDE), lib.randperm(SIDE)
    return lambda: x.index_select(0, rows)


@row("gather, 1M", bytes=(2 * FLOAT + 8) * MILLION)
def _(lib: Library) -> Statement:
    x, columns = lib.randn(SIDE, SIDE), lib.randint(SIDE, (SIDE, SIDE))
    return lambda: x.gather(1, columns)


@row("sort, 1M", bytes=(2 * FLOAT + 8) * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(SIDE, SIDE)
    return lambda: x.sort(1)[0]


@row("topk(10), 1M", bytes=FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(SIDE, SIDE)
    return lambda: x.topk(10)[0]


@row("flip of rows, 1M", bytes=2 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(SIDE, SIDE)
    return lambda: x.flip(1)


@row("index_add, 1M", bytes=3 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    whole, source, rows = lib.zeros(SIDE, SIDE), lib.randn(SIDE, SIDE), lib.randint(SIDE, (SIDE,))
    return lambda: whole.index_add(0, rows, source)


@row("bincount, 100,000", bytes=8 * 100_000)
def _(lib: Library) -> Statement:
    numbers = lib.randint(SIDE, (100_000,))
    return lambda: lib.bincount(numbers)


@row("embedding gradient, 1M", bytes=3 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    table, words, g = lib.randn(SIDE, 64, requires_grad=True), lib.randint(SIDE, (16 * SIDE,)), lib.randn(16 * SIDE, 64)
    rows = lib.nn.functional.embedding(words, table)
    return lambda: lib.autograd.grad(rows, table, g, retain_graph=True)


@row("embedding_bag, 1,024 bags of 16 rows", bytes=FLOAT * MILLION)
def _(lib: Library) -> Statement:
    table, words = lib.randn(SIDE, 64), lib.randint(SIDE, (SIDE, 16))
    return lambda: lib.nn.functional.embedding_bag(words, table)


# The forward reads both arguments, the backward reads them again and writes a gradient.
@row("mse_loss forward + backward, 1M", bytes=5 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x, y = lib.randn(MILLION, requires_grad=True), lib.randn(MILLION)
    return lambda: lib.autograd.grad(lib.nn.functional.mse_loss(x, y), x)


@row("smooth_l1_loss forward + backward, 1M", bytes=5 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x, y = lib.randn(MILLION, requires_grad=True), lib.randn(MILLION)
    return lambda: lib.autograd.grad(lib.nn.functional.smooth_l1_loss(x, y), x)


@row("bilinear interpolation to 1M", bytes=1.25 * FLOAT * MILLION)
def _(lib: Library) -> Statement:
    x = lib.randn(4, 16, 64, 64)
    return lambda: lib.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")


# ---- Matrix products ----------------------------------------------------------------------------------------------


def matrix_product(n: int) -> None:
    @row(f"mm, {n} x {n}", bytes=3 * FLOAT * n * n, flops=2 * n**3)
    def _(lib: Library) -> Statement:
        a, b = lib.randn(n, n), lib.randn(n, n)
        return lambda: a @ b


for side in (8, 16, 32, 64, 256, 512, 1024, 2048):
    matrix_product(side)


# ---- Backward through long chains: time per node must not grow ----------------------------------------------------


def chain(nodes: int) -> None:
    @row(f"backward of {nodes:,} nodes", group="chain", scale=nodes)
    def _(lib: Library) -> Statement:
        x = lib.randn(1, requires_grad=True)
        y = x
        for _ in range(nodes):
            y = y + 1.0
        return lambda: lib.autograd.grad(y, x, retain_graph=True)


for length in (1_000, 10_000, 100_000, 1_000_000):
    chain(length)
