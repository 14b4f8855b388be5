"""Pruning, fusion of normalisations, orders of memory and the gradients of convolutions, beside PyTorch's."""

from __future__ import annotations

from importlib import import_module

import pytest

import bulssi

torch = pytest.importorskip("torch")
BOTH = (bulssi, torch)


def layers(lib):
    lib.manual_seed(0)
    return lib.nn.Sequential(lib.nn.Linear(6, 8), lib.nn.Linear(8, 4))


def prune_all(lib):
    prune = import_module(f"{lib.__name__}.nn.utils.prune")
    m = layers(lib)
    prune.l1_unstructured(m[0], "weight", amount=0.3)
    prune.random_unstructured(m[0], "weight", amount=5)
    prune.ln_structured(m[0], "weight", amount=2, n=2, dim=0)
    prune.random_structured(m[1], "weight", amount=0.5, dim=1)
    prune.identity(m[1], "bias")
    prune.custom_from_mask(m[0], "bias", lib.tensor([1, 0, 1, 0, 1, 1, 1, 1]))
    return prune, m


def test_pruning_one_parameter_after_the_other():
    found = []
    for lib in BOTH:
        prune, m = prune_all(lib)
        m(lib.ones(2, 6)).sum().backward()
        state = [(name, t.tolist()) for name, t in m.state_dict().items()]
        hooks = [type(hook).__name__ for layer in m for hook in layer._forward_pre_hooks.values()]
        zero = [(name, (p.grad == 0).tolist()) for name, p in m.named_parameters()]
        found.append((state, hooks, zero, prune.is_pruned(m)))
    assert found[0] == found[1]


def test_pruning_is_made_permanent():
    prune, m = prune_all(bulssi)
    before = m[0].weight.detach().clone()
    prune.remove(m[0], "weight")
    assert isinstance(m[0].weight, bulssi.nn.Parameter) and bulssi.equal(m[0].weight, before)
    assert "weight_mask" not in dict(m[0].named_buffers())
    with pytest.raises(ValueError, match="Parameter 'weight' of module .* has to be pruned before pruning can be"):
        prune.remove(m[0], "weight")


def test_global_pruning():
    found = []
    for lib in BOTH:
        prune = import_module(f"{lib.__name__}.nn.utils.prune")
        m = layers(lib)
        places = [(m[0], "weight"), (m[1], "weight")]
        prune.global_unstructured(places, pruning_method=prune.L1Unstructured, amount=0.4)
        prune.global_unstructured(places, pruning_method=prune.RandomUnstructured, amount=10)
        found.append([mask.tolist() for mask in m.buffers()])
    assert found[0] == found[1]


def test_a_method_that_fails_leaves_the_module_as_it_was():
    from bulssi.nn.utils import prune

    layer = bulssi.nn.Linear(2, 3)
    weight = layer.weight
    for amount, error in ((-1, ValueError), (1.5, ValueError), ("x", TypeError), (1000, ValueError)):
        with pytest.raises(error):
            prune.l1_unstructured(layer, "weight", amount=amount)
        assert layer.weight is weight and set(layer.state_dict()) == {"weight", "bias"}
        assert not layer._forward_pre_hooks


@pytest.mark.parametrize("bias", [True, False])
def test_fused_normalisation(bias):
    found = []
    for lib in BOTH:
        lib.manual_seed(0)
        utils = lib.nn.utils
        for conv in (lib.nn.Conv2d(4, 6, 3, bias=bias), lib.nn.ConvTranspose2d(4, 6, 3, bias=bias)):
            norm = lib.nn.BatchNorm2d(6)
            norm.running_mean.uniform_()
            norm.running_var.uniform_(1, 2)
            conv.eval(), norm.eval()
            x = lib.randn(2, 4, 5, 5)
            fused = utils.fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, lib.nn.ConvTranspose2d))
            assert lib.allclose(fused(x), norm(conv(x)), atol=1e-5)
            found.append((type(fused.weight).__name__, fused.weight.requires_grad, fused.bias.requires_grad))
        linear, norm = lib.nn.Linear(4, 6, bias=bias).eval(), lib.nn.BatchNorm1d(6).eval()
        fused = utils.fuse_linear_bn_eval(linear, norm)
        assert lib.allclose(fused(x[0, 0, :, :4]), norm(linear(x[0, 0, :, :4])), atol=1e-5)
        with pytest.raises(AssertionError, match="Fusion only for eval!"):
            utils.fuse_linear_bn_eval(linear.train(), norm)
    assert found[:2] == found[2:]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_of_convolutions(rank):
    found = []
    for lib in BOTH:
        grad = import_module(f"{lib.__name__}.nn.grad")
        lib.manual_seed(0)
        x, w = lib.randn(2, 4, *(5,) * rank), lib.randn(6, 2, *(3,) * rank, requires_grad=True)
        g = lib.randn(2, 6, *(5,) * rank)
        of_input = getattr(grad, f"conv{rank}d_input")(x.shape, w, g, padding=1, groups=2)
        of_weight = getattr(grad, f"conv{rank}d_weight")(x, w.shape, g, padding=1, groups=2)
        (again,) = lib.autograd.grad(of_input.pow(2).sum(), w)
        found.append((of_weight.requires_grad, [t.detach().reshape(-1).tolist() for t in (of_input, of_weight, again)]))
    assert found[0][0] is found[1][0] is False
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-3)


def test_weights_in_another_order_of_memory():
    for lib in BOTH:
        m = lib.nn.Sequential(lib.nn.Conv2d(3, 4, 3), lib.nn.Conv3d(3, 4, 3))
        lib.nn.utils.convert_conv2d_weight_memory_format(m, lib.channels_last)
        assert m[0].weight.stride() == (27, 1, 9, 3) and m[1].weight.is_contiguous()


USES = {
    "numel": lambda lib, p: p.numel(),
    "add": lambda lib, p: p + 1,
    "view": lambda lib, p: p.view(-1),
    "init": lambda lib, p: lib.nn.init.normal_(p),
    "cat": lambda lib, p: lib.cat([p, p]),
    "requires_grad_": lambda lib, p: p.requires_grad_(False),
}


@pytest.mark.parametrize("use", USES)
def test_an_uninitialized_parameter_cannot_be_used(use):
    for lib in BOTH:
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter in .*LazyModules Call `forw"):
            USES[use](lib, lib.nn.LazyLinear(3).weight)
    m = bulssi.nn.LazyLinear(3).double()
    assert m.weight.size() == (0,) and m.weight.is_floating_point()
    assert m(bulssi.ones(2, 4).double()).shape == (2, 3) and m.weight.numel() == 12


def test_the_state_of_lazy_layers_is_saved(tmp_path):
    for layer in (bulssi.nn.LazyBatchNorm1d(), bulssi.nn.LazyConv2d(3, 2)):
        bulssi.save(layer.state_dict(), tmp_path / "state.pt")
        state = bulssi.load(tmp_path / "state.pt", weights_only=False)
        assert [type(t) for t in state.values()] == [type(t) for t in layer.state_dict().values()]
