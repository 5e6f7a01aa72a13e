"""Opens streams, bounds how many there are, and drains them together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from actionlens.v1 import service_pb2
from service.dataplane.explain_service import ExplainService
from service.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from service.streaming.budget.latency import ClimbPermits
from service.streaming.budget.planner import BudgetPlanner
from service.streaming.open_request import StreamConfig, read_open_request
from service.streaming.scheduler import WindowScheduler
from service.streaming.sender import Send
from service.streaming.session import StreamSession
from service.streaming.stream_admission import check_room

_RETRY_SECONDS = 5.0


class StreamManager:
    """Serves streams, at most settings.stream.max_streams at once."""

    def __init__(self, service: ExplainService) -> None:
        self._service = service
        self._open = 0
        self._sessions: set[StreamSession] = set()
        self._scheduler = WindowScheduler(service.backend, service.settings)
        self._permits = ClimbPermits()
        self._draining = False

    def drain(self) -> None:
        """Refuse new streams; let the open ones finish their windows at the backend and send their summaries."""
        self._draining = True
        for session in self._sessions:
            session.drain()

    async def serve(self, requests: AsyncIterator[service_pb2.ExplainStreamRequest], send: Send) -> None:
        """Serve one stream from its first message on. Raises ActionLensError; cancelled when the client leaves."""
        if self._draining:
            raise Unavailable("the service is shutting down; another instance may answer", retry_after=1.0)
        self._check_places()
        # A stream that says nothing takes nobody's place.
        config = await self._read_config(requests)
        self._check_places()
        self._open += 1
        self._service.metrics.streams.inc()
        try:
            self._check_room(config)
            planner = BudgetPlanner(self._service.costs, self._permits)
            session = StreamSession(self._service, config, send, self._scheduler, planner)
            self._sessions.add(session)
            try:
                if self._draining:
                    session.drain()
                await session.run(requests)
            finally:
                self._sessions.discard(session)
        finally:
            self._open -= 1
            self._service.metrics.streams.dec()

    def _check_places(self) -> None:
        if self._open >= self._service.settings.stream.max_streams:
            raise ResourceExhausted(
                f"{self._open} streams are open, the most that are served at once; try again later",
                reason="TOO_MANY_STREAMS",
                retry_after=_RETRY_SECONDS,
            )

    def _check_room(self, config: StreamConfig) -> None:
        model = config.request.model.name
        check_room(
            config.request,
            [session.request for session in self._sessions if session.request.model.name == model],
            self._service.costs,
            self._scheduler.slots,
            self._service.settings.stream,
        )

    async def _read_config(self, requests: AsyncIterator[service_pb2.ExplainStreamRequest]) -> StreamConfig:
        settings = self._service.settings
        try:
            async with asyncio.timeout(settings.stream.idle_seconds):
                first = await anext(requests, service_pb2.ExplainStreamRequest())
        except TimeoutError:
            raise DeadlineExceeded(
                f"open: did not come within {settings.stream.idle_seconds:g} s", field="open", reason="STREAM_IDLE"
            ) from None
        return read_open_request(first, self._service.served_models, settings)
