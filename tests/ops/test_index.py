"""Indexing of every kind, reading and assigning, beside PyTorch."""

from __future__ import annotations

import math
import random
import warnings

import pytest

import bulssi

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def random_index(shape: list[int], rng: random.Random) -> str:
    """The text of an index into a tensor of that shape (sometimes one that must be refused)."""
    items: list[str] = []
    at, ellipsis = 0, False
    length = rng.choice([1, 2, 3])
    while at < len(shape) and rng.random() < 0.85:
        kind, size = rng.randrange(12), shape[at]
        if kind <= 1:
            start, stop = (rng.choice(["", rng.randrange(-4, 5)]) for _ in range(2))
            items.append(f"{start}:{stop}:{rng.choice(['', '', 2, 3])}")
            at += 1
        elif kind == 2:
            items.append("None")
        elif kind == 3:
            items.append(rng.choice(["True", "False", "True"]))
        elif kind == 4 and not ellipsis:
            items.append("...")
            ellipsis, at = True, rng.randrange(at, len(shape) + 1)
        elif size == 0:
            continue
        elif kind == 5:
            items.append(str(rng.randrange(-size, size)))
            at += 1
        elif kind == 6:
            items.append(str([rng.randrange(-size, size) for _ in range(length)]))
            at += 1
        elif kind == 7:
            items.append(f"T.tensor({[rng.randrange(-size, size) for _ in range(length)]})")
            at += 1
        elif kind == 8:
            items.append(f"T.tensor({[[rng.randrange(-size, size)] for _ in range(2)]}, dtype=T.int32)")
            at += 1
        elif kind == 9:
            items.append(f"T.tensor({[rng.random() < 0.5 for _ in range(size)]})")
            at += 1
        elif kind == 10 and at + 1 < len(shape) and shape[at + 1]:
            rows = [[rng.random() < 0.5 for _ in range(shape[at + 1])] for _ in range(size)]
            items.append(f"T.tensor({rows})")
            at += 2
        elif kind == 11:
            items.append(f"T.tensor({rng.randrange(-size, size)})")
            at += 1
    return f"x[{','.join(items)},]" if items else "x[()]"


def run(library, code: str, shape: list[int], mode: str, transposed: bool) -> list:
    count = 1
    for size in shape:
        count *= size
    leaf = library.tensor([float(i) for i in range(count)]).reshape(shape).requires_grad_()
    x = leaf.transpose(0, 1) if transposed else leaf
    try:
        if mode == "read":
            y = eval(code, {"T": library, "x": x})
            (y * y).sum().backward()
            strides = list(y.stride()) if min(y.shape, default=2) > 1 else None  # of longer dimensions they mean much
            return [y.tolist(), list(y.shape), strides, y.grad_fn.name(), leaf.grad.tolist()]
        z = x * 2
        value = library.tensor(3.0, requires_grad=True)
        exec(f"{code} = {'value * 1' if mode == 'tensor' else '7.0'}", {"T": library, "x": z, "value": value})
        (z * z).sum().backward()
        return [z.tolist(), leaf.grad.tolist(), None if value.grad is None else value.grad.tolist()]
    except (IndexError, RuntimeError, ValueError, TypeError) as error:
        return [type(error).__name__, str(error).splitlines()[0]]


def gauss(*shape: int, seed: int = 1) -> bulssi.Tensor:
    rng = random.Random(seed)
    return bulssi.tensor([rng.gauss(0, 1) for _ in range(math.prod(shape))]).reshape(shape)


