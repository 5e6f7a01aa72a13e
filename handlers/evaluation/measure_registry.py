"""All measures by name."""

from __future__ import annotations

from functools import cache
from typing import Any

import handlers.evaluation.measures
from handlers.discovery import find
from handlers.errors import RequestError
from handlers.evaluation.measure import Measure


@cache
def measures() -> dict[str, Measure[Any]]:
    """Every measure, by name: those in MEASURES of the modules of `measures`."""
    found = [entry for module in find(handlers.evaluation.measures, "MEASURES") for entry in module]  # type: ignore[attr-defined]
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def measure(name: str) -> Measure[Any]:
    """The measure of that name. Raises RequestError, listing the known ones."""
    try:
        return measures()[name]
    except KeyError:
        raise RequestError(
            f"measure {name!r} is not known; known are {', '.join(measures())}",
            field="measures",
            reason="UNKNOWN_MEASURE",
        ) from None
