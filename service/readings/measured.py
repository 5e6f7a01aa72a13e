"""Reads what measures found, in one line for people."""

from __future__ import annotations

from collections.abc import Sequence

from actionlens.v1 import explanation_pb2

_MOST = 3
_RANDOM = "random"


def read_evaluation(evaluation: explanation_pb2.Evaluation) -> str:
    """One line: the first number of each measure, best method first, with that of random explanations; and what is left
    out. For example "insertion: grad-cam 0.812, dtd 0.774 (random 0.52); deletion: ...; left out: 2 of 14 numbers".
    """
    measures = list(dict.fromkeys(row.measure for row in evaluation.rows))
    parts = list(filter(None, (_of_measure(measure, evaluation.rows) for measure in measures)))
    if len(parts) > _MOST:
        parts = [*parts[:_MOST], f"and {len(parts) - _MOST} more measures"]
    without = [row for row in evaluation.rows if not row.HasField("number")]
    if len(without) == len(evaluation.rows):
        return f"nothing is measured: {without[0].left_out}" if without else "nothing is measured yet"
    if without:
        parts.append(f"left out: {len(without)} of {len(evaluation.rows)} numbers")
    return "; ".join(parts)


def _of_measure(measure: str, rows: Sequence[explanation_pb2.EvaluationRow]) -> str:
    own = [row for row in rows if row.measure == measure and row.HasField("number")]
    if not own:
        return ""
    value = own[0].value
    found = [row for row in own if row.value == value and not row.baseline]
    if found and found[0].better:
        found.sort(key=lambda row: row.number, reverse=found[0].better == "higher")
    noise = [_number(row) for row in own if row.value == value and row.baseline and row.method == _RANDOM]
    shown = ", ".join(f"{row.method} {_number(row)}".strip() for row in found[:_MOST])
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return f"{measure}: {shown or 'no method'}{more}{f' (random {noise[0]})' if noise else ''}"


def _number(row: explanation_pb2.EvaluationRow) -> str:
    unit = row.unit if row.unit not in ("", "probability") else ""
    return f"{row.number:.3g} {unit}".strip()
