"""Recurrent layers beside PyTorch's: outputs and gradients of every kind of layer, and second derivatives."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import bulssi  # noqa: E402
from tests.nn.oracle import to_bulssi  # noqa: E402

LENGTHS = [7, 7, 6, 6, 6, 5, 5, 4, 4, 4, 3, 3, 3, 3, 2, 2, 1, 1, 1]  # more than one block of rows
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("LSTM", {"proj_size": 3}),
    ("GRU", {}),
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
]


def results(lib: Any, layer: Any, x: Any, packed: bool) -> list[Any]:
    x = x.requires_grad_()
    out, state = layer(lib.nn.utils.rnn.pack_padded_sequence(x, LENGTHS) if packed else x)
    out = out.data if packed else out
    state = state if isinstance(state, tuple) else (state,)
    ((out * out).sum() + sum(s.sin().sum() for s in state)).backward()
    return [out, *state, x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forwards", "both"])
@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize(("kind", "options"), OPTIONS, ids=[f"{k}{i}" for i, (k, _) in enumerate(OPTIONS)])
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_layer(kind: str, options: dict[str, Any], bias: bool, bidirectional: bool, packed: bool, dtype: str) -> None:
    torch.manual_seed(0)
    arguments = {"num_layers": 2, "bias": bias, "bidirectional": bidirectional, **options}
    layer = getattr(torch.nn, kind)(5, 37, dtype=getattr(torch, dtype), **arguments)
    ours = getattr(bulssi.nn, kind)(5, 37, dtype=getattr(bulssi, dtype), **arguments)
    ours.load_state_dict(to_bulssi(dict(layer.state_dict())))
    x = torch.randn(7, len(LENGTHS), 5, dtype=getattr(torch, dtype))
    expected, actual = results(torch, layer, x, packed), results(bulssi, ours, to_bulssi(x), packed)
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for e, a in zip(expected, actual, strict=True):
        torch.testing.assert_close(torch.tensor(a.tolist(), dtype=e.dtype), e.detach(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH", "RNN_RELU"])
def test_second_derivatives(mode: str, packed: bool, reverse: bool) -> None:
    bulssi.manual_seed(0)
    gates = {"LSTM": 4, "GRU": 3}.get(mode, 1) * 3

    def draw(*shape: int) -> Any:
        return bulssi.randn(*shape, dtype=bulssi.float64).requires_grad_()

    x = draw(4, 2) if packed else draw(2, 3, 2)
    cell = [draw(3, 3)] if mode == "LSTM" else []
    inputs = [x, draw(3, 3), *cell, draw(gates, 2), draw(gates, 3), draw(gates), draw(gates)]

    def layer(x: Any, h: Any, *rest: Any) -> Any:
        c, weights = (rest[0], rest[1:]) if cell else (None, rest)
        return tuple(bulssi._core.nn.rnn_layer(mode, x, [3, 1] if packed else None, h, c, *weights, None, reverse))

    assert bulssi.autograd.gradcheck(layer, inputs)
    assert bulssi.autograd.gradgradcheck(layer, inputs)


def test_same_bits_for_any_number_of_threads() -> None:
    before = bulssi.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            bulssi.set_num_threads(threads)
            bulssi.manual_seed(0)
            layer = bulssi.nn.LSTM(64, 64)
            x = bulssi.randn(12, 40, 64)
            out, _ = layer(x)
            out.square().sum().backward()
            found.append([out.tolist(), *(p.grad.tolist() for p in layer.parameters())])
    finally:
        bulssi.set_num_threads(before)
    assert found[0] == found[1]


def test_results_survive_a_large_weight() -> None:
    """Weights beyond the cache take another way of sharing the work."""
    torch.manual_seed(0)
    layer, ours = torch.nn.GRU(3, 400), bulssi.nn.GRU(3, 400)
    ours.load_state_dict(to_bulssi(dict(layer.state_dict())))
    x = torch.randn(3, 21, 3)
    expected = layer(x)[0]
    torch.testing.assert_close(torch.tensor(ours(to_bulssi(x))[0].tolist()), expected.detach(), rtol=1e-4, atol=1e-5)
