"""Lets only requests in that mean this service, and only pages that it has served itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.ingress.hosts import AllowedHosts

_HEADERS = {
    # Nothing from elsewhere is loaded, and nothing is sent elsewhere.
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": "camera=(self), display-capture=(self), microphone=(), geolocation=()",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


class GuardMiddleware:
    """Refuses what is not meant for this service, before anything reads it; adds safe headers to every answer.

    Refused are other names than the service's (Host: DNS rebinding), other sites' pages (Origin), and requests whose
    length is said in two ways, which a proxy may read otherwise than we do.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        status, reason = self._refusal(Headers(scope=scope))
        if reason and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
            return
        # Closed afterwards: where the refused request ends is what is in doubt.
        app = PlainTextResponse(f"{reason}\n", status, {"connection": "close"}) if reason else self._app
        await app(scope, receive, _with_headers(send))

    def _refusal(self, headers: Headers) -> tuple[int, str]:
        """The status and the reason; no reason when there is none."""
        if "transfer-encoding" in headers and "content-length" in headers:
            return 400, "content-length and transfer-encoding: say the length of a request in one way"
        # Probes of old may have no Host; every browser has.
        host, origin = headers.get("host", ""), headers.get("origin")
        if "host" in headers and not self._hosts.allows(host):
            return 403, f"host {host[:100]!r}: is no name of this service; ACTIONLENS_HOSTS lists its names"
        if origin is not None and not _is_of(origin, host):
            return 403, f"origin {origin[:100]!r}: only the page served here, {host[:100]}, may call"
        return 0, ""


def _is_of(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
