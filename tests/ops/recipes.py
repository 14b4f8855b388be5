"""Arguments for the operations whose arguments must fit together: products, indices, new shapes, convolutions.

A recipe returns a list of calls: a tuple of positional arguments, or `of(...)` with keywords too.
"""

from __future__ import annotations

import math
from typing import Any

import bulssi

from .operations import Draw, of, recipe

# ---- Products -----------------------------------------------------------------------------------------------------


@recipe("mm", "matmul", "__matmul__")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(4, 5))]


@recipe("bmm")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 4), draw(2, 4, 5))]


@recipe("mv")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(4))]


@recipe("dot", "vdot", "outer", "ger", "inner")
def _(draw: Draw) -> list[Any]:
    return [(draw(4), draw(4))]


@recipe("addmm")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 5), draw(3, 4), draw(4, 5)), of(draw(5), draw(3, 4), draw(4, 5), beta=0.5, alpha=2)]


@recipe("addbmm")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 5), draw(2, 3, 4), draw(2, 4, 5))]


@recipe("baddbmm")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 5), draw(2, 3, 4), draw(2, 4, 5))]


@recipe("addmv")
def _(draw: Draw) -> list[Any]:
    return [(draw(3), draw(3, 4), draw(4))]


@recipe("addr")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(3), draw(4))]


@recipe("linear")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(5, 4)), (draw(2, 3, 4), draw(5, 4), draw(5))]


@recipe("bilinear")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(3, 5), draw(2, 4, 5), draw(2))]


@recipe("einsum")
def _(draw: Draw) -> list[Any]:
    return [("ij,jk->ik", [draw(3, 4), draw(4, 5)]), ("bii->b", [draw(2, 3, 3)])]


@recipe("contract")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(4, 2), [1], [0]), (draw(3, 4), draw(3, 4), [0, 1], [0, 1])]


@recipe("multi_dot", "chain_matmul")
def _(draw: Draw) -> list[Any]:
    return [([draw(3, 4), draw(4, 2), draw(2, 5)],)]


@recipe("matrix_power")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 3), 3)]


@recipe("kron")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(2, 4))]


@recipe("cdist")
def _(draw: Draw) -> list[Any]:
    of_norms = [(draw(3, 4), draw(2, 4), p) for p in (0.0, 1.0, 1.5, 2.0, 3.0, math.inf)]
    return [*of_norms, (draw(2, 1, 3, 4), draw(5, 2, 4))]


@recipe("cross")
def _(draw: Draw) -> list[Any]:
    return [of(draw(2, 3), draw(2, 3), dim=1)]


@recipe("trace", "diagonal", "triu", "tril")
def _(draw: Draw) -> list[Any]:
    return [of(draw(4, 4))]


# ---- Shapes -------------------------------------------------------------------------------------------------------


@recipe("view", "reshape")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [2, -1]), (draw(3, 4), [12])]


@recipe("view_as", "reshape_as")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(2, 6))]


@recipe("expand", "broadcast_to")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 1), [2, 3, 4])]


@recipe("expand_as")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 1), draw(2, 3, 4))]


@recipe("permute")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 4), [2, 0, 1])]


@recipe("transpose", "swapaxes", "swapdims", "movedim", "moveaxis")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 4), 0, 2)]


@recipe("t", "adjoint", "mT", "mH")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4),)]


@recipe("squeeze")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 1, 4),), (draw(3, 1, 4), 1)]


@recipe("unflatten")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 1, [2, 2])]


@recipe("narrow", "narrow_copy")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 1, 1, 2)]


@recipe("select")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 1, -1)]


@recipe("slice")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 1, 0, 4, 2), (draw(3, 4), 0, 1, 2, 1)]


@recipe("split", "chunk", "tensor_split", "split_with_sizes", "hsplit", "vsplit", "dsplit")
def _(draw: Draw) -> list[Any]:
    return [(draw(4, 4, 4), 2)]


@recipe("split_with_sizes")
def _(draw: Draw) -> list[Any]:
    return [(draw(4, 3), [1, 3])]


