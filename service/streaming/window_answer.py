"""Answers one window of a stream: decoded frames in, an answer or the reason why there is none out."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from actionlens.v1 import answer_pb2
from service.dataplane import timings
from service.dataplane.answer import build_answer
from service.dataplane.explain_service import TOO_COSTLY, ExplainService
from service.dataplane.resolved_request import ResolvedRequest
from service.errors import (
    ActionLensError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from service.readings.source_clock import size_note
from service.streaming.frame_decoder import DecodedFrame
from service.streaming.frames import Window
from service.telemetry import spans as tracing

_LONGEST_PAUSE = 1.0

# The answer, when the window's newest frame arrived (time.perf_counter) and the trace ("" without); or why there is no
# answer.
Outcome = tuple[answer_pb2.Answer, float, str] | ActionLensError


async def answer_window(
    service: ExplainService, window: Window, request: ResolvedRequest, *, since: float, patient: bool
) -> Outcome:
    """Answer one window whose frames are decoded.

    request: with the methods that the budget leaves this window. since: timestamp of the stream's first frame.
    patient: wait as long as workers may take, try again while they are unavailable or busy, and then raise; else return
    the error, for the window to be skipped.
    Raises InvalidArgument, NotFound and FailedPrecondition in any case: they are wrong for every window.
    """
    frames: list[DecodedFrame] = [frame.content for frame in window.frames]
    newest = frames[-1]
    # A copy, because windows share frames and a worker takes its window in one piece; backends make no other here.
    pixels = np.stack([frame.pixels for frame in frames])
    queued = time.perf_counter()
    # When in between it was decoded is not known.
    tracing.stage("decode", newest.arrived, newest.arrived + newest.decoding)
    tracing.stage("queue", newest.arrived + newest.decoding, queued)
    settings = service.settings
    # A worker may take response_seconds for a batch: one in work, and then the window's own.
    deadline = queued + (2 * settings.response_seconds if patient else settings.stream.window_seconds)
    while True:
        try:
            reply = await service.compute(request, pixels, newest.placement, deadline - time.perf_counter())
            break
        except (InvalidArgument, NotFound, FailedPrecondition):
            raise  # wrong for every window
        except ActionLensError as error:
            if not patient:
                return error
            pause = min(error.retry_after or 0.1, _LONGEST_PAUSE)
            passing = isinstance(error, Unavailable | ResourceExhausted) and error.reason != TOO_COSTLY
            if not passing or time.perf_counter() + pause >= deadline:
                raise
            await asyncio.sleep(pause)
    computed = time.perf_counter()
    report = _report(window, newest, since)
    answer, _, _ = await service.frame_pool.run(lambda: build_answer(request, reply.response, report, pixels))
    tracing.stage("encode", computed, time.perf_counter())
    timings.served(answer, reply, decode=newest.decoding, waited=queued - newest.arrived - newest.decoding)
    return answer, newest.arrived, tracing.trace_id()


def _report(window: Window, newest: DecodedFrame, since: float) -> answer_pb2.FrameReport:
    sizes = [frame.content.came_as for frame in window.frames]
    sources = dict.fromkeys(frame.content.note for frame in window.frames)
    return answer_pb2.FrameReport(
        used=[frame.sequence for frame in window.frames],
        timestamps=[frame.timestamp - since for frame in window.frames] if window.fps else [],
        effective_fps=window.fps,
        source_width=newest.width,
        source_height=newest.height,
        placement=newest.placement,
        notes=filter(None, (*sources, *window.notes, size_note(sizes, (newest.width, newest.height)))),
    )
