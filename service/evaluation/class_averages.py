"""Averages by class: of the pointing game, every class counts alike (mean over classes), or every frame (micro)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.evaluation.measurement_table import MeasurementTable


@dataclass(frozen=True)
class ClassAverages:
    """by_class: weighted mean per class. macro: their mean. micro: weighted mean over all clips. None of no clip.

    n: clips per class.
    """

    by_class: Mapping[str, float]
    n: Mapping[str, int]
    macro: float | None
    micro: float | None


def class_averages(
    table: MeasurementTable, method: str, measure: str, value: str, classes: Mapping[str, str], weight: str = ""
) -> ClassAverages:
    """Average a value over the clips of each class.

    classes: a clip's class by the clip's name; clips without one do not count. weight: the value of the same measure by
    which clips count, such as how many frames were annotated, so that hits per frame of clips become
    hits / (hits + misses) of the class (Bargal et al., excitation backprop for RNNs); "" counts clips alike.
    """
    numbers = table.numbers(measure, value, [method])[:, 0]
    weights = table.numbers(measure, weight, [method])[:, 0] if weight else np.ones(len(numbers))
    known = np.array([clip in classes for clip in table.clips], dtype=bool) & np.isfinite(numbers * weights)
    known &= weights > 0
    labels = np.array([classes.get(clip, "") for clip in table.clips])
    by_class, n = {}, {}
    for label in sorted(set(labels[known].tolist())):
        own = known & (labels == label)
        by_class[label] = float(np.average(numbers[own], weights=weights[own]))
        n[label] = int(own.sum())
    if not by_class:
        return ClassAverages({}, {}, None, None)
    micro = float(np.average(numbers[known], weights=weights[known]))
    return ClassAverages(by_class, n, float(np.mean(list(by_class.values()))), micro)
