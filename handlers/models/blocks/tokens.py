"""Parts that transformers on video share: tokens on a grid of patches, attention between them, and how it rolls out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.relevance.operations.attention import by_heads, probabilities

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_fast": partial(nn.GELU, "tanh"),
    "gelu_new": partial(nn.GELU, "tanh"),
    "gelu_pytorch_tanh": partial(nn.GELU, "tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
}
"""By their names in a config.json."""


class Parts(nn.Module):
    """Modules and parameters under their public names: a node of the layout, with no forward of its own."""

    def __init__(self, **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)


class TokenBlock(Protocol):
    """Attention and what follows it, tokens [B, N, D] to the same shape."""

    def rollout(self, tokens: Tensor, shares: Tensor) -> Tensor:
        """Shares [B, N] of the block's outputs as shares of its inputs; half of each passes by attention."""
        ...


class TokenNetwork(nn.Module):
    """A network whose activations are tokens.

    grid: (T', H', W') patches. ahead: tokens in front of the patches' (the class token). Its layer "tokens" is what
    the last attention reads: behind it a network that reads its class token alone has no gradient at the patches.
    """

    def __init__(self, grid: tuple[int, int, int], ahead: int) -> None:
        super().__init__()
        self.grid = grid
        self.ahead = ahead
        self.tokens = nn.Identity()

    def on_grid(self, tokens: Tensor) -> Tensor:
        """The patches' tokens [B, N, C] as [B, C, T', H', W']; the class token is left out."""
        return torch.unflatten(tokens[:, self.ahead :].transpose(1, 2), 2, self.grid)

    @property
    def count(self) -> int:
        """N, all tokens."""
        steps, rows, columns = self.grid
        return self.ahead + steps * rows * columns

    def reads(self) -> Sequence[tuple[str, TokenBlock]]:
        """The blocks from the clip upwards, each with the name of the layer that puts out what it reads."""
        raise NotImplementedError

    def read_out(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Shares [B, N] that the head has of the last block's outputs; here all of it of the class token."""
        tokens = activations["tokens"]
        shares = tokens.new_zeros(tokens.shape[:2])
        shares[:, 0] = 1
        return shares

    def rollout(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Attention rollout: shares [B, N] of the head's input that come from each token of the clip; they sum to 1.

        activations: [B, N, D] by layer, of "tokens" and all that `reads` names.
        """
        shares = self.read_out(activations)
        for layer, block in reversed(self.reads()):
            shares = block.rollout(activations[layer], shares)
        return shares


class Encoder(Parts):
    """Blocks one after the other, under the public name "layer"."""

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__(layer=nn.ModuleList(blocks))

    def forward(self, x: Tensor, last: nn.Module) -> Tensor:
        """Tokens [B, N, D] to the same shape. last: what the last block's input passes on its way."""
        *first, top = self.layer
        for block in first:
            x = block(x)
        result: Tensor = top(last(x))
        return result

    def reads(self, embeddings: str, own: str) -> list[tuple[str, TokenBlock]]:
        """See TokenNetwork. embeddings, own: names of the layer below and of this module."""
        return stacked(embeddings, f"{own}.layer", self.layer)


def stacked(below: str, own: str, blocks: nn.Module) -> list[tuple[str, TokenBlock]]:
    """The members of a ModuleList, each with what it reads. below, own: names of the layer below and of the list."""
    members = [cast(TokenBlock, block) for block in blocks.children()]
    return list(zip([below, *(f"{own}.{number}" for number in range(len(members) - 1))], members, strict=False))


def token_network(module: nn.Module) -> TokenNetwork | None:
    """The module as such a network, or None when it is none."""
    return module if isinstance(module, TokenNetwork) else None


def activation(name: str) -> nn.Module:
    """An activation by its name in a config.json. Raises ValueError, listing the known ones."""
    if name not in _ACTIVATIONS:
        raise ValueError(f"hidden_act: {name!r} is not one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attention of queries [..., M, D] to keys and values [..., N, D], its heads side by side; [..., M, D]."""
    q, k, v = (torch.unflatten(part, -1, (heads, -1)).transpose(-3, -2) for part in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(-3, -2).flatten(-2)


def attended(query: Tensor, key: Tensor, shares: Tensor, heads: int) -> Tensor:
    """Shares [..., M] of attention's outputs as shares [..., N] of what it reads, the mean over its heads."""
    q, k = (torch.unflatten(part, -1, (heads, -1)).transpose(-3, -2) for part in (query, key))
    rows = shares[..., None, None, :].expand(*q.shape[:-2], 1, shares.shape[-1])
    (found,) = by_heads(lambda q, k, s: (s @ probabilities(q, k),), q, k, rows)
    return found.mean(-3).squeeze(-2)


def patches(clip: Tensor, projection: nn.Module) -> Tensor:
    """The clip [B, 3, T, H, W] as tokens [B, T' H' W', D], time first."""
    tokens: Tensor = projection(clip).flatten(2).transpose(1, 2)
    return tokens


def with_class_token(tokens: Tensor, first: Tensor, positions: Tensor) -> Tensor:
    """A class token in front of tokens [B, N, D], and positions added to all: first [1, 1, D], positions [1, N + 1, D].

    Both are one constant, so that tracing finds no more than padding and a shift.
    """
    return F.pad(tokens, (0, 0, 1, 0)) + (positions + F.pad(first, (0, 0, 0, positions.shape[1] - 1)))


def square(size: int | Sequence[int], name: str) -> int:
    """A size given once or for rows and columns. Raises ValueError where the two differ."""
    first, last = (size, size) if isinstance(size, int) else size
    if first != last:
        raise ValueError(f"{name}: {list(cast(Sequence[int], size))}; only square ones are known")
    return first


def sinusoids(count: int, width: int) -> Tensor:
    """float32 [1, count, width]: positions as sines and cosines of falling frequencies (Vaswani et al., 2017)."""
    with torch.device("cpu"):  # layouts are compared on the meta device, where this would cost seconds
        position, unit = torch.arange(count, dtype=torch.float64)[:, None], torch.arange(width)
        angle = position / 10000 ** (2 * (unit // 2) / width)
        return torch.where(unit % 2 == 0, angle.sin(), angle.cos()).float()[None]
