"""Live traffic first: the service says how long live answers take, and job workers of the same machine stand back."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from pathlib import Path

_WINDOW_SECONDS = 10.0
_MOST = 4096
_STALE_SECONDS = 4.0


class LiveLatency:
    """The 95th percentile of the live answers of the last seconds, for one event loop."""

    def __init__(self) -> None:
        self._answers: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def add(self, seconds: float) -> None:
        """A live answer took so long."""
        self._answers.append((time.monotonic(), seconds))

    def p95(self) -> float | None:
        """Seconds; None when nobody has asked lately."""
        since = time.monotonic() - _WINDOW_SECONDS
        while self._answers and self._answers[0][0] < since:
            self._answers.popleft()
        if not self._answers:
            return None
        ordered = sorted(seconds for _, seconds in self._answers)
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


class Notice:
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
            with contextlib.suppress(OSError, ValueError, KeyError):
                said = json.loads(path.read_text(encoding="ascii"))
                if time.time() - float(said["at"]) < _STALE_SECONDS:
                    worst = max(worst, float(said["p95"]))
        return worst
