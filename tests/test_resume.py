"""A training that was stopped, or killed while it saved, goes on to the same bits as one that was not."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import pytest

TRAIN = """
import os, random, sys
import bulssi as torch
from torch_names import nn, optim, data

folder, workers = sys.argv[1], int(sys.argv[2])
path = os.path.join(folder, "checkpoint.pt")

class Noisy(data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(40, 6, generator=generator)
    def __len__(self):
        return 40
    def __getitem__(self, i):
        return self.x[i] + 0.1 * torch.randn(6), self.x[i].sum() + random.random()

torch.manual_seed(0)
random.seed(0)
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))
optimizer = optim.Adam(model.parameters(), lr=0.01, amsgrad=True)
schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=60)
loader = data.DataLoader(Noisy(), batch_size=4, shuffle=True, num_workers=workers)
average = optim.swa_utils.AveragedModel(model, avg_fn=optim.swa_utils.get_ema_avg_fn(0.9))
parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "loader": loader, "average": average}
epoch = 0
if os.path.exists(path):
    saved = torch.load(path)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    epoch = saved["epoch"]
    random.setstate(saved["python"])
    torch.set_rng_state(saved["random"])
    print("resumed", flush=True)
while epoch < 6:
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x).squeeze(1), y.float())
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        state = {name: part.state_dict() for name, part in parts.items()}
        state.update(epoch=epoch, random=torch.get_rng_state(), python=random.getstate())
        torch.save(state, path)
        print("saved", flush=True)
    epoch += 1
for module in (model, average):
    for name, p in module.state_dict().items():
        print(name, p.double().flatten().tolist())
"""


def command(folder: pathlib.Path, workers: int) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / "torch_names.py").write_text("from bulssi import nn, optim\nfrom bulssi.utils import data\n")
    (folder / "train.py").write_text(TRAIN)
    return [sys.executable, str(folder / "train.py"), str(folder), str(workers)]


def result(output: str) -> list[str]:
    return [line for line in output.splitlines() if line not in ("saved", "resumed")]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_training_resumes_to_the_same_bits(tmp_path: pathlib.Path, workers: int) -> None:
    done = subprocess.run(command(tmp_path / "whole", workers), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = result(done.stdout)
    assert len(expected) == 9
    folder, kills = tmp_path / "killed", 0
    for after, pause in ((7, 0.0), (14, 0.002), (3, 0.004)):
        training = subprocess.Popen(command(folder, workers), stdout=subprocess.PIPE, text=True)
        for _ in range(after):
            training.stdout.readline()
        time.sleep(pause)
        training.kill()
        training.wait()
        training.stdout.close()
        kills += 1
    done = subprocess.run(command(folder, workers), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("resumed") and kills == 3
    assert result(done.stdout) == expected
    assert os.path.getsize(folder / "checkpoint.pt") > 0
