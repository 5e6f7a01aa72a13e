"""A live view on a terminal, also over SSH."""

from __future__ import annotations

import os
import shutil
import sys
from types import TracebackType
from typing import Self

from service.webcam.frame_store import FrameStore
from service.webcam.keys import Keys
from service.webcam.playback import Playback
from service.webcam.state import ViewState
from service.webcam.terminal_layout import ERASE, TerminalSize, lines

_PERIOD = 0.1
"""Seconds between two images: as many as a slow connection carries."""
_ENTER_SCREEN = "\x1b[?1049h\x1b[?25l"
_LEAVE_SCREEN = "\x1b[0m\x1b[?25h\x1b[?1049l"


class TerminalView:
    """Draws on the alternate screen, and only the lines that have changed; leaving brings the old screen back.

    width: most characters that the image may take; 0: as many as fit. true_colour: else 256 colours.
    """

    def __init__(self, state: ViewState, store: FrameStore, playback: Playback, width: int, true_colour: bool) -> None:
        self._state = state
        self._store = store
        self._playback = playback
        self._image_width = width
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

    def draw(self, prompt: str) -> str:
        """Draw once, with the prompt below, and return the keys that were pressed meanwhile, waiting a little."""
        size = shutil.get_terminal_size()
        if size != self._size:
            self._size, self._drawn = size, []
            self._write("\x1b[2J")
        cells = TerminalSize(size.columns, size.lines, self._image_width, self._true_colour)
        drawn = lines(cells, self._state, self._store, self._playback, prompt)
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
