"""Reports a mask: the paper's statistics (4.3), the windows it competes with, and when it says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from handlers.explainers.attribution import Curve, Details, FrameAttribution
from handlers.explainers.temporal_masks.loss import Loss
from handlers.explainers.temporal_masks.perturbation import Perturbation
from handlers.explainers.temporal_masks.window import MaskWindow, best_window

NO_DROP = 0.001
"""A fall of the score that counts as none: the ratio of two falls is not reported then (the paper's filter)."""

_LITTLE = 0.05
"""A share of the score that, lost under a full mask, is next to nothing."""


@dataclass(frozen=True)
class Findings:
    """The measurements of a clip and its mask so far.

    mask: float [T], the learned one or, where that is better, a window. learned: float [T]. Scores are probabilities:
    of the clip as it is; under the learned mask between 0 and 1; with the frames where the mask exceeds 0.5 frozen, and
    reversed; with all frames perturbed (None: not yet known). losses, scores: float [steps of the descent].
    window_scores: float [number of windows].
    """

    perturbation: Perturbation
    mask: Tensor
    learned: Tensor
    original: float
    soft: float
    frozen: float
    reversed: float
    full: float | None
    losses: Tensor
    scores: Tensor
    windows: Sequence[MaskWindow]
    window_scores: Tensor

    @property
    def on(self) -> Tensor:
        """bool [T]: the frames that the mask holds."""
        return self.mask > 0.5

    @property
    def perturbed(self) -> float:
        """The score under the mask as it was learned for."""
        return self.frozen if self.perturbation is Perturbation.FREEZE else self.reversed


def report(found: Findings, loss: Loss, done: bool) -> FrameAttribution:
    """The mask as an attribution; empty, with the reason in a note, where a finished mask explains nothing."""
    reason = _nothing(found, loss) if done else ""
    mask = torch.zeros_like(found.mask) if reason else found.mask
    notes = [reason] if reason else []
    measures = {"original_score": found.original}
    if found.full is not None:
        measures["full_score"] = found.full
    if not reason:
        measures |= _statistics(found)
    if not reason and len(found.losses) and found.mask is not found.learned:
        notes.append("one window lowers the score further than the mask that the descent found; it is shown instead")
    arrays = {"on": (mask > 0.5).to(torch.uint8)}
    if not reason:  # a mask that explains nothing is not drawn beside the note that says so
        arrays["learned"] = found.learned
    curves = [_curve("objective", found.losses), _curve("score", found.scores)] if len(found.losses) else []
    if found.windows:
        if best := best_window(found.windows, found.window_scores, loss, len(found.mask)):
            window, score = best
            measures |= {"window_first": window.first, "window_last": window.last, "window_score": score}
        arrays["windows"] = torch.tensor([[w.first, w.last] for w in found.windows], dtype=torch.float32)
        arrays["window_scores"] = found.window_scores
        curves.append(_by_length(found))
    details = Details(curves=tuple(curves), notes=tuple(notes), measures=measures, arrays=arrays)
    return FrameAttribution(mask, details=details)


def _nothing(found: Findings, loss: Loss) -> str:
    """Why the mask explains nothing; empty when it explains something."""
    verb = "freezing" if found.perturbation is Perturbation.FREEZE else "reversing"
    drop, price = found.original - found.perturbed, float(loss.cost(found.on.float()))
    if drop > max(price, NO_DROP):
        return ""
    if found.full is not None and (fall := found.original - found.full) <= _LITTLE * found.original:
        amount = "nothing" if fall <= NO_DROP else "next to nothing"
        return (
            f"{verb} changes {amount}: the score is {found.original:.3f} as recorded and {found.full:.3f} with {verb} "
            "all frames; the answer does not rest on this clip's motion, so no mask is shown"
        )
    return f"no mask lowers the score of {found.original:.3f} by more than its own length costs, so none is shown"


def _statistics(found: Findings) -> Mapping[str, float]:
    """OS, FS, RS and what the paper makes of them; its ratio only where both falls are more than 0.001.

    "soft" is the mask as learned, not cut at 0.5: its score and the sum of its values.
    """
    frozen, mirrored = found.original - found.frozen, found.original - found.reversed
    measures = {
        "freeze_score": found.frozen,
        "reverse_score": found.reversed,
        "mask_length": float(found.on.sum()),
        "soft_score": found.soft,
        "soft_length": float(found.learned.sum()),
        "drop_difference": frozen - mirrored,
    }
    if min(frozen, mirrored) > NO_DROP:
        measures["drop_ratio"] = frozen / mirrored
    return measures


def _by_length(found: Findings) -> Curve:
    """The lowest score that any window of each length leaves."""
    lowest: dict[int, float] = {}
    for window, score in zip(found.windows, found.window_scores.tolist(), strict=True):
        lowest[window.length] = min(score, lowest.get(window.length, score))
    lengths = sorted(lowest)
    return Curve("best window's score", "frames", tuple(map(float, lengths)), tuple(lowest[n] for n in lengths))


def _curve(name: str, values: Tensor) -> Curve:
    return Curve(name, "iteration", tuple(map(float, range(1, len(values) + 1))), tuple(values.tolist()))
