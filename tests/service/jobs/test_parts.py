"""Parts of the job engine by themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from actionlens.v1 import job_pb2
from service.errors import NotFound, Unavailable
from service.jobs.metrics import JobMetrics
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.counts import Counts
from service.jobs.worker.fair_slots import FairSlots
from service.jobs.worker.live_notice import LiveNotice
from service.settings import JobSettings, Settings
from service.telemetry.live_latency import LiveLatency
from tests.waiting import PATIENCE, settled


def test_a_damaged_artefact_is_not_taken_for_good(tmp_path: Path) -> None:
    artefacts = Artefacts(Settings(data=tmp_path))
    key = artefacts.write("job", "state-0-3", b"content")
    assert artefacts.read(key) == b"content"
    assert list(artefacts.ages("job")) == [key]
    (tmp_path / "artefacts" / key).write_bytes(b"contemt")
    with pytest.raises(Unavailable, match="damaged"):
        artefacts.read(key)
    artefacts.remove(key, key)
    with pytest.raises(NotFound):
        artefacts.read(key)


def test_artefacts_also_lie_in_stores_that_are_no_folder() -> None:
    artefacts = Artefacts(Settings(jobs=JobSettings(artefacts="memory://actionlens")))
    key = artefacts.write("job", "result-0", b"content")
    assert artefacts.read(key) == b"content"
    assert [job for job, _ in artefacts.jobs()] == ["job"]
    artefacts.remove_job("job")
    assert list(artefacts.jobs()) == []


async def test_bands_share_by_weight_and_none_starves(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = FairSlots(1)
    taken: list[int] = []
    # A clock on which every block takes a second; on a busy machine some would take longer than others.
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: float(len(taken)))

    async def blocks(band: int) -> None:
        for _ in range(100):
            async with slots.held(band):
                taken.append(band)
                await asyncio.sleep(0)

    bands = (job_pb2.JOB_PRIORITY_LOW, job_pb2.JOB_PRIORITY_NORMAL, job_pb2.JOB_PRIORITY_HIGH)
    # Two of each, so that every band always has one waiting.
    async with asyncio.TaskGroup() as group:
        for band in (*bands, *bands):
            group.create_task(blocks(band))
    first = taken[:210]
    low, normal, high = (first.count(band) for band in bands)
    assert (low, normal, high) == (10, 40, 160)


async def test_a_slot_is_not_lost_with_who_waits_for_it() -> None:
    slots, going_on, inside = FairSlots(1), asyncio.Event(), 0

    async def block() -> None:
        nonlocal inside
        async with slots.held(job_pb2.JOB_PRIORITY_LOW):
            inside += 1
            await going_on.wait()

    tasks = [asyncio.create_task(block()) for _ in range(5)]
    await settled()
    assert inside == 1
    tasks[2].cancel()
    tasks[0].cancel()
    going_on.set()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
    await asyncio.wait_for(block(), PATIENCE)
    assert inside == 5


def test_workers_hear_how_long_live_answers_take(tmp_path: Path) -> None:
    live, notice = LiveLatency(), LiveNotice(tmp_path)
    assert live.p95() is None
    assert notice.worst() == 0
    for hundredths in range(100):
        live.add(hundredths / 100)
    assert live.p95() == pytest.approx(0.95)
    notice.publish(live.p95())
    assert LiveNotice(tmp_path).worst() == pytest.approx(0.95)
    notice.publish(None)
    assert notice.worst() == 0


def test_metrics_count_jobs() -> None:
    class Numbers:
        restarts = 2
        counts = Counts(
            jobs={(job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_PRIORITY_HIGH): 3},
            oldest={},
            blocks=((0.5, 2, 0.6), (1e9, 1, 7.0)),
        )

        def is_open(self) -> bool:
            return True

    registry = CollectorRegistry()
    registry.register(JobMetrics(Numbers()))
    text = generate_latest(registry).decode()
    assert 'actionlens_jobs{band="high",state="running"} 3.0' in text
    assert 'actionlens_job_block_seconds_bucket{le="+Inf"} 3.0' in text
    assert "actionlens_job_block_seconds_sum 7.6" in text
    assert "actionlens_job_worker_restarts_total 2.0" in text
    assert "actionlens_jobs_available 1.0" in text
