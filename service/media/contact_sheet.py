"""One picture that tells what the model saw, what it says, and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, explanation_pb2
from service.media.colours import ACCENT, AGAINST, FAINT, GROUND, INK, PANEL
from service.media.fit import scale
from service.media.heat import heat
from service.media.legend import legend
from service.media.lettering import shorten, text_width, write
from service.media.overlay import lay_over
from service.media.sampling import uniform
from service.media.strip import TimeAxis, bar_strip, curve_strip, label, matrix_scale, matrix_strip
from service.reading import busiest_window, frame_profile, read_explanation

_WIDTH, _MARGIN, _GAP = 1680, 56, 8
_INNER = _WIDTH - 2 * _MARGIN
_THUMB_HEIGHT = 112
_CURVE_HEIGHT = 72
_FEWEST, _MOST = 8, 16
_TITLES = {
    "grad-cam": "Grad-CAM",
    "selective-relevance": "Selective relevance",
    "dtd": "Relevance (DTD)",
    "clrp": "Contrastive relevance (CLRP)",
    "guided-backprop": "Guided backprop",
    "guided-grad-cam": "Guided Grad-CAM",
    "atr": "Action temporal relevance (ATR)",
    "esv": "Element Shapley values (ESV)",
}


def contact_sheet(
    frames: NDArray[np.uint8],
    prediction: explanation_pb2.Prediction,
    explanations: Sequence[explanation_pb2.Explanation],
    report: answer_pb2.FrameReport,
) -> NDArray[np.uint8]:
    """Draw an answer as a page: uint8 [H, 1680, 3] RGB, as high as it needs to be.

    frames: uint8 [T, h, w, 3] RGB, one per model frame, the model's own or the source's at any size (told apart by
    report.placement). Title with the top class, top-5 bars, a row of 8 to 16 evenly chosen frames, and per
    explanation its reading, the frames with the heat on one colour scale, and its course over time aligned with the
    frames. Raises ValueError when there are no frames or a tensor of an explanation does not decode.
    """
    if not len(frames):
        raise ValueError("frames: a contact sheet needs at least one")
    filmstrip = _Filmstrip(frames, report.placement)
    parts = [_header(prediction, explanations, report, len(frames)), filmstrip.row(), filmstrip.captions(report)]
    for explanation in explanations:
        parts += [_space(30), _heading(explanation, filmstrip, report), *_body(explanation, filmstrip)]
    parts += [_space(22), _footer(explanations)]
    page = Image.new("RGB", (_WIDTH, sum(part.height for part in parts) + 2 * _MARGIN - 16), GROUND)
    top = _MARGIN - 16
    for part in parts:
        page.paste(part, (_MARGIN, top), part if part.mode == "RGBA" else None)
        top += part.height
    return np.asarray(page).copy()


class _Filmstrip:
    """Which frames are shown and where."""

    def __init__(self, frames: NDArray[np.uint8], placement: answer_pb2.Placement) -> None:
        self.placement = placement
        count, height, width, _ = frames.shape
        fitting: int = int(_INNER / (_THUMB_HEIGHT * width / height + _GAP))
        shown = min(count, max(_FEWEST, min(_MOST, fitting)))
        self.width = min((_INNER - (shown - 1) * _GAP) // shown, round(2 * _THUMB_HEIGHT * width / height))
        self.height = max(1, min(round(self.width * height / width), 2 * _THUMB_HEIGHT))
        self.chosen = uniform(count, shown)
        self.pictures = np.stack([scale(frames[frame], self.width, self.height) for frame in self.chosen])
        self.pitch: int = self.width + _GAP
        span = (shown - 1) * self.pitch
        self.axis = TimeAxis(
            width=span + self.width,
            frames=count,
            origin=self.width / 2,
            step=span / (count - 1) if count > 1 else float(self.width),
        )

    def left(self, place: int) -> int:
        return place * self.pitch

    def row(self, explanation: explanation_pb2.Explanation | None = None) -> Image.Image:
        """The chosen frames side by side, with the heat of a saliency explanation over them if one is given."""
        pictures = self.pictures
        if explanation is not None:
            prepared = heat(explanation, self.axis.frames, self.height, self.width, self.placement)
            assert prepared is not None
            pictures = lay_over(pictures, self.chosen, prepared)
        canvas = Image.new("RGB", (_INNER, self.height), GROUND)
        for place, picture in enumerate(pictures):
            canvas.paste(Image.fromarray(picture), (self.left(place), 0))
        return canvas

    def captions(self, report: answer_pb2.FrameReport) -> Image.Image:
        canvas = Image.new("RGB", (_INNER, 24), GROUND)
        for place, frame in enumerate(self.chosen):
            if frame >= len(report.used):
                continue
            text = f"{report.used[frame]}"
            if frame < len(report.timestamps):
                text += f"  ·  {report.timestamps[frame]:.2f} s"
            label(canvas, text, (self.left(place) + self.width / 2, 7), "ma")
        return canvas


def _header(
    prediction: explanation_pb2.Prediction,
    explanations: Sequence[explanation_pb2.Explanation],
    report: answer_pb2.FrameReport,
    count: int,
) -> Image.Image:
    top = list(prediction.top)[:5]
    canvas = Image.new("RGB", (_INNER, max(30 * len(top) + 30, 146)), GROUND)
    middle = _INNER * 5 // 9
    title = _name(top[0]) if top else "No prediction"
    write(canvas, (0, 6), shorten(title, 46, middle - 60), 46, INK)
    if top:
        write(canvas, (0, 64), f"{100 * top[0].probability:.1f} %", 27, ACCENT)
    write(canvas, (0, 102), shorten(_facts(explanations, report, count), 16, middle - 40), 16, FAINT)
    draw = ImageDraw.Draw(canvas)
    names = min(max((text_width(_name(score), 17) for score in top), default=0), 240)
    left, right = middle + names + 14, _INNER - 74
    for place, score in enumerate(top):
        y = 14 + 30 * place
        colour = INK if place == 0 else FAINT
        write(canvas, (left - 14, y + 9), shorten(_name(score), 17, names), 17, colour, "rm")
        draw.rounded_rectangle((left, y + 1, right, y + 17), 4, fill=PANEL)
        length = (right - left) * min(max(score.probability, 0.0), 1.0)
        if length >= 1:
            draw.rounded_rectangle(
                (left, y + 1, left + max(length, 5), y + 17), 4, fill=ACCENT if place == 0 else (122, 128, 140)
            )
        write(canvas, (_INNER, y + 9), f"{100 * score.probability:.1f} %", 17, colour, "rm")
    return canvas


def _facts(explanations: Sequence[explanation_pb2.Explanation], report: answer_pb2.FrameReport, count: int) -> str:
    facts = [f"{count} frames seen"]
    if report.effective_fps > 0:
        facts[0] += f" at {report.effective_fps:.3g} per second"
    if report.used:
        facts.append(f"source frames {min(report.used)} to {max(report.used)}")
    if report.source_width:
        facts.append(f"{report.source_width} x {report.source_height} pixels")
    if explanations and explanations[0].provenance.model:
        facts.insert(0, explanations[0].provenance.model)
    return "  ·  ".join(facts)


def _heading(
    explanation: explanation_pb2.Explanation, filmstrip: _Filmstrip, report: answer_pb2.FrameReport
) -> Image.Image:
    canvas = Image.new("RGB", (_INNER, 66), GROUND)
    title = _TITLES.get(explanation.method, explanation.method)
    write(canvas, (0, 0), title, 24, INK)
    about = f"why “{_name(explanation.target)}”" if explanation.HasField("target") else ""
    if explanation.HasField("contrast"):
        about += f" and not “{_name(explanation.contrast)}”"
    write(canvas, (text_width(title, 24) + 18, 6), shorten(about, 18, 700), 18, FAINT)
    sentence = explanation.reading or read_explanation(explanation, report)
    colour = AGAINST if explanation.HasField("failure") else ACCENT
    write(canvas, (0, 36), shorten(sentence, 18, _INNER - 330), 18, colour)
    peak, signed = _scale(explanation, filmstrip)
    if peak > 0:
        drawn = Image.fromarray(legend(170, 14, peak, signed))
        canvas.paste(drawn, (_INNER - drawn.width, 36))
    return canvas


def _scale(explanation: explanation_pb2.Explanation, filmstrip: _Filmstrip) -> tuple[float, bool]:
    """The value at the end of an explanation's colour scale (0: it has none) and whether the scale has two sides."""
    if explanation.WhichOneof("value") == "relevance_matrix":
        return matrix_scale(to_array(explanation.relevance_matrix.values))
    prepared = heat(explanation, filmstrip.axis.frames, filmstrip.height, filmstrip.width, filmstrip.placement)
    return (0.0, False) if prepared is None else (prepared.peak, prepared.signed)


