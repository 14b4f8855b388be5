"""First and second derivatives of every differentiable operation, by random projections against central differences.

For f with float64 arguments x, and fixed random u and v, the scalar p(x) = <u, f(x)> has one directional derivative,
<grad p, v>; it is compared with (p(x + hv) - p(x - hv)) / 2h. One number tests the whole Jacobian: a wrong entry
survives only if it happens to be orthogonal to the draw. The second derivative is the first one of <grad p, w>.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import bulssi

from .compare import assert_close
from .operations import DIFFERENTIABLE, Operation, Sample, flatten, samples

Tensor = bulssi.Tensor
Scalar = Callable[[list[Tensor]], Tensor]
STEP = 1e-5
TOLERANCE = 1e-5  # truncation h^2 and rounding eps/h are both near 1e-10 of the scale; curvature takes the rest


def random_like(tensor: Tensor, rng: np.random.Generator) -> Tensor:
    return bulssi.from_numpy(np.asarray(rng.standard_normal(tuple(tensor.shape))))


def floating(tensor: Tensor) -> bool:
    return tensor.dtype == bulssi.float64


def leaves(sample: Sample) -> tuple[list[Tensor], Callable[[list[Tensor]], Sample]]:
    """The floating arguments, and the call with others in their place."""
    inputs = [tensor for tensor in sample.tensors() if floating(tensor)]

    def rebuilt(values: list[Tensor]) -> Sample:
        following = iter(values)
        return sample.map(lambda tensor: next(following) if floating(tensor) else tensor)

    return inputs, rebuilt


# Their other results are for the running statistics, and constants to the derivatives.
FIRST_RESULT = {"_norm_channels"}


def projection(operation: Operation, rebuilt: Callable[[list[Tensor]], Sample], rng: np.random.Generator) -> Scalar:
    """x -> <u, f(x)> over the floating results, u drawn once."""
    directions: list[Tensor] = []

    def scalar(values: list[Tensor]) -> Tensor:
        # A view of an argument is given as it is, an in-place operation must not change the argument of the next call.
        results = [each for each in flatten(rebuilt([x.clone() for x in values]).call(operation)) if floating(each)]
        if operation.name in FIRST_RESULT:
            del results[1:]
        if not directions:
            directions.extend(random_like(result, rng) for result in results)
        total = bulssi.zeros((), dtype=bulssi.float64)
        for direction, result in zip(directions, results, strict=True):
            total = total + (direction * result).sum()
        return total

    return scalar


def gradients(scalar: Scalar, values: list[Tensor], create_graph: bool = False) -> list[Tensor]:
    """Gradients of a scalar function, zeros where it does not depend on an argument."""
    recorded = values if create_graph else [x.detach().requires_grad_() for x in values]
    result = scalar(recorded)
    if not result.requires_grad:
        return [bulssi.zeros_like(x) for x in values]
    try:
        found = bulssi.autograd.grad(result, recorded, create_graph=create_graph, allow_unused=True)
    except NotImplementedError as refused:
        pytest.skip(str(refused))
    return [bulssi.zeros_like(x) if g is None else g for g, x in zip(found, recorded, strict=True)]


def directional_errors(scalar: Scalar, inputs: list[Tensor], rng: np.random.Generator) -> Iterator[str]:
    """For each argument whose derivative is wrong: what it is and what it should be."""
    exact = gradients(scalar, inputs)
    for at, (x, g) in enumerate(zip(inputs, exact, strict=True)):
        v = random_like(x, rng)

        def moved(h: float, at: int = at, x: Tensor = x, v: Tensor = v) -> float:
            return float(scalar([*inputs[:at], (x + h * v), *inputs[at + 1 :]]).item())

        analytic = float((g * v).sum().item())
        numeric = (moved(STEP) - moved(-STEP)) / (2 * STEP)
        norms = [float((each * each).sum().item()) ** 0.5 for each in (g, v)]
        scale = max(1.0, abs(numeric), norms[0] * norms[1])
        if not math.isclose(analytic, numeric, rel_tol=TOLERANCE, abs_tol=TOLERANCE * scale):
            yield f"argument {at}: derivative {analytic!r}, central difference {numeric!r}"


def cases(operation: Operation) -> Iterator[tuple[list[Tensor], Scalar, np.random.Generator]]:
    for number, sample in enumerate(samples(operation)):
        rng = np.random.default_rng(number)
        inputs, rebuilt = leaves(sample)
        yield inputs, projection(operation, rebuilt, rng), rng


# They read one triangle of a symmetric or triangular argument, and give a gradient of the whole: see test_linalg.py.
ONE_TRIANGLE = {"cholesky", "cholesky_ex", "cholesky_inverse", "cholesky_solve", "eigh", "eigvalsh"}
FREE = [each for each in DIFFERENTIABLE if each.name not in ONE_TRIANGLE]


@pytest.mark.parametrize("operation", FREE, ids=str)
def test_first_derivative(operation: Operation) -> None:
    for inputs, scalar, rng in cases(operation):
        assert list(directional_errors(scalar, inputs, rng)) == []


# Its gradient has no derivative, as PyTorch's: tests/autograd/test_inplace_rules.py.
TWICE = [each for each in FREE if each.name != "hardsigmoid"]


@pytest.mark.parametrize("operation", TWICE, ids=str)
def test_second_derivative(operation: Operation) -> None:
    for inputs, scalar, rng in cases(operation):
        directions = [random_like(x, rng) for x in inputs]

        def slope(values: list[Tensor], scalar: Scalar = scalar, directions: list[Tensor] = directions) -> Tensor:
            with bulssi.enable_grad():
                recorded = [x if x.requires_grad else x.detach().requires_grad_() for x in values]
                found = gradients(scalar, recorded, create_graph=True)
            total = bulssi.zeros((), dtype=bulssi.float64)
            for direction, g in zip(directions, found, strict=True):
                total = total + (direction * g).sum()
            return total

        assert list(directional_errors(slope, inputs, rng)) == []


@pytest.mark.parametrize("operation", DIFFERENTIABLE, ids=str)
def test_fused_backward_equals_recorded_backward(operation: Operation) -> None:
    """Without a graph the partials run as one kernel, with one they run as tensor operations: the same text."""
    for inputs, scalar, _ in cases(operation):
        fused = gradients(scalar, inputs)
        recorded = gradients(scalar, [x.detach().requires_grad_() for x in inputs], create_graph=True)
        assert_close([g.detach() for g in recorded], fused, 2**-52, ulps=64)


@pytest.mark.parametrize("operation", DIFFERENTIABLE, ids=str)
def test_gradient_has_shape_and_dtype_of_its_argument(operation: Operation) -> None:
    for inputs, scalar, _ in cases(operation):
        for g, x in zip(gradients(scalar, inputs), inputs, strict=True):
            assert (g.shape, g.dtype) == (x.shape, x.dtype)
