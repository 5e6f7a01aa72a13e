"""One clip in work, and the compute processes that it borrows, without a worker around them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from actionlens.v1 import job_pb2
from service.backends.making import make_backend
from service.jobs.artefacts import Artefacts
from service.jobs.bench import Bench
from service.jobs.desk import Desk
from service.jobs.engine import DatabaseJobEngine
from service.jobs.outcome import Outcome
from service.jobs.transitions import Place, begin
from service.jobs.work import ClipWork
from service.settings import JobSettings, Settings
from tests.jobs.workers import job_settings, request
from tests.service.backend import PixelBackend, describe

NORMAL = job_pb2.JOB_PRIORITY_NORMAL


class SlowBackend(PixelBackend):
    """Takes its time to stop, as TorchServe does."""

    async def stop(self) -> None:
        await asyncio.sleep(0.05)
        await super().stop()


def pixels(settings: Settings) -> SlowBackend:
    return SlowBackend(describe(settings.models[0]))


async def test_a_clip_that_waits_for_its_store_can_be_cancelled(
    tmp_path: Path, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]]
) -> None:
    store = tmp_path / "store"
    (store / "another").mkdir(parents=True)
    (store / "another" / "card.yaml").write_text("name: half copied")
    settings = job_settings(tmp_path, store)
    engine = await open_engine(settings)
    job, _ = await engine.create(request(1))
    place = Place(job.id, 0, 1)
    assert begin(engine.database, place)
    loop = asyncio.get_running_loop()
    desk = Desk(settings, engine.database, Artefacts(settings), Bench(settings, make_backend), loop)
    work = ClipWork(desk, place)
    block = asyncio.create_task(asyncio.to_thread(work.block, ""))
    await asyncio.sleep(0.3)
    assert not block.done(), "that the store is unfit is no fault of the clip's"
    assert (await engine.cancel(job.id)).cancelling
    report = await asyncio.wait_for(block, 20)
    assert report == {"outcome": Outcome.CANCELLED}
    await asyncio.to_thread(work.end, report, "")
    assert (await engine.get(job.id)).state == job_pb2.JOB_STATE_CANCELLED


async def test_a_worker_that_stops_waits_until_the_last_block_is_on_record(
    tmp_path: Path, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]]
) -> None:
    settings = job_settings(tmp_path, tmp_path)
    engine = await open_engine(settings)
    job, _ = await engine.create(request(1))
    place = Place(job.id, 0, 1)
    assert begin(engine.database, place)
    desk = Desk(settings, engine.database, Artefacts(settings), Bench(settings, pixels), asyncio.get_running_loop())
    work = ClipWork(desk, place)
    assert (await engine.cancel(job.id)).cancelling
    assert await asyncio.to_thread(work.block, "") == {"outcome": Outcome.CANCELLED}
    draining = asyncio.create_task(asyncio.to_thread(desk.drain, 60))
    await asyncio.sleep(0.2)
    assert not draining.done(), "DBOS has not noted what the block came to"
    work.put_down()
    await asyncio.wait_for(draining, 20)


async def test_models_that_come_and_go_at_once_are_each_stopped_once_and_never_in_use() -> None:
    bench = Bench(Settings(jobs=JobSettings(models=2, processes=8)), pixels)
    made: list[SlowBackend] = []

    async def use(model: str) -> bool:
        async with bench.borrowed(model, NORMAL) as backend:
            assert isinstance(backend, SlowBackend)
            made.append(backend)
            await asyncio.sleep(0.1)
            return backend.up

    for models in ("abcd", "efb", "aceg"):
        assert all(await asyncio.gather(*(use(model) for model in models)))
    await bench.stop()
    assert not any(backend.up for backend in made)
