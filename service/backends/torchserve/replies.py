"""Reads TorchServe's answers."""

from __future__ import annotations

import enum

from google.protobuf.message import DecodeError

from actionlens.worker.v1 import worker_pb2
from service.backends.torchserve.http_client import HttpReply
from service.errors import ActionLensError, ResourceExhausted, Unavailable

_REFUSED_SECONDS = 0.5


class Verdict(enum.Enum):
    """The kinds of answer, by what is to be done next."""

    SERVED = enum.auto()
    WORKER_DIED = enum.auto()
    REFUSED = enum.auto()
    FAILED = enum.auto()


def verdict(reply: HttpReply) -> Verdict:
    """Sort an answer by its status.

    TorchServe 0.12 says 500 when a worker died or took too long, 507 when one was killed (it takes that for a lack of
    memory), and 503 both when it has no worker or no room and when a handler raised.
    """
    match reply.status:
        case 200:
            return Verdict.SERVED
        case 503 if b"ServiceUnavailableException" in reply.body:
            return Verdict.REFUSED
        case 500 | 503 | 507:
            return Verdict.WORKER_DIED
        case _:
            return Verdict.FAILED


def parse(model: str, body: bytes) -> worker_pb2.ComputeResponse:
    """The message in a served reply. Raises Unavailable when it is none."""
    try:
        return worker_pb2.ComputeResponse.FromString(body)
    except DecodeError as error:
        raise Unavailable(f"a worker of model {model!r} answered something unreadable") from error


def refusal(model: str, reply: HttpReply) -> ActionLensError:
    """The error for an answer that will not be tried again."""
    match reply.status:
        case 413:
            return ResourceExhausted(f"the request is too large for model {model!r}", reason="REQUEST_TOO_LARGE")
        case 503:
            return ResourceExhausted(f"model {model!r} has no free worker", retry_after=_REFUSED_SECONDS)
        case status:
            return Unavailable(f"TorchServe answered status {status} for model {model!r}")
