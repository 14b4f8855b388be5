"""Each distribution does what PyTorch's does: the same draws for a seed, values, gradients, errors and texts."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from tests.distributions.cases import CASES, Maker

torch = pytest.importorskip("torch")
from tests.distributions.oracle import LIBRARIES, agree  # noqa: E402

PROPERTIES = ("mean", "mode", "variance", "stddev", "support", "batch_shape", "event_shape", "has_rsample")
PROPERTIES += ("has_enumerate_support", "param_shape", "probs", "logits", "covariance_matrix", "precision_matrix")
PROPERTIES += ("scale_tril", "temperature", "df", "loc", "scale", "rate", "concentration", "concentration1")


def made(name: str, library: Any, seed: int, dtype: str, batch: tuple[int, ...]) -> tuple[Any, list[Any]]:
    maker = Maker(library, seed, "float32" if name.startswith(SINGLE) else dtype, batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # low df of Wishart
        return CASES[name](library.distributions, maker), maker.leaves


def drawn(name: str, library: Any, seed: int, dtype: str, batch: tuple[int, ...], shape: tuple[int, ...] = (2,)) -> Any:
    """PyTorch's draw, as a tensor of the library."""
    torch.manual_seed(seed)
    d, _ = made(name, torch, seed, dtype, batch)
    value = d.sample(shape).contiguous()
    return library.tensor(value.tolist(), dtype=getattr(library, str(value.dtype).removeprefix("torch.")))


def gradients(library: Any, result: Any, leaves: list[Any], order: int) -> list[Any]:
    """The result and derivatives along fixed random directions."""
    found = [result]
    for _ in range(order):
        weights = library.linspace(0.5, 1.5, result.numel(), dtype=result.dtype).reshape(result.shape)
        grads = library.autograd.grad((result * weights).sum(), leaves, create_graph=True, allow_unused=True)
        found.append(grads)
        grads = [g for g in grads if g is not None and g.requires_grad]
        if not grads:
            break
        result = library.cat([g.reshape(-1) for g in grads])
    return found


# Their derivative is an approximation of PyTorch's, good to about 1e-3.
APPROXIMATE = ("Beta", "Chi2", "Dirichlet", "FisherSnedecor", "Gamma", "InverseGamma", "StudentT")

# PyTorch's takes double precision for an error in several functions.
SINGLE = ("GeneralizedPareto",)

KNOWN = {
    "Kumaraswamy": ("mode",),  # PyTorch's is nan everywhere
    "VonMises": ("variance",),  # PyTorch's Bessel functions are single precision polynomials
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("name", CASES)
def test_draws(name: str, batch: tuple[int, ...], dtype: str) -> None:
    tolerance = 1e-10 if dtype == "float64" else 2e-5

    def draw(library: Any, method: str, shape: tuple[int, ...]) -> Any:
        d, _ = made(name, library, 1, dtype, batch)
        library.manual_seed(7)
        drawn = getattr(d, method)(shape)
        return drawn, drawn.requires_grad, library.rand(2)  # as many numbers were drawn

    for method in ("sample", "rsample"):
        for shape in ((), (4,), (2, 3)):
            agree(f"{method}({shape})", lambda library, m=method, s=shape: draw(library, m, s), tolerance)


# Wishart's raise an error in PyTorch, about a change in place.
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("Wishart")])
def test_gradients_of_draws(name: str) -> None:
    def derivative(library: Any) -> Any:
        d, leaves = made(name, library, 2, "float64", (3,))
        if not d.has_rsample:
            return None
        library.manual_seed(3)
        order = 1 if name.startswith(APPROXIMATE) else 2
        return gradients(library, d.rsample((2,)), leaves, order)

    agree("rsample", derivative, 5e-3 if name.startswith(APPROXIMATE) else 1e-9)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("name", CASES)
def test_log_prob(name: str, batch: tuple[int, ...]) -> None:
    def derivative(library: Any) -> Any:
        d, leaves = made(name, library, 3, "float64", batch)
        value = drawn(name, library, 3, "float64", batch)
        if value.is_floating_point() and not name.startswith(("Wishart", "LKJ")):
            leaves.append(value.requires_grad_())
        return gradients(library, d.log_prob(value), leaves, 2)

    tolerance = 1e-5 if name == "VonMises" else 1e-8
    agree("log_prob", derivative, tolerance)

    def single(library: Any) -> Any:
        d, _ = made(name, library, 4, "float32", batch)
        return d.log_prob(drawn(name, library, 4, "float32", batch))

    agree("log_prob", single, 1e-4)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("name", CASES)
