"""The meta device: shapes, strides and dtypes without elements."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import bulssi as torch
from bulssi import nn

FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "pointwise": lambda x: torch.exp(x) + 1,
    "mixed with a 0-d CPU tensor": lambda x: x * torch.tensor(2.0),
    "broadcast": lambda x: x.unsqueeze(1) + x,
    "condition": lambda x: torch.where(x > 0, x, 0.0),
    "cast": lambda x: x.double(),
    "view": lambda x: x.t().reshape(2, 6)[:, 1:3],
    "copy": lambda x: x.t().contiguous(),
    "sum": lambda x: x.sum(0, keepdim=True),
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(1),
    "extreme": lambda x: x.max(1).values,
    "product": lambda x: x @ x.t(),
    "vector product": lambda x: x @ x[0],
    "softmax": lambda x: x.softmax(1),
    "scan": lambda x: x.cumsum(0),
    "cat": lambda x: torch.cat([x, x]),
    "random": lambda x: torch.randn_like(x) + x.clone().uniform_(),
    "like": lambda x: torch.zeros_like(x),
    "inplace": lambda x: x.clone().mul_(2).t_(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shape_strides_and_dtype_are_those_of_the_cpu(name: str) -> None:
    expected = FUNCTIONS[name](torch.ones(3, 4))
    found = FUNCTIONS[name](torch.ones(3, 4, device="meta"))
    assert found.is_meta and found.device == torch.device("meta")
    assert (found.shape, found.stride(), found.dtype) == (expected.shape, expected.stride(), expected.dtype)


def test_a_network_is_made_and_differentiated_without_memory() -> None:
    with torch.device("meta"):
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 1 << 20), nn.LayerNorm(1 << 20)
        )
        x = torch.empty(2, 1, 8, 8)
    assert torch.zeros(1).device.type == "cpu"
    model(x).sum().backward()
    for parameter in model.parameters():
        assert parameter.is_meta and parameter.grad is not None
        assert parameter.grad.is_meta and parameter.grad.shape == parameter.shape
    small = nn.Linear(3, 2, device="meta").to_empty(device="cpu")
    small.load_state_dict({"weight": torch.ones(2, 3), "bias": torch.zeros(2)})
    assert small(torch.ones(1, 3)).tolist() == [[3.0, 3.0]]


def test_elements_are_refused() -> None:
    x = torch.empty(2, 3, device="meta", requires_grad=True)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
        x.to("cpu")
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
        torch.ones(2, 3).copy_(x)
    with pytest.raises(RuntimeError, match=r"Tensor.item\(\) cannot be called on meta tensors"):
        x.sum().item()
    with pytest.raises(NotImplementedError, match="aten::nonzero: attempted to run this operator with Meta tensors"):
        x.nonzero()
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device, but found at least two"):
        x + torch.ones(2, 3)
    assert str(x) == "tensor(..., device='meta', size=(2, 3), requires_grad=True)"


def test_the_default_device() -> None:
    torch.set_default_device("meta")
    try:
        assert torch.zeros(2).is_meta and torch.tensor([1, 2]).is_meta and torch.arange(3).is_meta
        assert torch.get_default_device() == torch.device("meta")
        with torch.device("cpu"):
            assert not torch.rand(2).is_meta
        assert torch.rand(2).is_meta
    finally:
        torch.set_default_device(None)
    assert torch.zeros(2).device == torch.device("cpu")
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.zeros(1, device="cuda")
