"""The composition root: every part of the service, made from the settings, and the process around them."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from actionlens.v1 import job_pb2, job_pb2_grpc, service_pb2, service_pb2_grpc
from service import data_folder
from service.backends.canary import service_canary
from service.backends.factory import make_backend
from service.backends.protocol import InferenceBackend
from service.client.channel import bearer
from service.dataplane.explain_service import ExplainService
from service.errors import Unavailable
from service.gateway.app import make_app
from service.gateway.door import Door
from service.gateway.monitoring import make_monitoring_app, monitoring_routes
from service.gateway.rpc_bridge import RpcBridge
from service.gateway.schema import make_schema
from service.gateway.server import HttpServer
from service.identity.audit import AuditLog
from service.identity.authenticator import Authenticator
from service.identity.exposure import check_exposure
from service.identity.guard import Guard
from service.identity.tls import ServerTls
from service.ingress.hosts import AllowedHosts
from service.ingress.ingress import Ingress
from service.jobs.lifecycle import JobService
from service.jobs.metrics import JobMetrics
from service.rpc.access_interceptor import AccessInterceptor
from service.rpc.health_servicer import EXPLANATION_SERVICE, Health
from service.rpc.identity_interceptor import IdentityInterceptor
from service.rpc.interceptor import CallInterceptor
from service.rpc.job_servicer import JOB_SERVICE, ExplanationJobServicer
from service.rpc.servicers import ExplanationServicer
from service.settings import Settings
from service.streaming.manager import StreamManager
from service.telemetry.log import configure, get_logger
from service.telemetry.metrics import Metrics
from service.telemetry.process_metrics import ProcessMetrics
from service.telemetry.span_export import exporting

# Calls beyond those that have places: they are told why they have none.
_TURNED_AWAY = 256
# Scrapers and probes hold one connection each; more are no scrapers, and their files are those of clips.
_MONITORING_CONNECTIONS = 256
_IDLE_MS = 300_000
# Further ones wait at the client.
_CALLS_PER_CONNECTION = 256


class Server:
    """The whole service over one backend: `async with Server(settings, backend)` serves until the block ends."""

    def __init__(self, settings: Settings, backend: InferenceBackend, *, jobs: bool = False) -> None:
        """Make the parts from the settings; none listens or runs yet. jobs: also take jobs, and have them computed."""
        self.settings = settings
        self.backend = backend
        self.metrics = Metrics(backend)
        self.metrics.register(ProcessMetrics(os.getpid()))
        self.ingress = Ingress(settings)
        self.explain = ExplainService(settings, backend, self.metrics)
        self.jobs = JobService(settings, self.metrics.live) if jobs else None
        self._job_servicer: ExplanationJobServicer | None = None
        self._services = {EXPLANATION_SERVICE: lambda: True, **({JOB_SERVICE: self.jobs.is_open} if self.jobs else {})}
        self.health = Health(self._services)
        self.streams = StreamManager(self.explain)
        self.port = 0
        self.metrics_port = 0
        self.page_port = 0
        self.tls = ServerTls.of(settings.tls)
        self.authenticator = Authenticator(settings.authentication)
        self.guard = Guard(settings.authentication, AuditLog(settings))
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None
        self._grpc: Any = None
        self._monitoring: HttpServer | None = None
        self._gateway: HttpServer | None = None
        self._follower: asyncio.Task[None] | None = None
        self._log = get_logger()

    async def start(self) -> None:
        """Open the ports, start the backend, answer the canary, then say SERVING.

        Raises Unavailable when a port is taken, the backend does not start, or a canary is not answered. After a
        failure everything is closed again. Without the database of jobs it serves all but jobs until that opens.
        """
        if self.jobs is not None and (warning := data_folder.prepare(self.settings.data)):
            self._log.warning(warning)
        try:
            await self._listen()
            await self.backend.start()
            await self._prove()
            # The canary's answers are of cold workers, and nobody asked for them.
            self.metrics.forget_answers()
            # After the canary, so that workers do not compete with the start of what they stand back for.
            if self.jobs is not None:
                await self.jobs.start()
                self.metrics.register(JobMetrics(self.jobs))
            await self.health.set(True)
            self._follower = asyncio.create_task(self.health.follow(self.backend.healthy, self._prove))
        except BaseException:
            await self.stop()
            raise
        for model in self.backend.models().values():
            for note in model.notes:
                self._log.warning(note, model=model.name)
        self._log.info("serving", port=self.port, metrics_port=self.metrics_port, models=sorted(self.backend.models()))

    async def stop(self) -> None:
        """Drain and stop within settings.drain_seconds plus the backend's own time. Safe to call twice."""
        end = time.monotonic() + self.settings.drain_seconds
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
            self._follower = None
        await self.health.shut_down()
        self.explain.drain()
        self.streams.drain()
        if self._job_servicer is not None:
            self._job_servicer.drain()
        if self._grpc is not None:
            # New calls are refused at once; those in flight have the grace and are cancelled afterwards.
            await self._grpc.stop(max(0.0, end - time.monotonic()))
            self._grpc = None
        if self._gateway is not None:
            await self._gateway.stop(max(0.0, end - time.monotonic()))
            self._gateway = None
        if self.jobs is not None:
            await self.jobs.stop()
        if self._job_servicer is not None:
            self._job_servicer.close()
        await self.backend.stop()
        if self._monitoring is not None:
            await self._monitoring.stop(0.0)
            self._monitoring = None
        if self._own_folder is not None:
            self._own_folder.cleanup()
            self._own_folder = None
        self.guard.audit.close()
        self.explain.close()
        self.ingress.close()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _listen(self) -> None:
        settings = self.settings
        check_exposure(settings)
        tls = self.tls.http_context() if self.tls is not None else None
        servicers = self._make_grpc_server()
        await self.health.set(False)
        door = Door(self.authenticator, self.guard)
        monitoring = door.monitoring(monitoring_routes(self.metrics, lambda: self.health.serving))
        self._monitoring = HttpServer(
            door.before(make_monitoring_app(monitoring, AllowedHosts(settings.host, settings.hosts))),
            connections=_MONITORING_CONNECTIONS,
            first_seconds=settings.quotas.first_seconds,
            tls=tls,
        )
        schema = make_schema(*(service for service, _ in servicers))
        rpcs = RpcBridge(*servicers, guard=self.guard)
        self._gateway = HttpServer(
            make_app(settings, self.ingress, rpcs, schema, monitoring, door),
            message_bytes=settings.limits.message_bytes,
            connections=settings.quotas.connections,
            first_seconds=settings.quotas.first_seconds,
            tls=tls,
        )
        wanted, variable = settings.port, "ACTIONLENS_PORT"
        try:
            self.port = self._open_grpc_port()
            wanted, variable = settings.metrics_port, "ACTIONLENS_METRICS_PORT"
            self.metrics_port = await self._monitoring.start(settings.host, wanted)
            wanted, variable = settings.page_port, "ACTIONLENS_PAGE_PORT"
            self.page_port = await self._gateway.start(settings.host, wanted)
        except (OSError, RuntimeError) as error:
            raise Unavailable(
                f"cannot listen on {settings.host}, port {wanted}: {error}; set {variable} to a free one",
                reason="PORT_TAKEN",
            ) from None
        await self._grpc.start()

    def _open_grpc_port(self) -> int:
        address = f"{self.settings.host}:{self.settings.port}"
        if self.tls is None:
            return int(self._grpc.add_insecure_port(address))
        # The canary has no certificate of its clients' authority, and calls by no name that the own one is for.
        self._own_folder = tempfile.TemporaryDirectory(prefix="actionlens-", dir="/tmp")
        self._grpc.add_insecure_port(f"unix:{self._own_folder.name}/grpc")
        return int(self._grpc.add_secure_port(address, self.tls.grpc_credentials()))

    @property
    def own_address(self) -> str:
        """Where the service calls itself: a socket in a folder closed to other users where its port speaks TLS."""
        if self._own_folder is not None:
            return f"unix:{self._own_folder.name}/grpc"
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "::": "[::1]"}.get(self.settings.host, self.settings.host)
        return f"{host}:{self.port}"

    def _make_grpc_server(self) -> list[tuple[ServiceDescriptor, object]]:
        """Make the gRPC server with all its services. Returns those that the gateway serves too."""
        settings = self.settings
        self._grpc = grpc.aio.server(
            interceptors=[
                IdentityInterceptor(self.authenticator),
                CallInterceptor(self.metrics, self.ingress, self.guard),
                AccessInterceptor(self.guard),
            ],
            maximum_concurrent_rpcs=self.ingress.quotas.calls + _TURNED_AWAY,
            options=server_options(settings),
        )
        servicer = ExplanationServicer(self.explain, self.streams)
        service_pb2_grpc.add_ExplanationServiceServicer_to_server(servicer, self._grpc)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, self._grpc)
        servicers: list[tuple[ServiceDescriptor, object]] = [
            (service_pb2.DESCRIPTOR.services_by_name["ExplanationService"], servicer)
        ]
        if self.jobs is not None:
            self._job_servicer = ExplanationJobServicer(
                self.jobs.engine,
                self.explain.served_models,
                self.backend,
                self.explain.clip_decoder,
                settings.jobs.input_root,
            )
            job_pb2_grpc.add_ExplanationJobServiceServicer_to_server(  # type: ignore[no-untyped-call]
                self._job_servicer, self._grpc
            )
            servicers.append((job_pb2.DESCRIPTOR.services_by_name["ExplanationJobService"], self._job_servicer))
        names = (*self._services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self._grpc)
        return servicers

    async def _prove(self) -> None:
        """Explain a canary with every model through the server's own port. Raises Unavailable."""
        async with grpc.aio.insecure_channel(self.own_address, options=channel_options(self.settings)) as channel:
            stub: Any = service_pb2_grpc.ExplanationServiceStub(channel)  # type: ignore[no-untyped-call]
            for model in self.backend.models().values():
                request = await asyncio.to_thread(service_canary, model, self.settings.canary)
                try:
                    await stub.ExplainClip(
                        request, timeout=self.settings.response_seconds, metadata=bearer(self.authenticator.own_token)
                    )
                except grpc.aio.AioRpcError as error:
                    raise Unavailable(
                        f"model {model.name!r} did not answer the canary: {error.code().name}: {error.details()}",
                        reason="CANARY_FAILED",
                    ) from None


