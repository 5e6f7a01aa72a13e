"""The block of vision transformers as VideoMAE and ViViT checkpoints name it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from handlers.models.blocks.tokens import Encoder, Parts, activation, attend, attended


class ViTSelfAttention(nn.Module):
    """Queries, keys and values of all tokens. biased: which of the three have a bias."""

    def __init__(self, width: int, heads: int, biased: tuple[bool, bool, bool]) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"hidden_size: {width} is no multiple of num_attention_heads {heads}")
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias) for bias in biased)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] to the same shape."""
        return attend(self.query(x), self.key(x), self.value(x), self.heads)


class ViTBlock(nn.Module):
    """Layer norm and attention, layer norm and two layers, each around a shortcut."""

    def __init__(
        self, width: int, heads: int, inner: int, act: str, eps: float, biased: tuple[bool, bool, bool]
    ) -> None:
        super().__init__()
        self.layernorm_before = nn.LayerNorm(width, eps)
        inside = ViTSelfAttention(width, heads, biased)
        self.attention = Parts(attention=inside, output=Parts(dense=nn.Linear(width, width)))
        self.layernorm_after = nn.LayerNorm(width, eps)
        self.intermediate = Parts(dense=nn.Linear(width, inner))
        self.activation = activation(act)
        self.output = Parts(dense=nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] to the same shape."""
        x = x + self.attention.output.dense(self.attention.attention(self.layernorm_before(x)))
        inner = self.activation(self.intermediate.dense(self.layernorm_after(x)))
        result: Tensor = x + self.output.dense(inner)
        return result

    def rollout(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """See handlers.models.blocks.tokens.TokenBlock."""
        inside, x = self.attention.attention, self.layernorm_before(tokens)
        return (shares + attended(inside.query(x), inside.key(x), shares, inside.heads)) / 2


def encoder(depth: int, *block: Any) -> Encoder:
    """So many blocks under the public names; block: what each is made of."""
    return Encoder(ViTBlock(*block) for _ in range(depth))
