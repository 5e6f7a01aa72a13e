"""Sends the clips of an evaluation as jobs and gathers their results as they come, or measures them here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, clip_pb2, job_pb2, method_pb2
from service.cli.errors import explain_failure
from service.cli.job_terminal import progress_line
from service.client import Client, GroundTruth
from service.client.clip_messages import ClipLike, clip_message
from service.client.job_requests import JobOptions, JobQuestion
from service.errors import ActionLensError, InvalidArgument
from service.evaluation.evaluated_set import EvaluatedClip, EvaluatedSet
from service.unique_names import distinct

if TYPE_CHECKING:
    from service.local import LocalClient

_PART_BYTES = 24 * 2**20
"""Of clips and masks in one job, below what a message may have (ACTIONLENS_LIMITS__MESSAGE_BYTES, 32 MiB)."""
_PART_CLIPS = 10_000


Report = Callable[[EvaluatedSet | None, str, str], None]
"""Takes the clips so far (None: as before), how many are done, and what is going on."""

Arrived = Callable[[EvaluatedClip], None]
"""Takes every clip as it comes."""


@dataclass(frozen=True)
class MeasuredClip:
    """A clip to measure on. read: its content and truth, read when it is sent."""

    name: str
    read: Callable[[], tuple[ClipLike, GroundTruth | None]]


def submit(
    client: Client,
    clips: Iterable[MeasuredClip],
    method: method_pb2.Method,
    options: JobOptions,
    sent: list[job_pb2.Job],
    report: Callable[[str], None],
) -> None:
    """Send the clips as one job, or several where they are too large for one, and add each to `sent`.

    The same clips with the same request id are the same jobs.
    """
    base = options.get("request_id", "")
    for number, part in enumerate(_parts(clips, report), start=1):
        own: JobOptions = {
            **options,
            "names": [name for name, _, _ in part],
            "ground_truth": [truth for _, _, truth in part],
        }
        if base and number > 1:
            own["request_id"] = f"{base}-{number}"
        report(f"sending {len(part)} clips")
        sent.append(client.jobs.submit([clip for _, clip, _ in part], method, **own))


Part = list[tuple[str, clip_pb2.Clip, GroundTruth | None]]


def _parts(clips: Iterable[MeasuredClip], report: Callable[[str], None]) -> Iterator[Part]:
    part: Part = []
    held = 0
    for entry in clips:
        report(f"reading {entry.name}")
        content, truth = entry.read()
        clip = clip_message(content)
        size = clip.ByteSize()
        if truth is not None and truth.masks is not None:
            size += truth.masks.size // 8
        if part and (held + size > _PART_BYTES or len(part) == _PART_CLIPS):
            yield part
            part, held = [], 0
        part.append((entry.name, clip, truth))
        held += size
    if part:
        yield part


@dataclass
class Gathering:
    """The results of jobs so far. labels: names of the model's classes."""

    client: Client
    jobs: Sequence[job_pb2.Job]
    labels: Sequence[str]
    found: dict[tuple[int, int], tuple[str, answer_pb2.Answer]] = field(default_factory=dict)
    failed: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)

    def follow(self, report: Report, arrived: Arrived) -> EvaluatedSet:
        """Wait until all jobs have ended and give all that came of them, in the order of the clips."""
        total = sum(job.clips.total for job in self.jobs)
        for number, job in enumerate(self.jobs):

            def progress(update: job_pb2.WatchJobResponse, number: int = number) -> None:
                news = self._fetch(number, update.job, arrived)
                done = len(self.found) + len(self.failed)
                now = progress_line(update) if update.running else ""
                report(self.so_far() if news else None, f"{done} of {total} clips measured", now)

            ended = self.client.jobs.wait(job.id, progress=progress)
            self._fetch(number, ended, arrived)
            for clip in self.client.jobs.clips(job.id, ["failed", "cancelled"]):
                reason = clip.failure.message or "cancelled"
                self.failed[number, clip.index] = (clip.name, reason)
        return self.so_far()

    def so_far(self) -> EvaluatedSet:
        """The clips that have a result, in their order."""
        places = sorted({*self.found, *self.failed})
        names = dict(
            zip(places, distinct((self.found.get(place) or self.failed[place])[0] for place in places), strict=True)
        )
        return EvaluatedSet(
            [_evaluated(names[place], self.found[place][1]) for place in places if place in self.found],
            {names[place]: self.failed[place][1] for place in places if place in self.failed},
            int(self.jobs[0].seed),
            self.labels,
        )

    def _fetch(self, number: int, job: job_pb2.Job, arrived: Arrived) -> bool:
        """Fetch what is new of a job; whether something was."""
        have = sum(place[0] == number for place in self.found)
        if job.clips.succeeded <= have:
            return False
        for clip in self.client.jobs.clips(job.id, ["succeeded"]):
            if (number, clip.index) not in self.found:
                answer = self.client.jobs.result(job.id, clip.index).message
                arrived(_evaluated(clip.name, answer))
                self.found[number, clip.index] = (clip.name, answer)
        return True


def measure_here(
    local: LocalClient,
    clips: Sequence[MeasuredClip],
    method: method_pb2.Method,
    options: JobOptions,
    labels: Sequence[str],
    report: Report,
    arrived: Arrived,
) -> EvaluatedSet:
    """Measure the clips one after the other in this process. Arguments as of `submit` and `Gathering.follow`."""
    question: JobQuestion = {
        "model": options["model"],
        "version": options["version"],
        "target": options["target"],
        "sampling": options["sampling"],
        "seed": options["seed"],
    }
    found: list[EvaluatedClip] = []
    failed: dict[str, str] = {}

    def so_far() -> EvaluatedSet:
        return EvaluatedSet(found, failed, options["seed"], labels)

    for number, entry in enumerate(clips):
        done = f"{number} of {len(clips)} clips measured"

        def progress(update: job_pb2.ClipProgress, done: str = done, name: str = entry.name) -> None:
            report(None, done, f"{name}: {update.iteration} of {update.iterations}")

        report(None, done, entry.name)
        try:
            clip, truth = entry.read()
            answer = local.evaluate_clip(clip, method, ground_truth=truth, progress=progress, **question).message
        except (ActionLensError, OSError) as error:
            failed[entry.name] = explain_failure(error)
            continue
        found.append(_evaluated(entry.name, answer))
        arrived(found[-1])
        report(so_far(), f"{number + 1} of {len(clips)} clips measured", "")
    return so_far()


def _evaluated(name: str, answer: answer_pb2.Answer) -> EvaluatedClip:
    """Raises InvalidArgument for the answer of another method."""
    for explanation in answer.explanations:
        if explanation.HasField("evaluation"):
            arrays = {key: to_array(tensor) for key, tensor in explanation.arrays.items()}
            return EvaluatedClip(name, explanation.evaluation, arrays)
    raise InvalidArgument(f"{name}: the job did not measure; `actionlens jobs result` shows what it did", field="job")