def serve(settings: Settings, ready: Callable[[Server], None] | None = None) -> None:
    """Run the service in this process until SIGINT or SIGTERM, then drain.

    ready: called once when the service says SERVING. Raises ActionLensError when it cannot start.
    """
    configure(settings.log_format, settings.log_level)
    with exporting(settings.traces):
        asyncio.run(run(settings, ready))


async def run(settings: Settings, ready: Callable[[Server], None] | None = None) -> None:
    """The same within a running event loop, without touching the logging."""
    server = Server(settings, make_backend(settings), jobs=True)
    server.explain.start_decoders()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    starting = asyncio.create_task(server.start())
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            if ready is not None:
                ready(server)
            await waiting
            get_logger().info("stopping", drain_seconds=settings.drain_seconds)
    finally:
        # Also when the signal came while starting, or `ready` failed.
        for task in (starting, waiting):
            task.cancel()
        await asyncio.wait((starting, waiting))
        await server.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def server_options(settings: Settings) -> list[tuple[str, int]]:
    """gRPC options of the server."""
    return [
        *channel_options(settings),
        ("grpc.max_allowed_incoming_connections", settings.quotas.connections),
        # Connections that do not say what they are.
        ("grpc.server_handshake_timeout_ms", round(settings.quotas.first_seconds * 1000)),
        # Clients open them again by themselves.
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.max_concurrent_streams", _CALLS_PER_CONNECTION),
    ]


def channel_options(settings: Settings) -> list[tuple[str, int]]:
    """gRPC options of the server, and of its own calls to itself."""
    return [
        ("grpc.max_receive_message_length", settings.limits.message_bytes),
        # What the service sends is bounded by what its workers may answer.
        ("grpc.max_send_message_length", -1),
        # Two servers on one port would share its connections at random.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A watch of a job that waits is silent for long: clients may ask meanwhile whether we are there.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]
