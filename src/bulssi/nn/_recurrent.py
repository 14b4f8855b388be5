"""Recurrent networks over whole sequences, padded or packed, and single cells.

The functions have the names and arguments of PyTorch's. One layer in one direction is the core's ``rnn_layer``; a cell
is a layer of one step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor
from bulssi.nn._native import native
from bulssi.nn.functional import dropout as _dropout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


# ---- all layers ---------------------------------------------------------------------------------------------------


def _run(
    mode: str,
    x: Tensor,
    batch_sizes: Sequence[int] | None,
    hidden: Any,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Tensor, ...]:
    directions = 2 if bidirectional else 1
    per_layer = len(params) // (num_layers * directions)
    if per_layer * num_layers * directions != len(params):
        raise RuntimeError(f"{mode}: got {len(params)} parameters for {num_layers} layers in {directions} direction(s)")
    states: list[list[Tensor]] = [[] for _ in hidden]
    for layer in range(num_layers):
        outputs = []
        for direction in range(directions):
            i = layer * directions + direction
            weights = list(params[i * per_layer : (i + 1) * per_layer])
            w_ih, w_hh = weights[:2]
            b_ih, b_hh = weights[2:4] if has_biases else (None, None)
            w_hr = weights[-1] if len(weights) == (5 if has_biases else 3) else None
            h, c = hidden[0][i], hidden[1][i] if len(hidden) > 1 else None
            out, *state = native.rnn_layer(mode, x, batch_sizes, h, c, w_ih, w_hh, b_ih, b_hh, w_hr, direction == 1)
            outputs.append(out)
            for kept, final in zip(states, state, strict=False):
                kept.append(final)  # pyright: ignore[reportArgumentType]
        x = outputs[0] if directions == 1 else bulssi.cat(outputs, -1)
        if dropout and train and layer < num_layers - 1:
            x = _dropout(x, dropout, True)
    return (x, *(bulssi.stack(kept) for kept in states))


def _sequence(mode: str, name: str) -> Callable[..., tuple[Tensor, ...]]:
    def function(input: Tensor, *args: Any) -> tuple[Tensor, ...]:
        hidden: Any
        packed = isinstance(args[0], Tensor) and args[0].dim() == 1  # batch sizes come before the state
        if packed:
            batch_sizes, hx, *rest = args
            hidden = (hx,) if isinstance(hx, Tensor) else tuple(hx)
            return _run(mode, input, batch_sizes.tolist(), hidden, *rest)
        hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first = args
        hidden = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        x = input.transpose(0, 1) if batch_first else input
        out, *state = _run(mode, x, None, hidden, params, has_biases, num_layers, dropout, train, bidirectional)
        return (out.transpose(0, 1) if batch_first else out, *state)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""A {mode} network over a sequence.

    ``{name}(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)`` for padded
    sequences,
    ``{name}(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)`` for a packed one.
    Returns the outputs of the last layer and the last state of every layer and direction.
    """
    return function


lstm = _sequence("LSTM", "lstm")
gru = _sequence("GRU", "gru")
rnn_tanh = _sequence("RNN_TANH", "rnn_tanh")
rnn_relu = _sequence("RNN_RELU", "rnn_relu")


# ---- cells --------------------------------------------------------------------------------------------------------


def _check_cell(input: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, number: int = 0) -> None:
    if input.shape[1] != w_ih.shape[1]:
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[1]} expected {w_ih.shape[1]}")
    if input.shape[0] != h.shape[0]:
        raise RuntimeError(f"Input batch size {input.shape[0]} doesn't match hidden{number} batch size {h.shape[0]}")
    if h.shape[1] != w_hh.shape[1]:
        raise RuntimeError(f"hidden{number} has inconsistent hidden_size: got {h.shape[1]}, expected {w_hh.shape[1]}")


def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of an LSTM: the new hidden and cell state."""
    h, c = hx
    _check_cell(input, h, w_ih, w_hh)
    _check_cell(input, c, w_ih, w_hh, 1)
    _, h, c = native.rnn_layer("LSTM", input.unsqueeze(0), None, h, c, w_ih, w_hh, b_ih, b_hh)
    return h, c


def _cell(mode: str, name: str) -> Callable[..., Tensor]:
    def function(
        input: Tensor,
        hx: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Tensor:
        _check_cell(input, hx, w_ih, w_hh)
        return native.rnn_layer(mode, input.unsqueeze(0), None, hx, None, w_ih, w_hh, b_ih, b_hh)[1]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"One step of a {mode} network: the new hidden state."
    return function


gru_cell = _cell("GRU", "gru_cell")
rnn_tanh_cell = _cell("RNN_TANH", "rnn_tanh_cell")
rnn_relu_cell = _cell("RNN_RELU", "rnn_relu_cell")
