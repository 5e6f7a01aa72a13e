"""Keeps one TorchServe serving: launches it, watches it, replaces it when it fails."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from pathlib import Path

import structlog

from actionlens.v1 import model_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.canary import checked, description, explanation_canaries, worker_canary
from service.backends.protocol import Work
from service.backends.torchserve import replies
from service.backends.torchserve.http_client import ConnectionLost
from service.backends.torchserve.replies import Verdict
from service.backends.torchserve.server import PortTaken, TorchServe
from service.backends.torchserve.shared_memory import Envelope
from service.backends.torchserve.watchdog import Watch
from service.child_processes.heartbeats import LOOK_SECONDS, Heartbeats, Stillness
from service.errors import DeadlineExceeded, Unavailable
from service.settings import Settings

_log = structlog.get_logger(__name__)

MARGIN_SECONDS = 10.0
"""How much later than settings.response_seconds a batch must have been answered or given up."""

_PORT_ATTEMPTS = 3
_ANSWER_SECONDS = 0.6
# With LOOK_SECONDS between them and _ANSWER_SECONDS for each, less than five seconds.
_JAVA_LOOKS = 4
_NOTICE_SECONDS = 1.0
_BACK_OFF_SECONDS = 30.0
_GRACE_SECONDS = 5.0


class Supervisor:
    """Owns the TorchServe of a backend. Started once and stopped once, by `TorchServeBackend`."""

    def __init__(self, settings: Settings, folders: dict[str, Path], workers: int) -> None:
        """folders: of the models to serve, by name. workers: per model."""
        self.models: dict[str, model_pb2.Model] = {}
        """As their workers describe them."""
        self.restarts = 0
        """Times that a worker or java had to be started again."""
        self._settings = settings
        self._folders = folders
        self._workers = workers
        self._server: TorchServe | None = None
        self._up = asyncio.Event()
        self._stopped = False
        self._restarter: asyncio.Task[None] | None = None
        self._ready: dict[str, int] = {}
        self._pids: dict[str, set[int]] = {}
        self._heartbeats = Heartbeats()
        self.watch = self._new_watch(0.0)
        """Of the TorchServe that runs now."""

    @property
    def up(self) -> bool:
        """Whether a TorchServe runs that has answered its canaries. False while one is being replaced."""
        return self._up.is_set() and not self._stopped

    def healthy(self) -> bool:
        """Whether it is up and every model has a ready worker."""
        return self.up and all(self._ready.values())

    async def start(self) -> None:
        """Launch and wait until every model has answered. Raises Unavailable."""
        await self._launch()
        self._restarter = asyncio.create_task(self._restart())

    async def stop(self) -> None:
        """End everything. Calls that wait for a TorchServe get Unavailable."""
        self._stopped = True
        if self._restarter is not None:
            self._restarter.cancel()
            await asyncio.wait({self._restarter})
        server, self._server = self._server, None
        self._up.set()  # those who wait for a successor find that there will be none
        if server is not None:
            await server.close(_GRACE_SECONDS)
        self._heartbeats.close()

    async def running(self, at: float) -> TorchServe:
        """The TorchServe to send to, waiting for a restart if need be, until the loop's clock shows `at`.

        Raises DeadlineExceeded, also when the time has come already; Unavailable when stopped.
        """
        try:
            async with asyncio.timeout_at(at):
                await self._up.wait()
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed while TorchServe was being restarted") from error
        if asyncio.get_running_loop().time() >= at:
            raise DeadlineExceeded("the deadline passed before the clip was sent")
        if self._server is None:
            raise Unavailable("the backend is stopping")
        return self._server

    async def note_loss(self, server: TorchServe) -> None:
        """After a lost connection: learn whether java is gone, so that the next attempt goes to its successor."""
        try:
            async with asyncio.timeout(_NOTICE_SECONDS):
                await server.ended.wait()
        except TimeoutError:
            return
        if self._server is server:
            self._up.clear()

    async def _launch(self) -> None:
        """Start a TorchServe and let it answer; it is `self._server` then."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        end = begun + self._settings.start_seconds
        server = await self._serving()
        try:
            described = await asyncio.gather(*(self._try_out(server, name, end) for name in self._folders))
            self._pids = {name: set(await server.workers(name)) for name in self._folders}
        except BaseException as error:
            await asyncio.shield(server.close())
            if isinstance(error, ConnectionLost | TimeoutError):
                raise Unavailable("TorchServe failed its canary", detail=str(error)) from error
            raise
        self.models = dict(zip(self._folders, described, strict=True))
        self._ready = dict.fromkeys(self._folders, self._workers)
        self.watch = self._new_watch(loop.time() - begun)
        self._server = server
        self._up.set()

    async def _serving(self) -> TorchServe:
        """A TorchServe whose workers are all ready."""
        for attempt in itertools.count(1):
            server = await TorchServe.launch(self._folders, self._settings, self._heartbeats.environment)
            try:
                await server.wait_workers(dict.fromkeys(self._folders, self._workers), self._settings.start_seconds)
                break
            except BaseException as error:
                await asyncio.shield(server.close())
                if not isinstance(error, PortTaken) or attempt == _PORT_ATTEMPTS:
                    raise
        return server

    async def _try_out(self, server: TorchServe, name: str, end: float) -> model_pb2.Model:
        async def send(work: Work, stage: str) -> worker_pb2.ComputeResponse:
            left = end - asyncio.get_running_loop().time()
            with Envelope(work) as sent:
                reply = await server.predict(name, sent.body, left)
            if replies.verdict(reply) is not Verdict.SERVED:
                raise Unavailable(f"model {name!r} failed its {stage}: TorchServe answered status {reply.status}")
            return checked(name, stage, replies.parse(name, reply.body))

        model = (await send(description(), "description")).model

        async def send_all(work: Work) -> float:
            """To as many as there are workers, for each should have had one. Returns the longest forward, in s."""
            replies = await asyncio.gather(*(send(work, "canary") for _ in range(self._workers)))
            return max(reply.timings.forward for reply in replies)

        await send_all(worker_canary(model))  # the first forward of a worker is slow
        quick = self._settings.warm_forward_seconds
        if quick and await send_all(worker_canary(model)) <= quick:
            for work in explanation_canaries(model):
                await send_all(work)
        model.ready = True
        return model

    async def _restart(self) -> None:
        """Replace the TorchServe whenever it fails."""
        while True:
            reason = await self._trouble()
            self._up.clear()
            self.restarts += 1
            _log.warning("restarting TorchServe", reason=reason)
            if (old := self._server) is not None:
                await old.close()
            pause = 0.0
            while True:
                await asyncio.sleep(pause)
                try:
                    await self._launch()
                    break
                except Exception as error:  # whatever it is, giving up would leave the service without workers
                    pause = min(_BACK_OFF_SECONDS, 2 * pause + 0.5)
                    _log.error("TorchServe did not come back", error=str(error), next_try_seconds=pause)
            _log.info("TorchServe is back")

    async def _trouble(self) -> str:
        """Watch the running TorchServe and kill its workers that are frozen; returns why it must be replaced."""
        loop = asyncio.get_running_loop()
        server = self._server
        assert server is not None
        java, unheard = Stillness(server.java or 0, _JAVA_LOOKS), 0
        killed: set[int] = set()
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await server.ended.wait()
                return "java ended"
            except TimeoutError:
                pass
            server.wake_guard()
            found = await self._workers_of(server)
            unheard = 0 if len(found) == len(self._folders) else unheard + 1
            for name in self._folders:
                ready = {pid for pid, is_ready in found.get(name, {}).items() if is_ready}
                if name in found or unheard >= _JAVA_LOOKS:  # it may be busy for a moment
                    self._ready[name] = len(ready)
                self.watch.workers(name, len(ready), loop.time())
                self.restarts += len(ready - self._pids[name])
                self._pids[name] |= ready
            if not unheard:
                frozen = self._heartbeats.frozen(pid for workers in found.values() for pid in workers)
                for pid in frozen - killed:  # TorchServe names it until the next one is there
                    _log.warning("killing a frozen worker", pid=pid)
                    server.kill_worker(pid)
                killed = frozen
            if java.look(alive=not unheard):
                return "java is frozen"
            if reason := self.watch.trouble(loop.time()):
                return reason

    async def _workers_of(self, server: TorchServe) -> dict[str, dict[int, bool]]:
        """The workers by model, of as many models as are described in time."""
        found = {}
        with suppress(ConnectionLost, TimeoutError):
            for name in self._folders:
                found[name] = await server.workers(name, _ANSWER_SECONDS)
        return found

    def _new_watch(self, started_in: float) -> Watch:
        return Watch(self._settings.response_seconds, MARGIN_SECONDS, started_in)
