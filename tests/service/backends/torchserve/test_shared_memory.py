"""Pixels on their way to a worker."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.errors import INTERNAL
from handlers.wire.requests import answer
from service.backends.canary import description
from service.backends.protocol import Work
from service.backends.torchserve.shared_memory import Envelope
from tests.handlers import networks
from tests.service.backends import requests


def test_the_worker_reads_what_was_sent_and_nothing_stays_behind() -> None:
    work = requests.tiny(3)
    before = os.listdir("/proc/self/fd")
    with Envelope(work) as sent_to:
        sent = worker_pb2.ComputeRequest.FromString(sent_to.body).compute
        assert Path(sent.clip_file).read_bytes() == work.pixels.tobytes()
        assert not sent.clip
        assert len(sent_to.body) < 200
        (read,), (plain,) = (
            answer(Engine(networks.model()), [each])
            for each in (worker_pb2.ComputeRequest(compute=sent), requests.message(work))
        )
        assert read.prediction == plain.prediction
    assert not Path(sent.clip_file).exists()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert work.request == requests.tiny(3).request


def test_pixels_of_any_strides_arrive_in_their_order() -> None:
    work = requests.tiny(3)
    with Envelope(Work(work.request, work.pixels[:, :, ::-1])) as sent_to:
        sent = worker_pb2.ComputeRequest.FromString(sent_to.body).compute
        read = np.fromfile(sent.clip_file, np.uint8).reshape(sent.frames, sent.height, sent.width, 3)
        np.testing.assert_array_equal(read, work.pixels[:, :, ::-1])


def test_a_clip_that_nobody_waits_for_any_more_fails_alone() -> None:
    with Envelope(requests.tiny(3)) as sent_to:
        late = worker_pb2.ComputeRequest.FromString(sent_to.body)
    good = requests.message(requests.tiny(1))
    gone, answered = answer(Engine(networks.model()), [late, good])
    assert (gone.failure.reason, gone.failure.code) == ("CLIP_GONE", INTERNAL)
    assert answered.prediction.top


def test_a_jobs_clip_goes_the_same_way() -> None:
    clip = requests.tiny(3)
    block = worker_pb2.Advance(compute=clip.request.compute, state=b"so far")
    with Envelope(Work(worker_pb2.ComputeRequest(advance=block), clip.pixels)) as sent_to:
        sent = worker_pb2.ComputeRequest.FromString(sent_to.body).advance
        assert Path(sent.compute.clip_file).read_bytes() == clip.pixels.tobytes()
        assert (sent.compute.clip, sent.state) == (b"", b"so far")


def test_what_has_no_pixels_travels_as_it_is() -> None:
    with Envelope(description()) as sent_to:
        assert worker_pb2.ComputeRequest.FromString(sent_to.body) == description().request
