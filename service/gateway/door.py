"""Who asks over HTTP: finds the caller of every request, and logs browsers in and out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ActionLensError, InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from service.gateway.websocket import error_document
from service.identity.access import HEALTHZ, METRICS, PAGE, Access
from service.identity.authenticator import Authenticator, refused
from service.identity.current_caller import Caller, current_caller, set_caller
from service.identity.guard import Guard
from service.identity.principal import Credential
from service.identity.sessions import Sessions

Endpoint = Callable[[Request], Awaitable[Response]]

_LONGEST_LOGIN = 2**15
_STATUS = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "UNAVAILABLE": 503, "NOT_FOUND": 404}
_MONITORING = {"/metrics": METRICS, "/healthz": HEALTHZ}


class Door:
    """Makes the middleware and the routes of the log-in. Tokens come in the header, sessions in a cookie."""

    def __init__(self, authenticator: Authenticator, guard: Guard) -> None:
        self._authenticator = authenticator
        self._guard = guard
        self._settings = authenticator.settings
        self._sessions = Sessions(self._settings.session_seconds)

    def before(self, app: ASGIApp) -> ASGIApp:
        """Put the door before an application. It notes the caller for whoever asks `current_caller`."""

        async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
                return
            connection = HTTPConnection(scope)
            try:
                set_caller(Caller(await self._credential(connection), _peer(connection)))
            except ActionLensError as error:
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})
                else:
                    await _refusal(error)(scope, receive, send)
                return
            await app(scope, receive, send)

        return admitted

    def faces_stranger(self) -> bool:
        """Whether the request that is served now is of somebody that nobody knows, where that matters."""
        try:
            self._guard.let_through(PAGE)
        except ActionLensError:
            return True
        return False

    def guarded(self, access: Access, endpoint: Endpoint) -> Endpoint:
        """A route's endpoint for those whom the access lets in. Calls are guarded by themselves, and static files and
        the log-in not at all."""

        async def let_in(request: Request) -> Response:
            try:
                self._guard.let_through(access)
            except ActionLensError as error:
                return _refusal(error)
            return await endpoint(request)

        return let_in

    def monitoring(self, routes: Sequence[Route]) -> list[Route]:
        """The routes of /metrics and /healthz, guarded."""
        return [Route(route.path, self.guarded(_MONITORING[route.path], route.endpoint)) for route in routes]

    def routes(self) -> list[BaseRoute]:
        """/session tells who is logged in, /login and /logout do it, /login/issuer and /login/return are the way to the
        issuer and back."""
        return [
            Route("/session", self._session),
            Route("/login", self._log_in, methods=["POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
            Route("/login/issuer", self._to_issuer),
            Route("/login/return", self._from_issuer),
        ]

    async def _credential(self, connection: HTTPConnection) -> Credential:
        headers = connection.headers
        secret = connection.cookies.get(_cookie(connection))
        if not self._settings.required or "authorization" in headers or secret is None:
            try:
                return await self._authenticator.by_header(headers.get("authorization"))
            except ActionLensError as error:
                return refused(error)
        # A cookie comes along whoever's page asks. SameSite keeps it from others'. Where something may change, an
        # origin is wanted too, which SameOriginMiddleware compares.
        if (
            connection.scope["type"] == "websocket" or connection.scope["method"] == "POST"
        ) and "origin" not in headers:
            raise PermissionDenied("origin: is missing; only the page itself calls with its cookie", reason="NO_ORIGIN")
        return self._sessions.credential(secret)

    async def _session(self, request: Request) -> Response:
        document: dict[str, object] = {
            "required": self._settings.required,
            "tokens": self._settings.tokens is not None or bool(self._settings.issuer),
            "issuer": bool(self._settings.client_id),
        }
        if self._settings.required:
            try:
                principal = current_caller().credential()
                rights = sorted(principal.rights)
                document |= {"name": principal.name, "tenants": principal.tenants, "rights": rights}
            except Unauthenticated:
                document["name"] = ""
        return JSONResponse(document)

    async def _log_in(self, request: Request) -> Response:
        try:
            if "origin" not in request.headers:
                raise PermissionDenied("origin: is missing; log in on the page itself", reason="NO_ORIGIN")
            credential = await self._authenticator.by_token(await _given_token(request))
            return self._opened(request, credential, JSONResponse({"name": credential().name}))
        except ActionLensError as error:
            self._note("Login", error=error)
            return _refusal(error)

    async def _log_out(self, request: Request) -> Response:
        name = _cookie(request)
        who = self._sessions.close(request.cookies.get(name, ""))
        self._note("Logout", who.name if who is not None else "")
        response = JSONResponse({})
        response.delete_cookie(name, secure=_secure(request), httponly=True, samesite="strict")
        return response

    async def _to_issuer(self, request: Request) -> Response:
        issuer = self._authenticator.issuer
        if issuer is None or not self._settings.client_id:
            return _refusal(NotFound("there is no issuer to log in at", reason="NO_ISSUER"))
        state, pending = self._sessions.begin(_return_address(request))
        try:
            address = await issuer.login_address(
                returns_to=pending.returns_to, state=state, nonce=pending.nonce, challenge=pending.challenge
            )
        except ActionLensError as error:
            return _refusal(error)
        response = RedirectResponse(address, 303)
        # Lax: the browser comes back from another site.
        response.set_cookie(
            _cookie(request) + "-login",
            pending.cookie,
            max_age=600,
            secure=_secure(request),
            httponly=True,
            samesite="lax",
        )
        return response

    async def _from_issuer(self, request: Request) -> Response:
        issuer, query = self._authenticator.issuer, request.query_params
        try:
            if issuer is None:
                raise NotFound("there is no issuer to log in at", reason="NO_ISSUER")
            pending = self._sessions.finish(
                query.get("state", ""), request.cookies.get(_cookie(request) + "-login", "")
            )
            if "code" not in query:
                raise Unauthenticated("the issuer did not log you in; try again", reason="LOGIN_REFUSED")
            credential = await issuer.log_in(
                query["code"], returns_to=pending.returns_to, nonce=pending.nonce, verifier=pending.verifier
            )
            response = self._opened(request, credential, RedirectResponse("/", 303))
        except ActionLensError as error:
            self._note("Login", error=error)
            return _refusal(error)
        response.delete_cookie(_cookie(request) + "-login", secure=_secure(request), httponly=True, samesite="lax")
        return response

    def _opened(self, request: Request, credential: Credential, response: Response) -> Response:
        self._note("Login", credential().name)
        response.set_cookie(
            _cookie(request),
            self._sessions.open(credential),
            max_age=round(self._settings.session_seconds),
            secure=_secure(request),
            httponly=True,
            samesite="strict",
        )
        return response

    def _note(self, what: str, who: str = "", error: ActionLensError | None = None) -> None:
        self._guard.audit.write(
            what,
            who=who,
            on="",
            tenant="",
            peer=current_caller().peer,
            result="OK" if error is None else error.code.name,
            why="" if error is None else error.reason,
        )


async def _given_token(request: Request) -> str:
    """The token of a log-in, {"token": "..."}. Raises InvalidArgument."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _LONGEST_LOGIN:
            raise InvalidArgument("token: is too long", field="token")
    try:
        token = json.loads(data)["token"]
    except (ValueError, LookupError, TypeError, RecursionError):
        token = None
    if not isinstance(token, str):
        raise InvalidArgument('token: send {"token": "..."}', field="token")
    return token.strip()


def _refusal(error: ActionLensError) -> Response:
    status = _STATUS.get(error.code.name, 400)
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(error_document(error), status, headers)


def _secure(connection: HTTPConnection) -> bool:
    return connection.scope["scheme"] in ("https", "wss")


def _cookie(connection: HTTPConnection) -> str:
    """Under TLS the prefix makes browsers refuse the cookie from anything but this very host."""
    return "__Host-actionlens" if _secure(connection) else "actionlens"


def _return_address(request: Request) -> str:
    return str(request.url.replace(path="/login/return", query="", fragment=""))


def _peer(connection: HTTPConnection) -> str:
    client = connection.client
    return f"{client.host}:{client.port}" if client is not None else ""
