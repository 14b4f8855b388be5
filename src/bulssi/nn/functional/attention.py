"""Attention."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import bulssi
from bulssi import Tensor
from bulssi.nn._native import native

from ._arguments import in_python
from .activation import dropout
from .padding import pad

if TYPE_CHECKING:
    from typing import Any


scaled_dot_product_attention = native.scaled_dot_product_attention


def _canonical_mask(
    mask: Tensor | None, mask_name: str, other_type: Any, other_name: str, target_type: Any, check_other: bool = True
) -> Tensor | None:
    """A mask as numbers to add: minus infinity where a boolean one is True."""
    if mask is None:
        return None
    is_float = mask.is_floating_point()
    if mask.dtype != bulssi.bool and not is_float:
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype != other_type:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    return mask if is_float else bulssi.zeros_like(mask, dtype=target_type).masked_fill_(mask, float("-inf"))


def _none_or_dtype(input: Tensor | None) -> Any:
    if input is None or isinstance(input, Tensor):
        return None if input is None else input.dtype
    raise RuntimeError("input to _none_or_dtype() must be None or torch.Tensor")


def _resolve_causal(
    mask: Tensor | None, is_causal: bool, hint_is_enough: bool, query: Tensor
) -> tuple[Tensor | None, bool]:
    """The mask as numbers, or none and the hint alone."""
    if is_causal and mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and hint_is_enough:
        return None, True
    return _canonical_mask(mask, "attn_mask", None, "", query.dtype, check_other=False), False


def _check_mha_shapes(
    query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None, attn_mask: Tensor | None, heads: int
) -> bool:
    """Whether the inputs have a batch dimension."""
    dims = query.dim()
    if dims not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {dims}-D query tensor")
    kind = f"For {'batched' if dims == 3 else 'unbatched'} ({dims}-D) `query`, expected"
    if key.dim() != dims or value.dim() != dims:
        raise AssertionError(
            f"{kind} `key` and `value` to be {dims}-D but found {key.dim()}-D and {value.dim()}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != dims - 1:
        raise AssertionError(
            f"{kind} `key_padding_mask` to be `None` or {dims - 1}-D but found {key_padding_mask.dim()}-D tensor "
            "instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                f"{kind} `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead"
            )
        expected = (heads, query.shape[0], key.shape[0])
        if dims == 2 and attn_mask.dim() == 3 and tuple(attn_mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return dims == 3


def _project_packed(q: Tensor, k: Tensor, v: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, ...]:
    """Queries, keys and values from one weight of three times the size; in one product where they are the same."""
    if k.shape != v.shape:
        raise AssertionError(f"key shape {k.shape} does not match value shape {v.shape}")
    if weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    if q is k and k is v:
        return native.linear(q, weight, bias).chunk(3, -1)
    size = q.shape[-1]
    if k is v:
        w_q, w_kv = weight.split([size, 2 * size])
        b_q, b_kv = (None, None) if bias is None else bias.split([size, 2 * size])
        return (native.linear(q, w_q, b_q), *native.linear(k, w_kv, b_kv).chunk(2, -1))
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return tuple(native.linear(x, w, b) for x, w, b in zip((q, k, v), weight.chunk(3), biases, strict=True))


def _project_separate(inputs: Any, weights: Any, bias: Any) -> tuple[Tensor, ...]:
    """Queries, keys and values from a weight each; keys and values may have sizes of their own."""
    _, key, value = inputs
    if key.shape[:2] != value.shape[:2]:
        raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}")
    size = inputs[0].shape[-1]
    biases = (None, None, None) if bias is None else bias.chunk(3)
    for name, x, weight, b in zip(("query", "key", "value"), inputs, weights, biases, strict=True):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name[0]}_proj_weight is None")
        if tuple(weight.shape) != (size, x.shape[-1]):
            raise AssertionError(f"expecting {name} weights shape of {(size, x.shape[-1])}, but got {weight.shape}")
        if b is not None and tuple(b.shape) != (size,):
            raise AssertionError(f"expecting {name} bias shape of {(size,)}, but got {b.shape}")
    return tuple(native.linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))


def _merge_masks(
    attn_mask: Tensor | None, key_padding_mask: Tensor | None, batch: int, heads: int, targets: int, sources: int
) -> Tensor | None:
    """Both masks as one of ``(batch * heads or 1, targets or 1, sources)``, to be added to the scores."""
    if key_padding_mask is None:
        return attn_mask
    for i, expected in enumerate((batch, sources)):
        if key_padding_mask.shape[i] != expected:
            raise AssertionError(
                f"Expected key_padded_mask.shape[{i}] to be {expected}, but got {key_padding_mask.shape[i]}"
            )
    padding = key_padding_mask.reshape(batch, 1, 1, sources).expand(-1, heads, -1, -1)
    padding = padding.reshape(batch * heads, 1, sources)
    return padding if attn_mask is None else attn_mask + padding


def _biases(
    bias_k: Tensor | None, bias_v: Tensor | None, static_k: Tensor | None, static_v: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """The key and the value beside those given, if there are such; then none is static."""
    if bias_k is None or bias_v is None:
        if bias_k is not bias_v:
            raise AssertionError(
                "bias_k is set but bias_v is None" if bias_v is None else "bias_v is set but bias_k is None"
            )
        return None
    if static_k is not None:
        raise AssertionError("bias cannot be added to static key.")
    if static_v is not None:
        raise AssertionError("bias cannot be added to static value.")
    return bias_k, bias_v


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, heads: int, dropout_p: float, is_causal: bool, weigh: bool
) -> tuple[Tensor, Tensor | None]:
    """Attention of ``(batch * heads, length, head_dim)``, and its weights if ``weigh``; without them by the core."""
    rows, targets, head_dim = q.shape
    sources = k.shape[1]
    if weigh:
        scores = bulssi.matmul(q * math.sqrt(1.0 / head_dim), k.transpose(-2, -1))
        weights = (scores if mask is None else scores + mask).softmax(-1)
        if dropout_p > 0:
            weights = dropout(weights, dropout_p)
        return bulssi.matmul(weights, v), weights
    shape = (rows // heads, heads, -1, head_dim)
    if mask is not None:
        mask = mask.unsqueeze(0) if mask.shape[0] == 1 else mask.reshape(rows // heads, heads, -1, sources)
    by_head = (x.reshape(shape) for x in (q, k, v))
    return scaled_dot_product_attention(*by_head, mask, dropout_p, is_causal).reshape(rows, targets, head_dim), None


def _check_static(name: str, static: Tensor, batch_heads: int, head_dim: int) -> Tensor:
    for i, expected in ((0, batch_heads), (2, head_dim)):
        if static.shape[i] != expected:
            raise AssertionError(f"expecting {name}.size({i}) of {expected}, but got {static.shape[i]}")
    return static


def _check_attn_mask(mask: Tensor, rows: int, targets: int, sources: int) -> Tensor:
    if mask.dim() not in (2, 3):
        raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
    expected = (targets, sources) if mask.dim() == 2 else (rows, targets, sources)
    if tuple(mask.shape) != expected:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}.")
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


@in_python
def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of several heads, with the projections before and after it: see ``nn.MultiheadAttention``.

    Inputs are ``(L, N, E)``, ``(S, N, Ek)``, ``(S, N, Ev)``, or without ``N``. Returns the output and, if needed, the
    weights ``(N, L, S)`` averaged over the heads or ``(N, heads, L, S)``.
    """
    batched = _check_mha_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same = query is key, key is value
        query = query.unsqueeze(1)
        key = query if same[0] else key.unsqueeze(1)
        value = key if same[1] else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    targets, batch, size = query.shape
    key_padding_mask = _canonical_mask(
        key_padding_mask, "key_padding_mask", _none_or_dtype(attn_mask), "attn_mask", query.dtype
    )
    attn_mask, is_causal = _resolve_causal(attn_mask, is_causal, key_padding_mask is None and not need_weights, query)
    if size != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {size}")
    head_dim = size // num_heads
    if head_dim * num_heads != size:
        raise AssertionError(f"embed_dim {size} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _project_separate((query, key, value), weights, in_proj_bias)
    else:
        q, k, v = _project_packed(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None:
        attn_mask = _check_attn_mask(attn_mask, batch * num_heads, targets, key.shape[0])
    extra = 0  # keys and values that are there for every query, seen through no mask
    biases = _biases(bias_k, bias_v, static_k, static_v)
    if biases is not None:
        k, v = (bulssi.cat([x, bias.repeat(1, batch, 1)]) for x, bias in zip((k, v), biases, strict=True))
        extra += 1
    rows = batch * num_heads

    def by_head(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], rows, head_dim).transpose(0, 1)

    q = by_head(q)
    k = by_head(k) if static_k is None else _check_static("static_k", static_k, rows, head_dim)
    v = by_head(v) if static_v is None else _check_static("static_v", static_v, rows, head_dim)
    if add_zero_attn:
        k, v = (bulssi.cat([x, x.new_zeros((rows, 1, head_dim))], 1) for x in (k, v))
        extra += 1
    if extra:
        attn_mask = None if attn_mask is None else pad(attn_mask, (0, extra))
        key_padding_mask = None if key_padding_mask is None else pad(key_padding_mask, (0, extra))
    sources = k.shape[1]
    mask = _merge_masks(attn_mask, key_padding_mask, batch, num_heads, targets, sources)
    out, weights = _attend(q, k, v, mask, num_heads, dropout_p if training else 0.0, is_causal, need_weights)
    out = native.linear(out.transpose(0, 1).reshape(targets * batch, size), out_proj_weight, out_proj_bias)
    out = out.reshape(targets, batch, out.shape[1])
    if weights is not None:
        weights = weights.reshape(batch, num_heads, targets, sources)
        if average_attn_weights:
            weights = weights.mean(1)
    if batched:
        return out, weights
    return out.squeeze(1), None if weights is None else weights.squeeze(0)
