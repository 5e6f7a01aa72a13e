"""A live view on a terminal, also over SSH."""

from __future__ import annotations

import os
import shutil
import sys
from types import TracebackType
from typing import Self

from service.webcam.frame_store import Footage
from service.webcam.keys import Keys
from service.webcam.playback import Projector
from service.webcam.state import Watch
from service.webcam.terminal_layout import ERASE, Size, lines

_PERIOD = 0.1
"""Seconds between two pictures: what a slow connection carries."""
_ENTER_SCREEN = "\x1b[?1049h\x1b[?25l"
_LEAVE_SCREEN = "\x1b[0m\x1b[?25h\x1b[?1049l"


class Terminal:
    """Draws on the alternate screen, and only the lines that have changed; leaving brings the old screen back."""

    def __init__(self, watch: Watch, footage: Footage, projector: Projector, picture: int, true_colour: bool) -> None:
        self._watch = watch
        self._footage = footage
        self._projector = projector
        self._picture = picture
        self._true_colour = true_colour
        self._keys = Keys()
        self._drawn: list[str] = []
        self._size = os.terminal_size((0, 0))

    def __enter__(self) -> Self:
        self._keys.__enter__()
        self._write(_ENTER_SCREEN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(_LEAVE_SCREEN)
        self._keys.__exit__(kind, error, trace)

    def turn(self, prompt: str) -> str:
        """Draw once, with the prompt below, and return the keys that were pressed meanwhile, waiting a little."""
        size = shutil.get_terminal_size()
        if size != self._size:
            self._size, self._drawn = size, []
            self._write("\x1b[2J")
        asked = Size(size.columns, size.lines, self._picture, self._true_colour)
        drawn = lines(asked, self._watch, self._footage, self._projector, prompt)
        parts = []
        for row in range(max(len(drawn), len(self._drawn))):
            line = drawn[row] if row < len(drawn) else ""
            if row >= len(self._drawn) or self._drawn[row] != line:
                parts.append(f"\x1b[{row + 1};1H{line}{ERASE}")
        self._drawn = drawn
        self._write("".join(parts))
        return self._keys.pressed(_PERIOD)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
