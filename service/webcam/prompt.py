"""The last line of a live view: what the keys do, or the class that is being typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_ENTER, _ESCAPE, _BACK = ("\r", "\n"), "\x1b", ("\x7f", "\b")


@dataclass
class Prompt:
    """Turns keys into actions: "quit", "method", "rescale", or ("target", label or None for the top class)."""

    labels: Sequence[str] = ()
    typed: str | None = field(default=None, init=False)
    """Letters typed of a class so far; None while none is asked for."""

    def press(self, key: str) -> str | tuple[str, str | None] | None:
        """One key; the action that it completes, if any."""
        if self.typed is None:
            if key == "t":
                self.typed = ""
            return {"q": "quit", "m": "method", "r": "rescale"}.get(key)
        if key == _ESCAPE:
            self.typed = None
        elif key in _BACK:
            self.typed = self.typed[:-1]
        elif key in _ENTER:
            return self._chosen()
        elif key.isprintable():
            self.typed += key
        return None

    def line(self, method: str, target: str | None) -> str:
        """The line to show. method: the one that is looked at. target: the explained class, None for the top."""
        if self.typed is None:
            method, explained = method or "none", target or "the top class"
            return f"q quit  r rescale  m next method ({method})  t class ({explained})"
        found = self._found()
        choice = "the top class" if not self.typed else ", ".join(found) or "no class of this name"
        return f"explain: {self.typed}▏  Enter: {choice}   Esc: leave it"

    def _found(self) -> list[str]:
        typed = (self.typed or "").lower()
        return sorted(
            (label for label in self.labels if typed in label.lower()), key=lambda label: label.lower().find(typed)
        )

    def _chosen(self) -> tuple[str, str | None] | None:
        found = self._found() if self.typed else [None]
        if not found:
            return None
        self.typed = None
        return "target", found[0]
