"""Writes an evaluated set as files for programs and people: JSON, CSV, Markdown, and the numbers of every clip."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.evaluation.earlier_evaluation import EarlierEvaluation, compare_sets, compared_sets
from service.evaluation.evaluated_set import EvaluatedSet
from service.evaluation.measurement import title_of
from service.evaluation.measurement_table import Summary
from service.evaluation.sentences import compared, direction, left_out, own_comparisons, warnings

COLUMNS = ("measure", "value", "method", "better", "unit", "mean", "sd", "median", "n", "left_out", "reasons")


def report_document(
    found: EvaluatedSet, about: Mapping[str, Any], earlier: EarlierEvaluation | None = None
) -> dict[str, Any]:
    """Everything but the plots as JSON: `about`, then "table", "comparisons", "reliability" and so on.

    Numbers that are not finite are null. earlier: what to compare with, as "against".
    """
    right, known = found.correct
    against: dict[str, Any] = {}
    if earlier is not None:
        compared_with = [asdict(entry) for entry in compare_sets(found, earlier)]
        against["against"] = {"model": earlier.name, "comparisons": compared_with}
    document: dict[str, Any] = _plain(
        {
            **about,
            "clips": [
                {
                    "name": clip.name,
                    **({"label": clip.evaluation.label} if clip.evaluation.HasField("label") else {}),
                    **({"correct": clip.evaluation.correct} if clip.evaluation.HasField("correct") else {}),
                }
                for clip in found.clips
            ],
            "failed": found.failed,
            "accuracy": right / known if known else None,
            "forwards": sum(clip.evaluation.forwards for clip in found.clips),
            "table": [_line(line) for line in found.summaries],
            "by_class": [
                {
                    "measure": line.measure,
                    "value": line.value,
                    "method": line.method,
                    "weight": line.weight,
                    "mean_over_classes": line.averages.macro,
                    "mean": line.averages.micro,
                    "means": dict(line.averages.by_class),
                    "n": dict(line.averages.n),
                }
                for line in found.by_class
            ],
            "comparisons": [asdict(entry) for entry in found.comparisons],
            "reliability": [asdict(entry) for entry in found.reliability],
            **against,
            "measure_agreements": [asdict(entry) for entry in found.agreements],
            "warnings": warnings(found),
            "curves": [
                {
                    "measure": curve.measure,
                    "name": curve.name,
                    "method": curve.method,
                    "x_name": curve.x_name,
                    "unit": curve.unit,
                    "x": curve.pooled.x.tolist(),
                    "mean": curve.pooled.mean.tolist(),
                    "standard_error": curve.pooled.error.tolist(),
                    "n": curve.pooled.n.tolist(),
                }
                for curve in found.curves
            ],
        }
    )
    return document


def csv_text(found: EvaluatedSet) -> str:
    """One row per measure, value and method. An empty field is a number that there is not."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in found.summaries:
        entries = _line(line)
        reasons = "; ".join(f"{count} x {reason}" for reason, count in line.left_out.items())
        row = [entries[name] for name in COLUMNS[:-2]]
        writer.writerow(["" if entry is None else entry for entry in [*row, sum(line.left_out.values()), reasons]])
    return text.getvalue()


def markdown_text(
    found: EvaluatedSet, heading: str, plots: Sequence[str] = (), earlier: EarlierEvaluation | None = None
) -> str:
    """A table for each measure, then what the tests, the exact mask and the reasons say. plots: files beside it.
    earlier: what to compare with."""
    right, known = found.correct
    parts = [f"# {heading}", ""]
    facts = f"{len(found.clips)} clips"
    if known:
        facts += f", of which the model has {right} of {known} right"
    parts += [f"{facts}. Cells are mean ± standard deviation (clips).", ""]
    for warning in warnings(found):
        parts += [f"> **Careful:** {_escaped(warning)}", ""]
    lines = {(line.measure, line.value, line.method): line for line in found.summaries}
    for measure in found.measures:
        values = [value for own, value in found.values if own == measure]
        parts += [f"## {_escaped(measure)}", ""]
        heads = []
        for value in values:
            about = ", ".join(
                filter(None, (_unit(found, measure, value), direction(found.table.better(measure, value))))
            )
            heads.append(_escaped(value) + (f" ({about})" if about else ""))
        parts.append(f"| method | {' | '.join(heads)} |")
        parts.append("|---|" + "---|" * len(values))
        for method in found.methods:
            cells = [cell(lines.get((measure, value, method))) for value in values]
            if any(cells):
                parts.append(f"| {_escaped(method or 'each clip')} | {' | '.join(cells)} |")
        parts.append("")
    parts += _class_tables(found)
    for title, said in (
        ("Comparisons", [compared(entry) for entry in own_comparisons(found)]),
        (f"Against {earlier.name}", compared_sets(compare_sets(found, earlier), earlier.name)) if earlier else ("", []),
        ("Does each measure prefer the exact mask?", [entry.text for entry in found.reliability]),
        (
            "Do the measures agree on the ranking?",
            [
                f"{title_of(*entry.first)} and {title_of(*entry.second)}: Spearman {entry.rho:+.2f} over "
                f"{entry.methods} methods"
                for entry in found.agreements
            ],
        ),
        ("Left out", left_out(found)),
        ("Without a result", [f"{name}: {reason}" for name, reason in found.failed.items()]),
    ):
        if said:
            parts += [f"## {title}", "", *(f"* {_escaped(sentence)}" for sentence in said), ""]
    if plots:
        parts += ["## Plots", "", *(f"![{name}]({name})\n" for name in plots)]
    return "\n".join(parts)


