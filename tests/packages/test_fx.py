"""fx beside PyTorch's: the graphs and code of the same programs, transforms, interpreters and refusals."""

from __future__ import annotations

import copy
import operator
import pickle
from enum import Enum
from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")
LIBRARIES = [bulssi, torch]


def _plain(text: str) -> str:
    """Text of either library; PyTorch's name for built-in functions of `nn.functional` is another."""
    return text.replace("torch._C._nn.", "torch.nn.functional.")


def _net(t: Any) -> Any:
    class Net(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = t.nn.Linear(3, 3)
            self.weight = t.nn.Parameter(t.ones(3))
            self.seq = t.nn.Sequential(t.nn.ReLU(), t.nn.Linear(3, 2))
            self.register_buffer("buf", t.ones(3))

        def forward(self, x, y=3, *, z=None):  # type: ignore[no-untyped-def]
            a = self.lin(x) + self.weight
            b = t.nn.functional.relu(a, inplace=False) * 2.5
            c = self.seq(b).sum(dim=-1, keepdim=True)
            d = t.cat([c, c], dim=1)[:, 0:1]
            f = d.view(d.shape[0], -1)
            h = t.nn.functional.gelu(f)
            j = (-h) ** 2 / 3 // 1 % 5
            k = j @ j.t()
            mask = (k > 0) & (k <= 1)
            n = t.nn.functional.linear(b, self.lin.weight).to(t.float64)
            o = 3 - n
            o += 1
            q = t.add(o, 1, alpha=2)
            constant = t.zeros(2, dtype=t.float32)
            u = abs(q.T).max(-1)[0]
            v = self.buf + self.seq[1].weight
            w = v[..., None, slice(None, 2)].float().int()
            return {"k": f, "l": [f, (c,)]}, u, w, constant, mask, float("inf"), t.device("cpu")

    t.manual_seed(0)
    return Net()


def _function(t: Any) -> Any:
    def f(x: t.Tensor, w: int = 2) -> t.Tensor:
        return t.sin(x) + x.cos() * w

    f.__annotations__.update(x=t.Tensor, w=int)
    f.__annotations__["return"] = t.Tensor
    return f


def _rest(t: Any) -> Any:
    class Rest(t.nn.Module):
        def forward(self, x, *args, **kwargs):  # type: ignore[no-untyped-def]
            a, b = x.chunk(2)
            return a + args[0] + kwargs["a"] - b

    return Rest()


def _sequential(t: Any) -> Any:
    return t.nn.Sequential(t.nn.Linear(2, 2), t.nn.ReLU())


@pytest.mark.parametrize("make", [_net, _function, _rest, _sequential])
def test_code_and_graph_are_those_of_pytorch(make: Any) -> None:
    ours, theirs = (t.fx.symbolic_trace(make(t)) for t in LIBRARIES)
    assert ours.code == _plain(theirs.code)
    assert str(ours.graph) == _plain(str(theirs.graph))
    assert [n.name for n in ours.graph.nodes] == [n.name for n in theirs.graph.nodes]
    assert ours.print_readable(False).split() == _plain(theirs.print_readable(False)).split()
    ours.graph.lint()


def test_results_are_those_of_the_program() -> None:
    net = _net(bulssi)
    traced = bulssi.fx.symbolic_trace(net)
    x = bulssi.randn(4, 3)
    for made in (traced, copy.deepcopy(traced), copy.copy(traced), bulssi.fx.symbolic_trace(traced)):
        for a, b in zip(made(x)[1:5], net(x)[1:5], strict=True):
            assert a.equal(b)
    assert dict(traced.named_parameters()).keys() == dict(net.named_parameters()).keys()
    assert bulssi.fx.Interpreter(traced).run(x, 3, None)[1].equal(net(x)[1])


def square_plus(x: Any) -> Any:
    return x * x + 1


def test_pickles() -> None:
    traced = bulssi.fx.symbolic_trace(_sequential(bulssi))
    again = pickle.loads(pickle.dumps(traced))
    x = bulssi.randn(3, 2)
    assert again(x).equal(traced(x)) and again.code == traced.code


def test_concrete_arguments() -> None:
    def f(x, flag, w=1):  # type: ignore[no-untyped-def]
        return x * w if flag else -x

    ours, theirs = (t.fx.symbolic_trace(f, concrete_args={"flag": True, "w": 3}) for t in LIBRARIES)
    assert ours.code == theirs.code
    assert ours(bulssi.ones(1), True, 3).item() == 3
    with pytest.raises(AssertionError, match="flag has been specialized to have value True"):
        ours(bulssi.ones(1), False, 3)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda x: x if x.sum() > 0 else -x, "symbolically traced variables cannot be used as inputs to control flow"),
        (lambda x: [i for i in x], "Proxy object cannot be iterated"),
        (lambda x: len(x), "'len' is not supported in symbolic tracing by default"),
        (lambda x: range(x.shape[0]), "cannot be interpreted as an integer"),
        (lambda x: int(x), "argument must be"),
    ],
)
def test_what_cannot_be_traced(program: Any, message: str) -> None:
    kinds = []
    for t in LIBRARIES:
        with pytest.raises((RuntimeError, ValueError, TypeError), match=message) as error:
            t.fx.symbolic_trace(program)
        kinds.append(error.type.__name__)
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("t", LIBRARIES)
def test_nodes_can_be_replaced(t: Any) -> None:
    traced = t.fx.symbolic_trace(lambda x, y: (x + y, t.add(x, y), x.add(y)))
    for node in traced.graph.nodes:
        if node.target in (operator.add, t.add, "add"):
            with traced.graph.inserting_after(node):
                new = traced.graph.call_function(t.bitwise_and, node.args[:2], node.kwargs)
                node.replace_all_uses_with(new)
            traced.graph.erase_node(node)
    traced.recompile()
    traced.graph.lint()
    assert "bitwise_and_2 = torch.bitwise_and(x, y);  x = y = None" in traced.code
    assert [r.item() for r in traced(t.tensor(6), t.tensor(3))] == [2, 2, 2]


