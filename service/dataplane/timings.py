"""Answer.timings: where the time of a clip, of a window and of a job's result went, in seconds.

A live answer is completed in three steps, by whoever knows: `computed` (the worker and the drawing), `served` (what the
service did before and the way there), `delivered` (all of it). A job's result has `computed` and `job_done`.
"""

from __future__ import annotations

import time

from actionlens.v1 import answer_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Reply


def computed(times: worker_pb2.ComputeTimings, drawing: float) -> answer_pb2.Timings:
    """Timings as the worker measured them. drawing: seconds that the service took to put the answer together."""
    return answer_pb2.Timings(
        forward=times.forward,
        batch_size=times.batch_size,
        explain=times.explain,
        explain_together=times.explain_together,
        encode=times.encode + drawing,
        measure=times.measure,
        others_measure=times.others_measure,
    )


def served(answer: answer_pb2.Answer, reply: Reply, *, decode: float, waited: float) -> None:
    """Add what a clip or a window took before and beside the worker.

    decode: seconds of decoding. waited: for a thread or a slot, before the backend was called.
    """
    answer.timings.decode = decode
    answer.timings.queue = waited + reply.queue
    answer.timings.transport = reply.transport


def delivered(answer: answer_pb2.Answer, since: float) -> float:
    """Add the total of a clip or a window and return it. since: when its time began (time.perf_counter)."""
    answer.timings.total = time.perf_counter() - since
    return answer.timings.total


def job_done(answer: answer_pb2.Answer, seconds: float) -> None:
    """Add what all blocks of a job's clip took together: its one explanation, and the total."""
    answer.timings.explain[:] = [seconds]
    answer.timings.total = seconds
