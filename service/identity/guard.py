"""Lets calls through to the servicers, or not: for gRPC and for the page alike."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from service.errors import ActionLensError, PermissionDenied, Unauthenticated
from service.identity.access import ACCESS, NOBODY, Access
from service.identity.audit import AuditLog
from service.identity.current_caller import current_caller, set_principal
from service.identity.principal import EVERYBODY, Principal
from service.settings import AuthenticationSettings

_LOOK_SECONDS = 1.0
"""How often a call that lasts asks whether its credential still stands for somebody."""

Behaviour = Callable[[Any, Any], Any]


class Guard:
    """Puts the table of access, and the audit log, around servicers' methods."""

    def __init__(self, settings: AuthenticationSettings, audit: AuditLog) -> None:
        self.settings = settings
        self.audit = audit

    def around(self, name: str, behaviour: Behaviour, *, lasts: bool) -> Callable[[Any, Any], Awaitable[Any]]:
        """A servicer's method behind the guard. It is a coroutine function, which writes the messages of a stream.

        name: full name of the RPC. lasts: the call streams, so that it may outlast the caller's credential; it then
        ends with Unauthenticated. Raises, when called, Unauthenticated and PermissionDenied too.
        """
        access = ACCESS.get(name, NOBODY)
        generates = inspect.isasyncgenfunction(behaviour)

        async def run(request: Any, context: Any) -> Any:
            if not generates:
                return await behaviour(request, context)
            async with aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    await context.write(response)
            return None

        async def guarded(request: Any, context: Any) -> Any:
            principal = self.let_through(access)
            set_principal(principal)
            if access.explains:
                request = self._checked(access, principal, request)
            if not lasts or access.is_open(self.settings):
                return await run(request, context)
            return await self._while_known(run(request, context))

        async def audited(request: Any, context: Any) -> Any:
            who, response, error = self._who(), None, None
            try:
                response = await guarded(request, context)
                return response
            except BaseException as wrong:
                error = wrong
                raise
            finally:
                self._note(name, who, request, response, error)

        return audited if access.changes else guarded

    def let_through(self, access: Access) -> Principal:
        """The principal of the current call. Raises Unauthenticated, PermissionDenied."""
        if access.is_open(self.settings):
            return EVERYBODY
        principal = current_caller().credential()
        access.check(principal)
        return principal

    def _checked(self, access: Access, principal: Principal, request: Any) -> Any:
        if not hasattr(request, "__aiter__"):
            access.check_request(principal, request)
            return request

        async def messages(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for message in requests:
                access.check_request(principal, message)
                yield message

        return messages(request)

    async def _while_known(self, running: Awaitable[Any]) -> Any:
        """Run a call until its end, or until its credential stands for nobody any more. Raises Unauthenticated then."""
        credential = current_caller().credential
        why: list[Unauthenticated] = []

        async def watch(limit: asyncio.Timeout) -> None:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                try:
                    credential()
                except Unauthenticated as error:
                    why.append(error)
                    limit.reschedule(0.0)
                    return

        try:
            async with asyncio.timeout(None) as limit:
                watching = asyncio.create_task(watch(limit))
                try:
                    return await running
                finally:
                    watching.cancel()
        except TimeoutError:
            if not limit.expired():
                raise
            raise why[0] from None

    def _who(self) -> str:
        try:
            return current_caller().credential().name if self.settings.required else EVERYBODY.name
        except ActionLensError:
            return ""

    def _note(self, name: str, who: str, request: Any, response: Any, error: BaseException | None) -> None:
        job = getattr(response, "job", None)
        self.audit.write(
            name.rpartition("/")[2],
            who=who,
            on=job.id if job is not None else getattr(request, "id", ""),
            tenant=job.tenant if job is not None else getattr(request, "tenant", ""),
            peer=current_caller().peer,
            result=_result(error),
            why=error.reason if isinstance(error, (Unauthenticated, PermissionDenied)) else "",
        )


def _result(error: BaseException | None) -> str:
    match error:
        case None:
            return "OK"
        case ActionLensError():
            return error.code.name
        case asyncio.CancelledError():
            return "CANCELLED"
        case _:
            return "INTERNAL"
