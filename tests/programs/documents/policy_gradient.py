# digits: 4 of 0.01
# REINFORCE: actions are drawn from a policy, and made more probable in proportion to the return that followed.
import bulssi as torch
from bulssi import nn
from bulssi.distributions import Categorical


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 32)
        self.dropout = nn.Dropout(p=0.6)
        self.out = nn.Linear(32, 2)

    def forward(self, state):
        return self.out(torch.relu(self.dropout(self.hidden(state)))).softmax(dim=1)


def step(state, action):
    # push a point towards the origin
    state = state + torch.tensor([0.1, -0.05, 0.02, 0.0]) * (1 if action == 1 else -1)
    return state, 1.0 - float(state.abs().sum())


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
for episode in range(8):
    state, log_probs, rewards = torch.randn(4) * 0.3, [], []
    for _ in range(20):
        distribution = Categorical(policy(state.unsqueeze(0)))
        action = distribution.sample()
        log_probs.append(distribution.log_prob(action))
        state, reward = step(state, action.item())
        rewards.append(reward)
    returns, running = [], 0.0
    for reward in reversed(rewards):
        running = reward + 0.99 * running
        returns.insert(0, running)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-7)
    loss = -(torch.cat(log_probs) * returns).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{episode} reward {sum(rewards):.4f} loss {loss.item():.4f} entropy {distribution.entropy().item():.4f}")

distribution
distribution.probs.shape
Categorical(torch.tensor([0.5, -0.5]))
Categorical(torch.tensor([0.5, 0.5])).log_prob(torch.tensor(2))
