"""What changes of the whole clip do to the answer: reversed, mirrored, shuffled, frozen (temporal-mask paper,
Table 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from handlers.evaluation.common.changed_clips import passes, reordered
from handlers.evaluation.measure import ClipMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Curve
from handlers.models.action_model import ActionModel

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From a clip, uint8 [T, H, W, 3], to a clip of the same shape."""


def reversed_in_time(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The last frame first."""
    return np.ascontiguousarray(clip[::-1])


def mirrored(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Left and right exchanged."""
    return np.ascontiguousarray(clip[:, :, ::-1])


def frozen(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle frame, number floor(T / 2), in place of all."""
    return reordered(clip, [len(clip) // 2] * len(clip))


def window_frozen(clip: NDArray[np.uint8], first: int, length: int = 5) -> NDArray[np.uint8]:
    """Frame `first` in place of the `length` frames from it on."""
    return reordered(clip, [first if first <= frame < first + length else frame for frame in range(len(clip))])


def shuffled(clip: NDArray[np.uint8], generator: torch.Generator) -> NDArray[np.uint8]:
    """Frames in a random order that is not the recorded one, where there is another."""
    order = list(range(len(clip)))
    while len(order) > 1 and order == sorted(order):
        order = torch.randperm(len(clip), generator=generator).tolist()
    return reordered(clip, order)


def macro_f1(labels: Sequence[int], answers: Sequence[int]) -> float | None:
    """F1 averaged over the classes among the labels, 0 .. 1 (Tables 1 and 2); None for no clips.

    labels, answers: of one clip each. A class that is never answered has F1 0.
    """
    found = []
    for own in sorted(set(labels)):
        pairs = [(label == own, answer == own) for label, answer in zip(labels, answers, strict=True)]
        both = sum(is_own and answered for is_own, answered in pairs)
        found.append(2 * both / sum(is_own + answered for is_own, answered in pairs))
    return sum(found) / len(found) if found else None


class WholeClipParameters(MeasureParameters):
    """Parameters of changes of the whole clip."""

    shuffles: Annotated[int, Field(ge=1, le=100, description="random orders of the frames")] = 5
    window: Annotated[int, Field(ge=2, le=1000, description="frames of the windows that are frozen")] = 5


class WholeClip(ClipMeasure[WholeClipParameters]):
    """The target's probability, and whether it is the top-1 class, under each change."""

    name = "whole-clip"
    summary = "the class's probability, and accuracy, of the clip reversed, mirrored, frozen and shuffled"
    source = "Interpreting video features (Mänttäri et al.), Table 1"
    parameters = WholeClipParameters

    def forwards(self, model: ActionModel, frames: int, parameters: WholeClipParameters) -> int:
        return len(_CHANGES) + parameters.shuffles + _windows(frames, parameters)

    def measure(self, subject: Subject, parameters: WholeClipParameters) -> Measured:
        """Accuracies are 100 where the top-1 class is the target: the label where it is known, else the answer to the
        clip as recorded. answers: float32 [4 + shuffles], the top-1 classes as recorded, reversed, mirrored, frozen and
        shuffled; with the labels of a set they give its F1.
        """
        target = subject.target.index
        windows = _windows(subject.shape[0], parameters)
        clips = _changed(subject, parameters, windows)
        logits = torch.cat([subject.logits[None], *(forward.logits for forward in passes(subject.model, clips))])
        scores = subject.model.probabilities(logits)[:, target].double()
        answers = logits.argmax(1)
        of_windows = len(logits) - windows
        parts = {name: slice(place, place + 1) for place, name in enumerate(("recorded", *_CHANGES))}
        parts["shuffled"] = slice(len(parts), of_windows)

        values = {name: Value(float(scores[part].mean()), unit="probability") for name, part in parts.items()}
        values |= {
            f"{name}-accuracy": Value(100 * float((answers[part] == target).double().mean()), unit="%")
            for name, part in parts.items()
        }
        left_out, curves = {}, []
        if windows:
            frozen_scores = scores[of_windows:].tolist()
            values["lowest-window"] = Value(min(frozen_scores), unit="probability")
            x = tuple(map(float, range(windows)))
            curves.append(Curve("score with a window frozen", "first frame", x, tuple(frozen_scores), "probability"))
        else:
            left_out["lowest-window"] = f"the clip has fewer than {parameters.window} frames"
        arrays = {"answers": answers[:of_windows].float()}
        return Measured(values, left_out, tuple(curves), arrays)


_CHANGES: Mapping[str, Change] = {"reversed": reversed_in_time, "mirrored": mirrored, "frozen": frozen}


def _windows(frames: int, parameters: WholeClipParameters) -> int:
    """How many windows there are to freeze."""
    return max(0, frames - parameters.window + 1)


def _changed(subject: Subject, parameters: WholeClipParameters, windows: int) -> Iterator[NDArray[np.uint8]]:
    clip = subject.clip
    yield from (change(clip) for change in _CHANGES.values())
    yield from (shuffled(clip, subject.generator(draw)) for draw in range(parameters.shuffles))
    yield from (window_frozen(clip, first, parameters.window) for first in range(windows))


MEASURES = (WholeClip(),)
