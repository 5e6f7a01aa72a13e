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
class MaskScores:
    """A mask, float [T], and the scores that it leaves, freezing and reversing: as it is, between 0 and 1 (`soft`), and
    with the frames where it exceeds 0.5 (`hard`)."""

    mask: Tensor
    soft: Mapping[Perturbation, float]
    hard: Mapping[Perturbation, float]


@dataclass(frozen=True)
class Findings:
    """The measurements of a clip and its mask so far.

    mask: float [T], the one that is shown: the learned one or, where that is better, a window. left: the score with the
    frames where it exceeds 0.5 perturbed. learned: what the descent found, whatever is shown; where nothing descends,
    the shown one. Scores are probabilities: of the clip as it is; with all frames perturbed (None: not yet known).
    losses, scores: float [steps of the descent]. window_scores: float [number of windows].
    """

    perturbation: Perturbation
    mask: Tensor
    left: float
    learned: MaskScores
    original: float
    full: float | None
    losses: Tensor
    scores: Tensor
    windows: Sequence[MaskWindow]
    window_scores: Tensor

    @property
    def on(self) -> Tensor:
        """bool [T]: the frames that the shown mask holds."""
        return self.mask > 0.5

    @property
    def replaced(self) -> bool:
        """Whether a window is shown in place of what the descent found."""
        return self.mask is not self.learned.mask


def report(found: Findings, loss: Loss, done: bool) -> FrameAttribution:
    """The mask as an attribution; empty, with the reason in a note, where a finished mask explains nothing."""
    reason = _nothing(found, loss) if done else ""
    mask = torch.zeros_like(found.mask) if reason else found.mask
    notes = [reason] if reason else []
    measures = {"original_score": found.original, **_statistics(found)}
    if found.full is not None:
        measures["full_score"] = found.full
    if not reason:
        measures |= {"shown_score": found.left, "shown_length": float(found.on.sum())}
    if not reason and found.replaced:
        notes.append(
            "one window lowers the score further than the mask that the descent found; it is shown instead, and the "
            "statistics of freezing and reversing are those of the mask that was found"
        )
    if done and not len(found.losses):
        notes.append("nothing descends on this model: the statistics of freezing and reversing are the window's")
    arrays = {"on": (mask > 0.5).to(torch.uint8)}
    if not reason:  # a mask that explains nothing is not drawn beside the note that says so
        arrays["learned"] = found.learned.mask
    curves = (
        [_curve("objective", found.losses), _curve("score", found.scores, "probability")] if len(found.losses) else []
    )
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
    drop, price = found.original - found.left, float(loss.cost(found.on.float()))
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
    """FS, RS and what the paper makes of them with OS; its ratio only where both falls are more than 0.001.

    Of the learned mask, also where a window is shown or nothing is: names with "soft" of the mask as it is, as the
    authors do, the others of the frames where it exceeds 0.5.
    """
    learned = found.learned
    measures = {
        "soft_score": learned.soft[found.perturbation],
        "soft_length": float(learned.mask.sum()),
        "mask_length": float((learned.mask > 0.5).sum()),
    }
    for which, scores in (("soft_", learned.soft), ("", learned.hard)):
        falls = {kind: found.original - scores[kind] for kind in Perturbation}
        measures |= {f"{which}{kind}_score": scores[kind] for kind in Perturbation}
        measures[f"{which}drop_difference"] = falls[Perturbation.FREEZE] - falls[Perturbation.REVERSE]
        if min(falls.values()) > NO_DROP:
            measures[f"{which}drop_ratio"] = falls[Perturbation.FREEZE] / falls[Perturbation.REVERSE]
    return measures


def _by_length(found: Findings) -> Curve:
    """The lowest score that any window of each length leaves."""
    lowest: dict[int, float] = {}
    for window, score in zip(found.windows, found.window_scores.tolist(), strict=True):
        lowest[window.length] = min(score, lowest.get(window.length, score))
    lengths = sorted(lowest)
    scores = tuple(lowest[n] for n in lengths)
    return Curve("best window's score", "frames", tuple(map(float, lengths)), scores, "probability")


def _curve(name: str, values: Tensor, unit: str = "") -> Curve:
    return Curve(name, "iteration", tuple(map(float, range(1, len(values) + 1))), tuple(values.tolist()), unit)