@recipe("as_strided_scatter")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(2, 3), [2, 3], [4, 1], 1)]


@recipe("sum_to_size")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 4), [3, 1]), (draw(3, 4), [3, 4])]


@recipe("empty_permuted")
def _(draw: Draw) -> list[Any]:
    return [([2, 3, 4], [0, 2, 1])]


@recipe("narrow.1")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 1, bulssi.tensor(1), 2)]


@recipe("as_strided")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [2, 3], [4, 1], 1)]


@recipe("unfold")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 5), 1, 3, 1)]


@recipe("repeat", "tile")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [2, 1, 2])]


@recipe("repeat_interleave")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 2), (draw(3, 4), bulssi.tensor([1, 0, 2]), 0)]


@recipe("roll")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [1, 2], [0, 1])]


@recipe("flip")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [0, 1])]


@recipe("rot90")
def _(draw: Draw) -> list[Any]:
    return [of(draw(3, 4))]


@recipe("block_diag", "cartesian_prod", "broadcast_tensors")
def _(draw: Draw) -> list[Any]:
    return [(draw(3), draw(3))]


@recipe("atleast_1d", "atleast_2d", "atleast_3d")
def _(draw: Draw) -> list[Any]:
    return [(draw(3),)]


@recipe("atleast_1d.1", "atleast_2d.1", "atleast_3d.1")
def _(draw: Draw) -> list[Any]:
    return [([draw(3), draw(2, 3)],)]


@recipe("constant_pad_nd", "pad")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [1, 2])]


@recipe("diag_embed", "diag", "diagflat")
def _(draw: Draw) -> list[Any]:
    return [(draw(4),)]


@recipe("diagonal_scatter")
def _(draw: Draw) -> list[Any]:
    return [(draw(4, 4), draw(4))]


@recipe("select_scatter")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(4), 0, 1)]


@recipe("slice_scatter")
def _(draw: Draw) -> list[Any]:
    return [of(draw(3, 4), draw(1, 4), dim=0, start=1, end=2)]


# ---- Indices ------------------------------------------------------------------------------------------------------


@recipe("gather")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 1, draw.index(4, 3, 2))]


@recipe("scatter")
def _(draw: Draw) -> list[Any]:
    once = bulssi.tensor([[2, 0, 1, 0], [0, 1, 2, 2]])  # no place twice: which value stays would be undefined
    return [(draw(3, 4), 0, once, draw(2, 4))]


@recipe("scatter_add")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 0, draw.index(3, 5, 4), draw(5, 4))]


@recipe("scatter_reduce")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 0, draw.index(3, 2, 4), draw(2, 4), how) for how in ("sum", "prod", "mean", "amax", "amin")]


@recipe("index_select")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 1, draw.index(4, 5))]


@recipe("index_add")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 0, draw.index(3, 5), draw(5, 4))]


@recipe("index_copy")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 0, bulssi.tensor([2, 0]), draw(2, 4))]


@recipe("index_fill")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 0, draw.index(3, 2), 1.5)]


@recipe("index_reduce")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 0, draw.index(3, 5), draw(5, 4), "amax")]


@recipe("index")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [draw.index(3, 5)])]


@recipe("index_put", "_unsafe_index_put")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [draw.index(3, 5)], draw(5, 4), True)]


@recipe("take")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw.index(12, 2, 3))]


@recipe("put")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw.index(12, 2, 3), draw(2, 3), True)]


@recipe("take_along_dim")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw.index(4, 3, 2), 1)]


@recipe("masked_fill")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw.mask(3, 4), 1.5), (draw(3, 4), draw.mask(4), draw())]


@recipe("masked_scatter")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw.mask(3, 4), draw(3, 4))]


@recipe("where")
def _(draw: Draw) -> list[Any]:
    return [(draw.mask(3, 4), draw(3, 4), draw(4))]


@recipe("where.2")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw.mask(3, 4), draw(4))]


