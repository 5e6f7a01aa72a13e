"""Pixels on their way to a worker."""

from __future__ import annotations

import os
from pathlib import Path

from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.errors import INTERNAL
from handlers.wire.requests import answer
from service.backends.model_choice import describe_request
from service.backends.torchserve.shared_memory import envelope
from tests.handlers import networks
from tests.service.backends import requests


def test_the_worker_reads_what_was_sent_and_nothing_stays_behind() -> None:
    request = worker_pb2.ComputeRequest(compute=requests.tiny(3))
    before = os.listdir("/proc/self/fd")
    with envelope(request) as body:
        sent = worker_pb2.ComputeRequest.FromString(body).compute
        assert Path(sent.clip_file).read_bytes() == request.compute.clip
        assert not sent.clip
        assert len(body) < 200
        (read,), (plain,) = (
            answer(Engine(networks.model()), [each]) for each in (worker_pb2.ComputeRequest(compute=sent), request)
        )
        assert read.prediction == plain.prediction
    assert not Path(sent.clip_file).exists()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert request.compute.clip


def test_a_clip_that_nobody_waits_for_any_more_fails_alone() -> None:
    with envelope(worker_pb2.ComputeRequest(compute=requests.tiny(3))) as body:
        late = worker_pb2.ComputeRequest.FromString(body)
    good = worker_pb2.ComputeRequest(compute=requests.tiny(1))
    gone, answered = answer(Engine(networks.model()), [late, good])
    assert (gone.failure.reason, gone.failure.code) == ("CLIP_GONE", INTERNAL)
    assert answered.prediction.top


def test_a_jobs_clip_goes_the_same_way() -> None:
    request = worker_pb2.ComputeRequest(advance=worker_pb2.Advance(compute=requests.tiny(3), state=b"so far"))
    with envelope(request) as body:
        sent = worker_pb2.ComputeRequest.FromString(body).advance
        assert Path(sent.compute.clip_file).read_bytes() == request.advance.compute.clip
        assert (sent.compute.clip, sent.state) == (b"", b"so far")


def test_what_has_no_pixels_travels_as_it_is() -> None:
    with envelope(describe_request()) as body:
        assert worker_pb2.ComputeRequest.FromString(body) == describe_request()
