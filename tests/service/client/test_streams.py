from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from actionlens.v1 import service_pb2
from service import errors
from service.client import AsyncClient, Client, Frame
from tests.service.client.peer import INVALID_ARGUMENT, Peer, answer, rich_abort, wait_for_the_client_to_leave
from tests.waiting import PATIENCE, wait_until

Requests = Iterator[service_pb2.ExplainStreamRequest]
Responses = Iterator[service_pb2.ExplainStreamResponse]
Follow = Callable[..., tuple[list[Any], Any]]

IMAGE = np.zeros((8, 8, 3), np.uint8)


def opened(credit: int) -> service_pb2.ExplainStreamResponse:
    return service_pb2.ExplainStreamResponse(opened=service_pb2.StreamOpened(credit=credit))


def credit(frames: int) -> service_pb2.ExplainStreamResponse:
    return service_pb2.ExplainStreamResponse(credit=service_pb2.StreamCredit(frames=frames))


def window(number: int) -> service_pb2.ExplainStreamResponse:
    return service_pb2.ExplainStreamResponse(window=service_pb2.WindowAnswer(window=number, answer=answer(str(number))))


def summary(received: int) -> service_pb2.ExplainStreamResponse:
    counts = service_pb2.FrameCounts(received=received)
    return service_pb2.ExplainStreamResponse(summary=service_pb2.StreamSummary(counts=counts))


