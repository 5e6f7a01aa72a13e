"""The TorchServe backend: admission, the hop with its one retry, supervision."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import structlog

from actionlens.v1 import model_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.base import Reply
from service.backends.choice import canary_request, checked, chosen_models, describe_request
from service.backends.gate import Gate
from service.backends.torchserve import config, replies
from service.backends.torchserve.http import ConnectionLost, HttpReply
from service.backends.torchserve.replies import Verdict
from service.backends.torchserve.server import PortTaken, TorchServe
from service.backends.torchserve.watch import Watch
from service.errors import DeadlineExceeded, NotFound, Unavailable
from service.settings import Settings

_log = structlog.get_logger(__name__)

_ATTEMPTS = 2
_PORT_ATTEMPTS = 3
_WATCH_SECONDS = 0.5
_NOTICE_SECONDS = 1.0
_MARGIN_SECONDS = 10.0
_LOST_SECONDS = 20.0
_BACK_OFF_SECONDS = 30.0
_RETRY_AFTER_SECONDS = 3.0
_GRACE_SECONDS = 5.0


class TorchServeBackend:
    """Implements InferenceBackend with a supervised TorchServe of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folders: dict[str, Path] = {}
        self._shape = config.shape(settings, 1)
        self._gates: dict[str, Gate] = {}
        self._models: dict[str, model_pb2.Model] = {}
        self._server: TorchServe | None = None
        self._watch = self._new_watch()
        self._up = asyncio.Event()
        self._ready: dict[str, int] = {}
        self._pids: dict[str, set[int]] = {}
        self._restarts = 0
        self._calls: set[asyncio.Task[tuple[worker_pb2.ComputeResponse, float]]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """See InferenceBackend. Raises NotFound when settings.models names a model that the store lacks."""
        if self._starting is not None:
            raise RuntimeError("a backend is started once")
        self._starting = asyncio.create_task(self._start())
        try:
            await self._starting
        except BaseException as error:
            stopped = self._stopping is not None
            await self.stop()
            if stopped and isinstance(error, asyncio.CancelledError):
                raise Unavailable("stopped while starting") from error
            raise

    async def stop(self) -> None:
        """See InferenceBackend."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def compute(self, model: str, request: worker_pb2.Compute, deadline: float) -> Reply:
        """See InferenceBackend."""
        gate = self._gate(model)
        loop = asyncio.get_running_loop()
        asked = loop.time()
        at = asked + deadline
        await gate.enter(at)
        entered = loop.time()
        # A task of its own, because the place stays taken until the worker is done with the clip, also when the
        # caller has left: workers cannot be interrupted.
        call = loop.create_task(self._call(model, gate, request, at))
        self._calls.add(call)
        call.add_done_callback(self._finished)
        try:
            async with asyncio.timeout_at(at):
                response, seconds = await asyncio.shield(call)
        except TimeoutError as error:
            raise DeadlineExceeded(f"model {model!r} did not answer within {deadline:g} s") from error
        return Reply(response, entered - asked, max(0.0, seconds - response.timings.total))

    def models(self) -> dict[str, model_pb2.Model]:
        """See InferenceBackend."""
        return dict(self._models)

    def capacity(self) -> int:
        """See InferenceBackend."""
        return sum(gate.places for gate in self._gates.values())

    def in_flight(self) -> int:
        """See InferenceBackend."""
        return sum(gate.busy + gate.waiting for gate in self._gates.values())

    def healthy(self) -> bool:
        """See InferenceBackend."""
        return self._up.is_set() and self._stopping is None and all(self._ready.values())

    def restarts(self) -> int:
        """See InferenceBackend."""
        return self._restarts

    def _gate(self, model: str) -> Gate:
        if self._stopping is not None or not self._gates:
            raise Unavailable("the backend is not running")
        if model not in self._gates:
            raise NotFound(f"no model {model!r} is loaded; there are: {', '.join(self._gates)}", field="model")
        if not self._up.is_set():
            raise Unavailable("TorchServe is being restarted", retry_after=_RETRY_AFTER_SECONDS)
        return self._gates[model]

    async def _call(
        self, model: str, gate: Gate, request: worker_pb2.Compute, at: float
    ) -> tuple[worker_pb2.ComputeResponse, float]:
        """Send until answered, at most twice. Returns the response and the seconds of the round trip."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            body = worker_pb2.ComputeRequest(compute=request).SerializeToString()
            if len(body) > config.WIRE_BYTES:
                raise replies.too_large(model, len(body), config.WIRE_BYTES)
            reason = ""
            for _ in range(_ATTEMPTS):
                server = await self._running(at)
                sent = loop.time()
                try:
                    reply = await self._hop(server, model, body)
                except (ConnectionLost, TimeoutError) as error:
                    reason = f"the connection to TorchServe was lost ({error})"
                    await self._note_loss(server)
                    continue
                match replies.verdict(reply):
                    case Verdict.SERVED:
                        return replies.parse(model, reply.body), loop.time() - sent
                    case Verdict.WORKER_DIED:
                        if loop.time() - sent >= self._settings.response_seconds:
                            raise DeadlineExceeded(
                                f"model {model!r} took longer than {self._settings.response_seconds:g} s for one batch",
                                reason="COMPUTE_TOO_LONG",
                            )
                        reason = f"a worker of model {model!r} died"
                    case _:
                        raise replies.refusal(model, reply)
            raise Unavailable(f"{reason}, twice", reason="WORKER_DIED", retry_after=_RETRY_AFTER_SECONDS)
        finally:
            gate.leave(loop.time() - begun)

    async def _hop(self, server: TorchServe, model: str, body: bytes) -> HttpReply:
        loop = asyncio.get_running_loop()
        watch = self._watch
        number = watch.sent(model, loop.time())
        heard = False
        try:
            # The second batch in line may start only when the first has used up its time.
            reply = await server.predict(model, body, 2 * self._settings.response_seconds + 2 * _MARGIN_SECONDS)
            heard = True
        finally:
            watch.returned(number, loop.time(), heard=heard)
        match replies.verdict(reply):
            case Verdict.SERVED:
                watch.served(model)
            case Verdict.REFUSED:
                watch.refused(model)
            case _:
                pass
        return reply

    async def _note_loss(self, server: TorchServe) -> None:
        """After a lost connection: learn whether java is gone, so that the next attempt goes to its successor."""
        try:
            async with asyncio.timeout(_NOTICE_SECONDS):
                await server.ended.wait()
        except TimeoutError:
            return
        if self._server is server:
            self._up.clear()

    async def _running(self, at: float) -> TorchServe:
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

    def _finished(self, call: asyncio.Task[tuple[worker_pb2.ComputeResponse, float]]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # the caller may have left; then nobody else reads it

    async def _start(self) -> None:
        self._folders = chosen_models(self._settings)
        self._shape = config.shape(self._settings, len(self._folders))
        await self._launch(self._settings.start_seconds)
        self._gates = {name: Gate(name, self._shape.places, self._settings.queue) for name in self._folders}
        self._keeper = asyncio.create_task(self._keep())

    async def _launch(self, seconds: float) -> None:
        """Start a TorchServe and let it answer; it is `self._server` then."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        server = await self._serving(seconds)
        try:
            described = await asyncio.gather(*(self._try_out(server, name, end) for name in self._folders))
            self._pids = {name: set(await server.workers(name)) for name in self._folders}
        except BaseException as error:
            await asyncio.shield(server.close())
            if isinstance(error, ConnectionLost | TimeoutError):
                raise Unavailable(f"TorchServe failed its canary: {error}") from error
            raise
        self._models = dict(zip(self._folders, described, strict=True))
        self._ready = dict.fromkeys(self._folders, self._shape.workers)
        self._watch = self._new_watch()
        self._server = server
        self._up.set()

    async def _serving(self, seconds: float) -> TorchServe:
        """A TorchServe whose workers are all ready."""
        for attempt in itertools.count(1):
            server = await TorchServe.launch(self._folders, self._settings)
            try:
                await server.wait_workers(dict.fromkeys(self._folders, self._shape.workers), seconds)
                break
            except BaseException as error:
                await asyncio.shield(server.close())
                if not isinstance(error, PortTaken) or attempt == _PORT_ATTEMPTS:
                    raise
        return server

    async def _try_out(self, server: TorchServe, name: str, end: float) -> model_pb2.Model:
        async def ask(request: worker_pb2.ComputeRequest, stage: str) -> worker_pb2.ComputeResponse:
            left = end - asyncio.get_running_loop().time()
            reply = await server.predict(name, request.SerializeToString(), left)
            if replies.verdict(reply) is not Verdict.SERVED:
                raise Unavailable(f"model {name!r} failed its {stage}: TorchServe answered status {reply.status}")
            return checked(name, stage, replies.parse(name, reply.body))

        model = (await ask(describe_request(), "description")).model
        # As many as there are workers: the first forward of a worker is slow, so each should have had one.
        await asyncio.gather(*(ask(canary_request(model), "canary") for _ in range(self._shape.workers)))
        model.ready = True
        return model

    async def _keep(self) -> None:
        """Replace the TorchServe whenever it fails."""
        while True:
            reason = await self._trouble()
            self._up.clear()
            self._restarts += 1
            _log.warning("restarting TorchServe", reason=reason)
            if (old := self._server) is not None:
                await old.close()
            pause = 0.0
            while True:
                await asyncio.sleep(pause)
                try:
                    await self._launch(self._settings.start_seconds)
                    break
                except Exception as error:  # whatever it is, giving up would leave the service without workers
                    pause = min(_BACK_OFF_SECONDS, 2 * pause + 0.5)
                    _log.error("TorchServe did not come back", error=str(error), next_try_seconds=pause)
            _log.info("TorchServe is back")

    async def _trouble(self) -> str:
        """Watch the running TorchServe; returns why it must be replaced."""
        loop = asyncio.get_running_loop()
        server = self._server
        assert server is not None
        while True:
            try:
                async with asyncio.timeout(_WATCH_SECONDS):
                    await server.ended.wait()
                return "java ended"
            except TimeoutError:
                pass
            for name in self._folders:
                try:
                    workers = await server.workers(name)
                except (ConnectionLost, TimeoutError):
                    self._watch.workers(name, 0, loop.time())
                    continue
                self._ready[name] = sum(workers.values())
                self._watch.workers(name, self._ready[name], loop.time())
                fresh = {pid for pid, ready in workers.items() if ready} - self._pids[name]
                self._restarts += len(fresh)
                self._pids[name] |= fresh
            if reason := self._watch.trouble(loop.time()):
                return reason

    async def _stop(self) -> None:
        for gate in self._gates.values():
            gate.close()
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._calls:
            await asyncio.wait(self._calls, timeout=self._settings.drain_seconds)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        server, self._server = self._server, None
        self._up.set()  # calls that wait for a restart find that there will be none
        if server is not None:
            await server.close(_GRACE_SECONDS)
        # What is still out has lost its connection now and ends.
        if self._calls:
            await asyncio.wait(self._calls, timeout=_GRACE_SECONDS)

    def _new_watch(self) -> Watch:
        return Watch(self._settings.response_seconds, _MARGIN_SECONDS, _LOST_SECONDS)
