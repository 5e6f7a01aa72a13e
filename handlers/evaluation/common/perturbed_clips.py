"""A clip that becomes another one voxel by voxel, and what a network makes of it on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from handlers.evaluation.common.ranking import Ranking
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.subject import Subject

Score = Callable[[Tensor], Tensor]
"""From prepared clips, float [B, C, T, H, W], to one row of numbers each: [B] of a class, [B, K] of all classes."""

_MOST_NUMBERS = 2**23
"""Of the clips that are perturbed and run together, and most of them: more of them are no faster."""
_MOST_CLIPS = 16


def batch_of(clip: Tensor) -> int:
    """How many perturbed versions of a clip to run together: small clips many, large ones alone."""
    return max(1, min(_MOST_CLIPS, _MOST_NUMBERS // clip.numel()))


def replaced(start: Tensor, end: Tensor, voxels: Tensor) -> Tensor:
    """`start` with the voxels of `end` at these places, all channels of a voxel together.

    start, end: float [C, T, H, W]. voxels: int64, numbers in the flattened clip. Same shape, channels last in memory.
    """
    rows = _rows(start).clone()
    rows.index_copy_(0, voxels, _rows(end)[voxels])
    return _clips(rows[None], start)[0]


def perturbed_clips(start: Tensor, end: Tensor, ranking: Ranking, steps: int, batch: int) -> Iterator[Tensor]:
    """The clips on the way from `start` to `end`, in batches float [b, C, T, H, W], channels last in memory.

    Clip t of 0 .. steps has the voxels of `end` in the first floor(t U / steps) units of the ranking. A batch is valid
    until the next one is asked for: all use the same memory.
    """
    current, wanted = _rows(start).clone(), _rows(end)
    ends = ranking.ends(steps).tolist()
    buffer = current.new_empty((min(batch, steps + 1), *current.shape))
    done = 0
    for first in range(0, steps + 1, batch):
        taken = ends[first : first + batch]
        for slot, end_of_step in enumerate(taken):
            changed = ranking.voxels[done:end_of_step]
            current.index_copy_(0, changed, wanted[changed])
            buffer[slot] = current
            done = end_of_step
        yield _clips(buffer[: len(taken)], start)


def replacement_curve(score: Score, start: Tensor, end: Tensor, ranking: Ranking, steps: int) -> Tensor:
    """Scores of the clips on the way from `start` to `end`: float64 [steps + 1, ...], the first of `start` itself.

    start, end: float [C, T, H, W]. With the blank clip as start this is insertion, as end it is deletion.
    """
    clips = perturbed_clips(start, end, ranking, steps, batch_of(start))
    return torch.cat([score(some).double() for some in clips])


def area_under(curve: Tensor) -> float:
    """Area under a curve whose points lie at even steps of 0 .. 1: (sum - first / 2 - last / 2) / n.

    curve: float [n + 1], n >= 1.
    """
    values = curve.double()
    return float((values.sum() - (values[0] + values[-1]) / 2) / (len(values) - 1))


def class_score(subject: Subject) -> Score:
    """The target's probability by the subject's model, [B]. Raises LeftOut where it is not finite."""
    every = class_probabilities(subject)
    return lambda clips: every(clips)[:, subject.target.index]


def class_probabilities(subject: Subject) -> Score:
    """All classes' probabilities by the subject's model, [B, K]. Raises LeftOut where they are not finite."""

    def score(clips: Tensor) -> Tensor:
        with torch.inference_mode():
            logits = subject.model.program.forward(clips, (), relevance=False).logits
            found = subject.model.probabilities(logits)
        if not bool(found.isfinite().all()):
            raise LeftOut("the model's probabilities of a perturbed clip are not finite")
        return found

    return score


def _rows(clip: Tensor) -> Tensor:
    """[C, T, H, W] as [T * H * W, C]; no copy where it is channels last in memory."""
    return clip.permute(1, 2, 3, 0).reshape(-1, len(clip))


def _clips(rows: Tensor, like: Tensor) -> Tensor:
    """[b, T * H * W, C] as [b, C, T, H, W], channels last in memory."""
    return rows.view(len(rows), *like.shape[1:], len(like)).permute(0, 4, 1, 2, 3)
