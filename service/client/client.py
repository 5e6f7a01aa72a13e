"""The blocking client."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, Unpack

import grpc

from actionlens.v1 import model_pb2, service_pb2_grpc
from service.client.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT
from service.client.clip_messages import ClipLike, ClipOptions
from service.client.core import ClientCore
from service.client.job_client import Jobs
from service.client.results import Result
from service.client.stream_messages import FrameLike, StreamOptions
from service.client.streams import ExplainedStream
from service.client.transports import BlockingTransport, run


class Client:
    """A connection to a running service. Threads may share it; close it, or use it as a context manager.

    address: "host:port". timeout: seconds for every unary call, retries included. credentials: for TLS, as from
    `tls_credentials()`. token: for a service that wants to know who calls. Unary calls that end in UNAVAILABLE are
    tried again with growing, jittered waits. jobs: expensive explanations, see Jobs.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
        token: str = "",
    ) -> None:
        self.address = address
        self._token = token
        self._transport = BlockingTransport(address, timeout, credentials, token)
        self._core = ClientCore(self._transport)
        self.jobs = Jobs(self._core.jobs)

    def explain_clip(self, clip: ClipLike, *, timeout: float | None = None, **options: Unpack[ClipOptions]) -> Result:
        """Predict and explain one clip.

        clip: a video file or its bytes, a folder or a list of PNG or JPEG images, or uint8 [T, H, W, 3] RGB pixels.
        timeout: seconds, instead of the client's. options: see ClipOptions.
        Raises InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, Unavailable, DeadlineExceeded, or
        ActionLensError with another code; OSError for a file that cannot be read.
        """
        return run(self._core.explain_clip(clip, timeout=timeout, **options))

    def explain_stream(self, frames: Iterable[FrameLike], **options: Unpack[StreamOptions]) -> ExplainedStream:
        """Predict and explain windows of a stream; iterate over what comes back.

        frames: images (uint8 [H, W, 3] RGB, or JPEG or PNG bytes) or `Frame`s, also from a source that blocks.
        options: see StreamOptions.
        """
        stub = service_pb2_grpc.ExplanationServiceStub(self._transport.channel)  # type: ignore[no-untyped-call]
        return ExplainedStream(stub, frames, options, self.address, self._token)

    def list_models(self, *, timeout: float | None = None) -> list[model_pb2.Model]:
        """All models as served."""
        return run(self._core.list_models(timeout=timeout))

    def get_model(self, name: str, version: str = "", *, timeout: float | None = None) -> model_pb2.Model:
        """One model as served. Raises NotFound."""
        return run(self._core.get_model(name, version, timeout=timeout))

    def health(self, service: str = "", *, timeout: float = 5.0) -> str:
        """ "SERVING" or "NOT_SERVING". Raises Unavailable when nobody answers."""
        return run(self._core.health(service, timeout=timeout))

    def close(self) -> None:
        """Release the connection; calls in flight are cancelled."""
        run(self._transport.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
