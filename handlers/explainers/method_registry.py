"""All explanation methods by name."""

from __future__ import annotations

from functools import cache
from typing import Any

import handlers.explainers.jobs
import handlers.explainers.live
from handlers.discovery import find
from handlers.errors import FAILED_PRECONDITION, RequestError
from handlers.explainers.explainer import Explainer, Method
from handlers.explainers.iteration import IterativeExplainer


@cache
def methods() -> dict[str, Method[Any]]:
    """Every method, by name: each module of `live` and `jobs` that defines EXPLAINER."""
    packages = (handlers.explainers.live, handlers.explainers.jobs)
    found = [entry for package in packages for entry in find(package, "EXPLAINER") if isinstance(entry, Method)]
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def explainer(name: str) -> Explainer[Any]:
    """The live method of that name. Raises RequestError, listing the known ones, or that it runs as a job."""
    found = _method(name)
    if not isinstance(found, Explainer):
        raise RequestError(
            f"{name} takes too long for a live answer: it runs as a job (ExplanationJobService.CreateJob)",
            reason="RUNS_AS_JOB",
            code=FAILED_PRECONDITION,
        )
    return found


def iterative(name: str) -> IterativeExplainer[Any]:
    """The method of that name that runs as a job. Raises RequestError, listing the known ones, or that it is live."""
    found = _method(name)
    if not isinstance(found, IterativeExplainer):
        raise RequestError(
            f"{name} needs no job: ExplainClip answers it at once", reason="RUNS_LIVE", code=FAILED_PRECONDITION
        )
    return found


def _method(name: str) -> Method[Any]:
    try:
        return methods()[name]
    except KeyError:
        raise RequestError(
            f"method {name!r} is not known; known are {', '.join(methods())}", reason="UNKNOWN_METHOD"
        ) from None
