"""profiler and autograd.profiler: what is counted, how it nests, tables, traces and schedules."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest

import bulssi
from bulssi.profiler import ProfilerActivity, profile, record_function, schedule


def _step(model: Any) -> None:
    model(bulssi.ones(2, 4)).sum().backward()


def _model() -> Any:
    return bulssi.nn.Sequential(bulssi.nn.Linear(4, 4), bulssi.nn.ReLU())


def test_calls_and_backward_are_counted() -> None:
    model = _model()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, profile_memory=True) as prof:
        with record_function("mine"):
            for _ in range(3):
                _step(model)
        kept = bulssi.zeros(1000)
    counts = {event.key: event.count for event in prof.key_averages()}
    for name in ("aten::ones", "aten::linear", "aten::relu", "aten::sum", "ReluBackward0", "AddmmBackward0"):
        assert counts[name] == 3
    assert counts["mine"] == 1 and counts["aten::zeros"] == 1
    events = prof.events()
    mine = events[0]
    assert mine.name == "mine" and len(mine.cpu_children) > 12 and all(e.cpu_parent is mine for e in mine.cpu_children)
    assert 0 <= mine.self_cpu_time_total <= mine.cpu_time_total
    linear = next(event for event in events if event.name == "aten::linear")
    assert linear.input_shapes == [[2, 4], [4, 4], [4]]
    zeros = next(event for event in events if event.name == "aten::zeros")
    assert kept.nbytes <= zeros.cpu_memory_usage < 2 * kept.nbytes
    by_shape = prof.key_averages(group_by_input_shape=True)
    assert by_shape.total_average().count == len(events)


def test_times_are_those_of_the_clock() -> None:
    with profile() as prof:
        with record_function("outer"):
            time.sleep(0.02)
            with record_function("inner"):
                time.sleep(0.03)
    outer, inner = prof.events()
    assert (
        30e3 <= inner.cpu_time_total <= outer.cpu_time_total
        and 20e3 <= outer.self_cpu_time_total < outer.cpu_time_total
    )
    assert inner.cpu_parent is outer


def test_tables_and_traces(tmp_path: Any) -> None:
    with profile(record_shapes=True) as prof:
        _step(_model())
    table = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=3)
    lines = table.splitlines()
    assert lines[1].split("  ")[-2].strip() == "# of Calls" and "Self CPU %" in lines[1]
    assert len(lines) == 3 + 3 + 2 and lines[-1].startswith("Self CPU time total: ")
    with pytest.raises(AttributeError, match="nonsense"):
        prof.key_averages().table(sort_by="nonsense")
    prof.export_chrome_trace(str(tmp_path / "t.json"))
    prof.export_chrome_trace(str(tmp_path / "t.json.gz"))
    trace = json.loads((tmp_path / "t.json").read_text())
    assert {e["name"] for e in trace["traceEvents"]} == {e.name for e in prof.events()}
    assert json.loads(gzip.open(tmp_path / "t.json.gz").read()) == trace


def test_a_schedule_chooses_steps(tmp_path: Any) -> None:
    taken = []
    handler = bulssi.profiler.tensorboard_trace_handler(str(tmp_path), "w")
    plan = schedule(wait=1, warmup=1, active=2, repeat=2)

    def ready(prof: Any) -> None:
        taken.append([e.name for e in prof.events() if e.name.startswith("ProfilerStep")])
        handler(prof)

    with profile(schedule=plan, on_trace_ready=ready) as prof:
        for _ in range(10):
            bulssi.ones(1)
            prof.step()
    assert taken == [["ProfilerStep#2", "ProfilerStep#3"], ["ProfilerStep#6", "ProfilerStep#7"]]
    assert len(list(tmp_path.glob("w.*.pt.trace.json"))) == 2


def test_schedules_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    for plan in (
        dict(wait=1, warmup=1, active=2, repeat=2, skip_first=3),
        dict(wait=0, warmup=1, active=1),
        dict(wait=2, warmup=1, active=3, repeat=1, skip_first_wait=1),
    ):
        ours, theirs = schedule(**plan), torch.profiler.schedule(**plan)
        assert [ours(i).name for i in range(20)] == [theirs(i).name for i in range(20)]


def test_the_autograd_profiler() -> None:
    with bulssi.autograd.profiler.profile() as prof:
        with bulssi.autograd.profiler.record_function("r"):
            bulssi.ones(2).exp()
    assert [e.name for e in prof.function_events] == ["r", "aten::ones", "aten::exp"]
    assert "aten::exp" in prof.table() and prof.self_cpu_time_total > 0
    with bulssi.autograd.profiler.profile(enabled=False) as prof:
        bulssi.ones(2)
    with pytest.raises(RuntimeError, match="Profiler didn't finish running"):
        prof.table()


def test_one_profile_at_a_time_and_errors_end_it() -> None:
    with pytest.raises(RuntimeError, match="already enabled"), profile(), profile():
        pass
    with pytest.raises(RuntimeError, match="shape|size"), profile():
        bulssi.mm(bulssi.ones(2, 3), bulssi.ones(2, 3))
    with profile() as prof:
        bulssi.ones(1)
    assert len(prof.events()) == 1


def test_functions_are_decorated() -> None:
    @record_function("named")
    def f() -> None:
        bulssi.ones(1)

    with profile() as prof:
        f()
    assert [e.name for e in prof.events()] == ["named", "aten::ones"]
