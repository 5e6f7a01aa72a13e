"""A caller that leaves frees the worker: counted in what the network still does, not in seconds."""

from __future__ import annotations

import asyncio

import pytest

from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import Engine
from handlers.relevance.operations.weighted import Weighted
from handlers.wire.requests import answer_bytes
from service.backends.in_process import InProcessBackend
from service.backends.torchserve import TorchServeBackend
from service.backends.torchserve.shared_memory import Envelope
from service.errors import DeadlineExceeded
from tests.handlers import networks
from tests.service.backends import requests
from tests.service.backends.requests import SLOW, TINY
from tests.waiting import PATIENCE, eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

ATRS = [method_pb2.Method(atr=method_pb2.Atr(share=0.5 + 0.01 * step)) for step in range(16)]


async def test_no_operation_more_is_computed_for_who_has_left(
    in_process: InProcessBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, done = Weighted.relevance, 0
    leave = asyncio.get_running_loop().call_soon_threadsafe

    def counted(self: Weighted, *given: object) -> object:
        nonlocal done
        done += 1
        if done == 2:
            leave(call.cancel)
            # Not before the caller has left.
            asyncio.run_coroutine_threadsafe(eventually(call.done), loop).result(PATIENCE)
        return plain(self, *given)  # type: ignore[arg-type]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(Weighted, "relevance", counted)
    call = asyncio.create_task(in_process.compute(TINY, requests.tiny(methods=ATRS), PATIENCE))
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: not in_process.in_flight())
    assert done == 2
    assert (await in_process.compute(TINY, requests.tiny(methods=ATRS[:1]), PATIENCE)).response.explanations


async def test_a_withdrawn_clip_is_not_begun(model_store: object) -> None:
    sent = Envelope(requests.tiny(3, methods=ATRS))
    assert not sent.withdrawn
    sent.withdraw()
    (reply,) = answer_bytes(Engine(networks.model()), [sent.body])
    assert worker_pb2.ComputeResponse.FromString(reply).HasField("failure")
    sent.close()
    sent.withdraw()  # the caller may leave when the answer has just come
    assert sent.withdrawn


@pytest.mark.parametrize("way", ["cancelled", "late"])
async def test_a_torchserve_worker_is_told_when_the_caller_has_left(
    torchserve: TorchServeBackend, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    withdrawn: list[Envelope] = []
    plain = Envelope.withdraw

    def noted(self: Envelope) -> None:
        withdrawn.append(self)
        plain(self)

    monkeypatch.setattr(Envelope, "withdraw", noted)
    await torchserve.compute(TINY, requests.tiny(), PATIENCE)
    assert not withdrawn
    call = asyncio.create_task(torchserve.compute(SLOW, requests.slow(), 0.001 if way == "late" else PATIENCE))
    if way == "cancelled":
        await eventually(lambda: torchserve.in_flight() > 0)
        call.cancel()
    with pytest.raises(asyncio.CancelledError if way == "cancelled" else DeadlineExceeded):
        await call
    assert len(withdrawn) == 1
    await eventually(lambda: not torchserve.in_flight())
    assert (await torchserve.compute(SLOW, requests.slow(), PATIENCE)).response.prediction.top
