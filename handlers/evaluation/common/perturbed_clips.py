"""A clip that becomes another one voxel by voxel, and what a network makes of it on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from handlers.evaluation.common.ranking import Ranking
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.subject import Subject
from handlers.models.action_model import ActionModel
from handlers.relevance import Program
from handlers.relevance.program.first_convolution import FirstConvolution

Score = Callable[[Tensor], Tensor]
"""From prepared clips, float [B, C, T, H, W], to one row of numbers each: [B] of a class, [B, K] of all classes."""

_MOST_NUMBERS = 2**23
"""Of all changed clips that run together, and most of them: more of them are no faster."""
_MOST_CLIPS = 16
_PAYS = 0.5
"""Share of the first convolution's outputs that a step may change, for adding what changes to pay."""


def batch_of(numbers: int) -> int:
    """How many versions of a clip of so many numbers to run together: of small clips many, large ones alone."""
    return max(1, min(_MOST_CLIPS, _MOST_NUMBERS // numbers))


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

    start, end: float [C, T, H, W]. With the blank clip as start this is insertion, as end it is deletion. Scores of a
    `ModelScore` are those of the clips up to rounding, and come sooner where its network begins with a convolution.
    """
    if isinstance(score, ModelScore) and (first := _shortcut(score.model, start, ranking, steps)) is not None:
        after = cast(Program, score.model.program).after_first_convolution
        found = [score.of_logits(after(some)) for some in _first_outputs(first, start, end, ranking, steps)]
    else:
        found = [score(clips) for clips in perturbed_clips(start, end, ranking, steps, batch_of(start.numel()))]
    return torch.cat(found).double()


def area_under(curve: Tensor) -> float:
    """Area under a curve whose points lie at even steps of 0 .. 1: (sum - first / 2 - last / 2) / n.

    curve: float [n + 1], n >= 1.
    """
    values = curve.double()
    return float((values.sum() - (values[0] + values[-1]) / 2) / (len(values) - 1))


@dataclass(frozen=True)
class ModelScore:
    """Probabilities by a model, of one class, [B], or of all, [B, K]. Raises LeftOut where they are not finite."""

    model: ActionModel
    index: int | None = None

    @torch.no_grad()
    def __call__(self, clips: Tensor) -> Tensor:
        return self.of_logits(self.model.program.forward(clips, (), relevance=False).logits)

    def of_logits(self, logits: Tensor) -> Tensor:
        """[B, K] to [B], or [B, K]."""
        found = self.model.probabilities(logits)
        if not bool(found.isfinite().all()):
            raise LeftOut("the model's probabilities of a perturbed clip are not finite")
        return found if self.index is None else found[:, self.index]


def class_score(subject: Subject) -> ModelScore:
    """The target's probability by the subject's model, [B]."""
    return ModelScore(subject.model, subject.target.index)


def _shortcut(model: ActionModel, clip: Tensor, ranking: Ranking, steps: int) -> FirstConvolution | None:
    """The network's first convolution where adding up what changes is less work than to run it on every clip."""
    first = model.program.first_convolution if isinstance(model.program, Program) else None
    if first is None or not len(ranking) or not _within_frames(ranking, clip):
        return None
    side = math.ceil(math.sqrt(int(ranking.sizes.max())))
    changed = len(ranking) / steps * math.prod(first.reach(side, side))
    return first if changed < _PAYS * math.prod(first.output_size(clip.shape[1:])) else None


def _within_frames(ranking: Ranking, clip: Tensor) -> bool:
    """Whether every unit lies in one frame."""
    frames = ranking.voxels // math.prod(clip.shape[2:])
    firsts = frames[ranking.sizes.cumsum(0) - ranking.sizes]
    return bool((frames == firsts.repeat_interleave(ranking.sizes)).all())


def _first_outputs(
    first: FirstConvolution, start: Tensor, end: Tensor, ranking: Ranking, steps: int
) -> Iterator[Tensor]:
    """What the first convolution makes of `perturbed_clips`, in batches [b, C', T', H', W'], in one buffer."""
    current, difference = first.rows(start), end - start
    size, batch = first.output_size(start.shape[1:]), batch_of(start.numel())
    units = (torch.arange(steps + 1) * len(ranking) // steps).tolist()
    ends = [0, *ranking.sizes.cumsum(0).tolist()]
    buffer = current.new_empty((min(batch, steps + 1), len(current) - 1, current.shape[1]))
    done = 0
    for begin in range(0, steps + 1, batch):
        taken = units[begin : begin + batch]
        if taken[-1] > done:
            voxels, sizes = ranking.voxels[ends[done] : ends[taken[-1]]], ranking.sizes[done : taken[-1]]
            places, amounts = first.added(difference, voxels, sizes)
        base = done
        for slot, unit in enumerate(taken):
            if unit > done:
                some = slice(done - base, unit - base)
                current.index_add_(0, places[some].flatten(), amounts[some].flatten(0, 1))
                done = unit
            first.activations(current, buffer[slot])
        yield buffer[: len(taken)].view(len(taken), *size, -1).permute(0, 4, 1, 2, 3)


def _rows(clip: Tensor) -> Tensor:
    """[C, T, H, W] as [T * H * W, C]; no copy where it is channels last in memory."""
    return clip.permute(1, 2, 3, 0).reshape(-1, len(clip))


def _clips(rows: Tensor, like: Tensor) -> Tensor:
    """[b, T * H * W, C] as [b, C, T, H, W], channels last in memory."""
    return rows.view(len(rows), *like.shape[1:], len(like)).permute(0, 4, 1, 2, 3)
