"""Slow and C2D (Feichtenhofer et al., 2019): one pathway, as PyTorchVideo names it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from actionlens.card import Input, Resize, SamplingRule
from handlers.models.blocks.pathway import BLOCK_NAMES, Projection, Stem, bottlenecks
from handlers.models.family import Family, Small


class Slow(nn.Module):
    """ResNet-50 bottlenecks, global average, linear head.

    times: temporal size of the first convolution of the blocks of each stage. temporal_pooling: max pooling over pairs
    of frames behind the first stage, as published for C2D; False leaves it out but keeps its place in the names, so
    that every frame has its own logits; None: a layout without it. width: of the stem. counts: blocks per stage.
    """

    def __init__(
        self,
        classes: int,
        times: Sequence[int] = (1, 1, 3, 3),
        temporal_pooling: bool | None = None,
        width: int = 64,
        counts: Sequence[int] = (3, 4, 6, 3),
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = [Stem(width, 1)]
        inputs = width
        for stage, (time, count) in enumerate(zip(times, counts, strict=True)):
            inner = width << stage
            blocks.append(bottlenecks(inputs, inner, 4 * inner, count, 1 if stage == 0 else 2, time))
            inputs = 4 * inner
            if stage == 0 and temporal_pooling is not None:
                blocks.append(nn.MaxPool3d((2, 1, 1)) if temporal_pooling else nn.Identity())
        self.blocks = nn.ModuleList([*blocks, Projection(inputs, classes)])

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to logits [B, K]."""
        *trunk, head = self.blocks
        for block in trunk:
            clip = block(clip)
        logits: Tensor = head(clip.mean((2, 3, 4)))
        return logits


def _c2d(classes: int, temporal_pooling: bool = True, **arguments: object) -> nn.Module:
    return Slow(classes, (1, 1, 1, 1), temporal_pooling, **arguments)  # type: ignore[arg-type]


def renamed(offset: int) -> tuple[tuple[str, str], ...]:
    """From PySlowFast's names; offset: how many blocks stand between the first and the second stage."""
    stages = [
        (rf"^s{n}\.pathway0_res(\d+)\.", rf"blocks.{n - 1 + (offset if n > 2 else 0)}.res_blocks.\1.")
        for n in range(2, 6)
    ]
    return (
        (r"^s1\.pathway0_stem\.conv\.", "blocks.0.conv."),
        (r"^s1\.pathway0_stem\.bn\.", "blocks.0.norm."),
        *stages,
        (r"^head\.projection\.", f"blocks.{5 + offset}.proj."),
        *BLOCK_NAMES,
    )


INPUT = Input(
    frames=8,
    height=224,
    width=224,
    resize=Resize.CROP,
    shorter=256,
    mean=(0.45, 0.45, 0.45),
    std=(0.225, 0.225, 0.225),
    sampling=SamplingRule.SPAN,
    stride=8,
)

SMALL = Small({"width": 4, "counts": [1, 1, 1, 1]})

FAMILIES = (
    Family(
        "slow-r50",
        "ResNet-50 on few frames, time mixed in its last two stages (PyTorchVideo, PySlowFast)",
        partial(Slow),
        layer="blocks.4",
        input=INPUT,
        renamed=renamed(0),
        small=SMALL,
    ),
    Family(
        "c2d-r50",
        "2-D ResNet-50 on frames, pairs of frames pooled once (PyTorchVideo, PySlowFast)",
        _c2d,
        layer="blocks.5",
        input=INPUT,
        renamed=renamed(1),
        small=SMALL,
    ),
)
