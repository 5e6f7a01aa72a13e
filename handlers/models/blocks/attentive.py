"""The blocks of V-JEPA 2: rotary attention in the encoder, self-attention and one question to all in the pooler."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from handlers.models.blocks.rotary import RotaryAttention
from handlers.models.blocks.tokens import Parts, activation, attend, attended


def mlp(width: int, ratio: float, act: str) -> Parts:
    """Two layers under the public names."""
    inner = int(width * ratio)
    return Parts(fc1=nn.Linear(width, inner), activation=activation(act), fc2=nn.Linear(inner, width))


class EncoderBlock(nn.Module):
    """Rotary attention and two layers, each behind a layer norm and around a shortcut."""

    def __init__(
        self, width: int, heads: int, ratio: float, act: str, eps: float, biased: bool, grid: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attention = RotaryAttention(width, heads, biased, grid)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = mlp(width, ratio, act)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] to the same shape."""
        x = x + self.attention(self.norm1(x))
        result: Tensor = x + self.mlp.fc2(self.mlp.activation(self.mlp.fc1(self.norm2(x))))
        return result

    def rollout(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """See handlers.models.blocks.tokens.TokenBlock."""
        return (shares + self.attention.rollout(self.norm1(tokens), shares)) / 2


class PoolerAttention(nn.Module):
    """Queries, keys and values, and in blocks of self-attention what mixes the heads."""

    def __init__(self, width: int, heads: int, mixes: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        if mixes:
            self.out_proj = nn.Linear(width, width)


class PoolerBlock(nn.Module):
    """Self-attention and two layers, each behind a layer norm and around a shortcut."""

    def __init__(self, width: int, heads: int, act: str, eps: float) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width, eps)
        self.self_attn = PoolerAttention(width, heads, mixes=True)
        self.layer_norm2 = nn.LayerNorm(width, eps)
        self.mlp = mlp(width, 4.0, act)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] to the same shape."""
        inside, y = self.self_attn, self.layer_norm1(x)
        x = x + inside.out_proj(attend(inside.q_proj(y), inside.k_proj(y), inside.v_proj(y), inside.heads))
        result: Tensor = x + self.mlp.fc2(self.mlp.activation(self.mlp.fc1(self.layer_norm2(x))))
        return result

    def rollout(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """See handlers.models.blocks.tokens.TokenBlock."""
        inside, y = self.self_attn, self.layer_norm1(tokens)
        return (shares + attended(inside.q_proj(y), inside.k_proj(y), shares, inside.heads)) / 2


class CrossBlock(nn.Module):
    """One learned question to all tokens, then two layers."""

    def __init__(self, width: int, heads: int, act: str, eps: float) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width, eps)
        self.cross_attn = PoolerAttention(width, heads, mixes=False)
        self.layer_norm2 = nn.LayerNorm(width, eps)
        self.mlp = mlp(width, 4.0, act)

    def forward(self, x: Tensor, question: Tensor) -> Tensor:
        """Tokens [B, N, D] and the question [1, 1, D] to [B, 1, D]."""
        inside, y = self.cross_attn, self.layer_norm1(x)
        z = attend(self.query_of(question), inside.k_proj(y), inside.v_proj(y), inside.heads) + question
        result: Tensor = z + self.mlp.fc2(self.mlp.activation(self.mlp.fc1(self.layer_norm2(z))))
        return result

    def query_of(self, question: Tensor) -> Tensor:
        """The question's query [1, 1, D]; a function of constants, which tracing takes for the constant that it is."""
        return F.linear(question, self.cross_attn.q_proj.weight, self.cross_attn.q_proj.bias)
