"""Computing ends when nobody waits for the answer: counted in operations of the network, not in seconds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import pytest

from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers import interruption
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.errors import CANCELLED, DEADLINE_EXCEEDED, RequestError
from handlers.interruption import Interrupted, check, while_wanted
from handlers.relevance.operations.base import Site
from handlers.relevance.operations.weighted import Weighted
from handlers.wire import requests
from handlers.wire.requests import answer_bytes
from tests.handlers import networks

SHARES = [0.5 + 0.01 * step for step in range(16)]
"""So many ATRs, none like the other."""


class Countdown:
    """A caller that leaves when it has been looked for so many times."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def __call__(self) -> bool:
        self.left -= 1
        return self.left >= 0


@pytest.fixture
def engine() -> Engine:
    return Engine(networks.model())


@pytest.fixture
def descents(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that relevance goes down through a convolution or the classifier."""
    seen: list[str] = []
    plain = Weighted.relevance

    def noted(self: Weighted, message: object, site: Site) -> object:
        seen.append(type(self).__name__)
        return plain(self, message, site)  # type: ignore[arg-type]

    monkeypatch.setattr(Weighted, "relevance", noted)
    return seen


def atrs() -> list[MethodCall]:
    return [MethodCall("atr", {"share": share}) for share in SHARES]


def message(clip_file: str = "", methods: Sequence[MethodCall] = (), **inline: object) -> bytes:
    made = [method_pb2.Method(atr=method_pb2.Atr(share=method.parameters["share"])) for method in methods]
    size = dict(zip(("frames", "height", "width"), networks.clip().shape, strict=False))
    compute = worker_pb2.Compute(clip_file=clip_file, methods=made, **size, **inline)  # type: ignore[arg-type]
    return worker_pb2.ComputeRequest(compute=compute).SerializeToString()


def test_nothing_is_checked_outside_of_a_block_and_an_exceptions_handler_lets_it_pass() -> None:
    def careless() -> None:
        with suppress(Exception):
            check()

    careless()
    with while_wanted(lambda: False), pytest.raises(Interrupted):
        careless()
    check()


def test_whoever_has_left_before_is_not_computed_and_its_neighbour_is(engine: Engine, descents: list[str]) -> None:
    gone, answered = engine.explain(
        [ClipRequest(networks.clip(1), atrs(), wanted=lambda: False), ClipRequest(networks.clip(2))]
    )
    assert isinstance(gone, RequestError)
    assert (gone.reason, gone.code) == ("INTERRUPTED", CANCELLED)
    assert not isinstance(answered, RequestError)
    assert not descents


def test_methods_after_the_callers_end_are_not_computed(engine: Engine, descents: list[str]) -> None:
    (whole,) = engine.explain([ClipRequest(networks.clip(), atrs())])
    assert not isinstance(whole, RequestError)
    assert not any(isinstance(entry.result, RequestError) for entry in whole.explained)
    all_of_them, looks_at_all = len(descents), looks_of(engine, atrs())

    ends = []
    for looks in (looks_at_all // 4, looks_at_all // 2, looks_at_all - 20):
        descents.clear()
        (cut,) = engine.explain([ClipRequest(networks.clip(), atrs(), wanted=Countdown(looks))])
        reasons = [cut] if isinstance(cut, RequestError) else [entry.result for entry in cut.explained]
        assert any(isinstance(each, RequestError) and each.reason == "INTERRUPTED" for each in reasons)
        assert len(descents) <= looks
        ends.append(len(descents))
    assert ends == sorted(ends)
    assert ends[-1] < all_of_them


def test_a_batch_goes_on_for_whoever_still_waits(engine: Engine) -> None:
    (alone,) = engine.explain([ClipRequest(networks.clip(2), atrs())])
    left, stays = engine.explain(
        [ClipRequest(networks.clip(1), atrs(), wanted=Countdown(30)), ClipRequest(networks.clip(2), atrs())]
    )
    assert not isinstance(alone, RequestError)
    assert not isinstance(stays, RequestError)
    for one, other in zip(alone.explained, stays.explained, strict=True):
        np.testing.assert_allclose(one.result.values, other.result.values, rtol=1e-4, atol=1e-6)  # type: ignore[union-attr]
    assert not isinstance(left, RequestError)
    assert any(isinstance(entry.result, RequestError) for entry in left.explained)


def test_a_clips_file_that_is_emptied_ends_its_computation(
    engine: Engine, descents: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = os.memfd_create("clip")
    os.write(pixels, networks.clip().tobytes())
    path = f"/proc/self/fd/{pixels}"
    before = len(os.listdir("/proc/self/fd"))
    try:
        (whole,) = answer_bytes(engine, [message(path, atrs())])
        assert len(worker_pb2.ComputeResponse.FromString(whole).explanations) == len(SHARES)
        all_of_them = len(descents)

        descents.clear()
        noted = Weighted.relevance

        def leave(self: Weighted, *given: object) -> object:
            os.ftruncate(pixels, 0)
            return noted(self, *given)  # type: ignore[arg-type]

        monkeypatch.setattr(Weighted, "relevance", leave)
        (cut,) = answer_bytes(engine, [message(path, atrs())])
        assert worker_pb2.ComputeResponse.FromString(cut).failure.reason == "INTERRUPTED"
        assert len(descents) == 1 < all_of_them
        # One that waited in line meanwhile is not begun.
        (late,) = answer_bytes(engine, [message(path, atrs())])
        assert worker_pb2.ComputeResponse.FromString(late).HasField("failure")
        assert len(descents) == 1
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        os.close(pixels)


def test_what_takes_too_long_ends_by_itself_and_says_so(
    engine: Engine, descents: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that stands still until the first descent."""
    now = 0.0
    monkeypatch.setattr(requests.time, "perf_counter", lambda: now)
    noted = Weighted.relevance

    def last_long(self: Weighted, *given: object) -> object:
        nonlocal now
        now += 10.0
        return noted(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Weighted, "relevance", last_long)
    (cut,) = answer_bytes(engine, [message(methods=atrs(), clip=networks.clip().tobytes())], 15.0)
    failure = worker_pb2.ComputeResponse.FromString(cut).failure
    assert (failure.reason, failure.code) == ("COMPUTE_TOO_LONG", DEADLINE_EXCEEDED)
    assert len(descents) == 2


@pytest.mark.parametrize("method", ["grad-cam", "guided-backprop", "dtd", "clrp", "selective-relevance", "atr"])
def test_every_live_method_can_be_interrupted(engine: Engine, method: str) -> None:
    whole = looks_of(engine, [MethodCall(method)]) - looks_of(engine, [])
    assert whole > 1


def looks_of(engine: Engine, methods: Sequence[MethodCall]) -> int:
    """How often the caller is looked for."""
    asked = Countdown(10**9)
    (found,) = engine.explain([ClipRequest(networks.clip(), methods, wanted=asked)])
    assert not isinstance(found, RequestError)
    return 10**9 - asked.left


def test_the_condition_holds_for_its_own_thread_alone() -> None:
    outcome: list[Callable[[], bool]] = []
    with while_wanted(lambda: False):
        other = threading.Thread(target=lambda: outcome.append(interruption._WANTED.get()))
        other.start()
        other.join()
    assert outcome == [interruption.always]
