"""The requests that CreateJob and its sisters refuse, with the status and the field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from actionlens.v1 import clip_pb2, job_pb2, job_pb2_grpc, method_pb2, model_pb2
from service.server import Server
from tests.service.backend import PixelBackend, describe
from tests.service.conftest import Serve
from tests.service.requests import raw_clip, refusal

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
OCCLUSION = method_pb2.Method(occlusion=method_pb2.Occlusion())


def model() -> model_pb2.Model:
    made = describe()
    occlusion = made.methods.add(method="occlusion", supported=True, job=True)
    occlusion.parameters.add(name="frames", type="number", minimum=1, maximum=64)
    occlusion.parameters.add(name="baseline", type="string", choices=("grey", "black"))
    made.methods.add(method="esv", supported=False, reason="it mixes frames", job=True)
    return made


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Any]:
    """A stub of the job service."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]


@pytest.fixture
async def jobs(serve: Serve, tmp_path: Path) -> AsyncIterator[Any]:
    root = tmp_path / "clips"
    (root / "set").mkdir(parents=True)
    (root / "set" / "a.mp4").write_bytes(b"whatever it is")
    (tmp_path / "secret.mp4").write_bytes(b"not yours")
    (root / "way out").symlink_to(tmp_path)
    (root / "inside.mp4").symlink_to(root / "set" / "a.mp4")
    (root / "set" / "out").symlink_to(root / "way out")
    settings = {"workers": 0, "input_root": root}
    async with serve(over=PixelBackend(model()), jobs=settings) as server, connected(server) as stub:
        yield stub


def uploaded(**fields: Any) -> job_pb2.JobClip:
    return job_pb2.JobClip(clip=raw_clip([0, 50]), **fields)


def request(method: method_pb2.Method | None = None, **fields: Any) -> job_pb2.CreateJobRequest:
    fields.setdefault("clips", [uploaded()])
    return job_pb2.CreateJobRequest(method=OCCLUSION if method is None else method, **fields)


def at(path: str) -> job_pb2.CreateJobRequest:
    return request(clips=[uploaded(), job_pb2.JobClip(path=path)])


def occlusion(**parameters: Any) -> method_pb2.Method:
    return method_pb2.Method(occlusion=method_pb2.Occlusion(**parameters))


BAD: dict[str, tuple[job_pb2.CreateJobRequest, grpc.StatusCode, str, str]] = {
    "unknown model": (request(model="nope"), NOT_FOUND, "model", "colours 1.0"),
    "unknown version": (request(version="7"), NOT_FOUND, "version", "1.0"),
    "no method": (request(method_pb2.Method()), INVALID, "method", "temporal_mask"),
    "a live method": (request(method_pb2.Method(grad_cam={})), PRECONDITION, "method.grad_cam", "ExplainClip"),
    "a method that cannot": (
        request(method_pb2.Method(esv={})),
        PRECONDITION,
        "method.esv",
        "it mixes frames; methods that can: occlusion",
    ),
    "an unknown method": (request(method_pb2.Method(deep_lift={})), PRECONDITION, "method.deep_lift", "occlusion"),
    "out of range": (request(occlusion(frames=65)), INVALID, "method.occlusion.frames", "at least 1 and at most 64"),
    "no such choice": (request(occlusion(baseline="red")), INVALID, "method.occlusion.baseline", "grey, black"),
    "unknown label": (
        request(target=method_pb2.Target(explained={"label": "gren"})),
        INVALID,
        "target.explained.label",
        "did you mean 'green'",
    ),
    "contrast with itself": (
        request(target=method_pb2.Target(explained={"index": 1}, contrast={"label": "green"})),
        INVALID,
        "target.contrast",
        "green",
    ),
    "another length": (
        request(sampling=clip_pb2.Sampling(uniform=clip_pb2.UniformSampling(count=9))),
        INVALID,
        "sampling.uniform.count",
        "exactly 4",
    ),
    "another number of segments": (
        request(sampling=clip_pb2.Sampling(segments=clip_pb2.SegmentSampling(count=9))),
        INVALID,
        "sampling.segments.count",
        "exactly 4",
    ),
    "no rate": (
        request(sampling=clip_pb2.Sampling(rate=clip_pb2.RateSampling())),
        INVALID,
        "sampling.rate.fps",
        "give frames per second",
    ),
    "too few indices": (
        request(sampling=clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[0, 1]))),
        INVALID,
        "sampling.indices.values",
        "exactly 4",
    ),
    "unknown priority": (request(priority=9), INVALID, "priority", "JOB_PRIORITY_HIGH"),  # type: ignore[arg-type]
    "a tenant with a null": (request(tenant="a\0b"), INVALID, "tenant", "null character"),
    "endless tenant": (request(tenant="t" * 300), INVALID, "tenant", "256"),
    "no clips": (request(clips=[]), INVALID, "clips", "at least one"),
    "too many clips": (request(clips=[job_pb2.JobClip(path="a")] * 10_001), INVALID, "clips", "several jobs"),
    "an empty clip": (request(clips=[uploaded(), job_pb2.JobClip(name="x")]), INVALID, "clips[1]", "no clip"),
    "a clip without a source": (
        request(clips=[job_pb2.JobClip(clip=clip_pb2.Clip())]),
        INVALID,
        "clips[0]",
        "no clip",
    ),
    "names twice": (
        request(clips=[uploaded(name="x"), uploaded(), uploaded(name="x")]),
        INVALID,
        "clips[2].name",
        "clips[0]",
    ),
    "a name with a path": (request(clips=[uploaded(name="../x")]), INVALID, "clips[0].name", "cannot name files"),
    "an absolute path": (at("/etc/passwd"), INVALID, "clips[1].path", "leaves the input root"),
    "a climbing path": (at("set/../../secret.mp4"), INVALID, "clips[1].path", "leaves the input root"),
    "a link that leads out": (at("way out/secret.mp4"), INVALID, "clips[1].path", "leaves the input root"),
    "a link out behind another": (at("./set/out/secret.mp4"), INVALID, "clips[1].path", "leaves the input root"),
    "the root itself": (at("."), INVALID, "clips[1].path", "names no file"),
    "an empty path": (at(""), INVALID, "clips[1].path", "names no file"),
    "a path with a null": (at("a\0b"), INVALID, "clips[1].path", "null character"),
}


