"""Passes a clip's pixels to a worker: through memory that both sides can read, not through TorchServe's sockets."""

from __future__ import annotations

import os
from typing import BinaryIO, Self

from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Work


class Envelope:
    """A worker message, which a worker of the same user on this machine understands until the envelope is closed.

    The pixels go from their array straight into an anonymous file, which lies in memory and on no disk, and which the
    kernel frees when this process ends, however it ends. The worker looks at its size while it computes: `withdraw`
    empties it, and so ends the computation, for which TorchServe has no call.
    """

    def __init__(self, work: Work) -> None:
        """Raises OSError when there is no memory or file descriptor."""
        self._file: BinaryIO | None = None
        self.withdrawn = False
        if work.request.WhichOneof("work") in ("describe", "plan"):
            self.body = work.request.SerializeToString()
            return
        sent = worker_pb2.ComputeRequest()
        sent.CopyFrom(work.request)
        compute = sent.advance.compute if sent.WhichOneof("work") == "advance" else sent.compute
        self._file = open(os.memfd_create("actionlens-clip"), "wb")  # noqa: SIM115 - closed by `close`
        work.pixels.tofile(self._file)
        compute.frames, compute.height, compute.width, _ = work.pixels.shape
        # The worker opens it anew, with a position of its own.
        compute.clip_file = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
        self.body = sent.SerializeToString()

    def withdraw(self) -> None:
        """Nobody waits for the answer any longer: a worker that computes it stops, and one that gets it begins not."""
        self.withdrawn = True
        if self._file is not None and not self._file.closed:
            os.ftruncate(self._file.fileno(), 0)

    def close(self) -> None:
        """Free the memory."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
