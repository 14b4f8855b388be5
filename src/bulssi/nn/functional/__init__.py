"""Layers, activations, losses and the like as functions: parameters are arguments."""

from .activation import (
    alpha_dropout as alpha_dropout,
)
from .activation import (
    celu as celu,
)
from .activation import (
    celu_ as celu_,
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
    elu_ as elu_,
)
from .activation import (
    feature_alpha_dropout as feature_alpha_dropout,
)
from .activation import (
    gelu as gelu,
)
from .activation import (
    glu as glu,
)
from .activation import (
    gumbel_softmax as gumbel_softmax,
)
from .activation import (
    hardshrink as hardshrink,
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
    hardtanh_ as hardtanh_,
)
from .activation import (
    leaky_relu as leaky_relu,
)
from .activation import (
    leaky_relu_ as leaky_relu_,
)
from .activation import (
    log_softmax as log_softmax,
)
from .activation import (
    logsigmoid as logsigmoid,
)
from .activation import (
    mish as mish,
)
from .activation import (
    prelu as prelu,
)
from .activation import (
    relu as relu,
)
from .activation import (
    relu6 as relu6,
)
from .activation import (
    relu_ as relu_,
)
from .activation import (
    rrelu as rrelu,
)
from .activation import (
    rrelu_ as rrelu_,
)
from .activation import (
    selu as selu,
)
from .activation import (
    selu_ as selu_,
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
    softplus as softplus,
)
from .activation import (
    softshrink as softshrink,
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
from .activation import (
    threshold_ as threshold_,
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
from .linear import (
    bilinear as bilinear,
)
from .linear import (
    linear as linear,
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
