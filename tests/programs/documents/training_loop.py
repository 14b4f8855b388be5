# digits: 4 of 0.01
# The usual loop: clear the gradients, predict, measure, go back, update; with a dataset served in batches.
import bulssi as torch
from bulssi import nn
from bulssi.utils.data import DataLoader, TensorDataset

epochs = 3
model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
data = torch.randn(24, 4)
loader = DataLoader(TensorDataset(data, (data[:, 0] > 0).long() + (data[:, 1] > 0).long()), batch_size=8, shuffle=True)

for epoch in range(epochs):
    for inputs, labels in loader:
        # Clear gradient buffers because we don't want any gradient from previous epoch to carry forward
        optimizer.zero_grad()

        # get output from the model, given the inputs
        outputs = model(inputs)

        # get loss for the predicted output
        loss = criterion(outputs, labels)
        print(loss)
        # get gradients w.r.t to parameters
        loss.backward()

        # update parameters
        optimizer.step()
