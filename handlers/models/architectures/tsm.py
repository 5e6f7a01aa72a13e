"""TSM (Lin et al., 2019): a 2-D ResNet that shifts channels in time, as its repository names its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.models.blocks.frame_conv import FrameConv2d
from handlers.models.blocks.resnet import DEPTHS, INPUT, Trunk
from handlers.models.family import Family, Small


class TemporalShift(nn.Module):
    """One part of the channels from the next frame, one from the frame before, the rest as it is; then `net`.

    divisor: each part is 1 / divisor of the channels. Beyond the clip's ends everything is 0.
    """

    def __init__(self, net: nn.Conv2d, divisor: int) -> None:
        super().__init__()
        self.net = net
        self.part = net.in_channels // divisor

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to what `net` makes of it."""
        part = self.part
        after = F.pad(x[:, :part, 1:], (0, 0, 0, 0, 0, 1))
        before = F.pad(x[:, part : 2 * part, :-1], (0, 0, 0, 0, 1, 0))
        result: Tensor = self.net(torch.cat([after, before, x[:, 2 * part :]], 1))
        return result


class TSM(nn.Module):
    """Shifts in the residual branch of every block (every second one from 101 layers on), frames averaged at the end.

    divisor: see TemporalShift; 8 as published. widths: of the stages.
    """

    def __init__(
        self, classes: int, depth: int = 50, divisor: int = 8, widths: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        if divisor < 2:
            raise ValueError(f"divisor: must be at least 2, got {divisor}")

        def convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Module:
            return FrameConv2d(inputs, outputs, size, stride, size // 2, bias=False)

        stem = FrameConv2d(3, widths[0], 7, 2, 3, bias=False)
        self.base_model = Trunk(depth, stem, convolution, widths)
        every = 2 if DEPTHS[depth][2] >= 23 else 1
        for stage in range(1, 5):
            blocks = self.base_model.get_submodule(f"layer{stage}")
            for block in list(blocks.children())[::every]:
                first = block.conv1
                assert isinstance(first, nn.Conv2d)
                block.conv1 = TemporalShift(first, divisor)
        self.new_fc = nn.Linear(self.base_model.outputs, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to logits [B, K], the mean of the frames' logits."""
        logits: Tensor = self.new_fc(self.base_model.features(clip).mean((2, 3, 4)))
        return logits


FAMILIES = tuple(
    Family(
        f"tsm-resnet{depth}",
        f"2-D ResNet-{depth} that shifts channels between neighbouring frames (temporal-shift-module)",
        partial(TSM, depth=depth),
        layer="base_model.layer4",
        input=INPUT,
        small=Small({"widths": [8, 8, 8, 8]}),
    )
    for depth in (18, 50, 101)
)
