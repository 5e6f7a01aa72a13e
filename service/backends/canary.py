"""The call that shows that a model works: a grey clip of its size goes in, and an answer must come back.

A start makes it twice. A backend sends every worker `worker_canary`, for the prediction alone: a worker's first forward
is slow, so each should have had one; workers of quick networks get `explanation_canaries` too. Then the service sends
itself `service_canary` for every model, through its own port and with an explanation: that shows the whole path.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, clip_pb2, method_pb2, model_pb2, service_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Work
from service.errors import Unavailable

_GREY = 128
_LONGEST_FILE = 64 * 2**20


def description() -> Work:
    """Asks a worker what it has loaded."""
    return Work(worker_pb2.ComputeRequest(describe=worker_pb2.Describe()))


def worker_canary(model: model_pb2.Model) -> Work:
    """A grey clip for a worker, prediction only."""
    return Work(worker_pb2.ComputeRequest(compute=worker_pb2.Compute()), _grey_clip(model.input))


def explanation_canaries(model: model_pb2.Model) -> list[Work]:
    """Grey clips for a worker, one for each live method that can explain the model."""
    output = answer_pb2.OutputOptions(encoding=answer_pb2.VALUE_ENCODING_UINT8)
    asked = (worker_pb2.Compute(methods=[_method(field)], output=output) for field in _live_methods(model))
    return [Work(worker_pb2.ComputeRequest(compute=compute), _grey_clip(model.input)) for compute in asked]


def checked(name: str, stage: str, response: worker_pb2.ComputeResponse) -> worker_pb2.ComputeResponse:
    """The response itself, or Unavailable with the worker's reason when it is a failure.

    name: the model's. stage: "description" or "canary".
    """
    if response.HasField("failure"):
        raise Unavailable(f"model {name!r} failed its {stage}: {response.failure.message}", reason="MODEL_UNFIT")
    return response


def service_canary(model: model_pb2.Model, clip: Path | None) -> service_pb2.ExplainClipRequest:
    """A clip for the whole service, with the first live method that can explain the model, so that coming back takes no
    longer than one ordinary answer.

    clip: a video file of at most 64 MiB; none: grey frames. Raises Unavailable when the file cannot be read.
    """
    return service_pb2.ExplainClipRequest(
        model=model.name,
        clip=_raw(_grey_clip(model.input)) if clip is None else clip_pb2.Clip(video=_read(clip)),
        methods=[_method(field) for field in _live_methods(model)[:1]],
    )


def _live_methods(model: model_pb2.Model) -> list[str]:
    """Fields of the live methods that can explain the model, in the order of the message."""
    able = {entry.method.replace("-", "_") for entry in model.methods if entry.supported and not entry.job}
    return [field for field in method_pb2.Method.DESCRIPTOR.fields_by_name if field in able]


def _grey_clip(size: model_pb2.ModelInput) -> NDArray[np.uint8]:
    """[T, H, W, 3] at a model's size."""
    return np.full((size.frames, size.height, size.width, 3), _GREY, np.uint8)


def _raw(grey: NDArray[np.uint8]) -> clip_pb2.Clip:
    """As a client sends it, in one channel: all three are alike."""
    count, height, width, _ = grey.shape
    return clip_pb2.Clip(
        raw=clip_pb2.RawFrames(
            data=grey[..., 0].tobytes(),
            count=count,
            height=height,
            width=width,
            format=clip_pb2.PIXEL_FORMAT_GRAY,
        )
    )


def _method(field: str) -> method_pb2.Method:
    method = method_pb2.Method()
    getattr(method, field).SetInParent()
    return method


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise Unavailable(
            f"canary: {error}; set ACTIONLENS_CANARY to a readable clip", reason="CANARY_FAILED"
        ) from None
    if len(data) > _LONGEST_FILE:
        raise Unavailable(f"canary: {path} is larger than 64 MiB", reason="CANARY_FAILED")
    return data
