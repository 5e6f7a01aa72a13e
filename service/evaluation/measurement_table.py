"""All rows of a set, held as columns of numbers, and their summaries."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.evaluation.measurement import ClipMeasurement


@dataclass(frozen=True)
class Summary:
    """One line of the table: a value of a measure for one method over the set.

    mean, median: None where no clip has the number. deviation: the sample's standard deviation (ddof = 1), None below
    two clips. n: clips that have the number. left_out: how many have not, by reason.
    """

    method: str
    measure: str
    value: str
    better: str
    unit: str
    mean: float | None
    deviation: float | None
    median: float | None
    n: int
    left_out: Mapping[str, int]


@dataclass
class _Column:
    better: str
    unit: str
    clips: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[float] = field(default_factory=lambda: array("d"))
    left_out: Counter[str] = field(default_factory=Counter)


class MeasurementTable:
    """The rows of a set of clips, 16 bytes a number. Their order changes nothing that is computed from them."""

    def __init__(self, rows: Iterable[ClipMeasurement] = ()) -> None:
        self._columns: dict[tuple[str, str, str], _Column] = {}
        self._clips: dict[str, int] = {}
        for row in rows:
            self.add(row)

    def add(self, row: ClipMeasurement) -> None:
        """Add one row. A number that is not finite is left out as that."""
        column = self._columns.setdefault((row.method, row.measure, row.value), _Column(row.better, row.unit))
        if row.number is None or not math.isfinite(row.number):
            column.left_out[row.left_out or ("no number" if row.number is None else "not finite")] += 1
            return
        column.better, column.unit = row.better, row.unit  # a row that is left out may not know them
        column.clips.append(self._clips.setdefault(row.clip, len(self._clips)))
        column.numbers.append(row.number)

    @property
    def clips(self) -> tuple[str, ...]:
        """The names of clips that have a number, sorted."""
        return tuple(sorted(self._clips))

    @property
    def values(self) -> tuple[tuple[str, str], ...]:
        """(measure, value), in the order in which they came."""
        return tuple(dict.fromkeys((measure, value) for _, measure, value in self._columns))

    def methods(self, measure: str, value: str) -> tuple[str, ...]:
        """Methods that have rows of the value, in the order in which they came."""
        return tuple(method for method, *own in self._columns if own == [measure, value])

    def better(self, measure: str, value: str) -> str:
        """Which way the value is good."""
        found = (column.better for (_, *own), column in self._columns.items() if own == [measure, value])
        return next(filter(None, found), "")

    def numbers(self, measure: str, value: str, methods: Sequence[str]) -> NDArray[np.float64]:
        """float64 [clips, methods], NaN where a clip has no number; clips as in `clips`.

        Raises ValueError where a clip has two rows of the same method and value.
        """
        names = list(self._clips)
        place = np.empty(len(names), dtype=np.int64)
        place[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        found = np.full((len(names), len(methods)), np.nan)
        for column, method in zip(found.T, methods, strict=True):
            own = self._columns.get((method, measure, value))
            if own is None:
                continue
            rows = place[np.frombuffer(own.clips, dtype=np.int64)] if own.clips else place[:0]
            if len(np.unique(rows)) < len(rows):
                twice = names[Counter(own.clips).most_common(1)[0][0]]
                raise ValueError(f"{twice} has two rows of {measure} {value} of {method or 'the model'}")
            column[rows] = own.numbers
        return found

    def summaries(self) -> list[Summary]:
        """One line per method, measure and value, in the order in which they came."""
        return [_summary(method, measure, value, column) for (method, measure, value), column in self._columns.items()]


def _summary(method: str, measure: str, value: str, column: _Column) -> Summary:
    # Sorted: the last digits of a sum depend on its order, and a resumed set has another one.
    numbers = np.sort(np.array(column.numbers, dtype=np.float64))
    return Summary(
        method=method,
        measure=measure,
        value=value,
        better=column.better,
        unit=column.unit,
        mean=float(numbers.mean()) if len(numbers) else None,
        deviation=float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
        median=float(np.median(numbers)) if len(numbers) else None,
        n=len(numbers),
        left_out=dict(sorted(column.left_out.items())),
    )
