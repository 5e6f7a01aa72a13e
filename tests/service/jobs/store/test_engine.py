"""The promises to clients of jobs, over SQLite with a real worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from actionlens.tensors import to_array
from actionlens.v1 import clip_pb2, explanation_pb2, job_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.wire.requests import answer
from service.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.retention import sweep, tidy
from service.settings import Settings
from tests.service.backends.requests import TINY
from tests.service.jobs.workers import Worker, begun, clip, ended, job_settings, request

pytestmark = pytest.mark.timeout(300)

SAMPLE = Path(__file__).resolve().parents[4] / "model_store/motion-primitives/sample.mp4"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Settings:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "inputs").mkdir()
    return job_settings(folder, store, input_root=folder / "inputs", max_queued=500)


@pytest.fixture(scope="module")
def _worker(shared: Settings) -> Iterator[None]:
    worker = Worker(shared, shared.data / "worker.log")
    yield
    assert worker.stop() == 0


@pytest.fixture
async def idle(shared: Settings) -> AsyncIterator[DatabaseJobEngine]:
    """Without a worker of its own."""
    engine = DatabaseJobEngine(shared)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def engine(idle: DatabaseJobEngine, _worker: None) -> DatabaseJobEngine:
    """With one."""
    return idle


async def test_a_request_id_makes_one_job_however_often_it_comes(idle: DatabaseJobEngine) -> None:
    sent = request(2, request_id="once", tenant="same")
    sent.ClearField("seed")
    copies = [job_pb2.CreateJobRequest.FromString(sent.SerializeToString()) for _ in range(6)]
    made = await asyncio.gather(*(idle.create(copy) for copy in copies))
    assert len({job.id for job, _ in made}) == 1
    assert [new for _, new in made].count(True) == 1
    again, new = await idle.create(request(2, request_id="once", tenant="other"))
    assert new
    assert again.id != made[0][0].id
    with pytest.raises(AlreadyExists, match=made[0][0].id) as caught:
        await idle.create(request(3, request_id="once", tenant="same"))
    assert caught.value.field == "request_id"
    for job in (made[0][0], again):
        assert (await idle.cancel(job.id)).state == job_pb2.JOB_STATE_CANCELLED
        await idle.delete(job.id)


def in_one_go(settings: Settings, sent: job_pb2.CreateJobRequest) -> explanation_pb2.Explanation:
    """The method on a job's only clip, in this process and in a single block."""
    pixels = sent.clips[0].clip.raw
    compute = worker_pb2.Compute(
        clip=pixels.data, frames=pixels.count, height=pixels.height, width=pixels.width, methods=[sent.method]
    )
    block = worker_pb2.Advance(compute=compute, budget_seconds=3600, seed=sent.seed, result=True)
    engine = Engine.load(settings.model_store / TINY)
    (response,) = answer(engine, [worker_pb2.ComputeRequest(advance=block)])
    assert response.advanced.done
    return response.explanations[0]


async def test_the_answer_is_the_method_run_in_one_go(engine: DatabaseJobEngine, shared: Settings) -> None:
    job, _ = await engine.create(request(1, first=3))
    assert (await ended(engine, job.id)).clips.succeeded == 1
    found = await engine.result(job.id, 0)
    (explanation,) = found.explanations
    assert explanation.method == "integrated-gradients"
    assert explanation.provenance.seed == 1
    assert explanation.provenance.weights_digest
    assert explanation.reading
    whole = in_one_go(shared, request(1, first=3))
    assert to_array(explanation.saliency.values) == pytest.approx(to_array(whole.saliency.values), abs=1e-6)
    (status,) = (await engine.clips(job_pb2.ListJobClipsRequest(id=job.id))).clips
    assert status.progress.iteration == status.progress.iterations == 8
    assert status.result_bytes == len(found.SerializeToString())
    assert await engine.source(job.id, 0) == clip(3)


async def test_an_unreadable_clip_fails_alone_and_can_be_retried(engine: DatabaseJobEngine, shared: Settings) -> None:
    sent = request(2)
    sent.clips.add(name="broken", clip=clip_pb2.Clip(video=b"no video"))
    sent.clips.add(name="missing", path="not/there.mp4")
    job, _ = await engine.create(sent)
    found = await ended(engine, job.id)
    assert found.state == job_pb2.JOB_STATE_PARTIAL
    assert (found.clips.succeeded, found.clips.failed) == (2, 2)
    broken, missing = (
        await engine.clips(job_pb2.ListJobClipsRequest(id=job.id, states=[job_pb2.CLIP_STATE_FAILED]))
    ).clips
    assert (broken.index, broken.failure.field) == (2, "clip.video")
    assert (missing.index, missing.failure.field) == (3, "clips[3].path")
    with pytest.raises(FailedPrecondition, match="failed: ") as caught:
        await engine.result(job.id, 2)
    assert caught.value.reason == "CLIP_FAILED"
    kept = await engine.result(job.id, 0)
    (shared.data / "inputs" / "not").mkdir()
    (shared.data / "inputs/not/there.mp4").write_bytes(SAMPLE.read_bytes())
    again = await engine.retry(job.id)
    assert again.clips.queued + again.clips.running == 2
    found = await ended(engine, job.id)
    assert (found.clips.succeeded, found.clips.failed) == (3, 1)
    assert await engine.result(job.id, 0) == kept


