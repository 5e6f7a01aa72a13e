"""A batch in which one clip makes the model fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from actionlens.v1 import explanation_pb2, model_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Work
from service.backends.thread_backend import Answer, ThreadBackend
from service.errors import Unavailable
from service.settings import Settings

BAD = 253
SIZE = {"frames": 1, "height": 2, "width": 2}


class Brittle(ThreadBackend):
    """One model that raises for a whole batch when one of its clips is bad."""

    batches: list[int]

    def load(self) -> Iterator[tuple[str, Answer, int]]:
        self.batches = []
        yield "brittle", self.answers, 8

    def answers(self, batch: Sequence[Work]) -> list[worker_pb2.ComputeResponse]:
        if batch[0].request.WhichOneof("work") == "describe":
            size = model_pb2.ModelInput(**SIZE)
            model = model_pb2.Model(name="brittle", labels=["a", "b"], input=size)
            return [worker_pb2.ComputeResponse(model=model)]
        self.batches.append(len(batch))
        if any((work.pixels == BAD).all() for work in batch):
            raise RuntimeError("one of them is bad")
        top = [explanation_pb2.ClassScore(index=int(work.pixels.max())) for work in (batch)]
        return [worker_pb2.ComputeResponse(prediction=explanation_pb2.Prediction(top=[score])) for score in top]


def work(value: int) -> Work:
    request = worker_pb2.ComputeRequest(compute=worker_pb2.Compute(**SIZE))
    return Work(request, np.full((1, 2, 2, 3), value, np.uint8))


async def test_a_clip_that_breaks_its_batch_fails_alone() -> None:
    backend = Brittle(Settings(models=["brittle"]))
    await backend.start()
    try:
        values = [1, 2, BAD, 3, 4, BAD]
        computed = (backend.compute("brittle", work(value), 30.0) for value in values)
        replies = await asyncio.gather(*computed, return_exceptions=True)
    finally:
        await backend.stop()
    for value, reply in zip(values, replies, strict=True):
        if value == BAD:
            assert isinstance(reply, Unavailable)
        else:
            assert not isinstance(reply, BaseException), reply
            assert reply.response.prediction.top[0].index == value
    if max(backend.batches) == 1:
        pytest.fail("no two clips were in one batch, so nothing was shown")
