"""Requests and readers of answers for the tests of the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import grpc
import numpy as np
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from numpy.typing import NDArray

from actionlens.v1 import clip_pb2, method_pb2, service_pb2
from tests.service.backend import FRAMES, SIDE

GRAD_CAM = method_pb2.Method(grad_cam=method_pb2.GradCam())
DTD = method_pb2.Method(dtd=method_pb2.Dtd())
SELECTIVE = method_pb2.Method(selective_relevance=method_pb2.SelectiveRelevance())


def pixels(red: int, side: int = SIDE) -> NDArray[np.uint8]:
    """A plain picture [side, side, 3] with this much red, 5 green and 3 blue."""
    return np.broadcast_to(np.array([red, 5, 3], np.uint8), (side, side, 3)).copy()


def raw_clip(reds: list[int], side: int = SIDE) -> clip_pb2.Clip:
    data = b"".join(pixels(red, side).tobytes() for red in reds)
    return clip_pb2.Clip(raw=clip_pb2.RawFrames(data=data, count=len(reds), height=side, width=side, fps=10))


def clip_request(*methods: method_pb2.Method, **fields: Any) -> service_pb2.ExplainClipRequest:
    fields.setdefault("clip", raw_clip([10 * n for n in range(FRAMES)]))
    return service_pb2.ExplainClipRequest(methods=methods, **fields)


def png(red: int, side: int = SIDE) -> bytes:
    done, data = cv2.imencode(".png", pixels(red, side)[..., ::-1])
    assert done
    return bytes(data)


@dataclass(frozen=True)
class Refusal:
    """What a client reads from a failed call."""

    code: grpc.StatusCode
    message: str
    reason: str
    field: str
    retry: float | None


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """The google.rpc details of an error; every error of the service has an ErrorInfo."""
    status = rpc_status.from_call(_Call(error))
    assert status is not None, f"no details: {error.code()} {error.details()}"
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    field, seconds, found = "", None, False
    for detail in status.details:
        if detail.Unpack(info):
            found = True
        elif detail.Unpack(request):
            field = request.field_violations[0].field
            assert request.field_violations[0].description == status.message
        elif detail.Unpack(retry):
            seconds = retry.retry_delay.ToNanoseconds() / 1e9
    assert found
    assert info.domain == "actionlens"
    assert info.metadata.get("field", "") == field
    assert "Traceback" not in status.message
    return Refusal(error.code(), status.message, info.reason, field, seconds)


class _Call:
    """An AioRpcError as grpc_status wants to see a call."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    def code(self) -> Any:
        return self._error.code()

    def details(self) -> str:
        return self._error.details() or ""

    def trailing_metadata(self) -> list[tuple[str, Any]]:
        return list(self._error.trailing_metadata())
