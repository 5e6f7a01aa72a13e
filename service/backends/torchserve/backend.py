"""The TorchServe backend: admission and the hop with its one retry."""

from __future__ import annotations

import asyncio

import structlog

from actionlens.v1 import model_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.admission import Admission
from service.backends.model_choice import chosen_models
from service.backends.protocol import Reply, Work
from service.backends.torchserve import config, replies
from service.backends.torchserve.http_client import ConnectionLost, HttpReply
from service.backends.torchserve.replies import Verdict
from service.backends.torchserve.server import TorchServe
from service.backends.torchserve.shared_memory import Envelope
from service.backends.torchserve.supervisor import MARGIN_SECONDS, Supervisor
from service.errors import DeadlineExceeded, NotFound, Unavailable
from service.settings import Settings

_log = structlog.get_logger(__name__)

_ATTEMPTS = 2
_RETRY_AFTER_SECONDS = 3.0
_LAST_CALLS_SECONDS = 5.0


class TorchServeBackend:
    """Implements InferenceBackend with a supervised TorchServe of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._supervisor: Supervisor | None = None
        self._admissions: dict[str, Admission] = {}
        self._calls: set[asyncio.Task[tuple[worker_pb2.ComputeResponse, float]]] = set()
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

    async def compute(self, model: str, work: Work, deadline: float) -> Reply:
        """See InferenceBackend."""
        supervisor, admission = self._serving(model)
        loop = asyncio.get_running_loop()
        called = loop.time()
        at = called + deadline
        await admission.enter(at)
        entered = loop.time()
        try:
            sent = Envelope(work)
        except BaseException:
            admission.leave(0.0)
            raise
        # A task of its own, because the slot stays taken until the worker is done with the clip, also when the
        # caller has left: the worker notices within an operation of its network.
        call = loop.create_task(self._call(supervisor, admission, model, sent, at))
        self._calls.add(call)
        call.add_done_callback(self._finished)
        try:
            async with asyncio.timeout_at(at):
                response, seconds = await asyncio.shield(call)
        except TimeoutError as error:
            raise DeadlineExceeded(f"model {model!r} did not answer within {deadline:g} s") from error
        finally:
            if not call.done():
                sent.withdraw()
        return Reply(response, entered - called, max(0.0, seconds - response.timings.total))

    def models(self) -> dict[str, model_pb2.Model]:
        """See InferenceBackend."""
        return dict(self._supervisor.models) if self._supervisor is not None else {}

    def capacity(self) -> int:
        """See InferenceBackend."""
        return sum(each.slots for each in self._admissions.values())

    def in_flight(self) -> int:
        """See InferenceBackend."""
        return sum(each.busy + each.waiting for each in self._admissions.values())

    def healthy(self) -> bool:
        """See InferenceBackend."""
        return self._stopping is None and self._supervisor is not None and self._supervisor.healthy()

    def restarts(self) -> int:
        """See InferenceBackend."""
        return self._supervisor.restarts if self._supervisor is not None else 0

    def _serving(self, model: str) -> tuple[Supervisor, Admission]:
        supervisor = self._supervisor
        if self._stopping is not None or supervisor is None or not self._admissions:
            raise Unavailable("the backend is not running")
        if model not in self._admissions:
            raise NotFound(f"no model {model!r} is loaded; there are: {', '.join(self._admissions)}", field="model")
        if not supervisor.up:
            raise Unavailable("TorchServe is being restarted", retry_after=_RETRY_AFTER_SECONDS)
        return supervisor, self._admissions[model]

    async def _call(
        self,
        supervisor: Supervisor,
        admission: Admission,
        model: str,
        sent: Envelope,
        at: float,
    ) -> tuple[worker_pb2.ComputeResponse, float]:
        """Send until answered, at most twice. Returns the response and the seconds of the round trip."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            reason = ""
            for _ in range(_ATTEMPTS):
                server = await supervisor.running(at)
                if sent.withdrawn:
                    raise DeadlineExceeded("the caller has left")
                posted = loop.time()
                try:
                    reply = await self._hop(supervisor, server, model, sent.body)
                except (ConnectionLost, TimeoutError) as error:
                    _log.warning("the connection to TorchServe was lost", model=model, error=str(error))
                    reason = "the connection to the workers was lost"
                    await supervisor.note_loss(server)
                    continue
                match replies.verdict(reply):
                    case Verdict.SERVED:
                        return replies.parse(model, reply.body), loop.time() - posted
                    case Verdict.WORKER_DIED:
                        if loop.time() - posted >= self._settings.response_seconds:
                            raise DeadlineExceeded(
                                f"model {model!r} took longer than {self._settings.response_seconds:g} s for one batch",
                                reason="COMPUTE_TOO_LONG",
                            )
                        reason = f"a worker of model {model!r} died"
                    case _:
                        raise replies.refusal(model, reply)
            raise Unavailable(f"{reason}, twice", reason="WORKER_DIED", retry_after=_RETRY_AFTER_SECONDS)
        finally:
            sent.close()
            admission.leave(loop.time() - begun)

    async def _hop(self, supervisor: Supervisor, server: TorchServe, model: str, body: bytes) -> HttpReply:
        loop = asyncio.get_running_loop()
        watch = supervisor.watch
        number = watch.sent(model, loop.time())
        heard = False
        try:
            # The second batch in line may start only when the first has used up its time.
            reply = await server.predict(model, body, 2 * (self._settings.response_seconds + MARGIN_SECONDS))
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

    def _finished(self, call: asyncio.Task[tuple[worker_pb2.ComputeResponse, float]]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # the caller may have left; then nobody else reads it

    async def _start(self) -> None:
        folders = chosen_models(self._settings)
        shape = config.shape(self._settings)
        self._supervisor = Supervisor(self._settings, folders, shape.workers)
        await self._supervisor.start()
        self._admissions = {name: Admission(name, shape.slots, self._settings.queue) for name in folders}

    async def _stop(self) -> None:
        for admission in self._admissions.values():
            admission.close()
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if self._calls:
            await asyncio.wait(self._calls, timeout=self._settings.drain_seconds)
        if self._supervisor is not None:
            await self._supervisor.stop()
        # What is still out has lost its connection now and ends.
        if self._calls:
            await asyncio.wait(self._calls, timeout=_LAST_CALLS_SECONDS)
