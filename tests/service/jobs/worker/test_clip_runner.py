"""One clip in work, and the compute processes that it borrows, without a worker around them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from actionlens.v1 import job_pb2
from service.backends.factory import make_backend
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.transitions import ClipKey, begin
from service.jobs.worker.backend_pool import BackendPool, NoRoom
from service.jobs.worker.clip_runner import ClipRunner
from service.jobs.worker.context import WorkerContext
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


def count_pauses(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often a clip began to wait, by the id of its context."""
    waits = Counter[int]()
    pause = WorkerContext.pause

    def counted(self: WorkerContext, seconds: float) -> None:
        waits[id(self)] += 1
        pause(self, seconds)

    monkeypatch.setattr(WorkerContext, "pause", counted)
    return waits


async def test_a_clip_that_waits_for_its_store_can_be_cancelled(
    tmp_path: Path, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    (store / "another").mkdir(parents=True)
    (store / "another" / "card.yaml").write_text("name: half copied")
    settings = job_settings(tmp_path, store)
    engine = await open_engine(settings)
    job, _ = await engine.create(request(1))
    place = ClipKey(job.id, 0, 1)
    assert begin(engine.database, place)
    loop = asyncio.get_running_loop()
    desk = WorkerContext(settings, engine.database, Artefacts(settings), BackendPool(settings, make_backend), loop)
    waits = count_pauses(monkeypatch)
    work = ClipRunner(desk, place)
    block = asyncio.create_task(asyncio.to_thread(work.block, ""))
    await eventually(lambda: waits[id(desk)] > 0 or block.done())
    assert not block.done(), "that the store is unfit is no fault of the clip's"
    assert (await engine.cancel(job.id)).cancelling
    report = await asyncio.wait_for(block, PATIENCE)
    assert report == {"outcome": Outcome.CANCELLED}
    await asyncio.to_thread(work.end, report, "")
    assert (await engine.get(job.id)).state == job_pb2.JOB_STATE_CANCELLED


async def test_a_worker_that_stops_waits_until_the_last_block_is_on_record(
    tmp_path: Path, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]]
) -> None:
    settings = job_settings(tmp_path, tmp_path)
    engine = await open_engine(settings)
    job, _ = await engine.create(request(1))
    place = ClipKey(job.id, 0, 1)
    assert begin(engine.database, place)
    desk = WorkerContext(
        settings, engine.database, Artefacts(settings), BackendPool(settings, pixels), asyncio.get_running_loop()
    )
    work = ClipRunner(desk, place)
    assert (await engine.cancel(job.id)).cancelling
    assert await asyncio.to_thread(work.block, "") == {"outcome": Outcome.CANCELLED}
    done: list[str] = []

    def drain() -> None:
        desk.drain(PATIENCE)
        done.append("drained")

    draining = asyncio.create_task(asyncio.to_thread(drain))
    await eventually(desk.stopping.is_set)
    await settled()
    done.append("on record")
    work.put_down()
    await asyncio.wait_for(draining, PATIENCE)
    assert done == ["on record", "drained"], "DBOS had not noted what the block came to"


async def test_models_that_come_and_go_at_once_are_each_stopped_once_and_never_in_use() -> None:
    bench = BackendPool(Settings(jobs=JobSettings(models=2, processes=8)), pixels)
    made: list[SlowBackend] = []

    async def use(model: str) -> bool:
        # High priority makes room at once.
        async with bench.borrowed(model, job_pb2.JOB_PRIORITY_HIGH) as backend:
            assert isinstance(backend, SlowBackend)
            made.append(backend)
            await settled(40)
            return backend.up

    for models in ("abcd", "efb", "aceg"):
        assert all(await asyncio.gather(*(use(model) for model in models)))
    await bench.stop()
    assert not any(backend.up for backend in made)


async def blocks(bench: BackendPool, model: str, count: int) -> None:
    """What a clip does block by block."""
    while count:
        try:
            async with bench.borrowed(model, NORMAL):
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

    bench = BackendPool(Settings(jobs=JobSettings(models=2)), make)
    await asyncio.gather(*(blocks(bench, model, 10) for model in "abc"))
    assert sorted(loaded) == ["a", "b", "c"]
    # However long the others go on, a model's turn comes.
    monkeypatch.setattr("service.jobs.worker.backend_pool._TURN_SECONDS", 0.05)
    others = [asyncio.create_task(blocks(bench, model, 1_000_000)) for model in "ab"]
    await asyncio.wait_for(blocks(bench, "d", 1), PATIENCE)
    for other in others:
        other.cancel()
    await asyncio.wait(others)
    await bench.stop()


async def test_a_clip_that_waits_for_its_models_turn_holds_up_neither_a_stop_nor_a_cancel(
    tmp_path: Path, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.worker.clip_runner._MODEL_WAIT", 0.05)
    settings = job_settings(tmp_path, tmp_path, models=1, processes=2)
    engine = await open_engine(settings)
    bench = BackendPool(settings, pixels)
    waits = count_pauses(monkeypatch)
    jobs = [(await engine.create(request(1)))[0] for _ in range(2)]
    desks = [
        WorkerContext(settings, engine.database, Artefacts(settings), bench, asyncio.get_running_loop())
        for _ in range(2)
    ]
    works = []
    for job, desk in zip(jobs, desks, strict=True):
        place = ClipKey(job.id, 0, 1)
        assert begin(engine.database, place)
        works.append(ClipRunner(desk, place))
    async with bench.borrowed("another", NORMAL):
        cancelled = asyncio.create_task(asyncio.to_thread(works[0].block, ""))
        # In a thread that the end of this process does not wait for: it never comes back.
        threading.Thread(target=works[1].block, args=("",), daemon=True).start()
        await eventually(lambda: all(waits[id(desk)] for desk in desks))
        await asyncio.wait_for(asyncio.to_thread(desks[1].drain, PATIENCE + 1), PATIENCE)
        assert not cancelled.done()
        await engine.cancel(jobs[0].id)
        assert await asyncio.wait_for(cancelled, PATIENCE) == {"outcome": Outcome.CANCELLED}
    await bench.stop()
