"""The timings of an answer, step by step."""

from __future__ import annotations

import time

import pytest

from actionlens.v1 import answer_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Reply
from service.dataplane import timings


def answer() -> answer_pb2.Answer:
    times = worker_pb2.ComputeTimings(
        total=2.0,
        forward=0.5,
        explain=[0.25, 0.75],
        encode=0.125,
        batch_size=3,
        started=1e9,
        explain_together=True,
        measure=[1.5, 2.5],
        others_measure=0.375,
    )
    return answer_pb2.Answer(timings=timings.computed(times, 0.5))


def test_a_live_answer_has_every_part_and_the_total() -> None:
    made = answer()
    timings.served(made, Reply(worker_pb2.ComputeResponse(), queue=0.25, transport=0.0625), decode=0.5, waited=1.0)
    since = time.perf_counter() - 8
    total = timings.delivered(made, since)
    assert 8 <= total <= time.perf_counter() - since
    assert made.timings == answer_pb2.Timings(
        decode=0.5,
        queue=1.25,
        transport=0.0625,
        forward=0.5,
        encode=0.625,
        total=total,
        explain=[0.25, 0.75],
        batch_size=3,
        explain_together=True,
        measure=[1.5, 2.5],
        others_measure=0.375,
    )


def test_a_jobs_result_has_the_seconds_of_all_blocks_and_no_way_there() -> None:
    made = answer()
    timings.job_done(made, 75.5)
    assert list(made.timings.explain) == [75.5]
    assert made.timings.total == pytest.approx(75.5)
    assert (made.timings.decode, made.timings.queue, made.timings.transport) == (0, 0, 0)
