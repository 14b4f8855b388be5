# backward of a vector: the gradient to start from is given, here one of integers.
import bulssi as torch

x = torch.randn(3, requires_grad=True)  # 1x3행렬(랜덤값)
y = x * 2
inputs = torch.tensor([1, 2, 3])
y.backward(inputs)
print(x.grad)
