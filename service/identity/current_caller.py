"""The caller of the call that runs now."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace

from service.errors import ActionLensError
from service.identity.principal import EVERYBODY, Credential, Principal
from service.ingress.caller import Caller as QuotaHolder


@dataclass(frozen=True, slots=True)
class Caller:
    """credential: whom the call is for. peer: the address that it came from."""

    credential: Credential
    peer: str


def _nobody_asked() -> Principal:
    return EVERYBODY


_CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller(_nobody_asked, ""))  # noqa: B039, it is frozen
_PRINCIPAL: ContextVar[Principal] = ContextVar("principal", default=EVERYBODY)

anybody: Callable[[], Principal] = _nobody_asked
"""The credential of a caller where nobody must say who it is."""


def current_caller() -> Caller:
    """Who calls, not yet looked at."""
    return _CALLER.get()


def set_caller(caller: Caller) -> None:
    """Note the caller for the rest of the current task, which serves one call, and for tasks that it starts."""
    _CALLER.set(caller)


def current_principal() -> Principal:
    """Whom the call that runs now was let through for; EVERYBODY outside of calls."""
    return _PRINCIPAL.get()


def set_principal(principal: Principal) -> None:
    """As `set_caller`, once the call is let through."""
    _PRINCIPAL.set(principal)


def quota_holder(connected: QuotaHolder) -> QuotaHolder:
    """To whom the current call's quotas belong: the principal that it has proved to be, else the address that it comes
    from, `connected`. So a principal has one share from wherever it calls, and those behind one proxy have each theirs.
    """
    try:
        principal = current_caller().credential()
    except ActionLensError:
        return connected
    if principal == EVERYBODY:
        return connected
    return replace(connected, principal=principal.name, connection=f"{principal.name} {connected.connection}")
