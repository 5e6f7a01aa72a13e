"""All clips of an evaluation together: what their results say as a table, tests, mean curves and mean matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import explanation_pb2
from service.evaluation.class_averages import ClassAverages, class_averages
from service.evaluation.comparisons import Comparison, compare
from service.evaluation.measure_reliability import (
    MeasureAgreement,
    Reliability,
    measure_agreements,
    reliability,
)
from service.evaluation.measurement import BASELINES, EXACT_MASK, RANDOM, WEIGHT, ClipMeasurement
from service.evaluation.measurement_table import MeasurementTable, Summary
from service.evaluation.pooling import ArrayPool, CurvePool, PooledCurve

_LARGEST_SIDE = 512
"""Rows or columns of the largest array that is a matrix to look at."""


@dataclass(frozen=True)
class EvaluatedClip:
    """The result of one clip. name: that no other clip of the set has. arrays: by "MEASURE/METHOD/NAME"."""

    name: str
    evaluation: explanation_pb2.Evaluation
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class MeanCurve:
    """A curve of one measure of one method, averaged over the clips."""

    measure: str
    name: str
    method: str
    baseline: bool
    x_name: str
    unit: str
    pooled: PooledCurve


@dataclass(frozen=True)
class MeanMatrix:
    """An array [rows, columns] of one measure of one method, averaged over the clips that have it in this shape, which
    is the most frequent one. clips: how many."""

    measure: str
    name: str
    method: str
    mean: NDArray[np.float64]
    clips: int


@dataclass(frozen=True)
class ClassLine:
    """A value of one method by the clips' classes. weight: value by which clips weigh in the means; "": all alike."""

    measure: str
    value: str
    method: str
    weight: str
    averages: ClassAverages


