"""Draws one page for an answer: the frames the model saw, its classes, and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, explanation_pb2
from service.readings.explanation import busiest_window, frame_profile, propagation, read_explanation
from service.rendering.colours import ACCENT, AGAINST, FAINT, GROUND, INK, PANEL
from service.rendering.filmstrip import Filmstrip
from service.rendering.heatmap import prepare_heatmap
from service.rendering.legend import legend
from service.rendering.sheet_details import class_bars, details
from service.rendering.strip import curve_strip, label, matrix_scale, matrix_strip
from service.rendering.text import shorten, text_width, wrap, write

_WIDTH, _MARGIN, _GAP = 1680, 56, 8
_INNER = _WIDTH - 2 * _MARGIN
_CURVE_HEIGHT, _READING_LINE = 72, 24
_TITLES = {
    "grad-cam": "Grad-CAM",
    "selective-relevance": "Selective relevance",
    "dtd": "Relevance (DTD)",
    "clrp": "Contrastive relevance (CLRP)",
    "guided-backprop": "Guided backprop",
    "guided-grad-cam": "Guided Grad-CAM",
    "atr": "Action temporal relevance (ATR)",
    "attention-rollout": "Attention rollout",
    "esv": "Element Shapley values (ESV)",
    "frame-shapley": "Frame Shapley values",
    "st-perturbation": "Spatio-temporal perturbation",
    "temporal-mask": "Temporal mask",
    "integrated-gradients": "Integrated Gradients",
    "gradient-shap": "GradientSHAP",
    "occlusion": "Occlusion",
    "shapley-sampling": "Shapley value sampling",
    "deep-lift": "DeepLIFT",
}


def contact_sheet(
    frames: NDArray[np.uint8],
    prediction: explanation_pb2.Prediction,
    explanations: Sequence[explanation_pb2.Explanation],
    report: answer_pb2.FrameReport,
) -> NDArray[np.uint8]:
    """Draw an answer as a page: uint8 [H, 1680, 3] RGB, as high as it needs to be.

    frames: uint8 [T, h, w, 3] RGB, one per model frame, the model's own or the source's at any size (recognised by
    report.placement). Title with the top class, top-5 bars, a row of 8 to 16 evenly chosen frames, and per
    explanation its reading, the frames with the heat on one colour scale, and its course over time aligned with the
    frames. Raises ValueError when there are no frames or a tensor of an explanation does not decode.
    """
    if not len(frames):
        raise ValueError("frames: a contact sheet needs at least one")
    filmstrip = Filmstrip(frames, report.placement, _INNER)
    parts = [_header(prediction, explanations, report, len(frames)), *_notes(report)]
    parts += [filmstrip.row(), filmstrip.captions(report)]
    labels = {score.index: score.label for score in prediction.top}
    for explanation in explanations:
        parts += [_space(30), _heading(explanation, filmstrip, report), *_body(explanation, filmstrip, labels)]
    parts += [_space(22), _footer(explanations)]
    page = Image.new("RGB", (_WIDTH, sum(part.height for part in parts) + 2 * _MARGIN - 16), GROUND)
    top = _MARGIN - 16
    for part in parts:
        page.paste(part, (_MARGIN, top), part if part.mode == "RGBA" else None)
        top += part.height
    return np.asarray(page).copy()


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
    for index, score in enumerate(top):
        y = 14 + 30 * index
        colour = INK if index == 0 else FAINT
        write(canvas, (left - 14, y + 9), shorten(_name(score), 17, names), 17, colour, "rm")
        draw.rounded_rectangle((left, y + 1, right, y + 17), 4, fill=PANEL)
        length = (right - left) * min(max(score.probability, 0.0), 1.0)
        if length >= 1:
            draw.rounded_rectangle(
                (left, y + 1, left + max(length, 5), y + 17), 4, fill=ACCENT if index == 0 else (122, 128, 140)
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


def _notes(report: answer_pb2.FrameReport) -> list[Image.Image]:
    """What is unusual about the frames, in lines above them."""
    lines = [line for note in report.notes for line in wrap(note, 16, _INNER)]
    canvas = Image.new("RGB", (_INNER, 22 * len(lines) + 10), GROUND)
    for index, line in enumerate(lines):
        write(canvas, (0, 22 * index), line, 16, AGAINST)
    return [canvas] if lines else []


def _heading(
    explanation: explanation_pb2.Explanation, filmstrip: Filmstrip, report: answer_pb2.FrameReport
) -> Image.Image:
    peak, signed = _scale(explanation, filmstrip)
    sentence = explanation.reading or read_explanation(explanation, report)
    lines = wrap(sentence, 18, _INNER - 330 if peak > 0 else _INNER)
    canvas = Image.new("RGB", (_INNER, 42 + _READING_LINE * len(lines)), GROUND)
    title = _TITLES.get(explanation.method, explanation.method)
    rule = propagation(explanation)
    title += f" by {rule}" if rule and f"({rule})" not in title else ""
    write(canvas, (0, 0), title, 24, INK)
    about = f"why “{_name(explanation.target)}”" if explanation.HasField("target") else ""
    if explanation.HasField("contrast"):
        about += f" and not “{_name(explanation.contrast)}”"
    write(canvas, (text_width(title, 24) + 18, 6), shorten(about, 18, 700), 18, FAINT)
    colour = AGAINST if explanation.HasField("failure") else ACCENT
    for index, line in enumerate(lines):
        write(canvas, (0, 36 + _READING_LINE * index), line, 18, colour)
    if peak > 0:
        drawn = Image.fromarray(legend(170, 14, peak, signed))
        canvas.paste(drawn, (_INNER - drawn.width, 36))
    return canvas


def _scale(explanation: explanation_pb2.Explanation, filmstrip: Filmstrip) -> tuple[float, bool]:
    """The value at the end of an explanation's colour scale (0: it has none) and whether the scale has two sides."""
    if explanation.WhichOneof("value") == "relevance_matrix":
        return matrix_scale(to_array(explanation.relevance_matrix.values))
    prepared = prepare_heatmap(
        explanation, filmstrip.axis.frames, filmstrip.height, filmstrip.width, filmstrip.placement
    )
    return (0.0, False) if prepared is None else (prepared.peak, prepared.signed)


def _body(explanation: explanation_pb2.Explanation, filmstrip: Filmstrip, labels: dict[int, str]) -> list[Image.Image]:
    if explanation.HasField("failure"):
        return []
    named = {**labels, explanation.target.index: explanation.target.label}
    return [*_values(explanation, filmstrip, named), *details(filmstrip, explanation)]


def _values(
    explanation: explanation_pb2.Explanation, filmstrip: Filmstrip, labels: dict[int, str]
) -> list[Image.Image]:
    kind, axis, count = explanation.WhichOneof("value"), filmstrip.axis, filmstrip.axis.frames
    if kind is None:
        return []
    if kind == "frame_attribution":
        bars = class_bars(axis, explanation, labels)
        return [filmstrip.row(), _space(_GAP), *bars] if bars else []
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
