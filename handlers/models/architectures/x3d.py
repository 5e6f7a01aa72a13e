"""X3D-XS, S and M (Feichtenhofer, 2020), as PyTorchVideo names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from handlers.models.architectures.slow import INPUT
from handlers.models.blocks.pathway import BLOCK_NAMES, BottleneckBranch, Residual, ResidualStage
from handlers.models.family import Checkpoint, Family, Small


class FactoredStem(nn.Module):
    """1x3x3 convolution, then a depthwise one of 5 frames; the public names have the two swapped."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        self.conv.add_module("conv_t", nn.Conv3d(3, width, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False))
        self.conv.add_module("conv_xy", nn.Conv3d(width, width, (5, 1, 1), 1, (2, 0, 0), groups=width, bias=False))
        self.norm = nn.BatchNorm3d(width)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, T, H, W] to [B, width, T, H / 2, W / 2]."""
        result: Tensor = self.activation(self.norm(self.conv(x)))
        return result


class SqueezeExcitation(nn.Module):
    """x times what two layers and a sigmoid make of its mean over the clip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = _rounded(width / 16)
        self.block = nn.Sequential(nn.Conv3d(width, inner, 1), nn.ReLU(), nn.Conv3d(inner, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to the same shape."""
        result: Tensor = x * self.block(x.mean((2, 3, 4), keepdim=True))
        return result


class X3DBottleneck(BottleneckBranch):
    """1x1x1 wider, depthwise 3x3x3 with the stride (squeezed and excited or not), swish, 1x1x1 back."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, excites: bool) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(inputs, inner, 1, bias=False)
        self.norm_a = nn.BatchNorm3d(inner)
        self.act_a = nn.ReLU(inplace=True)
        self.conv_b = nn.Conv3d(inner, inner, 3, (1, stride, stride), 1, groups=inner, bias=False)
        self.norm_b = nn.Sequential(nn.BatchNorm3d(inner), SqueezeExcitation(inner) if excites else nn.Identity())
        self.act_b = nn.SiLU()
        self.conv_c = nn.Conv3d(inner, outputs, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(outputs)


class ProjectedPool(nn.Module):
    """Wider, the mean over the clip, wider again with ReLU: no logits per frame behind this."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.pre_conv = nn.Conv3d(inputs, inner, 1, bias=False)
        self.pre_norm = nn.BatchNorm3d(inner)
        self.pre_act = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.post_conv = nn.Conv3d(inner, outputs, 1, bias=False)
        self.post_act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, outputs, 1, 1, 1]."""
        x = self.pool(self.pre_act(self.pre_norm(self.pre_conv(x))))
        result: Tensor = self.post_act(self.post_conv(x))
        return result


class X3DHead(nn.Module):
    """Projected pooling and the last layer, named proj."""

    def __init__(self, inputs: int, inner: int, outputs: int, classes: int) -> None:
        super().__init__()
        self.pool = ProjectedPool(inputs, inner, outputs)
        self.dropout = nn.Dropout(0.5)
        self.proj = nn.Linear(outputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to logits [B, K]."""
        logits: Tensor = self.proj(self.dropout(self.pool(x).flatten(1)))
        return logits


class X3D(nn.Module):
    """Depthwise 3x3x3 bottlenecks with swish, squeeze-and-excitation in every second one; time is never strided.

    Logits, not the probabilities that the public code returns. XS, S and M differ by their input alone.
    widths: of the stages; the stem has the first. counts: blocks per stage. outputs: units before the classifier.
    shortcut_norm: batch norm on the first stage's shortcut too, as PySlowFast has it and PyTorchVideo has not.
    """

    def __init__(
        self,
        classes: int,
        widths: Sequence[int] = (24, 48, 96, 192),
        counts: Sequence[int] = (3, 5, 11, 7),
        outputs: int = 2048,
        shortcut_norm: bool = False,
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = [FactoredStem(widths[0])]
        inputs = widths[0]
        for width, count in zip(widths, counts, strict=True):
            stage: list[nn.Module] = []
            for number in range(count):
                stride = 2 if number == 0 else 1
                branch = X3DBottleneck(inputs, width * 9 // 4, width, stride, excites=number % 2 == 0)
                stage.append(Residual(branch, inputs, width, stride, shortcut_norm))
                inputs = width
            blocks.append(ResidualStage(stage))
        self.blocks = nn.ModuleList([*blocks, X3DHead(inputs, inputs * 9 // 4, outputs, classes)])

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to logits [B, K]."""
        for block in self.blocks:
            clip = block(clip)
        return clip


def _rounded(width: float) -> int:
    """The multiple of 8 nearest to a width, at least 8 and not more than a tenth below it."""
    found = max(8, int(width + 4) // 8 * 8)
    return found + 8 if found < 0.9 * width else found


RENAMED = (
    (r"^s1\.pathway0_stem\.conv_xy\.", "blocks.0.conv.conv_t."),
    (r"^s1\.pathway0_stem\.conv\.", "blocks.0.conv.conv_xy."),
    (r"^s1\.pathway0_stem\.bn\.", "blocks.0.norm."),
    *((rf"^s{n}\.pathway0_res(\d+)\.", rf"blocks.{n - 1}.res_blocks.\1.") for n in range(2, 6)),
    (r"\.branch2\.b_bn\.", ".branch2.norm_b.0."),
    (r"\.branch2\.se\.fc1\.", ".branch2.norm_b.1.block.0."),
    (r"\.branch2\.se\.fc2\.", ".branch2.norm_b.1.block.2."),
    (r"^head\.conv_5\.", "blocks.5.pool.pre_conv."),
    (r"^head\.conv_5_bn\.", "blocks.5.pool.pre_norm."),
    (r"^head\.lin_5\.", "blocks.5.pool.post_conv."),
    (r"^head\.projection\.", "blocks.5.proj."),
    *BLOCK_NAMES,
)

_SHORTCUT = re.compile(r"(?:^|\.)(?:s2\.pathway0_res0\.branch1_bn|blocks\.1\.res_blocks\.0\.branch1_norm)\.weight$")


def _reported(state: dict[str, Tensor]) -> Checkpoint:
    """Whether the first stage's shortcut has batch norm."""
    found = any(_SHORTCUT.search(name) for name in state)
    return Checkpoint(state, {"shortcut_norm": True} if found else {})


FAMILIES = tuple(
    Family(
        f"x3d-{size}",
        f"depthwise 3-D bottlenecks with gates, {frames} frames of {side} x {side} (PyTorchVideo, PySlowFast)",
        partial(X3D),
        layer="blocks.4",
        input=INPUT.model_copy(
            update={"frames": frames, "height": side, "width": side, "shorter": shorter, "stride": stride}
        ),
        renamed=RENAMED,
        reported=_reported,
        small=Small({"widths": [8, 8, 8, 8], "counts": [1, 2, 1, 1], "outputs": 8}),
    )
    # One view, as PySlowFast tests it; PyTorchVideo's examples show the whole shorter side.
    for size, frames, side, shorter, stride in (
        ("xs", 4, 160, 182, 12),
        ("s", 13, 160, 182, 6),
        ("m", 16, 224, 256, 5),
    )
)
