"""VGG16-LSTM (comprehensive study, 4.1; Bargal et al., 2018): VGG16 per frame, LSTM, the mean of the states' logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from actionlens.card import Input
from handlers.models.blocks.frame_conv import FrameConv2d, FrameLinear
from handlers.models.family import Family, Small
from handlers.relevance import ConvLSTM

_DEPTHS = (2, 2, 3, 3, 3)
"""Convolutions before every pooling (configuration D of Simonyan and Zisserman, 2015)."""


class VGG16LSTM(nn.Module):
    """VGG16 up to its second hidden layer on every frame, an LSTM, a linear layer on every state, the mean of those.

    `features` and `classifier` have torchvision's names. widths: channels before every pooling. dense: units of the two
    hidden layers. hidden: of the LSTM. size: of the square frame, which the first hidden layer fixes.
    """

    def __init__(
        self,
        classes: int,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        dense: int = 4096,
        hidden: int = 512,
        size: int = 224,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width, depth in zip(widths, _DEPTHS, strict=True):
            for _ in range(depth):
                layers += [FrameConv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
            layers.append(nn.MaxPool3d((1, 2, 2)))
            size //= 2
        if size < 1:
            raise ValueError("size: nothing is left of the frame after five poolings")
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            FrameLinear(inputs, size, dense), nn.ReLU(), nn.Dropout(), FrameLinear(dense, 1, dense), nn.ReLU()
        )
        self.lstm = ConvLSTM(dense, hidden)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, size, size] to logits [B, K]."""
        states = self.lstm(self.classifier(self.features(clip)))
        # The mean of the logits of all states, taken first, which is the same and cheaper.
        logits: Tensor = self.fc(states.mean((2, 3, 4)))
        return logits


FAMILY = Family(
    name="vgg16-lstm",
    summary="VGG16 per frame, LSTM, the mean of the states' logits",
    build=VGG16LSTM,
    layer="features.29",
    input=Input(frames=16, height=224, width=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    small=Small({"widths": [3, 4, 4, 5, 5], "dense": 8, "hidden": 6, "size": 32}),
)