def test_properties(name: str, batch: tuple[int, ...]) -> None:
    tolerance = 1e-6 if name == "VonMises" else 1e-8
    for seed in range(3):
        for prop in PROPERTIES:
            if prop in KNOWN.get(name, ()):
                continue
            if "has_" not in prop and not hasattr(type(made(name, torch, seed, "float64", batch)[0]), prop):
                continue
            agree(
                prop, lambda library, p=prop, s=seed: getattr(made(name, library, s, "float64", batch)[0], p), tolerance
            )
        agree("repr", lambda library, s=seed: repr(made(name, library, s, "float64", batch)[0]), 0)


@pytest.mark.parametrize("name", CASES)
def test_functions(name: str) -> None:
    def with_gradient(library: Any, method: str, *args: Any) -> Any:
        d, leaves = made(name, library, 5, "float64", (3,))
        result = getattr(d, method)(*args)
        if not result.requires_grad:
            return result
        return gradients(library, result, leaves, 1 if method == "cdf" and "Gamma" not in name else 0)

    for method in ("entropy", "perplexity", "enumerate_support"):
        agree(method, lambda library, m=method: with_gradient(library, m), 1e-7)
    agree("enumerate_support", lambda library: with_gradient(library, "enumerate_support", False), 0)
    agree("cdf", lambda library: with_gradient(library, "cdf", drawn(name, library, 5, "float64", (3,))), 1e-7)
    p = [[0.1, 0.5, 0.9], [0.25, 0.75, 0.3]]
    dtype = "float32" if name.startswith(SINGLE) else "float64"
    agree(
        "icdf", lambda library: with_gradient(library, "icdf", library.tensor(p, dtype=getattr(library, dtype))), 1e-7
    )


@pytest.mark.parametrize("name", CASES)
def test_expand(name: str) -> None:
    def expanded(library: Any, shape: tuple[int, ...]) -> Any:
        d, _ = made(name, library, 6, "float64", (3,))
        large = d.expand(shape)
        library.manual_seed(5)
        sample = large.sample((2,))
        again = large.expand((5, *shape))
        return repr(large), large.batch_shape, large.event_shape, sample, large.log_prob(sample), again.batch_shape

    tolerance = 1e-5 if name == "VonMises" else 1e-8
    agree("expand", lambda library: expanded(library, (3,)), tolerance)
    agree("expand", lambda library: expanded(library, (4, 3)), tolerance)
    agree("expand", lambda library: made(name, library, 6, "float64", (3,))[0].expand((4,)).mean, tolerance)


@pytest.mark.parametrize("name", CASES)
def test_errors(name: str) -> None:
    values = (
        lambda t: t.tensor(float("nan"), dtype=t.float64),
        lambda t: t.full((3, 7), -1.5, dtype=t.float64),
        lambda t: t.full((3,), 1e9, dtype=t.float64),
        lambda t: t.zeros(3, 3, dtype=t.float64),
        lambda t: t.zeros(5, dtype=t.float64),
        lambda t: 0.5,
    )
    for value in values:
        agree("log_prob", lambda t, v=value: made(name, t, 8, "float64", (3,))[0].log_prob(v(t)), 1e-6)


@pytest.mark.parametrize("pair", torch.distributions.kl._KL_REGISTRY, ids=lambda p: f"{p[0].__name__}-{p[1].__name__}")
def test_divergence(pair: tuple[type, type]) -> None:
    names = [next((n for n in CASES if n.split("_")[0] == cls.__name__), "Bernoulli_probs") for cls in pair]

    def divergence(library: Any, seed: int) -> Any:
        (p, first), (q, second) = (made(n, library, seed + 7 * i, "float64", (3,)) for i, n in enumerate(names))
        result = library.distributions.kl_divergence(p, q)
        return gradients(library, result, first + second, 1 if result.requires_grad else 0)

    for seed in range(3):
        agree("kl_divergence", lambda library, s=seed: divergence(library, s), 1e-7)


def test_divergence_of_the_same_classes() -> None:
    ours, theirs = (library.distributions.kl._KL_REGISTRY for library in LIBRARIES)
    assert {(p.__name__, q.__name__) for p, q in ours} == {(p.__name__, q.__name__) for p, q in theirs}


@pytest.mark.parametrize("name", CASES)
def test_divergence_of_the_same_class_and_others(name: str) -> None:
    for other in ("Normal", "Dirichlet", name):

        def divergence(library: Any, other: str = other) -> Any:
            return library.distributions.kl_divergence(
                *(made(n, library, 3, "float64", (3,))[0] for n in (name, other))
            )

        agree(f"kl_divergence({name}, {other})", divergence, 1e-6)
