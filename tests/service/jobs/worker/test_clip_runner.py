"""One clip in work, and the compute processes that it borrows, without a worker around them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from actionlens.v1 import job_pb2
from service.backends.factory import make_backend
from service.decoding.process.decoder import InProcessDecoder
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.transitions import ClipKey, begin, given_up
from service.jobs.worker.backend_pool import BackendPool, NoRoom
from service.jobs.worker.clip_runner import ClipRunner
from service.jobs.worker.context import WorkerContext
from service.jobs.worker.live_notice import LiveNotice
from service.jobs.worker.outcome import Outcome
from service.settings import JobSettings, Settings
from tests.service.backend import PixelBackend, describe
from tests.service.jobs.workers import job_settings, request
from tests.waiting import PATIENCE, eventually, settled

NORMAL = job_pb2.JOB_PRIORITY_NORMAL


class SlowBackend(PixelBackend):
    """Lets others run while it stops, as TorchServe does."""

    async def stop(self) -> None:
        await settled(20)
        await super().stop()


def pixels(settings: Settings) -> SlowBackend:
    return SlowBackend(describe(settings.models[0]))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often a clip began to wait, by the id of its context."""
    counts = Counter[int]()
    pause = WorkerContext.pause

    async def counted(self: WorkerContext, seconds: float) -> None:
        counts[id(self)] += 1
        await pause(self, seconds)

    monkeypatch.setattr(WorkerContext, "pause", counted)
    return counts


async def test_a_clip_that_waits_for_its_store_can_be_cancelled(
    tmp_path: Path, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]], pauses: Counter[int]
) -> None:
    store = tmp_path / "store"
    (store / "another").mkdir(parents=True)
    (store / "another" / "card.yaml").write_text("name: half copied")
    settings = job_settings(tmp_path, store)
    engine = await open_engine(settings)
    job, _ = await engine.create(request(1))
    key = ClipKey(job.id, 0, 1)
    assert begin(engine.database, key)
    context = WorkerContext(
        settings, engine.database, Artefacts(settings), BackendPool(settings, make_backend), InProcessDecoder(settings)
    )
    runner = ClipRunner(context, key)
    block = asyncio.create_task(runner.block(""))
    await eventually(lambda: pauses[id(context)] > 0 or block.done())
    assert not block.done(), "that the store is unfit is no fault of the clip's"
    assert (await engine.cancel(job.id)).cancelling
    report = await asyncio.wait_for(block, PATIENCE)
    assert report == {"outcome": Outcome.CANCELLED}
    await runner.end(report, "")
    assert (await engine.get(job.id)).state == job_pb2.JOB_STATE_CANCELLED


async def test_a_worker_that_stops_waits_until_the_last_block_is_on_record(
    tmp_path: Path, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]]
) -> None:
    settings = job_settings(tmp_path, tmp_path)
    engine = await open_engine(settings)
    job, _ = await engine.create(request(1))
    key = ClipKey(job.id, 0, 1)
    assert begin(engine.database, key)
    context = WorkerContext(
        settings, engine.database, Artefacts(settings), BackendPool(settings, pixels), InProcessDecoder(settings)
    )
    runner = ClipRunner(context, key)
    assert (await engine.cancel(job.id)).cancelling
    assert await runner.block("") == {"outcome": Outcome.CANCELLED}
    draining = asyncio.create_task(context.drain(3600))
    await settled()
    assert not draining.done(), "DBOS has not noted what the block came to"
    runner.put_down()
    await asyncio.wait_for(draining, PATIENCE)


async def test_models_that_come_and_go_at_once_are_each_stopped_once_and_never_in_use() -> None:
    pool = BackendPool(Settings(jobs=JobSettings(models=2, processes=8)), pixels)
    made: list[SlowBackend] = []

    async def use(model: str) -> bool:
        # High priority makes room at once.
        async with pool.borrowed(model, job_pb2.JOB_PRIORITY_HIGH) as backend:
            assert isinstance(backend, SlowBackend)
            made.append(backend)
            await settled(40)
            return backend.up

    for models in ("abcd", "efb", "aceg"):
        assert all(await asyncio.gather(*(use(model) for model in models)))
    await pool.stop()
    assert not any(backend.up for backend in made)


async def blocks(pool: BackendPool, model: str, count: int) -> None:
    """Does as a clip does block by block."""
    while count:
        try:
            async with pool.borrowed(model, NORMAL):
                await asyncio.sleep(0)
                count -= 1
        except NoRoom:
            await asyncio.sleep(0.001)


