"""Shares the service's places among its callers, so that none of them takes all: calls, streams, watches, bytes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from service.errors import QuotaExceeded
from service.ingress.caller import HERE, Caller
from service.settings import Settings

MAX_WATCHERS = 64
"""Watches that may be open at once."""

# Calls beside clips that may run at once: model lists, jobs.
_SMALL_CALLS = 64
# Health checks and reflection have places of their own, so that nothing else keeps them out.
_PROBES = 128
# Streams that have not opened yet, and downloads.
_OPENING, _DOWNLOADS = 16, 32
# So many of a kind anybody may have, however few there are.
_LEAST = 8
_RETRY_SECONDS = 1.0


class Kind(StrEnum):
    """What a call takes a place of."""

    CALLS = "calls"
    STREAMS = "streams"
    WATCHES = "watches"
    PROBES = "probes"
    BYTES = "bytes"


class Quotas:
    """Counts what callers hold. Use from one event loop."""

    def __init__(self, settings: Settings) -> None:
        clips = 2 * settings.queue
        self._shared = settings.quotas
        # How many there are, and how many of them shares are of.
        self._places = {
            Kind.CALLS: (clips + _SMALL_CALLS, clips + _SMALL_CALLS),
            Kind.STREAMS: (settings.stream.max_streams + _OPENING, settings.stream.max_streams),
            Kind.WATCHES: (MAX_WATCHERS + _DOWNLOADS, MAX_WATCHERS),
            Kind.PROBES: (_PROBES, _PROBES),
            Kind.BYTES: (settings.quotas.bytes, settings.quotas.bytes),
        }
        self._held: Counter[tuple[Kind, str, str]] = Counter()

    @property
    def calls(self) -> int:
        """Calls of all kinds that may be open at once."""
        return sum(whole for kind, (whole, _) in self._places.items() if kind is not Kind.BYTES)

    @contextmanager
    def holding(self, kind: Kind, caller: Caller, amount: int = 1) -> Iterator[None]:
        """Hold a place, or so many bytes, for as long as the block runs. Raises QuotaExceeded."""
        keys = self._take(kind, caller, amount)
        try:
            yield
        finally:
            for key in keys:
                self._held[key] -= amount
                if not self._held[key]:
                    del self._held[key]

    def held(self, kind: Kind) -> int:
        """How much of a kind is held by all."""
        return self._held[kind, "", ""]

    def _take(self, kind: Kind, caller: Caller, amount: int) -> list[tuple[Kind, str, str]]:
        whole, base = self._places[kind]
        bounds = [((kind, "", ""), whole, "the service")]
        if caller != HERE:
            for name, share, who in (
                ("connection", self._shared.connection_share, caller.connection),
                ("principal", self._shared.principal_share, caller.principal),
            ):
                bounds.insert(0, ((kind, name, who), max(math.ceil(share * base), _LEAST), f"one {name}"))
        for key, most, of in bounds:
            if self._held[key] + amount > most:
                raise QuotaExceeded(
                    f"quota {kind}: {of} may hold {most} at once; {self._held[key]} are held, and {amount} more are "
                    "asked for; end some, or try again later",
                    quota=kind,
                    subject=f"{key[1] or 'service'}:{key[2]}",
                    retry_after=_RETRY_SECONDS,
                )
        for key, _, _ in bounds:
            self._held[key] += amount
        return [key for key, _, _ in bounds]
