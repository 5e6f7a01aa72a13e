"""The relevance engine: `from actionlens.relevance import trace`. Has what `handlers.relevance` has."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Hand on a public name of the engine, which is imported, and torch with it, when the first one is asked for."""
    engine = importlib.import_module("handlers.relevance")
    if name != "__all__" and name not in engine.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(engine, name)
