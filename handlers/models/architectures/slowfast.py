"""SlowFast (Feichtenhofer et al., 2019): two pathways, as PyTorchVideo names them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from handlers.models.architectures.slow import INPUT
from handlers.models.blocks.pathway import BLOCK_NAMES, Projection, Stem, bottlenecks
from handlers.models.family import Family, Small
from handlers.relevance import EvenFrames

BETA = 8
"""The fast pathway has so many times fewer channels."""


class Fusion(nn.Module):
    """Adds the fast pathway's features to the slow one's, by a strided convolution in time."""

    def __init__(self, inputs: int, alpha: int, kernel: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(
            inputs, 2 * inputs, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False
        )
        self.norm = nn.BatchNorm3d(2 * inputs)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        """The slow pathway's features with the fast one's beside them."""
        return torch.cat([slow, self.activation(self.norm(self.conv_fast_to_slow(fast)))], 1)


class Pathways(nn.Module):
    """One stage of both pathways; multipathway_fusion None: the last."""

    def __init__(self, slow: nn.Module, fast: nn.Module, fusion: nn.Module | None) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList([slow, fast])
        self.multipathway_fusion = fusion

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        """(slow, fast) features [B, C, T / alpha, H, W] and [B, C / 8, T, H, W]."""
        slow, fast = self.multipathway_blocks[0](slow), self.multipathway_blocks[1](fast)
        if self.multipathway_fusion is not None:
            slow = self.multipathway_fusion(slow, fast)
        return slow, fast


class SlowFast(nn.Module):
    """Two ResNet-50s, the slow one on T // alpha of the frames, chosen as the public code does; linear head on both.

    alpha: frames per slow frame; it must divide the clip's. kernel: temporal size of the fusions. width: of the slow
    stem, a multiple of 8. counts: blocks per stage.
    """

    def __init__(
        self, classes: int, alpha: int = 4, kernel: int = 7, width: int = 64, counts: Sequence[int] = (3, 4, 6, 3)
    ) -> None:
        super().__init__()
        if width % BETA:
            raise ValueError(f"width: must be a multiple of {BETA}, got {width}")
        self.slow_frames = EvenFrames(alpha)
        narrow = width // BETA
        blocks: list[nn.Module] = [Pathways(Stem(width, 1), Stem(narrow, 5), Fusion(narrow, alpha, kernel))]
        inputs = width
        for stage, count in enumerate(counts):
            inner, stride = width << stage, 1 if stage == 0 else 2
            outputs, last = 4 * inner, stage == len(counts) - 1
            slow = bottlenecks(inputs + 2 * inputs // BETA, inner, outputs, count, stride, 1 if stage < 2 else 3)
            fast = bottlenecks(inputs // BETA, inner // BETA, outputs // BETA, count, stride, 3)
            blocks.append(Pathways(slow, fast, None if last else Fusion(outputs // BETA, alpha, kernel)))
            inputs = outputs
        # The public layout counts the pooling before the head as a block.
        self.blocks = nn.ModuleList([*blocks, nn.Identity(), Projection(inputs + inputs // BETA, classes)])

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W], alpha a divisor of T, to logits [B, K]."""
        slow, fast = self.slow_frames(clip), clip
        for block in self.blocks[:5]:
            slow, fast = block(slow, fast)
        logits: Tensor = self.blocks[6](torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1))
        return logits


RENAMED = (
    (r"^s1\.pathway(\d)_stem\.conv\.", r"blocks.0.multipathway_blocks.\1.conv."),
    (r"^s1\.pathway(\d)_stem\.bn\.", r"blocks.0.multipathway_blocks.\1.norm."),
    *((rf"^s{n}_fuse\.conv_f2s\.", rf"blocks.{n - 1}.multipathway_fusion.conv_fast_to_slow.") for n in range(1, 5)),
    *((rf"^s{n}_fuse\.bn\.", rf"blocks.{n - 1}.multipathway_fusion.norm.") for n in range(1, 5)),
    *(
        (rf"^s{n}\.pathway(\d)_res(\d+)\.", rf"blocks.{n - 1}.multipathway_blocks.\1.res_blocks.\2.")
        for n in range(2, 6)
    ),
    (r"^head\.projection\.", "blocks.6.proj."),
    *BLOCK_NAMES,
)

FAMILIES = tuple(
    Family(
        name,
        f"ResNet-50 on every 4th of {frames} frames beside a narrow one on all (PyTorchVideo, PySlowFast)",
        partial(SlowFast),
        layer="blocks.4.multipathway_blocks.0",
        input=INPUT.model_copy(update={"frames": frames, "stride": 2}),
        renamed=RENAMED,
        small=Small({"width": 8, "counts": [1, 1, 1, 1]}, frames=8),
    )
    for name, frames in (("slowfast-r50-8x8", 32), ("slowfast-r50-16x8", 64))
)
