"""V-JEPA 2 classifiers (Assran et al., 2025), as Hugging Face's transformers saves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from actionlens.card import Input, Resize
from handlers.models.blocks.attentive import CrossBlock, EncoderBlock, PoolerBlock
from handlers.models.blocks.tokens import Parts, TokenBlock, TokenNetwork, attended, patches, square, stacked
from handlers.models.family import Family, Small


class VJEPA2(TokenNetwork):
    """All patches attend to each other with rotary positions; a learned question to them all gives what the head reads.

    The arguments are those of config.json.
    """

    def __init__(
        self,
        classes: int,
        crop_size: int = 256,
        patch_size: int | Sequence[int] = 16,
        frames_per_clip: int = 64,
        tubelet_size: int = 2,
        hidden_size: int = 1024,
        num_hidden_layers: int = 24,
        num_attention_heads: int = 16,
        num_pooler_layers: int = 3,
        mlp_ratio: float = 4.0,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-6,
        qkv_bias: bool = True,
    ) -> None:
        patch = square(patch_size, "patch_size")
        grid = (frames_per_clip // tubelet_size, crop_size // patch, crop_size // patch)
        super().__init__(grid, ahead=0)
        size, common = (tubelet_size, patch, patch), (hidden_size, num_attention_heads)
        projection = Parts(proj=nn.Conv3d(3, hidden_size, size, size))
        blocks = (
            EncoderBlock(*common, mlp_ratio, hidden_act, layer_norm_eps, qkv_bias, grid)
            for _ in range(num_hidden_layers)
        )
        encoder = Parts(
            embeddings=Parts(patch_embeddings=projection),
            layer=nn.ModuleList(blocks),
            layernorm=nn.LayerNorm(hidden_size, layer_norm_eps),
        )
        self.vjepa2 = Parts(encoder=encoder)
        pooling = (PoolerBlock(*common, hidden_act, layer_norm_eps) for _ in range(num_pooler_layers))
        self.pooler = Parts(
            query_tokens=nn.Parameter(torch.zeros(1, 1, hidden_size)),
            self_attention_layers=nn.ModuleList(pooling),
            cross_attention_layer=CrossBlock(*common, hidden_act, layer_norm_eps),
        )
        self.embedded = nn.Identity()
        self.classifier = nn.Linear(hidden_size, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to logits [B, K]."""
        encoder = self.vjepa2.encoder
        x = self.embedded(patches(clip, encoder.embeddings.patch_embeddings.proj))
        for block in encoder.layer:
            x = block(x)
        x = encoder.layernorm(x)
        for block in self.pooler.self_attention_layers:
            x = block(x)
        x = self.pooler.cross_attention_layer(self.tokens(x), self.pooler.query_tokens)
        logits: Tensor = self.classifier(x.flatten(1))
        return logits

    def reads(self) -> Sequence[tuple[str, TokenBlock]]:
        """See TokenNetwork."""
        encoder = stacked("embedded", "vjepa2.encoder.layer", self.vjepa2.encoder.layer)
        pooler = self.pooler.self_attention_layers
        return [*encoder, *stacked("vjepa2.encoder.layernorm", "pooler.self_attention_layers", pooler)]

    def read_out(self, activations: Mapping[str, Tensor]) -> Tensor:
        """See TokenNetwork; the question's attention."""
        cross = self.pooler.cross_attention_layer
        key = cross.cross_attn.k_proj(cross.layer_norm1(activations["tokens"]))
        query = cross.query_of(self.pooler.query_tokens).expand(len(key), -1, -1)
        return attended(query, key, torch.ones_like(key[:, :1, 0]), cross.cross_attn.heads)


FAMILY = Family(
    "vjepa2",
    "V-JEPA 2 classifier: patches of two frames that attend to each other, an attentive pooler (Hugging Face "
    "transformers)",
    VJEPA2,
    layer="tokens",
    model_type="vjepa2",
    input=Input(
        frames=64,
        height=256,
        width=256,
        resize=Resize.CROP,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    unused=r"vjepa2\.predictor\..*",
    small=Small(
        {
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "crop_size": 24,
            "patch_size": 8,
            "frames_per_clip": 4,
            "num_pooler_layers": 2,
        },
        size=24,
    ),
)
