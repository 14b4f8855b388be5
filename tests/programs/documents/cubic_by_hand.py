# digits: 4 of 1
# A cubic fitted to a sine with gradients worked out by hand, on tensors only.
import math

import bulssi as torch

x = torch.linspace(-math.pi, math.pi, 500)
y = torch.sin(x)
a, b, c, d = (torch.randn(()) for _ in range(4))
for step in range(1, 401):
    guess = a + b * x + c * x**2 + d * x**3
    loss = (guess - y).pow(2).sum().item()
    if step % 50 == 0:
        print(step, loss)
    slope = 2.0 * (guess - y)
    a -= 2e-6 * slope.sum()
    b -= 2e-6 * (slope * x).sum()
    c -= 2e-6 * (slope * x**2).sum()
    d -= 2e-6 * (slope * x**3).sum()
print(f"y = {a.item():.3f} + {b.item():.3f} x + {c.item():.3f} x^2 + {d.item():.3f} x^3")
a.shape, a.dtype, x[:3], (x > 0).sum()
