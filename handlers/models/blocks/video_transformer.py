"""Classifiers on tokens, with the names that Hugging Face's transformers give to their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from handlers.models.blocks.tokens import Encoder, Parts, TokenBlock, TokenNetwork

SMALL_ARGUMENTS: Mapping[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 24,
    "num_frames": 4,
    "intermediate_size": 40,
}
"""As of a config.json, of a network to try the methods on; the size of its patches is left to the family."""


class VideoTransformer(TokenNetwork):
    """Embeddings and an encoder under the checkpoint's own name, layer norm, and one linear layer on one vector.

    own: that name. grid, ahead: see TokenNetwork. embeddings: from clips to tokens. width: D. eps: of the layer norm.
    mean: the head reads the mean of all tokens behind a norm of its own (`fc_norm`); else the first token, normed.
    """

    def __init__(
        self,
        own: str,
        classes: int,
        *,
        grid: tuple[int, int, int],
        ahead: int,
        embeddings: nn.Module,
        encoder: Encoder,
        width: int,
        eps: float,
        mean: bool = False,
    ) -> None:
        super().__init__(grid, ahead)
        self.own = own
        self.mean = mean
        self.add_module(own, Parts(embeddings=embeddings, encoder=encoder))
        if mean:
            self.fc_norm = nn.LayerNorm(width)
        else:
            self._body.layernorm = nn.LayerNorm(width, eps)
        self.classifier = nn.Linear(width, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to logits [B, K]."""
        body = self._body
        x = body.encoder(body.embeddings(clip), self.tokens)
        logits: Tensor = self.classifier(self.fc_norm(x.mean(1)) if self.mean else body.layernorm(x[:, :1]).flatten(1))
        return logits

    def reads(self) -> Sequence[tuple[str, TokenBlock]]:
        """See TokenNetwork."""
        found: list[tuple[str, TokenBlock]] = self._body.encoder.reads(f"{self.own}.embeddings", f"{self.own}.encoder")
        return found

    def read_out(self, activations: Mapping[str, Tensor]) -> Tensor:
        """See TokenNetwork; the mean has an equal share of every token."""
        if not self.mean:
            return super().read_out(activations)
        tokens = activations["tokens"]
        return torch.full_like(tokens[..., 0], 1 / tokens.shape[1])

    @property
    def _body(self) -> Parts:
        body = self.get_submodule(self.own)
        assert isinstance(body, Parts)
        return body
