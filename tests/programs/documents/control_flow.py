# digits: 4 of 0.01
# The graph is what Python runs: a layer is used a random number of times in every pass.
import random

import bulssi as torch

random.seed(5)


class Dynamic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(8, 16)
        self.again = torch.nn.Linear(16, 16)
        self.last = torch.nn.Linear(16, 1)

    def forward(self, x):
        x = self.first(x).clamp(min=0)
        for _ in range(random.randint(0, 3)):
            x = self.again(x).clamp(min=0)
        return self.last(x)


x, y = torch.randn(32, 8), torch.randn(32, 1)
model = Dynamic()
criterion = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
for step in range(100):
    loss = criterion(model(x), y)
    if step % 20 == 19:
        print(step, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
model.again.weight.grad is None or model.again.weight.grad.shape
