"""Says that the service serves: after a canary came back through the whole path, and while workers answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from grpc_health.v1 import health, health_pb2

from service.telemetry.log import get_logger

EXPLANATION_SERVICE = "actionlens.v1.ExplanationService"
_POLL_SECONDS = 0.2


class Health:
    """grpc.health.v1 for the whole server ("") and its services."""

    def __init__(self, services: Mapping[str, Callable[[], bool]]) -> None:
        """services: by name, whether each could serve now if the whole server does."""
        self._able = {"": lambda: True, **services}
        self._reported: dict[str, bool] = {}
        self.servicer: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in its stubs
        self._serving = False
        self._final = False

    @property
    def serving(self) -> bool:
        """What is reported to clients now."""
        return self._serving

    async def set(self, serving: bool) -> None:
        """Report to clients. After `shut_down` nothing changes any more."""
        if self._final:
            return
        self._serving = serving
        self._reported = self._now()
        for name, each in self._reported.items():
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
            elif self._now() != self._reported:
                await self.set(self._serving)
