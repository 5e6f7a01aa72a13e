"""When the service says that it serves: after a canary came back through the whole path, and while workers answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from grpc_health.v1 import health, health_pb2

from actionlens.v1 import clip_pb2, method_pb2, model_pb2, service_pb2
from service.errors import Unavailable
from service.telemetry.log import get_logger

EXPLANATION_SERVICE = "actionlens.v1.ExplanationService"
_POLL_SECONDS = 0.2
_GREY = 128
_LONGEST_CANARY = 64 * 2**20


class Health:
    """grpc.health.v1 for the whole server ("") and its services."""

    def __init__(self, services: Mapping[str, Callable[[], bool]]) -> None:
        """services: by name, whether each could serve now if the whole server does."""
        self._able = {"": lambda: True, **services}
        self._told: dict[str, bool] = {}
        self.servicer: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in its stubs
        self._serving = False
        self._final = False

    @property
    def serving(self) -> bool:
        """What clients are told now."""
        return self._serving

    async def set(self, serving: bool) -> None:
        """Tell clients. After `shut_down` nothing changes any more."""
        if self._final:
            return
        self._serving = serving
        self._told = self._now()
        for name, each in self._told.items():
            status = health_pb2.HealthCheckResponse.SERVING if each else health_pb2.HealthCheckResponse.NOT_SERVING
            await self.servicer.set(name, status)

    def _now(self) -> dict[str, bool]:
        return {name: self._serving and able() for name, able in self._able.items()}

    async def shut_down(self) -> None:
        """NOT_SERVING for good."""
        self._final, self._serving = True, False
        await self.servicer.enter_graceful_shutdown()

    async def follow(self, healthy: Callable[[], bool], prove: Callable[[], Awaitable[None]]) -> None:
        """Follow the backend until cancelled: NOT_SERVING while unhealthy, SERVING again after `prove` succeeded.

        Call while SERVING. prove: raises when the service does not work.
        """
        log = get_logger()
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self._serving and not healthy():
                log.warning("the backend is unhealthy: not serving")
                await self.set(False)
            elif not self._serving and healthy():
                try:
                    await prove()
                except Exception as error:
                    log.warning("the backend came back but does not answer", error=str(error))
                    continue
                log.info("the backend answers again: serving")
                await self.set(True)
            elif self._now() != self._told:
                await self.set(self._serving)


def canary_request(model: model_pb2.Model, clip: Path | None) -> service_pb2.ExplainClipRequest:
    """A request for one model with the first live method that can explain it, so that coming back takes no longer than
    one ordinary answer.

    clip: a video file; none: grey frames. Raises Unavailable when the file cannot be read.
    """
    able = {entry.method.replace("-", "_") for entry in model.methods if entry.supported and not entry.job}
    fields = (field for field in method_pb2.Method.DESCRIPTOR.fields_by_name if field in able)
    return service_pb2.ExplainClipRequest(
        model=model.name,
        clip=_grey(model.input) if clip is None else clip_pb2.Clip(video=_read(clip)),
        methods=[_method(field) for field in islice(fields, 1)],
    )


def _method(field: str) -> method_pb2.Method:
    method = method_pb2.Method()
    getattr(method, field).SetInParent()
    return method


def _grey(size: model_pb2.ModelInput) -> clip_pb2.Clip:
    pixels = bytes([_GREY]) * (size.frames * size.height * size.width)
    return clip_pb2.Clip(
        raw=clip_pb2.RawFrames(
            data=pixels,
            count=size.frames,
            height=size.height,
            width=size.width,
            format=clip_pb2.PIXEL_FORMAT_GRAY,
        )
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_CANARY + 1)
    except OSError as error:
        raise Unavailable(
            f"canary: {error}; set ACTIONLENS_CANARY to a readable clip", reason="CANARY_FAILED"
        ) from None
    if len(data) > _LONGEST_CANARY:
        raise Unavailable(f"canary: {path} is larger than 64 MiB", reason="CANARY_FAILED")
    return data
