# digits: 4 of 0.01
# A variational autoencoder, a squashed Gaussian policy, a mixture fitted by its likelihood, draws and texts.
import bulssi as torch
from bulssi import nn
from bulssi import distributions as dist

x = (torch.rand(128, 20) < torch.linspace(0.1, 0.9, 20)).float()
encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 8))
decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 20))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-2)
prior = dist.Normal(torch.zeros(4), torch.ones(4))
for epoch in range(6):
    for batch in x.split(32):
        loc, scale = encoder(batch).chunk(2, -1)
        q = dist.Normal(loc, nn.functional.softplus(scale) + 1e-3)
        z = q.rsample()
        likelihood = dist.Independent(dist.Bernoulli(logits=decoder(z)), 1).log_prob(batch)
        kl = dist.kl_divergence(q, prior).sum(-1)
        loss = (kl - likelihood).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch} loss {loss.item():.4f} kl {kl.mean().item():.4f}")

policy = dist.TransformedDistribution(dist.Normal(loc.detach(), 1.0), [dist.TanhTransform(cache_size=1)])
action = policy.rsample()
policy.log_prob(action).sum(-1).mean()

means = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
weights = torch.zeros(3, requires_grad=True)
optimizer = torch.optim.Adam([means, weights], lr=0.05)
data = torch.cat([torch.randn(40) - 3, torch.randn(60) + 2])
for _ in range(60):
    mixture = dist.MixtureSameFamily(dist.Categorical(logits=weights), dist.Normal(means, torch.ones(3)))
    loss = -mixture.log_prob(data).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
mixture
loss
means

dist.Gamma(2.0, 3.0).sample((3,))
dist.Beta(0.5, 0.5).sample((3,))
dist.Dirichlet(torch.tensor([0.5, 1.0, 2.0])).sample((2,))
dist.StudentT(3.0).sample((3,))
dist.Poisson(4.0).sample((5,))
dist.Binomial(10, torch.tensor(0.3)).sample((5,))
dist.VonMises(torch.tensor(0.0), torch.tensor(4.0)).sample((3,))
dist.LKJCholesky(3, 1.5).sample()
dist.MultivariateNormal(torch.zeros(2), torch.eye(2)).sample()
dist.transform_to(dist.constraints.simplex)(torch.zeros(3))
dist.Normal(0.0, -1.0)
dist.Normal(0.0, 1.0).cdf(torch.tensor([0.0, float("nan")]))
dist.kl_divergence(dist.Poisson(1.0), dist.Geometric(0.5))
