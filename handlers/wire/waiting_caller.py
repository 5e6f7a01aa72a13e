"""Whether somebody still waits for an answer, as the file of its clip says: the service empties it when nobody does."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Self

Wanted = Callable[[], bool]
"""Says whether an answer is still waited for."""


class WaitingCaller:
    """The caller of one request, known by the path of its clip's file; called, it says whether it still waits.

    One without a file, or whose file cannot be opened, waits for ever: that its clip is gone is another's to say.
    """

    def __init__(self, clip_file: str) -> None:
        self._path = clip_file
        self._file = -1

    def __enter__(self) -> Self:
        if self._path:
            with suppress(OSError):
                self._file = os.open(self._path, os.O_RDONLY)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __call__(self) -> bool:
        return self._file < 0 or os.fstat(self._file).st_size > 0
