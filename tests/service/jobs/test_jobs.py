"""Jobs as users meet them: submitted, watched, fetched in every format; the service, its worker and SQLite are real."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from actionlens.v1 import job_pb2
from service.cli.main import app
from service.client import AsyncClient, Client, ServerFile
from service.client.clip_messages import clip_message
from service.errors import FailedPrecondition, NotFound
from tests.handlers import networks
from tests.service.backends.requests import TINY, store
from tests.service.cli.service_process import PROGRAM, environment
from tests.service.client.numbered_video import grey
from tests.service.client.recordings import write_joined, write_movie
from tests.service.decoding.test_exif import stored as jpeg_stored
from tests.service.decoding.test_pixel_aspect import film as film_of_pixels
from tests.service.decoding.test_video_stream import CASES, file_of
from tests.service.job_service import job_settings, served
from tests.waiting import PATIENCE

OCCLUSION = "occlusion:frames=2,pixels=8"
WAIT = 200.0
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class ServedJobs:
    """address: of the service. root: its input root. client: of it. job: an ended one over four clips: pixels, a film
    below the input root, a file that is no film, a file that is not there."""

    address: str
    root: Path
    client: Client
    job: job_pb2.Job


def clip(seed: int) -> NDArray[np.uint8]:
    return networks.clip(seed)


def film(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 32))
    for level in range(12):
        writer.write(np.full((32, 48, 3), 20 * level, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def served_jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedJobs]:
    folder = tmp_path_factory.mktemp("jobs")
    root = folder / "clips"
    root.mkdir()
    film(root / "film.avi")
    (root / "broken.mp4").write_bytes(b"no film at all" * 100)
    settings = job_settings(store(folder / "store"), folder / "data", input_root=str(root))
    with served(settings) as address, Client(address, timeout=WAIT) as client:
        clips = [clip(1), ServerFile("film.avi"), ServerFile("broken.mp4"), ServerFile("gone.mp4")]
        job = client.jobs.submit(
            clips, OCCLUSION, target=1, request_id="module", names=["pixels", "film", "bad", "gone"]
        )
        yield ServedJobs(address, root, client, client.jobs.wait(job.id, timeout=WAIT))


def test_a_clip_that_cannot_be_read_fails_alone_and_the_job_is_partial(served_jobs: ServedJobs) -> None:
    job = served_jobs.job
    assert job.state == job_pb2.JOB_STATE_PARTIAL
    assert (job.clips.total, job.clips.succeeded, job.clips.failed) == (4, 2, 2)
    failed = {clip.name: clip.failure for clip in served_jobs.client.jobs.clips(job.id, ["failed"])}
    assert list(failed) == ["bad", "gone"]
    assert failed["gone"].field.startswith("clips[3]")
    assert "gone.mp4" in failed["gone"].message
    assert failed["bad"].reason
    for index, reason in ((2, failed["bad"].message), (3, failed["gone"].message)):
        with pytest.raises(FailedPrecondition) as caught:
            served_jobs.client.jobs.result(job.id, index)
        assert caught.value.field == "clip"
        assert reason in caught.value.message


def test_the_result_is_an_answer_as_live_clips_have_it(served_jobs: ServedJobs) -> None:
    result = served_jobs.client.jobs.result(served_jobs.job.id, 0)
    live = served_jobs.client.explain_clip(clip(1), methods=["grad-cam"])
    assert result.logits == pytest.approx(live.logits, abs=1e-5)
    entry = result.explanations["occlusion"]
    assert entry.message.target.index == 1
    assert entry.reading
    assert entry.parameters["frames"] == 2
    assert entry.message.provenance.weights_digest
    assert list(result.frames.used) == list(live.frames.used)


def test_every_format_decodes_to_the_same_result(served_jobs: ServedJobs) -> None:
    for index, name in ((0, "pixels"), (1, "film")):
        result = served_jobs.client.jobs.result(served_jobs.job.id, index)
        values = result.explanations["occlusion"].values

        file = served_jobs.client.jobs.download(served_jobs.job.id, index, "npz")
        assert (file.name, file.media_type) == (f"{name}.occlusion.npz", "application/x-npz")
        with np.load(io.BytesIO(file.data), allow_pickle=False) as arrays:
            assert np.array_equal(arrays["occlusion"], values)
            assert np.array_equal(arrays["logits"], result.logits)

        document = json.loads(served_jobs.client.jobs.download(served_jobs.job.id, index, "json").data)
        assert document["explanations"][0]["saliency"]["values"] == {"npz": "occlusion", "shape": list(values.shape)}
        assert document["explanations"][0]["reading"] == result.explanations["occlusion"].reading

        file = served_jobs.client.jobs.download(served_jobs.job.id, index, "png")
        page = cv2.imdecode(np.frombuffer(file.data, np.uint8), cv2.IMREAD_COLOR)
        assert file.name == f"{name}.occlusion.png"
        assert page.shape[1] == 1680

        file = served_jobs.client.jobs.download(served_jobs.job.id, index, "mp4")
        with av.open(io.BytesIO(file.data)) as video:
            shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert file.media_type == "video/mp4"
        assert len(shown) == len(result.frames.used)


def test_images_need_the_clip_and_numbers_do_not(served_jobs: ServedJobs) -> None:
    away = served_jobs.root / "away.avi"
    film(away)
    job = served_jobs.client.jobs.submit(ServerFile("away.avi"), OCCLUSION)
    assert served_jobs.client.jobs.wait(job.id, timeout=WAIT).state == job_pb2.JOB_STATE_SUCCEEDED
    away.unlink()
    with pytest.raises(NotFound) as caught:
        served_jobs.client.jobs.download(job.id, 0, "png")
    assert caught.value.reason == "SOURCE_GONE"
    assert served_jobs.client.jobs.download(job.id, 0, "npz").data


def test_watching_shows_states_iterations_and_partial_results(served_jobs: ServedJobs) -> None:
    job = served_jobs.client.jobs.submit([clip(7), clip(8)], "integrated-gradients:steps=24")
    updates = list(served_jobs.client.jobs.watch(job.id, partial_results=True))
    states = [update.job.state for update in updates]
    assert states == sorted(states)
    assert states[-1] == job_pb2.JOB_STATE_SUCCEEDED
    assert updates[-1].job.clips.succeeded == 2
    running = [entry for update in updates for entry in update.running]
    assert all(0 <= entry.progress.iteration <= entry.progress.iterations for entry in running)
    statuses = list(served_jobs.client.jobs.clips(job.id))
    assert [entry.progress.iteration for entry in statuses] == [24, 24]
    assert all(len(entry.result_digest) == 64 for entry in statuses)


def test_cancelled_clips_run_again_and_deleted_jobs_are_gone(served_jobs: ServedJobs) -> None:
    jobs = served_jobs.client.jobs
    job = jobs.submit([clip(seed) for seed in range(3)], "integrated-gradients:steps=30")
    jobs.cancel(job.id)
    ended = jobs.wait(job.id, timeout=WAIT)
    assert ended.state == job_pb2.JOB_STATE_CANCELLED
    assert ended.clips.cancelled > 0
    jobs.retry(job.id)
    ended = jobs.wait(job.id, timeout=WAIT)
    assert (ended.state, ended.clips.succeeded) == (job_pb2.JOB_STATE_SUCCEEDED, 3)
    with pytest.raises(FailedPrecondition):
        jobs.retry(job.id)
    jobs.delete(job.id)
    with pytest.raises(NotFound):
        jobs.get(job.id)
    with pytest.raises(NotFound):
        next(jobs.watch(job.id))


def test_the_asyncio_client_does_the_same(served_jobs: ServedJobs) -> None:
    async def run() -> tuple[Any, ...]:
        async with AsyncClient(served_jobs.address, timeout=WAIT) as client:
            seen: list[job_pb2.WatchJobResponse] = []
            job = await client.jobs.submit(clip(3), OCCLUSION, tenant="async")
            ended = await client.jobs.wait(job.id, progress=seen.append, timeout=WAIT)
            listed = [entry.id async for entry in client.jobs.list(tenant="async")]
            clips = [entry async for entry in client.jobs.clips(job.id)]
            result = await client.jobs.result(job.id)
            with pytest.raises(FailedPrecondition):
                await client.jobs.retry(job.id)
            await client.jobs.delete(job.id)
            return job, ended, seen, listed, clips, result

    job, ended, seen, listed, clips, result = asyncio.run(run())
    assert ended.state == job_pb2.JOB_STATE_SUCCEEDED
    assert seen[-1].job.id == job.id
    assert listed == [job.id]
    assert len(clips) == 1
    assert result.explanations["occlusion"].values.ndim == 3


class TestCommands:
    def run(self, served_jobs: ServedJobs, *arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, ["jobs", *arguments, "--address", served_jobs.address])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    def test_submit_and_fetch(self, served_jobs: ServedJobs, tmp_path: Path) -> None:
        source = film(tmp_path / "wave.avi")
        out = tmp_path / "out"
        done = self.run(served_jobs, "submit", str(source), "--method", OCCLUSION, "--tenant", "cli", "-o", str(out))
        assert "succeeded, 1 of 1 clips" in done.stderr
        kinds = ("json", "mp4", "npz", "png")
        assert sorted(path.name for path in out.iterdir()) == [f"wave.occlusion.{kind}" for kind in kinds]
        listed = self.run(served_jobs, "list", "--tenant", "cli", "--json")
        (document,) = [json.loads(line) for line in listed.stdout.splitlines()]
        assert document["id"] == done.stdout.splitlines()[0]
        assert document["state"] == "JOB_STATE_SUCCEEDED"

    def test_submit_the_same_twice(self, served_jobs: ServedJobs) -> None:
        arguments = ("submit", "film.avi", "--on-server", "-x", OCCLUSION, "--request-id", "again")
        first, second = (self.run(served_jobs, *arguments).stdout.strip() for _ in range(2))
        assert first == second
        assert "succeeded" in self.run(served_jobs, "watch", first).stderr

    def test_a_partial_job_ends_with_one_and_its_reasons(self, served_jobs: ServedJobs, tmp_path: Path) -> None:
        done = self.run(served_jobs, "watch", served_jobs.job.id, code=1)
        assert "partial, 2 of 4 clips" in done.stderr
        assert "gone.mp4" in done.stderr
        shown = self.run(served_jobs, "show", served_jobs.job.id).stdout
        assert all(word in shown for word in ("partial", "occlusion", "pixels", "failed", "gone.mp4"))
        self.run(served_jobs, "result", served_jobs.job.id, "--clip", "1", "-o", str(tmp_path))
        assert (tmp_path / "film.occlusion.png").is_file()
        self.run(served_jobs, "retry", served_jobs.job.id)
        self.run(served_jobs, "watch", served_jobs.job.id, code=1)

    def test_cancel_and_delete(self, served_jobs: ServedJobs) -> None:
        job = served_jobs.client.jobs.submit([clip(1)] * 3, "integrated-gradients:steps=900")
        assert self.run(served_jobs, "cancel", job.id).stdout.startswith(job.id)
        served_jobs.client.jobs.wait(job.id, timeout=WAIT)
        self.run(served_jobs, "delete", job.id)
        done = CliRunner().invoke(app, ["jobs", "show", job.id, "--address", served_jobs.address])
        assert isinstance(done.exception, NotFound)

    def test_a_failed_job_shows_each_reason_once(self, served_jobs: ServedJobs) -> None:
        alike, two = (
            served_jobs.client.jobs.submit([ServerFile(path) for path in paths], OCCLUSION, names=["a", "b"])
            for paths in (("broken.mp4", "broken.mp4"), ("broken.mp4", "gone.mp4"))
        )
        for job, count in ((alike, 1), (two, 2)):
            printed = self.run(served_jobs, "watch", job.id, code=1).stderr
            shown = self.run(served_jobs, "show", job.id).stdout
            found = [clip.failure for clip in served_jobs.client.jobs.clips(job.id)]
            assert len({failure.message for failure in found}) == count
            assert served_jobs.client.jobs.get(job.id).failure == found[0]
            for failure in found:
                assert printed.count(failure.message) == 1
                # In columns of a table long reasons are broken into lines.
                assert " ".join(shown.split()).count(failure.message.split(":")[0]) == 1

    def test_ctrl_c_leaves_the_job_running_and_says_how_to_watch_it(self, served_jobs: ServedJobs) -> None:
        command = [
            *PROGRAM,
            "jobs",
            "submit",
            "film.avi",
            "--on-server",
            "-x",
            "integrated-gradients:steps=900",
            "--wait",
        ]
        with subprocess.Popen(
            [*command, "--address", served_jobs.address],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(PYTHONPATH=str(Path(__file__).resolve().parents[3])),
        ) as process:
            assert process.stdout
            job = process.stdout.readline().strip()
            assert process.stderr
            # The wait has begun when it has printed the job.
            assert job in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            _, printed = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert f"actionlens jobs watch {job} --address {served_jobs.address}" in printed
        assert served_jobs.client.jobs.wait(job, timeout=WAIT).state == job_pb2.JOB_STATE_SUCCEEDED

    def test_live_commands_send_job_methods_to_jobs(self, served_jobs: ServedJobs, tmp_path: Path) -> None:
        source = str(film(tmp_path / "wave.avi"))
        done = CliRunner().invoke(app, ["explain", source, "--method", "occlusion", "--address", served_jobs.address])
        assert isinstance(done.exception, FailedPrecondition)
        assert "actionlens jobs submit" in done.exception.message
        shown = CliRunner().invoke(app, ["models", "show", TINY, "--address", served_jobs.address]).stdout
        assert "as a job" in shown


def test_a_clock_that_jumps_is_told_in_the_result_and_on_the_sheet(served_jobs: ServedJobs, tmp_path: Path) -> None:
    joined = write_joined(tmp_path / "joined.ts", 3600.0)
    jobs = served_jobs.client.jobs
    job = jobs.wait(jobs.submit([joined], OCCLUSION, target=1).id, timeout=WAIT)
    frames = jobs.result(job.id, 0).frames
    assert [note.partition(" before frame 20;")[0] for note in frames.notes] == ["the source's clock leaps by 3598 s"]
    assert frames.timestamps[-1] == pytest.approx(3.9)
    told = served_jobs.client.explain_clip(joined, methods=["grad-cam"]).frames
    assert (list(told.notes), list(told.timestamps)) == (list(frames.notes), list(frames.timestamps))
    plain = jobs.wait(jobs.submit([write_movie(tmp_path / "plain.ts")], OCCLUSION, target=1).id, timeout=WAIT)
    sheets = [np.frombuffer(jobs.download(done.id, 0, "png").data, np.uint8) for done in (job, plain)]
    heights = [cv2.imdecode(sheet, cv2.IMREAD_COLOR).shape[0] for sheet in sheets]
    assert heights[0] > heights[1], "it has no line more"


def test_odd_clips_are_read_by_jobs_as_by_the_live_call(served_jobs: ServedJobs, tmp_path: Path) -> None:
    """Several video streams, a size that changes, images with times of their own, images that lie on their side, pixels
    that are twice as wide as high."""
    two = tmp_path / "two.mkv"
    two.write_bytes(file_of(CASES["default"][1], "matroska"))
    sizes = write_joined(tmp_path / "sizes.ts", 2.5, (96, 128))
    images = [grey(number) for number in range(12)]
    varying = clip_message(images, timestamps=[0.1 * number + 0.4 * max(0, number - 6) for number in range(12)])
    jobs = served_jobs.client.jobs
    lying = clip_message([jpeg_stored(6)] * 4)
    wide = tmp_path / "wide.mp4"
    wide.write_bytes(film_of_pixels(40, 64, Fraction(2), "mp4"))
    odd = [two, sizes, varying, lying, wide]
    job = jobs.wait(jobs.submit(odd, OCCLUSION, target=1).id, timeout=WAIT)
    reports = [jobs.result(job.id, clip).frames for clip in range(len(odd))]
    for clip, report in zip(odd, reports, strict=True):
        assert report == served_jobs.client.explain_clip(clip).frames
    assert [note.partition(",")[0] for note in reports[0].notes] == ["of 2 video streams"]
    assert any("of another size (128 x 96 pixels)" in note for note in reports[1].notes)
    assert [(report.source_width, report.source_height) for report in reports[3:]] == [(32, 48), (80, 64)]
    film = io.BytesIO(jobs.download(job.id, 2, "mp4").data)
    with av.open(film, "r") as container:
        shown = [float(frame.time or 0) for frame in container.decode(video=0)]
    assert max(np.diff(reports[2].timestamps)) > 2 * min(np.diff(reports[2].timestamps))
    np.testing.assert_allclose(shown, np.array(reports[2].timestamps) - reports[2].timestamps[0], atol=1e-3)
