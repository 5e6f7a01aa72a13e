"""ExplainStream over a real channel."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from actionlens.v1 import service_pb2
from service.streaming.frame_buffer import FrameBuffer
from tests.service.backend import PixelBackend, frames_seen
from tests.service.conftest import Serve, connect
from tests.service.requests import GRAD_CAM, refusal
from tests.service.stream_client import BLOCK, DROP, EVERY, NEWEST, WINDOW, StreamClient, exact, raw
from tests.waiting import PATIENCE, eventually


def note_frames(monkeypatch: pytest.MonkeyPatch, step: str, note: Callable[[FrameBuffer], None]) -> None:
    """Call `note` after this step, a method of the buffer, of every frame."""
    take = getattr(FrameBuffer, step)

    def noted(self: FrameBuffer, *given: Any) -> Any:
        result = take(self, *given)
        note(self)
        return result

    monkeypatch.setattr(FrameBuffer, step, noted)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[FrameBuffer]:
    """A buffer for every frame that has come into it decoded."""
    buffers: list[FrameBuffer] = []
    note_frames(monkeypatch, "push", buffers.append)
    return buffers


async def test_a_file_gets_every_window_in_order(stub: Any) -> None:
    client = await StreamClient.open(stub, GRAD_CAM)
    assert (client.opened.model, client.opened.version, client.opened.window.stride) == ("colours", "1.0", 1)
    for number in range(100):
        await client.send(number)
    summary = await client.end()
    assert [frames_seen(window.answer.prediction) for window in client.windows] == [
        list(range(last - WINDOW + 1, last + 1)) for last in range(WINDOW - 1, 100)
    ]
    assert [window.window for window in client.windows] == list(range(97))
    assert [list(window.answer.frames.used) for window in client.windows[:1]] == [[0, 1, 2, 3]]
    assert all(exact(window.counts) for window in client.windows)
    assert all(window.answer.explanations[0].reading for window in client.windows)
    counts = summary.counts
    assert (counts.received, counts.used, counts.waiting, counts.missing) == (100, 100, 0, 0)
    assert (summary.windows, summary.skipped_windows) == (97, 0)
    assert summary.elapsed.ToNanoseconds() > 0


async def test_windows_that_overlap_decode_and_fit_each_frame_once(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.decoding import image as picture

    done = {"decode_image": 0, "fit": 0}

    def counted(name: str) -> Any:
        made = getattr(picture, name)

        def call(*given: Any) -> Any:
            done[name] += 1
            return made(*given)

        return call

    for name in done:
        monkeypatch.setattr(picture, name, counted(name))
    client = await StreamClient.open(stub)
    for number in range(30):
        await client.send(number)
    summary = await client.end()
    assert summary.windows == 30 - WINDOW + 1
    assert done == {"decode_image": 30, "fit": 30}


async def test_stride_and_hop(stub: Any) -> None:
    client = await StreamClient.open(stub, window=service_pb2.Window(stride=2, hop=5))
    for number in range(30):
        await client.send(number)
    await client.end()
    assert [list(window.answer.frames.used) for window in client.windows] == [
        [end - 6, end - 4, end - 2, end] for end in (6, 11, 16, 21, 26)
    ]
    assert client.windows[0].answer.frames.effective_fps == pytest.approx(12.5)
    assert list(client.windows[0].answer.frames.timestamps) == pytest.approx([0, 0.08, 0.16, 0.24])


async def test_a_short_file_still_gets_one_answer(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in (10, 20):
        await client.send(number)
    summary = await client.end()
    assert [list(window.answer.frames.used) for window in client.windows] == [[10, 10, 20, 20]]
    assert (summary.windows, summary.counts.used, summary.counts.missing) == (1, 2, 9)


async def test_closing_without_end_is_an_end(stub: Any) -> None:
    client = await StreamClient.open(stub)
    for number in range(5):
        await client.send(number)
    await client.call.done_writing()
    assert (await client.finish()).windows == 2


async def test_an_empty_stream_gets_its_summary(stub: Any) -> None:
    client = await StreamClient.open(stub)
    summary = await client.end()
    assert (summary.windows, summary.counts.received) == (0, 0)


def newest(client: StreamClient) -> list[int]:
    """The last frame of each window that was answered."""
    return [window.answer.frames.used[-1] for window in client.windows]


async def test_a_camera_gets_the_newest_window_and_every_drop_is_counted(
    backend: PixelBackend, stub: Any, decoded: list[FrameBuffer]
) -> None:
    client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
    expected = []
    for first in range(0, 80, 8):
        backend.open.clear()
        # A window comes due when four frames are there, and then with every frame.
        at_work = max(first, WINDOW - 1)
        await client.feed(range(first, at_work + 1))
        await eventually(lambda: backend.busy == 1)
        await client.feed(range(at_work + 1, first + 8))
        await eventually(lambda count=first + 8: len(decoded) == count)
        backend.open.set()
        expected += [at_work, first + 7]
        await eventually(lambda last=first + 7: newest(client)[-1:] == [last])
    summary = await client.end()
    assert backend.most_busy == 1
    assert all(exact(window.counts) for window in client.windows)
    # Never late: the answer after the one that was at work is about the frame that came last.
    assert newest(client) == expected
    assert summary.skipped_windows == summary.windows - len(client.windows)
    assert client.windows[-1].skipped_windows == summary.skipped_windows
    counts = summary.counts
    assert exact(counts)
    assert counts.waiting == 0
    assert counts.received == 80
    assert counts.used == len({frame for window in client.windows for frame in window.answer.frames.used})


async def test_frames_that_wait_undecoded_are_dropped_oldest_first(
    serve: Serve, backend: PixelBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.decoding import image as picture

    decode, all_there, received = picture.decode_image, threading.Event(), 0

    def slow(image: bytes, *rest: Any) -> Any:
        all_there.wait(PATIENCE)
        return decode(image, *rest)

    def note(*_: Any) -> None:
        nonlocal received
        received += 1

    monkeypatch.setattr(picture, "decode_image", slow)
    note_frames(monkeypatch, "receive", note)
    async with serve(stream={"credit": 3}) as server, connect(server) as stub:
        client = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
        for number in range(60):
            await client.push(number)
        await eventually(lambda: received == 60)
        all_there.set()
        summary = await client.end()
    # One was being decoded, three could wait.
    assert summary.counts.dropped_full == 60 - 4
    assert exact(summary.counts)
    assert client.windows[-1].answer.frames.used[-1] == 59
    # The frames left are far apart; the window's time base says so by the frames that it repeats.
    assert client.windows[-1].answer.frames.effective_fps > 0


async def test_a_client_that_ignores_its_credit_is_sent_away(
    serve: Serve, backend: PixelBackend, decoded: list[FrameBuffer]
) -> None:
    backend.open.set()
    async with serve(stream={"credit": 4}) as server, connect(server) as stub:
        backend.open.clear()
        client = await StreamClient.open(stub)
        # Nine frames become the four windows in flight and the two that wait; twice the credit may wait undecoded.
        for number in range(9):
            await client.push(number)
        await eventually(lambda: backend.busy == 4 and len(decoded) == 9)
        for number in range(9, 9 + 2 * 4 + 1):
            await client.push(number)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.finish()
        found = refusal(caught.value)
        assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CREDIT_IGNORED")
        backend.open.set()
        await eventually(lambda: backend.busy == 0)


async def test_a_client_that_keeps_its_credit_never_waits_in_vain(serve: Serve, backend: PixelBackend) -> None:
    async with serve(stream={"credit": 1}) as server, connect(server) as stub:
        client = await StreamClient.open(stub)
        assert client.opened.credit == 1
        for number in range(40):
            await client.send(number)
        assert (await client.end()).windows == 37


async def test_large_frames_stop_the_reading_and_nothing_is_lost(
    serve: Serve, backend: PixelBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []
    note_frames(monkeypatch, "receive", lambda buffer: waiting.append(buffer.undecoded))
    async with serve(stream={"buffer_bytes": 600_000}) as server, connect(server) as stub:
        backend.open.clear()
        client = await StreamClient.open(stub)
        # 270 kB each: nine are decoded into windows in flight and waiting; the third undecoded one fills the room.
        sending = asyncio.ensure_future(client.feed(range(20), raw=raw(7, 300)))
        await eventually(lambda: backend.busy == 4)
        await eventually(lambda: waiting[-1] == 3)
        backend.open.set()
        await sending
        summary = await client.end()
        assert (summary.windows, summary.counts.used) == (17, 20)
    assert max(waiting) == 3


async def test_batches_can_form_from_one_file(backend: PixelBackend, stub: Any) -> None:
    backend.open.clear()
    client = await StreamClient.open(stub)
    await client.feed(range(30))
    await eventually(lambda: backend.busy == 4)
    backend.open.set()
    assert (await client.end()).windows == 30 - WINDOW + 1
    assert backend.most_busy == 4


async def test_windows_of_many_streams_do_not_mix(stub: Any) -> None:
    async def run(base: int) -> None:
        client = await StreamClient.open(stub, consume=EVERY, fill=BLOCK)
        for number in range(base, base + 20):
            await client.send(number)
        await client.end()
        seen = Counter(tuple(frames_seen(window.answer.prediction)) for window in client.windows)
        assert seen == Counter(tuple(range(base + k, base + k + WINDOW)) for k in range(17))

    await asyncio.gather(*(run(30 * k) for k in range(6)))