async def test_cancelling_ends_what_runs_and_keeps_what_is_done(engine: DatabaseJobEngine) -> None:
    job, _ = await engine.create(request(30, steps=25))
    await begun(engine, job.id)
    cancelled = await engine.cancel(job.id)
    assert cancelled.cancelling
    assert cancelled.clips.queued == 0
    found = await ended(engine, job.id)
    assert found.state == job_pb2.JOB_STATE_CANCELLED
    assert found.clips.cancelled + found.clips.succeeded == 30
    assert not found.cancelling
    assert (await engine.cancel(job.id)).state == job_pb2.JOB_STATE_CANCELLED
    with pytest.raises(FailedPrecondition, match="it is cancelled"):
        await engine.result(job.id, 29)


async def test_a_large_job_does_not_hold_up_a_small_one(engine: DatabaseJobEngine) -> None:
    large, _ = await engine.create(request(200))
    await begun(engine, large.id)
    small, _ = await engine.create(request(1, first=300))
    before = (await engine.get(large.id)).clips.succeeded
    await ended(engine, small.id)
    after = (await engine.get(large.id)).clips.succeeded
    await engine.cancel(large.id)
    assert after - before < 20


async def test_a_tenant_with_long_clips_does_not_hold_up_another(engine: DatabaseJobEngine) -> None:
    long, _ = await engine.create(request(4, steps=500, tenant="greedy"))
    await begun(engine, long.id)
    short, _ = await engine.create(request(1, first=300, tenant="modest"))
    await ended(engine, short.id)
    found = await engine.get(long.id)
    await engine.cancel(long.id)
    assert (found.clips.succeeded, found.clips.running) == (0, 2)
    await ended(engine, long.id)


async def test_watching_shows_every_stage_and_partial_results(engine: DatabaseJobEngine) -> None:
    """Of a job that lasts on any machine until enough has been seen."""
    job, _ = await engine.create(request(100, steps=1000))
    iterations: dict[int, list[int]] = {}
    partials: list[explanation_pb2.Explanation] = []
    async for update in engine.watch(job_pb2.WatchJobRequest(id=job.id, partial_results=True)):
        for running in update.running:
            iterations.setdefault(running.index, []).append(running.progress.iteration)
        partials += [update.partial] if update.HasField("partial") else []
        if sum(len(set(seen)) for seen in iterations.values()) > 2 and partials:
            await engine.cancel(job.id)
    assert all(seen == sorted(seen) for seen in iterations.values())
    assert {partial.method for partial in partials} == {"integrated-gradients"}
    assert (await engine.get(job.id)).state == job_pb2.JOB_STATE_CANCELLED
    whole, _ = await engine.create(request(1, steps=2))
    *_, last = [update async for update in engine.watch(job_pb2.WatchJobRequest(id=whole.id, partial_results=True))]
    assert last.job.state == job_pb2.JOB_STATE_SUCCEEDED
    final = (await engine.result(whole.id, 0)).explanations[0]
    assert to_array(partials[0].saliency.values).shape == to_array(final.saliency.values).shape


async def test_lists_come_in_pages_newest_first(idle: DatabaseJobEngine) -> None:
    made = [(await idle.create(request(1, tenant="pages")))[0].id for _ in range(5)]
    listed, token = [], ""
    while True:
        page = await idle.list(job_pb2.ListJobsRequest(page_size=2, page_token=token, tenant="pages"))
        listed += [job.id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert listed == made[::-1]
    none = await idle.list(job_pb2.ListJobsRequest(tenant="pages", method="occlusion"))
    assert not none.jobs
    with pytest.raises(InvalidArgument, match="page_token"):
        await idle.list(job_pb2.ListJobsRequest(page_token="'; --"))
    for job in made:
        await idle.cancel(job)


async def test_refusals_name_what_is_wrong(idle: DatabaseJobEngine) -> None:
    with pytest.raises(ResourceExhausted, match="limit of 500") as full:
        await idle.create(request(501))
    assert full.value.retry_after
    for call in (idle.get, idle.cancel, idle.retry, idle.delete):
        with pytest.raises(NotFound) as unknown:
            await call("nothing")
        assert unknown.value.field == "id"
    with pytest.raises(NotFound):
        await idle.clips(job_pb2.ListJobClipsRequest(id="nothing"))


async def test_what_is_too_old_expires_and_says_so(engine: DatabaseJobEngine, shared: Settings) -> None:
    job, _ = await engine.create(request(1))
    await ended(engine, job.id)
    artefacts = shared.data / "artefacts"
    orphan = artefacts / "0orphan"
    orphan.mkdir()
    (orphan / "upload-0-aa").write_bytes(b"x")
    blobs = Artefacts(shared)
    sweep(engine.database, blobs)
    assert orphan.is_dir(), "young ones may belong to a job that is being accepted"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.jobs.store.retention._ORPHAN_SECONDS", -1.0)
        sweep(engine.database, blobs)
    assert not orphan.exists()
    await engine.result(job.id, 0)
    tidy(engine.database, blobs, shared.jobs.model_copy(update={"retention_bytes": 0}))
    with pytest.raises(NotFound, match="expired") as caught:
        await engine.result(job.id, 0)
    assert (caught.value.field, caught.value.reason) == ("clip", "EXPIRED")
    with pytest.raises(FailedPrecondition, match="expired"):
        await engine.retry(job.id)
    assert not (artefacts / job.id).exists()
    await engine.delete(job.id)
    with pytest.raises(NotFound):
        await engine.get(job.id)
