"""Ctrl-C: a long kernel, a long backward and a hook end in KeyboardInterrupt, and the interpreter stays usable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

BEGINNING = """
import os, signal, threading, time
import bulssi as torch

def ready():
    print("ready", flush=True)
"""

END = """
x = torch.ones(3, requires_grad=True)
(x * x).sum().backward()
assert x.grad.tolist() == [2.0, 2.0, 2.0], x.grad
assert torch.is_grad_enabled()
assert (torch.ones(400, 400) @ torch.ones(400, 400)).sum() == 400**3
assert torch.lgamma(torch.ones(10**6)).abs().sum() == 0
print("usable")
"""

# Each would go on for a minute at least, on any machine; a single call takes seconds.
LONG_CALLS = {
    "product": ("x = torch.ones(12000, 12000)", "x @ x"),
    "einsum": ("x = torch.ones(9000, 9000)", "torch.einsum('ij,jk,kl->il', x, x, x)"),
    "pointwise": ("x = torch.full((100_000_000,), 2.5)", "torch.special.zeta(x, x)"),
    "in place": ("x = torch.full((100_000_000,), 2.5)", "x.lgamma_()"),
    "convolution": ("x, w = torch.ones(4, 256, 256, 256), torch.ones(256, 256, 3, 3)", "torch.conv2d(x, w)"),
    "distances": ("x = torch.rand(20000, 200)", "torch.cdist(x[:4000], x, p=3.0)"),
    "sorting": ("x = torch.rand(2000, 50_000)", "x.sort()"),
    "combinations": ("x = torch.arange(700)", "torch.combinations(x, 3)"),
    "drawing": ("x = torch.ones(100_000)", "torch.multinomial(x, 50_000_000, replacement=True)"),
    "random": ("", "torch.randn(100_000_000)"),
    "gradients": (
        "x = torch.ones(6000, 6000, requires_grad=True)\ny = (x[:2000] @ x).sum()",
        "y.backward(retain_graph=True)",
    ),
}

# The handler's exception, whatever it is, comes out of the kernel; what it does in between is done. The second signal
# is sent once the first was handled: Python calls the handler once for signals that arrive before it could.
OWN_HANDLER = """
seen = []
def handler(number, frame):
    seen.append((torch.ones(2000, 200) @ torch.ones(200, 2000)).sum().item())
    if len(seen) == 2:
        raise ValueError("enough")
def interrupt_twice():
    for handled in range(2):
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        while len(seen) == handled:
            time.sleep(0.01)
signal.signal(signal.SIGINT, handler)
x = torch.ones(12000, 12000)
ready()
threading.Thread(target=interrupt_twice, daemon=True).start()
try:
    while True:
        x @ x
except ValueError as error:
    assert str(error) == "enough" and seen == [2000 * 2000 * 200.0] * 2, seen
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
ready()
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
def wait(grad):
    ready()
    time.sleep(60)
y.register_hook(wait)
try:
    y.sum().backward()
    print("never came")
except KeyboardInterrupt:
    print("interrupted")
assert x.grad is None
"""


def repeated(preparation: str, call: str) -> str:
    return f"""
{preparation}
ready()
try:
    for _ in range(10_000):
        {call}
    print("never came")
except KeyboardInterrupt:
    print("interrupted")
"""


def interrupted(program: str, signals: bool) -> tuple[list[str], float]:
    """What the program says, and how long after the signal it ended."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGINNING + program + END],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            if signals:
                time.sleep(0.7)  # into the kernel
                process.send_signal(signal.SIGINT)
            start = time.monotonic()
            out, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert first == "ready\n" and process.returncode == 0, first + out + errors
    return out.split(), time.monotonic() - start


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("name", LONG_CALLS)
def test_a_kernel_ends_within_seconds(name):
    said, seconds = interrupted(repeated(*LONG_CALLS[name]), signals=True)
    assert said == ["interrupted", "usable"]
    assert seconds < 30  # the blocks in progress, on a machine that does other things too


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize(
    ("program", "signals"),
    [(OWN_HANDLER, False), (BACKWARD, False), (HOOK, True)],
    ids=["a handler of the program's", "backward", "hook"],
)
def test_an_interrupt_is_seen_and_leaves_everything_usable(program, signals):
    said, _ = interrupted(program, signals)
    assert said == ["interrupted", "usable"]
