"""One live stream: frames in, an answer per window out, with every frame accounted for.

Four tasks share a FrameBuffer: the FrameReceiver's read and decode, dispatch (starts windows) and deliver (sends
answers in order). When the client leaves, all are cancelled together.

A window that no worker can answer: under EVERY it is tried again until twice `response_seconds` have passed, and then
the stream ends with that error, because nothing may be lost. Under NEWEST it counts as skipped after `window_seconds`,
the next answer's level_reason says so, and only a failure that lasts `idle_seconds` ends the stream.

A window is chosen when the stream has its slot at the backend, so that it is the newest then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict

from google.protobuf import duration_pb2

from actionlens.v1 import answer_pb2, service_pb2
from service.concurrency.notifier import Notifier
from service.dataplane import timings
from service.dataplane.explain_service import ExplainService
from service.dataplane.resolved_request import ResolvedRequest
from service.errors import ActionLensError, DeadlineExceeded
from service.streaming.budget.planner import BudgetPlanner, Plan
from service.streaming.frame_buffer import FrameBuffer
from service.streaming.frame_decoder import FrameDecoder
from service.streaming.frames import Window
from service.streaming.open_request import StreamConfig
from service.streaming.receiver import FrameReceiver
from service.streaming.scheduler import WindowScheduler
from service.streaming.sender import ResponseSender, Send
from service.streaming.window_answer import Outcome, answer_window
from service.telemetry import spans as tracing
from service.telemetry.records import FrameCounts, record_answer

# Windows of one stream that may be at the backend at once under EVERY, so that workers can batch them.
_AHEAD = 4


class StreamSession:
    """Runs one opened stream. send: delivers a message to the client."""

    def __init__(
        self,
        service: ExplainService,
        config: StreamConfig,
        send: Send,
        scheduler: WindowScheduler,
        planner: BudgetPlanner,
    ) -> None:
        self._service = service
        self._bounds = service.settings.stream
        self._config = config
        self._scheduler = scheduler
        self._planner = planner
        self._sender = ResponseSender(send, self._bounds.idle_seconds)
        credit = self._bounds.credit
        self._newest_only = config.drop_policy.newest_window
        self._buffer = FrameBuffer(config.shape, config.drop_policy)
        self._ahead = 1 if self._newest_only else max(1, min(_AHEAD, service.backend.capacity()))
        self._notifier = Notifier()
        decoder = FrameDecoder(
            service.frame_pool, service.frame_decoder, config.request.model.input, service.settings.limits
        )
        self._receiver = FrameReceiver(config.request, self._buffer, decoder, self._notifier, credit)
        self._deliveries: asyncio.Queue[tuple[Window, Plan, asyncio.Task[Outcome]] | None] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self._draining = False
        self._in_flight = 0
        self._started = self._answered = time.perf_counter()
        self._failed_since: float | None = None
        self._unanswered = 0
        self._last_failure = ""
        self._reported = FrameCounts()
        self._reported_skipped = 0

    @property
    def request(self) -> ResolvedRequest:
        """The request that holds for the next frame."""
        return self._receiver.request

    def drain(self) -> None:
        """Take no more frames, finish the windows at the backend, then send the summary."""
        self._draining = True
        if self._reader is not None:
            self._reader.cancel()
        self._receiver.close()

    async def run(self, requests: AsyncIterator[service_pb2.ExplainStreamRequest]) -> None:
        """Serve the stream to its end. Raises ActionLensError; cancelled when the client leaves."""
        shape, model = self._config.shape, self.request.model
        try:
            await self._sender.send(
                opened=service_pb2.StreamOpened(
                    credit=self._bounds.credit,
                    window=service_pb2.Window(stride=shape.stride, hop=shape.hop),
                    model=model.name,
                    version=model.version,
                )
            )
            await self._work(requests)
            self._buffer.close()
            refusal = self._receiver.refusal
            if refusal is not None and not (self._buffer.windows or self._draining):
                raise refusal
            await self._sender.send(summary=self._summary())
        finally:
            self._buffer.close()
            self._report_metrics()

    async def _work(self, requests: AsyncIterator[service_pb2.ExplainStreamRequest]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._reader = group.create_task(self._receiver.read(requests))
                if self._draining:
                    self._reader.cancel()
                helpers = [group.create_task(self._give_credit()), group.create_task(self._watch())]
                group.create_task(self._receiver.decode())
                group.create_task(self._dispatch(group))
                await self._deliver()
                for helper in helpers:
                    helper.cancel()
        except BaseExceptionGroup as errors:
            raise _cause(errors) from None

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        buffer = self._buffer
        while True:
            await self._notifier.until(
                lambda: (
                    self._draining
                    or (buffer.pending > 0 and self._in_flight < self._ahead)
                    or not (self._receiver.decoding or buffer.pending)
                )
            )
            if self._draining or not buffer.pending:
                break
            slot = await self._scheduler.take(self.request.model.name)
            window = None if self._draining else buffer.next_window()
            if window is None:
                slot.end()
                break
            self._in_flight += 1
            plan = self._planner.plan(window.newest.content.request)
            slot.expect(plan.seconds)
            answering = group.create_task(self._answer(window, plan))
            answering.add_done_callback(slot.end)
            self._deliveries.put_nowait((window, plan, answering))
            self._notifier.notify()
        self._deliveries.put_nowait(None)

    async def _deliver(self) -> None:
        while (entry := await self._deliveries.get()) is not None:
            window, plan, task = entry
            outcome = await task
            if isinstance(outcome, ActionLensError):
                self._buffer.settle(window, answered=False)
                self._planner.unanswered(plan)
                self._note_failure(outcome)
            else:
                await self._send_answer(window, plan, *outcome)
            self._answered = time.perf_counter()
            self._in_flight -= 1
            self._report_metrics()
            self._notifier.notify()

    async def _answer(self, window: Window, plan: Plan) -> Outcome:
        arrived: float = window.newest.content.arrived
        with tracing.answering("window", plan.request.model.name, since=arrived, apart=True):
            return await answer_window(
                self._service,
                window,
                plan.request,
                since=self._receiver.first_time or 0.0,
                patient=not self._newest_only,
            )

    async def _send_answer(
        self, window: Window, plan: Plan, answer: answer_pb2.Answer, arrived: float, trace: str
    ) -> None:
        self._buffer.settle(window, answered=True)
        lag = timings.delivered(answer, arrived)
        self._planner.answered(plan, answer, lag)
        reasons = [answer.level_reason, plan.reason]
        if self._unanswered:
            many = f"{self._unanswered} window{'s' if self._unanswered > 1 else ''} before this one not answered"
            reasons.append(f"{many}: {self._last_failure}")
        answer.level_reason = "; ".join(filter(None, reasons))
        self._failed_since, self._unanswered = None, 0
        self._service.metrics.window_answered(record_answer(answer, trace), lag, plan.request.budget)
        await self._sender.send(
            window=service_pb2.WindowAnswer(
                window=window.ordinal,
                answer=answer,
                lag=lag,
                counts=service_pb2.FrameCounts(**asdict(self._buffer.counts)),
                skipped_windows=self._buffer.skipped,
            )
        )

    async def _give_credit(self) -> None:
        batch = max(1, self._bounds.credit // 4)
        while self._receiver.reading:
            await self._notifier.until(lambda: self._buffer.releasable >= batch or not self._receiver.reading)
            if self._receiver.reading:
                await self._sender.send(credit=service_pb2.StreamCredit(frames=self._buffer.release()))

    async def _watch(self) -> None:
        """End the stream when the client sends nothing although the service waits for it."""
        limit = self._bounds.idle_seconds
        while True:
            await asyncio.sleep(limit / 4)
            busy = self._in_flight or self._buffer.pending or self._buffer.undecoded
            active = max(self._receiver.heard, self._answered)
            if not busy and self._receiver.reading and time.perf_counter() - active > limit:
                raise DeadlineExceeded(
                    f"no frame came for {limit:g} s; open a new stream when there are frames", reason="STREAM_IDLE"
                )

    def _note_failure(self, error: ActionLensError) -> None:
        now = time.perf_counter()
        self._failed_since = self._failed_since or now
        self._unanswered += 1
        self._last_failure = error.message
        if now - self._failed_since > self._bounds.idle_seconds:
            raise error

    def _summary(self) -> service_pb2.StreamSummary:
        elapsed = duration_pb2.Duration()
        elapsed.FromNanoseconds(round((time.perf_counter() - self._started) * 1e9))
        return service_pb2.StreamSummary(
            counts=service_pb2.FrameCounts(**asdict(self._buffer.counts)),
            windows=self._buffer.windows,
            skipped_windows=self._buffer.skipped,
            elapsed=elapsed,
        )

    def _report_metrics(self) -> None:
        counts, skipped = self._buffer.counts, self._buffer.skipped
        self._service.metrics.frames_moved(
            self.request.model.name, self._reported, counts, skipped - self._reported_skipped
        )
        self._reported, self._reported_skipped = counts, skipped


def _cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the stream: a client's if there is one, else the first."""
    leaves = [_cause(error) if isinstance(error, BaseExceptionGroup) else error for error in errors.exceptions]
    return next((error for error in leaves if isinstance(error, ActionLensError)), leaves[0])
