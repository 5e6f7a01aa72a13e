"""Runs a stream from blocking code: frames go out as credit allows, windows come back."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, Unpack, runtime_checkable

import grpc

from actionlens.v1 import service_pb2, service_pb2_grpc
from service.client.channel import bearer
from service.client.errors import from_rpc
from service.client.results import WindowResult
from service.client.stream_messages import (
    END,
    FrameLike,
    StreamOptions,
    StreamQuestionOptions,
    frame_encoder,
    open_message,
    update_message,
)
from service.errors import ActionLensError, DeadlineExceeded
from service.telemetry.spans import outgoing

IDLE_TIMEOUT = 60.0
ALIVE_SECONDS = 15.0
"""While a PatientSource has no frame, the service hears so often that there is a client: it closes streams without."""
_ALIVE = service_pb2.ExplainStreamRequest(update=service_pb2.StreamUpdate())


@runtime_checkable
class PatientSource(Protocol):
    """Frames that may stay away for long: a camera that is opened again and again."""

    def __next__(self) -> FrameLike: ...

    def wait(self, seconds: float | None) -> bool:
        """Wait so long until the next frame, or the end, can be had. Returns whether it can."""


class ExplainedStream(Iterator[WindowResult]):
    """Iterate over it for the windows; afterwards `summary` has the totals. A context manager: leaving ends the call.

    gRPC reads the frames on a thread of its own, so a source may block; a frame is taken from it when there is credit
    to send it, and when no more are wanted a generator is closed, on that thread. Raises the service's error, the frame
    source's own (one about the field "source" after the windows that are due and the summary), and DeadlineExceeded
    when the service stays silent for `idle_timeout` seconds while it owes credit or an answer.
    """

    def __init__(
        self,
        stub: service_pb2_grpc.ExplanationServiceStub,
        frames: Iterable[FrameLike],
        options: StreamOptions,
        address: str,
        token: str,
    ) -> None:
        self.opened: service_pb2.StreamOpened | None = None
        self.summary: service_pb2.StreamSummary | None = None
        self.sent = 0
        self._open = open_message(options)
        self._encode = frame_encoder(options)
        self._idle = options.get("idle_timeout", IDLE_TIMEOUT)
        self._address = address
        self._frames = frames
        self._updates: deque[service_pb2.ExplainStreamRequest] = deque()
        self._changed = threading.Condition()
        self._credit = 0
        self._heard = time.monotonic()
        self._ending = self._over = False
        self._failure: BaseException | None = None
        # The send thread starts with the call and may fail before `_call` is set.
        with self._changed:
            self._call: Any = stub.ExplainStream(self._requests(), metadata=(*(outgoing() or ()), *bearer(token)))

    def __next__(self) -> WindowResult:
        try:
            for response in self._call:
                window = self._take(response)
                if window is not None:
                    return window
        except grpc.RpcError as error:
            if self._over and self._failure is None:
                # Closed from this side: that is an end, not an error.
                raise StopIteration from None
            self._finish()
            raise self._failure or from_rpc(error, self._address) from None
        except BaseException:
            self.close()
            raise
        self._finish()
        if self._failure is not None:
            raise self._failure
        raise StopIteration

    def update(self, **options: Unpack[StreamQuestionOptions]) -> None:
        """Change target, contrast, methods, budget or whether the gap is measured for the following windows."""
        message = update_message(options)
        with self._changed:
            self._updates.append(message)
            self._changed.notify_all()

    def end(self) -> None:
        """Take no more frames; the windows that are due and the summary still come."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def close(self) -> None:
        """Drop the stream at once. Safe to call twice."""
        self._finish()
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, response: service_pb2.ExplainStreamResponse) -> WindowResult | None:
        kind = response.WhichOneof("message")
        with self._changed:
            self._heard = time.monotonic()
            if kind == "opened":
                self.opened = response.opened
                self._credit += response.opened.credit
            elif kind == "credit":
                self._credit += response.credit.frames
            elif kind == "summary":
                self.summary = response.summary
            self._changed.notify_all()
        return WindowResult.of(response.window) if kind == "window" else None

    def _finish(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _requests(self) -> Iterator[service_pb2.ExplainStreamRequest]:
        """Messages for gRPC to send. An error cannot leave here: it is kept for the reader and the call cancelled."""
        try:
            yield self._open
            try:
                source = iter(self._frames)
                while self._wait_for_credit():
                    while self._updates:
                        yield self._updates.popleft()
                    while isinstance(source, PatientSource) and not source.wait(ALIVE_SECONDS):
                        yield self._updates.popleft() if self._updates else _ALIVE
                    frame = next(source, None)
                    if frame is None or self._ending or self._over:
                        break
                    message = self._encode(frame)
                    with self._changed:
                        self._credit -= 1
                        self.sent += 1
                    yield message
            except ActionLensError as error:
                if error.field != "source":
                    raise
                # The source broke off: that is no reason to lose the windows that are due.
                with self._changed:
                    self._failure = error
            finally:
                if isinstance(self._frames, Generator):
                    self._frames.close()
            yield END
            self._wait_for_the_end()
        except GeneratorExit:
            raise
        except BaseException as error:
            with self._changed:
                if not self._over:
                    self._failure = error
                    self._call.cancel()

    def _wait_for_credit(self) -> bool:
        """Wait until a frame may be sent; False when no more frames are wanted."""
        with self._changed:
            self._wait(lambda: self._credit > 0 or self._ending, "no credit for more frames")
            return not (self._ending or self._over)

    def _wait_for_the_end(self) -> None:
        with self._changed:
            self._wait(lambda: False, "no answer to the last frames")

    def _wait(self, ready: Any, owed: str) -> None:
        start = time.monotonic()
        while not (self._over or ready()):
            left = max(start, self._heard) + self._idle - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(f"{self._address}: {owed} for {self._idle:g} s; the service hangs or is cut off")
            self._changed.wait(left)
