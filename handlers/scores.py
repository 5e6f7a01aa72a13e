"""Recognises by the numbers what a network puts out: logits, probabilities, or their logarithms."""

from __future__ import annotations

import torch
from torch import Tensor

from actionlens.card import Scores

_CLOSE = 2e-3
"""Of a sum of probabilities to 1; those of half precision are that far off."""
_PERCENT = 100.0


def probe_clips(channels: int, frames: int, height: int, width: int) -> Tensor:
    """Five clips, float32 [5, C, T, H, W], that tell networks apart.

    Noise at three contrasts; then two whose halves, in space and in time, are of two levels.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((3, channels, frames, height, width), generator=generator)
    noise *= torch.tensor([0.3, 1.0, 3.0]).view(3, 1, 1, 1, 1)
    halves = torch.full((2, channels, frames, height, width), -1.0)
    halves[0, ..., width // 2 :] = 2.0
    halves[1, :, frames // 2 :] = 2.0
    return torch.cat([noise, halves])


def recognised(rows: Tensor) -> tuple[Scores, float]:
    """What rows [N, K] are, and what probabilities among them sum to: 1, or 100 where they are percent."""
    rows = rows.double()
    sums = rows.sum(1)
    for total in (1.0, _PERCENT):
        if bool((rows >= 0).all()) and bool(((sums / total - 1).abs() < _CLOSE).all()):
            return Scores.PROBABILITIES, total
    if bool((rows <= 1e-6).all()) and bool(((rows.exp().sum(1) - 1).abs() < _CLOSE).all()):
        return Scores.LOG_PROBABILITIES, 1.0
    return Scores.LOGITS, 1.0


def unclear(rows: Tensor) -> str:
    """What is to be said about rows [N, K] taken for logits that may be something else; "" where nothing is."""
    if bool(((rows >= 0) & (rows <= 1)).all()):
        return (
            "its scores lie between 0 and 1 and do not sum to 1: logits, or probabilities of every class for itself? "
            "They are taken for logits; if they are such probabilities, write scores: sigmoid in the card"
        )
    return ""


def apart(logits: Tensor, rows: Tensor, scores: Scores, total: float = 1.0) -> float:
    """How far the predictions of logits [N, K] are from the scores [N, K] that a network puts out."""
    match scores:
        case Scores.PROBABILITIES:
            expected = rows / total
        case Scores.LOG_PROBABILITIES:
            expected = rows.exp()
        case Scores.SIGMOID:
            return float((logits.sigmoid() - rows).abs().max())
        case _:
            expected = rows.softmax(1)
    return float((logits.softmax(1) - expected).abs().max())
