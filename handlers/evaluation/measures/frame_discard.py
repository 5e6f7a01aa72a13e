"""Frame discard (Play Fair, 3.1, Fig. 3): how the class fares as frames are discarded in the order of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from handlers.evaluation.common.element_features import (
    Kept,
    by_element,
    element_features,
    network_of,
    subsequence_logits,
)
from handlers.evaluation.common.feature_gradients import element_grad_cam, element_integrated_gradients
from handlers.evaluation.common.frame_values import frame_values
from handlers.evaluation.common.perturbed_clips import ModelScore, batch_of
from handlers.evaluation.common.ranking import order
from handlers.evaluation.measure import Better, LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, Curve, FrameAttribution
from handlers.explainers.shapley import Elements
from handlers.models.action_model import ActionModel
from handlers.models.blocks.consensus import frame_model

ScoreSets = Callable[[Sequence[Kept]], Tensor]
"""From the elements that are left of a clip, one at least in each set, to class probabilities [m, K]."""


def kept_after(rank: Sequence[int]) -> list[Kept]:
    """What is left after 0, 1 .. n - 1 elements are discarded. rank: the n elements, the first to go first."""
    return [tuple(sorted(rank[gone:])) for gone in range(len(rank))]


def discard_scores(rank: Sequence[int], scores: ScoreSets) -> tuple[Tensor, Tensor]:
    """Class probabilities after 0 .. n - 1 elements are discarded: (the highest first, the lowest first), [n, K] each.

    rank: the n elements, the highest first. Every different set is scored once.
    """
    highest, lowest = kept_after(rank), kept_after(rank[::-1])
    sets = list(dict.fromkeys(highest + lowest))
    known = dict(zip(sets, scores(sets), strict=True))
    return torch.stack([known[kept] for kept in highest]), torch.stack([known[kept] for kept in lowest])


def area_between(lowest: Tensor, highest: Tensor) -> float:
    """Mean over 0 .. n - 1 discarded elements of the curve that discards the lowest first minus the other.

    lowest, highest: float [n] each. In -1 .. 1 for probabilities; 0 for values that say nothing, on average.
    """
    return float((lowest - highest).double().mean())


def removable(lowest: Tensor, target: int) -> int:
    """The most elements that can be discarded, the lowest first, with the top-1 class right at every step.

    lowest: [n, K], as of `discard_scores`; the clip as a whole is right.
    """
    wrong = (lowest.argmax(1) != target).nonzero()
    return (int(wrong[0]) if len(wrong) else len(lowest)) - 1


def centre_rank(count: int) -> list[int]:
    """Elements from the centre to the edges, of two as far the earlier first."""
    return sorted(range(count), key=lambda element: (abs(2 * element - (count - 1)), element))


def uniform_rank(count: int) -> list[int]:
    """Elements such that the first few of the order, whatever their number, are spread evenly (van der Corput's
    sequence: 0, 4, 2, 6, 1, 5, 3, 7 of eight). The paper does not say which order it means by "uniformly"."""
    bits = (count - 1).bit_length()
    reversed_bits = (int(format(index, "b").zfill(bits)[::-1], 2) for index in range(1 << bits))
    return [element for element in reversed_bits if element < count]


def held_clips(elements: Elements, sets: Sequence[Kept]) -> Tensor:
    """int64 [m, T]: the frame that stands at each place when absent ones repeat the nearest that is left."""
    return torch.stack([elements.held(kept) for kept in sets])


class FrameDiscardParameters(MeasureParameters):
    """Parameters of frame discard."""


class FrameDiscard(MapMeasure[FrameDiscardParameters]):
    """The area between the curve that discards the lowest values first and the one that discards the highest first.

    Models that take any number of frames see what is left (the subsequence; an element is what they have features of, a
    frame or a snippet). Others see a clip of the same length in which discarded frames repeat the nearest that is left;
    the curves then count "frames discarded (held)". Explanations of voxels count by frame, their positive part summed.
    """

    name = "frame-discard"
    summary = (
        "frames discarded by their value, lowest first and highest first: the area between the two curves of the "
        "class's probability; higher is better"
    )
    source = "Play Fair (Price and Damen 2020), 3.1 and Fig. 3"
    parameters = FrameDiscardParameters

    def forwards(self, model: ActionModel, frames: int, parameters: FrameDiscardParameters) -> int:
        return 1 if frame_model(model.module) is not None else max(2 * frames - 1, 1)

    def measure(self, subject: Subject, attribution: Attribution, parameters: FrameDiscardParameters) -> Measured:
        network = frame_model(subject.model.module)
        values = frame_values(subject, attribution)
        if network is not None:
            values = by_element(values, network.snippet)
        rank, tied = order(values, subject.generator(len(values)))
        highest, lowest = discard_scores(rank.tolist(), _scores(subject))
        elements = "frames discarded (held)"
        if network is not None:
            elements = f"{'frames' if network.snippet == 1 else 'snippets'} discarded"
        return _measured(subject, highest, lowest, elements, tied)

    def baselines(self, subject: Subject, parameters: FrameDiscardParameters) -> Mapping[str, Attribution]:
        """The orders of Fig. 3: from the centre, from the edges, evenly; of models that have features of frames also
        the two rivals of ESV, by gradients on those features."""
        return _Orders(subject)


class _Orders(Mapping[str, Attribution]):
    """Orders to compare with, each computed when it is asked for: gradients take a while, names nothing."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._network = frame_model(subject.model.module)
        self._snippet = 1 if self._network is None else self._network.snippet

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[str]:
        yield from ("centre", "edges", "uniform")
        if self._network is not None:
            yield from ("element-ig", "element-grad-cam")

    def __getitem__(self, name: str) -> Attribution:
        frames = self._subject.shape[0]
        count = -(-frames // self._snippet)
        match name:
            case "centre":
                values = _ranked(centre_rank(count))
            case "edges":
                values = _ranked(centre_rank(count)[::-1])
            case "uniform":
                values = _ranked(uniform_rank(count))
            case "element-ig" | "element-grad-cam" if self._network is not None:
                values_of = element_integrated_gradients if name == "element-ig" else element_grad_cam
                values = values_of(self._network.consensus, element_features(self._subject), self._subject.target.index)
            case _:
                raise KeyError(name)
        return FrameAttribution(_on_frames(values, frames, self._snippet))


def _scores(subject: Subject) -> ScoreSets:
    model = subject.model
    if frame_model(model.module) is not None:
        consensus, features = network_of(model).consensus, element_features(subject)
        return lambda sets: model.probabilities(subsequence_logits(consensus, features, sets))
    elements, score = Elements(subject.shape[0], subject.shape[0]), ModelScore(model)
    batch = batch_of(model.prepare([subject.clip])[0].numel())

    def held(sets: Sequence[Kept]) -> Tensor:
        # Of pixels, not of prepared frames: optical flow between held frames is that of what is seen.
        parts = (held_clips(elements, sets[start : start + batch]) for start in range(0, len(sets), batch))
        return torch.cat([score(model.prepare([subject.clip[frames.numpy()] for frames in part])) for part in parts])

    return held


def _measured(subject: Subject, highest: Tensor, lowest: Tensor, elements: str, tied: float) -> Measured:
    target, label = subject.target.index, subject.truth.label
    count = len(highest)
    if count < 2:
        raise LeftOut("a single element leaves nothing to discard")
    half = count // 2
    own = {"highest": highest[:, target], "lowest": lowest[:, target]}
    values = {"area": Value(area_between(own["lowest"], own["highest"]), Better.HIGHER, "probability")}
    left_out = {}
    curves = {f"probability, {name} first": (curve, "probability") for name, curve in own.items()}
    names = ("accuracy_area", "removable", "accuracy_half_lowest", "accuracy_half_highest")
    if label is None:
        left_out = dict.fromkeys(names, "no label is given")
    else:
        right = {
            name: (found.argmax(1) == label).double() for name, found in (("highest", highest), ("lowest", lowest))
        }
        curves |= {f"accuracy, {name} first": (curve, "") for name, curve in right.items()}
        values["accuracy_area"] = Value(area_between(right["lowest"], right["highest"]), Better.HIGHER)
        values["accuracy_half_lowest"] = Value(float(right["lowest"][half]), Better.HIGHER)
        values["accuracy_half_highest"] = Value(float(right["highest"][half]), Better.LOWER)
        if right["lowest"][0]:
            values["removable"] = Value(float(removable(lowest, label)), Better.HIGHER, "frames")
        else:
            left_out["removable"] = "the whole clip is not recognised"
    values["half_lowest"] = Value(float(own["lowest"][half]), Better.HIGHER, "probability")
    values["half_highest"] = Value(float(own["highest"][half]), Better.LOWER, "probability")
    values["tied"] = Value(100 * tied, unit="%")
    x = tuple(map(float, range(count)))
    drawn = tuple(Curve(name, elements, x, tuple(curve.tolist()), unit) for name, (curve, unit) in curves.items())
    return Measured(values, left_out, drawn)


def _ranked(rank: Sequence[int]) -> Tensor:
    """Values [n] whose order, the highest first, is `rank`."""
    values = torch.empty(len(rank), dtype=torch.float64)
    values[list(rank)] = torch.arange(len(rank), 0, -1, dtype=torch.float64)
    return values


def _on_frames(values: Tensor, frames: int, snippet: int) -> Tensor:
    """Values of elements on their frames, [T], such that those of an element sum to its value exactly: its first frame
    has all of it."""
    found = torch.zeros(frames)
    found[::snippet] = values.float()
    return found


MEASURES = (FrameDiscard(),)
