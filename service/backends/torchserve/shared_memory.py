"""How a clip's pixels reach a worker: through memory that both sides can read, not through TorchServe's sockets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from actionlens.worker.v1 import worker_pb2


@contextmanager
def envelope(request: worker_pb2.ComputeRequest) -> Iterator[bytes]:
    """The request as a worker of the same user on this machine understands it until the block ends.

    The pixels are moved out of it into an anonymous file, which lies in memory and on no disk, and which the kernel
    frees when this process ends, however it ends. Raises OSError when there is no memory or file descriptor.
    """
    if request.WhichOneof("work") == "describe":
        yield request.SerializeToString()
        return
    sent = worker_pb2.ComputeRequest()
    sent.CopyFrom(request)
    compute = sent.advance.compute if sent.WhichOneof("work") == "advance" else sent.compute
    with open(os.memfd_create("actionlens-clip"), "wb") as file:
        file.write(compute.clip)
        file.flush()
        compute.ClearField("clip")
        # The worker opens it anew, with a position of its own.
        compute.clip_file = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        yield sent.SerializeToString()
