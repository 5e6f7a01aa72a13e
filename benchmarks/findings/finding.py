"""What a finding is, what comes out of it, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.evaluation import measurement
from service.evaluation.sign_flips import mean_intervals, p_values
from service.evaluation.welch import welch

Same = Literal["yes", "partly", "no"]

Numbers = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """How the findings are measured. clips: in place of each finding's own number. networks: folder of the trained
    comparison networks, one folder each. assets: folder with real models and clips, or None."""

    clips: int | None
    seed: int
    networks: Path
    assets: Path | None

    def count(self, default: int) -> int:
        """The number of clips for a finding whose own number is `default`."""
        return self.clips or default


class NotHere(Exception):
    """Something that the finding needs is not on this machine; the text says how to get it."""


@dataclass(frozen=True)
class Result:
    """ours: what was measured, for the table. n: on how much. same: whether the direction is the paper's. p: of the
    comparison that decides, where two things are compared. numbers: all that was measured."""

    ours: str
    n: str
    same: Same
    p: float | None = None
    numbers: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """name: "A1". claim, published: what the paper says, and its numbers. measure: the function that obtains it."""

    name: str
    claim: str
    published: str
    measure: Callable[[Options], Result]


PAPERS = {
    "A": "Action temporal relevance",
    "B": "Temporal masks (Interpreting video features)",
    "C": "Selective relevance",
    "D": "Play Fair (Element Shapley Values)",
    "E": "A comprehensive study (spatio-temporal perturbation)",
}

FINDINGS: dict[str, Finding] = {}


def finding(name: str, claim: str, published: str) -> Callable[[Callable[[Options], Result]], Callable[..., Result]]:
    """Add the function to the list of findings."""

    def added(measure: Callable[[Options], Result]) -> Callable[[Options], Result]:
        FINDINGS[name] = Finding(name, claim, published, measure)
        return measure

    return added


def ordered() -> list[Finding]:
    """All findings, by paper and number."""
    return sorted(FINDINGS.values(), key=lambda entry: (entry.name[0], int(entry.name[1:])))


@dataclass(frozen=True)
class Paired:
    """Two sets of numbers of the same clips: means, mean difference (first less second) with its 95 % bootstrap
    interval, and the p-value of the two-sided paired sign-flip test."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    n: int


def paired(first: Numbers, second: Numbers, seed: int = 0) -> Paired:
    """Compare two sets of numbers of the same clips."""
    one, other = np.asarray(first, float), np.asarray(second, float)
    difference = (one - other)[:, None]
    low, high = mean_intervals(difference, seed)[:, 0]
    p = float(p_values(difference, seed)[0])
    return Paired(one.mean(), other.mean(), float(difference.mean()), float(low), float(high), p, len(one))


def interval(numbers: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval."""
    values = np.asarray(numbers, float)
    low, high = mean_intervals(values[:, None], seed)[:, 0]
    return float(values.mean()), float(low), float(high)


def welch_p(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Two-sided p of Welch's test; None where it says nothing: below two numbers, or none that vary."""
    try:
        return welch(np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)).p
    except ValueError:
        return None


def verdict(whole: bool, part: bool = False) -> Same:
    """yes, else partly, else no."""
    return "yes" if whole else "partly" if part else "no"


def p_text(p: float) -> str:
    """A p-value as text, "p = 0.02"."""
    return f"p {measurement.p_text(p)}"