def test_editing_a_graph() -> None:
    graph = bulssi.fx.Graph()
    x, y = graph.placeholder("x"), graph.placeholder("max", default_value=1)
    total = graph.call_function(operator.add, (x, y))
    unused = graph.call_method("exp", (total,))
    graph.output(total)
    with pytest.raises(RuntimeError, match="Tried to erase Node x but it still had 1 users in the graph"):
        graph.erase_node(x)
    assert graph.eliminate_dead_code() and unused not in graph.nodes and len(graph.nodes) == 4
    module = bulssi.fx.GraphModule({}, graph)
    assert module(3, 4) == 7 and module(3) == 4
    assert (y.name, total.prev is y, total.all_input_nodes, list(x.users)) == ("max_1", True, [x, y], [total])
    total.args = (x, x)
    assert not y.users
    y.append(x)
    graph.lint()
    with pytest.raises(RuntimeError, match="was used before it has been defined"):
        x.prepend(total), graph.lint()
    with pytest.raises(RuntimeError, match="node of another graph"):
        bulssi.fx.Graph().call_function(operator.neg, (x,))


def test_proxies_write_into_a_graph() -> None:
    graph = bulssi.fx.Graph()
    y, z = (bulssi.fx.Proxy(graph.placeholder(name)) for name in "xy")
    graph.output(bulssi.neg(bulssi.tanh(bulssi.cat([y, z]))).node)
    module = bulssi.fx.GraphModule(bulssi.nn.Module(), graph)
    assert "cat = torch.cat([x, y]);  x = y = None" in module.code
    assert module(bulssi.zeros(1), bulssi.zeros(1)).tolist() == [0, 0]