class Echo:
    """Answers every frame with a window of its number, giving one credit per frame."""

    def __init__(self, first_credit: int = 2) -> None:
        self.first_credit = first_credit
        self.seen: list[service_pb2.ExplainStreamRequest] = []

    def __call__(self, requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield opened(self.first_credit)
        frames = 0
        for request in requests:
            self.seen.append(request)
            match request.WhichOneof("message"):
                case "frame":
                    frames += 1
                    yield window(request.frame.sequence)
                    yield credit(1)
                case "end":
                    yield summary(frames)
                    return

    def kinds(self) -> list[str | None]:
        return [request.WhichOneof("message") for request in self.seen]


def test_frames_go_out_in_order_between_open_and_end(peer: Peer, windows: Follow) -> None:
    peer.stream = echo = Echo()
    found, stream = windows(
        [IMAGE] * 5, model="m", methods=["grad-cam"], stride=2, fill="drop-oldest", latency_budget=0.2
    )
    assert [entry.window for entry in found] == [0, 1, 2, 3, 4]
    assert [entry.prediction.top[0].label for entry in found] == ["0", "1", "2", "3", "4"]
    assert echo.kinds() == ["open", *["frame"] * 5, "end"]
    assert [request.frame.sequence for request in echo.seen[1:-1]] == [0, 1, 2, 3, 4]
    times = [request.frame.timestamp for request in echo.seen[1:-1]]
    assert times == sorted(times)
    first = echo.seen[0].open
    assert (first.model, first.window.stride, first.fill) == ("m", 2, service_pb2.FILL_POLICY_DROP_OLDEST)
    assert first.budget == service_pb2.Budget(latency_seconds=0.2)
    assert stream.summary.counts.received == 5
    assert stream.sent == 5


def test_a_client_waits_for_credit(peer: Peer, windows: Follow) -> None:
    arrived: list[int] = []
    at_rest: list[int] = []
    given = 0
    taken: list[bool] = []

    def sparing(requests: Requests, context: grpc.ServicerContext) -> Responses:
        nonlocal given
        reader = threading.Thread(target=lambda: arrived.extend(1 for _ in requests), daemon=True)
        reader.start()
        for more in (opened(3), credit(2), credit(1)):
            given += more.opened.credit + more.credit.frames
            yield more
            # The opening message, then frames as allowed.
            wait_until(lambda expected=1 + given: len(arrived) >= expected)
            at_rest.append(len(arrived))
        yield summary(0)

    def images() -> Iterator[Any]:
        for number in itertools.count(1):
            taken.append(number <= given)
            yield IMAGE

    peer.stream = sparing
    windows(images())
    assert at_rest == [4, 6, 7]
    assert taken == [True] * 6


def test_frames_keep_their_own_numbers_and_times(peer: Peer, windows: Follow) -> None:
    peer.stream = echo = Echo()
    windows([Frame(b"jpeg", 7, 1.5), Frame(b"more", 9, 1.75)])
    frames = [request.frame for request in echo.seen if request.HasField("frame")]
    assert [(frame.image, frame.sequence, frame.timestamp) for frame in frames] == [
        (b"jpeg", 7, 1.5),
        (b"more", 9, 1.75),
    ]


def test_raw_pixels_are_sent_as_they_are(peer: Peer, windows: Follow) -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    peer.stream = echo = Echo()
    windows([image], jpeg_quality=None, max_side=0, fps=25.0)
    raw = echo.seen[1].frame.raw
    np.testing.assert_array_equal(np.frombuffer(raw.data, np.uint8).reshape(raw.height, raw.width, 3), image)


def test_a_source_that_fails_ends_the_stream_with_its_own_error(peer: Peer, windows: Follow) -> None:
    peer.stream = Echo()

    def breaking() -> Iterator[Any]:
        yield IMAGE
        raise OSError("the camera was unplugged")

    with pytest.raises(OSError, match="unplugged"):
        windows(breaking())


def test_an_image_of_the_wrong_kind_is_named(peer: Peer, windows: Follow) -> None:
    peer.stream = Echo()
    with pytest.raises(errors.InvalidArgument, match="uint8") as caught:
        windows([np.zeros((4, 4), np.float32)])
    assert caught.value.field == "frame.picture"


def test_what_the_service_refuses_is_raised_and_not_tried_again(peer: Peer, windows: Follow) -> None:
    def refuse(requests: Requests, context: grpc.ServicerContext) -> Responses:
        next(requests)
        rich_abort(context, INVALID_ARGUMENT, "stride is too large", "open.window.stride", 0.0)
        yield opened(0)

    peer.stream = refuse
    with pytest.raises(errors.InvalidArgument, match="too large") as caught:
        windows(itertools.repeat(IMAGE))
    assert caught.value.field == "open.window.stride"

    def die(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield opened(100)
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    peer.stream = die
    peer.streams = 0
    # Whichever of the two ends first: many frames are on their way when the service leaves.
    for _ in range(20):
        with pytest.raises(errors.Unavailable):
            windows(itertools.repeat(IMAGE))
    assert peer.streams == 20


@pytest.mark.parametrize("given", [0, 100])
def test_a_service_that_falls_silent_is_given_up(peer: Peer, windows: Follow, given: int) -> None:
    """Without credit the client waits to send; with plenty it has sent all and waits for the end."""

    def hang(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield opened(given)
        wait_for_the_client_to_leave(context)

    peer.stream = hang
    start = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded, match=r"for 0\.4 s; the service hangs or is cut off"):
        windows([IMAGE] * 3, idle_timeout=0.4)
    assert time.monotonic() - start > 0.3


def test_updates_reach_the_service_between_frames(peer: Peer, client: Client) -> None:
    peer.stream = echo = Echo(first_credit=1)
    with client.explain_stream([IMAGE] * 4) as stream:
        next(stream)
        stream.update(target=3, methods=[], overhead_budget=0.0, insertion_deletion_gap=False)
        list(stream)
    updates = [request.update for request in echo.seen if request.HasField("update")]
    assert len(updates) == 1
    assert updates[0].target.explained.index == 3
    assert updates[0].clear_methods
    assert updates[0].budget.HasField("overhead_share")
    assert not updates[0].budget.HasField("latency_seconds")
    assert updates[0].HasField("insertion_deletion_gap")
    assert not updates[0].insertion_deletion_gap


def test_end_stops_an_endless_source_and_brings_the_summary(peer: Peer, client: Client) -> None:
    peer.stream = echo = Echo()
    with client.explain_stream(itertools.repeat(IMAGE)) as stream:
        next(stream)
        stream.end()
        rest = list(stream)
    assert stream.summary is not None
    assert stream.summary.counts.received == 1 + len(rest)
    assert echo.kinds()[-1] == "end"


def test_leaving_early_ends_the_call_and_the_sender(peer: Peer, client: Client) -> None:
    ended = threading.Event()
    senders: list[threading.Thread] = []

    def endless(requests: Requests, context: grpc.ServicerContext) -> Responses:
        context.add_callback(ended.set)
        next(requests)
        yield opened(2)
        for number in itertools.count():
            yield window(number)
            next(requests)
            yield credit(1)

    def images() -> Iterator[Any]:
        while True:
            senders.append(threading.current_thread())
            yield IMAGE

    peer.stream = endless
    with client.explain_stream(images()) as stream:
        for _ in range(3):
            next(stream)
    assert ended.wait(PATIENCE)
    (sender,) = set(senders)
    sender.join(PATIENCE)
    assert not sender.is_alive()


def test_closing_from_another_thread_ends_the_iteration(peer: Peer, client: Client) -> None:
    peer.stream = Echo()
    closing = threading.Thread()
    with client.explain_stream(itertools.repeat(IMAGE)) as stream:
        for number, _ in enumerate(stream):
            if number == 3:
                closing = threading.Thread(target=stream.close)
                closing.start()
    closing.join(PATIENCE)
    assert stream.summary is None


async def test_closing_from_another_task_ends_the_iteration(peer: Peer, address: str) -> None:
    peer.stream = Echo()
    async with AsyncClient(address) as client, client.explain_stream(itertools.repeat(IMAGE)) as stream:
        seen = 0
        async for _ in stream:
            seen += 1
            if seen == 3:
                closing = asyncio.create_task(stream.close())
        await closing
    assert stream.summary is None
    assert seen >= 3


async def test_a_closed_stream_has_no_more_windows(peer: Peer, address: str) -> None:
    async with AsyncClient(address) as client, client.explain_stream(itertools.repeat(IMAGE)) as stream:
        async for _ in stream:
            await stream.close()
        assert [window async for window in stream] == []


async def test_an_asynchronous_source(peer: Peer, address: str) -> None:
    peer.stream = Echo()

    async def frames() -> AsyncIterator[Frame]:
        for number in range(5):
            await asyncio.sleep(0)
            yield Frame(b"jpeg", 10 * number, float(number))

    async with AsyncClient(address) as client, client.explain_stream(frames()) as stream:
        assert [window.window async for window in stream] == [0, 10, 20, 30, 40]
    assert stream.summary is not None
    assert stream.summary.counts.received == 5


@pytest.mark.parametrize("frames_allowed", [1, 2], ids=["before it is asked again", "while it is asked"])
async def test_leaving_closes_an_asynchronous_source(peer: Peer, address: str, frames_allowed: int) -> None:
    def script(requests: Requests, _context: grpc.ServicerContext) -> Responses:
        yield opened(frames_allowed)
        for request in requests:
            if request.HasField("frame"):
                yield window(request.frame.sequence)

    peer.stream = script
    asked_again, released = asyncio.Event(), asyncio.Event()

    async def frames() -> AsyncIterator[Frame]:
        try:
            yield Frame(b"jpeg", 0, 0.0)
            asked_again.set()
            await asyncio.Event().wait()
        finally:
            released.set()

    async with AsyncClient(address) as client, client.explain_stream(frames()) as stream:
        async for _ in stream:
            if frames_allowed == 2:
                await asyncio.wait_for(asked_again.wait(), PATIENCE)
            break
        assert not released.is_set()
    assert released.is_set()
    assert asked_again.is_set() == (frames_allowed == 2)


class _Camera(Iterator[Frame]):
    """A source whose second frame is there when the test says so."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.number = 0

    def __next__(self) -> Frame:
        self.number += 1
        if self.number > 2:
            raise StopIteration
        return Frame(IMAGE, self.number, float(self.number))

    def wait(self, seconds: float | None) -> bool:
        return self.number != 1 or self.ready.wait(seconds)


def test_a_source_that_stays_away_does_not_look_like_a_client_that_left(
    peer: Peer, windows: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.streams.ALIVE_SECONDS", 0.02)
    peer.stream = echo = Echo()
    camera = _Camera()
    signs = []

    class Waiting(list[Any]):
        """Lets the camera go on after three signs of life."""

        def append(self, request: Any) -> None:
            super().append(request)
            if request.WhichOneof("message") == "update":
                signs.append(request.update)
            if len(signs) >= 3:
                camera.ready.set()

    echo.seen = Waiting()
    found, _ = windows(camera)
    assert [window.window for window in found] == [1, 2]
    assert len(signs) >= 3
    assert all(sign == service_pb2.StreamUpdate() for sign in signs)


def test_the_windows_that_are_due_come_before_the_error_of_a_source_that_broke_off(peer: Peer, client: Client) -> None:
    def camera() -> Iterator[Frame]:
        yield Frame(IMAGE, 0, 0.0)
        yield Frame(IMAGE, 1, 0.1)
        raise errors.Unavailable("source: the camera is gone", field="source", reason="SOURCE_FAILED")

    peer.stream = Echo()
    with client.explain_stream(camera()) as stream:
        assert [next(stream).window, next(stream).window] == [0, 1]
        with pytest.raises(errors.Unavailable, match="the camera is gone"):
            next(stream)
    assert stream.summary is not None
