"""Reads keys as they are pressed."""

from __future__ import annotations

import os
import re
import select
import sys
from types import TracebackType
from typing import Any, Self

# Sequences that arrows and the like send.
_CODE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.)")


def single_keys(typed: str) -> str:
    """One character per key: a pasted word is several, an arrow is none that counts. Escape itself stays."""
    return _CODE.sub("", typed)


class Keys:
    """Reads single keys from the terminal on standard input; leaving gives the terminal back as it was.

    Where standard input is no terminal, there are no keys.
    """

    def __init__(self) -> None:
        self._number = sys.stdin.fileno() if sys.stdin.isatty() else -1
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if self._number >= 0:
            import termios
            import tty

            self._before = termios.tcgetattr(self._number)
            # Not raw: Ctrl-C must go on to interrupt. But Ctrl-Z would leave the shell with this terminal.
            tty.setcbreak(self._number)
            modes = termios.tcgetattr(self._number)
            modes[6][termios.VSUSP] = bytes([os.fpathconf(self._number, "PC_VDISABLE")])
            termios.tcsetattr(self._number, termios.TCSADRAIN, modes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(self._number, termios.TCSADRAIN, self._before)

    def pressed(self, seconds: float) -> str:
        """Keys typed within so many seconds: as soon as there is one, all of them; empty when there is none."""
        if self._number < 0:
            select.select([], [], [], seconds)
            return ""
        ready, _, _ = select.select([self._number], [], [], seconds)
        return os.read(self._number, 64).decode(errors="ignore") if ready else ""
