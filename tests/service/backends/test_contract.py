"""Promises of every backend."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

import numpy as np
import pytest

from actionlens.v1 import method_pb2
from service.backends.protocol import InferenceBackend, Reply, Work
from service.errors import DeadlineExceeded, NotFound, ResourceExhausted, Unavailable
from tests.service.backends import requests
from tests.service.backends.conftest import ROOM, SLOTS
from tests.service.backends.requests import SLOW, TINY
from tests.waiting import eventually

# Graphs are exported first, for the backend that serves them.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

SECONDS = 120.0


async def idle(backend: InferenceBackend) -> None:
    await eventually(lambda: not backend.in_flight())


def ask_slow(backend: InferenceBackend, count: int) -> list[asyncio.Task[Reply]]:
    """So many calls that take long, one after the other."""
    return [asyncio.create_task(backend.compute(SLOW, requests.slow(), SECONDS)) for _ in range(count)]


async def test_answers_are_the_networks_own(backend: InferenceBackend, model_store: Path) -> None:
    begun = time.monotonic()
    reply = await backend.compute(TINY, requests.tiny(3), SECONDS)
    took = time.monotonic() - begun
    expected = requests.expected_logits(model_store, 3)
    np.testing.assert_allclose(requests.logits(reply.response), expected, atol=1e-5)
    assert reply.response.prediction.top[0].index == expected.argmax()
    assert not reply.response.explanations
    assert reply.queue >= 0
    assert reply.transport >= 0
    assert reply.queue + reply.transport < took


async def test_explanations_come_with_the_prediction(backend: InferenceBackend) -> None:
    method = method_pb2.Method(grad_cam=method_pb2.GradCam())
    reply = await backend.compute(TINY, requests.tiny(methods=[method]), SECONDS)
    (explanation,) = reply.response.explanations
    assert explanation.method == "grad-cam"
    assert list(explanation.saliency.values.shape) == [3, 6, 8]


async def test_describes_its_models(backend: InferenceBackend, model_store: Path) -> None:
    models = backend.models()
    assert sorted(models) == [SLOW, TINY]
    weights = (model_store / TINY / "weights.safetensors").read_bytes()
    assert models[TINY].weights_digest == hashlib.sha256(weights).hexdigest()
    assert list(models[TINY].labels) == ["left", "right", "still"]
    assert {model.scores for model in models.values()} == {"logits"}
    assert not models[TINY].notes
    assert (models[SLOW].input.frames, models[SLOW].input.height) == (16, 96)
    assert models[TINY].ready
    assert backend.healthy()
    assert backend.capacity() == 2 * SLOTS


async def test_a_bad_item_fails_alone(backend: InferenceBackend, model_store: Path) -> None:
    short = Work(requests.tiny(1).request, requests.tiny(1).pixels[:5])
    nobody = requests.tiny(1, target=method_pb2.Target(explained=method_pb2.ClassSelector(label="nobody")))
    good = [requests.tiny(seed) for seed in range(4)]
    batch = [good[0], short, good[1], nobody, good[2], good[3]]
    replies = await asyncio.gather(*(backend.compute(TINY, item, SECONDS) for item in batch))
    assert replies[1].response.failure.field == "clip"
    assert replies[3].response.failure.field == "target.explained.label"
    assert "'nobody' is not a class of tiny" in replies[3].response.failure.message
    for index, seed in ((0, 0), (2, 1), (4, 2), (5, 3)):
        expected = requests.expected_logits(model_store, seed)
        np.testing.assert_allclose(requests.logits(replies[index].response), expected, atol=1e-5)


async def test_an_unknown_model_is_named_with_those_there_are(backend: InferenceBackend) -> None:
    with pytest.raises(NotFound, match=r"'nothing'.*slow, tiny"):
        await backend.compute("nothing", requests.tiny(), SECONDS)


async def test_concurrent_answers_reach_their_own_callers(backend: InferenceBackend, model_store: Path) -> None:
    replies = await asyncio.gather(*(backend.compute(TINY, requests.tiny(seed), SECONDS) for seed in range(20)))
    for seed, reply in enumerate(replies):
        expected = requests.expected_logits(model_store, seed)
        np.testing.assert_allclose(requests.logits(reply.response), expected, atol=1e-5)
    assert max(reply.response.timings.batch_size for reply in replies) == 2  # waiting clips shared a forward


async def test_a_deadline_of_a_millisecond_is_kept_and_harms_nobody(backend: InferenceBackend) -> None:
    await idle(backend)
    hasty = asyncio.create_task(backend.compute(SLOW, requests.slow(), 0.001))
    others = ask_slow(backend, SLOTS + ROOM - 1)
    with pytest.raises(DeadlineExceeded):
        await hasty
    assert not all(other.done() for other in others), "it waited for the computing"
    assert all([(await other).response.prediction.top for other in others])


async def test_what_waited_past_its_deadline_is_never_computed(backend: InferenceBackend) -> None:
    await idle(backend)
    before = ask_slow(backend, SLOTS + ROOM - 1)
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        await backend.compute(SLOW, requests.slow(), 0.01)
    # Fewer where the machine was slow to say so.
    assert backend.in_flight() <= len(before)
    await asyncio.gather(*before)
    assert backend.in_flight() == 0


async def test_over_capacity_is_refused_at_once_with_a_time_to_come_back(backend: InferenceBackend) -> None:
    await idle(backend)
    surplus = 5
    calls = ask_slow(backend, SLOTS + ROOM + surplus)
    refused = calls[-surplus:]
    done, _ = await asyncio.wait(refused, timeout=SECONDS)
    assert not all(call.done() for call in calls[:-surplus]), "refused only after the others had their answers"
    assert len(done) == surplus
    for call in refused:
        error = call.exception()
        assert isinstance(error, ResourceExhausted)
        assert error.retry_after
        assert error.retry_after > 0
    assert all(isinstance(reply, Reply) for reply in await asyncio.gather(*calls[:-surplus]))


async def test_a_caller_that_leaves_gives_its_slot_back(backend: InferenceBackend) -> None:
    await idle(backend)
    calls = ask_slow(backend, SLOTS + 2)
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True))
    await idle(backend)
    assert (await backend.compute(TINY, requests.tiny(), SECONDS)).response.prediction.top


async def test_stop_finishes_what_is_in_work_and_refuses_the_rest(fresh: InferenceBackend) -> None:
    assert not fresh.healthy()
    with pytest.raises(Unavailable):
        await fresh.compute(TINY, requests.tiny(), SECONDS)
    await fresh.start()
    calls = ask_slow(fresh, 2 * SLOTS)
    await asyncio.sleep(0)
    assert fresh.in_flight() == len(calls)
    await asyncio.gather(fresh.stop(), fresh.stop())
    ends = await asyncio.gather(*calls, return_exceptions=True)
    # In their order: those that were in work, and those whose slot came free before the stop, however late that came.
    answered = sum(isinstance(end, Reply) for end in ends)
    assert SLOTS <= answered < len(ends)
    assert all(isinstance(end, Reply) for end in ends[:answered])
    assert all(isinstance(end, Unavailable) for end in ends[answered:])
    assert not fresh.healthy()
    with pytest.raises(Unavailable):
        await fresh.compute(TINY, requests.tiny(), SECONDS)
    await fresh.stop()
