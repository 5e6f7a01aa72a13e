"""Makes messages of requests about jobs, and files of downloads."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar

import grpc
import numpy as np

from actionlens.v1 import job_pb2, method_pb2
from service.client.clip_messages import (
    ClassLike,
    ClipLike,
    SamplingLike,
    clip_message,
    sampling_message,
    target_message,
)
from service.client.evaluations.ground_truth import TruthLike, truth_message
from service.client.method_messages import MethodLike, method_messages
from service.errors import ActionLensError, InvalidArgument
from service.unique_names import distinct

FORMATS = {
    "answer": job_pb2.RESULT_FORMAT_ANSWER,
    "npz": job_pb2.RESULT_FORMAT_NPZ,
    "json": job_pb2.RESULT_FORMAT_JSON,
    "mp4": job_pb2.RESULT_FORMAT_MP4,
    "png": job_pb2.RESULT_FORMAT_PNG,
}
PRIORITIES = {
    "": job_pb2.JOB_PRIORITY_UNSPECIFIED,
    "low": job_pb2.JOB_PRIORITY_LOW,
    "normal": job_pb2.JOB_PRIORITY_NORMAL,
    "high": job_pb2.JOB_PRIORITY_HIGH,
}
JOB_STATES = {
    "queued": job_pb2.JOB_STATE_QUEUED,
    "running": job_pb2.JOB_STATE_RUNNING,
    "succeeded": job_pb2.JOB_STATE_SUCCEEDED,
    "partial": job_pb2.JOB_STATE_PARTIAL,
    "failed": job_pb2.JOB_STATE_FAILED,
    "cancelled": job_pb2.JOB_STATE_CANCELLED,
}
CLIP_STATES = {
    "queued": job_pb2.CLIP_STATE_QUEUED,
    "running": job_pb2.CLIP_STATE_RUNNING,
    "succeeded": job_pb2.CLIP_STATE_SUCCEEDED,
    "failed": job_pb2.CLIP_STATE_FAILED,
    "cancelled": job_pb2.CLIP_STATE_CANCELLED,
}
ENDED = frozenset(
    {
        job_pb2.JOB_STATE_SUCCEEDED,
        job_pb2.JOB_STATE_PARTIAL,
        job_pb2.JOB_STATE_FAILED,
        job_pb2.JOB_STATE_CANCELLED,
    }
)
"""States in which nothing more happens to a job by itself."""

S = TypeVar("S", job_pb2.JobState, job_pb2.ClipState)


@dataclass(frozen=True)
class ServerFile:
    """A clip that the service finds below its input root, by its path relative to that."""

    path: str


JobClips = Iterable[ClipLike | ServerFile] | str | Path | bytes | ServerFile
"""Clips of a job: a list of files, folders of images, bytes, pixels or ServerFiles; or one of them."""


class JobQuestion(TypedDict, total=False):
    """The question of a job about each clip, beside the method.

    model, version: empty is the default model and the served version. target, contrast: as for live clips. sampling:
    which frames the model sees. fps: of images and pixels. seed: for methods that draw random numbers.
    """

    model: str
    version: str
    target: ClassLike
    contrast: ClassLike
    sampling: SamplingLike
    fps: float
    seed: int


class JobOptions(JobQuestion, total=False):
    """JobQuestion, and for the job as a whole.

    tenant: whose job it is. priority: "low", "normal", "high". request_id: the same id is the same job; made up when
    left out. names: of the clips, in order; those of the files when left out. ground_truth: what is known of the clips,
    in order, for `evaluation`; None for a clip of which nothing is.
    """

    tenant: str
    priority: str
    request_id: str
    names: Sequence[str]
    ground_truth: Sequence[TruthLike]


class PlanOptions(TypedDict, total=False):
    """What an evaluation is planned for. frames: that the model sees of a clip; left out: as many as it takes."""

    model: str
    version: str
    frames: int


class JobFilter(TypedDict, total=False):
    """A choice of jobs to list. states: "queued", "running", "succeeded", "partial", "failed", "cancelled"."""

    states: Sequence[str]
    method: str
    model: str
    tenant: str


@dataclass(frozen=True)
class Downloaded:
    """A file as the service made it. name: "swipe.esv.npz". media_type: "application/x-npz"."""

    name: str
    media_type: str
    data: bytes


def job_request(clips: JobClips, method: MethodLike, options: JobOptions) -> job_pb2.CreateJobRequest:
    """The request for a job. Raises InvalidArgument naming the field that does not fit, OSError for a file."""
    if isinstance(clips, str | Path | bytes | ServerFile) or (isinstance(clips, np.ndarray) and clips.ndim == 4):
        clips = [clips]
    given = list(clips)
    names = options.get("names") or _names(given)
    if len(names) != len(given):
        raise InvalidArgument(
            f"clips: {len(given)} clips and {len(names)} names; give one name per clip", field="clips"
        )
    truths = options.get("ground_truth") or [None] * len(given)
    if len(truths) != len(given):
        raise InvalidArgument(
            f"clips: {len(given)} clips and {len(truths)} ground truths; give one per clip, or None for it",
            field="clips",
        )
    priority = options.get("priority", "")
    if priority not in PRIORITIES:
        raise InvalidArgument(f"priority: {priority!r} is not one of low, normal, high", field="priority")
    try:
        (chosen,) = method_messages([method])
    except InvalidArgument as error:
        # A job has one method, without a number.
        message, field = (text.replace("methods[0]", "method", 1) for text in (error.message, error.field))
        raise InvalidArgument(message, field=field, reason=error.reason) from None
    return job_pb2.CreateJobRequest(
        # With an id of its own a request may be sent again when its answer was lost.
        request_id=options.get("request_id", "") or uuid.uuid4().hex,
        tenant=options.get("tenant", ""),
        priority=PRIORITIES[priority],
        model=options.get("model", ""),
        version=options.get("version", ""),
        method=chosen,
        target=target_message({"target": options.get("target"), "contrast": options.get("contrast")}),
        sampling=sampling_message(options.get("sampling")),
        clips=[
            _clip(clip, name, options.get("fps", 0.0), truth_message(truth, f"clips[{index}].ground_truth"))
            for index, (clip, name, truth) in enumerate(zip(given, names, truths, strict=True))
        ],
        seed=options.get("seed"),
    )


def list_request(options: JobFilter) -> job_pb2.ListJobsRequest:
    """The request for the first page of jobs. Raises InvalidArgument for an unknown state."""
    return job_pb2.ListJobsRequest(
        states=[_state(JOB_STATES, state) for state in options.get("states", ())],
        method=options.get("method", ""),
        model=options.get("model", ""),
        tenant=options.get("tenant", ""),
    )


def clips_request(identifier: str, states: Sequence[str]) -> job_pb2.ListJobClipsRequest:
    """The request for the first page of a job's clips. Raises InvalidArgument for an unknown state."""
    return job_pb2.ListJobClipsRequest(id=identifier, states=[_state(CLIP_STATES, state) for state in states])


