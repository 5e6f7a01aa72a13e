"""Heartbeats of child processes in shared memory: a thread of the child counts, and the parent sees whether it does.

A process that computes for long still beats; one that is stopped, frozen or held in a debugger does not. All children
share one anonymous file of the parent, in which each has the 8 bytes at its process id; the file is sparse.
"""

from __future__ import annotations

import itertools
import os
import struct
import threading
from contextlib import suppress

VARIABLE = "ACTIONLENS_HEARTBEATS"
"""Environment variable: path of the file; none: nobody looks."""
BEAT_SECONDS = 0.1
_COUNT = struct.Struct("<q")


def start_beating() -> None:
    """Begin to beat into the file that the environment names, in a thread that ends with the process.

    Called when all is loaded: loading may keep the interpreter to itself while it waits for the disk.
    """
    path = os.environ.get(VARIABLE, "")
    if path:
        with suppress(OSError):  # the parent has gone
            file = os.open(path, os.O_WRONLY)
            threading.Thread(target=_beat, args=(file,), name="heartbeat", daemon=True).start()


def beats_of(file: int, pid: int) -> int:
    """How often a process has beaten, given the file's descriptor; 0 before it first did."""
    data = os.pread(file, _COUNT.size, pid * _COUNT.size)
    return int(_COUNT.unpack(data)[0]) if len(data) == _COUNT.size else 0


def forget_beats(file: int, pid: int) -> None:
    """Begin to count from 0, given the file's descriptor."""
    os.pwrite(file, bytes(_COUNT.size), pid * _COUNT.size)


def _beat(file: int) -> None:
    pause, place = threading.Event(), os.getpid() * _COUNT.size
    for count in itertools.count(1):
        os.pwrite(file, _COUNT.pack(count), place)
        pause.wait(BEAT_SECONDS)
