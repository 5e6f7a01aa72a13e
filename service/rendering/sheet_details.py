"""Draws the part of a contact sheet below an explanation's values: class scores, strips, plots and notes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionlens.tensors import to_array
from actionlens.v1 import explanation_pb2, tensor_pb2
from service.rendering.colours import ACCENT, FAINT, GROUND, INK
from service.rendering.filmstrip import Filmstrip
from service.rendering.plot import plots
from service.rendering.strip import TimeAxis, bar_strip, curve_strip, label
from service.rendering.text import number, shorten, wrap, write

_TALL, _LOW, _GAP = 110, 64, 6
_MOST_CLASSES = 4
_LINE = 22
_SMALL, _LARGE = 13, 15
_BY_CLASS, _ELEMENTS = "values_by_class", "elements"
_BETWEEN = "  ·  "
_MASK = "on"
"""The array of a temporal mask that says which frames it holds."""
_OF_MASKS = {
    _MASK: "held: the mask is above 0.5",
    "learned": "mask as the descent left it",
    "full_score": "score with all frames held",
    "shown_score": "score with the shown frames held",
    "shown_length": "frames held",
    "freeze_score": "learned mask above 0.5, frozen: score",
    "reverse_score": "reversed: score",
    "mask_length": "learned mask above 0.5: frames",
    "soft_score": "learned mask as it is: score",
    "soft_length": "learned mask as it is: length",
    "window_first": "best window from model frame",
    "window_last": "to model frame",
    "window_score": "score with it",
}


def class_bars(axis: TimeAxis, explanation: explanation_pb2.Explanation, labels: dict[int, str]) -> list[Image.Image]:
    """The frames' shares in the target's score as bars, and below, on the same scale, those of other classes.

    labels: names of classes by number; classes beyond the target are those among them with the largest shares. Empty
    where no frame has a share.
    """
    values, unit = _by_class(explanation), explanation.frame_attribution.unit
    if values is None:
        about = "mask" if _MASK in explanation.arrays else explanation.target.label.replace("_", " ")
        own = to_array(explanation.frame_attribution.values).ravel()
        return _bars(axis, about, _finite(own), ACCENT, _TALL, unit=unit) if own.any() else []
    target = min(explanation.target.index, values.shape[1] - 1)
    others = [index for index in labels if index != target and index < values.shape[1]]
    if explanation.HasField("contrast"):
        others.sort(key=lambda index: index != explanation.contrast.index)
    shown = [target, *others[: _MOST_CLASSES - 1]]
    chosen = values[:, shown]
    span = (min(float(chosen.min()), 0.0), max(float(chosen.max()), 0.0))
    rows: list[Image.Image] = []
    for rank, index in enumerate(shown):
        name = labels.get(index, f"class {index}").replace("_", " ")
        about = f"{name}  ·  sum {number(float(values[:, index].sum()))}"
        colour, height = (ACCENT, _TALL) if rank == 0 else (FAINT, _LOW)
        rows += _bars(axis, about, values[:, index], colour, height, span, unit)
    return rows


def details(filmstrip: Filmstrip, explanation: explanation_pb2.Explanation) -> list[Image.Image]:
    """Arrays with a value per frame as strips, those over space on the frames; series as plots; numbers and notes."""
    axis, width = filmstrip.axis, filmstrip.page
    parts = _running(axis, explanation, width)
    # The attribution itself is drawn already.
    own = _finite(to_array(explanation.frame_attribution.values)) if explanation.HasField("frame_attribution") else ()
    for name in sorted(explanation.arrays):
        values = to_array(explanation.arrays[name])
        if values.ndim == 3 and values.size:
            parts += [_text(width, _name(explanation, name), FAINT), filmstrip.row(_volume(explanation.arrays[name]))]
        if values.shape == (axis.frames,) and axis.frames > 1 and not np.array_equal(values, own):
            parts += _bars(axis, _name(explanation, name), _finite(values), FAINT, _LOW)
    drawn = plots([curve for curve in explanation.curves if _runs(explanation, curve, axis) is None], width)
    if drawn is not None:
        parts += [Image.new("RGB", (1, _GAP), GROUND), drawn]
    measures = _BETWEEN.join(
        f"{_name(explanation, name)}: {number(value)}" for name, value in sorted(explanation.measures.items())
    )
    if measures:
        parts += [_text(width, line, FAINT) for line in wrap(measures, _SMALL, width, _BETWEEN)]
    # The reading stands above already.
    notes = [note for note in explanation.notes if note != explanation.reading]
    parts += [_text(width, line, INK) for note in notes for line in wrap(note, _LARGE, width)]
    return parts


def _name(explanation: explanation_pb2.Explanation, name: str) -> str:
    """An array or a measure as people call it."""
    known = _OF_MASKS if _MASK in explanation.arrays else {}
    return known.get(name, name.replace("_", " "))


def _bars(
    axis: TimeAxis,
    about: str,
    values: NDArray[np.float64],
    colour: tuple[int, int, int],
    height: int,
    span: tuple[float, float] | None = None,
    unit: str = "",
) -> list[Image.Image]:
    """A line with the name of the values and their scale in its unit, and the bars. values: float64 [T]; span: see
    bar_strip."""
    low, high = span or (min(float(values.min(initial=0)), 0.0), max(float(values.max(initial=0)), 0.0))
    line = _text(axis.width, about, colour)
    label(line, f"{number(low)} to {number(high)} {unit}".rstrip(), (axis.width, 6), "ra")
    return [line, bar_strip(axis, height, values, (low, high))]


def _by_class(explanation: explanation_pb2.Explanation) -> NDArray[np.float64] | None:
    """float64 [N, K]: the attribution itself where it is for all classes, else the array beside it. Frames of one
    element have equal parts of its values."""
    attribution = explanation.frame_attribution.values
    beside = explanation.arrays.get(_BY_CLASS, None)
    for tensor in (attribution, beside):
        if tensor is not None and len(tensor.shape) == 2 and tensor.shape[1] > 1:
            values = _finite(to_array(tensor))
            element = _elements(explanation, len(values), attribution.shape[0])
            return None if element is None else values[element] / np.bincount(element)[element, None]
    return None


def _elements(explanation: explanation_pb2.Explanation, count: int, frames: int) -> NDArray[np.int64] | None:
    """int64 [T]: which of `count` elements each frame belongs to; None where that is not known."""
    if count == frames:
        return np.arange(frames)
    if _ELEMENTS not in explanation.arrays:
        return None
    bounds = to_array(explanation.arrays[_ELEMENTS])
    if bounds.shape != (count, 2):
        return None
    lengths = np.maximum(bounds[:, 1] - bounds[:, 0] + 1, 0).astype(np.int64)
    return np.repeat(np.arange(count), lengths) if lengths.sum() == frames else None


def _running(axis: TimeAxis, explanation: explanation_pb2.Explanation, width: int) -> list[Image.Image]:
    """The score as the frames come in, under the frames themselves."""
    parts: list[Image.Image] = []
    for curve in explanation.curves:
        element = _runs(explanation, curve, axis)
        if element is not None:
            score = np.clip(np.nan_to_num(np.asarray(curve.y[1:], np.float64)), 0, 1)[element]
            about = f"{curve.name}: from {number(curve.y[0])} with none to {number(curve.y[-1])} with all; top is 1"
            line = f"{about} {curve.unit}".rstrip()
            parts += [_text(width, line, FAINT), curve_strip(axis, _LOW, score, highest=1.0)]
    return parts


def _runs(
    explanation: explanation_pb2.Explanation, curve: explanation_pb2.Curve, axis: TimeAxis
) -> NDArray[np.int64] | None:
    """The element of each frame, int64 [T], where a series has a value after each element in order of time, and the
    one before all; None for other series."""
    return _elements(explanation, len(curve.y) - 1, axis.frames) if curve.x_name.endswith(" seen") else None


def _volume(tensor: tensor_pb2.Tensor) -> explanation_pb2.Explanation:
    """A mask or another array [T', H', W'] as something to lay over frames."""
    return explanation_pb2.Explanation(saliency=explanation_pb2.SaliencyVolume(values=tensor))


def _finite(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, 0).astype(np.float64)


def _text(width: int, text: str, colour: tuple[int, int, int]) -> Image.Image:
    canvas = Image.new("RGB", (width, _LINE), GROUND)
    if colour == FAINT:
        label(canvas, shorten(text, _SMALL, width), (0, 6))
    else:
        write(canvas, (0, 4), shorten(text, _LARGE, width), _LARGE, colour)
    return canvas
