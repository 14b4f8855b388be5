"""Random functions beside PyTorch's, bit for bit: values, order of memory, state left behind, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import bulssi
from bulssi import _core

torch = pytest.importorskip("torch")

SIZES = [(), (0,), (1,), (3,), (15,), (16,), (17,), (5, 7), (1000,)]
DTYPES = ["float32", "float64", "float16", "bfloat16"]
INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "bool"]


def bits(t: Any) -> list[Any]:
    return [tuple(t.shape), str(t.dtype).removeprefix("torch."), repr(t.tolist())]


def state(library: Any, generator: Any) -> list[int]:
    return (library.get_rng_state() if generator is None else generator.get_state()).tolist()


def same(call: Callable[..., Any], seeds: tuple[int, ...] = (0, 42)) -> None:
    """`call(library, generator or None)` gives the same tensor and leaves the same state in both libraries."""
    for seed in seeds:
        for own in (False, True):
            seen = []
            for library in (torch, bulssi):
                library.manual_seed(seed)
                generator = library.Generator().manual_seed(seed + 1) if own else None
                out = call(library, generator)
                seen.append((bits(out), state(library, generator)))
            assert seen[0] == seen[1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["rand", "randn"])
def test_uniform_and_normal(name: str, dtype: str, size: tuple[int, ...]) -> None:
    same(lambda t, g: getattr(t, name)(size, generator=g, dtype=getattr(t, dtype)))
    same(lambda t, g: getattr(t, name + "_like")(t.empty(size, dtype=getattr(t, dtype))))


@pytest.mark.parametrize("dtype", DTYPES[:2] + INTEGERS)
def test_integers(dtype: str) -> None:
    for size in SIZES:
        same(lambda t, g, n=size: t.randint(2, n, generator=g, dtype=getattr(t, dtype)))
        same(lambda t, g, n=size: t.randint(0, 2, n, generator=g, dtype=getattr(t, dtype)))
        same(lambda t, g, n=size: t.empty(n, dtype=getattr(t, dtype)).random_(generator=g))
        same(lambda t, g, n=size: t.randint_like(t.empty(n, dtype=getattr(t, dtype)), 2))
    same(lambda t, g: t.empty(9, dtype=t.int64).random_(-5, None, generator=g))
    same(lambda t, g: t.empty(9, dtype=t.int64).random_(-5, 2**62, generator=g))
    same(lambda t, g: t.empty(9, dtype=t.int64).random_(77, generator=g))


@pytest.mark.parametrize("n", [0, 1, 2, 15, 100])
def test_randperm(n: int) -> None:
    same(lambda t, g: t.randperm(n, generator=g))
    same(lambda t, g: t.randperm(n, generator=g, dtype=t.int32))
    same(lambda t, g: t.randperm(n, generator=g, out=t.empty(2 * n, dtype=t.int64)[::2]))


IN_PLACE: dict[str, Callable[[Any, Any, Any], Any]] = {
    "uniform_": lambda t, x, g: x.uniform_(-1.0, 3.0, generator=g),
    "normal_": lambda t, x, g: x.normal_(1.0, 2.5, generator=g),
    "exponential_": lambda t, x, g: x.exponential_(2.0, generator=g),
    "cauchy_": lambda t, x, g: x.cauchy_(1.0, 2.0, generator=g),
    "log_normal_": lambda t, x, g: x.log_normal_(0.5, 0.25, generator=g),
    "geometric_": lambda t, x, g: x.geometric_(0.3, generator=g),
    "bernoulli_": lambda t, x, g: x.bernoulli_(0.3, generator=g),
    "random_": lambda t, x, g: x.random_(0, 100, generator=g),
    "bernoulli_each": lambda t, x, g: x.bernoulli_(t.linspace(0, 1, x.shape[-1]), generator=g),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(IN_PLACE))
def test_in_place_in_every_order_of_memory(name: str, dtype: str) -> None:
    draw = IN_PLACE[name]

    def base(t: Any, *size: int) -> Any:
        return t.zeros(size, dtype=getattr(t, dtype))

    shapes: list[Callable[[Any], Any]] = [
        lambda t: base(t, 3, 4),
        lambda t: base(t, 4, 5).t(),
        lambda t: base(t, 6, 8)[:, ::2],
        lambda t: base(t, 6, 8).t()[::2],
        lambda t: base(t, 2, 3, 4).permute(2, 0, 1),
        lambda t: base(t, 2, 3, 4, 5).permute(0, 3, 1, 2),
        lambda t: base(t, 1, 30)[0, 3:25],
    ]
    for shape in shapes:
        same(lambda t, g, s=shape: draw(t, s(t), g))


def test_normal_with_tensors() -> None:
    for dtype in DTYPES[:2]:
        for n in (3, 16, 20):

            def mean(t: Any, n: int = n, dtype: str = dtype) -> Any:
                return t.arange(n, dtype=getattr(t, dtype)) / 7 - 1

            same(lambda t, g, m=mean: t.normal(m(t), 2.0, generator=g))
            same(lambda t, g, m=mean: t.normal(m(t), m(t).abs(), generator=g))
            same(lambda t, g, m=mean: t.normal(0.5, m(t).abs(), generator=g))
            same(lambda t, g, n=n: t.normal(0.5, 2.0, (n, 2), generator=g))
    same(lambda t, g: t.normal(t.zeros(4, 1), t.ones(5), generator=g))


def test_out_chooses_dtype_and_order() -> None:
    for name in ("rand", "randn"):
        same(lambda t, g, f=name: getattr(t, f)(5, 6, generator=g, out=t.empty(6, 5).t()))
        same(lambda t, g, f=name: getattr(t, f)(20, generator=g, out=t.empty(0, dtype=t.float64)))
    same(lambda t, g: t.randint(9, (4, 5), generator=g, out=t.empty(5, 4, dtype=t.int32).t()))
    same(lambda t, g: t.bernoulli(t.full((4, 5), 0.4), generator=g, out=t.empty(5, 4).t()))
    same(lambda t, g: t.normal(t.zeros(4, 5), 1.0, generator=g, out=t.empty(5, 4).t()))
    with pytest.raises(RuntimeError, match="dtype Double does not match dtype of out parameter"):
        bulssi.rand(2, out=bulssi.empty(0), dtype=bulssi.float64)


def test_samples_of_distributions() -> None:
    def weights(t: Any, *size: int) -> Any:
        n = 1
        for s in size:
            n *= s
        return (t.arange(n) % 7 + 0.5).reshape(size)

    same(lambda t, g: t.multinomial(weights(t, 9), 4, generator=g))
    same(lambda t, g: t.multinomial(weights(t, 9), 1, generator=g))
    same(lambda t, g: t.multinomial(weights(t, 9), 30, True, generator=g))
    same(lambda t, g: t.multinomial(weights(t, 5, 9), 4, generator=g))
    same(lambda t, g: t.multinomial(weights(t, 9, 5).t(), 4, generator=g))
    same(lambda t, g: t.multinomial(weights(t, 9, 5).t(), 4, True, generator=g))
    same(lambda t, g: t.poisson(weights(t, 4, 5) * 3, generator=g))
    same(lambda t, g: t.poisson(weights(t, 4, 5).t() * 3, generator=g))
    same(lambda t, g: t.binomial(t.full((4, 5), 20.0), t.linspace(0, 1, 5), generator=g))
    same(lambda t, g: t._standard_gamma(weights(t, 4, 5), generator=g))
    same(lambda t, g: t._sample_dirichlet(weights(t, 4, 5), generator=g))
    same(lambda t, g: t.bernoulli(weights(t, 5, 4).t() / 8, generator=g))
    same(lambda t, g: t.bernoulli(weights(t, 5, 4).t(), 0.3, generator=g))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout(dtype: str) -> None:
    for shape in ((3, 4), (2, 3, 5), (2, 3, 4, 5)):
        for p in (0.0, 0.3, 0.5, 1.0):
            for f in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"):

                def call(t: Any, g: Any, f: str = f, p: float = p, shape: Any = shape) -> Any:
                    x = t.arange(60 if len(shape) < 4 else 120, dtype=t.float32)[: t.empty(shape).numel()] / 7 - 2
                    return getattr(t, f)(x.reshape(shape).to(getattr(t, dtype)), p, True)

                same(call, (3,))
    same(lambda t, g: t.dropout(t.ones(5, 4).t(), 0.5, True))
    same(lambda t, g: t.dropout_(t.ones(5, 4), 0.5, True))
    same(lambda t, g: t.alpha_dropout_(t.ones(5, 4), 0.5, True))
    same(lambda t, g: t.rrelu(t.linspace(-1, 1, 9), training=True))
    same(lambda t, g: t.rrelu(t.linspace(-1, 1, 9)))


def test_gradients() -> None:
    def grads(t: Any, f: Callable[[Any], Any]) -> Any:
        t.manual_seed(5)
        x = t.linspace(-1, 1, 20, dtype=t.float64).reshape(4, 5).requires_grad_()
        y = f(x)
        (g,) = t.autograd.grad(y.sum(), x)
        return y.grad_fn.name(), bits(g), bits(y.detach())

    for f in (
        lambda t, x: t.dropout(x, 0.4, True),
        lambda t, x: t.dropout(x, 1.0, True),
        lambda t, x: t.alpha_dropout(x, 0.4, True),
        lambda t, x: t.rrelu(x, training=True),
        lambda t, x: t.rrelu(x),
        lambda t, x: t.native_dropout(x, 0.4, True)[0],
        lambda t, x: t.bernoulli(x.abs()),
        lambda t, x: t.poisson(x.abs()),
        lambda t, x: t.normal(x, 1.0),
        lambda t, x: t.normal(0.0, x.abs()),
        lambda t, x: (x * 1).uniform_(),
        lambda t, x: (x * 1).normal_(),
        lambda t, x: (x * 1).random_(3),
        lambda t, x: (x * 1).bernoulli_(0.5),
        lambda t, x: (x * 1).exponential_(),
        lambda t, x: t.dropout_(x * 1, 0.4, True),
    ):
        assert grads(torch, lambda x, f=f: f(torch, x)) == grads(bulssi, lambda x, f=f: f(bulssi, x))
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        bulssi.zeros(2, requires_grad=True).uniform_()
    x = bulssi.ones(2, requires_grad=True)
    assert bulssi.dropout(x, 0.0, True) is x and bulssi.dropout(x, 0.5, False) is x
    with bulssi.no_grad():
        x.uniform_()
    assert x.is_leaf and bulssi.rand(2, requires_grad=True).requires_grad


def test_generator() -> None:
    for t in (torch, bulssi):
        g = t.Generator()
        assert g.initial_seed() == torch.Generator().initial_seed()
        assert g.manual_seed(-1) is g and g.initial_seed() == 2**64 - 1
        assert g.device == t.device("cpu")
        before = g.get_state()
        first = t.rand(3, generator=g).tolist()
        assert g.set_state(before) is g and t.rand(3, generator=g).tolist() == first
        twin = g.clone_state()
        assert t.rand(3, generator=g).tolist() == t.rand(3, generator=twin).tolist()
        assert 0 <= g.seed() == g.initial_seed()
        for wrong, error in ((2**64, ValueError), (-(2**63) - 1, ValueError), (1.5, RuntimeError), ("a", RuntimeError)):
            with pytest.raises(error):
                g.manual_seed(wrong)
        with pytest.raises(TypeError, match="RNG state must be a torch.ByteTensor"):
            g.set_state(t.zeros(3))
        with pytest.raises(RuntimeError, match="5056"):
            g.set_state(t.zeros(3, dtype=t.uint8))
        with pytest.raises(TypeError):
            t.rand(2, generator=3)
    assert bulssi.manual_seed(3) is bulssi.default_generator
    assert bulssi.initial_seed() == 3


def test_state_is_pytorchs() -> None:
    torch.manual_seed(9)
    torch.randn(5)
    bulssi.set_rng_state(bulssi.tensor(torch.get_rng_state().tolist(), dtype=bulssi.uint8))
    assert torch.randn(7).tolist() == bulssi.randn(7).tolist()


def test_generator_is_copied_and_pickled() -> None:
    import copy
    import pickle

    g = bulssi.Generator().manual_seed(4)
    bulssi.randn(3, generator=g)
    for twin in (copy.deepcopy(g), pickle.loads(pickle.dumps(g)), g.clone_state()):
        expected = g.clone_state()
        assert bulssi.randn(9, generator=twin).tolist() == bulssi.randn(9, generator=expected).tolist()


def test_fork_rng() -> None:
    bulssi.manual_seed(1)
    before = bulssi.get_rng_state().tolist()
    with bulssi.random.fork_rng():
        bulssi.manual_seed(7)
        bulssi.rand(3)
    assert bulssi.get_rng_state().tolist() == before
    with bulssi.random.fork_rng(enabled=False):
        bulssi.rand(3)
    assert bulssi.get_rng_state().tolist() != before


BAD: list[Callable[[Any], Any]] = [
    lambda t: t.rand(2, dtype=t.int64),
    lambda t: t.randn(2, dtype=t.int64),
    lambda t: t.randint(10, (2,), requires_grad=True),
    lambda t: t.randint(5, 3, (2,)),
    lambda t: t.rand(-1),
    lambda t: t.randn(2.5),
    lambda t: t.binomial(t.ones(3), t.full((3,), 0.5, dtype=t.float64)),
    lambda t: t.binomial(t.ones(3, dtype=t.int64), t.full((3,), 0.5)),
    lambda t: t.multinomial(t.ones(3, dtype=t.int64), 1),
    lambda t: t.multinomial(t.ones(3), 4),
    lambda t: t.multinomial(t.ones(3), 0),
    lambda t: t.multinomial(t.ones(3, 2, 2), 1),
    lambda t: t.multinomial(t.ones(2, 0), 2),
    lambda t: t.bernoulli(t.ones(2, dtype=t.int64)),
    lambda t: t.bernoulli(t.full((2,), 1.5)),
    lambda t: t.normal(t.zeros(2), t.tensor([-1.0, 1])),
    lambda t: t.normal(t.zeros(2), -1.0),
    lambda t: t.normal(t.zeros(2, dtype=t.int64), 1.0),
    lambda t: t.dropout(t.ones(2), -1.0, True),
    lambda t: t.dropout(t.ones(4, dtype=t.int64), 0.5, True),
    lambda t: t.rand_like(t.ones(2, dtype=t.int64)),
    lambda t: t.empty(3).expand(2, 3).uniform_(),
    lambda t: t.set_rng_state(t.zeros(2)),
    lambda t: t.zeros(2).exponential_(-0.5),
    lambda t: t.zeros(2, dtype=t.int64).exponential_(0.5),
    lambda t: t.rand(2, device="cuda"),
    lambda t: t.rand(2, out=t.empty(0), dtype=t.float64),
]


@pytest.mark.parametrize("at", range(len(BAD)))
def test_refusals(at: int) -> None:
    seen = []
    for t in (torch, bulssi):
        t.manual_seed(0)
        before = t.get_rng_state().tolist()
        with pytest.raises(Exception) as error:
            BAD[at](t)
        seen.append((type(error.value), str(error.value).split("\n")[0].split("  (Could this error")[0]))
    assert bulssi.get_rng_state().tolist() == before
    assert seen[0] == seen[1]


def test_no_fill_depends_on_the_number_of_threads() -> None:
    seen = []
    for threads in (1, 2):
        bulssi.set_num_threads(threads)
        bulssi.manual_seed(0)
        seen.append([bulssi.randn(300_000).sum().item(), bulssi.dropout(bulssi.ones(300_000), 0.5, True).sum().item()])
    assert seen[0] == seen[1]
    assert _core.default_generator.initial_seed() == 0
