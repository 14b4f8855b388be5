"""Densities, moments, entropies, divergences and draws agree with each other: no other library is asked."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest

import bulssi
from bulssi import Tensor
from bulssi.distributions import constraints, kl, kl_divergence
from bulssi.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    ExpTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftplusTransform,
    StickBreakingTransform,
    TanhTransform,
)
from tests.distributions.cases import CASES, Maker


def made(name: str, seed: int = 0, batch: tuple[int, ...] = ()) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CASES[name](bulssi.distributions, Maker(bulssi, seed, batch=batch))


NUMBERS = [n for n in CASES if not made(n).event_shape and not made(n).batch_shape]


def points(d: Any) -> tuple[Tensor, Tensor]:
    """Values that fill d's support, and the weights of a sum that stands for the integral over it."""
    support = d.support
    if isinstance(support, constraints.MixtureSameFamilyConstraint):
        support = support.base_constraint
    if support.is_discrete:
        x = bulssi.arange(getattr(support, "upper_bound", 2000) + 1 if support is not constraints.boolean else 2)
        return x.double(), bulssi.ones(len(x)).double()
    step = 1 / 256
    t = bulssi.arange(-80, 80, step, dtype=bulssi.float64)
    low, high = (float(getattr(support, b, s * math.inf)) for b, s in (("lower_bound", -1), ("upper_bound", 1)))
    if type(d).__name__ == "VonMises":
        low, high = -math.pi, math.pi
    if math.isinf(high):
        # exp of sinh reaches far enough for heavy tails, and close enough to the end for poles
        stretched = bulssi.sinh(t / 16)
        slope = bulssi.cosh(t / 16) / 16
        if math.isinf(low):
            x, weights = bulssi.sinh(stretched), bulssi.cosh(stretched) * slope * step
        else:
            x, weights = low + stretched.exp(), stretched.exp() * slope * step
    else:
        u, v = bulssi.sigmoid(t), bulssi.sigmoid(-t)
        x, weights = low + (high - low) * u, (high - low) * u * v * step
    inside = (x > low) & (x < high) & x.isfinite() & weights.isfinite()
    return x[inside], weights[inside]


def expectation(d: Any, f: Tensor, x: Tensor, weights: Tensor) -> float:
    p = d.log_prob(x).exp() * weights
    return float(bulssi.where(p == 0, 0.0, p * f).sum())


# Their tails or poles are too heavy for the sums above.
HEAVY = {"mean": ("Pareto", "InverseGamma", "FisherSnedecor", "GeneralizedPareto", "StudentT")}


def has_mean(d: Any) -> bool:
    try:
        return not d.mean.isnan().any()
    except NotImplementedError:
        return False


