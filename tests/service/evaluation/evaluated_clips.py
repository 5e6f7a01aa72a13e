"""Evaluations of made-up clips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from actionlens.v1 import explanation_pb2
from service.evaluation.evaluated_set import EvaluatedClip


def evaluated(
    name: str, numbers: Mapping[str, float | str], label: int | None = None, correct: bool = True
) -> EvaluatedClip:
    """A clip with an insertion of each method, a curve of two points, and a matrix for `atr`; a text leaves out."""
    found = explanation_pb2.Evaluation(forwards=10)
    if label is not None:
        found.label, found.correct = label, correct
    arrays = {}
    for method, number in numbers.items():
        baseline = method in ("random", "exact-mask")
        if isinstance(number, str):
            found.rows.add(method=method, measure="insertion", left_out=number, baseline=baseline)
            continue
        found.rows.add(
            method=method,
            measure="insertion",
            value="insertion",
            number=number,
            better="higher",
            unit="%",
            baseline=baseline,
        )
        found.rows.add(method=method, measure="insertion", value="tied", number=0.0, unit="%", baseline=baseline)
        curve = explanation_pb2.Curve(name="insertion", x_name="share put in", x=[0, 1], y=[0, number / 100])
        found.curves.add(method=method, measure="insertion", baseline=baseline, curve=curve)
        if method == "atr":
            arrays["lengths/atr/matrix"] = np.full((2, 2), number, np.float32)
    return EvaluatedClip(name, found, arrays)


def eight_clips() -> list[EvaluatedClip]:
    """dtd is 20 above grad-cam on each clip, the exact mask 40 above random."""
    return [
        evaluated(f"c{n}", {"dtd": 60.0 + n, "grad-cam": 40.0 + n, "random": 10.0 + n, "exact-mask": 50.0 + n}, n % 2)
        for n in range(8)
    ]
