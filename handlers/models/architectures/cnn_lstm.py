"""LRCN (Donahue et al., 2015) as small Keras models have it: a 2-D CNN per frame, an LSTM, a classifier at its end."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from actionlens.card import ColorOrder, Input, SamplingRule
from handlers.models.architectures.cnn_lstm_keras import read_lrcn
from handlers.models.blocks.frame_conv import FrameConv2d
from handlers.models.family import Family, Small
from handlers.relevance import ConvLSTM


class CnnLstm(nn.Module):
    """[3 x 3 convolution, ReLU, max pooling] per frame, the map as one vector, LSTM, linear layer on the last state.

    channels, pools: one block per number; pools: 1 leaves the map alone. hidden: units of the LSTM. size: of the square
    frame, which the LSTM's weights fix.
    """

    def __init__(
        self,
        classes: int,
        channels: Sequence[int] = (16, 32, 64, 64),
        pools: Sequence[int] = (4, 4, 2, 2),
        hidden: int = 32,
        size: int = 64,
    ) -> None:
        super().__init__()
        if len(channels) != len(pools):
            raise ValueError(f"channels, pools: {len(channels)} and {len(pools)} numbers; every block has one of each")
        blocks: dict[str, nn.Module] = {}
        inputs = 3
        for number, (width, pool) in enumerate(zip(channels, pools, strict=True), start=1):
            blocks[f"conv{number}"] = FrameConv2d(inputs, width, 3, padding=1)
            blocks[f"relu{number}"] = nn.ReLU()
            if number == len(channels):
                blocks["features"] = nn.Identity()
            blocks[f"pool{number}"] = nn.MaxPool3d((1, pool, pool))
            inputs, size = width, size // pool
        if size < 1:
            raise ValueError("pools: nothing is left of the frame")
        for name, module in blocks.items():
            self.add_module(name, module)
        self.blocks = tuple(blocks)
        self.lstm = ConvLSTM(inputs, hidden, kernel=size)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, size, size] to logits [B, K]."""
        for name in self.blocks:
            clip = self.get_submodule(name)(clip)
        # A mean of one: so the last state counts as the one output time step, which has logits of its own.
        logits: Tensor = self.classifier(self.lstm(clip)[:, :, -1:].mean((2, 3, 4)))
        return logits


FAMILY = Family(
    name="cnn-lstm",
    summary="small 2-D CNN per frame, LSTM, classifier on the last state (LRCN); Keras HDF5 files",
    build=CnnLstm,
    layer="features",
    input=Input(frames=20, height=64, width=64, color=ColorOrder.BGR, sampling=SamplingRule.STARTS),
    read=read_lrcn,
    small=Small({"channels": [4, 6, 6, 6], "pools": [2, 2, 2, 2], "hidden": 6, "size": 32}),
)
