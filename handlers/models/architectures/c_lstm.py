"""C-LSTM (interpreting video features, 4.2): convolutional LSTMs from the pixels on, no other convolution."""

from __future__ import annotations

from torch import Tensor, nn

from actionlens.card import Input
from handlers.models.family import Family, Small
from handlers.relevance import ConvLSTM


class CLSTM(nn.Module):
    """Layers of [ConvLSTM 5 x 5 with a stride of 2, 2 x 2 max pooling, batch norm], a linear layer on all that is left.

    The linear layer sees the whole sequence, frame by frame, so it fixes frames and size. layers: 3 for the
    Something-something network of the paper, 2 for its KTH network. width: of every layer. The paper names the norm
    before the pooling, its authors' code has it behind; so has this.
    """

    def __init__(self, classes: int, layers: int = 3, width: int = 32, frames: int = 16, size: int = 224) -> None:
        super().__init__()
        inputs = 3
        self.layers = layers
        for number in range(1, layers + 1):
            self.add_module(f"lstm{number}", ConvLSTM(inputs, width, kernel=5, stride=2, padding=2, recurrent=5))
            self.add_module(f"pool{number}", nn.MaxPool3d((1, 2, 2)))
            self.add_module(f"norm{number}", nn.BatchNorm3d(width))
            inputs, size = width, (size + 1) // 2 // 2
        if size < 1:
            raise ValueError("size: nothing is left of the frame after the poolings")
        self.last = nn.Identity()
        self.classifier = nn.Linear(frames * size * size * width, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, frames, size, size] to logits [B, K]."""
        for number in range(1, self.layers + 1):
            clip = self.get_submodule(f"lstm{number}")(clip)
            if number == self.layers:
                clip = self.last(clip)
            clip = self.get_submodule(f"norm{number}")(self.get_submodule(f"pool{number}")(clip))
        # [B, T, H, W, C], as the authors' framework has it.
        logits: Tensor = self.classifier(clip.permute(0, 2, 3, 4, 1).flatten(1))
        return logits


FAMILY = Family(
    name="c-lstm",
    summary="two or three convolutional LSTMs on the pixels, a linear layer on the whole sequence",
    build=CLSTM,
    layer="last",
    input=Input(frames=16, height=224, width=224),
    small=Small({"layers": 2, "width": 3, "frames": 4, "size": 16}, size=16),
)
