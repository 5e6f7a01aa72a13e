"""Which models a backend loads, and the calls that show that one works."""

from __future__ import annotations

from pathlib import Path

from actionlens.card import CardError
from actionlens.store import stored_models
from actionlens.v1 import model_pb2
from actionlens.worker.v1 import worker_pb2
from service.backends.protocol import Work
from service.errors import NotFound, Unavailable
from service.settings import Settings

_GREY = 128


def chosen_models(settings: Settings) -> dict[str, Path]:
    """Folders of the models to load, by name.

    Raises NotFound when settings.models names one that the store lacks, Unavailable when the store is empty or a
    card does not fit.
    """
    try:
        found = stored_models(settings.stores)
    except CardError as error:
        raise Unavailable(f"model store: {error}", reason="MODEL_STORE_INVALID") from error
    missing = sorted(set(settings.models) - set(found))
    if missing:
        raise NotFound(
            f"models: {', '.join(missing)} not in {settings.model_store}; it holds: {', '.join(found) or 'none'}",
            field="models",
        )
    chosen = {name: folder for name, folder in found.items() if not settings.models or name in settings.models}
    if not chosen:
        raise Unavailable(
            f"model store {settings.model_store} holds no model; add one with `actionlens models import`",
            reason="MODEL_STORE_EMPTY",
        )
    return chosen


def describe_request() -> worker_pb2.ComputeRequest:
    """Asks a worker what it has loaded."""
    return worker_pb2.ComputeRequest(describe=worker_pb2.Describe())


def wrapped(request: Work) -> worker_pb2.ComputeRequest:
    """A request as workers take it."""
    if isinstance(request, worker_pb2.Advance):
        return worker_pb2.ComputeRequest(advance=request)
    return worker_pb2.ComputeRequest(compute=request)


def canary_request(model: model_pb2.Model) -> worker_pb2.ComputeRequest:
    """A grey clip of the model's size, prediction only."""
    size = model.input
    return worker_pb2.ComputeRequest(
        compute=worker_pb2.Compute(
            clip=bytes([_GREY]) * (size.frames * size.height * size.width * 3),
            frames=size.frames,
            height=size.height,
            width=size.width,
        )
    )


def checked(name: str, stage: str, response: worker_pb2.ComputeResponse) -> worker_pb2.ComputeResponse:
    """The response itself, or Unavailable with the worker's reason when it is a failure."""
    if response.HasField("failure"):
        raise Unavailable(f"model {name!r} failed its {stage}: {response.failure.message}", reason="MODEL_UNFIT")
    return response
