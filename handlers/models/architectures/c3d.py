"""C3D (Tran et al., 2015), as the common PyTorch ports of the Sports-1M and UCF-101 networks name it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from actionlens.card import ColorOrder, Input, Resize, SamplingRule
from handlers.models.family import Family, Small

# (convolution, widths[i] of its outputs, pooling behind it): pool1 leaves time alone, pool5 also pads space.
_LAYERS = (
    ("conv1", 0, "pool1"),
    ("conv2", 1, "pool2"),
    ("conv3a", 2, ""),
    ("conv3b", 2, "pool3"),
    ("conv4a", 3, ""),
    ("conv4b", 3, "pool4"),
    ("conv5a", 3, ""),
    ("conv5b", 3, "pool5"),
)


# The weights that ports start from count layers where the ports name them.
_NUMBERED = (
    *(
        (rf"^features\.{number}\.", f"{name}.")
        for number, (name, _, _) in zip((0, 3, 6, 8, 11, 13, 16, 18), _LAYERS, strict=True)
    ),
    *((rf"^classifier\.{number}\.", f"fc{index}.") for index, number in enumerate((0, 3, 6), start=6)),
)


class C3D(nn.Module):
    """Eight 3x3x3 convolutions, five max poolings, three linear layers. No logits per frame: the head is not linear.

    widths: channels of the four widths. hidden: units of fc6 and fc7. frames, size: of the clip, which fc6 fixes.
    """

    def __init__(
        self,
        classes: int,
        widths: Sequence[int] = (64, 128, 256, 512),
        hidden: int = 4096,
        frames: int = 16,
        size: int = 112,
    ) -> None:
        super().__init__()
        inputs = 3
        steps, side = frames, size
        for name, width, pool in _LAYERS:
            self.add_module(name, nn.Conv3d(inputs, widths[width], 3, padding=1))
            self.add_module(name.replace("conv", "relu"), nn.ReLU())
            inputs = widths[width]
            if pool == "pool1":
                self.pool1 = nn.MaxPool3d((1, 2, 2))
                side //= 2
            elif pool:
                padding = 1 if pool == "pool5" else 0
                self.add_module(pool, nn.MaxPool3d(2, padding=(0, padding, padding)))
                steps, side = steps // 2, (side + 2 * padding) // 2
        if min(steps, side) < 1:
            raise ValueError(f"frames, size: {frames} and {size} leave nothing after five poolings")
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.5)
        self.fc6 = nn.Linear(inputs * steps * side * side, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, frames, size, size] to logits [B, K]."""
        for name, _, pool in _LAYERS:
            clip = self.get_submodule(name.replace("conv", "relu"))(self.get_submodule(name)(clip))
            if pool:
                clip = self.get_submodule(pool)(clip)
        hidden = self.dropout(self.relu(self.fc6(clip.flatten(1))))
        logits: Tensor = self.fc8(self.dropout(self.relu(self.fc7(hidden))))
        return logits


FAMILY = Family(
    name="c3d",
    summary="3x3x3 convolutions, max pooling in time, three linear layers; 16 frames of 112 x 112 only",
    build=C3D,
    layer="relu5b",
    # Blue, green, red of 0 .. 255 less the mean of Sports-1M, as Caffe read images. The UCF-101 port does the same;
    # the Sports-1M port's own script forgets both (its issue 1), though its weights are Caffe's.
    input=Input(
        frames=16,
        height=112,
        width=112,
        resize=Resize.CROP,
        shorter=128,
        color=ColorOrder.BGR,
        mean=(90 / 255, 98 / 255, 102 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
        sampling=SamplingRule.DENSE,
    ),
    renamed=_NUMBERED,
    small=Small({"widths": [4, 6, 8, 8], "hidden": 8, "frames": 16, "size": 32}, frames=16),
)
