# a -> b -> c -> out, and what has a gradient afterwards.
import bulssi as torch

a = torch.ones(2, 2, requires_grad=True)
print(a)

print(a.data)  # 실제 데이터 값
print(a.grad)  # None
print(a.grad_fn)  # None

b = a + 2
print(b)

# tensor([[3., 3.],
#         [3., 3.]], grad_fn=<AddBackward0>)

c = b**2
print(c)

# tensor([[9., 9.],
#         [9., 9.]], grad_fn=<PowBackward0>)

out = c.sum()
print(out)  # tensor(36., grad_fn=<SumBackward0>)

out.backward()

print(a.data)
print(a.grad)
# tensor([[1., 1.],
#         [1., 1.]])
# tensor([[6., 6.],
#         [6., 6.]])
print(a.grad_fn)  # None - 직접적으로 a에서 계산한 부분이 없기 때문에

print(b.grad)  # None
print(c.grad)  # None
print(out.grad)  # None