def download_request(identifier: str, clip: int, form: str) -> job_pb2.DownloadResultRequest:
    """The request for a result. Raises InvalidArgument for an unknown format."""
    if form not in FORMATS:
        raise InvalidArgument(f"format: {form!r} is not one of {', '.join(FORMATS)}", field="format")
    return job_pb2.DownloadResultRequest(id=identifier, clip=clip, format=FORMATS[form])


def downloaded(messages: Sequence[job_pb2.DownloadResultResponse]) -> Downloaded:
    """The file in the messages of a stream. Raises ActionLensError (DATA_LOSS) when it is not what was sent."""
    data = b"".join(message.data for message in messages)
    header = messages[0].header if messages else job_pb2.ResultHeader()
    if len(data) != header.bytes or hashlib.sha256(data).hexdigest() != header.digest:
        error = ActionLensError("the result arrived damaged; download it again", reason="DIGEST_MISMATCH")
        error.code = grpc.StatusCode.DATA_LOSS
        raise error
    return Downloaded(header.name, header.media_type, data)


def state_name(state: job_pb2.JobState | job_pb2.ClipState, names: Mapping[str, S]) -> str:
    """A state as people write it, "running"; names: JOB_STATES or CLIP_STATES."""
    return next((name for name, number in names.items() if number == state), str(state))


def _state(names: Mapping[str, S], name: str) -> S:
    if name not in names:
        raise InvalidArgument(f"states: {name!r} is not one of {', '.join(names)}", field="states")
    return names[name]


def plan_request(method: method_pb2.Method, options: PlanOptions) -> job_pb2.PlanEvaluationRequest:
    """The request for the cost of an evaluation. Raises InvalidArgument for another method."""
    if method.WhichOneof("method") != "evaluate":
        raise InvalidArgument("evaluate: is no evaluation; make one with `evaluation`", field="evaluate")
    return job_pb2.PlanEvaluationRequest(
        model=options.get("model", ""),
        version=options.get("version", ""),
        evaluate=method.evaluate,
        frames=options.get("frames", 0),
    )


def _clip(clip: ClipLike | ServerFile, name: str, fps: float, truth: job_pb2.GroundTruth | None) -> job_pb2.JobClip:
    if isinstance(clip, ServerFile):
        return job_pb2.JobClip(name=name, path=clip.path, ground_truth=truth)
    return job_pb2.JobClip(name=name, clip=clip_message(clip, fps), ground_truth=truth)


def _names(clips: Sequence[ClipLike | ServerFile]) -> list[str]:
    """Names of the clips that are files; the service names the others."""
    stems = [Path(clip).stem if isinstance(clip, str | Path) else "" for clip in clips]
    named = iter(distinct(stem for stem in stems if stem))
    return [next(named) if stem else "" for stem in stems]
