"""The meta device beside PyTorch's, and every operation of the registry on it: none reads memory that is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")

HUGE = 10**6  # a square matrix of this size is 4 TB


def tensors(t: Any) -> dict[str, Any]:
    t.manual_seed(0)
    return {
        "m": t.empty(3, 4, device="meta"),
        "c": t.ones(3, 4),
        "w": t.empty(5, 4, device="meta", requires_grad=True),
        "image": t.empty(2, 3, 6, 6, device="meta"),
        "index": t.zeros(2, 3, dtype=t.int64, device="meta"),
        "big": t.empty(HUGE, HUGE, device="meta"),
        "f": t.nn.functional,
        "t": t,
    }


def described(value: Any) -> Any:
    """What is known of a tensor without its elements."""
    if hasattr(value, "grad_fn"):
        return (
            value.device.type,
            tuple(value.shape),
            str(value.dtype).split(".")[1],
            tuple(value.stride()),
            value.requires_grad,
        )
    if isinstance(value, (tuple, list)):
        return [described(each) for each in value]
    return value if isinstance(value, (bool, int, float, str)) else str(value)


SAME = """
m, repr(m), m.is_meta, t.zeros(2, device='meta'), t.full((2,), 3.0, device='meta'), t.randn(3, device='meta')
t.arange(5, device='meta'), t.eye(3, device='meta'), t.tensor([1.0], device='meta'), t.linspace(0, 1, 5, device='meta')
t.empty_like(m), t.empty_like(m, device='cpu'), t.ones_like(c, device='meta'), m.new_zeros(3), c.new_zeros(3)
c.to('meta'), c.to(device='meta', dtype=t.float64), m.double(), m.to('meta')
m + 1, m + m, m + t.tensor(2.0), m.exp(), m.t().exp(), m == m, (m > 0).any(), t.where(m > 0, m, 0)
m.T, m[0], m[:, 1:3], m.view(12), m.reshape(4, 3), m.expand(2, 3, 4), m.repeat(2, 1), m.t().contiguous()
m.sum(), m.sum(0), m.mean(1), m.max(), m.max(1), m.argmax(), m.var(0), m.std(), m.norm(), m.amax(0), m.cumsum(0)
m @ m.T, f.linear(m, w), f.linear(m, w, t.empty(5, device='meta')), t.einsum('ij,kj->ik', m, m)
t.cat([m, m]), t.stack([m, m]), m.tril(), m.masked_fill(m > 0, 1.0), m.sort(), m.topk(2), m.gather(1, index)
m[index[0]], m.index_select(0, index[0]), f.embedding(index, w), f.interpolate(image, scale_factor=2)
m.softmax(-1), m.log_softmax(-1), f.layer_norm(m, (4,)), f.gelu(m), f.dropout(m, 0.5), f.mse_loss(m, m)
f.cross_entropy(m, t.zeros(3, dtype=t.int64, device='meta')), f.scaled_dot_product_attention(image, image, image)
f.conv2d(image, t.empty(8, 3, 3, 3, device='meta')), f.max_pool2d(image, 2), f.avg_pool2d(image, 2)
m.uniform_(), m.normal_(), m.zero_(), m.fill_(3), m.copy_(c), m.add_(1), m.clone(), m.detach()
t.linalg.svdvals(m), t.linalg.det(m @ m.T), t.linalg.solve(m @ m.T, m), t.linalg.eigh(m @ m.T)
t.autograd.grad((m @ w.T).exp().sum(), w), t.autograd.grad(f.linear(m, w).softmax(-1).sum(), w)
m.data_ptr(), m.untyped_storage().nbytes(), big @ big, (big + 1).sum(0), big.numel()
""".strip().split("\n")


@pytest.mark.parametrize("line", SAME)
def test_results_are_those_of_pytorch(line: str) -> None:
    found, expected = (described(eval(f"[{line}]", tensors(library))) for library in (bulssi, torch))
    for ours, theirs, what in zip(found, expected, line.split(", "), strict=False):
        assert ours == theirs, what
    assert len(found) == len(expected)


REFUSED: dict[str, tuple[Callable[[Any, Any], Any], type[Exception], str]] = {
    "item": (lambda t, m: m[0, 0].item(), RuntimeError, "cannot be called on meta tensors"),
    "bool": (lambda t, m: bool(m[0, 0]), RuntimeError, "cannot be called on meta tensors"),
    "tolist": (lambda t, m: m.tolist(), NotImplementedError, "Cannot copy out of meta tensor; no data!"),
    "cpu": (lambda t, m: m.cpu(), NotImplementedError, "Cannot copy out of meta tensor; no data!"),
    "copy_": (lambda t, m: t.ones(3, 4).copy_(m), NotImplementedError, "Cannot copy out of meta tensor; no data!"),
    "numpy": (lambda t, m: m.numpy(), TypeError, "can't convert meta device type tensor to numpy"),
    "nonzero": (lambda t, m: m.nonzero(), NotImplementedError, "nonzero"),
    "equal": (lambda t, m: t.equal(m, m), NotImplementedError, "equal"),
    "unique": (lambda t, m: t.unique(m), NotImplementedError, "unique"),
    "share_memory_": (lambda t, m: m.share_memory_(), RuntimeError, "only available on CPU"),
    "mixed": (lambda t, m: m + t.ones(3, 4), RuntimeError, "expected device meta|at least two devices"),
    "module": (lambda t, m: t.nn.Linear(2, 3, device="meta").to("cpu"), NotImplementedError, "to_empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_elements_is_refused(name: str) -> None:
    action, kind, text = REFUSED[name]
    for library in (torch, bulssi):
        with pytest.raises(kind, match=text.replace("(", r"\(")):
            action(library, library.empty(3, 4, device="meta"))
    with pytest.raises(RuntimeError, match=r"(?s)not on the expected device.*found at least two devices"):
        bulssi.ones(3, 4) * bulssi.empty(3, 4, device="meta")


def test_every_operation_works_or_refuses() -> None:
    """No operation of the registry reads memory that is not there."""
    from .operations import OPERATIONS, samples

    worked = 0
    for operation in OPERATIONS:
        if not (operation.has("function") or operation.has("method")):
            continue
        for sample in samples(operation):
            on_meta = sample.map(lambda x: bulssi.empty_like(x, device="meta"))
            if not list(on_meta.tensors()):
                continue
            try:
                expected = sample.map(lambda x: x.clone()).call(operation)
            except (RuntimeError, TypeError, ValueError, IndexError):
                continue
            try:
                found = on_meta.call(operation)
            except (NotImplementedError, RuntimeError):
                continue
            if isinstance(expected, bulssi.Tensor):
                assert found.device.type == "meta", operation
                assert (found.shape, found.dtype) == (expected.shape, expected.dtype), operation
                worked += 1
    assert worked > 300


def test_no_mixture_of_devices_reads_what_is_not_there() -> None:
    from .operations import OPERATIONS, samples

    refused = 0
    for operation in OPERATIONS:
        for sample in samples(operation):
            count = len(list(sample.tensors()))
            for which in range(count if count > 1 else 0):
                places = iter(range(count))
                mixed = sample.map(
                    lambda x, places=places, which=which: (
                        bulssi.empty_like(x, device="meta") if next(places) == which else x.clone()
                    )
                )
                try:
                    mixed.call(operation)
                except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError):
                    refused += 1
    assert refused > 100


def test_module_takes_parameters_over() -> None:
    module = bulssi.nn.Linear(3, 4, device="meta")
    real = bulssi.nn.Linear(3, 4)
    module.load_state_dict(real.state_dict(), assign=True)
    assert module.weight.tolist() == real.weight.tolist()
    assert bulssi.nn.utils.skip_init(bulssi.nn.Linear, 3, 4).weight.device.type == "cpu"
    assert bulssi.nn.Linear(3, 4).to("meta").weight.is_meta


def test_random_numbers_are_not_drawn() -> None:
    bulssi.manual_seed(0)
    bulssi.randn(100, device="meta").uniform_()
    drawn = bulssi.rand(3).tolist()
    bulssi.manual_seed(0)
    assert bulssi.rand(3).tolist() == drawn
