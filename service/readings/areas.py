"""Reads masks of a given share of the clip, in one line for people."""

from __future__ import annotations

from collections.abc import Mapping

from actionlens.v1 import explanation_pb2

_ENOUGH = 0.9
"""Share of the full clip's score from which a part counts as enough."""
_FULL, _WITH, _WITHOUT, _MISFIT = "score full", "score ", "score without ", "misfit "
_GREY = 0.5
"""Misfit beyond which a mask is grey: what is cut out of it says little of what so large a part can do."""


def read_areas(explanation: explanation_pb2.Explanation) -> str:
    """The score that the shown parts keep and the score without them; empty where nothing measured it.

    Of a mask that misses its area nothing is said: a cut through a grey mask proves nothing about that area.
    """
    measures = explanation.measures
    full = measures.get(_FULL)
    if full is None:
        return ""
    parts = []
    grey = {area for area, misfit in _by_area(measures, _MISFIT).items() if misfit > _GREY}
    kept, left = (_without(_by_area(measures, prefix), grey) for prefix in (_WITH, _WITHOUT))
    if grey and not kept and not left:
        return "no mask holds its area yet"
    if kept:
        enough = [area for area in kept if kept[area] >= _ENOUGH * full]
        area = min(enough) if enough else max(kept)
        verdict = "is enough" if enough else "is not enough"
        parts.append(f"{100 * area:.3g} % of the clip {verdict}: P {kept[area]:.2f} with it alone, {full:.2f} with all")
    if left:
        area = max(left)
        parts.append(f"without {100 * area:.3g} % of the clip P falls from {full:.2f} to {left[area]:.2f}")
    return "; ".join(parts)


def _by_area(measures: Mapping[str, float], prefix: str) -> dict[float, float]:
    """Measures named by a prefix and an area, by the area."""
    found = {}
    for name, value in measures.items():
        if name.startswith(prefix):
            try:
                found[float(name.removeprefix(prefix))] = value
            except ValueError:
                continue
    return found


def _without(found: Mapping[float, float], areas: set[float]) -> dict[float, float]:
    return {area: value for area, value in found.items() if area not in areas}
