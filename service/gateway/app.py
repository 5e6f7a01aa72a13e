"""Routes of the page's port: the page's files, the schema, samples, unary calls and streaming calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from service.errors import ActionLensError, NotFound, ResourceExhausted
from service.gateway.door import Door
from service.gateway.middleware import SameOriginMiddleware
from service.gateway.rpc_bridge import RpcBridge
from service.gateway.websocket import error_document, incident_error, serve_socket
from service.identity.access import PAGE
from service.settings import Settings

_STATIC = Path(__file__).parent / "static"
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
    settings: Settings, rpcs: RpcBridge, schema: bytes, monitoring: Sequence[BaseRoute], door: Door
) -> Starlette:
    """Make the ASGI application of the page's port.

    schema: JSON by `make_schema` of the services behind `rpcs`. monitoring: the routes of /metrics and /healthz.
    door: who may come in.
    """

    async def index(request: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    async def overhead(request: Request) -> Response:
        return FileResponse(_STATIC / "overhead.html")

    async def describe(request: Request) -> Response:
        return Response(schema, media_type="application/json")

    async def sample(request: Request) -> Response:
        """Send the sample clip of a model of the store."""
        name = request.path_params["model"]
        path = None if name.startswith(".") else settings.sample_clip(name)
        if path is None:
            return _refuse(NotFound(f"model {name!r} has no sample clip", reason="NO_SAMPLE"))
        return FileResponse(path, media_type="video/mp4")

    async def unary(request: Request) -> Response:
        name = request.path_params["call"]
        try:
            call = rpcs.find(name, streaming=False)
            # What a stranger sends is not read; the guard refuses its call.
            body = b"" if door.faces_stranger() else await _body(request, settings.limits.message_bytes)
            answer = await call.answer(call.parse(body))
        except ActionLensError as error:
            return _refuse(error)
        except Exception:
            return _refuse(incident_error(name))
        return Response(answer.SerializeToString(), media_type=_PROTOBUF)

    async def streaming(socket: WebSocket) -> None:
        await socket.accept()
        try:
            call = rpcs.find(socket.path_params["call"], streaming=True)
        except NotFound as error:
            await socket.send_json(error_document(error))
            await socket.close()
            return
        await serve_socket(socket, call, settings.stream.idle_seconds)

    routes: list[BaseRoute] = [
        *door.routes(),
        *monitoring,
        Route("/", index),
        Route("/overhead", overhead),
        Route("/schema.json", door.guarded(PAGE, describe)),
        Route("/samples/{model}", door.guarded(PAGE, sample)),
        Route("/call/{call}", unary, methods=["POST"]),
        WebSocketRoute("/call/{call}", streaming),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    return Starlette(
        routes=routes, middleware=[Middleware(SameOriginMiddleware, host=settings.host), Middleware(door.before)]
    )


async def _body(request: Request, most: int) -> bytes:
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
