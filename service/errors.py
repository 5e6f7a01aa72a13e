"""Domain errors of the service. Each knows its gRPC status; `service/rpc/status.py` puts them on the wire."""

from __future__ import annotations

from grpc import StatusCode


class ActionLensError(Exception):
    """An error that a client may see.

    message: sent to clients, so it names no path, host, port or process of this machine, nor what another program said.
    detail: that, for the log and the operator's terminal; `str()` has both. reason: UPPER_SNAKE_CASE, for programs.
    field: the request field at fault, if one is, written as in the request ("methods[0].grad_cam.layer"). retry_after:
    seconds after which trying again makes sense.
    """

    code: StatusCode = StatusCode.INTERNAL
    reason: str = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        reason: str = "",
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(f"{message}: {detail}" if detail else message)
        self.message = message
        self.field = field
        self.reason = reason or type(self).reason
        self.retry_after = retry_after
        self.detail = detail


class InvalidArgument(ActionLensError):
    """The request can never work as it is."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"


class NotFound(ActionLensError):
    """The named model, version or class does not exist."""

    code = StatusCode.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(ActionLensError):
    """The name is taken by something else."""

    code = StatusCode.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class FailedPrecondition(ActionLensError):
    """The method cannot explain this model."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "METHOD_UNSUPPORTED"


class ResourceExhausted(ActionLensError):
    """Over capacity now, or over a limit."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "OVER_CAPACITY"


class QuotaExceeded(ResourceExhausted):
    """One caller holds or asks for more than its share. quota: its name. subject: whose, "principal:192.0.2.7"."""

    reason = "QUOTA_EXCEEDED"

    def __init__(self, message: str, *, quota: str, subject: str, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after)
        self.quota = quota
        self.subject = subject


class Unavailable(ActionLensError):
    """No worker can answer at the moment; the same request may work later."""

    code = StatusCode.UNAVAILABLE
    reason = "BACKEND_UNAVAILABLE"


class DeadlineExceeded(ActionLensError):
    """The client's deadline, or the service's own, passed first."""

    code = StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


BY_CODE: dict[StatusCode, type[ActionLensError]] = {
    kind.code: kind
    for kind in (
        AlreadyExists,
        DeadlineExceeded,
        FailedPrecondition,
        InvalidArgument,
        NotFound,
        ResourceExhausted,
        Unavailable,
    )
}
"""The class of each status code that has one."""
