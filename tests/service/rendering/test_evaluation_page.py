"""The page and the reading of an evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from actionlens.v1 import answer_pb2, explanation_pb2
from service.readings.explanation import read_explanation
from service.rendering.evaluation_page import evaluation_page


def row(method: str, measure: str, number: float | None, **fields: object) -> explanation_pb2.EvaluationRow:
    return explanation_pb2.EvaluationRow(
        method=method,
        measure=measure,
        value=measure,
        number=number,
        **fields,  # type: ignore[arg-type]
    )


def answer(*rows: explanation_pb2.EvaluationRow, curves: int = 0) -> answer_pb2.Answer:
    made = answer_pb2.Answer(model="m")
    explanation = made.explanations.add(method="evaluate")
    explanation.target.label = "left"
    explanation.evaluation.rows.extend(rows)
    explanation.evaluation.SetInParent()
    for number in range(curves):
        curve = explanation_pb2.Curve(
            name="insertion", x_name="share", x=[0, 1], y=[0, 0.1 * number], unit="probability"
        )
        explanation.evaluation.curves.add(method=f"m{number}", measure="insertion", curve=curve)
    explanation.reading = read_explanation(explanation, answer_pb2.FrameReport())
    return made


@pytest.mark.parametrize(
    ("better", "first"), [("higher", "dtd 0.75, grad-cam 0.5"), ("lower", "grad-cam 0.5, dtd 0.75")]
)
def test_the_reading_has_the_best_method_first(better: str, first: str) -> None:
    made = answer(
        row("grad-cam", "insertion", 0.5, better=better),
        row("dtd", "insertion", 0.75, better=better),
        row("random", "insertion", 0.25, better=better, baseline=True),
        row("grad-cam", "share", 12.0, unit="%"),
        row("dtd", "share", None, left_out="it is 0"),
    )
    assert made.explanations[0].reading == (
        f"insertion: {first} (random 0.25); share: grad-cam 12 %; left out: 1 of 5 numbers"
    )


def test_what_says_nothing_says_why() -> None:
    nothing = answer(row("dtd", "share", None, left_out="it is 0"))
    assert nothing.explanations[0].reading == "nothing is measured: it is 0"
    assert answer().explanations[0].reading == "nothing is measured yet"
    assert evaluation_page(answer()).shape[1] == 1200


def test_the_page_grows_with_rows_and_curves() -> None:
    rows = [row(f"m{number}", "insertion", 0.5) for number in range(4)]
    bare, drawn, more = (evaluation_page(answer(*rows, curves=curves)) for curves in (0, 3, 7))
    assert bare.dtype == np.uint8
    assert len(bare) < len(drawn) < len(more)
    # Seven methods are three plots, two to a line.
    assert len(more) - len(bare) == 2 * (len(drawn) - len(bare))
    longest = evaluation_page(answer(*(row("m", "a" * 200, None, left_out="why " * 300) for _ in range(2))))
    assert longest.shape[1] == 1200