def _class_tables(found: EvaluatedSet) -> list[str]:
    """A table per measure: methods by classes, the mean over classes, in which all count alike, and that over clips."""
    parts: list[str] = []
    for measure in dict.fromkeys(line.measure for line in found.by_class):
        lines = [line for line in found.by_class if line.measure == measure]
        classes = sorted({label for line in lines for label in line.averages.by_class})
        parts += [f"## {_escaped(title_of(measure, lines[0].value))} by class", ""]
        if lines[0].weight:
            parts += [f"Clips weigh by their {lines[0].weight}.", ""]
        parts.append(f"| method | mean over classes | mean | {' | '.join(map(_escaped, classes))} |")
        parts.append("|---|---|---|" + "---|" * len(classes))
        for line in lines:
            means, n = line.averages.by_class, line.averages.n
            cells = [f"{means[label]:.3g} ({n[label]})" if label in means else "-" for label in classes]
            parts.append(
                f"| {_escaped(line.method or 'each clip')} | {line.averages.macro:.3g} | {line.averages.micro:.3g} | "
                f"{' | '.join(cells)} |"
            )
        parts.append("")
    return parts


def clip_arrays(found: EvaluatedSet) -> dict[str, NDArray[Any]]:
    """The numbers of every clip, for an NPZ file.

    "clips": names [n]. "MEASURE/VALUE/METHOD": float64 [n], NaN where there is none. "label": int64 [n], -1 where not
    known. "curves/MEASURE/NAME/METHOD": float64 [n, m] on "curves/MEASURE/NAME/METHOD/x" [m], NaN where there is none.
    "matrices/MEASURE/NAME/METHOD": the mean, float64 [rows, columns].
    """
    names = [clip.name for clip in found.clips]
    place = {name: number for number, name in enumerate(names)}
    arrays: dict[str, NDArray[Any]] = {
        "clips": np.array(names, dtype=np.str_),
        "label": np.array(
            [clip.evaluation.label if clip.evaluation.HasField("label") else -1 for clip in found.clips], dtype=np.int64
        ),
    }
    known = [place[name] for name in found.table.clips]
    for line in found.summaries:
        column = np.full(len(names), np.nan)
        column[known] = found.table.numbers(line.measure, line.value, [line.method])[:, 0]
        arrays["/".join((line.measure, line.value, line.method))] = column
    places = {}
    for curve in found.curves:
        key = "/".join(("curves", curve.measure, curve.name, curve.method))
        arrays[f"{key}/x"] = curve.pooled.x
        arrays[key] = np.full((len(names), len(curve.pooled.x)), np.nan)
        places[curve.measure, curve.name, curve.method] = (key, {x: at for at, x in enumerate(curve.pooled.x.tolist())})
    for number, clip in enumerate(found.clips):
        for entry in clip.evaluation.curves:
            key, at = places[entry.measure, entry.curve.name, entry.method]
            for x, y in zip(entry.curve.x, entry.curve.y, strict=True):
                if x in at:
                    arrays[key][number, at[x]] = y
    for matrix in found.matrices:
        arrays["/".join(("matrices", matrix.measure, matrix.name, matrix.method))] = matrix.mean
    return arrays


def cell(line: Summary | None, usual: int | None = None) -> str:
    """ "0.731 ± 0.12 (18)": mean, sample's standard deviation, clips; "-" where all are left out, empty for no line.

    usual: the number of clips that need not be said.
    """
    if line is None:
        return ""
    if line.mean is None:
        return "-"
    deviation = f" ± {line.deviation:.2g}" if line.deviation is not None else ""
    return f"{line.mean:.3g}{deviation}" + (f" ({line.n})" if line.n != usual else "")


def _line(line: Summary) -> dict[str, Any]:
    entries = asdict(line)
    return {"sd": entries.pop("deviation"), **entries}


def _unit(found: EvaluatedSet, measure: str, value: str) -> str:
    own = (line.unit for line in found.summaries if (line.measure, line.value) == (measure, value))
    return next(filter(None, own), "")


def _escaped(text: str) -> str:
    """Text that stays text in a cell of Markdown."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
