"""All backends, started once for the whole session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.backends.in_process import InProcessBackend
from service.backends.onnx import OnnxBackend
from service.backends.protocol import InferenceBackend
from service.backends.torchserve import TorchServeBackend
from service.settings import Settings
from tests.service.backends import requests

SLOTS = 4
ROOM = 16


@pytest.fixture(scope="session")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return requests.store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def settings(model_store: Path) -> Settings:
    # A stop that waited for its time and not for the last answer would never end.
    # A slow machine may take long to start: three launches were more than the default at a quarter of each core.
    patient = {"drain_seconds": 3600, "start_seconds": 3600, "response_seconds": 60}
    return Settings(model_store=model_store, batch_size=2, queue=ROOM, **patient)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def torchserve(settings: Settings) -> AsyncIterator[TorchServeBackend]:
    made = TorchServeBackend(settings)
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def in_process(settings: Settings) -> AsyncIterator[InProcessBackend]:
    made = InProcessBackend(settings)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="session")
def graphs(model_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of the store, exported."""
    return requests.export_all(model_store, tmp_path_factory.mktemp("graphs"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def exported_graphs(settings: Settings, graphs: Path) -> AsyncIterator[OnnxBackend]:
    made = OnnxBackend(settings.model_copy(update={"model_store": graphs}))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(params=["in_process", "torchserve", "exported_graphs"])
def backend(request: pytest.FixtureRequest) -> InferenceBackend:
    made: InferenceBackend = request.getfixturevalue(request.param)
    return made


@pytest.fixture(params=[InProcessBackend, TorchServeBackend, OnnxBackend])
def fresh(request: pytest.FixtureRequest, settings: Settings) -> InferenceBackend:
    """A backend that is not started yet."""
    if request.param is OnnxBackend:
        settings = settings.model_copy(update={"model_store": request.getfixturevalue("graphs")})
    made: InferenceBackend = request.param(settings)
    return made
