"""All families by name."""

from __future__ import annotations

from functools import cache

import handlers.models.architectures
from handlers.discovery import find
from handlers.errors import ModelError
from handlers.models.family import Family


@cache
def families() -> dict[str, Family]:
    """Every family, by name: each module of `architectures` that defines FAMILY, or FAMILIES of one kind."""
    found = find(handlers.models.architectures, "FAMILY")
    for group in find(handlers.models.architectures, "FAMILIES"):
        found.extend(group if isinstance(group, tuple) else ())
    every = [entry for entry in found if isinstance(entry, Family)]
    return {entry.name: entry for entry in sorted(every, key=lambda entry: entry.name)}


def family(name: str) -> Family:
    """The family of that name. Raises ModelError, listing the known ones."""
    try:
        return families()[name]
    except KeyError:
        raise ModelError(f"architecture: {name!r} is not known; known are {', '.join(families())}") from None
