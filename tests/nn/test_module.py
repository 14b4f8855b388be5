"""Programs about modules that have to come out the same in PyTorch and in Bulssi."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections import OrderedDict
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import bulssi  # noqa: E402
from tests.nn.oracle import compare_runs, error, plain  # noqa: E402

PROGRAMS: list[Any] = []


def program(function: Any) -> Any:
    """``function(torch)`` is run with either library; its list of results has to be the same."""
    PROGRAMS.append(function)
    return function


def net(torch: Any) -> Any:
    nn = torch.nn
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            first=nn.Linear(3, 4),
            norm=nn.BatchNorm1d(4),
            inner=nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.ModuleList([nn.ReLU(), nn.ReLU()])})["a"],
            last=nn.Linear(4, 2, bias=False),
        )
    )


@program
def names_and_repr(torch: Any) -> Any:
    m = net(torch)
    m.register_buffer("table", torch.zeros(2))
    m.register_buffer("hidden", torch.ones(1), persistent=False)
    m.last.shared = m.first.weight
    return [
        repr(m),
        [n for n, _ in m.named_modules()],
        [n for n, _ in m.named_children()],
        [n for n, _ in m.named_parameters()],
        [n for n, _ in m.named_parameters(remove_duplicate=False)],
        [n for n, _ in m.named_parameters(prefix="p", recurse=False)],
        [n for n, _ in m.named_buffers()],
        list(m.state_dict()),
        list(m.state_dict(prefix="x.")),
        plain(m.state_dict()._metadata),
        [k for k in dir(m) if k in ("first", "table", "training", "forward")],
        m.get_submodule("inner").in_features,
        plain(m.get_parameter("first.weight")),
        plain(m.get_buffer("norm.running_var")),
        m.training,
        [c.training for c in m.eval().modules()],
    ]


@program
def parameters_from_a_seed(torch: Any) -> Any:
    nn = torch.nn
    torch.manual_seed(1)
    layers = [
        nn.Linear(5, 3),
        nn.Bilinear(2, 3, 4),
        nn.Conv2d(4, 6, (2, 3), groups=2),
        nn.ConvTranspose1d(4, 6, 3),
        nn.Embedding(4, 3, padding_idx=-1),
        nn.EmbeddingBag(4, 3, padding_idx=1),
        nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2),
        nn.GRUCell(2, 3),
        nn.MultiheadAttention(4, 2, kdim=3, vdim=5, add_bias_kv=True),
        nn.Transformer(4, 2, 1, 1, 8),
        nn.PReLU(3),
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10]),
    ]
    return [plain(layer.state_dict()) for layer in layers] + [repr(layer) for layer in layers]


@program
def attribute_errors(torch: Any) -> Any:
    nn = torch.nn
    m = net(torch)

    class Late(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    class LateParameter(nn.Module):
        def __init__(self) -> None:
            self.weight = nn.Parameter(torch.zeros(1))

    return [
        error(Late),
        error(LateParameter),
        error(lambda: m.missing),
        error(lambda: setattr(m.first, "weight", torch.zeros(2))),
        error(lambda: setattr(m, "first", 3)),
        error(lambda: setattr(m.norm, "running_mean", 3)),
        error(lambda: m.register_buffer("a.b", None)),
        error(lambda: m.register_buffer("", None)),
        error(lambda: m.register_buffer(3, None)),
        error(lambda: m.register_buffer("forward", None)),
        error(lambda: m.register_buffer("x", 3)),
        error(lambda: m.register_parameter("x", torch.zeros(1))),
        error(lambda: m.register_parameter("x", 3)),
        error(lambda: m.register_parameter("training", None)),
        error(lambda: m.add_module("x", 3)),
        error(lambda: m.add_module("a.b", nn.ReLU())),
        error(lambda: m.add_module("", nn.ReLU())),
        error(lambda: m.add_module("forward", nn.ReLU())),
        error(lambda: delattr(m, "missing")),
        error(lambda: m.get_submodule("first.x")),
        error(lambda: m.get_submodule("first.weight")),
        error(lambda: m.get_parameter("first.in_features")),
        error(lambda: m.get_buffer("first.weight")),
        error(lambda: m.set_submodule("", nn.ReLU())),
        error(lambda: m.set_submodule("first", 3)),
        error(lambda: m.set_submodule("new", nn.ReLU(), strict=True)),
        error(lambda: m.train("yes")),
        error(lambda: m.to(torch.int32)),
        error(lambda: nn.Module(3)),
        error(lambda: nn.Module(a=3)),
        error(lambda: nn.Linear(2, 2, nope=True)),
        error(lambda: nn.Module()(1))[0],
        error(lambda: m.load_state_dict([])),
    ]


@program
def attributes_change_kind(torch: Any) -> Any:
    nn = torch.nn
    m = nn.Module()
    m.x = 3
    m.x = nn.Parameter(torch.zeros(2))
    kinds = [list(m._parameters), "x" in m.__dict__]
    m.x = None
    kinds.append(list(m.state_dict()))
    del m.x
    m.x = nn.ReLU()
    kinds.append(list(m._modules))
    m.x = nn.Parameter(torch.ones(1))
    kinds += [list(m._modules), list(m._parameters)]
    m.b = nn.Buffer(torch.zeros(1))
    m.c = nn.Buffer(torch.zeros(1), persistent=False)
    kinds += [list(m._buffers), list(m.state_dict()), isinstance(m.b, nn.Buffer)]
    m.b = torch.ones(2)
    kinds += [plain(m.b), list(m.state_dict())]
    m.plain = torch.ones(1)
    kinds += [list(m._buffers), isinstance(m.x, torch.Tensor), isinstance(m.x, nn.Parameter)]
    return kinds


@program
def loading(torch: Any) -> Any:
    m = net(torch)
    state = {k: v.clone().add(1) for k, v in m.state_dict().items()}
    results = [repr(m.load_state_dict(state)), plain(m.state_dict())]
    del state["last.weight"]
    state["extra.weight"] = torch.zeros(1)
    results.append(repr(m.load_state_dict(state, strict=False)))

    def message(action: Any) -> str:
        try:
            action()
        except RuntimeError as e:
            return str(e)
        return "no error"

    results.append(message(lambda: m.load_state_dict(state)))
    state["first.weight"] = torch.zeros(2, 2)
    state["first.bias"] = 3
    results.append(message(lambda: m.load_state_dict(state)))
    new = torch.full((4, 3), 7.0)
    m.first.load_state_dict({"weight": new, "bias": torch.zeros(4)}, assign=True)
    new.fill_(8)
    results += [plain(m.first.weight), isinstance(m.first.weight, torch.nn.Parameter), m.first.weight.requires_grad]
    return results


@program
def state_hooks(torch: Any) -> Any:
    nn = torch.nn
    log = []

    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = 3

        def get_extra_state(self) -> Any:
            return self.count

        def set_extra_state(self, state: Any) -> None:
            self.count = state

    m = nn.Sequential(nn.Linear(1, 1), Stateful())
    m.register_state_dict_pre_hook(lambda *a: log.append(("pre", a[1], a[2])))

    def post(module: Any, state: Any, prefix: str, metadata: Any) -> None:
        log.append(("post", list(state), prefix, dict(metadata)))

    handle = m.register_state_dict_post_hook(post)
    state = m.state_dict()
    log.append([k for k in state])
    handle.remove()
    before = m.register_load_state_dict_pre_hook(
        lambda module, s, prefix, *a: log.append((type(module).__name__, prefix))
    )

    def after(module: Any, keys: Any) -> None:
        log.append(("after", keys.missing_keys, keys.unexpected_keys))
        keys.missing_keys.clear()

    m.register_load_state_dict_post_hook(after)
    state["1._extra_state"] = 9
    m.load_state_dict(state)
    log.append(m[1].count)
    del state["1._extra_state"]
    log.append(repr(m.load_state_dict(state)))
    before.remove()
    log.append(error(lambda: m._register_state_dict_hook(post)))
    m.register_state_dict_post_hook(lambda *a: 3)
    log.append(error(m.state_dict))
    return plain(log)


@program
def forward_hooks(torch: Any) -> Any:
    nn = torch.nn
    log = []
    m = nn.Sequential(nn.Identity(), nn.ReLU())
    x = torch.tensor([-1.0, 2.0])
    m[0].register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    m[0].register_forward_pre_hook(lambda module, args: log.append(("first", plain(args))), prepend=True)
    m[0].register_forward_hook(lambda module, args, out: out + 1)
    m[0].register_forward_hook(lambda module, args, out: log.append(("prepended", plain(out))), prepend=True)
    with m[1].register_forward_hook(lambda module, args, out: log.append(("with", plain(out)))):
        log.append(plain(m(x)))
    log.append(plain(m(x)))

    class Options(nn.Module):
        def forward(self, x: Any, *, scale: float = 1.0) -> Any:
            if scale < 0:
                raise ValueError("negative scale")
            return x * scale

    o = Options()
    o.register_forward_pre_hook(lambda module, args, kwargs: (args, {"scale": kwargs["scale"] + 1}), with_kwargs=True)
    o.register_forward_hook(lambda module, args, kwargs, out: log.append(plain([args, kwargs, out])), with_kwargs=True)
    o.register_forward_hook(lambda module, args, out: log.append(("always", plain(out))), always_call=True)
    log.append(plain(o(x, scale=2.0)))
    log.append(error(lambda: o(x, scale=-5.0)))
    o.register_forward_pre_hook(lambda module, args, kwargs: 3, with_kwargs=True)
    log.append(error(lambda: o(x, scale=1.0)))
    return log


@program
def global_hooks(torch: Any) -> Any:
    module = torch.nn.modules.module
    log = []
    m = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.ReLU())
    handles = [
        module.register_module_forward_pre_hook(lambda m, args: log.append(("pre", type(m).__name__))),
        module.register_module_forward_hook(lambda m, args, out: log.append(("post", type(m).__name__))),
        module.register_module_full_backward_pre_hook(lambda m, g: log.append(("bpre", type(m).__name__))),
        module.register_module_full_backward_hook(lambda m, gi, go: log.append(("back", type(m).__name__))),
        module.register_module_parameter_registration_hook(lambda m, n, p: log.append(("parameter", n))),
        module.register_module_buffer_registration_hook(lambda m, n, p: log.append(("buffer", n))),
        module.register_module_module_registration_hook(lambda m, n, p: log.append(("module", n))),
    ]
    try:
        m(torch.ones(1, 1, requires_grad=True)).sum().backward()
        torch.nn.Module().extra = torch.nn.BatchNorm1d(2)
        log.append(error(lambda: module.register_module_backward_hook(print)))
    finally:
        for handle in handles:
            handle.remove()
    count = len(log)
    m(torch.ones(1, 1))
    return [*log, len(log) == count]


@program
def backward_hooks(torch: Any) -> Any:
    nn = torch.nn
    log = []

    class Two(nn.Module):
        def forward(self, x: Any, y: Any, flag: bool) -> Any:
            return x * 2, y * 3 + x

    m = Two()
    m.register_full_backward_pre_hook(lambda module, go: log.append(("pre", plain(go))))
    m.register_full_backward_hook(lambda module, gi, go: log.append(("full", plain(gi), plain(go))))
    m.register_full_backward_hook(lambda module, gi, go: tuple(None if g is None else g * 10 for g in gi))
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    a, b = m(x, y, True)
    (a.sum() + 2 * b.sum()).backward()
    log.append(plain([x.grad, y.grad]))
    x.grad = None
    m(x, torch.ones(2), False)[0].sum().backward()
    log.append(plain(x.grad))

    class Grows(nn.Linear):
        pass

    lin = Grows(2, 1, bias=False)
    nn.init.ones_(lin.weight)
    lin.register_full_backward_hook(lambda module, gi, go: log.append(("leaf", plain(gi), plain(go))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lin(torch.ones(1, 2)).sum().backward()
    log.append(plain(lin.weight.grad))
    log.append(error(lambda: lin.register_backward_hook(print)))
    wrong = nn.Identity()
    wrong.register_full_backward_pre_hook(lambda module, go: (go[0], go[0]))
    log.append(error(lambda: wrong(x).sum().backward()))
    return log


@program
def conversions(torch: Any) -> Any:
    m = net(torch)
    first = m.first.weight
    m(torch.ones(2, 3)).sum().backward()
    results = []
    for convert in (
        m.double,
        m.half,
        m.bfloat16,
        m.float,
        lambda: m.to(torch.float64),
        lambda: m.to("cpu", torch.float32),
    ):
        out = convert()
        results += [out is m, plain(first.dtype), plain(first.grad.dtype), plain(m.norm.num_batches_tracked.dtype)]
    results += [m.first.weight is first, plain(m.to(torch.zeros(1, dtype=torch.float64)).last.weight.dtype)]
    m.requires_grad_(False)
    results.append([p.requires_grad for p in m.parameters()])
    m.zero_grad(set_to_none=False)
    results.append(plain(first.grad))
    m.zero_grad()
    results.append(first.grad)
    m.apply(lambda module: results.append(type(module).__name__))
    return results


@program
def copies(torch: Any) -> Any:
    m = net(torch)
    m.shared = m.first
    other = copy.deepcopy(m)
    loaded = pickle.loads(pickle.dumps(m))
    results = []
    for twin in (other, loaded):
        results += [repr(twin) == repr(m), twin.shared is twin.first, twin.first.weight is not m.first.weight]
        results += [plain(twin.state_dict()) == plain(m.state_dict()), type(twin.first.weight).__name__]
        results += [twin.first.weight.requires_grad, twin.training]
    shallow = copy.copy(m)
    results += [shallow.first is m.first, plain(copy.deepcopy(m.first.weight)) == plain(m.first.weight)]
    return results


@program
def containers(torch: Any) -> Any:
    nn = torch.nn
    s = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    results = [len(s), repr(s[1]), repr(s[-1]), repr(s[:2]), error(lambda: s[3])]
    s[1] = nn.ELU()
    del s[0]
    s.append(nn.GELU()).extend([nn.SiLU()])
    s.insert(1, nn.Mish())
    results += [repr(s), repr(s.pop(0)), list(s._modules), repr(s + s[:1]), repr(s[:1] * 2), repr(2 * s[:1])]
    s += nn.Sequential(nn.ReLU())
    t = s[:2]
    t *= 2
    results += [
        repr(s),
        repr(t),
        error(lambda: s + [1])[0],
        error(lambda: s * 0)[0],
        error(lambda: s * 1.5)[0],
        error(lambda: s.insert(99, nn.ReLU())),
    ]
    ml = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()])
    ml.insert(1, nn.Tanh())
    results += [
        repr(ml),
        len(ml),
        repr(ml[1:3]),
        repr(ml + [nn.ELU()]),
        repr(nn.ModuleList()),
        [type(m).__name__ for m in ml],
    ]
    ml += [nn.ELU()]
    del ml[0:2]
    results += [
        repr(ml),
        list(ml._modules),
        repr(ml.pop(-1)),
        error(lambda: ml.extend(3)),
        error(lambda: ml[9]),
        error(lambda: ml(1))[0],
    ]
    md = nn.ModuleDict({"a": nn.ReLU()})
    md["b"] = nn.Tanh()
    md.update([["c", nn.ELU()]])
    results += [repr(md), "a" in md, list(md.keys()), len(md), repr(md.pop("a")), list(md), [k for k, _ in md.items()]]
    results += [
        error(lambda: md.update(3)),
        error(lambda: md.update([3])),
        error(lambda: md.update([[1, 2, 3]])),
        error(lambda: md["zz"]),
    ]
    md.clear()
    pl = nn.ParameterList([torch.zeros(2), nn.Parameter(torch.ones(1, 2)), 5])
    pl.append(torch.ones(1))
    pl[0] = torch.ones(3)
    results += [
        repr(pl),
        len(pl),
        [n for n, _ in pl.named_parameters()],
        repr(pl[1:]),
        error(lambda: pl(1)),
        error(lambda: pl.extend(3)),
    ]
    pd = nn.ParameterDict({"b": torch.zeros(2), "a": torch.ones(1)})
    pd.update(OrderedDict(z=torch.zeros(1)))
    pd["text"] = "value"
    results += [repr(pd), list(pd), list(reversed(pd)), plain(pd.pop("b")), pd.get("no", 3), "a" in pd, len(pd)]
    results += [
        list((pd | nn.ParameterDict({"q": torch.zeros(1)})).keys()),
        pd.popitem()[0],
        list(pd.copy()),
        plain(pd.setdefault("n", torch.ones(1))),
    ]
    results += [
        error(lambda: pd[3])[0],
        error(lambda: pd(1)),
        list(pd.fromkeys(["u", "v"])),
        error(lambda: pd.update(3)),
    ]
    return results


@program
def lazy_layers(torch: Any) -> Any:
    nn = torch.nn
    torch.manual_seed(0)
    m = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    results = [repr(m), [repr(p) for p in m.parameters()], m[0].has_uninitialized_params()]
    results.append(error(lambda: m[3].weight.shape)[0])
    saved = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    results.append(repr(copy.deepcopy(m[0])))
    m(torch.ones(2, 3, 5, 5))
    results += [
        repr(m),
        [tuple(p.shape) for p in m.parameters()],
        type(m[3]).__name__,
        type(m[1].running_mean).__name__,
    ]
    saved.load_state_dict(m.state_dict())
    results += [[tuple(p.shape) for p in saved.parameters()], list(saved.state_dict()), plain(m[0].weight)]
    return results


@program
def parameters(torch: Any) -> Any:
    nn = torch.nn
    p = nn.Parameter(torch.arange(3.0))
    with torch.no_grad():
        quiet = nn.Parameter(torch.zeros(1))
    return [
        repr(p),
        p.requires_grad,
        quiet.requires_grad,
        p.is_leaf,
        type(p + 1).__name__,
        type(p.data).__name__,
        type(p.detach()).__name__,
        nn.Parameter(torch.zeros(2), requires_grad=False).requires_grad,
        plain(nn.Parameter()),
        nn.Parameter(p) is p,
        plain(pickle.loads(pickle.dumps(p))),
        type(pickle.loads(pickle.dumps(p))).__name__,
        isinstance(nn.UninitializedParameter(), nn.Parameter),
    ]


@program
def stateless_call(torch: Any) -> Any:
    nn = torch.nn
    call = (
        torch.nn.utils.stateless._functional_call
        if hasattr(torch.nn.utils.stateless, "_functional_call")
        else torch.nn.utils.stateless.functional_call
    )
    torch.manual_seed(0)
    m = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = plain(m.state_dict())
    given = {"0.weight": torch.ones(2, 2), "1.running_mean": torch.zeros(2)}
    x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    out = call(m, given, x)
    results = [[round(v, 5) for v in plain(out)[2]], [round(v, 5) for v in plain(given["1.running_mean"])[2]]]
    results.append([a for a, b in zip(before, plain(m.state_dict()), strict=True) if a != b][0][0])
    results.append(error(lambda: call(m, {"zz": x}, x, strict=True)))
    tied = nn.Module()
    tied.a = tied.b = nn.Parameter(torch.zeros(1))
    tied.forward = lambda: tied.a + tied.b
    results.append(plain(call(tied, {"a": torch.ones(1)})))
    results.append(error(lambda: call(tied, {"a": torch.ones(1), "b": torch.zeros(1)})))
    return results


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_program(function: Any) -> None:
    """Both libraries give the same results."""
    compare_runs(function)


def test_data_for_an_option() -> None:
    """Data given to a layer's constructor is refused, with what to write instead."""
    nn = bulssi.nn
    x = bulssi.zeros(2, 3)
    for make in (
        lambda: nn.ReLU(x),
        lambda: nn.Tanh(x),
        lambda: nn.Flatten(x),
        lambda: nn.Softmax(x),
        lambda: nn.Dropout(x),
        lambda: nn.MSELoss(x, x),
        lambda: nn.CrossEntropyLoss(x, x),
        lambda: nn.Linear(in_features=x, out_features=2),
        lambda: nn.LayerNorm(x),
    ):
        with pytest.raises(TypeError, match="where the option .* is expected(.|\n)*layer\\(x\\)"):
            make()
    nn.CrossEntropyLoss(bulssi.ones(3))
    nn.Linear(bulssi.tensor(3), 2)


