"""Evaluations as jobs of a real service: rows, files, faults of single clips, and killed workers."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from actionlens.client import Client, GroundTruth, evaluation
from actionlens.local import LocalClient
from actionlens.v1 import explanation_pb2, job_pb2
from service.errors import FailedPrecondition, InvalidArgument
from service.evaluation.evaluated_set import EvaluatedClip, EvaluatedSet
from service.evaluation.measurement import ClipMeasurement
from service.evaluation.report_files import csv_text
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.clip_sources import read_truth
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.queries import clip as clip_row
from service.jobs.store.retention import expire
from service.settings import Settings
from tests.handlers import networks
from tests.service.backends.requests import store as make_store
from tests.service.job_service import job_settings as service_settings
from tests.service.job_service import served
from tests.service.jobs.workers import Worker, begun, ended, request

pytestmark = pytest.mark.timeout(400)

GRADIENTS = "integrated-gradients:steps=4"
METHOD = evaluation(
    ["grad-cam", GRADIENTS, "selective-relevance:threshold=2"],
    ["insertion:steps=6", {"pointing-game": {"shape": "square"}}, "temporal-pointing-game", "agreement", "whole-clip"],
    draws=2,
)
MASKS = np.zeros((6, 12, 16), bool)
MASKS[:, 2:8, 3:9] = True
KNOWN = GroundTruth(label="left", masks=MASKS, segment=(1, 3))


@dataclass
class ServedJobs:
    client: Client
    settings: Settings


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedJobs]:
    folder = tmp_path_factory.mktemp("evaluations")
    settings = service_settings(make_store(folder / "store"), folder / "data")
    with served(settings) as address, Client(address) as client:
        yield ServedJobs(client, settings)


@pytest.fixture(scope="module")
def finished(service: ServedJobs) -> job_pb2.Job:
    clips = [networks.clip(seed) for seed in range(4)]
    truths = [KNOWN, None, GroundTruth(boxes={0: [3, 2, 9, 8], 9: [0, 0, 1, 1]}), GroundTruth(boxes={2: [3, 2, 9, 8]})]
    names = ["known", "unknown", "misfit", "boxes"]
    job = service.client.jobs.submit(clips, METHOD, ground_truth=truths, names=names, seed=3)
    return service.client.jobs.wait(job.id)


def rows(service: ServedJobs, job: job_pb2.Job, index: int) -> list[ClipMeasurement]:
    return service.client.jobs.result(job.id, index).explanations["evaluate"].measurements(f"clip {index}")


def numbers(found: list[ClipMeasurement], measure: str, value: str) -> dict[str, float | None]:
    return {row.method: row.number for row in found if (row.measure, row.value) == (measure, value)}


def test_a_truth_that_does_not_fit_fails_its_clip_alone(service: ServedJobs, finished: job_pb2.Job) -> None:
    assert finished.state == job_pb2.JOB_STATE_PARTIAL
    (failed,) = service.client.jobs.clips(finished.id, ["failed"])
    assert failed.name == "misfit"
    assert failed.failure.field == "clips[2].ground_truth.boxes[1].frame"
    assert failed.failure.reason == "BAD_GROUND_TRUTH"


def test_rows_are_of_each_method_and_baseline(service: ServedJobs, finished: job_pb2.Job) -> None:
    found = rows(service, finished, 0)
    methods = ["grad-cam", GRADIENTS, "selective-relevance:threshold=2"]
    assert list(numbers(found, "insertion:steps=6", "insertion")) == [*methods, "exact-mask", "random"]
    pointing = numbers(found, "pointing-game:shape=square", "pointing-game")
    assert pointing["exact-mask"] == 100
    assert list(numbers(found, "temporal-pointing-game", "temporal-pointing-game"))[:3] == methods
    assert "recorded" in {row.value for row in found if row.measure == "whole-clip"}
    result = service.client.jobs.result(finished.id, 0)
    explained = result.explanations["evaluate"]
    assert explained.message.target.label == "left"
    assert explained.message.evaluation.label == 0
    assert explained.values.size == 0
    assert len(explained.curves) >= 5
    unknown = rows(service, finished, 1)
    lacking = [row for row in unknown if row.measure.startswith("pointing")]
    assert {row.method for row in lacking} == {*methods, "random"}
    assert all("known of the clip's objects" in row.left_out for row in lacking)
    assert None not in numbers(unknown, "insertion:steps=6", "insertion").values()
    boxes = rows(service, finished, 3)
    assert "exact-mask" not in {row.method for row in boxes}
    assert pointing.keys() - {"exact-mask"} == numbers(boxes, "pointing-game:shape=square", "pointing-game").keys()


def test_in_process_the_rows_are_the_same(service: ServedJobs, finished: job_pb2.Job) -> None:
    progress: list[job_pb2.ClipProgress] = []
    with LocalClient(service.settings) as client:
        for index, truth in ((0, KNOWN), (1, None)):
            result = client.evaluate_clip(
                networks.clip(index), METHOD, ground_truth=truth, seed=3, progress=progress.append
            )
            assert result.explanations["evaluate"].measurements(f"clip {index}") == rows(service, finished, index)
        assert progress[-1].iteration == progress[-1].iterations
        plan = client.plan(METHOD)
        assert plan == service.client.jobs.plan(METHOD)
        drawn = client.evaluate_clip(networks.clip(0), METHOD)
        assert drawn.explanations["evaluate"].message.provenance.HasField("seed")
        with pytest.raises(InvalidArgument, match=r"clips\[0\]\.ground_truth\.boxes\[0\]\.frame: 9 is past the end"):
            client.evaluate_clip(networks.clip(0), METHOD, ground_truth=GroundTruth(boxes={9: [0, 0, 1, 1]}))
        with pytest.raises(InvalidArgument, match="did you mean insertion"):
            client.evaluate_clip(networks.clip(0), evaluation(["grad-cam"], ["insertio"]))


def test_the_plan_counts_what_is_done(service: ServedJobs, finished: job_pb2.Job) -> None:
    plan = service.client.jobs.plan(METHOD)
    first = plan.measures[0]
    # Six steps and the start, of three methods and two random explanations.
    assert (first.measure, first.forwards, first.times) == ("insertion:steps=6", 7, 5)
    assert plan.forwards == sum(entry.forwards * entry.times for entry in plan.measures)
    unknown = service.client.jobs.result(finished.id, 1).explanations["evaluate"].message.evaluation
    assert unknown.forwards == plan.forwards
    with pytest.raises(InvalidArgument, match="frames"):
        service.client.jobs.plan(METHOD, frames=7)


def test_every_format_says_the_same(service: ServedJobs, finished: job_pb2.Job) -> None:
    jobs = service.client.jobs
    answer = jobs.result(finished.id, 0)
    explanation = answer.explanations["evaluate"]
    document = json.loads(jobs.download(finished.id, 0, "json").data)
    (written,) = document["explanations"]
    assert len(written["evaluation"]["rows"]) == len(explanation.message.evaluation.rows)
    assert written["evaluation"]["rows"][0]["number"] == explanation.message.evaluation.rows[0].number
    assert written["reading"] == explanation.reading
    archive = np.load(io.BytesIO(jobs.download(finished.id, 0, "npz").data))
    arrays = {name.removeprefix("evaluate."): archive[name] for name in archive.files if name.startswith("evaluate.")}
    assert arrays.keys() == explanation.arrays.keys()
    name = "pointing-game:shape=square/exact-mask/hits"
    assert (arrays[name] == explanation.arrays[name]).all()
    sheet = jobs.download(finished.id, 0, "png")
    assert sheet.name == "known.evaluate.png"
    page = cv2.imdecode(np.frombuffer(sheet.data, np.uint8), cv2.IMREAD_COLOR)
    assert page is not None
    assert page.shape[1] == 1200
    with pytest.raises(FailedPrecondition, match="nothing to lay over"):
        jobs.download(finished.id, 0, "mp4")
    assert "insertion:steps=6: " in explanation.reading
    assert "(random " in explanation.reading


def test_a_live_call_sends_evaluations_to_jobs(service: ServedJobs) -> None:
    with pytest.raises(FailedPrecondition, match="evaluate is no explanation; CreateJob"):
        service.client.explain_clip(networks.clip(0), methods=[METHOD])


FEW = evaluation(["grad-cam", GRADIENTS], ["insertion:steps=3", "pointing-game"], draws=1)


def evaluations(count: int) -> job_pb2.CreateJobRequest:
    made = request(count, method=FEW)
    for index in range(count):
        truth = made.clips[index].ground_truth
        truth.label.index = index % 3
        truth.masks.count, truth.masks.height, truth.masks.width = MASKS.shape
        truth.masks.bits = np.packbits(MASKS).tobytes()
    return made


async def all_rows(engine: DatabaseJobEngine, job: str, count: int) -> list[explanation_pb2.Evaluation]:
    return [(await engine.result(job, index)).explanations[0].evaluation for index in range(count)]


def table(evaluations: list[explanation_pb2.Evaluation]) -> str:
    return csv_text(EvaluatedSet(EvaluatedClip(f"clip {n}", found) for n, found in enumerate(evaluations)))


async def test_a_killed_worker_ends_with_the_same_table(
    settings: Settings,
    open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]],
    start_worker: Callable[..., Worker],
) -> None:
    engine = await open_engine(settings)
    job, _ = await engine.create(evaluations(2))
    worker = start_worker(settings)
    await begun(engine, job.id, 4)
    worker.kill()
    start_worker(settings)
    counts = [
        len(response.partial.evaluation.rows)
        async for response in engine.watch(job_pb2.WatchJobRequest(id=job.id, partial_results=True))
        if response.HasField("partial")
    ]
    assert (await ended(engine, job.id)).state == job_pb2.JOB_STATE_SUCCEEDED
    interrupted = await all_rows(engine, job.id, 2)
    alone = []
    with LocalClient(settings) as client:
        for index in range(2):
            truth = GroundTruth(label=index, masks=MASKS)
            result = await asyncio.to_thread(
                client.evaluate_clip, networks.clip(index), FEW, ground_truth=truth, seed=1
            )
            alone.append(result.explanations["evaluate"].message.evaluation)
    assert interrupted == alone
    assert table(interrupted) == table(alone)
    # Two measures of two methods, the mask and one draw, and their further values.
    assert len(interrupted[0].rows) > 8
    # The table can be watched as it grows; a fast worker may be done before anybody looks.
    assert max(counts, default=0) <= len(interrupted[0].rows)


async def test_truths_are_gone_with_the_results(
    settings: Settings, open_engine: Callable[[Settings], Awaitable[DatabaseJobEngine]]
) -> None:
    engine = await open_engine(settings)
    known, _ = await engine.create(evaluations(2))
    row = clip_row(engine.database, known.id, 1)
    found = read_truth(engine.database, row)
    assert found is not None
    assert found.label.index == 1
    await engine.cancel(known.id)
    expire(engine.database, Artefacts(settings), known.id)
    assert read_truth(engine.database, row) is None
    nothing, _ = await engine.create(request(1, method=FEW))
    assert read_truth(engine.database, clip_row(engine.database, nothing.id, 0)) is None
