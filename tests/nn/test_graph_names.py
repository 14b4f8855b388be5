"""Results of layers and losses print the producer that PyTorch prints, and lead on to what they were given."""

from __future__ import annotations

import pytest

import bulssi

torch = pytest.importorskip("torch")


def losses(library):
    f = library.nn.functional
    x, y = library.full((4, 6), 0.25, requires_grad=True), library.full((4, 6), 0.5)
    classes = library.tensor([0, 1, 2, 3])
    for reduction in ("mean", "sum", "none"):
        for name in ("mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "soft_margin_loss", "l1_loss",
                     "binary_cross_entropy_with_logits"):  # fmt: skip
            yield getattr(f, name)(x, y, reduction=reduction)
    yield f.cross_entropy(x, classes)
    yield f.nll_loss(x, classes)
    yield f.nll_loss(x.reshape(2, 2, 6).transpose(1, 2), classes.reshape(2, 2))
    yield f.multi_margin_loss(x, classes)


def layers(library):
    nn, f = library.nn, library.nn.functional
    x = {n: library.ones(2, 4, *(8,) * n, requires_grad=True) for n in (1, 2, 3)}
    for n in (1, 2, 3):
        for train in (True, False):
            yield getattr(nn, f"BatchNorm{n}d")(4).train(train)(x[n])
            yield getattr(nn, f"InstanceNorm{n}d")(4).train(train)(x[n])
        for kind in ("avg", "max"):
            yield getattr(f, f"{kind}_pool{n}d")(x[n], 2)
            yield getattr(f, f"adaptive_{kind}_pool{n}d")(x[n], 3)
        yield getattr(f, f"adaptive_avg_pool{n}d")(x[n], 1)
        for mode in ("constant", "reflect", "replicate"):
            yield f.pad(x[n], (1, 1) * n, mode=mode)
        for mode in ("nearest", ("linear", "bilinear", "trilinear")[n - 1], "area"):
            yield f.interpolate(x[n], scale_factor=2, mode=mode)
    yield nn.GroupNorm(2, 4)(x[2])
    yield f.glu(x[1], 1)
    yield f.pixel_shuffle(x[2], 2)
    yield f.fold(f.unfold(x[2], 2), (8, 8), 2)
    yield f.pairwise_distance(x[1][:, 0], x[1][:, 1])
    yield nn.EmbeddingBag(5, 3)(library.tensor([[1, 2]]))


@pytest.mark.parametrize("values", [losses, layers])
def test_names(values) -> None:
    ours, theirs = ([v.grad_fn.name() for v in values(library)] for library in (bulssi, torch))
    assert ours == theirs


def test_next_functions_skip_what_the_function_is_made_of() -> None:
    def chain(library):
        layer = library.nn.Linear(3, 2)
        node = library.nn.functional.mse_loss(layer(library.ones(4, 3)), library.zeros(4, 2)).grad_fn
        found = []
        while node is not None:
            found.append((node.name(), [n is not None for n, _ in node.next_functions]))
            node = node.next_functions[0][0] if node.next_functions else None
        return found

    assert chain(bulssi)[:2] == chain(torch)[:2]


def test_what_is_handed_through_keeps_its_name() -> None:
    x = bulssi.ones(3, requires_grad=True) * 2
    assert bulssi.nn.functional.pad(x, (0, 0)).grad_fn.name() in ("MulBackward0", "ConstantPadNdBackward0")
    assert x.grad_fn.name() == "MulBackward0"
