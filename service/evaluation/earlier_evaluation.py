"""Compares an evaluation with an earlier one, most often of another model: by Welch's test, for each has clips of its
own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidArgument
from service.evaluation.comparisons import LEVEL
from service.evaluation.evaluated_set import EvaluatedSet
from service.evaluation.measurement import p_text, title_of
from service.evaluation.sign_flips import holm
from service.evaluation.welch import welch


@dataclass(frozen=True)
class EarlierEvaluation:
    """name: of its model. numbers: float64 [n] of its clips by "MEASURE/VALUE/METHOD", NaN where there is none."""

    name: str
    numbers: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class SetComparison:
    """One number of one method in both evaluations. mean, n: of this one; earlier_mean, earlier_n: of the earlier one.
    p: of Welch's t-test; adjusted: by Holm over the methods that have the number."""

    measure: str
    value: str
    method: str
    mean: float
    n: int
    earlier_mean: float
    earlier_n: int
    p: float
    adjusted: float


def earlier_evaluation(folder: Path) -> EarlierEvaluation:
    """Read what `actionlens evaluate -o DIR` wrote. Raises InvalidArgument."""
    try:
        about = json.loads((folder / "table.json").read_text(encoding="utf-8"))
        name = f"{about['model']} {about['version']}"
        with np.load(folder / "clips.npz", allow_pickle=False) as arrays:
            known = {key: arrays[key] for key in arrays.files if not key.startswith(("curves/", "matrices/"))}
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise InvalidArgument(
            f"{folder}: holds no evaluation to compare with ({error}); `actionlens evaluate -o DIR` writes them",
            field="against",
        ) from None
    numbers = {key: own for key, own in known.items() if own.ndim == 1 and own.dtype == np.float64}
    return EarlierEvaluation(name, numbers)


def compare_sets(found: EvaluatedSet, earlier: EarlierEvaluation) -> list[SetComparison]:
    """Compare every number of every method that both evaluations have; baselines are no methods.

    Numbers that are all alike, or of fewer than two clips, cannot be compared.
    """
    compared = []
    for line in found.summaries:
        own = found.table.numbers(line.measure, line.value, [line.method])[:, 0]
        other = earlier.numbers.get("/".join((line.measure, line.value, line.method)), np.array([]))
        own, other = own[np.isfinite(own)], other[np.isfinite(other)]
        if line.method in found.baselines or len(own) < 2 or len(other) < 2 or not own.var() + other.var():
            continue
        means, p = (float(own.mean()), float(other.mean())), welch(own, other).p
        compared.append(
            SetComparison(line.measure, line.value, line.method, means[0], len(own), means[1], len(other), p, p)
        )
    corrected: list[SetComparison] = []
    for _, group in groupby(compared, lambda entry: (entry.measure, entry.value)):
        entries = list(group)
        adjusted = holm(np.array([entry.p for entry in entries]))
        corrected += [replace(entry, adjusted=float(p)) for entry, p in zip(entries, adjusted, strict=True)]
    return corrected


def compared_sets(comparisons: list[SetComparison], name: str) -> list[str]:
    """The differences, a sentence each, and how many numbers show none. name: of the earlier model."""
    different = [entry for entry in comparisons if entry.adjusted < LEVEL]
    said = []
    for entry in different:
        what = title_of(entry.measure, entry.value) + (f" of {entry.method}" if entry.method else "")
        said.append(
            f"{what}: {entry.mean:.3g} here, {entry.earlier_mean:.3g} with {name} (p {p_text(entry.adjusted)}, "
            f"{entry.n} and {entry.earlier_n} clips)"
        )
    if others := len(comparisons) - len(different):
        said.append(f"no difference found in {others} {'other ' if said else ''}number{'s' if others > 1 else ''}")
    return said or ["no number is in both"]
