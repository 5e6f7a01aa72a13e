"""A start for temporal relation networks that sees motion at once: waves in space, their drift over the frames.

As `training.filters` does for convolutions over time, and for the same reason: from the usual random start the surfaces
in a clip drown what moves, and the loss stays at chance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from handlers.models.consensus import Relation

#: Windows (centre x, centre y, spread) in shares of the frame, and the waves seen through them, in cycles per frame
#: along x and y. Long ones, because between two of the frames an object goes far. What drifts one way in one half of
#: the frame and the other way in the other half turns, comes near or goes away.
WAVES = (
    *(((0.5, 0.5, 9.0), wave) for wave in ((1.0, 0.0), (0.0, 1.0), (0.5, 0.0), (0.0, 0.5))),
    *(
        ((x, y, 0.22), wave)
        for x, y in ((0.5, 0.25), (0.5, 0.75), (0.25, 0.5), (0.75, 0.5))
        for wave in ((1.0, 0.0), (0.0, 1.0))
    ),
)

_NOISE = 0.1
"""What is left of the random start."""
_STRENGTH = 2.0


def start_with_waves(vector: nn.Conv3d) -> None:
    """Make features 2 j and 2 j + 1 the cosine and sine part of one wave in one random mixture of the channels.

    vector: from maps of cells x cells to one vector per frame, weight [D, C, 1, cells, cells].
    """
    width, channels, _, rows, columns = vector.weight.shape
    row, column = torch.meshgrid(
        (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij"
    )
    with torch.no_grad():
        for pair in range(width // 2):
            (x, y, spread), (across, down) = WAVES[pair % len(WAVES)]
            window = torch.exp(-((column - x).square() + (row - y).square()) / (2 * spread**2))
            phase = 2 * math.pi * (across * (column - x) + down * (row - y))
            mixture = torch.randn(channels, 1, 1, 1) / math.sqrt(channels)
            vector.weight[2 * pair] = mixture * (window * phase.cos())
            vector.weight[2 * pair + 1] = mixture * (window * phase.sin())


def start_with_drift(relation: Relation, width: int) -> None:
    """Make every hidden unit answer to the drift of one wave, half of them to either direction.

    A unit is blind to what all its frames share. width: D, features of a frame, as `start_with_waves` made them.
    A relation of one frame stays as it is.
    """
    if relation.scale == 1:
        return
    with torch.no_grad():
        slots = relation.first.weight.view(-1, relation.scale, width)
        size = float(relation.first.weight.std()) * math.sqrt(relation.scale * width)
        slots.sub_(slots.mean(1, keepdim=True)).mul_(_NOISE)
        for unit in range(len(slots)):
            pair = 2 * int(torch.randint(width // 2, ()))
            cosine, sine = drift(relation.scale, backwards=bool(unit % 2))
            slots[unit, :, pair] += _STRENGTH * size * cosine
            slots[unit, :, pair + 1] += _STRENGTH * size * sine


def drift(frames: int, *, backwards: bool) -> tuple[Tensor, Tensor]:
    """Weights of the cosine and of the sine part of a wave in each frame, [frames] each, zero on average over the
    frames and together of norm 1: a wave that moves on by a quarter to one turn, drawn at random, from any phase."""
    turn = math.pi * (0.5 + 1.5 * float(torch.rand(())))
    phase = torch.linspace(0, turn, frames) + 2 * math.pi * float(torch.rand(()))
    cosine, sine = phase.cos(), phase.sin() * (-1 if backwards else 1)
    cosine, sine = cosine - cosine.mean(), sine - sine.mean()
    norm = math.sqrt(float(cosine.square().sum() + sine.square().sum()))
    return cosine / norm, sine / norm
