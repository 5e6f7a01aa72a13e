"""Passes a clip's pixels to a worker: through memory that both sides can read, not through TorchServe's sockets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Work


@contextmanager
def envelope(work: Work) -> Iterator[bytes]:
    """A worker message that a worker of the same user on this machine understands until the block ends.

    The pixels go from their array straight into an anonymous file, which lies in memory and on no disk, and which the
    kernel frees when this process ends, however it ends. Raises OSError when there is no memory or file descriptor.
    """
    if work.request.WhichOneof("work") in ("describe", "plan"):
        yield work.request.SerializeToString()
        return
    sent = worker_pb2.ComputeRequest()
    sent.CopyFrom(work.request)
    compute = sent.advance.compute if sent.WhichOneof("work") == "advance" else sent.compute
    with open(os.memfd_create("actionlens-clip"), "wb") as file:
        work.pixels.tofile(file)
        compute.frames, compute.height, compute.width, _ = work.pixels.shape
        # The worker opens it anew, with a position of its own.
        compute.clip_file = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        yield sent.SerializeToString()
