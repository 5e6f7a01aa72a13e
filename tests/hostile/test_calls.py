"""Calls that no client would make: all of them are refused for what is wrong, and the service serves the next one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from actionlens.v1 import job_pb2, job_pb2_grpc, method_pb2, service_pb2
from service.server import Server
from tests.hostile.wire import EXPLAIN, JOBS, wide
from tests.service.conftest import Serve
from tests.service.requests import GRAD_CAM, clip_request, png, refusal
from tests.waiting import PATIENCE, eventually

SEED = 16
CALLS = 400
BROKEN = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED)
METHODS = [
    *(f"{EXPLAIN}{name}" for name in ("ExplainClip", "ExplainStream", "ListModels", "GetModel")),
    *(f"{JOBS}{name}" for name in ("CreateJob", "GetJob", "ListJobs", "ListJobClips", "WatchJob", "CancelJob")),
    *(f"{JOBS}{name}" for name in ("RetryJob", "DeleteJob", "DownloadResult", "PlanEvaluation")),
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]
VALID = [
    clip_request(GRAD_CAM).SerializeToString(),
    service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(methods=[GRAD_CAM])).SerializeToString(),
    service_pb2.ExplainStreamRequest(frame=service_pb2.StreamFrame(sequence=1, image=png(1))).SerializeToString(),
    job_pb2.CreateJobRequest(
        request_id="a",
        tenant="b",
        method=method_pb2.Method(occlusion=method_pb2.Occlusion(frames=1)),
        clips=[job_pb2.JobClip(name="c", path="d.mp4")],
    ).SerializeToString(),
    job_pb2.ListJobsRequest(page_size=3, page_token="abc", states=[1, 2]).SerializeToString(),
    health_pb2.HealthCheckRequest(service="x").SerializeToString(),
    b"",
]


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    """With jobs, and nobody who computes them."""
    async with serve(jobs={"workers": 0}, quotas={"first_seconds": 1}) as running:
        yield running


def strange(rng: random.Random) -> bytes:
    """A request of some call, damaged at random; or another one's; or noise."""
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(60))
    data = bytearray(rng.choice(VALID))
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[place:place] = rng.randbytes(rng.randrange(1, 9))
            case 1:
                del data[place : place + rng.randrange(1, 9)]
            case 2:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case _:
                del data[place:]
    return bytes(data)


async def made(channel: Any, path: str, requests: list[bytes]) -> grpc.StatusCode:
    """The status of a call that sends these bytes, and hears at most a few answers."""
    call = channel.stream_stream(path)(timeout=PATIENCE)
    try:
        for data in requests:
            await call.write(data)
        await call.done_writing()
        for _ in range(3):
            if await call.read() is grpc.aio.EOF:  # type: ignore[attr-defined]
                break
        else:
            call.cancel()
            return grpc.StatusCode.CANCELLED
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    except asyncio.CancelledError:
        if not call.done():
            raise
    code: grpc.StatusCode = await call.code()
    # So the client's library says, by itself, that the call was over while it wrote.
    return grpc.StatusCode.CANCELLED if await call.details() == "Internal error from Core" else code


async def test_fuzzed_calls_are_answered_or_refused(server: Server) -> None:
    rng = random.Random(SEED)
    seen: dict[grpc.StatusCode, int] = {}
    address = f"127.0.0.1:{server.port}"
    with capture_logs() as lines:
        async with grpc.aio.insecure_channel(address) as channel:
            for number in range(CALLS):
                path = METHODS[number % len(METHODS)]
                requests = [strange(rng) for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3)))]
                # A watch of health has no end of its own.
                if path.endswith("/Watch"):
                    requests = [b"\xff", *requests]
                code = await made(channel, path, requests)
                assert code not in BROKEN, (number, path, requests, code)
                seen[code] = seen.get(code, 0) + 1
            reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())  # type: ignore[no-untyped-call]
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
    assert seen[grpc.StatusCode.INVALID_ARGUMENT] > CALLS // 4, seen
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
    assert b'grpc_code="UNKNOWN"' not in server.metrics.text()


@pytest.mark.parametrize("path", METHODS)
async def test_what_is_no_protobuf_is_refused_counted_and_logged_once(server: Server, path: str) -> None:
    with capture_logs() as lines:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            call = channel.stream_stream(path)(timeout=PATIENCE)
            await call.write(b"\x0a\x7fcut off")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                _ = [answer async for answer in call]
    found = refusal(caught.value)
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_UNREADABLE")
    service, _, method = path.strip("/").rpartition("/")
    assert GetMessageClass(descriptor_pool.Default().FindServiceByName(service).methods_by_name[method].input_type)
    assert [line["method"] for line in lines] == [f"{service}/{method}"]
    counted = f'grpc_code="INVALID_ARGUMENT",grpc_method="{method}",grpc_service="{service}"'
    assert counted.encode() in server.metrics.text()


@pytest.mark.parametrize("path", [path for path in METHODS if "Stream" not in path and "Reflection" not in path])
async def test_a_call_without_a_request_is_refused(server: Server, path: str) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert await made(channel, path, []) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", wide(100))
async def test_what_is_wide_is_refused(server: Server, name: str) -> None:
    path, data = wide(2**25 - 2**17)[name]
    address = f"127.0.0.1:{server.port}"
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(path)(data, timeout=PATIENCE)
    assert refusal(caught.value).reason in ("TOO_MANY_ENTRIES", "TEXT_TOO_LONG")


async def test_streams_that_never_open_are_ended_and_take_nobodys_place(serve: Serve) -> None:
    async with serve(stream={"max_streams": 16}, quotas={"first_seconds": 0.5}) as server:
        address = f"127.0.0.1:{server.port}"
        own = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, own) as silent, grpc.aio.insecure_channel(address, own) as other:
            calls = [silent.stream_stream(f"{EXPLAIN}ExplainStream")(timeout=PATIENCE) for _ in range(8)]
            await asyncio.gather(*(call.wait_for_connection() for call in calls), return_exceptions=True)
            opened = other.stream_stream(f"{EXPLAIN}ExplainStream")(timeout=PATIENCE)
            await opened.write(service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen()).SerializeToString())
            assert service_pb2.ExplainStreamResponse.FromString(await opened.read()).opened.credit
            opened.cancel()
            for call in calls:
                assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_watches_of_one_client_keep_nobody_from_health(server: Server) -> None:
    address = f"127.0.0.1:{server.port}"
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options) as channel, grpc.aio.insecure_channel(address) as other:
        jobs: Any = job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]
        watches: list[Any] = [jobs.WatchJob(job_pb2.WatchJobRequest(id=f"{n}"), timeout=PATIENCE) for n in range(224)]
        health: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        watches += [health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE) for _ in range(224)]
        probe: Any = health_pb2_grpc.HealthStub(other)  # type: ignore[no-untyped-call]
        await probe.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        await eventually(lambda: sum(watch.done() for watch in watches) >= 224)
        for watch in watches:
            watch.cancel()
