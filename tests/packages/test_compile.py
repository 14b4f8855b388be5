"""compile, compiler and jit beside PyTorch's: the same results, names and refusals, with nothing compiled."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")
LIBRARIES = [bulssi, torch]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's compiler


def _net(library: Any) -> Any:
    library.manual_seed(0)
    return library.nn.Sequential(library.nn.Linear(3, 4), library.nn.Dropout(), library.nn.Linear(4, 2))


def test_a_compiled_module_has_pytorchs_form() -> None:
    seen = []
    for library in LIBRARIES:
        net = _net(library)
        made = library.compile(net, backend="eager")
        made.eval()
        made.extra = 3
        second = copy.deepcopy(made)
        plain = {name.removeprefix("_orig_mod."): p for name, p in made.state_dict().items()}
        _net(library).load_state_dict(plain)
        seen.append(
            [
                type(made).__name__,
                repr(made),
                list(made.state_dict()),
                [name for name, _ in made.named_modules()],
                net.training,
                net.extra,
                len(made),
                type(second).__name__,
                made._orig_mod is net,
                len(list(made.parameters())),
            ]
        )
    assert seen[0] == seen[1]


def test_results_gradients_and_training_are_the_originals() -> None:
    net = _net(bulssi)
    made = bulssi.compile(net)
    x = bulssi.ones(2, 3)
    net.eval()
    assert made(x).equal(net(x)) and not made.training
    made.train()
    made(x).sum().backward()
    assert net[0].weight.grad is not None
    made.zero_grad()
    assert net[0].weight.grad is None
    seen = []
    net.register_forward_hook(lambda *a: seen.append(1))
    made(x)
    assert seen == [1]
    net.compile()
    with pytest.raises(RuntimeError, match="Unrecognized mode"):
        net.compile(mode="nonsense")


def test_decorators_and_functions() -> None:
    for library in LIBRARIES:

        @library.compile(backend="eager", fullgraph=True, dynamic=True)
        def double(x: Any) -> Any:
            """Twice."""
            return x * 2

        assert double(library.ones(1)).item() == 2 and double.__name__ == "double" and double.__doc__ == "Twice."
        assert library.compile(double, disable=True) is double

        @library.compiler.disable
        def plain(x: Any) -> Any:
            return x + 1

        assert plain(library.ones(1)).item() == 2 and not library.compiler.is_compiling()
        library.compiler.reset()
        library.compiler.cudagraph_mark_step_begin()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "x"}, "Unrecognized mode=x"),
        ({"mode": "default", "options": {}}, "Either mode or options can be specified"),
        ({"backend": "foo"}, "Invalid backend: 'foo', see `torch._dynamo.list_backends"),
        ({"dynamic": "x"}, "Expected enable to be a bool"),
    ],
)
def test_bad_arguments_are_refused_as_pytorch_does(arguments: Any, message: str) -> None:
    for library in LIBRARIES:
        with pytest.raises((RuntimeError, AssertionError), match=message):
            library.compile(lambda x: x, **arguments)
        with pytest.raises(AssertionError, match="A callable function is expected"):
            library.compile(3)


def test_a_backend_of_ones_own_is_refused_with_the_reason() -> None:
    with pytest.raises(NotImplementedError, match="none are captured"):
        bulssi.compile(lambda x: x, backend=lambda graph, inputs: graph)


def test_compiler_takes_numpy_functions() -> None:
    import numpy as np

    @bulssi.compiler.wrap_numpy
    def f(x: Any) -> Any:
        return np.sort(x)[::-1].copy()

    assert f(bulssi.tensor([1.0, 3.0, 2.0])).tolist() == [3.0, 2.0, 1.0]


def test_scripted_and_traced_modules() -> None:
    seen = []
    for library in LIBRARIES:
        net = _net(library).eval()
        x = library.ones(2, 3)
        scripted, traced = library.jit.script(net), library.jit.trace(net, x)
        assert library.equal(scripted(x), net(x)) and library.equal(traced(x), net(x))
        assert isinstance(scripted, library.jit.ScriptModule) and isinstance(traced, library.jit.ScriptModule)
        frozen = library.jit.freeze(scripted)
        assert library.equal(frozen(x), net(x)) and not frozen(x).requires_grad
        with library.no_grad():
            net[0].weight.zero_()
        assert library.equal(frozen(x), net(x)) and library.equal(scripted(x), net(x))
        scripted.train()
        assert scripted.training
        with pytest.raises(RuntimeError, match="Freezing is currently only implemented for modules in eval mode"):
            library.jit.freeze(scripted)
        with pytest.raises(RuntimeError, match="Freezing expects a ScriptModule as input"):
            library.jit.freeze(net)
        seen.append([list(scripted.state_dict()), scripted.original_name, len(scripted), type(scripted).__name__])
    assert seen[0] == seen[1]


def test_scripted_functions() -> None:
    def sign(x: Any) -> Any:
        return x if x.sum() > 0 else -x

    f = bulssi.jit.script(sign)
    assert f(bulssi.tensor([-1.0])).item() == 1 and f.name == "sign" and isinstance(f, bulssi.jit.ScriptFunction)
    assert bulssi.jit.trace(sign, (bulssi.ones(1),))(bulssi.tensor([-2.0])).item() == 2
    assert bulssi.jit.fork(sign, bulssi.ones(1)).wait().item() == 1
    assert bulssi.jit.wait(bulssi.jit.fork(sign, bulssi.ones(1))).item() == 1
    assert bulssi.jit.isinstance([1, 2], list[int]) and not bulssi.jit.isinstance([1, "a"], list[int])
    assert not bulssi.jit.is_scripting() and not bulssi.jit.is_tracing()
    with pytest.raises(RuntimeError, match="cannot be traced"):
        bulssi.jit.trace(lambda x: 3, bulssi.ones(1))


def test_files_of_torchscript_are_refused(tmp_path: Any) -> None:
    net = bulssi.jit.script(_net(bulssi))
    for call in (lambda: net.save(tmp_path / "m.pt"), lambda: bulssi.jit.save(net, tmp_path / "m.pt")):
        with pytest.raises(NotImplementedError, match=r"save model.state_dict\(\)"):
            call()
    for library in LIBRARIES:
        with pytest.raises(ValueError, match="The provided filename .* does not exist"):
            library.jit.load(str(tmp_path / "nothing.pt"))
    (tmp_path / "m.pt").write_bytes(b"PK")
    with pytest.raises(NotImplementedError):
        bulssi.jit.load(tmp_path / "m.pt")
    with pytest.raises(NotImplementedError, match="nothing is compiled"):
        net.graph  # noqa: B018