@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(120):
        shape = [rng.randrange(0 if rng.random() < 0.1 else 1, 5) for _ in range(rng.randrange(0, 5))]
        code = random_index(shape, rng)
        mode = rng.choice(["read", "tensor", "number"])
        transposed = len(shape) >= 2 and rng.random() < 0.3
        assert run(bulssi, code, shape, mode, transposed) == run(torch, code, shape, mode, transposed), (code, shape)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x[5]", "index 5 is out of bounds for dimension 0 with size 3"),
        ("x[0, 7]", "index 7 is out of bounds for dimension 1 with size 4"),
        ("x[T.tensor([5])]", "index 5 is out of bounds for dimension 0 with size 3"),
        ("x[0, 0, 0]", "too many indices for tensor of dimension 2"),
        (
            "x[T.ones(2, 4, dtype=T.bool)]",
            "The shape of the mask [2, 4] at index 0 does not match the shape of the indexed tensor [3, 4] at index 0",
        ),
        (
            "x[[0, 1], [0, 1, 2]]",
            "shape mismatch: indexing tensors could not be broadcast together with shapes [2], [3]",
        ),
        ("x[None, T.tensor([7])]", "index 7 is out of bounds for dimension 0 with size 3"),
        ("x[None, 0, 9]", "index 9 is out of bounds for dimension 2 with size 4"),
        ("x.sum()[2]", "index 2 is out of bounds for dimension 0 with size 0"),
        ("x.sum()[2,]", "too many indices for tensor of dimension 0"),
        ("x[T.tensor([1], dtype=T.int16)]", "tensors used as indices must be long, int, byte or bool tensors"),
        (
            "x.__setitem__(0, T.ones(2, 2))",
            "expand(torch.FloatTensor{[2, 2]}, size=[4]): the number of sizes provided (1) must be greater or equal to "
            "the number of dimensions in the tensor (2)",
        ),
        (
            "x.__setitem__(slice(0, 2), T.ones(1, 3, 5))",
            "The expanded size of the tensor (4) must match the existing size (5) at non-singleton dimension 1.  "
            "Target sizes: [2, 4].  Tensor sizes: [3, 5]",
        ),
        (
            "x.__setitem__([0, 1], T.ones(1, 1, 3))",
            "shape mismatch: value tensor of shape [3] cannot be broadcast to indexing result of shape [2, 4]",
        ),
        ("x[T.tensor([1.5])]", "tensors used as indices must be long, int, byte or bool tensors"),
        (
            "x[1.0]",
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices"
            " (got float)",
        ),
        (
            "x.sum()[0]",
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++"
            " to convert a 0-dim tensor to a number",
        ),
        (
            "x.index_put_((T.tensor([0]),), T.tensor(1))",
            "Index put requires the source and destination dtypes match, got Float for the destination and Long for the"
            " source.",
        ),
        ("x.__setitem__(0, 1e300)", "value cannot be converted to type float without overflow"),
        ("x.__setitem__(0, [1.0])", "can't assign a list to a torch.FloatTensor"),
        ("x.gather(0, T.tensor([[5]]))", "index 5 is out of bounds for dimension 0 with size 3"),
        ("x.gather(0, T.tensor([5]))", "Index tensor must have the same number of dimensions as input tensor"),
        ("x.scatter(0, T.tensor([[-1]]), 1.0)", "index -1 is out of bounds for dimension 0 with size 3"),
        ("x.take(T.tensor([12]))", "out of range: tried to access index 12 on a tensor of 12 elements."),
        ("x.index_select(0, T.tensor([3]))", "index out of range in self"),
        ("x.masked_fill(x, 1.0)", "masked_fill_ only supports boolean masks, but got mask with dtype float"),
    ],
)
def test_errors(code: str, message: str) -> None:
    found = []
    for library in (torch, bulssi):
        x = library.tensor([[float(4 * i + j) for j in range(4)] for i in range(3)])
        with pytest.raises((IndexError, RuntimeError, TypeError)) as error:
            eval(code, {"T": library, "x": x})
        found.append((error.type.__name__, str(error.value).splitlines()[0]))
        assert x.tolist() == [[float(4 * i + j) for j in range(4)] for i in range(3)]  # unchanged
    assert found[0] == (found[1][0], message)
    assert found[1][1].startswith(message)