def test_a_module_is_inlined() -> None:
    for t in LIBRARIES:

        class M(t.nn.Module):
            def __init__(self, t: Any = t) -> None:
                super().__init__()
                self.relu = t.nn.ReLU()

            def forward(self, x):  # type: ignore[no-untyped-def]
                return self.relu(x) + 1.0

        traced = t.fx.symbolic_trace(M())
        for node in traced.graph.nodes:
            if (node.op, node.target) == ("call_module", "relu"):
                with traced.graph.inserting_before(node):
                    proxy = traced.relu(*t.fx.node.map_arg(node.args, t.fx.Proxy))
                    node.replace_all_uses_with(proxy.node)
                    traced.graph.erase_node(node)
        traced.recompile()
        assert "torch.nn.functional.relu(x, " in traced.code
        assert traced(t.tensor(-1.0)).item() == 1


def test_tracers_can_be_changed() -> None:
    found = []
    for t in LIBRARIES:

        class Tracer(t.fx.Tracer):
            def __init__(self) -> None:
                super().__init__()
                self.homes: dict[str, str] = {}
                self.home = ""

            def is_leaf_module(self, m, name, t=t):  # type: ignore[no-untyped-def]
                return not isinstance(m, t.nn.ReLU) and super().is_leaf_module(m, name)

            def call_module(self, m, forward, args, kwargs):  # type: ignore[no-untyped-def]
                before, self.home = self.home, self.path_of_module(m)
                try:
                    return super().call_module(m, forward, args, kwargs)
                finally:
                    self.home = before

            def create_proxy(self, *args, **kwargs):  # type: ignore[no-untyped-def]
                proxy = super().create_proxy(*args, **kwargs)
                self.homes[proxy.node.name] = self.home
                return proxy

            def create_node(self, *args, **kwargs):  # type: ignore[no-untyped-def]
                node = super().create_node(*args, **kwargs)
                node.tag = "foo"
                return node

        tracer = Tracer()
        graph = tracer.trace(_net(t))
        assert all(node.tag == "foo" for node in graph.nodes)
        found.append(
            ([(n.op, str(n), n.all_input_nodes and str(n.all_input_nodes)) for n in graph.nodes], tracer.homes)
        )
    assert found[0] == found[1]


def test_patterns_are_replaced() -> None:
    codes = []
    for t in LIBRARIES:

        class M(t.nn.Module):
            def forward(self, x, w1, w2, t=t):  # type: ignore[no-untyped-def]
                m1 = t.cat([t.neg(w1), w2]).sum()
                m2 = t.cat([t.neg(w1), w2]).sum()
                return x + t.max(m1) + t.max(m2)

        def pattern(a1, a2, t=t):  # type: ignore[no-untyped-def]
            return t.cat([t.neg(a1), a2]).sum()

        def replacement(w1, w2, t=t):  # type: ignore[no-untyped-def]
            return t.stack([w1, w2])

        for function in (M.forward, pattern, replacement):
            function.__defaults__ = None
            function.__globals__["t"] = t
        traced = t.fx.symbolic_trace(M())
        done = t.fx.replace_pattern(traced, pattern, replacement)
        traced.graph.lint()
        codes.append((traced.code, len(done)))
    assert codes[0] == codes[1] and codes[0][1] == 2


def test_patterns_that_overlap_or_are_used_elsewhere_stay() -> None:
    def program(x):  # type: ignore[no-untyped-def]
        a = x.relu()
        return a.exp().relu().exp() + a

    traced = bulssi.fx.symbolic_trace(program)
    done = bulssi.fx.replace_pattern(traced, lambda x: x.relu().exp(), lambda x: x.sin())
    # The first relu is used by the sum, too.
    assert len(done) == 1 and "exp.sin()" in traced.code and "x.relu()" in traced.code
    chain = bulssi.fx.symbolic_trace(lambda x: x.neg().neg().neg())
    assert len(bulssi.fx.replace_pattern(chain, lambda x: x.neg().neg(), lambda x: x)) == 1
    assert chain(bulssi.ones(1)).item() == -1


