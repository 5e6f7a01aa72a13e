"""The Python client: `from actionlens.client import Client`. Has what `service.client` has; needs no torch."""

from __future__ import annotations

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    """Hand on a public name of the client, which is imported when the first one is asked for."""
    client = importlib.import_module("service.client")
    if name != "__all__" and name not in client.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(client, name)
