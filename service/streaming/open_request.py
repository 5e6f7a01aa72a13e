"""The first message of a stream: what is asked, and how its frames become windows."""

from __future__ import annotations

from dataclasses import dataclass

from actionlens.v1 import model_pb2, service_pb2
from service.dataplane.resolved_request import ResolvedRequest, resolve_stream
from service.dataplane.served_models import ServedModels
from service.errors import InvalidArgument
from service.settings import Limits
from service.streaming.window_sampling import WindowShape

_MOST_STRIDE = 64
# A stream keeps the decoded frames that one window reaches over.
_MOST_RING_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """drop: FILL_POLICY_DROP_OLDEST; newest: CONSUME_POLICY_NEWEST."""

    ask: ResolvedRequest
    shape: WindowShape
    drop: bool
    newest: bool


def read_opening(request: service_pb2.ExplainStreamRequest, catalog: ServedModels, limits: Limits) -> StreamConfig:
    """Check the first message. Raises InvalidArgument, NotFound, FailedPrecondition, Unavailable."""
    if request.WhichOneof("message") != "open":
        raise InvalidArgument(
            "open: the first message of a stream must be `open`", field="open", reason="STREAM_NOT_OPENED"
        )
    opening = request.open
    ask = resolve_stream(opening, catalog)
    return StreamConfig(
        ask=ask,
        shape=_shape(opening.window, ask.model.input, limits),
        drop=opening.fill == service_pb2.FILL_POLICY_DROP_OLDEST,
        newest=opening.consume == service_pb2.CONSUME_POLICY_NEWEST,
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
