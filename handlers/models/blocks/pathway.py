"""Residual stages with the names that PyTorchVideo gives to them, and the way there from PySlowFast's names."""

from __future__ import annotations

from torch import Tensor, nn


class Stem(nn.Module):
    """7x7 convolution (over `time` frames), batch norm, ReLU, 3x3 max pooling."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (time, 7, 7), (1, 2, 2), (time // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(width)
        self.activation = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, T, H, W] to [B, width, T, H / 4, W / 4]."""
        result: Tensor = self.pool(self.activation(self.norm(self.conv(x))))
        return result


class BottleneckBranch(nn.Module):
    """Three convolutions a, b and c with batch norm, the first two with an activation; subclasses make the parts."""

    conv_a: nn.Module
    norm_a: nn.Module
    act_a: nn.Module
    conv_b: nn.Module
    norm_b: nn.Module
    act_b: nn.Module
    conv_c: nn.Module
    norm_c: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, outputs, T, H / stride, W / stride]."""
        x = self.act_a(self.norm_a(self.conv_a(x)))
        x = self.act_b(self.norm_b(self.conv_b(x)))
        result: Tensor = self.norm_c(self.conv_c(x))
        return result


class Bottleneck(BottleneckBranch):
    """`time` x 1 x 1, 1 x 3 x 3 with the stride, and 1 x 1 x 1 convolutions."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, time: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(inputs, inner, (time, 1, 1), 1, (time // 2, 0, 0), bias=False)
        self.norm_a = nn.BatchNorm3d(inner)
        self.act_a = nn.ReLU(inplace=True)
        self.conv_b = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.norm_b = nn.BatchNorm3d(inner)
        self.act_b = nn.ReLU(inplace=True)
        self.conv_c = nn.Conv3d(inner, outputs, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(outputs)


class Residual(nn.Module):
    """branch2 plus the shortcut: a 1x1x1 convolution where the shape changes, with batch norm where the width does.

    normed: batch norm wherever the shape changes.
    """

    def __init__(self, branch2: nn.Module, inputs: int, outputs: int, stride: int, normed: bool = False) -> None:
        super().__init__()
        self.branch1_conv: nn.Module | None = None
        self.branch1_norm: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.branch1_conv = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False)
        if inputs != outputs or (normed and stride > 1):
            self.branch1_norm = nn.BatchNorm3d(outputs)
        self.branch2 = branch2
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, C', T, H', W'], not negative."""
        shortcut = x if self.branch1_conv is None else self.branch1_conv(x)
        if self.branch1_norm is not None:
            shortcut = self.branch1_norm(shortcut)
        result: Tensor = self.activation(shortcut + self.branch2(x))
        return result


class ResidualStage(nn.Module):
    """Residual blocks in a row."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, C', T, H', W']."""
        for block in self.res_blocks:
            x = block(x)
        return x


def bottlenecks(inputs: int, inner: int, outputs: int, count: int, stride: int, time: int) -> ResidualStage:
    """A stage of `count` bottlenecks, the first with the stride."""
    blocks: list[nn.Module] = []
    for number in range(count):
        before, step = (inputs, stride) if number == 0 else (outputs, 1)
        blocks.append(Residual(Bottleneck(before, inner, outputs, step, time), before, outputs, step))
    return ResidualStage(blocks)


class Projection(nn.Module):
    """The head's last layer, named proj."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.proj = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] to logits [B, K]."""
        logits: Tensor = self.proj(self.dropout(x))
        return logits


# PySlowFast's names within a block, as (pattern, replacement).
BLOCK_NAMES = (
    (r"\.branch1_bn\.", ".branch1_norm."),
    (r"\.branch1\.", ".branch1_conv."),
    (r"\.branch2\.([abc])_bn\.", r".branch2.norm_\1."),
    (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
)
