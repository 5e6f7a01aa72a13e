"""Puts answers for clients together from what the worker computed."""

from __future__ import annotations

import io
import time

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, explanation_pb2
from actionlens.worker.v1 import worker_pb2
from service.dataplane import timings
from service.dataplane.failures import error_of
from service.dataplane.levels import level_of
from service.dataplane.resolved_request import ResolvedRequest
from service.errors import InvalidArgument
from service.readings.explanation import read_explanation
from service.rendering.film_times import film_times
from service.rendering.overlay import blend, encode_jpeg, enlarge, write_mp4


def check_response(request: ResolvedRequest, response: worker_pb2.ComputeResponse) -> None:
    """Raise the error that the client must see when the worker refused the clip or the parameters of a method.

    Failures of single explanations get the index that their method has in the client's request.
    """
    if response.HasField("failure"):
        raise error_of(response.failure, request.path)
    for explanation in response.explanations:
        if not explanation.HasField("failure"):
            continue
        failure = explanation.failure
        failure.field, failure.message = request.as_requested(failure.field), request.as_requested(failure.message)
        # A wrong parameter is wrong for every clip. Other failures depend on the clip and stand inside the answer.
        if failure.field.startswith("methods["):
            error = error_of(failure, request.path)
            if isinstance(error, InvalidArgument):
                raise error


def build_answer(
    request: ResolvedRequest,
    response: worker_pb2.ComputeResponse,
    report: answer_pb2.FrameReport,
    frames: NDArray[np.uint8],
) -> answer_pb2.Answer:
    """Make the answer, but for the service's own timings, with the overlays that were asked for.

    frames: uint8 [T, height, width, 3], what the model saw.
    """
    started = time.perf_counter()
    answer = answer_pb2.Answer(
        model=request.model.name,
        version=request.model.version,
        prediction=response.prediction,
        explanations=response.explanations,
        frames=report,
        quality=response.quality if response.HasField("quality") else None,
    )
    for explanation in answer.explanations:
        if not explanation.HasField("failure"):
            explanation.reading = read_explanation(explanation, report)
            _draw(explanation, request.output.overlay, report, frames)
    computed = [entry.method for entry in answer.explanations if not entry.HasField("failure")]
    answer.level = max(map(level_of, computed), default=answer_pb2.EXPLANATION_LEVEL_PREDICTION)
    failed = [entry for entry in answer.explanations if entry.HasField("failure")]
    answer.level_reason = "; ".join(f"{entry.method}: {entry.failure.message}" for entry in failed)
    answer.timings.CopyFrom(timings.computed(response.timings, time.perf_counter() - started))
    return answer


def _draw(
    explanation: explanation_pb2.Explanation,
    overlay: answer_pb2.OverlayFormat,
    report: answer_pb2.FrameReport,
    frames: NDArray[np.uint8],
) -> None:
    if overlay == answer_pb2.OVERLAY_FORMAT_UNSPECIFIED or explanation.WhichOneof("value") != "saliency":
        return
    if overlay == answer_pb2.OVERLAY_FORMAT_JPEG:
        newest = len(frames) - 1
        explanation.overlay.media_type = "image/jpeg"
        explanation.overlay.data = encode_jpeg(
            blend(enlarge(frames[newest:]), explanation, report.placement, [newest])[0]
        )
        return
    video = io.BytesIO()
    write_mp4(video, blend(enlarge(frames), explanation, report.placement), film_times(report))
    explanation.overlay.media_type = "video/mp4"
    explanation.overlay.data = video.getvalue()
