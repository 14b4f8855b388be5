"""The allocator and the thread pool as the rest of the core uses them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.build.compile_core import BASE, compile_object, compiler, link

SOURCES = (*BASE, "tests/build/threads_test.cpp")
CHECKS = ("ranges", "stress", "exceptions", "fork", "blocks", "reuse", "bounded", "refusal", "peak", "other_threads")


def build(folder: Path, *flags: str) -> Path:
    objects = [compile_object(source, folder / f"{Path(source).stem}.o", ["-O2", *flags]) for source in SOURCES]
    return link(objects, folder / "threads_test", flags=flags)


def run(program: Path, check: str, **environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "BULSSI_NUM_THREADS")}
    done = subprocess.run([program, check], capture_output=True, text=True, timeout=120, env={**kept, **environment})
    assert done.returncode == 0, f"{check}: {done.stderr or done.stdout}"
    return done.stdout


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("threads"))


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sanitized"), "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")


@pytest.mark.parametrize("check", CHECKS)
def test_check(program: Path, check: str) -> None:
    run(program, check)


# Under AddressSanitizer nothing is cached: the checks of the cache do not apply.
@pytest.mark.parametrize("check", [c for c in CHECKS if c not in ("reuse", "bounded")])
def test_check_under_sanitizers(sanitized: Path, check: str) -> None:
    run(sanitized, check, ASAN_OPTIONS="allocator_may_return_null=1")


@pytest.mark.skipif("clang" not in compiler()[0] and "g++" not in compiler()[0], reason="no ThreadSanitizer")
@pytest.mark.parametrize("check", ["stress", "exceptions", "other_threads"])
def test_no_data_race(tmp_path_factory: pytest.TempPathFactory, check: str) -> None:
    program = tmp_path_factory.getbasetemp() / "race" / "threads_test"
    if not program.exists():
        program.parent.mkdir(exist_ok=True)
        build(program.parent, "-g", "-fsanitize=thread")
    run(program, check)


def test_small_blocks_are_cheap(program: Path) -> None:
    assert float(run(program, "time")) < 40  # ns for a pair; about 6 on a quiet machine of 2023


def test_thread_count_follows_affinity_and_environment(program: Path) -> None:
    allowed = len(os.sched_getaffinity(0))
    count, reason = run(program, "count").splitlines()
    assert 1 <= int(count) <= allowed and reason.startswith(f"{count}: ")
    assert run(program, "count", BULSSI_NUM_THREADS="3").startswith("3\n3: the environment variable BULSSI_NUM_THREADS")
    assert run(program, "count", OMP_NUM_THREADS="5,2").startswith("5\n5: the environment variable OMP_NUM_THREADS")
    assert run(program, "count", OMP_NUM_THREADS="5", BULSSI_NUM_THREADS="2").startswith("2\n")
    assert run(program, "count", BULSSI_NUM_THREADS="many").splitlines()[0] == count
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert run(program, "count").splitlines()[0] == "1"
    finally:
        os.sched_setaffinity(0, before)
