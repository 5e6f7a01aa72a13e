"""Turns workers' failures into domain errors."""

from __future__ import annotations

from grpc import StatusCode

from actionlens.v1 import explanation_pb2
from service.errors import BY_CODE, ActionLensError

_BY_NUMBER = {code.value[0]: kind for code, kind in BY_CODE.items()}


def error_of(failure: explanation_pb2.Failure, path: str = "") -> ActionLensError:
    """Turn a worker's failure into the error that the client sees. path: before the worker's field name."""
    kind = _BY_NUMBER.get(failure.code)
    field = f"{path}{failure.field}" if failure.field else ""
    if kind is not None:
        return kind(f"{path if field else ''}{failure.message}", field=field, reason=failure.reason)
    error = ActionLensError(f"the worker could not answer: {failure.message}", reason=failure.reason)
    error.code = StatusCode.INTERNAL
    return error
