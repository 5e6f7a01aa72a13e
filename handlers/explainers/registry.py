"""All explanation methods by name."""

from __future__ import annotations

from functools import cache
from typing import Any

import handlers.explainers
from handlers.discovery import find
from handlers.errors import RequestError
from handlers.explainers.explainer import Explainer


@cache
def explainers() -> dict[str, Explainer[Any]]:
    """Every method, by name: each module of this package that defines EXPLAINER."""
    found = [entry for entry in find(handlers.explainers, "EXPLAINER") if isinstance(entry, Explainer)]
    return {entry.name: entry for entry in found}


def explainer(name: str) -> Explainer[Any]:
    """The method of that name. Raises RequestError, listing the known ones."""
    try:
        return explainers()[name]
    except KeyError:
        raise RequestError(
            f"method {name!r} is not known; known are {', '.join(explainers())}", reason="UNKNOWN_METHOD"
        ) from None
