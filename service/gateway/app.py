"""Routes of the page's port: the page's files, the schema, samples, unary calls and streaming calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.errors import ActionLensError, DeadlineExceeded, NotFound, ResourceExhausted
from service.gateway.caller_presence import while_connected
from service.gateway.door import Door
from service.gateway.middleware import GuardMiddleware
from service.gateway.rpc_bridge import RpcBridge
from service.gateway.websocket import error_document, incident_error, serve_socket
from service.identity.access import PAGE
from service.identity.current_caller import quota_holder
from service.ingress.caller import http_caller
from service.ingress.hosts import AllowedHosts
from service.ingress.ingress import Ingress
from service.ingress.quotas import Kind
from service.settings import Settings

_STATIC = Path(__file__).parent / "static"
_MODEL = re.compile(r"[\w][\w.+-]{0,127}")
_PROTOBUF = "application/x-protobuf"
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 412,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def make_app(
    settings: Settings, ingress: Ingress, rpcs: RpcBridge, schema: bytes, monitoring: Sequence[BaseRoute], door: Door
) -> Starlette:
    """Make the ASGI application of the page's port.

    schema: JSON by `make_schema` of the services behind `rpcs`. monitoring: the routes of /metrics and /healthz.
    door: who may come in.
    """

    async def index(request: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    async def overhead(request: Request) -> Response:
        return FileResponse(_STATIC / "overhead.html")

    async def glossary(request: Request) -> Response:
        return FileResponse(_STATIC / "glossary.html")

    async def describe(request: Request) -> Response:
        return Response(schema, media_type="application/json")

    async def sample(request: Request) -> Response:
        """Send the sample clip of a model of the store."""
        name = request.path_params["model"]
        path = settings.sample_clip(name) if _MODEL.fullmatch(name) else None
        if path is None:
            return _refuse(NotFound(f"model {name[:100]!r} has no sample clip", reason="NO_SAMPLE"))
        return FileResponse(path, media_type="video/mp4")

    async def unary(request: Request) -> Response:
        name = request.path_params["call"]
        caller = quota_holder(http_caller(request.scope.get("client")))
        try:
            call = rpcs.find(name, streaming=False)
            async with ingress.admitted(call.method, caller):
                # What a stranger sends is not read; the guard refuses its call.
                body = b"" if door.faces_stranger() else await _body(request, settings)
                with ingress.quotas.holding(Kind.BYTES, caller, len(body)):
                    message = await ingress.parser.parse(call.method.input_type, body, caller.principal)
                    answer = await while_connected(request, call.answer(message))
        except ActionLensError as error:
            return _refuse(error)
        except ClientDisconnect:
            # Nobody reads this.
            return Response(status_code=400)
        except Exception:
            return _refuse(incident_error(call.method.name))
        return Response(answer.SerializeToString(), media_type=_PROTOBUF)

    async def streaming(socket: WebSocket) -> None:
        caller = quota_holder(http_caller(socket.scope.get("client")))
        try:
            await socket.accept()
            try:
                call = rpcs.find(socket.path_params["call"], streaming=True)
                async with ingress.admitted(call.method, caller):
                    await serve_socket(socket, call, ingress, caller, settings.stream.idle_seconds)
            except ActionLensError as error:
                await socket.send_json(error_document(error))
                await socket.close()
        except WebSocketDisconnect:
            return

    routes: list[BaseRoute] = [
        *door.routes(),
        *monitoring,
        Route("/", index),
        Route("/overhead", overhead),
        Route("/glossary", glossary),
        Route("/schema.json", door.guarded(PAGE, describe)),
        Route("/samples/{model}", door.guarded(PAGE, sample)),
        Route("/call/{call}", unary, methods=["POST"]),
        WebSocketRoute("/call/{call}", streaming),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    hosts = AllowedHosts(settings.host, settings.hosts)
    app = Starlette(routes=routes, middleware=[Middleware(GuardMiddleware, hosts=hosts), Middleware(door.before)])
    app.router.redirect_slashes = False
    return app


async def _body(request: Request, settings: Settings) -> bytes:
    seconds = settings.quotas.receive_seconds
    try:
        async with asyncio.timeout(seconds):
            return await _whole(request, settings.limits.message_bytes)
    except TimeoutError:
        raise DeadlineExceeded(
            f"message: did not come within {seconds:g} s", field="message", reason="MESSAGE_LATE"
        ) from None


async def _whole(request: Request, most: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise ResourceExhausted(
                f"clip: the request is larger than {most // 2**20} MiB; send a shorter or smaller clip",
                field="clip",
                reason="MESSAGE_TOO_LARGE",
            )
        parts.append(part)
    return b"".join(parts)


def _refuse(error: ActionLensError) -> Response:
    return JSONResponse(error_document(error), _HTTP.get(error.code.name, 500))
