"""The one table of what each RPC asks of its caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.errors import PermissionDenied
from service.identity.principal import Principal, Right
from service.settings import AuthenticationSettings

_EXPLANATION = "/actionlens.v1.ExplanationService/"
_JOB = "/actionlens.v1.ExplanationJobService/"
_HEALTH = "/grpc.health.v1.Health/"


@dataclass(frozen=True, slots=True)
class Access:
    """right: needed; None: any principal will do. opened_by: the setting that lets everybody in. changes: it changes
    what is kept, so that the audit log has a line for it. explains: a request with methods needs EXPLAIN."""

    right: Right | None = None
    opened_by: str = ""
    changes: bool = False
    explains: bool = False

    def is_open(self, settings: AuthenticationSettings) -> bool:
        """Whether a caller need not be known."""
        return not settings.required or bool(self.opened_by and getattr(settings, self.opened_by))

    def check(self, principal: Principal) -> None:
        """Raises PermissionDenied, with the right that lacks."""
        if self.right is not None and not principal.may(self.right):
            raise _lacks(principal, self.right)

    def check_request(self, principal: Principal, request: Any) -> None:
        """The same for one request. Looks at counts only, so that it costs the same whatever a request holds."""
        if self.explains and not principal.may(Right.EXPLAIN) and _asks_for_methods(request):
            raise _lacks(principal, Right.EXPLAIN)


ACCESS = {
    f"{_EXPLANATION}ExplainClip": Access(Right.PREDICT, explains=True),
    f"{_EXPLANATION}ExplainStream": Access(Right.PREDICT, explains=True),
    f"{_EXPLANATION}ListModels": Access(),
    f"{_EXPLANATION}GetModel": Access(),
    f"{_JOB}CreateJob": Access(Right.JOBS, changes=True),
    f"{_JOB}GetJob": Access(Right.JOBS),
    f"{_JOB}ListJobs": Access(Right.JOBS),
    f"{_JOB}ListJobClips": Access(Right.JOBS),
    f"{_JOB}WatchJob": Access(Right.JOBS),
    f"{_JOB}CancelJob": Access(Right.JOBS, changes=True),
    f"{_JOB}RetryJob": Access(Right.JOBS, changes=True),
    f"{_JOB}DeleteJob": Access(Right.JOBS, changes=True),
    f"{_JOB}DownloadResult": Access(Right.JOBS),
    f"{_JOB}PlanEvaluation": Access(Right.JOBS),
    f"{_HEALTH}Check": Access(opened_by="open_health"),
    f"{_HEALTH}List": Access(opened_by="open_health"),
    f"{_HEALTH}Watch": Access(opened_by="open_health"),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Access(opened_by="open_reflection"),
}
"""By the RPC's full name. A test fails for an RPC that is served and not here, and at run time nobody may call it."""
METRICS = Access(Right.ADMIN, opened_by="open_metrics")
"""/metrics: it counts everybody's jobs."""
HEALTHZ = Access(opened_by="open_health")
"""/healthz."""
PAGE = Access()
"""What the page shows beside calls: samples and the schema."""
NOBODY = Access(Right.ADMIN)
"""What is not in the table."""


def _asks_for_methods(request: Any) -> bool:
    """Whether a clip's request, or a stream's message, asks for explanations."""
    if hasattr(request, "methods"):
        return len(request.methods) > 0
    kind = request.WhichOneof("message")
    return kind in ("open", "update") and len(getattr(request, kind).methods) > 0


def _lacks(principal: Principal, right: Right) -> PermissionDenied:
    rights = ", ".join(sorted(principal.rights)) or "none"
    return PermissionDenied(
        f"{principal.name} lacks the right {right.value!r}; it has {rights}", reason="RIGHT_MISSING"
    )
