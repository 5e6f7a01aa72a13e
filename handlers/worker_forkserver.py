"""Forks TorchServe's workers from one process that has torch imported, so that a new worker is there at once.

    python -m handlers.worker_forkserver SOCKET

It listens first and imports then, so that a worker asked for meanwhile comes as soon as it can. It runs no computation
itself and starts no thread: what is forked could not use either. Its peer is
service/backends/torchserve/worker_launcher.py, one per worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

_PRELOADED = (
    "torch",
    "ts.context",
    "ts.metrics.metric_cache_yaml_impl",
    "ts.model_loader",
    "ts.protocol.otf_message_handler",
    "ts.service",
    "handlers.action_handler",
)
_LINE = 64


def main() -> None:
    """Serve until the process is killed: it is of java's process group, and ends with it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen(_LINE)
        for module in _PRELOADED:
            importlib.import_module(module)
        importlib.import_module("handlers.explainers").methods()  # imports every method
        # What is there now is shared with the workers, as long as no collector writes into it.
        gc.collect()
        gc.freeze()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a worker here
        while True:
            line, _ = listener.accept()
            with line, contextlib.suppress(OSError, ValueError, struct.error):  # of a launcher that has gone
                _serve(line, listener)


def _serve(line: socket.socket, listener: socket.socket) -> None:
    head, streams, _, _ = socket.recv_fds(line, 4, 3)
    try:
        (size,) = struct.unpack("<I", head)
        data = bytearray()
        while len(data) < size:
            part = line.recv(size - len(data))
            if not part:
                return
            data += part
        request = json.loads(data)
        if os.fork() == 0:
            listener.close()
            _become(request, streams, line)
    finally:
        for stream in streams:
            os.close(stream)


def _become(request: dict[str, object], streams: list[int], line: socket.socket) -> NoReturn:
    """Be the worker that a launcher asked for, in the process that was forked for it."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        command, environment = request["command"], request["environment"]
        assert isinstance(command, list)
        assert isinstance(environment, dict)
        os.chdir(str(request["folder"]))
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[:] = command
        paths = environment.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:0] = [path for path in paths if path and path not in sys.path]
        threading.Thread(target=_follow, args=(line,), name="launcher", daemon=True).start()
        line.sendall(b"+")
        _rename(command)
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        # Not the fork server's way out: what it would tidy up is not this process's.
        os._exit(status)


def _follow(line: socket.socket) -> None:
    """End with the launcher, which TorchServe kills to end the worker."""
    with contextlib.suppress(OSError):
        line.recv(1)
    os._exit(1)


def _rename(command: list[str]) -> None:
    """Show the worker's command in the list of processes, as far as the fork server's own leaves room for it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        begin, end = int(fields[45]), int(fields[46])
        shown = "\0".join((Path(command[0]).name, *command[1:])).encode()[: end - begin - 1]
        ctypes.memmove(begin, shown.ljust(end - begin, b"\0"), end - begin)


if __name__ == "__main__":
    main()
