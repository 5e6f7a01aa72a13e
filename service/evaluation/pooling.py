"""Curves and matrices of many clips as their mean and standard error, one clip in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PooledArrays:
    """Means of arrays of one shape.

    n: int64, how many had a finite number there. mean: float64, NaN where n = 0. error: standard error of the mean,
    sd / sqrt(n) with ddof = 1, NaN below two.
    """

    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    error: NDArray[np.float64]


@dataclass(frozen=True)
class PooledCurve:
    """A mean curve. x: [m], rising; n, mean, error: [m], as in PooledArrays."""

    x: NDArray[np.float64]
    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    error: NDArray[np.float64]


class ArrayPool:
    """Arrays of one shape, averaged as they come (Welford 1962). Numbers that are not finite do not count."""

    def __init__(self) -> None:
        self._n: NDArray[np.int64] | None = None
        self._mean: NDArray[np.float64] = np.zeros(())
        self._squares: NDArray[np.float64] = np.zeros(())

    def add(self, values: NDArray[np.floating]) -> None:
        """Add one clip's array. Raises ValueError where its shape is not that of the others."""
        values = np.asarray(values, dtype=np.float64)
        if self._n is None:
            self._n = np.zeros(values.shape, dtype=np.int64)
            self._mean, self._squares = np.zeros(values.shape), np.zeros(values.shape)
        if values.shape != self._n.shape:
            raise ValueError(f"an array of {list(values.shape)} has no mean with others of {list(self._n.shape)}")
        there = np.isfinite(values)
        self._n = self._n + there
        off = np.where(there, values - self._mean, 0.0)
        self._mean = self._mean + off / np.maximum(self._n, 1)
        self._squares = self._squares + off * np.where(there, values - self._mean, 0.0)

    def pooled(self) -> PooledArrays:
        """What has come so far. Raises ValueError where nothing has."""
        if self._n is None:
            raise ValueError("there is nothing to average")
        mean = np.where(self._n > 0, self._mean, np.nan)
        error = np.sqrt(self._squares / np.maximum(self._n - 1, 1) / np.maximum(self._n, 1))
        return PooledArrays(self._n, mean, np.where(self._n > 1, error, np.nan))


class CurvePool:
    """Curves of one name, averaged at every x that some of them have."""

    def __init__(self) -> None:
        self._by_x: dict[float, tuple[int, float, float]] = {}

    def add(self, x: Sequence[float], y: Sequence[float]) -> None:
        """Add one clip's curve; points that are not finite do not count. Raises ValueError for other lengths."""
        for at, value in zip(x, y, strict=True):
            if np.isfinite(value):
                n, mean, squares = self._by_x.get(at, (0, 0.0, 0.0))
                off = value - mean
                mean += off / (n + 1)
                self._by_x[at] = (n + 1, mean, squares + off * (value - mean))

    def pooled(self) -> PooledCurve:
        """What has come so far; no points where nothing has."""
        x = sorted(self._by_x)
        n, mean, squares = (np.array([self._by_x[at][part] for at in x]) for part in range(3))
        n = n.astype(np.int64)
        error = np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1))
        return PooledCurve(np.array(x), n, mean, np.where(n > 1, error, np.nan))
