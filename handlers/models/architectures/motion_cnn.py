"""The network behind "motion-primitives": a small 3-D CNN that keeps every time step up to its classifier."""

from __future__ import annotations

from torch import Tensor, nn

from actionlens.card import Input, Resize
from handlers.models.family import Family, Small


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, ReLU; `stride` acts on rows and columns only, so time keeps its length."""
    padding = (kernel[0] // 2, (kernel[1] - 1) // 2, (kernel[2] - 1) // 2)
    return [
        nn.Conv3d(inputs, outputs, kernel, stride=(1, stride, stride), padding=padding, bias=False),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    ]


class MotionCNN(nn.Module):
    """Clip classifier without any pooling or stride in time.

    Input: float32 [B, 3, T, H, W], RGB, (value / 255 - 0.5) / 0.25, so within -2..2; any T >= 1, trained at T = 16 and
    H = W = 112. Output: logits float32 [B, classes].

    `features` gives [B, 4 * width, T, H / 16, W / 16] (7 x 7 for 112 x 112), non-negative; each of its time steps sees
    13 input frames with the default `depth`. `head` is linear on the mean over T, H and W, so the logits are exactly
    the mean over t of the per-frame logits `head(features.mean((3, 4))[:, :, t])`.

    The first layer takes 10 x 10 pixels at a stride of 4: in one layer, a 5 x 5 kernel at a stride of 2 on 2 x 2 means,
    which is how it is trained. Motion needs no finer detail, and a clip costs a quarter.

    The widths 24, 48 and 96 are deliberate: on AVX-512 processors convolutions of these run two to three times faster
    than of 16, 32 and 64 channels.

    half_size: the first layer takes 5 x 5 pixels at a stride of 2, for frames of half the size (56 x 56 has 7 x 7
    features). depth: layers behind the third, which alternately look around in space and in time; 3 see 9 frames.
    """

    def __init__(self, classes: int, width: int = 24, half_size: bool = False, depth: int = 6) -> None:
        super().__init__()
        wide = 4 * width
        first = ((3, 5, 5), 2) if half_size else ((3, 10, 10), 4)
        layers = [
            *_convolution(3, width, *first),
            *_convolution(width, 2 * width, (3, 3, 3), stride=2),
            *_convolution(2 * width, wide, (3, 3, 3), stride=2),
        ]
        for layer in range(depth):  # in full-size frames each pair widens the view by 32 pixels and 2 frames
            layers += _convolution(wide, wide, (3, 1, 1) if layer % 2 else (1, 3, 3))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(wide, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits [B, classes] of clips [B, 3, T, H, W]."""
        pooled: Tensor = self.features(clip).mean(dim=(2, 3, 4))
        logits: Tensor = self.head(pooled)
        return logits


FAMILY = Family(
    name="motion-cnn",
    summary="small 3-D CNN for live use: 16 frames of 112 x 112, no pooling in time, global average, linear head",
    build=MotionCNN,
    layer="features",
    input=Input(
        frames=16,
        height=112,
        width=112,
        resize=Resize.LETTERBOX,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        stride=2,
    ),
    small=Small({"width": 2}),
)
