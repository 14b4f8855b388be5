"""Functions of nn.functional beside PyTorch's: values, first and second derivatives."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import bulssi  # noqa: E402
from tests.nn.oracle import assert_same, flat, seeded, to_bulssi  # noqa: E402

SAMPLES: list[Any] = []


def sample(name: str, *args: Any, **kwargs: Any) -> None:
    """A call of ``nn.functional.name``; functions of a library among the arguments are called with it."""
    SAMPLES.append(pytest.param(name, args, kwargs, id=f"{name}-{len(SAMPLES)}"))


def r(*shape: int, low: float = -1.0, high: float = 1.0) -> Any:
    """A tensor of torch with fixed numbers, gradients wanted."""
    generator = torch.Generator().manual_seed(math.prod(shape) + len(shape))
    return (torch.rand(shape, dtype=torch.float64, generator=generator) * (high - low) + low).requires_grad_()


def i(*values: Any) -> Any:
    return torch.tensor(values[0] if len(values) == 1 else values)


for mode in ("reflect", "replicate", "circular"):
    sample("pad", r(2, 3, 5), (2, 1), mode=mode)
    sample("pad", r(2, 3, 5, 4), (2, 1, 0, 3), mode=mode)
    sample("pad", r(2, 3, 4, 5), (2, 1, 0, 3), mode=mode)
    sample("pad", r(1, 2, 3, 4, 5), (1, 2, 0, 1, 2, 1), mode=mode)
sample("pad", r(2, 3, 5), (1, 2, -1, 1), value=3.0)
sample("pad", r(2, 3, 5), (-1, -2))
for mode in ("nearest", "nearest-exact", "linear"):
    sample("interpolate", r(2, 3, 5), size=8, mode=mode)
    sample("interpolate", r(2, 3, 7), scale_factor=1.7, mode=mode)
    sample("interpolate", r(2, 3, 9), scale_factor=0.43, mode=mode, recompute_scale_factor=True)
for mode in ("bilinear", "bicubic", "nearest", "area", "nearest-exact"):
    sample("interpolate", r(2, 3, 5, 6), size=(8, 3), mode=mode)
    sample("interpolate", r(2, 3, 5, 6), scale_factor=(1.5, 2.3), mode=mode)
for mode in ("bilinear", "bicubic"):
    sample("interpolate", r(2, 3, 5, 6), size=(8, 3), mode=mode, align_corners=True)
    sample("interpolate", r(2, 3, 9, 6), size=(4, 11), mode=mode, antialias=True)
    sample("interpolate", r(2, 3, 9, 6), size=(4, 3), mode=mode, antialias=True, align_corners=True)
    sample("interpolate", r(2, 3, 9, 6), scale_factor=0.4, mode=mode, antialias=True)
sample("interpolate", r(1, 2, 9, 8), size=(4, 5), mode="lanczos", antialias=True)
sample("interpolate", r(1, 2, 3, 4, 5), size=(4, 5, 2), mode="trilinear")
sample("interpolate", r(1, 2, 3, 4, 5), size=(4, 5, 2), mode="trilinear", align_corners=True)
sample("interpolate", r(1, 2, 3, 4, 5), scale_factor=1.5, mode="nearest")
for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        for align in (True, False):
            sample("grid_sample", r(2, 3, 5, 4), r(2, 3, 6, 2, low=-1.7, high=1.7), mode, padding, align)
for mode in ("bilinear", "nearest"):
    sample("grid_sample", r(2, 3, 5, 4, 3), r(2, 3, 2, 2, 3, low=-1.5, high=1.5), mode, "reflection", False)
    sample("grid_sample", r(2, 3, 5, 4, 3), r(2, 3, 2, 2, 3, low=-1.5, high=1.5), mode, "zeros", True)
for align in (True, False):
    sample("affine_grid", r(2, 2, 3), (2, 3, 4, 5), align)
    sample("affine_grid", r(2, 3, 4), (2, 3, 4, 5, 2), align)
sample("unfold", r(2, 3, 6, 7), (2, 3), dilation=(2, 1), padding=1, stride=(1, 2))
sample("unfold", r(3, 6, 7), 2)
sample("fold", r(2, 3 * 6, 6 * 4), (6, 7), (2, 3), dilation=(2, 1), padding=(1, 1), stride=(1, 2))
sample("fold", r(3 * 4, 6), (3, 4), 2)
sample("pixel_shuffle", r(2, 8, 3, 2), 2)
sample("pixel_unshuffle", r(2, 2, 4, 6), 2)
sample("channel_shuffle", r(2, 6, 3, 2), 3)
for kwargs in ({}, {"padding": 1, "ceil_mode": True}, {"stride": 1, "dilation": 2}, {"stride": 3, "ceil_mode": True}):
    sample("max_pool1d", r(2, 3, 8), 3, **kwargs)
    sample("max_pool2d", r(2, 3, 8, 7), (3, 2), return_indices=True, **kwargs)
    sample("max_pool3d", r(3, 8, 7, 6), 3, return_indices=True, **kwargs)
for kwargs in ({}, {"padding": 1, "ceil_mode": True}, {"padding": 1, "count_include_pad": False, "stride": 2}):
    sample("avg_pool1d", r(2, 3, 8), 3, **kwargs)
    sample("avg_pool2d", r(2, 3, 8, 7), (3, 2), **kwargs)
    sample("avg_pool3d", r(3, 8, 7, 6), 3, **kwargs)
    sample("avg_pool2d", r(2, 3, 8, 7), (3, 2), divisor_override=5, **kwargs)
for size in (4, 5, 7):
    sample("adaptive_avg_pool1d", r(2, 3, 8), size)
    sample("adaptive_avg_pool2d", r(2, 3, 8, 7), (size, None))
    sample("adaptive_max_pool2d", r(2, 3, 8, 7), (size, 3), return_indices=True)
    sample("adaptive_max_pool3d", r(3, 8, 7, 6), (size, 3, None), return_indices=True)
sample("max_unpool2d", r(1, 2, 2, 2), i([[[[0, 3], [8, 11]], [[5, 6], [9, 14]]]]), 2)
sample("max_unpool1d", r(2, 3), i([[1, 2, 5], [0, 3, 4]]), 2, output_size=(7,))
sample("max_unpool3d", r(1, 1, 1, 1, 2), i([[[[[1, 6]]]]]), (2, 2, 2))
sample("lp_pool2d", r(1, 2, 6, 6, low=0.1), 3, 2)
sample("fractional_max_pool2d", r(2, 3, 9, 8), 2, output_ratio=(0.6, 0.5), _random_samples=r(2, 3, 2, low=0).detach())
for rank in (1, 2, 3):
    spatial = (7, 6, 5)[:rank]
    for kwargs in (
        {},
        {"stride": 2, "padding": 1, "dilation": 2},
        {"groups": 2, "padding": "same"},
        {"padding": "same", "dilation": 2},
    ):
        k = (3, 2, 3)[:rank]
        sample(f"conv{rank}d", r(2, 4, *spatial), r(6, 4 // kwargs.get("groups", 1), *k), r(6), **kwargs)
    for kwargs in (
        {},
        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2},
        {"dilation": 2, "stride": 3, "padding": 4},
    ):
        k = (3, 2, 3)[:rank]
        sample(f"conv_transpose{rank}d", r(2, 4, *spatial), r(4, 3, *k), r(3 * kwargs.get("groups", 1)), **kwargs)
    sample(f"conv{rank}d", r(4, *spatial), r(6, 4, *k))
sample("conv_tbc", r(5, 2, 3), r(2, 3, 4), r(4), 1)
sample("bilinear", r(2, 5, 3), r(2, 5, 4), r(6, 3, 4), r(6))
sample("glu", r(3, 6))
sample("gumbel_softmax", r(3, 4), tau=0.5)
sample("gumbel_softmax", r(3, 4), hard=True, dim=0)
sample("softmin", r(3, 4), 0)
sample("normalize", r(3, 4), p=3, dim=0)
sample("pairwise_distance", r(3, 4), r(3, 4).detach() + 2, p=1.5, keepdim=True)
sample("cosine_similarity", r(3, 4, 2), r(4, 2), dim=-1)
sample("pdist", r(5, 3))
sample("pdist", r(5, 3), 1.0)
for name in ("dropout", "alpha_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d", "dropout3d"):
    shape = {"dropout1d": (2, 3, 4), "dropout3d": (3, 4, 2, 2), "dropout2d": (2, 3, 4, 2)}.get(name, (2, 3, 4))
    sample(name, r(*shape), 0.4, True)
    sample(name, r(*shape), 1.0, True)
    sample(name, r(*shape), 0.4, False)
sample("rrelu", r(3, 4), training=True)
for weight in (None, r(4, low=0.1).detach()):
    for reduction in ("mean", "sum", "none"):
        for smoothing in (0.0, 0.2):
            options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
            sample("cross_entropy", r(3, 4), i(0, 3, 1), **options)
            sample("cross_entropy", r(3, 4, 2), i([0, -100], [3, 1], [2, -100]), **options)
            sample("cross_entropy", r(3, 4, 2), r(3, 4, 2, low=0), **options)
            sample("cross_entropy", r(4), i(2), **options)
            sample("cross_entropy", r(3, 4), i(1, 3, 1), ignore_index=1, **options)
sample("nll_loss", r(2, 4), i(-100, -100))
sample("binary_cross_entropy", r(3, 4, low=0.1, high=0.9), r(3, 4, low=0))
sample("mse_loss", r(3, 4), r(4), weight=r(3, 4, low=0.1).detach())
sample("l1_loss", r(3, 4), r(3, 4), reduction="none")
sample("smooth_l1_loss", r(3, 4), r(3, 4, high=3), beta=0.0)
sample("huber_loss", r(3, 4), r(3, 4, high=3), delta=0.7)
sample("kl_div", r(3, 4), r(3, 4, low=0.1), reduction="batchmean")
sample("kl_div", r(3, 4), r(3, 4), log_target=True, reduction="sum")
sample("multilabel_margin_loss", r(2, 4), i([3, 0, -1, 1], [2, -1, 0, 0]))
sample("multi_margin_loss", r(3, 4), i(0, 3, 1), p=2, margin=0.7, weight=r(4, low=0.1).detach())
sample("triplet_margin_loss", r(3, 4), r(3, 4, high=2), r(3, 4, low=-2), swap=True)
for length in (2, 5):
    sample(
        "ctc_loss",
        r(5, 2, 4).log_softmax(-1).detach().requires_grad_(),
        i([1, 2], [3, 3]),
        i(length, 5),
        i(2, 2),
        zero_infinity=True,
        reduction="none",
    )
sample("ctc_loss", r(5, 2, 4).log_softmax(-1).detach().requires_grad_(), i(1, 2, 3), (5, 4), (2, 1), reduction="sum")
sample("ctc_loss", r(5, 4).log_softmax(-1).detach().requires_grad_(), i(1, 2, 3), i(5), i(3))
for mode in ("sum", "mean", "max"):
    sample("embedding_bag", i(0, 2, 2, 4, 1), r(5, 3), i(0, 2, 2), mode=mode)
    sample("embedding_bag", i([0, 2], [1, 1]), r(5, 3), mode=mode, padding_idx=1)
    sample("embedding_bag", i(0, 2, 2, 4, 1), r(5, 3), i(0, 2, 5), mode=mode, include_last_offset=True)
sample("embedding_bag", i(0, 2, 2, 4, 1), r(5, 3), i(0, 2), mode="sum", per_sample_weights=r(5))
for padding_idx in (None, 2):
    sample("embedding_bag", i(0, 2, 2, 4, 1, 1), r(5, 37), i(0, 0, 4), mode="sum", padding_idx=padding_idx)
    sample(
        "embedding_bag",
        *(i([0, 2], [2, 4]), r(5, 37)),
        mode="sum",
        per_sample_weights=r(2, 2),
        padding_idx=padding_idx,
    )
sample("embedding", i([0, 2], [2, 4]), r(5, 3), padding_idx=-1, scale_grad_by_freq=True)
sample("embedding", i([0, 2], [2, 4]), r(5, 3).detach(), max_norm=0.5)
sample("one_hot", i([0, 2], [1, 1]), 4)
for options in ({}, {"is_causal": True}, {"scale": 0.3}, {"dropout_p": 0.4}):
    sample("scaled_dot_product_attention", r(2, 3, 4, 5), r(2, 3, 6, 5), r(2, 3, 6, 7), **options)
mask = i([True, False, True], [False, False, False])
sample("scaled_dot_product_attention", r(2, 2, 4), r(2, 3, 4), r(2, 3, 4), attn_mask=mask)
sample("scaled_dot_product_attention", r(2, 2, 4), r(2, 3, 4), r(2, 3, 4), attn_mask=r(2, 3))
for options in ({}, {"is_causal": True}, {"attn_mask": i([True], [False])}, {"attn_mask": r(1, 1, 2, 1).detach()}):
    sample("scaled_dot_product_attention", r(1, 6, 2, 4), r(1, 3, 5, 4), r(1, 3, 5, 4), enable_gqa=True, **options)
    sample("scaled_dot_product_attention", r(1, 3, 2, 4), r(1, 3, 5, 4), r(1, 3, 5, 4), **options)
for shape in ((1, 67, 2, 3), (1, 130, 1, 2)):  # more than one block of queries, rows apart from each other
    q, k, v = ((r(*shape) * scale).detach().transpose(1, 2).requires_grad_() for scale in (1, 2, 3))
    sample("scaled_dot_product_attention", q, k, v, is_causal=True)
for training in (True, False):
    sample("batch_norm", r(4, 3, 2), r(3).detach(), r(3, low=0.1).detach(), r(3), r(3), training)
    sample("instance_norm", r(4, 3, 5), r(3).detach(), r(3, low=0.1).detach(), r(3), r(3), training)
sample("group_norm", r(2, 6, 3), 3, r(6), r(6))
sample("rms_norm", r(2, 3, 4), (3, 4), r(3, 4))
sample("layer_norm", r(2, 3, 4), (3, 4), r(3, 4), r(3, 4))
sample("local_response_norm", r(2, 5, 3), 4)


def outputs(library: Any, name: str, args: Any, kwargs: Any) -> list[Any]:
    seeded(0)
    return flat(getattr(library.nn.functional, name)(*args, **kwargs))


def derivatives(library: Any, output: list[Any], leaves: list[Any], order: int) -> list[Any]:
    scalars = [
        (t * library.arange(t.numel(), dtype=t.dtype).reshape(tuple(t.shape)).add(1).sin()).sum()
        for t in output
        if t is not None and t.requires_grad
    ]
    if not scalars or not leaves:
        return []
    first = library.autograd.grad(sum(scalars[1:], scalars[0]), leaves, create_graph=order > 1, allow_unused=True)
    return list(first) if order == 1 else derivatives(library, list(first), leaves, 1)


@pytest.mark.parametrize(("name", "args", "kwargs"), SAMPLES)
def test_like_pytorch(name: str, args: Any, kwargs: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        our_args, our_kwargs = to_bulssi(list(args)), to_bulssi(kwargs)
        leaves = [t for t in flat([list(args), kwargs]) if t.requires_grad]
        our_leaves = [t for t in flat([our_args, our_kwargs]) if t.requires_grad]
        kept = [t.detach().clone() for t in flat([list(args), kwargs])]
        expected = outputs(torch, name, args, kwargs)
        got = outputs(bulssi, name, our_args, our_kwargs)
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            assert_same(a, b, name)
        for changed, mine in zip(flat([list(args), kwargs]), flat([our_args, our_kwargs]), strict=True):
            assert_same(mine, changed, f"{name}: an argument afterwards")
        for t, old in zip(flat([list(args), kwargs]), kept, strict=True):
            with torch.no_grad():
                t.copy_(old)
        for order in (1, 2):
            try:
                want = derivatives(torch, outputs(torch, name, args, kwargs), leaves, order)
            except (RuntimeError, NotImplementedError):
                assert order == 2, name  # torch has no second derivative of some
                continue
            finally:
                for t, old in zip(flat([list(args), kwargs]), kept, strict=True):
                    with torch.no_grad():
                        t.copy_(old)
            mine = derivatives(bulssi, outputs(bulssi, name, our_args, our_kwargs), our_leaves, order)
            if order == 2 and not (mine and want):
                continue
            for number, (a, b) in enumerate(zip(mine, want, strict=True)):
                if order == 2 and (a is None or b is None):
                    continue  # zeros that are not there, in one of the two
                assert_same(a, b, f"{name}: derivative {order} by {number}", factor=10)


def test_binary_cross_entropy_at_the_edges() -> None:
    """Probabilities of 0 and 1 have a cut-off value and PyTorch's slope."""
    probabilities, targets = [0.0, 1.0, 0.0, 1.0, 0.3], [0.0, 1.0, 1.0, 0.0, 0.6]

    def run(library: Any) -> tuple[list[Any], list[Any]]:
        x = library.tensor(probabilities, dtype=library.float64, requires_grad=True)
        loss = library.nn.functional.binary_cross_entropy(
            x, library.tensor(targets, dtype=library.float64), reduction="none"
        )
        loss.sum().backward()
        return loss.tolist(), x.grad.tolist()

    for ours, theirs in zip(run(bulssi), run(torch), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)


