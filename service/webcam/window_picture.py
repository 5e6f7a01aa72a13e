"""A live view as one picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.rendering.colours import ACCENT, FAINT, GROUND, INK, PANEL
from service.rendering.legend import stamp_legend
from service.rendering.strip import TimeAxis, bar_strip
from service.rendering.text import shorten, text_width, write
from service.webcam.frame_store import Footage
from service.webcam.playback import Projector, Shown
from service.webcam.state import Standing, Watch

_MARGIN = 16
_SIZE = 17
_LINE = 26
_SMALL = 14
_STRIP = 70


def board(width: int, watch: Watch, footage: Footage, projector: Projector, prompt: str) -> NDArray[np.uint8]:
    """uint8 [h, width, 3] RGB: the picture, what the model says, its classes, when its evidence lies, and the keys."""
    shown = projector.show(width)
    picture = _enlarged(shown, width)
    standings, curve = watch.standings, watch.curve
    classes = _LINE * len(standings)
    below = Image.new("RGB", (width, 4 * _MARGIN + 3 * _LINE + max(classes, _STRIP) + _SMALL), GROUND)
    write(
        below,
        (_MARGIN, _MARGIN),
        shorten(watch.sentence or watch.trouble or watch.state, _SIZE, width - 2 * _MARGIN),
        _SIZE,
        INK,
    )
    top, half = _MARGIN + _LINE + 8, width // 2
    for place, standing in enumerate(standings):
        _class(below, standing, (_MARGIN, top + place * _LINE), half - 2 * _MARGIN, first=place == 0)
    if curve.size:
        across = width - half - _MARGIN
        axis = TimeAxis(across, curve.size, across / curve.size / 2, across / curve.size)
        bars = bar_strip(axis, _STRIP, curve)
        below.paste(bars, (half, top), bars)
        if shown is not None and shown.frame is not None:
            left, right = axis.edges(shown.frame, shown.frame)
            ImageDraw.Draw(below).rectangle((half + left, top - 3, half + right - 1, top + _STRIP + 2), outline=INK)
        write(below, (half, top + _STRIP + 6), f"{watch.layer} by frame of the window", _SMALL, FAINT)
    foot = top + max(classes, _STRIP + _LINE) + 8
    write(below, (_MARGIN, foot), shorten(_facts(watch, footage), _SMALL, width - 2 * _MARGIN), _SMALL, FAINT)
    write(below, (_MARGIN, foot + _LINE - 4), shorten(prompt, _SMALL, width - 2 * _MARGIN), _SMALL, FAINT)
    return np.concatenate((picture, np.asarray(below)))


def _enlarged(shown: Shown | None, width: int) -> NDArray[np.uint8]:
    if shown is None:
        return np.zeros((width * 3 // 4, width, 3), np.uint8)
    height = round(shown.picture.shape[0] * width / shown.picture.shape[1])
    picture = np.asarray(cv2.resize(shown.picture, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    if shown.peak:
        stamp_legend(picture[None], shown.peak, shown.signed)
    return picture


def _class(canvas: Image.Image, standing: Standing, place: tuple[int, int], width: int, *, first: bool) -> None:
    left, top = place
    percent = f"{100 * standing.probability:.0f} %"
    name = width // 2
    meter = width - name - 60
    write(canvas, place, shorten(standing.label, _SIZE, name - 8), _SIZE, INK if first else FAINT)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left + name, top + 5, left + name + meter, top + 15), fill=PANEL)
    draw.rectangle(
        (left + name, top + 5, left + name + meter * standing.probability, top + 15), fill=ACCENT if first else FAINT
    )
    write(canvas, (left + width - text_width(percent, _SIZE), top), percent, _SIZE, INK if first else FAINT)


def _facts(watch: Watch, footage: Footage) -> str:
    last, overhead = watch.last, watch.overhead
    if last is None or overhead is None:
        return "waiting for the first window"
    explain, forward = overhead
    counts, share = last[0].counts, watch.motion_share
    dropped = counts.dropped_stale + counts.dropped_full + counts.rejected
    parts = [
        f"{footage.rate.per_second:.0f} frames/s in, {watch.rate.per_second:.1f} windows/s out",
        f"lag {1000 * last[0].lag:.0f} ms",
        f"explain {1000 * explain:.0f} ms on predict {1000 * forward:.0f} ms",
        f"{dropped} frames dropped",
        *([] if share is None else [f"motion {100 * share:.0f} %"]),
    ]
    return "   ".join(parts)
