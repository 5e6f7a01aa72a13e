"""Explanations as one value per frame of the clip."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from handlers.evaluation.common.voxels import native_map
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, FrameAttribution, RelevanceMatrix, SaliencyVolume
from handlers.explainers.frame_profile import on_frames


def step_values(values: Tensor, seen: Tensor, of_step: Literal["sum", "max"] = "sum") -> Tensor:
    """One number per time step of a map: its sum, or its largest value, over the pixels that are no padding.

    values: float [T', H', W'] on the map's own grid, resized to the frame here, bilinear, align_corners=False. seen:
    bool [H, W]. Returns float64 [T']: of the positive part.
    """
    size = (seen.shape[0], seen.shape[1])
    within = functional.interpolate(values.float()[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    shown = within.clamp(min=0)[:, seen].double()
    return shown.sum(1) if of_step == "sum" else shown.amax(1)


def over_blocks(values: Tensor, frames: int) -> Tensor:
    """Values of even groups of consecutive frames, each shared evenly among its frames: float64 [frames].

    values: float [n], n <= frames. Raises LeftOut for more values than frames.
    """
    count = len(values)
    if count > frames:
        raise LeftOut(f"the explanation has {count} values for {frames} frames")
    edges = torch.arange(count + 1) * frames // count
    sizes = edges.diff()
    return (values.double() / sizes).repeat_interleave(sizes)


def frame_values(subject: Subject, attribution: Attribution, of_step: Literal["sum", "max"] = "sum") -> Tensor:
    """How much each frame counts, float64 [T]; signed where the explanation of frames is.

    Map: its positive part, summed over space without the padding (or its largest value there), at the frames where its
    time steps lie. Relevance matrix: its columns, summed over the rows whose logit is positive. Values of frames: those
    of the target's class. Raises LeftOut where the explanation says nothing, or is not finite.
    """
    frames = subject.shape[0]
    match attribution:
        case SaliencyVolume(frame_positions=positions):
            found = on_frames(step_values(native_map(attribution), subject.seen, of_step), positions, frames)
        case RelevanceMatrix(values=values, row_logits=row_logits):
            supports = row_logits > 0
            if not bool(supports.any()):
                raise LeftOut(attribution.undefined or "no time step has a positive logit")
            found = over_blocks(values[supports].double().sum(0), frames)
        case FrameAttribution(values=values):
            found = over_blocks(values[:, subject.target.index] if values.ndim > 1 else values, frames)
    if not bool(found.isfinite().all()):
        raise LeftOut("the explanation has values that are not finite")
    return found
