"""A live view in a window of the desktop, where there is one and OpenCV was built to open windows."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Self

import cv2

from service.webcam.frame_store import Footage
from service.webcam.playback import Projector
from service.webcam.state import Watch
from service.webcam.window_picture import board

_TITLE = "ActionLens"
_PERIOD_MILLISECONDS = 40
_WIDTH = 960


def has_desktop() -> bool:
    """Whether a window can be opened: there is a display, and this OpenCV has a GUI, which the headless one has not."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    told = [line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")]
    return bool(told) and "NONE" not in told[0]


class Desktop:
    """Draws in a window; closing the window is like pressing q."""

    def __init__(self, watch: Watch, footage: Footage, projector: Projector, width: int) -> None:
        self._watch = watch
        self._footage = footage
        self._projector = projector
        self._width = width or _WIDTH

    def __enter__(self) -> Self:
        cv2.namedWindow(_TITLE, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cv2.destroyAllWindows()

    def turn(self, prompt: str) -> str:
        """Draw once, with the prompt below, and return the keys that were pressed meanwhile, waiting a little."""
        drawn = board(self._width, self._watch, self._footage, self._projector, prompt)
        cv2.imshow(_TITLE, drawn[..., ::-1])
        key = cv2.waitKey(_PERIOD_MILLISECONDS)
        if cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
            return "q"
        return "" if key < 0 else chr(key & 0xFF)
