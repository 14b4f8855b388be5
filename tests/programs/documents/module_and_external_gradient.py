# A linear layer of one's own, and a gradient from outside.
import bulssi as torch
from bulssi import Tensor, nn


class MyLiner(nn.Module):
    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weights = nn.Parameter(
            torch.randn(in_features, out_features))
        self.bias = nn.Parameter(torch.randn(out_features))
    def forward(self, x : Tensor):
        return x @ self.weights + self.bias


layer = MyLiner(3, 2)
layer
layer.bias
layer(torch.ones(1, 3))
[name for name, parameter in layer.named_parameters()]
layer(torch.ones(4, 3)).sum().backward()
layer.bias.grad

a = torch.tensor([2., 3.], requires_grad=True)
b = torch.tensor([6., 4.], requires_grad=True)
Q = 3*a**3 - b**2
external_grad = torch.tensor([1., 1.])
Q.backward(gradient=external_grad)
a.grad
# a.grad
b.grad
# tensor([-12., -8.])
