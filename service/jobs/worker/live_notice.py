"""Live traffic first: the service publishes how long live answers take, and job workers of the same machine yield."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

_STALE_SECONDS = 4.0


class LiveNotice:
    """The file in the data folder through which services tell the workers beside them."""

    def __init__(self, data: Path) -> None:
        self._folder = data / "live"
        self._path = self._folder / f"{os.getpid()}.json"

    def publish(self, p95: float | None) -> None:
        """Say how long live answers take now; None: there are none. A full disk is nobody's concern here."""
        with contextlib.suppress(OSError):
            if p95 is None:
                self._path.unlink(missing_ok=True)
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps({"p95": p95, "at": time.time()}), encoding="ascii")
            part.replace(self._path)

    def worst(self) -> float:
        """Seconds that live answers take now at the slowest service of this machine; 0 without live traffic."""
        worst = 0.0
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                noted = json.loads(path.read_text(encoding="ascii"))
                if time.time() - float(noted["at"]) < _STALE_SECONDS:
                    worst = max(worst, float(noted["p95"]))
        return worst