def test_kernels_of_attention_are_chosen_in_a_block() -> None:
    from tests.nn import oracle

    def choose(library):
        from importlib import import_module

        attention = import_module(f"{library.__name__}.nn.attention")
        cuda = library.backends.cuda
        out = [cuda.flash_sdp_enabled(), cuda.math_sdp_enabled()]
        with attention.sdpa_kernel([attention.SDPBackend.MATH]):
            out += [cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()]
        cuda.enable_flash_sdp(False)
        out.append(cuda.flash_sdp_enabled())
        cuda.enable_flash_sdp(True)
        out.append(cuda.flash_sdp_enabled())
        return out

    oracle.compare_runs(choose)


REFUSED = {
    "batch_norm of integers": lambda lib, f, x: f.batch_norm(x.long(), lib.zeros(4), lib.ones(4)),
    "batch_norm of another dtype": lambda lib, f, x: lib.nn.BatchNorm1d(4)(x.double()),
    "layer_norm of another dtype": lambda lib, f, x: lib.nn.LayerNorm(4)(x.double()),
    "group_norm of another dtype": lambda lib, f, x: lib.nn.GroupNorm(2, 4, dtype=lib.float64)(x),
    "instance_norm of another dtype": lambda lib, f, x: lib.nn.InstanceNorm1d(4, affine=True)(x.double()),
    "linear without bias": lambda lib, f, x: f.linear(x.double(), lib.ones(3, 4)),
    "linear with bias": lambda lib, f, x: f.linear(x.double(), lib.ones(3, 4), lib.ones(3)),
    "binary_cross_entropy": lambda lib, f, x: f.binary_cross_entropy(lib.full((2,), 0.5), lib.ones(2).double()),
    "kl_div of integers": lambda lib, f, x: f.kl_div(x, x.long(), reduction="sum"),
    "glu of integers": lambda lib, f, x: f.glu(x.long()),
    "adaptive_avg_pool of integers": lambda lib, f, x: f.adaptive_avg_pool2d(x.long(), 3),
    "adaptive_avg_pool to one, of integers": lambda lib, f, x: f.adaptive_avg_pool2d(x.long(), 1),
    "adaptive_max_pool of integers": lambda lib, f, x: f.adaptive_max_pool2d(x.long(), 3),
    "adaptive_avg_pool1d of a number": lambda lib, f, x: f.adaptive_avg_pool1d(x[0, 0, 0], 3),
    "nll_loss of integers": lambda lib, f, x: f.nll_loss(x[0].long(), lib.arange(4)),
    "nll_loss of maps": lambda lib, f, x: f.nll_loss(x[None], lib.zeros(1, 4, 3, dtype=lib.long)),
    "cross_entropy of one class number": lambda lib, f, x: f.cross_entropy(x[0, :1], lib.tensor(1)),
    "cross_entropy of a number": lambda lib, f, x: f.cross_entropy(x[0, 0, 0], lib.zeros(2, dtype=lib.long)),
    "multi_margin_loss of integers": lambda lib, f, x: f.multi_margin_loss(x[0].long(), lib.arange(4)),
    "ctc_loss of lengths": lambda lib, f, x: f.ctc_loss(x, lib.ones(4, 2), lib.ones(4), lib.ones(4)),
    "max_pool2d of nothing": lambda lib, f, x: f.max_pool2d(None, 2),
    "mse_loss of nothing": lambda lib, f, x: f.mse_loss(None, x),
    "cross_entropy of nothing": lambda lib, f, x: f.cross_entropy(None, lib.arange(4)),
    "hinge_embedding_loss without target": lambda lib, f, x: f.hinge_embedding_loss(x, None),
    "pad of a list": lambda lib, f, x: f.pad([1.0], (1, 1)),
    "a layer without input": lambda lib, f, x: lib.nn.AdaptiveAvgPool2d(3)(),
    "a layer with too many options": lambda lib, f, x: lib.nn.ReLU(True, True),
    "an unknown option": lambda lib, f, x: lib.nn.Mish(slope=1),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_as_by_pytorch(what):
    torch = pytest.importorskip("torch")
    errors = []
    for lib in (bulssi, torch):
        x = lib.arange(4.0 * 4 * 4).reshape(4, 4, 4)
        with pytest.raises(Exception) as caught:
            REFUSED[what](lib, lib.nn.functional, x)
        errors.append((caught.type.__name__, str(caught.value).split("\n")[0]))
    if "mse_loss" in what:  # the attribute that is missed first
        errors = [error[:1] for error in errors]
    assert errors[0] == errors[1]


def test_a_hidden_state_of_the_wrong_dtype_is_named():
    with pytest.raises(RuntimeError, match="must have the same dtype, but got Long and Float"):
        bulssi.nn.RNN(2, 3)(bulssi.ones(4, 2, 2), bulssi.ones(1, 2, 3, dtype=bulssi.int64))
