"""Divides a run of prediction and explanations together between the two."""

from __future__ import annotations

from collections import deque
from statistics import median

_OFTEN = 64
_SAMPLES = 5

Outputs = tuple[str, ...]


class Shares:
    """The share of a run that predicting alone takes, by the outputs of the run.

    A graph's runs cannot be stopped halfway. Now and then a run is followed by one of the prediction alone, and how
    the two compare holds for the runs after it: a ratio follows a machine that becomes busier or idler.
    """

    def __init__(self) -> None:
        self._runs: dict[Outputs, int] = {}
        self._samples: dict[Outputs, deque[float]] = {}

    def due(self, outputs: Outputs) -> bool:
        """Count a run; whether to measure beside it: often at first, when memory is being claimed, then every 64th."""
        runs = self._runs[outputs] = self._runs.get(outputs, 0) + 1
        return runs % _OFTEN == 0 or (runs & (runs - 1)) == 0

    def add(self, outputs: Outputs, together: float, alone: float) -> None:
        """A run took `together` seconds and the prediction of the same clips `alone`."""
        samples = self._samples.setdefault(outputs, deque(maxlen=_SAMPLES))
        samples.append(min(1.0, alone / together))

    def value(self, outputs: Outputs) -> float:
        """0 .. 1, the median of the last measurements; there must have been one."""
        return median(self._samples[outputs])
