"""The blocking client."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from actionlens.v1 import model_pb2, service_pb2, service_pb2_grpc
from service.client.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT, open_channel
from service.client.clip_messages import ClipLike, ClipOptions, clip_request
from service.client.errors import from_rpc
from service.client.job_client import Jobs
from service.client.results import Result
from service.client.stream_messages import FrameLike, StreamOptions
from service.client.streams import ExplainedStream
from service.telemetry.spans import calling


class Client:
    """A connection to a running service. Threads may share it; close it, or use it as a context manager.

    address: "host:port". timeout: seconds for every unary call, retries included. credentials: for TLS, as from
    grpc.ssl_channel_credentials(). Unary calls that end in UNAVAILABLE are tried again with growing, jittered waits.
    jobs: expensive explanations, see Jobs.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.address = address
        self._timeout = timeout
        self._channel = open_channel(address, credentials)
        self._stub = service_pb2_grpc.ExplanationServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self.jobs = Jobs(self._channel, self._unary, address)

    def explain_clip(self, clip: ClipLike, *, timeout: float | None = None, **options: Unpack[ClipOptions]) -> Result:
        """Predict and explain one clip.

        clip: a video file or its bytes, a folder or a list of PNG or JPEG pictures, or uint8 [T, H, W, 3] RGB pixels.
        timeout: seconds, instead of the client's. options: see ClipOptions.
        Raises InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted, Unavailable, DeadlineExceeded, or
        ActionLensError with another code; OSError for a file that cannot be read.
        """
        response = self._unary(self._stub.ExplainClip, clip_request(clip, options), timeout)
        return Result(response.answer)

    def explain_stream(self, frames: Iterable[FrameLike], **options: Unpack[StreamOptions]) -> ExplainedStream:
        """Predict and explain windows of a stream; iterate over what comes back.

        frames: pictures (uint8 [H, W, 3] RGB, or JPEG or PNG bytes) or `Frame`s, also from a source that blocks.
        options: see StreamOptions.
        """
        return ExplainedStream(self._stub, frames, options, self.address)

    def list_models(self, *, timeout: float | None = None) -> list[model_pb2.Model]:
        """All models as served."""
        models: list[model_pb2.Model] = []
        token = ""
        while True:
            page = self._unary(self._stub.ListModels, service_pb2.ListModelsRequest(page_token=token), timeout)
            models += page.models
            token = page.next_page_token
            if not token:
                return models

    def get_model(self, name: str, version: str = "", *, timeout: float | None = None) -> model_pb2.Model:
        """One model as served. Raises NotFound."""
        request = service_pb2.GetModelRequest(name=name, version=version)
        model: model_pb2.Model = self._unary(self._stub.GetModel, request, timeout).model
        return model

    def health(self, service: str = "", *, timeout: float = 5.0) -> str:
        """ "SERVING" or "NOT_SERVING". Raises Unavailable when nobody answers."""
        response: health_pb2.HealthCheckResponse = self._unary(
            self._health.Check, health_pb2.HealthCheckRequest(service=service), timeout
        )
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def close(self) -> None:
        """Release the connection; calls in flight are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unary(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            with calling(request) as metadata:
                return method(request, timeout=self._timeout if timeout is None else timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from None
