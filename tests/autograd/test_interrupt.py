"""Ctrl-C: a long kernel, a long backward and a hook end in KeyboardInterrupt, and the interpreter stays usable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

BEGINNING = """
import os, signal, threading, time
import bulssi as torch

def interrupt_after(seconds):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
"""

END = """
x = torch.ones(3, requires_grad=True)
(x * x).sum().backward()
assert x.grad.tolist() == [2.0, 2.0, 2.0], x.grad
assert torch.is_grad_enabled()
print("usable")
"""

KERNEL = """
x = torch.rand(1 << 20, dtype=torch.float64)
interrupt_after(0.3)
start = time.monotonic()
try:
    while time.monotonic() - start < 60:
        torch.lgamma(x)
    print("never came")
except KeyboardInterrupt:
    print("interrupted")
"""

BACKWARD = """
x = torch.ones(3, requires_grad=True)
y = x
for _ in range(200_000):
    y = y * 1.0
total = y.sum()
started = []
def first(grad):
    started.append(grad)
    os.kill(os.getpid(), signal.SIGINT)
y.register_hook(first)
try:
    total.backward()
    print("never came")
except KeyboardInterrupt:
    print("interrupted")
assert started and x.grad is None
"""

HOOK = """
x = torch.ones(3, requires_grad=True)
y = x * 2
interrupt_after(0.3)
def wait(grad):
    time.sleep(60)
y.register_hook(wait)
try:
    y.sum().backward()
    print("never came")
except KeyboardInterrupt:
    print("interrupted")
assert x.grad is None
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("program", [KERNEL, BACKWARD, HOOK], ids=["kernel", "backward", "hook"])
def test_an_interrupt_is_seen_and_leaves_everything_usable(program):
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + program + END],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.stdout.split() == ["interrupted", "usable"], done.stdout + done.stderr
    assert done.returncode == 0
