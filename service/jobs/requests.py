"""Checks and completes job requests before the engine sees them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from actionlens.v1 import clip_pb2, job_pb2, method_pb2, model_pb2
from service.dataplane.evaluation import check_target
from service.dataplane.served_models import ServedModels
from service.decoding.sampling import check_rate
from service.errors import InvalidArgument
from service.jobs.input_root import input_file
from service.unique_names import distinct
from service.validation.measures import check_evaluate
from service.validation.request import EVALUATE, check_message, check_method, check_text, resolve_target
from service.validation.truth_checks import check_measurements, complete_truth

_LARGEST_PAGE = 1000
_PAGE = 100
# Names become parts of file names on all systems.
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\:*?\"<>|]{1,100}")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:*?\"<>|]")


def complete_job(request: job_pb2.CreateJobRequest, served: ServedModels, root: Path | None) -> None:
    """Check a new job, of which `check_counts` and `check_message` have nothing to say, and fill in, in place, the
    fields that it leaves open: model, version, priority, class numbers and the clips' names.

    A clip's content is looked at when it is computed: one that cannot be read fails alone. root: the input root.
    Raises InvalidArgument, NotFound and FailedPrecondition naming the field.
    """
    model = served.find(request.model, request.version)
    if request.method.WhichOneof("method") == EVALUATE:
        check_evaluate(request.method.evaluate, model, f"method.{EVALUATE}")
        check_measurements(len(request.clips), request.method.evaluate)
        check_target(request)
    else:
        check_method(request.method, model, "method", job=True)
    _check_sampling(request.sampling, model)
    _check_clips(request.clips, root)
    request.model, request.version = model.name, model.version
    request.priority = request.priority or job_pb2.JOB_PRIORITY_NORMAL
    if request.HasField("target"):
        request.target.CopyFrom(resolve_target(request.target, model, "target"))
    _complete_truths(request, model)
    given = {clip.name for clip in request.clips if clip.name}
    unnamed = [(index, clip) for index, clip in enumerate(request.clips) if not clip.name]
    for (_, clip), name in zip(unnamed, distinct((_name(index, clip) for index, clip in unnamed), given), strict=True):
        clip.name = name


def complete_page(request: job_pb2.ListJobsRequest | job_pb2.ListJobClipsRequest) -> None:
    """Check a request for a page and fill in its size, in place. Raises InvalidArgument naming the field."""
    check_message(request)
    request.page_size = min(request.page_size or _PAGE, _LARGEST_PAGE)
    states = sorted(set(request.states))  # each is a variable of the query
    if states and not states[0]:
        index = list(request.states).index(states[0])
        raise InvalidArgument(f"states[{index}]: names no state", field=f"states[{index}]")
    del request.states[:]
    request.states.extend(states)  # type: ignore[arg-type]  # numbers of the one enum or the other
    if isinstance(request, job_pb2.ListJobsRequest) and request.method:
        request.method = request.method.replace("_", "-")
        fields: Sequence[str] = list(method_pb2.Method.DESCRIPTOR.fields_by_name)
        known = [field.replace("_", "-") for field in fields]
        if request.method not in known:
            raise InvalidArgument(
                f"method: {request.method!r} is not a method; known: {', '.join(known)}",
                field="method",
                reason="UNKNOWN_METHOD",
            )


def check_identifier(identifier: str) -> str:
    """The id itself. Raises InvalidArgument when it is empty, or no text that an id could be."""
    if not identifier:
        raise InvalidArgument("id: is empty; CreateJob and ListJobs tell the ids", field="id")
    check_text(identifier, "id")
    return identifier


def _check_clips(clips: Sequence[job_pb2.JobClip], root: Path | None) -> None:
    if not clips:
        raise InvalidArgument("clips: names none; give at least one", field="clips", reason="NO_CLIPS")
    if root is not None and any(clip.path for clip in clips):
        root = root.resolve()
    seen: dict[str, int] = {}
    for index, clip in enumerate(clips):
        field = f"clips[{index}]"
        match clip.WhichOneof("source"):
            case "path":
                input_file(root, clip.path, f"{field}.path")
            case "clip" if clip.clip.WhichOneof("source") is not None:
                pass
            case _:
                raise InvalidArgument(
                    f"{field}: holds no clip; upload a video, frames or raw pixels, or name a path",
                    field=field,
                    reason="CLIP_EMPTY",
                )
        if clip.name:
            _check_name(clip.name, f"{field}.name")
            if clip.name in seen:
                raise InvalidArgument(
                    f"{field}.name: {clip.name!r} is the name of clips[{seen[clip.name]}] too; names are unique",
                    field=f"{field}.name",
                    reason="NAME_TAKEN",
                )
            seen[clip.name] = index


def _complete_truths(request: job_pb2.CreateJobRequest, model: model_pb2.Model) -> None:
    measured = request.method.WhichOneof("method") == EVALUATE
    for index, clip in enumerate(request.clips):
        if not clip.HasField("ground_truth"):
            continue
        path = f"clips[{index}].ground_truth"
        if not measured:
            raise InvalidArgument(
                f"{path}: no explanation uses it; the method evaluate does", field=path, reason="BAD_GROUND_TRUTH"
            )
        complete_truth(clip.ground_truth, model, path)


def _check_name(name: str, field: str) -> None:
    if not _NAME.fullmatch(name) or name.strip(". ") != name:
        raise InvalidArgument(
            f'{field}: {name!r} cannot name files; use at most 100 characters, none of / \\ : * ? " < > |, no dot or '
            "space at the ends",
            field=field,
            reason="BAD_NAME",
        )


def _name(index: int, clip: job_pb2.JobClip) -> str:
    """A name from a clip's path, else from its position."""
    stem = _NOT_IN_NAMES.sub("_", PurePosixPath(clip.path).stem)[:80].strip(". ")
    return stem or f"clip-{index}"


def _check_sampling(sampling: clip_pb2.Sampling, model: model_pb2.Model) -> None:
    """Check all that can be checked without the clips. Raises InvalidArgument."""
    size = model.input
    check_rate(sampling, size)
    field, count = "", 0
    match sampling.WhichOneof("rule"):
        case "uniform" if sampling.uniform.count:
            field, count = "sampling.uniform.count", sampling.uniform.count
        case "segments" if sampling.segments.count:
            field, count = "sampling.segments.count", sampling.segments.count
        case "indices":
            field, count = "sampling.indices.values", len(sampling.indices.values)
    if not field or count == size.frames or 1 <= count <= size.most_frames:
        return
    takes = f"1 to {size.most_frames}" if size.most_frames else f"exactly {size.frames}"
    raise InvalidArgument(
        f"{field}: {count} frames; {model.name} takes {takes}", field=field, reason="SAMPLING_WRONG_COUNT"
    )
