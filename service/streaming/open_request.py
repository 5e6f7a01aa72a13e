"""Reads the first message of a stream: what is asked, and how its frames become windows."""

from __future__ import annotations

from dataclasses import dataclass

from actionlens.v1 import model_pb2, service_pb2
from service.dataplane.resolved_request import ResolvedRequest, resolve_stream
from service.dataplane.served_models import ServedModels
from service.errors import InvalidArgument
from service.settings import Limits, Settings
from service.streaming.drop_policy import DropPolicy
from service.streaming.window_sampling import WindowShape

_MOST_STRIDE = 64
# A stream keeps the decoded frames that one window reaches over.
_MOST_RING_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """An opened stream's request, windows and drop policy."""

    request: ResolvedRequest
    shape: WindowShape
    drop_policy: DropPolicy


def read_open_request(
    first: service_pb2.ExplainStreamRequest, served_models: ServedModels, settings: Settings
) -> StreamConfig:
    """Check the first message. Raises InvalidArgument, NotFound, FailedPrecondition, Unavailable."""
    if first.WhichOneof("message") != "open":
        raise InvalidArgument(
            "open: the first message of a stream must be `open`", field="open", reason="STREAM_NOT_OPENED"
        )
    request = resolve_stream(first.open, served_models)
    return StreamConfig(
        request=request,
        shape=_shape(first.open.window, request.model.input, settings.limits),
        drop_policy=DropPolicy.read(first.open, settings.stream),
    )


def _shape(window: service_pb2.Window, size: model_pb2.ModelInput, limits: Limits) -> WindowShape:
    stride = window.stride or size.stride or 1
    hop = window.hop or stride
    shape = WindowShape(size.frames, stride, hop)
    fitting = _MOST_RING_BYTES // (size.height * size.width * 3)
    most = min(_MOST_STRIDE, max(1, (fitting - 1) // max(1, size.frames - 1)))
    if stride > most:
        raise InvalidArgument(
            f"open.window.stride: {stride} is more than {most}, the most for {size.frames} frames of this model; "
            "send fewer frames per second instead",
            field="open.window.stride",
            reason="WINDOW_TOO_LONG",
        )
    if hop > limits.frames:
        raise InvalidArgument(
            f"open.window.hop: {hop} is more than {limits.frames}", field="open.window.hop", reason="HOP_TOO_LONG"
        )
    return shape
