# A 2x2 matrix of ones through an addition, a square and a mean.
import bulssi as torch

x = torch.ones(2, 2, requires_grad=True)  # 2x2 행렬(값이 모두 1)
print(x)
# tensor([[1., 1.],
#         [1., 1.]], requires_grad=True)

y = x + 1
print(y)
# tensor([[2., 2.],
#         [2., 2.]], grad_fn=<AddBackward0>) # AddBackward : 덧셈에 대한 미분 추적

z = 3 * y**2
print(z)
# tensor([[12., 12.],
#         [12., 12.]], grad_fn=<MulBackward0>) # MulBackward : 다양한 사칙연산에 대한 미분 추적

out = z.mean()
print(out)
# tensor(12., grad_fn=<MeanBackward0>)

out.backward()
print(x.grad)
# tensor([[3., 3.],
#         [3., 3.]])
