"""torch.func, _foreach functions, custom operations and pruning give what PyTorch gives."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest

import bulssi

torch = pytest.importorskip("torch")


def plain(value: Any) -> Any:
    """Tensors of either library as nested lists, exceptions by their first lines."""
    if hasattr(value, "tolist"):
        return (tuple(value.shape), str(value.dtype), value.detach().flatten().tolist())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def close(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=2e-5, abs=1e-6, nan_ok=True)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(close, a, b))
    return a == b


def outcome(make: Any, library: Any) -> Any:
    library.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch compiles something at the first derivative forwards
            return plain(make(library, library.randn(3)))
    except Exception as error:
        return type(error).__name__, str(error).split("\n")[0]


CASES = {
    "grad": lambda t, x: t.func.grad(lambda x: (x**3).sum())(x),
    "grad of grad": lambda t, x: t.func.grad(lambda x: t.func.grad(lambda y: (x * y**2).sum())(x).sum())(x),
    "grad by two": lambda t, x: t.func.grad(lambda x, y: (x * y * y).sum(), argnums=(0, 1))(x, x + 1),
    "grad and value": lambda t, x: t.func.grad_and_value(lambda x: ((x**2).sum(), x), has_aux=True)(x),
    "grad of a vector": lambda t, x: t.func.grad(lambda x: x)(x),
    "grad of no tensor": lambda t, x: t.func.grad(lambda x: 1.0)(x),
    "grad by a number": lambda t, x: t.func.grad(lambda x: x)(1.0),
    "grad by a missing argument": lambda t, x: t.func.grad(lambda x: x.sum(), argnums=2)(x),
    "grad of a constant": lambda t, x: t.func.grad(lambda x: t.tensor(1.0))(x),
    "vjp": lambda t, x: t.func.vjp(lambda a, b: (a * b, a + b), x, x)[1]((x, x)),
    "jvp": lambda t, x: t.func.jvp(lambda x: (x.sin(), x.sum()), (x,), (t.ones(3),)),
    "linearize": lambda t, x: t.func.linearize(lambda x: x.exp(), x)[1](x),
    "jacrev": lambda t, x: t.func.jacrev(lambda d: {"o": d["a"] * d["b"].sum()})({"a": x, "b": x}),
    "jacfwd": lambda t, x: t.func.jacfwd(lambda x: x.sin())(x),
    "hessian": lambda t, x: t.func.hessian(lambda x: (x**3).sum() * x[0])(x),
    "vmap": lambda t, x: t.vmap(lambda a, b: a @ b, in_dims=(1, None), out_dims=1)(t.ones(3, 4, 2), t.ones(2, 5)),
    "vmap of vmap": lambda t, x: t.vmap(t.vmap(lambda a: a * 2))(t.ones(2, 3)),
    "vmap of jacrev": lambda t, x: t.vmap(t.func.jacrev(lambda x: x.tanh() * x.sum()))(x.outer(x)),
    "vmap in containers": lambda t, x: t.vmap(lambda d, y: {"a": d["k"] + y})({"k": x}, x),
    "vmap of sizes": lambda t, x: t.vmap(lambda x, y: x)(t.ones(2), t.ones(3)),
    "vmap of nothing": lambda t, x: t.vmap(lambda: 1)(),
    "vmap of a dimension": lambda t, x: t.vmap(lambda x: x, in_dims=3)(x),
    "vmap of random": lambda t, x: t.vmap(lambda x: t.randn(2))(x),
    "vmap of the same random": lambda t, x: t.vmap(lambda x: x + t.rand(1), randomness="same")(t.zeros(3)),
    "vmap to a number": lambda t, x: t.vmap(lambda x: 1.0)(x),
}


@pytest.mark.parametrize("name", CASES)
def test_func(name: str) -> None:
    ours, theirs = outcome(CASES[name], bulssi), outcome(CASES[name], torch)
    assert close(ours, theirs), (ours, theirs)


def per_sample_gradients(t: Any, x: Any) -> Any:
    model = t.nn.Sequential(t.nn.Conv2d(1, 2, 3), t.nn.ReLU(), t.nn.Flatten(), t.nn.Linear(32, 4))
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    images, classes = t.randn(5, 1, 6, 6), t.randint(4, (5,))

    def loss(parameters: Any, image: Any, label: Any) -> Any:
        out = t.func.functional_call(model, parameters, (image[None],))
        return t.nn.functional.cross_entropy(out, label[None])

    found = t.vmap(t.func.grad(loss), in_dims=(None, 0, 0))(parameters, images, classes)
    assert not any(g.requires_grad for g in found.values())
    return found


def ensemble(t: Any, x: Any) -> Any:
    models = [t.nn.Linear(3, 2) for _ in range(4)]
    parameters, buffers = t.func.stack_module_state(models)
    base = t.nn.Linear(3, 2)
    call = t.vmap(lambda p, b, x: t.func.functional_call(base, (p, b), (x,)), in_dims=(0, 0, None))
    out = call(parameters, buffers, t.ones(6, 3))
    out.sum().backward()
    return out, parameters["weight"].grad


def outer_gradient(t: Any, x: Any) -> Any:
    weight = t.ones(3, requires_grad=True)
    inner = t.func.grad(lambda x: (x**2 * weight).sum())(x)
    inner.sum().backward()
    return inner, weight.grad


@pytest.mark.parametrize("program", [per_sample_gradients, ensemble, outer_gradient])
def test_func_programs(program: Any) -> None:
    ours, theirs = outcome(program, bulssi), outcome(program, torch)
    assert close(ours, theirs), (ours, theirs)


OPERANDS = {
    "number": lambda t: 1.25,
    "numbers": lambda t: [1.25, 2.5],
    "tensor": lambda t: t.tensor(1.5),
    "vector": lambda t: t.tensor([1.5, 2.5]),
    "tensors": lambda t: [t.tensor([0.3, 0.4, 0.5]), t.tensor([[0.7, 0.9]])],
}

# What optimizers give after the first list.
FORMS = ["", "number", "tensors", "numbers", "tensor", "tensors tensors", "tensors number", "tensors numbers"]
FORMS += [f"tensors tensors {scale}" for scale in ("number", "numbers", "vector")]


@pytest.mark.parametrize("name", [name for name in dir(torch) if name.startswith("_foreach_")])
def test_foreach(name: str) -> None:
    def call(t: Any, kinds: tuple[str, ...]) -> Any:
        lists = [t.tensor([0.1, 0.2, 0.3]), t.tensor([[0.5, 0.6]])]
        result = getattr(t, name)(lists, *(OPERANDS[kind](t) for kind in kinds))
        return [type(result).__name__, result, lists]

    for words in FORMS:
        kinds = tuple(words.split())
        ours, theirs = (
            outcome(lambda t, _, k=kinds: call(t, k), bulssi),
            outcome(lambda t, _, k=kinds: call(t, k), torch),
        )
        if theirs[0] in ("TypeError", "RuntimeError"):
            assert ours[0] in ("TypeError", "RuntimeError"), (kinds, ours)
        else:
            assert close(ours, theirs), (kinds, ours, theirs)


def test_custom_operation() -> None:
    def program(t: Any, x: Any) -> Any:
        def cube(x: t.Tensor, scale: float = 1.0) -> t.Tensor:
            return x.detach() ** 3 * scale

        cube.__annotations__ = {"x": t.Tensor, "scale": float, "return": t.Tensor}
        op = t.library.custom_op("bulssitest::cube", cube, mutates_args=())

        def setup(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(inputs[0])
            ctx.scale = inputs[1]

        op.register_autograd(lambda ctx, g: (g * 3 * ctx.saved_tensors[0] ** 2 * ctx.scale, None), setup_context=setup)
        op.register_fake(lambda x, scale=1.0: t.empty_like(x))
        x = x.requires_grad_()
        op(x, 2.0).sum().backward()
        found = [t.ops.bulssitest.cube(x.detach()), x.grad, str(t.ops.bulssitest.cube)]
        found += [list(op(t.empty(2, 3, device="meta")).shape), t.library.infer_schema(cube, mutates_args=())]
        for wrong in ((), (1,), (x, 1.0, 2)):
            try:
                t.ops.bulssitest.cube(*wrong)
            except RuntimeError as error:
                found.append(str(error).split(" Declaration")[0].split("\n")[0])
        return found

    ours, theirs = outcome(program, bulssi), outcome(program, torch)
    assert close(ours, theirs), (ours, theirs)


def test_library_in_steps() -> None:
    def program(t: Any, x: Any) -> Any:
        lib = t.library.Library("bulssisteps", "DEF")
        lib.define("weighted(Tensor x, float s, *, int[] k=[1, 2]) -> Tensor")
        found: list[Any] = []
        try:
            t.ops.bulssisteps.weighted(x, 2.0)
        except NotImplementedError:
            found.append("no kernel")
        lib.impl("weighted", lambda x, s, *, k=(1, 2): x * s + sum(k), "CPU")
        found += [t.ops.bulssisteps.weighted(x, 2.0), t.ops.bulssisteps.weighted(x, s=1.0, k=[5])]
        t.library.define("bulssisteps::pair", "(Tensor x) -> (Tensor, Tensor)")
        t.library.impl("bulssisteps::pair", "default")(lambda x: (x + 1, x + 2))
        found.append(t.ops.bulssisteps.pair(x))
        try:
            t.ops.bulssisteps.absent  # noqa: B018
        except AttributeError as error:
            found.append(str(error))
        return found

    ours, theirs = outcome(program, bulssi), outcome(program, torch)
    assert close(ours, theirs), (ours, theirs)


def test_pruning() -> None:
    def program(t: Any, x: Any) -> Any:
        prune, layer = importlib.import_module(f"{t.__name__}.nn.utils.prune"), t.nn.Linear(4, 3)
        prune.random_unstructured(layer, "weight", 0.3)
        found = [layer.weight_mask, sorted(layer.state_dict())]
        prune.ln_structured(layer, "weight", 1, 2, 0)
        prune.l1_unstructured(layer, "weight", 2)
        prune.random_structured(layer, "weight", 1, 1)
        layer(t.ones(2, 4)).sum().backward()
        found += [layer.weight_mask, layer.weight, layer.weight_orig.grad, prune.is_pruned(layer)]
        prune.remove(layer, "weight")
        found += [layer.weight, sorted(layer.state_dict()), prune.is_pruned(layer)]
        net = t.nn.Sequential(t.nn.Conv2d(1, 4, 3), t.nn.Linear(3, 2))
        prune.global_unstructured([(net[0], "weight"), (net[1], "weight")], prune.L1Unstructured, amount=0.2)
        found += [net[0].weight_mask, net[1].weight]
        for wrong in (1.5, -1, 100, "a"):
            try:
                prune.l1_unstructured(net[1], "bias", wrong)
            except (ValueError, TypeError) as error:
                found.append(str(error))
        return [*found, sorted(net.state_dict())]

    ours, theirs = outcome(program, bulssi), outcome(program, torch)
    assert close(ours, theirs), (ours, theirs)


def test_fused_batch_norm() -> None:
    def program(t: Any, x: Any) -> Any:
        norm, images = t.nn.BatchNorm2d(3).eval(), t.randn(1, 2, 5, 5)
        norm.running_mean.uniform_(), norm.running_var.uniform_(1, 2)
        fused = t.nn.utils.fuse_conv_bn_eval(t.nn.Conv2d(2, 3, 3).eval(), norm)
        back = t.nn.utils.fuse_conv_bn_eval(t.nn.ConvTranspose2d(2, 3, 3, bias=False).eval(), norm, transpose=True)
        return fused(images), back(images), fused.bias

    ours, theirs = outcome(program, bulssi), outcome(program, torch)
    assert close(ours, theirs), (ours, theirs)


def test_scales_by_position() -> None:
    def program(t: Any, x: Any) -> Any:
        a, b, m = t.tensor([1.0, 2.0]), t.tensor([3.0, 4.0]), t.eye(2)
        batch = t.ones(2, 2, 2)
        return [
            a.add(2, b), a.clone().add_(0.5, b), t.sub(a, 2, b), t.add(a, 2, b, out=t.empty(2)),
            a.clone().addcmul_(2, b, b), t.addcmul(a, 2, b, b), a.addcdiv(-0.5, b, b),
            t.addmm(0.5, m, 2, m, m), t.addmm(0.5, m, m, m), m.clone().addmm_(0.5, 2, m, m), m.addmm(0.5, m, m),
            t.addmv(0.5, a, 2, m, b), a.addmv(2, m, b), m.clone().addr_(0.5, 2, a, b), t.addr(0.5, m, 2, a, b),
            t.baddbmm(0.5, batch, 2, batch, batch), m.addbmm(0.5, batch, batch),
        ]  # fmt: skip

    ours, theirs = outcome(program, bulssi), outcome(program, torch)
    assert close(ours, theirs), (ours, theirs)
    with pytest.raises(TypeError):
        bulssi.ones(2).add_("x", bulssi.ones(2))


def test_diagonals_windows_and_copies() -> None:
    def program(t: Any, x: Any) -> Any:
        shapes = [(7, 3), (3, 7), (8, 3), (4, 3), (9, 2), (2, 2, 2)]
        found = [t.zeros(shape).fill_diagonal_(5, wrap=wrap) for shape in shapes for wrap in (True, False)]
        y = x.outer(x).requires_grad_() * 2
        found += [y.fill_diagonal_(0), t.zeros(6, 2)[::2].fill_diagonal_(3, True)]
        for name in ("hann", "hamming", "blackman", "bartlett", "kaiser"):
            window = getattr(t, f"{name}_window")
            found += [window(n, periodic=p, dtype=t.float64) for n in (0, 1, 2, 5, 8) for p in (True, False)]
        found += [t.expand_copy(x[:1], (2, 1)), t.split_copy(x, 2), t.is_nonzero(t.tensor(1.0)), t.detach(y)]
        return [*found, t.constant_pad_nd(x, (1, 1), 3.0), t.fft.fftfreq(5, 0.5), t.fft.fftshift(x)]

    ours, theirs = outcome(program, bulssi), outcome(program, torch)
    assert close(ours, theirs), (ours, theirs)
    for wrong in (bulssi.ones(3), bulssi.ones(2, 3, 3)):
        with pytest.raises(RuntimeError, match="dimensions"):
            wrong.fill_diagonal_(1)


def test_an_optimizer_of_ones_own() -> None:
    """Written as packages write theirs, with the helpers of torch.optim.optimizer and lists of tensors."""

    def program(t: Any, x: Any) -> Any:
        home = importlib.import_module(f"{t.__name__}.optim.optimizer")

        class Sign(home.Optimizer):
            def __init__(self, params: Any) -> None:
                super().__init__(params, {"lr": 0.01, "differentiable": False})

            @home._use_grad_for_differentiable
            def step(self) -> None:
                for group in self.param_groups:
                    lists = [group["params"], [p.grad for p in group["params"]], []]
                    for (params, grads, _), _ in self._group_tensors_by_device_and_dtype(lists).values():
                        t._foreach_mul_(params, 0.99)
                        t._foreach_add_(params, t._foreach_sign(grads), alpha=-group["lr"])

        layer = t.nn.Linear(3, 2)
        optimizer = Sign(layer.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            (layer(x) ** 2).sum().backward()
            optimizer.step()
        return (
            layer.weight,
            layer.bias,
            home._get_value(t.tensor(2.0)),
            home._default_to_fused_or_foreach([layer.weight], False),
        )

    ours, theirs = outcome(program, bulssi), outcome(program, torch)
    assert close(ours, theirs), (ours, theirs)
