# requires_grad, grad_fn, gradients of scalars and vectors, no_grad and detach.
import bulssi as torch

a = torch.randn(3, 3)
a = a * 3
print(a)

print(a.requires_grad)  # False (기본적으로는 False)

# requires_grad_(...) 는 기존 텐서의 requires_grad 값을 in-place 하여 변경
# grad_fn : 텐서가 어떤 연산을 하였는지 연산 정보를 담고 있음
a.requires_grad_(True)
print(a.requires_grad)  # True

b = (a * a).sum()
print(b)  # tensor(72.5043, grad_fn=<SumBackward0>)
print(b.grad_fn)  # <SumBackward0 object at 0x7b853d7a5240>

x = torch.tensor(2.0, requires_grad=True)
y = 9 * x**4 + 2 * x**3 + 3 * x**2 + 6 * x + 1
y.backward()  # y.backward(torch.tensor(1.)) 와 동일하다
print(x.grad)  # tensor(330.)


# output 은 scalar 여야 backward 수행 가능하다.
x = torch.randn(2, 2, requires_grad=True)
y = x + 2
z = y * y
z.backward()  # RuntimeError: grad can be implicitly created only for scalar outputs (z : (2,2))

# output z 를 scalar 로 만들어줌.
x = torch.randn(2, 2, requires_grad=True)
y = x + 2
z = (y * y).sum()
z.backward()

print(x.grad)
# tensor([[4.5571, 2.4908],
#         [3.3370, 4.4436]])
print(y.grad)  # None
print(z.grad)  # None

# tensor x 는 grad 가 저장됨. 중간 과정인 y,z 는 실제 grad 가 저장되지 않고 backward 연산에만 참여한다.

# output z 를 scalar 로 만들어줌.
x = torch.randn(2, 2, requires_grad=True)
y = x + 2
z = (y * y).sum()
z.backward()

print(x.grad)
# tensor([[4.5571, 2.4908],
#         [3.3370, 4.4436]])
print(y.grad)  # None
print(z.grad)  # None

# tensor x 는 grad 가 저장됨. 중간 과정인 y,z 는 실제 grad 가 저장되지 않고 backward 연산에만 참여한다.

x = torch.ones(3, requires_grad=True)
y = x**2
z = y * 3
z.backward(torch.Tensor([0.1, 1, 10]))  # dz/dx = 6x * [0.1,1,10] = [0.6,6,60]

print(x.grad)  # tensor([ 0.6000,  6.0000, 60.0000])
print(y.grad)  # None
print(z.grad)  # None

print(x.requires_grad)  # True
print((x**2).requires_grad)  # True

with torch.no_grad():
    print((x**2).requires_grad)  # False

# detach - gradient 계산을 멈춘다
print(x.requires_grad)  # True
y = x.detach()
print(y.requires_grad)  # False
print(x.eq(y).all())  # tensor(True) - x의 모든 element 와 y의 모든 element 가 동일한지 확인