class EvaluatedSet:
    """Clips that have been measured, in the order of the set, whatever order they came in."""

    def __init__(
        self,
        clips: Iterable[EvaluatedClip],
        failed: Mapping[str, str] | None = None,
        seed: int = 0,
        labels: Sequence[str] = (),
    ) -> None:
        """failed: clips without a result, and why. seed: of the tests' draws. labels: names of classes, where known."""
        self.clips: Sequence[EvaluatedClip] = tuple(clips)
        self.failed = dict(failed or {})
        self.seed = seed
        self.labels = tuple(labels)

    @cached_property
    def table(self) -> MeasurementTable:
        """Every number of every clip. A measure that is left out as a whole is so for each of its numbers."""
        return MeasurementTable(self._measurements())

    @cached_property
    def summaries(self) -> list[Summary]:
        """The lines of the table: measures in their order, then their values, then methods, baselines last."""
        found = {(line.measure, line.value, line.method): line for line in self.table.summaries()}
        order = {method: number for number, method in enumerate(self.methods)}
        values = {key: number for number, key in enumerate(self.values)}
        return sorted(found.values(), key=lambda line: (values[line.measure, line.value], order[line.method]))

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """As they were asked for."""
        return tuple(dict.fromkeys(row.measure for clip in self.clips for row in clip.evaluation.rows))

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """As they were asked for, then random, the exact mask, and other baselines; "" for measures of no method."""
        names = dict.fromkeys(row.method for clip in self.clips for row in clip.evaluation.rows)
        known = {RANDOM: 1, EXACT_MASK: 2}
        return tuple(sorted(names, key=lambda name: known.get(name, 3) if name in self.baselines else 0))

    @cached_property
    def baselines(self) -> frozenset[str]:
        """Methods that are there to be compared with."""
        return frozenset(row.method for clip in self.clips for row in clip.evaluation.rows if row.baseline)

    @cached_property
    def values(self) -> tuple[tuple[str, str], ...]:
        """(measure, value): a measure's own number first."""
        return tuple((measure, value) for measure in self.measures for value in self._values[measure])

    def own_value(self, measure: str) -> str:
        """The number that a measure is about."""
        return self._values[measure][0]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every two methods, paired by clip."""
        return compare(self.table, self.seed, baselines=tuple({*BASELINES, *self.baselines} - {EXACT_MASK}))

    @cached_property
    def reliability(self) -> list[Reliability]:
        """Whether each value separates the exact mask from random on this set."""
        return reliability(self.table, self.seed)

    @cached_property
    def agreements(self) -> list[MeasureAgreement]:
        """How far the measures rank the methods alike."""
        return measure_agreements(self.summaries, tuple({*BASELINES, *self.baselines}))

    @property
    def correct(self) -> tuple[int, int]:
        """How many clips the model has right, and of how many that is known."""
        known = [clip.evaluation.correct for clip in self.clips if clip.evaluation.HasField("correct")]
        return sum(known), len(known)

    @cached_property
    def by_class(self) -> list[ClassLine]:
        """The measures' own numbers by the clips' class, where one way is better and there are several classes."""
        classes = {clip.name: self._label(clip) for clip in self.clips if clip.evaluation.HasField("label")}
        if len(set(classes.values())) < 2:
            return []
        found = []
        for measure in self.measures:
            value = self.own_value(measure)
            if not self.table.better(measure, value):
                continue
            weight = WEIGHT if WEIGHT in self._values[measure] else ""
            for method in self.methods:
                averages = class_averages(self.table, method, measure, value, classes, weight)
                if averages.macro is not None:
                    found.append(ClassLine(measure, value, method, weight, averages))
        return found

    def _label(self, clip: EvaluatedClip) -> str:
        number = clip.evaluation.label
        return self.labels[number] if number < len(self.labels) else str(number)

    @cached_property
    def curves(self) -> list[MeanCurve]:
        """Mean curves, in the order of measures, names and methods."""
        pools: dict[tuple[str, str, str, str, str], CurvePool] = {}
        for clip in self.clips:
            for entry in clip.evaluation.curves:
                curve = entry.curve
                key = (entry.measure, curve.name, entry.method, curve.x_name, curve.unit)
                pools.setdefault(key, CurvePool()).add(curve.x, curve.y)
        order = {method: number for number, method in enumerate(self.methods)}
        names = {key: number for number, key in enumerate(dict.fromkeys((key[0], key[1]) for key in pools))}
        found = [
            MeanCurve(measure, name, method, method in self.baselines, x_name, unit, pool.pooled())
            for (measure, name, method, x_name, unit), pool in pools.items()
        ]
        return sorted(found, key=lambda curve: (names[curve.measure, curve.name], order.get(curve.method, len(order))))

    @cached_property
    def matrices(self) -> list[MeanMatrix]:
        """Mean matrices of arrays that have two dimensions, none of them very long."""
        shapes: dict[str, dict[tuple[int, ...], ArrayPool]] = {}
        for clip in self.clips:
            for key, values in clip.arrays.items():
                if values.ndim == 2 and 2 <= max(values.shape) <= _LARGEST_SIDE:
                    shapes.setdefault(key, {}).setdefault(values.shape, ArrayPool()).add(values)
        found = []
        for key, pools in shapes.items():
            pooled = max((pool.pooled() for pool in pools.values()), key=lambda pool: int(pool.n.max()))
            measure, _, rest = key.partition("/")
            method, _, name = rest.rpartition("/")
            found.append(MeanMatrix(measure, name, method, pooled.mean, int(pooled.n.max())))
        return found

    @cached_property
    def _values(self) -> dict[str, list[str]]:
        """The names of each measure's numbers, in the order in which they came; its own name where there are none."""
        values: dict[str, dict[str, None]] = {}
        for clip in self.clips:
            for row in clip.evaluation.rows:
                known = values.setdefault(row.measure, {})
                if row.value:
                    known[row.value] = None
        return {measure: list(known) or [measure.partition(":")[0]] for measure, known in values.items()}

    def _measurements(self) -> Iterable[ClipMeasurement]:
        for clip in self.clips:
            for row in clip.evaluation.rows:
                for value in [row.value] if row.value else self._values[row.measure]:
                    yield ClipMeasurement(
                        clip=clip.name,
                        method=row.method,
                        measure=row.measure,
                        value=value,
                        number=row.number if row.HasField("number") else None,
                        left_out=row.left_out,
                        better=row.better,
                        unit=row.unit,
                    )
