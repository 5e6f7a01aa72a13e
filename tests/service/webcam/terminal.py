"""A command on a pseudo-terminal, as a person has it."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.waiting import PATIENCE

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class OnTerminal:
    """A program whose standard input and output are a terminal. raw: all that it has written."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.raw = ""
        self._master = master
        self._typed_at = 0
        # What is read at once may end within a character, and a signal may cut one in two, as on any terminal.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def settings(self) -> list[Any]:
        """The terminal's modes, as termios tells them."""
        return termios.tcgetattr(self._master)

    def type(self, keys: str) -> None:
        self._typed_at = len(self.raw)
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str, seconds: float = 90.0) -> re.Match[str]:
        """Read on until what was written since keys were typed matches, without its colours.

        Fails the test when it does not in time.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, _ESCAPE.sub("", self.raw[self._typed_at :]))
            if found:
                return found
            if not self._read(0.2) and self.process.poll() is not None:
                break
        raise AssertionError(f"{pattern!r} was not shown:\n{_ESCAPE.sub('', self.raw)[-3000:]}")

    def finish(self, seconds: float = PATIENCE) -> int:
        """Read to the end; returns the exit code."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (self._read(0.2) or self.process.poll() is None):
            pass
        return self.process.wait(1)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return False  # the program has ended
        self.raw += self._decoder.decode(data)
        return bool(data)


@contextmanager
def on_terminal(
    command: Sequence[str], env: dict[str, str], rows: int = 36, columns: int = 120
) -> Iterator[OnTerminal]:
    """Start a command on a terminal of that size; it is killed where it still runs at the end."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    env = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    env |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, close_fds=True
    )
    try:
        yield OnTerminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE)
        os.close(slave)
        os.close(master)
