"""Who calls: a name with its tenants and rights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from service.errors import PermissionDenied

EVERY_TENANT = "*"


class Right(StrEnum):
    """What a principal may do."""

    PREDICT = "predict"
    """Ask for predictions."""
    EXPLAIN = "explain"
    """Ask for explanations too."""
    JOBS = "jobs"
    """Submit jobs, and see, cancel and delete those of its tenants."""
    ADMIN = "admin"
    """All of these, and read the metrics."""


_INCLUDED = {Right.EXPLAIN: {Right.PREDICT}, Right.ADMIN: set(Right)}


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that is known. tenants: whose jobs are its own, the first of them where a request names none;
    EVERY_TENANT: all."""

    name: str
    tenants: tuple[str, ...]
    rights: frozenset[Right]

    def may(self, right: Right) -> bool:
        """Whether it has a right, by itself or as part of another."""
        return right in self.rights or any(right in _INCLUDED.get(own, ()) for own in self.rights)

    def has(self, tenant: str) -> bool:
        """Whether a tenant's jobs are its own."""
        return EVERY_TENANT in self.tenants or tenant in self.tenants

    @property
    def own_tenants(self) -> tuple[str, ...] | None:
        """Its tenants; None: all that there are."""
        return None if EVERY_TENANT in self.tenants else self.tenants

    def tenant_for(self, named: str) -> str:
        """The tenant of a request that names this one, or none (""). Raises PermissionDenied for another's.

        "" for no named one where the principal has them all: the service's default.
        """
        if named and not self.has(named):
            raise PermissionDenied(
                f"tenant: {self.name} has no tenant {named!r}; its own: {', '.join(self.tenants)}",
                field="tenant",
                reason="TENANT_DENIED",
            )
        return named or next((tenant for tenant in self.tenants if tenant != EVERY_TENANT), "")


EVERYBODY = Principal("", (EVERY_TENANT,), frozenset({Right.ADMIN}))
"""The caller where nobody must say who it is."""

Credential = Callable[[], Principal]
"""Tells whom a credential stands for now. Raises Unauthenticated once it stands for nobody: revoked, or expired."""


def rights_of(words: Iterable[str]) -> frozenset[Right]:
    """The rights among some words; other words are passed over."""
    known = {right.value: right for right in Right}
    return frozenset(known[word] for word in words if word in known)
