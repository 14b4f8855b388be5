"""Programs about recurrent layers, initialisation and utilities that have to come out the same in both libraries."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.nn.oracle import compare_runs, error, plain  # noqa: E402

PROGRAMS: list[Any] = []


def program(function: Any) -> Any:
    """``function(torch)`` is run with either library; its list of results has to be the same."""
    PROGRAMS.append(function)
    return function


def sequences(torch: Any) -> list[Any]:
    return [torch.arange(n * 3, dtype=torch.float32).reshape(n, 3).sin().requires_grad_() for n in (2, 5, 3)]


def gradients(torch: Any, output: Any, leaves: list[Any]) -> Any:
    weights = torch.arange(output.numel(), dtype=output.dtype).reshape(output.shape).cos()
    return plain(torch.autograd.grad((output * weights).sum(), leaves, allow_unused=True))


@program
def packing(torch: Any) -> Any:
    rnn = torch.nn.utils.rnn
    given = sequences(torch)
    packed = rnn.pack_sequence(given, enforce_sorted=False)
    padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=-1.0, total_length=6)
    results = [plain(packed), plain(padded), plain(lengths), plain(rnn.unpack_sequence(packed))]
    results.append(gradients(torch, padded, given))
    left = rnn.pad_sequence(given, batch_first=True, padding_value=7.0, padding_side="left")
    results += [
        plain(left),
        plain(rnn.pad_sequence(given)),
        plain(rnn.unpad_sequence(rnn.pad_sequence(given), lengths)),
    ]
    results += [plain(packed.double().data.dtype), packed.to(torch.float32) is packed, type(packed).__name__]
    x = torch.zeros(4, 2, 3)
    for lengths in ([2, 3], [3, 0], [3, 2, 1]):
        results.append(error(lambda lengths=lengths: rnn.pack_padded_sequence(x, lengths))[0])
    results.append(error(lambda: rnn.pad_packed_sequence(packed, total_length=3)))
    results.append(error(lambda: rnn.pad_sequence(3)))
    return results


def layer(torch: Any, kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(torch.nn, kind)(3, 4, **options)


@program
def recurrent_over_packed_sequences(torch: Any) -> Any:
    results = []
    for kind in ("RNN", "GRU", "LSTM"):
        for options in ({}, {"bidirectional": True, "num_layers": 2}, {"bias": False, "num_layers": 2, "dropout": 0.5}):
            if kind == "LSTM":
                options = {**options, "proj_size": 2}
            given = sequences(torch)
            m = layer(torch, kind, **options)
            packed = torch.nn.utils.rnn.pack_sequence(given, enforce_sorted=False)
            torch.manual_seed(1)
            output, state = m(packed)
            results += [plain(output), plain(state), gradients(torch, output.data, [*given, *m.parameters()])]
            size = options.get("proj_size", 4)
            start = torch.ones(options.get("num_layers", 1) * (1 + options.get("bidirectional", False)), 3, size)
            cell = torch.ones(start.shape[0], 3, 4)
            output, state = m(packed, (start, cell) if kind == "LSTM" else start)
            results += [plain(output), plain(state)]
    return results


@program
def recurrent_errors(torch: Any) -> Any:
    nn = torch.nn
    x = torch.zeros(5, 2, 3)
    results = []
    for kind in ("RNN", "GRU", "LSTM"):
        m = layer(torch, kind)
        results += [
            error(lambda m=m: m(torch.zeros(5, 2, 4))),
            error(lambda m=m: m(torch.zeros(3))),
            error(lambda m=m: m(x.double())),
            error(
                lambda m=m: m(
                    x, (torch.zeros(1, 3, 4), torch.zeros(1, 3, 4)) if "LSTM" in repr(m) else torch.zeros(1, 3, 4)
                )
            ),
            error(lambda m=m: m(x, (torch.zeros(3, 4), torch.zeros(3, 4)) if "LSTM" in repr(m) else torch.zeros(3, 4))),
            error(lambda kind=kind: getattr(nn, kind)(0, 1)),
            error(lambda kind=kind: getattr(nn, kind)(1, 1, dropout=2)),
            error(lambda kind=kind: getattr(nn, kind)(1.5, 1)),
            error(lambda kind=kind: getattr(nn, kind)(1, 1, 0)),
            error(lambda kind=kind: getattr(nn, kind)(1, 1, bias=1)),
            repr(layer(torch, kind, num_layers=2, bidirectional=True, batch_first=True, bias=False, dropout=0.1)),
        ]
    results += [
        error(lambda: nn.RNN(1, 1, nonlinearity="sin")),
        error(lambda: nn.GRU(1, 1, proj_size=1)),
        error(lambda: nn.LSTM(2, 2, proj_size=2)),
        error(lambda: nn.LSTMCell(3, 4)(torch.zeros(2, 4))),
        error(lambda: nn.GRUCell(3, 4)(torch.zeros(2, 3, 1))),
        repr(nn.RNNCell(1, 2, bias=False, nonlinearity="relu")),
        repr(nn.RNN(1, 2, 2, "relu")),
    ]
    return results


@program
def initialisation(torch: Any) -> Any:
    init = torch.nn.init
    results = []
    cases = [
        ("uniform_", (), {}),
        ("normal_", (1.0, 2.0), {}),
        ("trunc_normal_", (), {}),
        ("trunc_normal_", (), {"std": 3.0, "a": -0.5, "b": 0.5}),
        ("constant_", (3.0,), {}),
        ("ones_", (), {}),
        ("zeros_", (), {}),
        ("eye_", (), {}),
        ("xavier_uniform_", (2.0,), {}),
        ("xavier_normal_", (), {}),
        ("kaiming_uniform_", (), {"a": 0.3, "mode": "fan_out"}),
        ("kaiming_normal_", (), {"nonlinearity": "relu"}),
        ("orthogonal_", (), {"gain": 2.0}),
        ("sparse_", (0.4,), {}),
    ]
    for shape in ((5, 4), (3, 20)):
        for name, args, kwargs in cases:
            torch.manual_seed(0)
            t = torch.empty(shape)
            out = getattr(init, name)(t, *args, **kwargs)
            results += [out is t, plain(t)]
    for shape in ((4, 3, 3), (4, 2, 3, 2), (2, 2, 1, 2, 3)):
        results.append(plain(init.dirac_(torch.empty(shape), groups=2)))
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        results.append(init.calculate_gain(name))
    p = torch.nn.Parameter(torch.zeros(2, 2))
    init.normal_(p)
    results += [p.requires_grad, p.is_leaf, init.calculate_gain("leaky_relu", 0.2)]
    results += [
        error(lambda: init.calculate_gain("other")),
        error(lambda: init.calculate_gain("leaky_relu", True)),
        error(lambda: init.eye_(torch.zeros(2))),
        error(lambda: init.dirac_(torch.zeros(2, 2))),
        error(lambda: init.dirac_(torch.zeros(3, 2, 1), 2)),
        error(lambda: init.xavier_uniform_(torch.zeros(2))),
        error(lambda: init.kaiming_normal_(torch.zeros(2, 2), mode="fan")),
        error(lambda: init.orthogonal_(torch.zeros(2))),
        error(lambda: init.sparse_(torch.zeros(2), 0.5)),
    ]
    return results


@program
def parametrisations(torch: Any) -> Any:
    results = []
    ready = torch.nn.utils.parametrizations
    cases = [("orthogonal", shape, {}) for shape in ((4, 4), (5, 3), (3, 5))]
    cases += [("orthogonal", (4, 4), {"orthogonal_map": name}) for name in ("cayley", "matrix_exp", "householder")]
    cases += [("orthogonal", (5, 3), {"orthogonal_map": "householder", "use_trivialization": False})]
    cases += [("weight_norm", (3, 5), {}), ("weight_norm", (3, 5), {"dim": None}), ("spectral_norm", (3, 5), {})]
    for name, shape, options in cases:
        torch.manual_seed(0)
        # In float64: LAPACKs round differently, and six digits are compared.
        m = torch.nn.Linear(*shape).double()
        getattr(ready, name)(m, **options)
        m(torch.ones(2, shape[0], dtype=torch.float64)).sin().sum().backward()
        results += [plain(m.weight), plain(m.state_dict()), [plain(p.grad) for p in m.parameters()], repr(m)]
        twin = copy.deepcopy(m)
        results += [plain(twin.weight), torch.nn.utils.parametrize.is_parametrized(m, "weight")]
        torch.nn.utils.parametrize.remove_parametrizations(m, "weight")
        results += [plain(m.weight), type(m).__name__, list(m.state_dict())]
    return results


@program
def own_parametrisation(torch: Any) -> Any:
    nn, parametrize = torch.nn, torch.nn.utils.parametrize

    class Symmetric(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).transpose(-1, -2)

    class Exp(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.exp()

        def right_inverse(self, x: Any) -> Any:
            return x.log()

    torch.manual_seed(0)
    m = nn.Linear(2, 2)
    parametrize.register_parametrization(m, "weight", Symmetric())
    results = [plain(m.weight), [n for n, _ in m.named_parameters()], type(m).__name__, repr(m)]
    results.append(error(lambda: setattr(m, "weight", torch.ones(2, 2))))
    parametrize.register_parametrization(m, "bias", Exp(), unsafe=True)
    m.bias = torch.tensor([1.0, 2.0])
    results += [plain(m.bias), plain(m.parametrizations.bias.original)]
    parametrize.register_parametrization(m, "weight", Symmetric())
    with parametrize.cached():
        results.append(m.weight is m.weight)
    results.append(m.weight is m.weight)
    parametrize.remove_parametrizations(m, "weight", leave_parametrized=False)
    results += [plain(m.weight), type(m).__name__, parametrize.type_before_parametrizations(m).__name__]
    results.append(error(lambda: parametrize.register_parametrization(m, "nothing", Exp()))[0])
    results.append(error(lambda: parametrize.remove_parametrizations(m, "nothing"))[0])
    return results


@program
def hooks_that_normalise(torch: Any) -> Any:
    utils = torch.nn.utils
    results = []
    for name in ("weight_norm", "spectral_norm"):
        for make in (lambda: torch.nn.Conv2d(2, 3, 2), lambda: torch.nn.ConvTranspose2d(2, 3, 2)):
            torch.manual_seed(0)
            m = make()
            getattr(utils, name)(m)
            x = torch.arange(18.0).reshape(1, 2, 3, 3).cos()
            m(x).sin().sum().backward()
            results += [plain(m(x)), plain(m.state_dict()), [plain(p.grad) for p in m.parameters()]]
            results.append(error(lambda m=m, name=name: getattr(utils, name)(m)))
            getattr(utils, f"remove_{name}")(m)
            results += [plain(m(x)), list(m.state_dict())]
            results.append(error(lambda m=m, name=name: getattr(utils, f"remove_{name}")(m))[0])
    return results


@program
def clipping_and_vectors(torch: Any) -> Any:
    utils = torch.nn.utils
    results = []
    for kind in (2.0, 1.0, float("inf"), 0.5):
        parameters = [
            torch.nn.Parameter(torch.ones(3)),
            torch.nn.Parameter(torch.ones(2)),
            torch.nn.Parameter(torch.ones(1)),
        ]
        parameters[0].grad = torch.tensor([3.0, -4.0, 0.5])
        parameters[1].grad = torch.tensor([0.1, -2.0])
        results.append(plain(utils.clip_grad_norm_(parameters, 1.5, kind)))
        results.append([plain(p.grad) for p in parameters[:2]])
        utils.clip_grad_value_(iter(parameters), 0.2)
        results.append([plain(p.grad) for p in parameters[:2]])
    results += [plain(utils.clip_grad_norm_([], 1.0)), plain(utils.parameters_to_vector(parameters))]
    vector = torch.arange(6.0)
    utils.vector_to_parameters(vector, parameters)
    vector.add_(1)
    results.append(plain([p for p in parameters]))
    parameters[0].grad = torch.tensor([float("nan"), 0, 0])
    results.append(error(lambda: utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)))
    results.append(error(lambda: utils.vector_to_parameters(3, parameters)))
    results.append(repr(utils.skip_init(torch.nn.Linear, 2, 3)))
    return results


@program
def adaptive_softmax(torch: Any) -> Any:
    torch.manual_seed(0)
    m = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, head_bias=True)
    x = torch.arange(40.0).reshape(5, 8).sin().requires_grad_()
    target = torch.tensor([0, 12, 5, 19, 3])
    output, loss = m(x, target)
    loss.backward()
    results = [plain(output), plain(loss), plain(x.grad), plain(m.log_prob(x)), plain(m.predict(x)), repr(m)]
    results += [error(lambda: m(x, target + 10)), error(lambda: m(x, target[:2])), plain(m(x[0], target[0]))]
    results.append(error(lambda: torch.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [10, 4])))
    return results


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_program(function: Any) -> None:
    """Both libraries give the same results."""
    compare_runs(function)