def test_error_names_the_module() -> None:
    """An error that leaves a forward says where in the model it happened, with what inputs; its type stays."""
    nn = bulssi.nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(4, 4)

        def forward(self, x: Any, scale: float) -> Any:
            return self.fc1(x) * scale

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.ModuleList([Block(), Block()])

        def forward(self, x: Any) -> Any:
            for block in self.encoder:
                x = block(x[..., :-1], scale=2.0)
            return x

    with pytest.raises(RuntimeError) as caught:
        Net()(bulssi.zeros(2, 5))
    notes = getattr(caught.value, "__notes__", [])
    assert len(notes) == 1
    assert "encoder.1.fc1" in notes[0]
    assert "Linear(in_features=4, out_features=4, bias=True)" in notes[0]
    assert "float32[2, 3]" in notes[0]
    with pytest.raises(KeyError) as caught:
        nn.ModuleDict()["x"]
    assert not getattr(caught.value, "__notes__", [])  # not from a forward


def test_error_names_the_module_without_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.10 shows no notes, so there the path is in the message."""
    from types import SimpleNamespace

    from bulssi.nn.modules import _where

    monkeypatch.setattr(_where, "sys", SimpleNamespace(version_info=(3, 10)))

    class Fails(bulssi.nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("no luck")

    model = bulssi.nn.Sequential(bulssi.nn.Sequential(Fails()))
    with pytest.raises(ValueError) as caught:
        model(bulssi.tensor(3))
    assert caught.value.args == ("no luck\n  in the forward of 0.0: Fails(), called with (int64[])",)
