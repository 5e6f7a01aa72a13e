"""Backends that compute in this process: one thread, a queue of clips per model."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from actionlens.v1 import model_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.admission import Admission
from service.backends.canary import checked, description, worker_canary
from service.backends.protocol import Reply, Work
from service.errors import DeadlineExceeded, NotFound, Unavailable
from service.settings import Settings

Answer = Callable[[Sequence[Work]], list[worker_pb2.ComputeResponse]]
"""A loaded model: a batch of work to as many answers, in order; what fails is a `failure` in its position."""


@dataclass(slots=True)
class _Clip:
    work: Work
    at: float
    done: asyncio.Future[worker_pb2.ComputeResponse]
    begun: float = 0.0
    """When its batch began, by the loop's clock."""
    left: bool = False
    """The caller waits no longer."""


class ThreadBackend(ABC):
    """Implements InferenceBackend with one compute thread for all models, which may use several cores within it.

    The clips that wait for a model when the thread comes free are one batch, as many as the model takes at once.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._answers: dict[str, Answer] = {}
        self._most: dict[str, int] = {}
        self._models: dict[str, model_pb2.Model] = {}
        self._admissions: dict[str, Admission] = {}
        self._queues: dict[str, asyncio.Queue[_Clip]] = {}
        self._inside: set[asyncio.Future[worker_pb2.ComputeResponse]] = set()
        self._workers: list[asyncio.Task[None]] = []
        self._batch_since: float | None = None
        self._stopping: asyncio.Task[None] | None = None

    @abstractmethod
    def load(self) -> Iterator[tuple[str, Answer, int]]:
        """Load the models that the settings name, one by one: the name, its answering function, and the largest batch.

        Runs in the compute thread.
        Raises NotFound for a model that there is not, Unavailable for one that cannot be loaded.
        """

    async def start(self) -> None:
        """See InferenceBackend. Raises NotFound when settings.models names a model that the store lacks."""
        try:
            async with asyncio.timeout(self.settings.start_seconds):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        except TimeoutError as error:
            await self.stop()
            raise Unavailable(f"the models did not load within {self.settings.start_seconds:g} s") from error
        except BaseException:
            await self.stop()
            raise
        for name in self._answers:
            self._admissions[name] = Admission(name, 2 * self.settings.batch_size, self.settings.queue)
            self._queues[name] = asyncio.Queue()
            self._workers.append(asyncio.create_task(self._work(name)))

    async def stop(self) -> None:
        """See InferenceBackend."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def compute(self, model: str, work: Work, deadline: float) -> Reply:
        """See InferenceBackend."""
        if self._stopping is not None or not self._admissions:
            raise Unavailable("the backend is not running")
        if model not in self._admissions:
            raise NotFound(f"no model {model!r} is loaded; there are: {', '.join(self._admissions)}", field="model")
        loop = asyncio.get_running_loop()
        called = loop.time()
        at = called + deadline
        await self._admissions[model].enter(at)
        entered = loop.time()
        clip = _Clip(work, at, loop.create_future())
        self._inside.add(clip.done)
        clip.done.add_done_callback(lambda done: self._finished(model, entered, done))
        self._queues[model].put_nowait(clip)
        try:
            async with asyncio.timeout_at(at):
                # Shielded: the slot stays taken until the clip is computed or dropped, also when the caller leaves.
                response = await asyncio.shield(clip.done)
        except TimeoutError as error:
            raise DeadlineExceeded(f"model {model!r} did not answer within {deadline:g} s") from error
        finally:
            clip.left = True
        return Reply(response, clip.begun - called, max(0.0, loop.time() - clip.begun - response.timings.total))

    def models(self) -> dict[str, model_pb2.Model]:
        """See InferenceBackend."""
        return dict(self._models)

    def capacity(self) -> int:
        """See InferenceBackend."""
        return sum(each.slots for each in self._admissions.values())

    def in_flight(self) -> int:
        """See InferenceBackend."""
        return sum(each.busy + each.waiting for each in self._admissions.values())

    def healthy(self) -> bool:
        """See InferenceBackend. A batch that takes longer than settings.response_seconds is unhealthy."""
        if not self._admissions or self._stopping is not None:
            return False
        since = self._batch_since
        return since is None or time.monotonic() - since <= self.settings.response_seconds

    def restarts(self) -> int:
        """See InferenceBackend. Nothing is restarted here."""
        return 0

    def _load(self) -> None:
        for name, answer, most in self.load():
            model = checked(name, "description", answer([description()])[0]).model
            checked(name, "canary", answer([worker_canary(model)])[0])
            model.ready = True
            self._answers[name], self._most[name] = answer, most
            self._models[name] = model

    async def _work(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        queue = self._queues[name]
        while True:
            clips = [await queue.get()]
            while len(clips) < self._most[name] and not queue.empty():
                clips.append(queue.get_nowait())
            waiting = [clip for clip in clips if not self._dropped(clip, loop.time())]
            if not waiting:
                continue
            answers = await loop.run_in_executor(self._thread, self._answer, name, waiting)
            for clip, found in zip(waiting, answers, strict=True):
                if isinstance(found, Exception):
                    clip.done.set_exception(found)
                else:
                    clip.done.set_result(found)

    def _answer(self, name: str, clips: Sequence[_Clip]) -> list[worker_pb2.ComputeResponse | Unavailable]:
        """Answer clips together; each by itself where that fails, so that the one to blame fails alone."""
        self._batch_since = begun = time.monotonic()
        for clip in clips:
            clip.begun = begun
        try:
            return list(self._answers[name]([_followed(clip) for clip in clips]))
        except Exception as error:  # one bad batch must not end the model's service
            if len(clips) == 1:
                return [Unavailable(f"{type(error).__name__} while computing the batch")]
        finally:
            self._batch_since = None
        return [found for clip in clips for found in self._answer(name, [clip])]

    def _dropped(self, clip: _Clip, now: float) -> bool:
        if now < clip.at and not clip.left:
            return False
        clip.done.set_exception(DeadlineExceeded("the deadline passed before the clip was computed"))
        return True

    def _finished(self, model: str, entered: float, done: asyncio.Future[worker_pb2.ComputeResponse]) -> None:
        self._inside.discard(done)
        self._admissions[model].leave(asyncio.get_running_loop().time() - entered)
        if not done.cancelled():
            done.exception()  # the caller may have left; then nobody else reads it

    async def _stop(self) -> None:
        for admission in self._admissions.values():
            admission.close()
        if self._inside:
            await asyncio.wait(self._inside, timeout=self.settings.drain_seconds)
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        for done in tuple(self._inside):
            done.set_exception(Unavailable("the service stopped before the clip was computed"))
        self._thread.shutdown(wait=False, cancel_futures=True)


def _followed(clip: _Clip) -> Work:
    """The clip's work, which knows whether the caller still waits."""
    return replace(clip.work, wanted=lambda: not clip.left)
