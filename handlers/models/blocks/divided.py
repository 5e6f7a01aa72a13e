"""Divided attention in space and time, as TimeSformer checkpoints name it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handlers.models.blocks.tokens import Parts, activation, attend, attended


class DividedSelfAttention(nn.Module):
    """Queries, keys and values side by side."""

    def __init__(self, width: int, heads: int, biased: bool) -> None:
        super().__init__()
        self.heads = heads
        self.width = width
        self.qkv = nn.Linear(width, 3 * width, biased)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [..., N, D]."""
        made, width = self.qkv(x), self.width
        return made[..., :width], made[..., width : 2 * width], made[..., 2 * width :]

    def forward(self, x: Tensor) -> Tensor:
        """[..., N, D] to the same shape; tokens attend along the last axis but one."""
        return attend(*self.parts(x), self.heads)

    def rollout(self, x: Tensor, shares: Tensor) -> Tensor:
        """Shares [..., N] of what attention puts out as shares of x."""
        query, key, _ = self.parts(x)
        return attended(query, key, shares, self.heads)


def attention(width: int, heads: int, biased: bool) -> Parts:
    """Attention under the public names."""
    inside = DividedSelfAttention(width, heads, biased)
    return Parts(attention=inside, output=Parts(dense=nn.Linear(width, width)))


class DividedBlock(nn.Module):
    """Each patch attends along time, then within its frame and to the class token, then two layers on each token."""

    def __init__(
        self, width: int, heads: int, inner: int, act: str, eps: float, biased: bool, frames: int, patches: int
    ) -> None:
        super().__init__()
        self.grid = (frames, patches)
        self.temporal_layernorm = nn.LayerNorm(width, eps)
        self.temporal_attention = attention(width, heads, biased)
        self.temporal_dense = nn.Linear(width, width)
        self.layernorm_before = nn.LayerNorm(width, eps)
        self.attention = attention(width, heads, biased)
        self.layernorm_after = nn.LayerNorm(width, eps)
        self.intermediate = Parts(dense=nn.Linear(width, inner))
        self.activation = activation(act)
        self.output = Parts(dense=nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] to the same shape."""
        later, first = self._in_time(x), x[:, :1]
        y = self.attention.output.dense(self.attention.attention(self._in_space(first, later)))
        found = torch.cat([y[:, :, :1].mean(1), y[:, :, 1:].flatten(1, 2)], 1)
        x = torch.cat([first, later.flatten(1, 2)], 1) + found
        result: Tensor = x + self.output.dense(self.activation(self.intermediate.dense(self.layernorm_after(x))))
        return result

    def rollout(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """See handlers.models.blocks.tokens.TokenBlock; half passes by each of the two attentions."""
        x, later = self._patches(tokens), self._in_time(tokens)
        first, rest = shares[:, :1], torch.unflatten(shares[:, 1:], 1, self.grid)
        wanted = torch.cat([(first / self.grid[0]).expand(-1, self.grid[0])[..., None], rest], 2)
        found = self.attention.attention.rollout(self._in_space(tokens[:, :1], later), wanted)
        first, rest = (first + found[..., 0].sum(1, keepdim=True)) / 2, (rest + found[..., 1:]) / 2
        inside = self.temporal_attention.attention
        found = inside.rollout(self.temporal_layernorm(x.transpose(1, 2)), rest.transpose(1, 2))
        return torch.cat([first, ((rest + found.transpose(1, 2)) / 2).flatten(1)], 1)

    def _patches(self, x: Tensor) -> Tensor:
        """The patches' tokens as [B, T, P, D]."""
        return torch.unflatten(x[:, 1:], 1, self.grid)

    def _in_time(self, x: Tensor) -> Tensor:
        """The patches' tokens [B, T, P, D] behind the attention along time."""
        patches = self._patches(x)
        inside = self.temporal_attention.attention(self.temporal_layernorm(patches.transpose(1, 2)))
        found: Tensor = self.temporal_dense(self.temporal_attention.output.dense(inside))
        return patches + found.transpose(1, 2)

    def _in_space(self, first: Tensor, patches: Tensor) -> Tensor:
        """The input of the attention within frames: [B, T, 1 + P, D], the class token in every frame."""
        everywhere = torch.cat([first] * self.grid[0], 1).unsqueeze(2)
        result: Tensor = self.layernorm_before(torch.cat([everywhere, patches], 2))
        return result