@recipe("where.3")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw.mask(3, 4), 0.5)]


@recipe("embedding")
def _(draw: Draw) -> list[Any]:
    return [(draw(5, 4), draw.index(5, 2, 3))]


@recipe("embedding_dense_backward")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 4), draw.index(5, 2, 3), 5, -1, False)]


@recipe("embedding_bag")
def _(draw: Draw) -> list[Any]:
    return [of(draw.index(5, 2, 3), draw(5, 4))]


@recipe("_bag_sums")
def _(draw: Draw) -> list[Any]:
    bounds = bulssi.tensor([0, 2, 2, 6])
    weighted = (draw(5, 20), draw.index(5, 6), bounds, draw(6), False, -1, False, False)
    return [weighted, (draw(5, 20), draw.index(5, 6), bounds, None, True, 2, True, False)]


@recipe("_resample")
def _(draw: Draw) -> list[Any]:
    index, weight = draw.index(4, 2, 7), draw(2, 7)
    return [(draw(3, 4), 1, index, weight), (draw(3, 4, 20), 1, index, weight)]


@recipe("one_hot")
def _(draw: Draw) -> list[Any]:
    return [(draw.index(5, 2, 3), 5)]


@recipe("bincount")
def _(draw: Draw) -> list[Any]:
    return [(draw.index(5, 20),)]


@recipe("searchsorted")
def _(draw: Draw) -> list[Any]:
    return [(draw(8).sort()[0], draw(3, 4))]


@recipe("bucketize")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(8).sort()[0])]


@recipe("isin")
def _(draw: Draw) -> list[Any]:
    return [(draw.index(5, 3, 4), draw.index(5, 2))]


@recipe("topk", "kthvalue")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 5), 2)]


@recipe("histc")
def _(draw: Draw) -> list[Any]:
    return [(draw(20), 5)]


@recipe("fill")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw())]


@recipe("combinations", "histogram.1")
def _(draw: Draw) -> list[Any]:
    return [(draw(5),)]


@recipe("histogram")
def _(draw: Draw) -> list[Any]:
    return [(draw(20), bulssi.tensor([-1.0, 0.0, 1.0], dtype=bulssi.float64))]


@recipe("_cross_entropy", "_nll")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 5), draw.index(5, 3))]


@recipe("norm.1")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), "fro"), (draw(3, 4), "nuc")]


@recipe("meshgrid")
def _(draw: Draw) -> list[Any]:
    return [of([draw(3), draw(4)], indexing="ij")]


@recipe("_meshgrid")
def _(draw: Draw) -> list[Any]:
    return [([draw(3), draw(4)], "ij")]


@recipe("empty_strided")
def _(draw: Draw) -> list[Any]:
    return [([3, 4], [4, 1])]


@recipe("new_empty_strided")
def _(draw: Draw) -> list[Any]:
    return [(draw(2), [3, 4], [4, 1])]


@recipe("range")
def _(draw: Draw) -> list[Any]:
    return [(0, 5)]


@recipe("cuda")
def _(draw: Draw) -> list[Any]:
    return []  # there is no such device to go to


@recipe("div.1")
def _(draw: Draw) -> list[Any]:
    return [of(draw(3, 4), draw(3, 4), rounding_mode=mode) for mode in (None, "floor", "trunc")]


@recipe("div.2")
def _(draw: Draw) -> list[Any]:
    return [of(draw(3, 4), 0.7, rounding_mode=mode) for mode in (None, "floor", "trunc")]


@recipe("pow", "float_power")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=0.5, high=2.0), draw(3, 4))]


@recipe(*(f"chebyshev_polynomial_{letter}" for letter in "tuvw"))
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=-1.5, high=1.5), draw.index(12, 4))]


@recipe(*(f"shifted_chebyshev_polynomial_{letter}" for letter in "tuvw"))
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=-0.25, high=1.25), draw.index(12, 4))]


@recipe("hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=-1.5, high=1.5), draw.index(12, 4))]


@recipe("logit")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=0.1, high=0.9),)]


