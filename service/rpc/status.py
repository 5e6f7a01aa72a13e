"""Puts domain errors on the wire: gRPC status codes with google.rpc details."""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from service.errors import ActionLensError, QuotaExceeded

DOMAIN = "actionlens"
# The key under which gRPC carries a google.rpc.Status in the trailing metadata.
DETAILS_KEY = "grpc-status-details-bin"
# Trailers travel in HTTP/2 headers, which peers bound at 8 KB; the message is in them three times.
_LONGEST_MESSAGE = 1000


def rich_status(error: ActionLensError, incident: str = "") -> status_pb2.Status:
    """Make the error a google.rpc.Status with ErrorInfo, and BadRequest, RetryInfo, QuotaFailure where they apply."""
    message = error.message
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 1] + "…"
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    if error.field:
        info.metadata["field"] = error.field
    if incident:
        info.metadata["incident"] = incident
    details: list[Message] = [info]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=message, reason=error.reason
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if isinstance(error, QuotaExceeded):
        info.metadata["quota"] = error.quota
        exceeded = error_details_pb2.QuotaFailure.Violation(subject=error.subject, description=message)
        details.append(error_details_pb2.QuotaFailure(violations=[exceeded]))
    status = status_pb2.Status(code=error.code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


async def abort(context: Any, error: ActionLensError, incident: str = "") -> None:
    """End a grpc.aio call with the error; raises grpc.aio.AbortError."""
    status = rich_status(error, incident)
    await context.abort(error.code, status.message, ((DETAILS_KEY, status.SerializeToString()),))
