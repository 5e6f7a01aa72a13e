"""Lets only pages that the gateway has served itself use it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
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


class SameOriginMiddleware:
    """Refuses other sites' pages (Origin), other names for a loopback address (DNS rebinding); adds safe headers."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._local = host in _LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = self._refusal(Headers(scope=scope))
        if reason and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
            return
        app = PlainTextResponse(f"{reason}\n", 403) if reason else self._app

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await app(scope, receive, sending)

    def _refusal(self, headers: Headers) -> str:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._local and urlsplit(f"//{host}").hostname not in _LOOPBACK:
            return f"host {host!r}: this service answers to 127.0.0.1 and localhost only; set ACTIONLENS_HOST"
        if origin is not None and urlsplit(origin).netloc != host:
            return f"origin {origin!r}: only the page served here, {host}, may call"
        return ""
