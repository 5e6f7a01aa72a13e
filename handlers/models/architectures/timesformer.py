"""TimeSformer classifiers (Bertasius et al., 2021), as Hugging Face's transformers saves them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actionlens.card import Input, Resize, SamplingRule
from handlers.models.blocks.divided import DividedBlock
from handlers.models.blocks.frame_conv import FrameConv2d
from handlers.models.blocks.tokens import Encoder, Parts, patches, square, with_class_token
from handlers.models.blocks.video_transformer import SMALL_ARGUMENTS, VideoTransformer
from handlers.models.family import Family, Small


class TimeSformerEmbeddings(nn.Module):
    """A class token and patches of single frames, where and when they lie."""

    def __init__(self, width: int, patch: int, frames: int, patches_per_frame: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, patches_per_frame + 1, width))
        self.time_embeddings = nn.Parameter(torch.zeros(1, frames, width))
        self.patch_embeddings = Parts(projection=FrameConv2d(3, width, patch, patch))

    def forward(self, clip: Tensor) -> Tensor:
        """[B, 3, T, H, W] to tokens [B, N, D]."""
        space, time = self.position_embeddings, self.time_embeddings
        positions = torch.cat([space[:, :1], (space[:, 1:].unsqueeze(1) + time.unsqueeze(2)).flatten(1, 2)], 1)
        return with_class_token(patches(clip, self.patch_embeddings.projection), self.cls_token, positions)


class TimeSformer(VideoTransformer):
    """Attention along time and within frames in turn; the head reads the class token.

    The arguments are those of config.json. attention_type: the published checkpoints have the divided one alone.
    """

    def __init__(
        self,
        classes: int,
        image_size: int | Sequence[int] = 224,
        patch_size: int | Sequence[int] = 16,
        num_frames: int = 8,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        layer_norm_eps: float = 1e-6,
        qkv_bias: bool = True,
        attention_type: str = "divided_space_time",
    ) -> None:
        if attention_type != "divided_space_time":
            raise ValueError(f"attention_type: {attention_type!r}; only 'divided_space_time' is known")
        size, patch = square(image_size, "image_size"), square(patch_size, "patch_size")
        patches_per_frame = (size // patch) ** 2
        blocks = (
            DividedBlock(
                hidden_size,
                num_attention_heads,
                intermediate_size,
                hidden_act,
                layer_norm_eps,
                qkv_bias,
                num_frames,
                patches_per_frame,
            )
            for _ in range(num_hidden_layers)
        )
        super().__init__(
            "timesformer",
            classes,
            grid=(num_frames, size // patch, size // patch),
            ahead=1,
            embeddings=TimeSformerEmbeddings(hidden_size, patch, num_frames, patches_per_frame),
            encoder=Encoder(blocks),
            width=hidden_size,
            eps=layer_norm_eps,
        )


FAMILY = Family(
    "timesformer",
    "TimeSformer classifier: patches attend along time and within frames in turn (Hugging Face transformers)",
    TimeSformer,
    layer="tokens",
    model_type="timesformer",
    input=Input(
        frames=8,
        height=224,
        width=224,
        resize=Resize.CROP,
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        sampling=SamplingRule.SPAN,
        stride=32,
    ),
    small=Small({**SMALL_ARGUMENTS, "patch_size": 8}, size=24),
)
