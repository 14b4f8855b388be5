# digits: 4 of 0.01
# Layers in a Sequential, then in a class of one's own, trained by two optimizers.
import bulssi as torch
from bulssi import nn

x, y = torch.randn(64, 10), torch.randn(64, 3)
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
model
loss_fn = nn.MSELoss(reduction="sum")
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
optimizer
for step in range(1, 101):
    loss = loss_fn(model(x), y)
    if step % 20 == 0:
        print(step, loss)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


class TwoLayers(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.first = nn.Linear(10, features)
        self.scale = nn.Parameter(torch.ones(features))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.second = nn.Linear(features, 3)

    def forward(self, x):
        self.calls += 1
        return self.second(torch.tanh(self.first(x)) * self.scale)


net = TwoLayers(16)
net
[(name, tuple(p.shape)) for name, p in net.named_parameters()]
list(net.state_dict())
optimizer = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.5)
for step in range(1, 61):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 20 == 0:
        print(step, loss.item(), schedule.get_last_lr())
net.calls
sum(p.numel() for p in net.parameters() if p.requires_grad)
net(torch.ones(2, 9))
net.load_state_dict({"first.weight": torch.zeros(16, 10)}, strict=False)
