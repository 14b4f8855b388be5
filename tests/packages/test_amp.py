"""autocast and GradScaler beside PyTorch's on a machine without a GPU, and what both say about devices."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")
LIBRARIES = [bulssi, torch]


def _f(library: Any) -> Any:
    return library.nn.functional


# Functions of (library, a float32 and a lower tensor, a square matrix of either kind).
FUNCTIONS = {
    "mm": lambda t, x: t.mm(x, x),
    "operator": lambda t, x: x @ x,
    "method": lambda t, x: x.matmul(x),
    "bmm": lambda t, x: t.bmm(x[None], x[None]),
    "addmm": lambda t, x: t.addmm(x, x, x),
    "mv": lambda t, x: t.mv(x, x[0]),
    "dot": lambda t, x: t.dot(x[0], x[0]),
    "outer": lambda t, x: t.outer(x[0], x[0]),
    "einsum": lambda t, x: t.einsum("ij,jk->ik", x, x),
    "einsum of one": lambda t, x: t.einsum("ij->ji", x),
    "tensordot": lambda t, x: t.tensordot(x, x, 1),
    "inner": lambda t, x: t.inner(x, x),
    "linear": lambda t, x: _f(t).linear(x, x),
    "bilinear": lambda t, x: _f(t).bilinear(x, x, x[None].expand(4, 4, 4)),
    "conv1d": lambda t, x: _f(t).conv1d(x[None], x[:, :, None]),
    "conv2d": lambda t, x: _f(t).conv2d(x[None, None], x[None, None]),
    "conv_transpose2d": lambda t, x: _f(t).conv_transpose2d(x[None, None], x[None, None]),
    "attention": lambda t, x: _f(t).scaled_dot_product_attention(x[None], x[None], x[None]),
    "softmax": lambda t, x: x.softmax(0),
    "layer_norm": lambda t, x: _f(t).layer_norm(x, (4,)),
    "sum": lambda t, x: x.sum(),
    "prod": lambda t, x: x.prod(),
    "cumsum": lambda t, x: x.cumsum(0),
    "pow": lambda t, x: x**2,
    "cat": lambda t, x: t.cat([x, t.zeros(4, 4)]),
    "stack": lambda t, x: t.stack([x, x]),
    "index_copy": lambda t, x: x.index_copy(0, t.arange(4), t.zeros(4, 4)),
    "mse_loss": lambda t, x: _f(t).mse_loss(x, x.bfloat16()),
    "cross_entropy": lambda t, x: _f(t).cross_entropy(x, t.arange(4)),
    "nll_loss": lambda t, x: _f(t).nll_loss(x, t.arange(4)),
    "kl_div": lambda t, x: _f(t).kl_div(x, x.exp(), reduction="sum"),
    "margin": lambda t, x: _f(t).margin_ranking_loss(x, x, x),
    "multilabel_soft_margin": lambda t, x: _f(t).multilabel_soft_margin_loss(x, x),
    "avg_pool2d": lambda t, x: _f(t).avg_pool2d(x[None], 2),
    "max_pool3d": lambda t, x: _f(t).max_pool3d(x[None, None], 1),
    "adaptive_avg_pool3d": lambda t, x: _f(t).adaptive_avg_pool3d(x[None, None], 1),
    "grid_sample": lambda t, x: _f(t).grid_sample(x[None, None], t.zeros(1, 2, 2, 2), align_corners=False),
    "interpolate": lambda t, x: _f(t).interpolate(x[None], scale_factor=2.0),
    "quantile": lambda t, x: x.quantile(0.5),
    "trace": lambda t, x: x.trace(),
    "gelu": lambda t, x: _f(t).gelu(x),
    "prelu": lambda t, x: _f(t).prelu(x, t.ones(1)),
    "double": lambda t, x: t.mm(x.double(), x.double()),
}


@pytest.mark.parametrize("lower", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_precision_is_pytorchs(name: str, lower: str) -> None:
    found: list[list[str]] = []
    for library in LIBRARIES:
        x = library.linspace(-1, 1, 16).reshape(4, 4)
        dtype = getattr(library, lower)
        # Where autocast leaves a function alone, half-precision input may be refused by PyTorch's kernels.
        given = [x] if lower == "float16" else [x, x.to(dtype)]
        with library.autocast("cpu", dtype=dtype):
            found.append([str(FUNCTIONS[name](library, value).dtype) for value in given])
    assert found[0] == found[1]


def test_values_are_rounded_as_pytorchs() -> None:
    values = []
    for library in LIBRARIES:
        library.manual_seed(0)
        model = library.nn.Sequential(
            library.nn.Linear(20, 30), library.nn.LayerNorm(30), library.nn.ReLU(), library.nn.Linear(30, 5)
        )
        x = library.randn(8, 20)
        with library.autocast("cpu"):
            loss = _f(library).cross_entropy(model(x), library.arange(8) % 5)
        loss.backward()
        values.append([loss.item(), *(p.grad.double().sum().item() for p in model.parameters())])
        assert all(p.grad.dtype == library.float32 for p in model.parameters())
    assert values[0] == pytest.approx(values[1], rel=2e-2, abs=2e-2)


def test_nesting_threads_and_decorators() -> None:
    for library in LIBRARIES:
        x = library.ones(2, 2)
        seen = []
        with library.autocast("cpu", dtype=library.float16):
            seen.append((x @ x).dtype)
            with library.autocast("cpu", enabled=False):
                seen.append((x @ x).dtype)
            with library.autocast("cpu", dtype=library.bfloat16):
                seen.append((x @ x).dtype)
            seen.append((x @ x).dtype)

            def other(x: Any = x, seen: list[Any] = seen) -> None:
                seen.append((x @ x).dtype)

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        seen.append((x @ x).dtype)
        seen.append(library.autocast("cpu")(lambda x=x: x @ x)().dtype)
        half, full, brain = library.float16, library.float32, library.bfloat16
        assert seen == [half, full, brain, half, full, full, brain]


def test_what_writes_into_a_given_tensor_is_left_alone() -> None:
    x = bulssi.ones(2, 2)
    with bulssi.autocast("cpu"):
        assert bulssi.mm(x, x, out=bulssi.empty(2, 2)).dtype == bulssi.float32
        assert x.clone().addmm_(x, x).dtype == bulssi.float32


def test_a_weight_is_converted_once_and_its_gradient_arrives() -> None:
    for library in LIBRARIES:
        w = library.ones(3, 3, requires_grad=True)
        with library.autocast("cpu"):
            a, b = library.mm(w, w), library.mm(w, w)
        (a.float().sum() + b.float().sum()).backward()
        assert w.grad.dtype == library.float32 and w.grad.sum().item() == 108


def test_an_error_inside_leaves_autocast_as_it_was() -> None:
    with pytest.raises(RuntimeError), bulssi.autocast("cpu"):
        bulssi.mm(bulssi.ones(2, 3), bulssi.ones(2, 3))
    assert not bulssi.is_autocast_enabled("cpu")
    assert (bulssi.ones(2, 2) @ bulssi.ones(2, 2)).dtype == bulssi.float32


@pytest.mark.parametrize("library", LIBRARIES)
def test_cuda_warns_and_does_nothing(library: Any) -> None:
    with pytest.warns(UserWarning, match="CUDA is not available or torch_xla is imported. Disabling autocast."):
        context = library.autocast("cuda")
    with context:
        assert (
            not library.is_autocast_enabled("cuda")
            and (library.ones(1, 1) @ library.ones(1, 1)).dtype == library.float32
        )
    with pytest.warns(UserWarning, match="GradScaler is enabled, but CUDA is not available.  Disabling."):
        scaler = library.amp.GradScaler()
    assert not scaler.is_enabled() and scaler.scale(3) == 3 and scaler.get_scale() == 1.0 and scaler.state_dict() == {}
    with pytest.warns(FutureWarning, match="deprecated"), pytest.warns(UserWarning):
        library.cuda.amp.GradScaler()


@pytest.mark.parametrize("arguments", [(1,), ("nonsense",)])
def test_bad_arguments(arguments: Any) -> None:
    said = []
    for library in LIBRARIES:
        with pytest.raises((ValueError, RuntimeError, TypeError)) as error, library.autocast(*arguments):
            pass
        said.append((error.type, str(error.value).split("\n")[0][:40]))
    assert said[0] == said[1]


@pytest.mark.filterwarnings("ignore:In CPU autocast")
def test_a_dtype_that_is_not_lower_disables() -> None:
    for library in LIBRARIES:
        with library.autocast("cpu", dtype=library.float32):
            assert not library.is_autocast_enabled("cpu")


def test_custom_functions_follow_autocast() -> None:
    for library in LIBRARIES:
        seen: list[Any] = []

        def make(library: Any = library, seen: list[Any] = seen) -> Any:
            class Product(library.autograd.Function):
                @staticmethod
                @library.amp.custom_fwd(device_type="cpu")
                def forward(ctx: Any, a: Any, b: Any) -> Any:
                    ctx.save_for_backward(a, b)
                    return a.mm(b)

                @staticmethod
                @library.amp.custom_bwd(device_type="cpu")
                def backward(ctx: Any, g: Any) -> Any:
                    a, b = ctx.saved_tensors
                    seen.append(a.mm(b).dtype)
                    return g.mm(b.t().to(g.dtype)), a.t().to(g.dtype).mm(g)

            class Wide(library.autograd.Function):
                @staticmethod
                @library.amp.custom_fwd(device_type="cpu", cast_inputs=library.float32)
                def forward(ctx: Any, a: Any) -> Any:
                    return a.mm(a)

                @staticmethod
                @library.amp.custom_bwd(device_type="cpu")
                def backward(ctx: Any, g: Any) -> Any:
                    return g

            return Product, Wide

        product, wide = make()
        a = library.ones(2, 2, requires_grad=True)
        with library.autocast("cpu"):
            out = product.apply(a, a)
            assert wide.apply(a.bfloat16()).dtype == library.float32
        out.sum().backward()
        assert out.dtype == library.bfloat16 and seen == [library.bfloat16]


def _scaled_training(library: Any, losses: list[float]) -> list[Any]:
    library.manual_seed(0)
    model = library.nn.Linear(3, 1)
    optimizer = library.optim.SGD(model.parameters(), lr=0.1)
    scaler = library.amp.GradScaler("cpu", init_scale=64.0, growth_interval=2)
    seen = []
    for factor in losses:
        optimizer.zero_grad()
        scaler.scale(model(library.ones(4, 3)).sum() * factor).backward()
        scaler.unscale_(optimizer)
        seen.append(float(model.weight.grad.sum()))
        scaler.step(optimizer)
        scaler.update()
        seen += [scaler.get_scale(), float(model.weight.detach().sum()), scaler.state_dict()]
    return seen


def test_grad_scaler_follows_pytorchs() -> None:
    losses = [1.0, 2.0, float("inf"), 1.0, 1.0, 1.0, float("nan"), 1.0]
    for ours, theirs in zip(_scaled_training(bulssi, losses), _scaled_training(torch, losses), strict=True):
        assert ours == theirs if isinstance(ours, dict) else ours == pytest.approx(theirs, nan_ok=True)


def test_grad_scaler_errors_and_state() -> None:
    for library in LIBRARIES:
        scaler = library.amp.GradScaler("cpu")
        p = library.nn.Parameter(library.ones(2))
        optimizer = library.optim.SGD([p], lr=0.1)
        with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
            scaler.step(optimizer)
        assert scaler.scale([library.ones(1), (library.ones(1),)])[1][0].item() == 65536
        with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
            scaler.scale(3)
        with pytest.raises(AssertionError, match="No inf checks were recorded"):
            scaler.step(optimizer)
        with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
            library.amp.GradScaler("cpu").scale(p), scaler.update()
        p.grad = library.ones(2)
        scaler = library.amp.GradScaler("cpu")
        scaler.scale(p)
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError, match="unscale_.. has already been called on this optimizer"):
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        with pytest.raises(RuntimeError, match="step.. has already been called since the last update"):
            scaler.step(optimizer)
        with pytest.raises(AssertionError, match="may only be pickled at the beginning"):
            pickle.dumps(scaler)
        scaler.update(7.0)
        again = copy.deepcopy(scaler)
        assert again.get_scale() == 7.0 and again.state_dict() == scaler.state_dict()
        with pytest.raises(RuntimeError, match="The source state dict is empty"):
            scaler.load_state_dict({})


def test_there_is_no_accelerator() -> None:
    for library in LIBRARIES:
        a = library.accelerator
        assert not a.is_available() and a.device_count() == 0 and a.current_accelerator() is None
        for name, arguments in (("current_device_index", ()), ("set_device_index", (0,)), ("synchronize", ())):
            with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is available."):
                getattr(a, name)(*arguments)
        with pytest.raises(RuntimeError, match="Cannot access accelerator"), a.device_index(0):
            pass
        with a.device_index(None):
            pass
        assert library.cpu.is_available() and library.cpu.device_count() == 1 and library.cpu.current_device() == "cpu"