async def test_more_models_than_there_is_room_for_are_not_loaded_for_every_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.jobs.worker.backend_pool._BETWEEN_SECONDS", 0.0)
    loaded: list[str] = []

    def make(settings: Settings) -> SlowBackend:
        loaded.extend(settings.models)
        return pixels(settings)

    pool = BackendPool(Settings(jobs=JobSettings(models=2)), make)
    await asyncio.gather(*(blocks(pool, model, 10) for model in "abc"))
    assert sorted(loaded) == ["a", "b", "c"]
    # However long the others go on, a model's turn comes.
    monkeypatch.setattr("service.jobs.worker.backend_pool._TURN_SECONDS", 0.05)
    others = [asyncio.create_task(blocks(pool, model, 1_000_000)) for model in "ab"]
    await asyncio.wait_for(blocks(pool, "d", 1), PATIENCE)
    for other in others:
        other.cancel()
    await asyncio.wait(others)
    await pool.stop()


async def test_a_clip_that_waits_for_its_models_turn_holds_up_neither_a_stop_nor_a_cancel(
    tmp_path: Path,
    open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]],
    pauses: Counter[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.jobs.worker.clip_runner._MODEL_WAIT", 0.05)
    settings = job_settings(tmp_path, tmp_path, models=1, processes=2)
    engine = await open_engine(settings)
    pool = BackendPool(settings, pixels)
    jobs = [(await engine.create(request(1)))[0] for _ in range(2)]
    contexts = [
        WorkerContext(settings, engine.database, Artefacts(settings), pool, InProcessDecoder(settings))
        for _ in range(2)
    ]
    runners = []
    for job, context in zip(jobs, contexts, strict=True):
        key = ClipKey(job.id, 0, 1)
        assert begin(engine.database, key)
        runners.append(ClipRunner(context, key))
    async with pool.borrowed("another", NORMAL):
        cancelled = asyncio.create_task(runners[0].block(""))
        stopped = asyncio.create_task(runners[1].block(""))
        await eventually(lambda: all(pauses[id(context)] for context in contexts))
        await asyncio.wait_for(contexts[1].drain(3600), PATIENCE)
        assert not cancelled.done()
        await engine.cancel(jobs[0].id)
        assert await asyncio.wait_for(cancelled, PATIENCE) == {"outcome": Outcome.CANCELLED}
        # It never comes back.
        assert not stopped.done()
        stopped.cancel()
    await pool.stop()


class Waits:
    """A clock that the pauses of a context alone move on; how long they were."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0

        async def pause(_context: WorkerContext, seconds: float) -> None:
            self.now += seconds

        monkeypatch.setattr(WorkerContext, "pause", pause)

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("computed", "share", "most", "expected"),
    [(2.0, 0.2, 20.0, 8.0), (2.0, 0.5, 20.0, 2.0), (2.0, 0.2, 3.0, 3.0), (0.0, 0.2, 20.0, 0.0), (2.0, 1.0, 20.0, 0.0)],
)
async def test_a_clip_computes_its_share_of_the_time_however_slow_live_answers_are(
    tmp_path: Path,
    open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]],
    monkeypatch: pytest.MonkeyPatch,
    computed: float,
    share: float,
    most: float,
    expected: float,
) -> None:
    settings = job_settings(tmp_path, tmp_path, least_share=share, yield_seconds=most, live_p95_seconds=0.25)
    clock = Waits(monkeypatch)
    engine = await open_engine(settings)
    context = WorkerContext(
        settings, engine.database, Artefacts(settings), BackendPool(settings, pixels), InProcessDecoder(settings)
    )
    context.clock = clock
    notice = LiveNotice(settings.data)
    notice.publish(0.2)
    await context.stand_back(computed, lambda: False)
    assert clock.now == 0.0
    notice.publish(0.3)
    await context.stand_back(computed, lambda: False)
    assert clock.now == pytest.approx(expected)
    clock.now = 0.0
    await context.stand_back(computed, lambda: clock.now > 0)
    assert clock.now == min(expected, 0.5), "nobody wants it any more"


async def test_a_clip_is_given_up_when_its_job_is_cancelled_or_taken_up_again(
    tmp_path: Path, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]]
) -> None:
    engine = await open_engine(job_settings(tmp_path, tmp_path))
    job, _ = await engine.create(request(1))
    key = ClipKey(job.id, 0, 1)
    assert begin(engine.database, key)
    assert not given_up(engine.database, key)
    assert given_up(engine.database, ClipKey(job.id, 0, 2))
    await engine.cancel(job.id)
    assert given_up(engine.database, key)