@pytest.mark.parametrize("t", LIBRARIES)
def test_interpreters_and_transformers(t: Any) -> None:
    class Swap(t.fx.Transformer):
        def call_function(self, target, args, kwargs, t=t):  # type: ignore[no-untyped-def]
            return super().call_function(t.cos if target is t.sin else target, args, kwargs)

        def call_method(self, target, args, kwargs):  # type: ignore[no-untyped-def]
            return super().call_method("exp" if target == "neg" else target, args, kwargs)

    class Log(t.fx.Interpreter):
        def __init__(self, module: Any) -> None:
            super().__init__(module)
            self.seen: list[str] = []

        def run_node(self, n: Any) -> Any:
            self.seen.append(n.name)
            return super().run_node(n)

    traced = t.fx.symbolic_trace(lambda x: t.sin(x).neg())
    made = Swap(traced).transform()
    assert made(t.zeros(1)).item() == pytest.approx(2.718281828)
    log = Log(made)
    log.run(t.zeros(1))
    assert log.seen == ["x", "cos", "exp", "output"]
    with pytest.raises(RuntimeError, match="Expected positional argument for parameter x"):
        log.run()


def test_shapes_are_noted() -> None:
    from bulssi.fx.passes.shape_prop import ShapeProp

    traced = bulssi.fx.symbolic_trace(lambda x: x.sum(0).to(bulssi.float64))
    ShapeProp(traced).propagate(bulssi.ones(2, 3))
    metas = [node.meta["tensor_meta"] for node in traced.graph.nodes]
    assert [tuple(m.shape) for m in metas] == [(2, 3), (3,), (3,), (3,)] and metas[2].dtype == bulssi.float64


def low(x: Any) -> Any:
    return x.half()


bulssi.fx.wrap("low")
torch.fx.wrap("low")


def test_wrapped_functions_stay_whole() -> None:
    for t in LIBRARIES:
        traced = t.fx.symbolic_trace(lambda x: low(x) + 1)
        node = next(n for n in traced.graph.nodes if n.op == "call_function" and n.target is low)
        assert traced(t.ones(1)).dtype == t.float16 and "test_fx_low(x)" in traced.code
        with traced.graph.inserting_before(node):
            node.replace_all_uses_with(low(*t.fx.node.map_arg(node.args, t.fx.Proxy)).node)
        traced.graph.erase_node(node)
        traced.recompile()
        assert "x.half()" in traced.code
    with pytest.raises(NotImplementedError, match="top level of a module"):
        bulssi.fx.wrap(low)


def test_ranges_of_the_profiler_in_a_graph() -> None:
    profiler = bulssi.ops.profiler
    graph = bulssi.fx.Graph()
    x = graph.placeholder("x")
    handle = graph.call_function(profiler._record_function_enter, ("mine",))
    y = graph.call_function(bulssi.relu, (x,))
    graph.call_function(profiler._record_function_exit, (handle,))
    graph.output(y)
    graph.eliminate_dead_code()
    module = bulssi.fx.GraphModule({}, graph)
    with bulssi.autograd.profiler.profile() as prof:
        module(bulssi.ones(1))
    assert [e.name for e in prof.function_events if e.is_user_annotation] == ["mine"]


class Color(Enum):
    RED = 1


def test_values_of_many_kinds_are_written() -> None:
    def f(x):  # type: ignore[no-untyped-def]
        return x.foo(Color.RED, slice(1, x), None, ..., float("nan"), "a'b", {"k": [1, (2,)]}, 1e-5, True)

    ours, theirs = (t.fx.symbolic_trace(f) for t in LIBRARIES)
    assert ours.code == theirs.code
    with pytest.raises(NotImplementedError, match="argument of type"):
        bulssi.fx.symbolic_trace(lambda x: x + object())


def test_submodules_can_be_added_and_deleted() -> None:
    traced = bulssi.fx.symbolic_trace(_net(bulssi))
    assert traced.add_submodule("new.deep", bulssi.nn.ReLU()) and isinstance(traced.new.deep, bulssi.nn.ReLU)
    assert not traced.delete_submodule("new.other") and traced.delete_submodule("new.deep")
    traced.delete_all_unused_submodules()
    assert not hasattr(traced, "new") and isinstance(traced.lin, bulssi.nn.Linear)
