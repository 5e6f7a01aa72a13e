"""A backend that answers with sums over the pixels, so that tests can tell which frames it was given."""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray

from actionlens.tensors import to_array, to_tensor
from actionlens.v1 import explanation_pb2, model_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Reply, Work
from service.errors import NotFound

LABELS = ("red", "green", "blue light")
FRAMES, SIDE = 4, 8


def describe(name: str = "colours", version: str = "1.0") -> model_pb2.Model:
    return model_pb2.Model(
        name=name,
        version=version,
        labels=LABELS,
        input=model_pb2.ModelInput(
            frames=FRAMES, height=SIDE, width=SIDE, resize="stretch", sampling="uniform", stride=1
        ),
        methods=[
            model_pb2.MethodSupport(method="grad-cam", supported=True),
            model_pb2.MethodSupport(method="selective-relevance", supported=True),
            model_pb2.MethodSupport(method="dtd", supported=True),
        ],
    )


class PixelBackend:
    """Logit k is the mean of colour k over the clip; the saliency of a frame is its mean red.

    delay: seconds per clip; delays: more for a method, by its field's name. places: clips at once. failures: raised or
    returned for the next clips, one each.
    """

    def __init__(self, *models: model_pb2.Model) -> None:
        self.served = {model.name: model for model in models or (describe(),)}
        self.delay = 0.0
        self.delays: dict[str, float] = {}
        self.places = 8
        self.failures: deque[Exception | explanation_pb2.Failure] = deque()
        self.explanation_failure: explanation_pb2.Failure | None = None
        self.up = False
        self.requests: list[worker_pb2.Compute] = []
        self.clips: list[NDArray[np.uint8]] = []
        self.busy = 0
        self.most_busy = 0
        self.restarted = 0
        self.open = asyncio.Event()
        self.open.set()

    async def start(self) -> None:
        self.up = True

    async def stop(self) -> None:
        self.up = False

    async def compute(self, model: str, work: Work, deadline: float) -> Reply:
        if model not in self.served:
            raise NotFound(model)
        request = work.request.compute
        self.requests.append(request)
        self.clips.append(work.pixels)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            asked = (method.WhichOneof("method") or "" for method in request.methods)
            await asyncio.sleep(self.delay + sum(self.delays.get(name, 0.0) for name in asked))
            await self.open.wait()
        finally:
            self.busy -= 1
        failure = self.failures.popleft() if self.failures else None
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            return Reply(worker_pb2.ComputeResponse(failure=failure), 0.0, 0.0)
        return Reply(self._response(request, work.pixels), queue=0.001, transport=0.002)

    def models(self) -> dict[str, model_pb2.Model]:
        return dict(self.served) if self.up else {}

    def capacity(self) -> int:
        return self.places

    def in_flight(self) -> int:
        return self.busy

    def healthy(self) -> bool:
        return self.up

    def restarts(self) -> int:
        return self.restarted

    def _response(self, request: worker_pb2.Compute, pixels: NDArray[np.uint8]) -> worker_pb2.ComputeResponse:
        per_frame = pixels.mean(axis=(1, 2))
        logits = per_frame.mean(axis=0)
        order = np.argsort(-logits)[: request.output.top_k or 5]
        response = worker_pb2.ComputeResponse(
            prediction=explanation_pb2.Prediction(
                top=[
                    explanation_pb2.ClassScore(index=k, label=LABELS[k], logit=logits[k], probability=0.5)
                    for k in order
                ],
                logits=to_tensor(logits),
                frame_logits=to_tensor(per_frame),
            ),
            timings=worker_pb2.ComputeTimings(total=0.01, forward=0.008, encode=0.001, batch_size=1),
        )
        explained = request.target.explained.index if request.target.HasField("explained") else int(order[0])
        for place, method in enumerate(request.methods):
            name = method.WhichOneof("method") or ""
            entry = response.explanations.add(method=name.replace("_", "-"))
            entry.target.index = explained
            response.timings.explain.append(0.0004 * (place + 1) + self.delays.get(name, 0.0))
            entry.provenance.parameters.update(
                json_format.MessageToDict(getattr(method, name), preserving_proto_field_name=True)
            )
            if self.explanation_failure is not None:
                entry.failure.CopyFrom(self.explanation_failure)
                continue
            if request.output.insertion_deletion_gap:
                entry.quality.insertion_deletion_gap = 0.25
                response.timings.measure.append(0.004)
            entry.saliency.values.CopyFrom(to_tensor(per_frame[:, :1, None], request.output.encoding))
            entry.saliency.frame_positions.extend(range(len(pixels)))
            if name == "selective_relevance":
                entry.saliency.mask.CopyFrom(to_tensor(np.ones((len(pixels), 1, 1)), request.output.encoding))
                entry.quality.motion_share = 0.375
        return response


def frames_seen(answer_logits: explanation_pb2.Prediction) -> list[int]:
    """The red value of each frame that made this prediction."""
    return [round(float(value)) for value in to_array(answer_logits.frame_logits)[:, 0]]
