"""Sends the clips of an evaluation as jobs, and gathers their results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, clip_pb2, job_pb2, method_pb2
from service.cli.job_terminal import progress_line
from service.client import Client
from service.client.job_requests import JobOptions
from service.errors import InvalidArgument
from service.evaluation.evaluated_set import EvaluatedClip, EvaluatedSet
from service.unique_names import distinct

_PART_BYTES = 24 * 2**20
"""Of clips and masks in one job, below what a message may have (ACTIONLENS_LIMITS__MESSAGE_BYTES, 32 MiB)."""
_PART_CLIPS = 10_000


@dataclass(frozen=True)
class MeasuredClip:
    """A clip to measure on. read: its content and truth, read when it is sent."""

    name: str
    read: Callable[[], tuple[clip_pb2.Clip, job_pb2.GroundTruth | None]]


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


Part = list[tuple[str, clip_pb2.Clip, job_pb2.GroundTruth | None]]


def _parts(clips: Iterable[MeasuredClip], report: Callable[[str], None]) -> Iterator[Part]:
    part: Part = []
    held = 0
    for entry in clips:
        report(f"reading {entry.name}")
        clip, truth = entry.read()
        size = clip.ByteSize() + (truth.ByteSize() if truth is not None else 0)
        if part and (held + size > _PART_BYTES or len(part) == _PART_CLIPS):
            yield part
            part, held = [], 0
        part.append((entry.name, clip, truth))
        held += size
    if part:
        yield part


@dataclass
class Gathering:
    """The results of jobs so far. seed: of the tests."""

    client: Client
    jobs: Sequence[job_pb2.Job]
    seed: int
    found: dict[tuple[int, int], tuple[str, answer_pb2.Answer]] = field(default_factory=dict)
    failed: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)

    def follow(
        self, report: Callable[[EvaluatedSet | None, str, str], None], arrived: Callable[[EvaluatedClip], None]
    ) -> EvaluatedSet:
        """Wait until all jobs have ended and give all that came of them, in the order of the clips.

        report: takes the set after every change, or None, how many are done, and what is going on. arrived: takes every
        clip as it comes.
        """
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
            self.seed,
        )

    def _fetch(self, number: int, job: job_pb2.Job, arrived: Callable[[EvaluatedClip], None]) -> bool:
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


def _evaluated(name: str, answer: answer_pb2.Answer) -> EvaluatedClip:
    """Raises InvalidArgument for the answer of another method."""
    for explanation in answer.explanations:
        if explanation.HasField("evaluation"):
            arrays = {key: to_array(tensor) for key, tensor in explanation.arrays.items()}
            return EvaluatedClip(name, explanation.evaluation, arrays)
    raise InvalidArgument(f"{name}: the job did not measure; `actionlens jobs result` shows what it did", field="job")
