# digits: 4 of 1
# An operation with its own backward (a Legendre polynomial), trained by autograd.
import math

import bulssi as torch


class Legendre3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 0.5 * (5 * x**3 - 3 * x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 1.5 * (5 * x**2 - 1)


x = torch.linspace(-math.pi, math.pi, 300)
y = torch.sin(x)
weights = [torch.full((), v, requires_grad=True) for v in (0.0, -1.0, 0.0, 0.3)]
a, b, c, d = weights


def fit():
    for step in range(1, 301):
        out = a + b * Legendre3.apply(c + d * x)
        loss = (out - y).pow(2).sum()
        if step % 60 == 0:
            print(step, loss.item())
        loss.backward()
        with torch.no_grad():
            for w in weights:
                w -= 1e-5 * w.grad
                w.grad = None
    loss


fit()
