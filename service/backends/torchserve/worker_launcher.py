"""Starts one TorchServe worker, in place of the Python that TorchServe would start. Run as a script.

    python -I -S worker_launcher.py SOCKET PYTHON ARGUMENTS...

It has the fork server at SOCKET (handlers/worker_forkserver.py) fork the worker: that has torch imported, which would
take a new process two seconds. The worker gets this process's standard streams, folder and environment, and lives no
longer than this process, which is the one that TorchServe knows and kills; this process ends when the worker ends.
Where there is no fork server, or one that shows no sign of life, this process becomes the worker itself, with PYTHON.

Only the standard library, and little of it, is imported: it starts within tens of milliseconds.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys

_LOOK_SECONDS = 2.0
_LOOKS = 2


def main() -> None:
    """Return never: the process ends, or becomes another program."""
    path, python, *command = sys.argv[1:]
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(path)
            request = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ)}
            data = json.dumps(request).encode()
            socket.send_fds(line, [struct.pack("<I", len(data))], [0, 1, 2])
            line.sendall(data)
            if taken(line):
                line.settimeout(None)
                line.recv(1)  # nothing ever comes but the end
                sys.exit(1)
    except OSError:
        pass
    os.execv(python, [python, *command])


def taken(line: socket.socket) -> bool:
    """Whether the fork server has forked the worker; waits while it is busy importing, or waits for the processor."""
    (server,) = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[:1]
    line.settimeout(_LOOK_SECONDS)
    still, before = 0, ""
    while still < _LOOKS:
        try:
            return line.recv(1) == b"+"
        except TimeoutError:
            state, used = signs(server)
            still = 0 if state == "R" or used != before else still + 1
            before = used
    return False


def signs(server: int) -> tuple[str, str]:
    """State and processor time of the fork server."""
    try:
        with open(f"/proc/{server}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return fields[0], " ".join(fields[11:13])
    except (OSError, IndexError):
        return "", ""


if __name__ == "__main__":
    main()
