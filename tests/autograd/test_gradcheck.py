"""gradcheck accepts right derivatives and names wrong ones."""

from __future__ import annotations

import pytest

import bulssi
from bulssi.autograd import Function, gradcheck, gradgradcheck
from bulssi.autograd.gradcheck import GradcheckError

BOTH = pytest.mark.parametrize("fast_mode", [False, True])


def point(*shape):
    bulssi.manual_seed(0)
    return (bulssi.rand(*shape, dtype=bulssi.float64) + 0.2).requires_grad_()


@BOTH
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sin(),
        lambda x: (x * x, x.exp().sum()),
        lambda x: x.t() @ x,
        lambda x: x.sum(0),
        lambda x: x[:, 1:] * x[:, :1],
        lambda x: x.clone().mul_(x),
    ],
)
def test_right_derivatives_pass(function, fast_mode):
    x = point(3, 2)
    before = x.detach().clone()
    assert gradcheck(function, (x,), fast_mode=fast_mode)
    assert gradgradcheck(function, (x,), fast_mode=fast_mode)
    assert bulssi.equal(x, before), "the input must be as before"


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 3


@BOTH
def test_wrong_derivative(fast_mode):
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0,\nnumerical:"):
        gradcheck(Wrong.apply, (point(2),), fast_mode=fast_mode)
    assert not gradcheck(Wrong.apply, (point(2),), fast_mode=fast_mode, raise_exception=False)


class WrongSecond(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 3 * x.detach() ** 2  # right, but a constant to the second derivative


@BOTH
def test_wrong_second_derivative(fast_mode):
    assert gradcheck(WrongSecond.apply, (point(2),), fast_mode=fast_mode)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradgradcheck(WrongSecond.apply, (point(2),), fast_mode=fast_mode)


def test_gradient_not_multiplied():
    class Constant(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            return bulssi.ones_like(grad)

    with pytest.raises(GradcheckError, match="backward not multiplied by grad_output"):
        gradcheck(Constant.apply, (point(1),))


def test_backward_that_changes():
    state = [0.0]

    class Changing(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            state[0] += 1e-7
            return grad * (1 + state[0])

    with pytest.raises(GradcheckError, match="Backward is not reentrant"):
        gradcheck(Changing.apply, (point(1),))
    assert gradcheck(Changing.apply, (point(1),), nondet_tol=1e-5)


def test_undefined_gradients():
    class Strict(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            if grad is None:
                raise RuntimeError("no gradient")
            return grad

    with pytest.raises(GradcheckError, match="Expected backward function to handle undefined output grads"):
        gradcheck(Strict.apply, (point(1),))
    assert gradcheck(Strict.apply, (point(1),), check_undefined_grad=False)


def test_parameters_reached_by_another_way():
    w = point(2)
    assert gradcheck(lambda _: w * w, (w,))


def test_inputs():
    with pytest.raises(ValueError, match="expects at least one input tensor to require gradient"):
        gradcheck(lambda x: x, (bulssi.ones(2),))
    with pytest.raises(RuntimeError, match="The 0th input has a dimension with stride 0"):
        gradcheck(lambda x: x, (bulssi.ones(1, dtype=bulssi.float64).expand(2).detach().requires_grad_(),))
    with pytest.warns(UserWarning, match="is not a double precision floating point"):
        gradcheck(lambda x: x * 1, (bulssi.ones(2, requires_grad=True),), atol=1, raise_exception=False)
    with pytest.raises(NotImplementedError, match="check_forward_ad=True"):
        gradcheck(lambda x: x, (point(1),), check_forward_ad=True)


def test_the_random_stream_is_left_alone():
    x = point(3)
    before = bulssi.get_rng_state()
    gradcheck(lambda x: x.sin(), (x,), fast_mode=True)
    gradgradcheck(lambda x: x.sin(), (x,))
    assert bulssi.equal(bulssi.get_rng_state(), before)
