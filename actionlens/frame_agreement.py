"""How far explanations agree on when their evidence is: Spearman's rank correlation of their relevance per frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionlens.worker.v1 import worker_pb2

_EQUAL = 1e-5


@dataclass(frozen=True, slots=True)
class Agreement:
    """mean: over all pairs. each: of every series, its mean with the others. -1 .. 1; None where no pair has one."""

    mean: float | None
    each: tuple[float | None, ...]


def agreement(series: Sequence[NDArray[Any]]) -> Agreement:
    """Mean Spearman correlation of series of one length, [n] each; pairs for which it is not defined do not count.

    Values that differ by less than 1e-5 of their series' largest magnitude are about equal: on a clip that stands still
    the order of frames is one of rounding.
    """
    series = [_rounded(values) for values in series]
    found: list[list[float]] = [[] for _ in series]
    for one, other in combinations(range(len(series)), 2):
        rho = spearman(series[one], series[other])
        if rho is not None:
            found[one].append(rho)
            found[other].append(rho)
    pairs = [rho for rhos in found for rho in rhos]  # each twice
    return Agreement(fmean(pairs) if pairs else None, tuple(fmean(rhos) if rhos else None for rhos in found))


def write_agreement(response: worker_pb2.ComputeResponse, profiles: Mapping[int, NDArray[Any]]) -> None:
    """Write the agreement of an answer's explanations, and of each with the others; nothing for fewer than two.

    profiles: relevance per frame, [T], by the index of its explanation, where that has any.
    """
    if len(response.explanations) < 2:
        return
    found = agreement(list(profiles.values()))
    for index, value in zip(profiles, found.each, strict=True):
        if value is not None:
            response.explanations[index].quality.agreement = value
    if found.mean is not None:
        response.quality.agreement = found.mean
    elif len(profiles) < 2:
        response.quality.agreement_left_out = "fewer than two explanations have relevance per frame"
    else:
        response.quality.agreement_left_out = "no two explanations have relevance that differs between frames"


def spearman(first: NDArray[Any], second: NDArray[Any]) -> float | None:
    """Spearman's rank correlation of two series [n], -1 .. 1, ties by mean ranks.

    None where it is not defined: fewer than two values, all values of a series equal, or some not finite.
    """
    if len(first) < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return None
    one, other = (ranks - ranks.mean() for ranks in (_ranks(first), _ranks(second)))
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return max(-1.0, min(1.0, float(one @ other) / scale)) if scale > 0 else None


def _rounded(values: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    most = float(np.abs(values).max(initial=0.0))
    return np.round(values / (_EQUAL * most)) if 0 < most < np.inf else values


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 0, [n]; equal values have the mean of theirs."""
    _, own, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[own], np.float64)