def _body(explanation: explanation_pb2.Explanation, filmstrip: _Filmstrip) -> list[Image.Image]:
    kind, axis, count = explanation.WhichOneof("value"), filmstrip.axis, filmstrip.axis.frames
    if kind is None or explanation.HasField("failure"):
        return []
    if kind == "frame_attribution":
        scores = to_array(explanation.frame_attribution.values)
        if scores.ndim == 2:
            scores = scores[:, min(explanation.target.index, scores.shape[1] - 1)]
        return [filmstrip.row(), _space(_GAP), bar_strip(axis, 110, scores.astype(np.float64))]
    profile, window = frame_profile(explanation, count), busiest_window(explanation, count)
    if kind == "relevance_matrix":
        values = to_array(explanation.relevance_matrix.values)
        note = Image.new("RGB", (_INNER, 24), GROUND)
        label(note, "rows: output steps, first on top  ·  columns: input frames, under their pictures", (0, 6))
        return [
            filmstrip.row(),
            _space(_GAP),
            matrix_strip(axis, values),
            note,
            curve_strip(axis, _CURVE_HEIGHT, profile, window),
        ]
    whole = None
    if explanation.saliency.HasField("mask"):
        unmasked = explanation_pb2.Explanation()
        unmasked.CopyFrom(explanation)
        unmasked.saliency.ClearField("mask")
        whole = frame_profile(unmasked, count)
    return [
        filmstrip.row(explanation),
        _space(_GAP),
        curve_strip(axis, _CURVE_HEIGHT, profile, window, whole),
    ]


def _footer(explanations: Sequence[explanation_pb2.Explanation]) -> Image.Image:
    canvas = Image.new("RGB", (_INNER, 20), GROUND)
    facts = ["ActionLens"]
    if explanations:
        origin = explanations[0].provenance
        facts += [f"{origin.model} {origin.version}".strip(), f"weights {origin.weights_digest[:12]}"]
    label(canvas, "  ·  ".join(fact for fact in facts if fact and fact != "weights "), (0, 2))
    return canvas


def _space(height: int) -> Image.Image:
    return Image.new("RGB", (1, height), GROUND)


def _name(score: explanation_pb2.ClassScore) -> str:
    return (score.label or f"class {score.index}").replace("_", " ")
