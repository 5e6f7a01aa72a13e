"""Receives a stream's frames: takes them from the client, checks and decodes them, and buffers them in order."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from actionlens.v1 import service_pb2
from service.concurrency.notifier import Notifier
from service.dataplane.resolved_request import ResolvedRequest, updated
from service.errors import InvalidArgument, ResourceExhausted
from service.streaming.frame_buffer import FrameBuffer, Overrun
from service.streaming.frame_decoder import EncodedFrame, FrameDecoder, check_frame


class FrameReceiver:
    """Two tasks, `read` and `decode`, that fill a buffer.

    request: the one that holds for the next frame. first_time: timestamp of the first frame. heard: when the client
    last sent something, seconds on time.perf_counter's clock. reading, decoding: whether the tasks go on. refusal: why
    the last refused frame was refused.
    """

    def __init__(
        self, request: ResolvedRequest, buffer: FrameBuffer, decoder: FrameDecoder, notifier: Notifier, credit: int
    ) -> None:
        """notifier: notified whenever the buffer changes. credit: frames that the client may have outstanding."""
        self.request = request
        self.first_time: float | None = None
        self.heard = time.perf_counter()
        self.reading = True
        self.decoding = True
        self.refusal: InvalidArgument | None = None
        self._buffer = buffer
        self._decoder = decoder
        self._notifier = notifier
        self._credit = credit
        self._refused = 0
        self._closed = False

    def close(self) -> None:
        """Stop decoding after the frame in work."""
        self._closed = True
        self._notifier.notify()

    async def read(self, requests: AsyncIterator[service_pb2.ExplainStreamRequest]) -> None:
        """Take messages until the client's last one. Raises InvalidArgument, FailedPrecondition, ResourceExhausted."""
        try:
            while True:
                await self._notifier.until(self._buffer.has_room)
                message = await anext(requests, None)
                self.heard = time.perf_counter()
                if message is None:
                    return
                match message.WhichOneof("message"):
                    case "frame":
                        self._receive(message.frame)
                    case "update":
                        self.request = updated(self.request, message.update)
                    case "end":
                        return
                    case "open":
                        raise InvalidArgument(
                            "open: the stream is open already; send `update`", field="open", reason="STREAM_OPEN"
                        )
                    case _:
                        raise InvalidArgument(
                            "message: is empty; set frame, update or end", field="message", reason="MESSAGE_UNSET"
                        )
        finally:
            self.reading = False
            self._notifier.notify()

    async def decode(self) -> None:
        """Decode until the last frame that was read. Raises InvalidArgument when the client sends nothing usable."""
        buffer = self._buffer
        while True:
            await self._notifier.until(
                lambda: buffer.can_take() or self._closed or not (self.reading or buffer.undecoded)
            )
            if self._closed or not buffer.can_take():
                break
            frame = buffer.take()
            self._notifier.notify()
            try:
                decoded = await self._decoder.decode(frame.content)
            except InvalidArgument as error:
                buffer.reject(frame)
                self._note_refusal(error)
            else:
                self._refused = 0
                if decoded.came_as != (decoded.width, decoded.height):
                    buffer.note_resized()
                buffer.push(frame, decoded)
            self._notifier.notify()
        if not self._closed:
            buffer.end()
        self.decoding = False
        self._notifier.notify()

    def _receive(self, frame: service_pb2.StreamFrame) -> None:
        check_frame(frame)
        try:
            accepted = self._buffer.receive(
                frame.sequence,
                frame.timestamp,
                EncodedFrame(frame, self.request),
                frame.ByteSize(),
                frame.clock_jumps,
            )
        except Overrun:
            raise ResourceExhausted(
                f"frame: {2 * self._credit} frames wait undecoded, twice the credit of {self._credit}; "
                "send no more frames than StreamOpened and StreamCredit allow",
                field="frame",
                reason="CREDIT_IGNORED",
            ) from None
        if accepted is not None and self.first_time is None:
            self.first_time = accepted.timestamp
        if accepted is None:
            self._note_refusal(
                InvalidArgument(
                    f"frame.sequence: {frame.sequence} does not rise; number the frames upwards",
                    field="frame.sequence",
                    reason="SEQUENCE_NOT_RISING",
                )
            )
        self._notifier.notify()

    def _note_refusal(self, error: InvalidArgument) -> None:
        """Count a rejected frame. A stream of nothing else ends with the reason."""
        self._refused += 1
        self.refusal = error
        if self._refused > self._credit:
            raise error
