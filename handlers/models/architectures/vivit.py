"""ViViT classifiers (Arnab et al., 2021; the joint model), as Hugging Face's transformers saves them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actionlens.card import Input, Resize, SamplingRule
from handlers.models.blocks.tokens import Parts, patches, square, with_class_token
from handlers.models.blocks.video_transformer import SMALL_ARGUMENTS, VideoTransformer
from handlers.models.blocks.vit import encoder
from handlers.models.family import Family, Small


class ViViTEmbeddings(nn.Module):
    """A class token and patches of some frames each, and where they lie."""

    def __init__(self, width: int, patch: Sequence[int], count: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, count, width))
        size = (patch[0], patch[1], patch[2])
        self.patch_embeddings = Parts(projection=nn.Conv3d(3, width, size, size))

    def forward(self, clip: Tensor) -> Tensor:
        """[B, 3, T, H, W] to tokens [B, N, D]."""
        tokens = patches(clip, self.patch_embeddings.projection)
        return with_class_token(tokens, self.cls_token, self.position_embeddings)


class ViViT(VideoTransformer):
    """All patches and a class token attend to each other; the head reads the class token.

    The arguments are those of config.json.
    """

    def __init__(
        self,
        classes: int,
        image_size: int | Sequence[int] = 224,
        num_frames: int = 32,
        tubelet_size: Sequence[int] = (2, 16, 16),
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu_fast",
        layer_norm_eps: float = 1e-6,
        qkv_bias: bool = True,
    ) -> None:
        size = square(image_size, "image_size")
        time, rows, columns = tubelet_size
        grid = (num_frames // time, size // rows, size // columns)
        super().__init__(
            "vivit",
            classes,
            grid=grid,
            ahead=1,
            embeddings=ViViTEmbeddings(hidden_size, tubelet_size, 1 + math.prod(grid)),
            encoder=encoder(
                num_hidden_layers,
                hidden_size,
                num_attention_heads,
                intermediate_size,
                hidden_act,
                layer_norm_eps,
                (qkv_bias,) * 3,
            ),
            width=hidden_size,
            eps=layer_norm_eps,
        )


FAMILY = Family(
    "vivit",
    "ViViT classifier: patches of two frames and a class token that attend to each other (Hugging Face transformers)",
    ViViT,
    layer="tokens",
    model_type="vivit",
    # Its processor brings pixels to -1 .. 1 and then normalises by 0.5 and 0.5 once more.
    input=Input(
        frames=32,
        height=224,
        width=224,
        resize=Resize.CROP,
        mean=(0.75, 0.75, 0.75),
        std=(0.25, 0.25, 0.25),
        sampling=SamplingRule.DENSE,
        stride=2,
    ),
    # Newer releases of transformers have shorter names.
    renamed=(
        (r"^vivit\.layers\.", "vivit.encoder.layer."),
        (r"\.attention\.q_proj\.", ".attention.attention.query."),
        (r"\.attention\.k_proj\.", ".attention.attention.key."),
        (r"\.attention\.v_proj\.", ".attention.attention.value."),
        (r"\.attention\.o_proj\.", ".attention.output.dense."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
    ),
    unused=r"vivit\.pooler\..*",
    small=Small({**SMALL_ARGUMENTS, "tubelet_size": [2, 8, 8]}, size=24),
)
