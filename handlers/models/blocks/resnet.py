"""The trunk of ResNets for clips, with the names that torchvision gives to its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from actionlens.card import Input, Resize, SamplingRule

Convolution = Callable[[int, int, int, int], nn.Module]
"""(inputs, outputs, size, stride) -> a convolution of that size without bias, padded to keep the size / stride."""

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks per stage; from 50 on they are bottlenecks."""

# ImageNet's normalisation; one frame out of each of 8 equal parts of the video.
INPUT = Input(
    frames=8,
    height=224,
    width=224,
    resize=Resize.CROP,
    shorter=256,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    sampling=SamplingRule.SEGMENTS,
)


class ResNetBlock(nn.Module):
    """Residual block: two 3x3 convolutions, or as bottleneck 1x1, 3x3 and 1x1 to four times the width.

    tam: what comes before the first convolution, beside the shortcut; None: nothing.
    """

    def __init__(
        self, inputs: int, width: int, stride: int, convolution: Convolution, deep: bool, tam: nn.Module | None
    ) -> None:
        super().__init__()
        self.deep = deep
        outputs = 4 * width if deep else width
        self.conv1 = convolution(inputs, width, 1 if deep else 3, 1 if deep else stride)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = convolution(width, width, 3, stride if deep else 1)
        self.bn2 = nn.BatchNorm3d(width)
        if deep:
            self.conv3 = convolution(width, outputs, 1, 1)
            self.bn3 = nn.BatchNorm3d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.tam = tam
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm3d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] to [B, C', T', H', W']."""
        y = x if self.tam is None else self.tam(x)
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(y)))))
        if self.deep:
            y = self.bn3(self.conv3(self.relu(y)))
        y = y + (x if self.downsample is None else self.downsample(x))
        result: Tensor = self.relu(y)
        return result


class Trunk(nn.Module):
    """Stem, 3x3 max pooling and four stages. Time changes only where `convolution`, `tam` or `between` changes it.

    depth: a key of DEPTHS. stem: the 7x7 convolution from 3 to widths[0] channels. tam: makes a block's `tam` from
    its number of channels. between: makes what follows each of the first three stages. widths: of the stages.
    """

    def __init__(
        self,
        depth: int,
        stem: nn.Module,
        convolution: Convolution,
        widths: Sequence[int],
        tam: Callable[[int], nn.Module] | None = None,
        between: Callable[[], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ValueError(f"depth: {depth} is none of {', '.join(map(str, DEPTHS))}")
        deep = depth >= 50
        self.conv1 = stem
        self.bn1 = nn.BatchNorm3d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        inputs = widths[0]
        for stage, (width, count) in enumerate(zip(widths, DEPTHS[depth], strict=True), start=1):
            blocks = []
            for number in range(count):
                stride = 2 if number == 0 and stage > 1 else 1
                made = None if tam is None else tam(inputs)
                blocks.append(ResNetBlock(inputs, width, stride, convolution, deep, made))
                inputs = 4 * width if deep else width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            if stage < len(widths):
                self.add_module(f"pool{stage}", between())
        self.outputs = inputs

    def features(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, outputs, T', H / 32, W / 32], not negative."""
        clip = self.maxpool(self.relu(self.bn1(self.conv1(clip))))
        for name, module in self.named_children():
            if name.startswith(("layer", "pool")):
                clip = module(clip)
        return clip


class Classifier(Trunk):
    """The trunk, the mean over time and space, and one linear layer `fc`."""

    def __init__(
        self,
        classes: int,
        depth: int,
        stem: nn.Module,
        convolution: Convolution,
        widths: Sequence[int],
        tam: Callable[[int], nn.Module] | None = None,
        between: Callable[[], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__(depth, stem, convolution, widths, tam, between)
        self.fc = nn.Linear(self.outputs, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to logits [B, K], the mean of the time steps' logits."""
        logits: Tensor = self.fc(self.features(clip).mean((2, 3, 4)))
        return logits