async def refused(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal(caught.value)


@pytest.mark.parametrize("name", BAD)
async def test_bad_jobs_name_the_field_and_what_would_work(jobs: Any, name: str) -> None:
    sent, code, field, hint = BAD[name]
    found = await refused(jobs.CreateJob(sent))
    assert (found.code, found.field) == (code, field), found
    assert hint in found.message
    # Nothing of it was kept.
    assert not (await jobs.ListJobs(job_pb2.ListJobsRequest())).jobs


async def test_without_an_input_root_paths_are_refused_with_the_setting(serve: Serve) -> None:
    async with serve(over=PixelBackend(model()), jobs={"workers": 0}) as server, connected(server) as stub:
        found = await refused(stub.CreateJob(at("set/a.mp4")))
    assert (found.code, found.field) == (PRECONDITION, "clips[1].path")
    assert "ACTIONLENS_JOBS__INPUT_ROOT" in found.message


async def test_what_is_left_open_is_filled_in(jobs: Any) -> None:
    clips = [uploaded(), uploaded(name="a"), *(job_pb2.JobClip(path=path) for path in ("set/a.mp4", "inside.mp4"))]
    created = await jobs.CreateJob(request(clips=clips, target=method_pb2.Target(explained={"label": "green"})))
    job = created.job
    assert created.created
    assert (job.model, job.version, job.tenant) == ("colours", "1.0", "default")
    assert job.priority == job_pb2.JOB_PRIORITY_NORMAL
    assert job.target.explained.index == 1
    page = await jobs.ListJobClips(job_pb2.ListJobClipsRequest(id=job.id))
    assert [entry.name for entry in page.clips] == ["clip-0", "a", "a-2", "inside"]
    assert all(entry.state == job_pb2.CLIP_STATE_QUEUED for entry in page.clips)


async def test_a_request_id_is_one_job(jobs: Any) -> None:
    first = await jobs.CreateJob(request(request_id="once"))
    again = await jobs.CreateJob(request(request_id="once"))
    assert (first.created, again.created) == (True, False)
    assert again.job.id == first.job.id
    found = await refused(jobs.CreateJob(request(occlusion(frames=2), request_id="once")))
    assert (found.code, found.field) == (grpc.StatusCode.ALREADY_EXISTS, "request_id")
    other = await jobs.CreateJob(request(request_id="once", tenant="somebody else"))
    assert other.created
    assert len((await jobs.ListJobs(job_pb2.ListJobsRequest())).jobs) == 2


async def test_a_request_sent_again_is_the_same_job_whatever_is_served_by_now(serve: Serve, tmp_path: Path) -> None:
    backend, later = PixelBackend(model()), model()
    later.version, later.labels[:] = "2.0", ("green", "red", "blue light")
    (tmp_path / "a.mp4").write_bytes(b"whatever it is")
    sent = request(
        request_id="once",
        clips=[uploaded(), job_pb2.JobClip(path="a.mp4")],
        target=method_pb2.Target(explained={"label": "green"}),
    )
    named = request(request_id="named", model="colours", version="1.0")
    async with serve(over=backend, jobs={"workers": 0, "input_root": tmp_path}) as server, connected(server) as stub:
        first, old = await stub.CreateJob(sent), await stub.CreateJob(named)
        backend.served["colours"] = later
        assert await stub.CreateJob(sent) == job_pb2.CreateJobResponse(job=first.job)
        # Its version is no longer served, which a new job must learn.
        assert (await stub.CreateJob(named)).job == old.job
        named.request_id = "new"
        assert (await refused(stub.CreateJob(named))).field == "version"
        found = await refused(stub.CreateJob(request(request_id="once")))
    assert (found.code, found.field) == (grpc.StatusCode.ALREADY_EXISTS, "request_id")


async def test_jobs_are_listed_in_pages_and_filtered(jobs: Any) -> None:
    made = [(await jobs.CreateJob(request(tenant=f"t{n % 2}"))).job.id for n in range(5)]
    seen, token = [], ""
    while True:
        page = await jobs.ListJobs(job_pb2.ListJobsRequest(page_size=2, page_token=token))
        seen += [job.id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    mine = await jobs.ListJobs(job_pb2.ListJobsRequest(tenant="t1", method="occlusion", model="colours"))
    assert [job.id for job in mine.jobs] == [made[3], made[1]]
    await jobs.CancelJob(job_pb2.CancelJobRequest(id=made[0]))
    ended = await jobs.ListJobs(job_pb2.ListJobsRequest(states=[job_pb2.JOB_STATE_CANCELLED]))
    assert [job.id for job in ended.jobs] == [made[0]]


@pytest.mark.parametrize(
    ("call", "sent", "code", "field"),
    [
        ("GetJob", job_pb2.GetJobRequest(), INVALID, "id"),
        ("GetJob", job_pb2.GetJobRequest(id="nobody"), NOT_FOUND, "id"),
        ("CancelJob", job_pb2.CancelJobRequest(id="nobody"), NOT_FOUND, "id"),
        ("RetryJob", job_pb2.RetryJobRequest(id="nobody"), NOT_FOUND, "id"),
        ("DeleteJob", job_pb2.DeleteJobRequest(id="nobody"), NOT_FOUND, "id"),
        ("ListJobClips", job_pb2.ListJobClipsRequest(id="nobody"), NOT_FOUND, "id"),
        ("ListJobs", job_pb2.ListJobsRequest(method="esvv"), INVALID, "method"),
        ("ListJobs", job_pb2.ListJobsRequest(states=[0]), INVALID, "states[0]"),
        ("ListJobs", job_pb2.ListJobsRequest(page_token="%%"), INVALID, "page_token"),
        ("GetJob", job_pb2.GetJobRequest(id="a\0b"), INVALID, "id"),
    ],
)
async def test_other_bad_calls(jobs: Any, call: str, sent: Any, code: grpc.StatusCode, field: str) -> None:
    found = await refused(getattr(jobs, call)(sent))
    assert (found.code, found.field) == (code, field)


@pytest.mark.parametrize("token", ["x", "9" * 20, "9" * 5000])
async def test_page_tokens_that_no_page_gave(jobs: Any, token: str) -> None:
    job = (await jobs.CreateJob(request())).job.id
    found = await refused(jobs.ListJobClips(job_pb2.ListJobClipsRequest(id=job, page_token=token)))
    assert (found.code, found.field) == (INVALID, "page_token")


async def test_a_state_asked_for_again_and_again_is_one(jobs: Any) -> None:
    made = (await jobs.CreateJob(request())).job.id
    states = [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING] * 200_000
    found = await jobs.ListJobs(job_pb2.ListJobsRequest(states=states))
    assert [job.id for job in found.jobs] == [made]


async def test_results_asked_for_too_early_and_jobs_that_have_not_ended(jobs: Any) -> None:
    job = (await jobs.CreateJob(request())).job.id
    for sent, code, field in (
        (job_pb2.DownloadResultRequest(id=job), PRECONDITION, "clip"),
        (job_pb2.DownloadResultRequest(id=job, clip=1), NOT_FOUND, "clip"),
        (job_pb2.DownloadResultRequest(id="nobody"), NOT_FOUND, "id"),
        (job_pb2.DownloadResultRequest(id=job, format=99), INVALID, "format"),  # type: ignore[arg-type]
    ):
        found = await refused(jobs.DownloadResult(sent).read())
        assert (found.code, found.field) == (code, field)
    found = await refused(jobs.DeleteJob(job_pb2.DeleteJobRequest(id=job)))
    assert (found.code, found.field) == (PRECONDITION, "id")
    found = await refused(jobs.RetryJob(job_pb2.RetryJobRequest(id=job)))
    assert (found.code, found.field) == (PRECONDITION, "id")
    await jobs.CancelJob(job_pb2.CancelJobRequest(id=job))
    await jobs.DeleteJob(job_pb2.DeleteJobRequest(id=job))
    assert (await refused(jobs.GetJob(job_pb2.GetJobRequest(id=job)))).code is NOT_FOUND


async def test_a_service_that_stops_ends_its_watches_at_once_and_keeps_the_jobs(serve: Serve) -> None:
    options: dict[str, Any] = {"jobs": {"workers": 0}, "drain_seconds": 20}
    async with serve(over=PixelBackend(model()), **options) as server, connected(server) as stub:
        job = (await stub.CreateJob(request())).job
        watch = stub.WatchJob(job_pb2.WatchJobRequest(id=job.id))
        assert (await watch.read()).job.state == job_pb2.JOB_STATE_QUEUED
        stopping = asyncio.create_task(server.stop())
        found = await refused(asyncio.wait_for(watch.read(), 10))
        assert found.code is grpc.StatusCode.UNAVAILABLE
        assert "the job goes on" in found.message
        await stopping
    async with serve(over=PixelBackend(model()), **options) as again, connected(again) as stub:
        assert (await stub.GetJob(job_pb2.GetJobRequest(id=job.id))).job == job
