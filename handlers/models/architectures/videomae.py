"""VideoMAE classifiers (Tong et al., 2022), as Hugging Face's transformers saves them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from actionlens.card import Input, Resize, SamplingRule
from handlers.models.blocks.tokens import Parts, patches, sinusoids, square
from handlers.models.blocks.video_transformer import SMALL_ARGUMENTS, VideoTransformer
from handlers.models.blocks.vit import encoder
from handlers.models.family import Family, Small


class VideoMAEEmbeddings(nn.Module):
    """Patches of some frames each, and where they lie."""

    positions: Tensor

    def __init__(self, width: int, patch: tuple[int, int, int], count: int) -> None:
        super().__init__()
        self.patch_embeddings = Parts(projection=nn.Conv3d(3, width, patch, patch))
        self.register_buffer("positions", sinusoids(count, width), persistent=False)

    def forward(self, clip: Tensor) -> Tensor:
        """[B, 3, T, H, W] to tokens [B, N, D]."""
        return patches(clip, self.patch_embeddings.projection) + self.positions


class VideoMAE(VideoTransformer):
    """All patches attend to each other; the head reads their mean, or the first of them.

    The arguments are those of config.json.
    """

    def __init__(
        self,
        classes: int,
        image_size: int | Sequence[int] = 224,
        patch_size: int | Sequence[int] = 16,
        num_frames: int = 16,
        tubelet_size: int = 2,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-12,
        qv_bias: bool = True,
        qkv_bias: bool = True,
        use_mean_pooling: bool = True,
    ) -> None:
        size, patch = square(image_size, "image_size"), square(patch_size, "patch_size")
        grid = (num_frames // tubelet_size, size // patch, size // patch)
        biased = qv_bias and qkv_bias  # the older name of the same
        super().__init__(
            "videomae",
            classes,
            grid=grid,
            ahead=0,
            embeddings=VideoMAEEmbeddings(hidden_size, (tubelet_size, patch, patch), math.prod(grid)),
            encoder=encoder(
                num_hidden_layers,
                hidden_size,
                num_attention_heads,
                intermediate_size,
                hidden_act,
                layer_norm_eps,
                (biased, False, biased),
            ),
            width=hidden_size,
            eps=layer_norm_eps,
            mean=use_mean_pooling,
        )


FAMILY = Family(
    "videomae",
    "VideoMAE classifier: patches of two frames that attend to each other (Hugging Face transformers)",
    VideoMAE,
    layer="tokens",
    model_type="videomae",
    input=Input(
        frames=16,
        height=224,
        width=224,
        resize=Resize.CROP,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        sampling=SamplingRule.DENSE,
        stride=4,
    ),
    renamed=((r"\.q_bias$", ".query.bias"), (r"\.v_bias$", ".value.bias")),
    small=Small({**SMALL_ARGUMENTS, "patch_size": 8}, size=24),
)
