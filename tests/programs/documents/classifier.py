# digits: 4 of 0.01
# A small image classifier: data set, loader, convolutions, cross-entropy, accuracy, saving and loading.
import io

import bulssi as torch
import bulssi.nn as nn
import bulssi.nn.functional as F
from bulssi.utils.data import DataLoader, TensorDataset

labels = torch.randint(0, 4, (128,))
images = torch.randn(128, 3, 16, 16) * 0.3
images[torch.arange(128), 0, labels * 4] += 1.0
train = DataLoader(TensorDataset(images, labels), batch_size=16, shuffle=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(8 * 2 * 2, 4)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(self.drop(torch.flatten(x, 1)))


net = Net()
net
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(4):
    running = 0.0
    for inputs, targets in train:
        optimizer.zero_grad()
        loss = criterion(net(inputs), targets)
        loss.backward()
        optimizer.step()
        running += loss.item()
    print(epoch, running / len(train))
loss
net.norm(net.conv1(images[:1])).grad_fn
net.eval()
with torch.no_grad():
    right = (net(images).argmax(1) == labels).sum().item()
right
file = io.BytesIO()
torch.save(net.state_dict(), file)
size = file.seek(0)
again = Net()
again.load_state_dict(torch.load(file))
torch.equal(again.eval()(images), net(images))
criterion(net(images), labels.float())
net(images[0, 0])
