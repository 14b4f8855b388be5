"""Layers, activations, losses and the like as functions: parameters are arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulssi import _core

from .activation import (
    alpha_dropout as alpha_dropout,
)
from .activation import (
    celu as celu,
)
from .activation import (
    dropout as dropout,
)
from .activation import (
    dropout1d as dropout1d,
)
from .activation import (
    dropout2d as dropout2d,
)
from .activation import (
    dropout3d as dropout3d,
)
from .activation import (
    elu as elu,
)
from .activation import (
    feature_alpha_dropout as feature_alpha_dropout,
)
from .activation import (
    glu as glu,
)
from .activation import (
    gumbel_softmax as gumbel_softmax,
)
from .activation import (
    hardsigmoid as hardsigmoid,
)
from .activation import (
    hardswish as hardswish,
)
from .activation import (
    hardtanh as hardtanh,
)
from .activation import (
    leaky_relu as leaky_relu,
)
from .activation import (
    log_softmax as log_softmax,
)
from .activation import (
    mish as mish,
)
from .activation import (
    relu as relu,
)
from .activation import (
    relu6 as relu6,
)
from .activation import (
    rrelu as rrelu,
)
from .activation import (
    selu as selu,
)
from .activation import (
    sigmoid as sigmoid,
)
from .activation import (
    silu as silu,
)
from .activation import (
    softmax as softmax,
)
from .activation import (
    softmin as softmin,
)
from .activation import (
    softsign as softsign,
)
from .activation import (
    tanh as tanh,
)
from .activation import (
    tanhshrink as tanhshrink,
)
from .activation import (
    threshold as threshold,
)
from .attention import (
    _canonical_mask as _canonical_mask,
)
from .attention import (
    _none_or_dtype as _none_or_dtype,
)
from .attention import (
    multi_head_attention_forward as multi_head_attention_forward,
)
from .attention import (
    scaled_dot_product_attention as scaled_dot_product_attention,
)
from .conv import (
    conv1d as conv1d,
)
from .conv import (
    conv2d as conv2d,
)
from .conv import (
    conv3d as conv3d,
)
from .conv import (
    conv_tbc as conv_tbc,
)
from .conv import (
    conv_transpose1d as conv_transpose1d,
)
from .conv import (
    conv_transpose2d as conv_transpose2d,
)
from .conv import (
    conv_transpose3d as conv_transpose3d,
)
from .conv import (
    fold as fold,
)
from .conv import (
    unfold as unfold,
)
from .ctc import (
    ctc_loss as ctc_loss,
)
from .distance import (
    cosine_similarity as cosine_similarity,
)
from .distance import (
    normalize as normalize,
)
from .distance import (
    pairwise_distance as pairwise_distance,
)
from .distance import (
    pdist as pdist,
)
from .loss import (
    binary_cross_entropy as binary_cross_entropy,
)
from .loss import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from .loss import (
    cosine_embedding_loss as cosine_embedding_loss,
)
from .loss import (
    cross_entropy as cross_entropy,
)
from .loss import (
    gaussian_nll_loss as gaussian_nll_loss,
)
from .loss import (
    hinge_embedding_loss as hinge_embedding_loss,
)
from .loss import (
    huber_loss as huber_loss,
)
from .loss import (
    kl_div as kl_div,
)
from .loss import (
    l1_loss as l1_loss,
)
from .loss import (
    linear_cross_entropy as linear_cross_entropy,
)
from .loss import (
    margin_ranking_loss as margin_ranking_loss,
)
from .loss import (
    mse_loss as mse_loss,
)
from .loss import (
    multi_margin_loss as multi_margin_loss,
)
from .loss import (
    multilabel_margin_loss as multilabel_margin_loss,
)
from .loss import (
    multilabel_soft_margin_loss as multilabel_soft_margin_loss,
)
from .loss import (
    nll_loss as nll_loss,
)
from .loss import (
    poisson_nll_loss as poisson_nll_loss,
)
from .loss import (
    smooth_l1_loss as smooth_l1_loss,
)
from .loss import (
    soft_margin_loss as soft_margin_loss,
)
from .loss import (
    triplet_margin_loss as triplet_margin_loss,
)
from .loss import (
    triplet_margin_with_distance_loss as triplet_margin_with_distance_loss,
)
from .normalization import (
    batch_norm as batch_norm,
)
from .normalization import (
    group_norm as group_norm,
)
from .normalization import (
    instance_norm as instance_norm,
)
from .normalization import (
    local_response_norm as local_response_norm,
)
from .normalization import (
    rms_norm as rms_norm,
)
from .padding import (
    pad as pad,
)
from .pixelshuffle import (
    channel_shuffle as channel_shuffle,
)
from .pixelshuffle import (
    native_channel_shuffle as native_channel_shuffle,
)
from .pixelshuffle import (
    pixel_shuffle as pixel_shuffle,
)
from .pixelshuffle import (
    pixel_unshuffle as pixel_unshuffle,
)
from .pooling import (
    adaptive_avg_pool1d as adaptive_avg_pool1d,
)
from .pooling import (
    adaptive_avg_pool2d as adaptive_avg_pool2d,
)
from .pooling import (
    adaptive_avg_pool3d as adaptive_avg_pool3d,
)
from .pooling import (
    adaptive_max_pool1d as adaptive_max_pool1d,
)
from .pooling import (
    adaptive_max_pool1d_with_indices as adaptive_max_pool1d_with_indices,
)
from .pooling import (
    adaptive_max_pool2d as adaptive_max_pool2d,
)
from .pooling import (
    adaptive_max_pool2d_with_indices as adaptive_max_pool2d_with_indices,
)
from .pooling import (
    adaptive_max_pool3d as adaptive_max_pool3d,
)
from .pooling import (
    adaptive_max_pool3d_with_indices as adaptive_max_pool3d_with_indices,
)
from .pooling import (
    avg_pool1d as avg_pool1d,
)
from .pooling import (
    avg_pool2d as avg_pool2d,
)
from .pooling import (
    avg_pool3d as avg_pool3d,
)
from .pooling import (
    fractional_max_pool2d as fractional_max_pool2d,
)
from .pooling import (
    fractional_max_pool2d_with_indices as fractional_max_pool2d_with_indices,
)
from .pooling import (
    fractional_max_pool3d as fractional_max_pool3d,
)
from .pooling import (
    fractional_max_pool3d_with_indices as fractional_max_pool3d_with_indices,
)
from .pooling import (
    lp_pool1d as lp_pool1d,
)
from .pooling import (
    lp_pool2d as lp_pool2d,
)
from .pooling import (
    lp_pool3d as lp_pool3d,
)
from .pooling import (
    max_pool1d as max_pool1d,
)
from .pooling import (
    max_pool1d_with_indices as max_pool1d_with_indices,
)
from .pooling import (
    max_pool2d as max_pool2d,
)
from .pooling import (
    max_pool2d_with_indices as max_pool2d_with_indices,
)
from .pooling import (
    max_pool3d as max_pool3d,
)
from .pooling import (
    max_pool3d_with_indices as max_pool3d_with_indices,
)
from .pooling import (
    max_unpool1d as max_unpool1d,
)
from .pooling import (
    max_unpool2d as max_unpool2d,
)
from .pooling import (
    max_unpool3d as max_unpool3d,
)
from .products import (
    bilinear as bilinear,
)
from .sparse import (
    embedding as embedding,
)
from .sparse import (
    embedding_bag as embedding_bag,
)
from .sparse import (
    one_hot as one_hot,
)
from .vision import (
    affine_grid as affine_grid,
)
from .vision import (
    grid_sample as grid_sample,
)
from .vision import (
    interpolate as interpolate,
)
from .vision import (
    upsample as upsample,
)
from .vision import (
    upsample_bilinear as upsample_bilinear,
)
from .vision import (
    upsample_nearest as upsample_nearest,
)

if TYPE_CHECKING:
    from typing import Any

# Functions that are the core's own, taken from it when they are first looked at.
_FROM_CORE = (
    "celu_",
    "elu_",
    "gelu",
    "hardshrink",
    "hardtanh_",
    "layer_norm",
    "leaky_relu_",
    "linear",
    "logsigmoid",
    "prelu",
    "relu_",
    "rrelu_",
    "selu_",
    "softplus",
    "softshrink",
    "threshold_",
)


def __getattr__(name: str) -> Any:
    if name not in _FROM_CORE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_core, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_FROM_CORE})
