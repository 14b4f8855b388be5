"""`python -m bulssi.distributed.run --nproc_per_node=2 script.py args`: a script in several processes that can meet.

Each process has the environment variables RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT;
`import torch` in it means Bulssi. When one process fails, the others are ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bulssi.distributed.run", description=__doc__)
    parser.add_argument(
        "--nproc_per_node", "--nproc-per-node", default="1", help="processes on this machine, or 'auto'"
    )
    parser.add_argument("--nnodes", default="1", help="how many machines")
    parser.add_argument("--node_rank", "--node-rank", type=int, default=0, help="the number of this machine")
    parser.add_argument("--master_addr", "--master-addr", default="127.0.0.1", help="the machine with number 0")
    parser.add_argument("--master_port", "--master-port", type=int, default=None, help="a free port of it")
    parser.add_argument("--standalone", action="store_true", help="one machine, any free port")
    parser.add_argument("-m", "--module", action="store_true", help="the script is a module's name")
    parser.add_argument("script")
    parser.add_argument("args", nargs=argparse.REMAINDER)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code of the first process that failed, or 0."""
    options = _parser().parse_args(argv)
    automatic = options.nproc_per_node in ("auto", "cpu")
    local = os.cpu_count() or 1 if automatic else int(options.nproc_per_node)
    nodes = int(options.nnodes.partition(":")[0])
    port = options.master_port or (29500 if nodes > 1 else _free_port())
    command = [sys.executable, "-m", "bulssi", "run", options.script, *options.args]
    if options.module:
        command = [sys.executable, "-m", options.script, *options.args]
    processes = []
    for local_rank in range(local):
        environment = os.environ | {
            "RANK": str(options.node_rank * local + local_rank),
            "LOCAL_RANK": str(local_rank),
            "GROUP_RANK": str(options.node_rank),
            "WORLD_SIZE": str(nodes * local),
            "LOCAL_WORLD_SIZE": str(local),
            "MASTER_ADDR": options.master_addr,
            "MASTER_PORT": str(port),
            "TORCHELASTIC_RUN_ID": "none",
        }
        processes.append(subprocess.Popen(command, env=environment))
    return _watch(processes)


def _watch(processes: list[subprocess.Popen[bytes]]) -> int:
    failed = 0
    try:
        while not failed and any(process.poll() is None for process in processes):
            failed = next((code for code in (process.poll() for process in processes) if code), 0)
            time.sleep(0.05)
        failed = failed or next((process.returncode for process in processes if process.returncode), 0)
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if failed:
        index = next(i for i, process in enumerate(processes) if process.returncode == failed)
        print(f"distributed.run: process {index} ended with code {failed}", file=sys.stderr)
    return failed if failed >= 0 else 128 - failed


if __name__ == "__main__":
    sys.exit(main())