def test_reversed_slice_is_a_view() -> None:
    x = bulssi.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    y = x[::-1]
    assert y.tolist() == [5, 4, 3, 2, 1] and y.stride() == (-1,)
    y[0] = 9.0
    assert x.tolist() == [1, 2, 3, 4, 9]
    assert x[3:0:-2].tolist() == [4, 2]
    leaf = bulssi.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (leaf[::-1] * bulssi.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert leaf.grad.tolist() == [100, 10, 1]


def test_repeated_indices_accumulate_in_order() -> None:
    x = bulssi.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x[[0, 0, 2, 0]].sum().backward()
    assert x.grad.tolist() == [3, 0, 1]
    y = bulssi.zeros(3)
    y[[1, 1, 1]] = bulssi.tensor([5.0, 6.0, 7.0])
    assert y.tolist() == [0, 7, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int16", "uint8", "bool"])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
def test_masks_of_many_blocks(dtype: str, density: float) -> None:
    rng = random.Random(int(density * 10))
    n = 70001
    bits = [rng.random() < density for _ in range(n)]
    numbers = [i % 100 for i in range(n)]
    results = []
    for library in (torch, bulssi):
        x = library.tensor(numbers).to(getattr(library, dtype))
        mask = library.tensor(bits)
        filled = x.masked_fill(mask, 1)
        scattered = x.masked_scatter(mask, x.flip(0))
        results.append([x[mask].tolist(), mask.nonzero().tolist(), filled.tolist(), scattered.tolist()])
    assert results[0] == results[1]


WIDTHS = [1, 7, 8, 15, 16, 33, 64, 130]  # around what registers hold


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("width", WIDTHS)
def test_reversed_rows(dtype: str, width: int) -> None:
    x = torch.arange(3 * 2 * width).reshape(3, 2, width).to(getattr(torch, dtype))
    ours = bulssi.tensor(x.tolist(), dtype=getattr(bulssi, dtype))
    for dims in [(2,), (1,), (0, 2), (0, 1, 2)]:
        assert ours.flip(dims).tolist() == x.flip(dims).tolist()
    assert ours[:, :, 1:].flip(2).tolist() == x[:, :, 1:].flip(2).tolist()
    assert ours.transpose(1, 2).flip(1).tolist() == x.transpose(1, 2).flip(1).tolist()


@pytest.mark.parametrize("dtype", ["int32", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("width", WIDTHS)
def test_sums_of_rows(dtype: str, width: int) -> None:
    index = [i * i % 5 for i in range(40)]
    results = []
    for library in (torch, bulssi):
        kind = getattr(library, dtype)
        source = (library.arange(40 * width) % 31 - 15).reshape(40, width).to(kind)  # sums are exact
        at = library.tensor(index)
        whole = library.zeros(5, width, dtype=kind)
        sums = [
            whole.index_add(0, at, source),
            whole.index_put((at,), source, accumulate=True),
            whole.index_put((at,), source[0], accumulate=True),
            whole.scatter_add(0, at.unsqueeze(1).expand(40, width), source),
            whole.t().index_add(1, at, source.t()),
        ]
        if dtype.startswith("float"):
            table = library.zeros(5, width, dtype=kind, requires_grad=True)
            rows = library.nn.functional.embedding(at, table, padding_idx=1)
            sums += library.autograd.grad(rows, table, source)
        results.append([t.tolist() for t in sums])
    assert results[0] == results[1]


def test_same_bits_for_any_number_of_threads() -> None:
    x = gauss(300, 700)
    index = bulssi.tensor([i * i % 300 for i in range(5000)])
    mask = x > 0
    before = bulssi.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            bulssi.set_num_threads(threads)
            results.append(
                [
                    x[index].tolist(),
                    x[mask].tolist(),
                    mask.nonzero().tolist(),
                    x.sort(0).indices.tolist(),
                    bulssi.zeros(300, 700).index_put((index,), x[index], accumulate=True).tolist(),
                    x.flatten().topk(50).values.tolist(),
                ]
            )
    finally:
        bulssi.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_derivatives(reduce: str, include_self: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = gauss(4, 3).double().requires_grad_()
        source = gauss(5, 3, seed=2).double().requires_grad_()
        index = bulssi.tensor([[0, 1, 3], [0, 2, 1], [1, 1, 0], [0, 0, 0], [2, 2, 2]])

        def function(a, b):
            return a.scatter_reduce(0, index, b, reduce, include_self=include_self)

        assert bulssi.autograd.gradcheck(function, (x, source))
        assert bulssi.autograd.gradgradcheck(function, (x, source))


def test_embedding_gradient() -> None:
    indices = [[0, 2, 2], [1, 0, 2]]
    for padding, by_frequency in ((-1, False), (2, False), (0, True)):
        results = []
        for library in (torch, bulssi):
            weight = library.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
            out = library.embedding(weight, library.tensor(indices), padding, by_frequency)
            (out * out).sum().backward()
            results.append([out.tolist(), weight.grad.tolist()])
        assert results[0] == results[1]


@pytest.mark.parametrize("base", ["x", "x[::2]", "x[1:]", "x.t()", "x[:, ::2]", "x[:, :1].expand(4, 2)"])
@pytest.mark.parametrize(
    "call",
    [
        "select_scatter(T.zeros({0}), 1, 0)", "slice_scatter(T.zeros({1}), 0, 0, 1)",
        "diagonal_scatter(T.zeros(min({2})))", "as_strided_scatter(T.zeros(2), (2,), (1,))",
    ],
)  # fmt: skip
def test_copies_with_a_part_replaced_have_the_layout_of_what_they_copy(base: str, call: str) -> None:
    found = []
    for library in (torch, bulssi):
        x = eval(base, {"x": library.arange(12.0).view(4, 3)})
        shape = tuple(x.shape)
        made = eval("x." + call.format(shape[0], (1, shape[1]), shape), {"x": x, "T": library, "min": min})
        found.append((made.tolist(), made.stride(), made.storage_offset(), made.untyped_storage().nbytes()))
        assert not made._is_view() and x.flatten()[0] == eval(base, {"x": library.arange(12.0).view(4, 3)}).flatten()[0]
    assert found[0] == found[1]


def test_a_part_may_lie_anywhere_in_the_storage_and_not_beyond() -> None:
    x = bulssi.arange(12.0, requires_grad=True)
    made = x.view(4, 3)[:2].as_strided_scatter(bulssi.zeros(2), (2,), (1,), 9)
    assert made.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    made.sum().backward()
    assert x.grad.tolist() == [1.0] * 6 + [0.0] * 6
    shared = bulssi.arange(3.0).expand(2, 3)  # its copy has six elements of its own
    with pytest.raises(RuntimeError, match="out of bounds for storage"):
        shared.as_strided_scatter(bulssi.zeros(2), (2,), (4,), 2)


@pytest.mark.parametrize(
    "code",
    [
        "torch.zeros(3).index_put_((torch.tensor([True, False, True]),), torch.tensor(1.5, dtype=torch.float64))",
        "torch.zeros(3, dtype=torch.int64).index_put_((torch.tensor([True, False, True]),), torch.tensor([1.5]))",
        "torch.arange(4.0)[torch.tensor([[0, 1, 2], [1, 2, 3]]).t()]",
        "torch.arange(20.0).reshape(4, 5)[torch.tensor([[0, 1, 2], [1, 2, 3]]).t()]",
        "torch.arange(60.0).reshape(5, 4, 3)[:, torch.tensor([[0, 1, 2], [1, 2, 3]]).t(), :]",
        "torch.arange(20.0).reshape(4, 5)[torch.tensor([0, 1]).expand(3, 2)]",
        "torch.arange(4.0).reshape(1, 2, 2).transpose(0, 2)[::2, torch.tensor([[0, 1], [1, 0]])]",
    ],
)
def test_order_of_memory_and_masks_of_one_value(code: str) -> None:
    got, expected = (eval(code, {"torch": library}) for library in (bulssi, torch))
    assert (got.tolist(), got.stride()) == (expected.tolist(), expected.stride())


def test_views_of_any_dtype_know_their_base() -> None:
    for dtype in (bulssi.float32, bulssi.int64, bulssi.bool):
        x = bulssi.ones(4, dtype=dtype)
        assert x[:2]._base is x and x.view(2, 2)[0]._base is x and not x._is_view()
