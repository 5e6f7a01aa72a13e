"""Tells child processes that are frozen from those that are busy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from actionlens.heartbeat import VARIABLE, beats_of, forget_beats

LOOK_SECONDS = 0.5
"""How often a parent should look."""
_LOOKS = 6
# Of processor time from one look to the next, in seconds: more than the thread that beats takes.
_BUSY_SECONDS = 0.02


class Stillness:
    """One process, and how often in a row it was looked at without a sign of life.

    A sign is what the caller says, processor time that was used, or a thread that waits for the processor: an extension
    module may keep the interpreter from all threads for long, but not without computing, and on a busy machine nobody
    is dead who waits in line. Counted in looks, not in seconds, so that a parent that was frozen itself, with the
    process or without it, does not find it dead when it goes on.
    """

    def __init__(self, pid: int, looks: int = _LOOKS) -> None:
        """looks: after so many without a sign of life it is frozen."""
        self._pid = pid
        self._looks = looks
        self._processor = 0.0
        self._still = 0

    def look(self, alive: bool) -> bool:
        """Whether the process is frozen. alive: whether the caller has seen a sign of life since the last look."""
        before, self._processor = self._processor, _processor_seconds(self._pid)
        if alive or self._processor - before > _BUSY_SECONDS or _waits_for_the_processor(self._pid):
            self._still = 0
        else:
            self._still += 1
        return self._still >= self._looks


class Heartbeats:
    """The heartbeats of a parent's children, in memory that it shares with them."""

    def __init__(self) -> None:
        """Raises OSError when there is no memory or file descriptor."""
        self._file = os.memfd_create("actionlens-heartbeats")
        self._seen: dict[int, tuple[Stillness, int]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a child needs in its environment to beat."""
        return {VARIABLE: f"/proc/{os.getpid()}/fd/{self._file}"}

    def frozen(self, children: Iterable[int]) -> set[int]:
        """Those of the children, by process id, that are frozen. Call it every LOOK_SECONDS, with all that are there.

        A child that has not begun to beat is not judged.
        """
        there = set(children)
        for pid in self._seen.keys() - there:
            forget_beats(self._file, pid)  # another process may get its number
        self._seen = {pid: self._seen.get(pid) or (Stillness(pid), 0) for pid in there}
        found = set()
        for pid, (stillness, before) in self._seen.items():
            beats = beats_of(self._file, pid)
            if stillness.look(alive=beats != before or not beats):
                found.add(pid)
            self._seen[pid] = stillness, beats
        return found

    def close(self) -> None:
        """Free the memory; children that still run beat into nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal or a debugger."""
    return _state(Path(f"/proc/{pid}/stat")) in ("T", "t")


def _processor_seconds(pid: int) -> float:
    """Processor time that all threads of a process have used; 0 when it is gone or the system does not tell."""
    try:
        fields = _fields(Path(f"/proc/{pid}/stat"))
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def _waits_for_the_processor(pid: int) -> bool:
    return "R" in "".join(map(_state, Path(f"/proc/{pid}/task").glob("*/stat")))


def _state(stat: Path) -> str:
    try:
        return _fields(stat)[0]
    except (OSError, IndexError):
        return ""


def _fields(stat: Path) -> list[str]:
    """Of a process or thread, after its name, which may hold anything: its state first."""
    return stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
