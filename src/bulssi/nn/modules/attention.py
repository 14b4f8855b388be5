"""Attention of several heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bulssi
from bulssi.nn import functional as F
from bulssi.nn import init
from bulssi.nn.parameter import Parameter

from .linear import NonDynamicallyQuantizableLinear
from .module import Module

if TYPE_CHECKING:
    from typing import Any

    from bulssi import Tensor

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Queries look at keys and take their values, in ``num_heads`` subspaces at once (Vaswani et al. 2017).

    Args:
        embed_dim: the size of queries and outputs; divided among the heads.
        num_heads: how many heads.
        dropout: probability of dropping an attention weight, in training.
        bias: add learned numbers in the projections.
        add_bias_kv: add a learned key and value to the sequence.
        add_zero_attn: add a key and value of zeros to the sequence.
        kdim, vdim: the sizes of keys and values, ``embed_dim`` when None.
        batch_first: sequences are ``(N, L, E)`` instead of ``(L, N, E)``.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} "
                "instead"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(
                f"embed_dim must be divisible by num_heads (embed_dim = {embed_dim}, num_heads = {num_heads})"
            )

        def learned(*shape: int) -> Parameter:
            return Parameter(bulssi.empty(shape, device=device, dtype=dtype))

        separate = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        if self._qkv_same_embed_dim:
            self.in_proj_weight = learned(3 * embed_dim, embed_dim)
        for name, size in separate.items():
            self.register_parameter(name, None if self._qkv_same_embed_dim else learned(embed_dim, size))
        if not self._qkv_same_embed_dim:
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", learned(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.bias_k = learned(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = learned(1, 1, embed_dim) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("_qkv_same_embed_dim", True)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            query, key, value: ``(L, N, embed_dim)``, ``(S, N, kdim)``, ``(S, N, vdim)``, or without N.
            key_padding_mask: ``(N, S)``; True, or minus infinity, at keys that are not there.
            need_weights: return the weights too.
            attn_mask: ``(L, S)`` or ``(N * num_heads, L, S)``; True where attention is forbidden, or numbers to add.
            average_attn_weights: average the returned weights over the heads.
            is_causal: ``attn_mask`` is the causal one; a hint.
        """
        batched = query.dim() == 3
        if attn_mask is not None or key_padding_mask is not None:
            key_padding_mask = F._canonical_mask(
                key_padding_mask, "key_padding_mask", F._none_or_dtype(attn_mask), "attn_mask", query.dtype
            )
            attn_mask = F._canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, check_other=False)
        if self.batch_first and batched:
            # Inputs that are one tensor stay one, so that they are projected in one product.
            same_key, same_value = query is key, key is value
            query = query.transpose(1, 0)
            new_key = query if same_key else key.transpose(1, 0)
            value = new_key if same_value else value.transpose(1, 0)
            key = new_key
        output, weights = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (output.transpose(1, 0) if self.batch_first and batched else output), weights


MultiheadAttention.__module__ = "bulssi.nn.modules.activation"  # where PyTorch's files say that it is