@pytest.mark.parametrize("name", NUMBERS)
def test_density_is_one_and_has_the_moments_and_entropy(name: str) -> None:
    for seed in range(3):
        with bulssi.no_grad():
            d = made(name, seed)
            x, weights = points(d)
            assert expectation(d, bulssi.ones_like(x), x, weights) == pytest.approx(1, abs=2e-5)
            try:
                entropy = float(d.entropy())
            except NotImplementedError:
                entropy = math.nan
            if not math.isnan(entropy):
                assert entropy == pytest.approx(expectation(d, -d.log_prob(x), x, weights), abs=2e-4)
            if name.startswith((*HEAVY["mean"], "Cauchy", "HalfCauchy", "VonMises")) or not has_mean(d):
                continue
            mean, variance = float(d.mean), float(d.variance)
            assert mean == pytest.approx(expectation(d, x, x, weights), rel=1e-4, abs=1e-5)
            assert variance == pytest.approx(expectation(d, (x - mean) ** 2, x, weights), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", NUMBERS)
def test_cdf_is_the_integral_and_icdf_its_inverse(name: str) -> None:
    with bulssi.no_grad():
        d = made(name, 1)
        bulssi.manual_seed(0)
        value = d.sample((7,))
        try:
            cdf = d.cdf(value)
        except NotImplementedError:
            pytest.skip("no cdf")
        x, weights = points(d)
        density = d.log_prob(x).exp() * weights
        for v, p in zip(value, cdf, strict=True):
            assert float(density[x <= v].sum()) == pytest.approx(float(p), abs=2e-2)
        try:
            back = d.icdf(cdf)
        except NotImplementedError:
            return
        assert bulssi.allclose(back, value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_mean_and_variance(name: str) -> None:
    if name.startswith((*HEAVY["mean"], "Cauchy", "HalfCauchy", "VonMises")):
        pytest.skip("no mean, or no variance")
    with bulssi.no_grad():
        d = made(name, 3)
        bulssi.manual_seed(0)
        n = 20_000
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draws = d.sample((n,)).double()
        assert d.support.check(draws).all()
        try:
            mean, variance = d.mean, d.variance
        except NotImplementedError:
            pytest.skip("no formula")
        if mean.isnan().any():
            pytest.skip("categories have no mean")
        assert ((draws.mean(0) - mean).abs() <= 6 * (variance / n).sqrt() + 1e-9).all()
        assert bulssi.allclose(draws.var(0), variance.expand(draws.shape[1:]), rtol=0.2)


@pytest.mark.parametrize("pair", kl._KL_REGISTRY, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}")
def test_divergence_is_the_expected_difference(pair: tuple[type, type]) -> None:
    names = [next((n for n in NUMBERS if n.split("_")[0] == cls.__name__), None) for cls in pair]
    if None in names:
        pytest.skip("not of numbers, or a base class")
    checked = 0
    for seed in range(4):
        with bulssi.no_grad():
            p, q = (made(name, seed + 10 * i) for i, name in enumerate(names))
            if pair[0].__name__ == "Uniform" and seed % 2:  # within most supports
                p = bulssi.distributions.Uniform(bulssi.tensor(0.2).double(), bulssi.tensor(0.7).double())
            found = float(kl_divergence(p, q))
            x, weights = points(p)
            outside = ~q.support.check(x)
            log_q = bulssi.where(outside, -math.inf, q.log_prob(bulssi.where(outside, q.sample(), x)))
            if math.isinf(found):
                outside |= log_q.isneginf()
                tails = pair[0].__name__ == "Pareto"  # too heavy for the expectation to exist
                assert tails or float((p.log_prob(x).exp() * weights)[outside].sum()) > 1e-9
                continue
            difference = bulssi.where(p.log_prob(x).isneginf(), 0.0, p.log_prob(x) - log_q)
            assert found == pytest.approx(expectation(p, difference, x, weights), rel=1e-3, abs=1e-4)
            assert found > -1e-6
            checked += 1


TRANSFORMS = [
    (ExpTransform(), 3),
    (PowerTransform(bulssi.tensor(1.5).double()), 3),
    (SigmoidTransform(), 3),
    (SoftplusTransform(), 3),
    (TanhTransform(), 3),
    (AffineTransform(1.0, -2.0), 3),
    (AffineTransform(bulssi.ones(3).double(), bulssi.full((3,), 2.0).double(), event_dim=1), 3),
    (ComposeTransform([AffineTransform(0.5, 2.0), TanhTransform()]), 3),
    (StickBreakingTransform(), 3),
    (CorrCholeskyTransform(), 3),
    (ReshapeTransform((4,), (2, 2)), 4),
]


@pytest.mark.parametrize("transform, size", TRANSFORMS, ids=lambda v: str(v).replace("\n", ""))
def test_transform_has_its_jacobian_and_inverse(transform: Any, size: int) -> None:
    bulssi.manual_seed(1)
    x = bulssi.rand(size, dtype=bulssi.float64) + 0.1
    y = transform(x)
    assert transform.domain.check(x).all() and transform.codomain.check(y).all()
    assert bulssi.allclose(transform.inv(y), x)
    assert tuple(y.shape) == tuple(transform.forward_shape(x.shape))
    assert tuple(x.shape) == tuple(transform.inverse_shape(y.shape))
    jacobian = bulssi.autograd.functional.jacobian(lambda x: transform(x).reshape(-1), x)
    found = transform.log_abs_det_jacobian(x, y).sum()
    if isinstance(transform, CorrCholeskyTransform):  # to the elements below the diagonal, which the others follow
        jacobian = jacobian[[3, 6, 7]]
    elif isinstance(transform, StickBreakingTransform):  # to all parts but the last
        jacobian = jacobian[:-1]
    assert float(found) == pytest.approx(float(determinant(jacobian).abs().log()), abs=1e-9)


def determinant(a: Tensor) -> Tensor:
    """By expansion along the first row: small matrices."""
    if a.shape[0] == 1:
        return a[0, 0]
    columns = list(range(a.shape[1]))
    minors = [determinant(a[1:][:, columns[:j] + columns[j + 1 :]]) for j in columns]
    return sum((-1) ** j * a[0, j] * minors[j] for j in columns)


def test_constraints_and_the_transforms_to_them_fit() -> None:
    bulssi.manual_seed(0)
    sets = [
        constraints.real,
        constraints.positive,
        constraints.nonnegative,
        constraints.greater_than(bulssi.tensor([-1.0, 2.0, 5.0])),
        constraints.less_than(2.0),
        constraints.unit_interval,
        constraints.interval(-3.0, bulssi.tensor([1.0, 2.0, 3.0])),
        constraints.half_open_interval(1.0, 2.0),
        constraints.simplex,
        constraints.corr_cholesky,
        constraints.independent(constraints.positive, 1),
        constraints.cat([constraints.positive, constraints.real], -1, [1, 2]),
        constraints.stack([constraints.positive, constraints.real, constraints.unit_interval], -1),
    ]
    for constraint in sets:
        for registry in (bulssi.distributions.biject_to, bulssi.distributions.transform_to):
            transform = registry(constraint)
            y = transform(bulssi.randn(5, 3))
            assert constraint.check(y).all(), (constraint, transform)
            assert bulssi.allclose(transform(transform.inv(y)), y, atol=1e-5), (constraint, transform)
    factor = bulssi.distributions.transform_to(constraints.lower_cholesky)(bulssi.randn(2, 3, 3))
    assert constraints.lower_cholesky.check(factor).all()
    with pytest.raises(NotImplementedError, match="Cannot transform _Boolean constraints"):
        bulssi.distributions.biject_to(constraints.boolean)


@pytest.mark.parametrize("concentration", [0.03, 0.4, 1.0, 3.0, 50.0, 800.0])
def test_gamma_and_beta_draws_follow_their_parameters(concentration: float) -> None:
    """d cdf(draw) / d parameter is 0: the draw moves so that its quantile stays."""
    bulssi.manual_seed(0)
    a = bulssi.full((200,), concentration, dtype=bulssi.float64)
    x = bulssi._standard_gamma(a)
    x = x[x > 1e-6]
    a = a[: len(x)]
    h = 1e-6 * a
    moved = bulssi.special.gammainc(a + h, x) - bulssi.special.gammainc(a - h, x)
    density = ((a - 1) * x.log() - x - a.lgamma()).exp()
    expected = -moved / (2 * h) / density
    assert bulssi.allclose(bulssi._standard_gamma_grad(a, x), expected, rtol=2e-3, atol=1e-6)
    # With both concentrations small multiples of one parameter, beta draws are ratios of gamma draws: check by symmetry
    b = 2 * a
    y = bulssi.distributions.Beta(a, b).sample()
    up = bulssi._dirichlet_grad(y, a, a + b) * (1 - y)
    down = bulssi._dirichlet_grad(1 - y, b, a + b) * y
    assert (up >= 0).all() and (down >= 0).all()


@pytest.mark.parametrize("name", ["Beta", "Chi2", "Dirichlet", "Gamma", "Wishart", "Wishart_precision"])
def test_gradients_of_draws_average_to_those_of_the_mean(name: str) -> None:
    maker = Maker(bulssi, 4, batch=())
    d = CASES[name](bulssi.distributions, maker)
    bulssi.manual_seed(0)
    draws = d.rsample((20_000,))
    weights = bulssi.linspace(1, 2, d.mean.numel()).double().reshape(d.mean.shape)
    expected = bulssi.autograd.grad((d.mean * weights).sum(), maker.leaves, retain_graph=True, allow_unused=True)
    found = bulssi.autograd.grad((draws * weights).sum() / len(draws), maker.leaves, allow_unused=True)
    for e, f in zip(expected, found, strict=True):
        assert bulssi.allclose(f, e, rtol=0.1, atol=0.03 * float(e.abs().max()) + 0.02), (e, f)


def test_beta_draws_of_one_concentration_have_closed_forms() -> None:
    """Beta(a, 1) is u^(1/a), and Beta(1, b) is 1 - u^(1/b)."""
    a = bulssi.tensor([0.01, 0.3, 1.0, 4.0, 60.0, 900.0], dtype=bulssi.float64)
    one = bulssi.ones_like(a)
    for u in (1e-3, 0.2, 0.5, 0.9, 0.999):
        x = u ** (1 / a)
        inside = (x > 1e-200) & (x < 1 - 1e-12)
        expected = -x * x.log() / a
        found = bulssi._dirichlet_grad(x, a, a + 1) * (1 - x)
        assert bulssi.allclose(found[inside], expected[inside], rtol=1e-6)
        mirrored = bulssi._dirichlet_grad(1 - x, one * a, a + 1)[inside] * x[inside]
        assert (mirrored > 0).all()


def test_validation_can_be_turned_off() -> None:
    bulssi.distributions.Normal(0.0, -1.0, validate_args=False)
    bulssi.distributions.Distribution.set_default_validate_args(False)
    try:
        bulssi.distributions.Normal(0.0, -1.0)
    finally:
        bulssi.distributions.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="Expected parameter scale"):
        bulssi.distributions.Normal(0.0, -1.0)
    with pytest.raises(ValueError):
        bulssi.distributions.Distribution.set_default_validate_args(None)  # pyright: ignore


def test_import_of_the_library_leaves_distributions_out() -> None:
    import subprocess
    import sys

    code = "import sys, bulssi; sys.exit(any(m.startswith('bulssi.distributions') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
