"""One decoder process, as the service sees it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from service.child_processes.child_environment import child_environment
from service.decoding.process import messages
from service.errors import Unavailable
from service.settings import Settings

_START_SECONDS = 120.0
_KEPT_BYTES = 2**22
_LOOK_SECONDS = 0.05
_CHILD = "from service.decoding.process.decoder_child import main; main()"


class DecoderDied(Exception):
    """The process ended, or said what no decoder says, while it had work. starting: before it had taken it up."""

    def __init__(self, *, starting: bool = False) -> None:
        super().__init__()
        self.starting = starting


class DecoderProcess:
    """Starts with its first work, and again after its end. Has one work at a time; `close` ends that too."""

    def __init__(self, settings: Settings) -> None:
        """settings: of which limits and memory count."""
        self.starts = 0
        self._most = settings.decoder.memory_bytes
        self._bounds = json.dumps(
            {"memory_bytes": self._most, "limits": settings.limits.model_dump(mode="json")}, sort_keys=True
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._memory = -1
        self._ready = False
        self._closed = False
        self._used = threading.Lock()

    @property
    def pid(self) -> int:
        """The process's number; 0 when there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the process unless it runs; it gets ready meanwhile. Raises Unavailable."""
        with self._used:
            self._start()

    def _start(self) -> None:
        if self._closed:
            raise Unavailable("the service is shutting down; another instance may answer")
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        ours, theirs = socket.socketpair()
        self._memory = os.memfd_create("actionlens-decoder")
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        _CHILD,
                        *map(str, (theirs.fileno(), self._memory, os.getpid())),
                        self._bounds,
                    ],
                    env=child_environment(
                        PYTHONPATH=os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
                        # It may not start threads later.
                        OPENBLAS_NUM_THREADS="1",
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), self._memory),
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            raise Unavailable(f"a decoder cannot be started: {error.strerror}", reason="DECODER_FAILED") from error
        self._connection = ours
        self._ready = False
        self.starts += 1

    def call(
        self, header: dict[str, Any], parts: Sequence[messages.Part], seconds: float
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Let the process work, starting it where it does not run. seconds: that its answer may take.

        Raises TimeoutError when there is none by then, DecoderDied, and Unavailable when it cannot be started. After
        each of them the process has ended.
        """
        with self._used:
            return self._call(header, parts, seconds)

    def _call(
        self, header: dict[str, Any], parts: Sequence[messages.Part], seconds: float
    ) -> tuple[dict[str, Any], list[bytes]]:
        self._start()
        connection = self._connection
        assert connection is not None
        try:
            if not self._ready:
                connection.settimeout(_START_SECONDS)
                self._ready = bool(messages.heard(connection))
                if not self._ready:
                    raise DecoderDied(starting=True)
            connection.settimeout(seconds)
            messages.send(connection, self._memory, header, parts)
            answer = messages.receive(connection, self._memory, self._most)
            if answer is None:
                raise DecoderDied
            if os.fstat(self._memory).st_size > _KEPT_BYTES:
                os.ftruncate(self._memory, 0)
        except (TimeoutError, DecoderDied):
            self._end()
            raise
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self._end()
            raise DecoderDied from error
        return answer

    def close(self) -> None:
        """End the process, also one that is at work. It does not start again."""
        self._closed = True
        # Who waits for its answer hears of its end and leaves.
        while not self._used.acquire(timeout=_LOOK_SECONDS):
            if (process := self._process) is not None:
                process.kill()
        try:
            self._end()
        finally:
            self._used.release()

    def _end(self) -> None:
        """Kill and reap the process, and close what it shared with this one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._memory >= 0:
            with contextlib.suppress(OSError):
                os.close(self._memory)
            self._memory = -1