@recipe("mvlgamma", "special_multigammaln")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=2.0, high=4.0), 2)]


@recipe("gelu")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4),), of(draw(3, 4), approximate="tanh")]


# ---- Reductions with an argument that has no usual value ----------------------------------------------------------


@recipe("renorm")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 2, 0, 1.0)]


@recipe("quantile", "nanquantile")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 5), 0.3, 1)]


@recipe("clamp", "clip")
def _(draw: Draw) -> list[Any]:
    middle = (draw.low + draw.high) / 2
    return [of(draw(3, 4), min=middle), of(draw(3, 4), draw(3, 4), draw(4))]


# ---- Layers -------------------------------------------------------------------------------------------------------


@recipe("layer_norm", "rms_norm")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), [4]), (draw(2, 3, 4), [4], draw(4))]


@recipe("group_norm")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 4, 3), 2), (draw(2, 4, 3), 2, draw(4), draw(4))]


@recipe("_norm_channels")
def _(draw: Draw) -> list[Any]:
    # A mean and a variance that are given are constants to the derivatives, as a layer's running statistics are.
    return [(draw(2, 4, 3), draw(4), draw(4), None, None, groups, 1e-5) for groups in (0, 2)]


@recipe("batch_norm", "instance_norm")
def _(draw: Draw) -> list[Any]:
    return [of(draw(3, 4, 2), None, None, draw(4), draw(4), True)]


@recipe("conv1d")
def _(draw: Draw) -> list[Any]:
    return [of(draw(2, 3, 7), draw(4, 3, 3), draw(4), stride=2, padding=1)]


@recipe("conv2d")
def _(draw: Draw) -> list[Any]:
    return [
        of(draw(2, 4, 6, 5), draw(6, 2, 3, 3), draw(6), padding=1, groups=2),
        of(draw(1, 2, 5, 5), draw(3, 2, 2, 2)),
    ]


@recipe("conv3d")
def _(draw: Draw) -> list[Any]:
    return [of(draw(1, 2, 4, 4, 4), draw(3, 2, 2, 2, 2))]


@recipe("conv_transpose1d")
def _(draw: Draw) -> list[Any]:
    return [of(draw(2, 3, 5), draw(3, 4, 3), draw(4), stride=2)]


@recipe("conv_transpose2d")
def _(draw: Draw) -> list[Any]:
    return [of(draw(2, 3, 4, 4), draw(3, 2, 3, 3), draw(2), stride=2, padding=1)]


@recipe("conv_transpose3d")
def _(draw: Draw) -> list[Any]:
    return [of(draw(1, 2, 3, 3, 3), draw(2, 2, 2, 2, 2))]


@recipe("convolution")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 4, 6, 5), draw(6, 2, 3, 3), draw(6), [1, 1], [1, 1], [1, 1], False, [0, 0], 2)]


@recipe("max_pool1d", "avg_pool1d", "max_pool1d_with_indices")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 8), [2])]


@recipe("max_pool2d", "avg_pool2d", "max_pool2d_with_indices")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 6, 6), [2, 3])]


@recipe("max_pool3d", "avg_pool3d", "max_pool3d_with_indices")
def _(draw: Draw) -> list[Any]:
    return [(draw(1, 2, 4, 4, 4), [2, 2, 2])]


@recipe("adaptive_avg_pool1d", "adaptive_max_pool1d")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 8), [3])]


@recipe("adaptive_avg_pool2d", "adaptive_max_pool2d")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 6, 5), [3, 2])]


@recipe("adaptive_avg_pool3d", "adaptive_max_pool3d")
def _(draw: Draw) -> list[Any]:
    return [(draw(1, 2, 4, 4, 4), [2, 3, 2])]


@recipe("scaled_dot_product_attention")
def _(draw: Draw) -> list[Any]:
    q, k, v = draw(2, 3, 5, 4), draw(2, 3, 6, 4), draw(2, 3, 6, 4)
    return [(q, k, v), of(q, k, v, is_causal=True), of(q, k, v, attn_mask=draw.mask(5, 6) | bulssi.eye(5, 6).bool())]


