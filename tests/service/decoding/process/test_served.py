"""A service that decodes in processes, and what a hostile picture and a lost process do to it."""

from __future__ import annotations

import os
import signal
import struct

import grpc
import pytest

from actionlens.v1 import clip_pb2
from service.decoding.png_chunks import SIGNATURE
from tests.service.backend import frames_seen
from tests.service.conftest import Serve, connect
from tests.service.decoding.process.test_decoder import gone
from tests.service.requests import clip_request, png, refusal
from tests.service.stream_client import StreamClient
from tests.waiting import eventually

HEADER = struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 8, 8, 8, 2, 0, 0, 0, 0x4B6D29DC)
LIE = SIGNATURE + HEADER + struct.pack(">I", 0x7FFFFFFF) + b"tEXt"


def pictures(*images: bytes) -> clip_pb2.Clip:
    return clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=images, fps=10))


async def test_a_hostile_picture_and_a_lost_process_harm_nobody_else(serve: Serve) -> None:
    async with (
        serve(decoder={"place": "process"}, decode_threads=1) as server,
        connect(server) as stub,
    ):
        clip = pictures(*(png(red) for red in (10, 20, 30, 40)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ExplainClip(clip_request(clip=pictures(LIE)))
        assert refusal(caught.value).reason == "PICTURE_BROKEN"
        for decoder in (server.explain.clip_decoder, server.explain.frame_decoder):
            for pid in decoder.pids:
                os.kill(pid, signal.SIGKILL)
                await eventually(lambda pid=pid: gone(pid))
        answer = (await stub.ExplainClip(clip_request(clip=clip))).answer
        assert frames_seen(answer.prediction) == [10, 20, 30, 40]
        client = await StreamClient.open(stub)
        await client.feed(range(6))
        await client.send(6, image=LIE)
        await eventually(lambda: bool(server.explain.frame_decoder.pids))
        (pid,) = server.explain.frame_decoder.pids
        os.kill(pid, signal.SIGKILL)
        await client.feed(range(7, 12))
        summary = await client.end()
        assert summary.counts.rejected == 1
        assert summary.counts.used == 11
        assert "actionlens_decoder_restarts_total 2.0" in server.metrics.text().decode()
        pids = [*server.explain.clip_decoder.pids, *server.explain.frame_decoder.pids]
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
