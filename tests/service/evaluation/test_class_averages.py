"""Averages over classes and over all frames."""

from __future__ import annotations

import pytest

from service.evaluation.class_averages import class_averages
from service.evaluation.measurement import ClipMeasurement
from service.evaluation.measurement_table import MeasurementTable


def test_hits_of_classes_and_of_all_frames():
    # jump: 3 of 4 and 0 of 2 frames, so 3 / 6; run: 1 of 1. Mean of classes 0.75, of frames 4 / 7.
    # The class of d is not known, and no frame of e was annotated.
    given = {
        "a": ("jump", 0.75, 4),
        "b": ("jump", 0.0, 2),
        "c": ("run", 1.0, 1),
        "d": ("", 1.0, 50),
        "e": ("sit", 1.0, 0),
    }
    table = MeasurementTable(
        ClipMeasurement(clip, "dtd", "pointing-game", value, number)
        for clip, (_, hits, frames) in given.items()
        for value, number in (("hits", hits), ("frames", float(frames)))
    )
    classes = {clip: label for clip, (label, *_) in given.items() if label}
    found = class_averages(table, "dtd", "pointing-game", "hits", classes, weight="frames")
    assert found.by_class == {"jump": pytest.approx(0.5), "run": 1.0}
    assert found.n == {"jump": 2, "run": 1}
    assert (found.macro, found.micro) == (pytest.approx(0.75), pytest.approx(4 / 7))
    alike = class_averages(table, "dtd", "pointing-game", "hits", classes)
    assert (alike.by_class["jump"], alike.micro) == (0.375, pytest.approx(2.75 / 4))


def test_no_clip_of_a_known_class():
    table = MeasurementTable([ClipMeasurement("a", "dtd", "pointing-game", "hits", 1.0)])
    found = class_averages(table, "dtd", "pointing-game", "hits", {})
    assert (found.by_class, found.macro, found.micro) == ({}, None, None)