@recipe("glu")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 1)]


@recipe("prelu")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(4))]


@recipe("cross_entropy", "nll_loss", "multi_margin_loss")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 5), draw.index(5, 3)), of(draw(3, 5), draw.index(5, 3), reduction="none")]


@recipe("binary_cross_entropy")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=0.1, high=0.9), draw(3, 4, low=0.1, high=0.9))]


@recipe("pixel_shuffle")
def _(draw: Draw) -> list[Any]:
    return [(draw(1, 8, 3, 2), 2)]


@recipe("pixel_unshuffle")
def _(draw: Draw) -> list[Any]:
    return [(draw(1, 2, 6, 4), 2)]


@recipe("max_pool")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 6, 6), [2, 3], [2, 3], [0, 0], [1, 1], [3, 2], True)]


@recipe("avg_pool")
def _(draw: Draw) -> list[Any]:
    return [(draw(2, 3, 6, 6), [2, 3], [2, 3], [0, 0], [3, 2], True, None)]


@recipe("rnn_layer")
def _(draw: Draw) -> list[Any]:
    x, h = draw(3, 2, 4), draw(2, 5)
    return [
        ("LSTM", x, None, h, draw(2, 5), draw(20, 4), draw(20, 5), draw(20), draw(20)),
        ("GRU", draw(3, 4), [2, 1], h, None, draw(15, 4), draw(15, 5), draw(15), draw(15), None, True),
        ("RNN_TANH", x, None, h, None, draw(5, 4), draw(5, 5)),
    ]


@recipe("bernoulli")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=0.0, high=1.0),)]


@recipe("bernoulli_")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(3, 4, low=0.0, high=1.0))]


@recipe("random_")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 2, 7)]


@recipe("random_.1", "randint_like")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 7)]


@recipe("random_.2")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4),)]


@recipe("randint_like.1")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 2, 7)]


@recipe("randint.1")
def _(draw: Draw) -> list[Any]:
    return [(2, 7, (3, 4))]


@recipe("normal")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), draw(3, 4, low=0.5, high=2.0))]


@recipe("normal.1")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4), 0.5)]


@recipe("normal.2")
def _(draw: Draw) -> list[Any]:
    return [(0.5, draw(3, 4, low=0.5, high=2.0))]


@recipe("normal.3")
def _(draw: Draw) -> list[Any]:
    return [(0.5, 2.0, (3, 4))]


@recipe("poisson")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=0.5, high=9.0),)]


@recipe("resize_")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4).clone(), [2, 3])]


@recipe("multinomial")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=0.1, high=1.0), 2)]


@recipe("arange", "randperm", "eye")
def _(draw: Draw) -> list[Any]:
    return [(5,)]


@recipe("linspace", "logspace")
def _(draw: Draw) -> list[Any]:
    return [(0.0, 1.0, 5), of(2, -3, 1, dtype=bulssi.int64), of(-2.5, 3.5, 7, dtype=bulssi.int64)]


@recipe("linspace.1", "logspace.1")
def _(draw: Draw) -> list[Any]:
    return [(draw(), draw(), 5)]


@recipe("linspace.2", "logspace.2")
def _(draw: Draw) -> list[Any]:
    return [(draw(), 1.0, 5)]


@recipe("linspace.3", "logspace.3")
def _(draw: Draw) -> list[Any]:
    return [(0.0, draw(), 5)]


@recipe("randint")
def _(draw: Draw) -> list[Any]:
    return [(10, (3, 4))]


@recipe("_standard_gamma_grad")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=0.5, high=20.0), draw(3, 4, low=0.5, high=20.0))]


@recipe("_dirichlet_grad")
def _(draw: Draw) -> list[Any]:
    return [(draw(3, 4, low=0.1, high=0.9), draw(3, 4, low=0.5, high=5.0), draw(3, 4, low=6.0, high=9.0))]
