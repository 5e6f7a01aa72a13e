"""Every family with every method that can explain it, through the real service: gRPC, engine, jobs and their worker."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import save_file

from actionlens.card import Weights, write_card
from actionlens.v1 import job_pb2
from handlers.importing.checkpoint import import_checkpoint
from handlers.models import families
from handlers.models.action_model import ActionModel
from handlers.support import cases, small_model
from service.client import Client
from service.client.results import Result
from service.errors import FailedPrecondition
from tests.handlers import onnx_files
from tests.service.job_service import job_settings, served

FEW = {
    "frame-shapley": "frame-shapley:elements=2",
    "gradient-shap": "gradient-shap:samples=1",
    "integrated-gradients": "integrated-gradients:steps=1",
    "occlusion": "occlusion:frames=4,pixels=12",
    "shapley-sampling": "shapley-sampling:samples=1",
    "st-perturbation": "st-perturbation:iterations=1",
    "temporal-mask": "temporal-mask:iterations=1",
}
"""Jobs cut short; the others are short as they are."""
CONVERTED, OPAQUE = "onnx-converted", "onnx-opaque"
FLOW = "i3d-inception-flow"
PUBLIC = [name for name, entry in families().items() if entry.network is None]
EVERY = [*PUBLIC, FLOW, CONVERTED, OPAQUE]
WITH_JOBS = EVERY if os.environ.get("ACTIONLENS_TEST_EVERY_JOB") else ["cnn-lstm", "trn", "x3d-xs", OPAQUE]
"""Jobs of all families take minutes of processor time. These have recurrence, relations and gates, and one nothing that
can be looked into; docs/support.md is made by running a block of every job of every family."""
WAIT = 400.0
pytestmark = pytest.mark.timeout(600)


def put(folder: Path, name: str, model: ActionModel) -> None:
    """A small network as a model of the store."""
    target = folder / name
    target.mkdir()
    save_file(
        {name: tensor.contiguous() for name, tensor in model.module.state_dict().items()}, target / "w.safetensors"
    )
    digest = hashlib.sha256((target / "w.safetensors").read_bytes()).hexdigest()
    weights = Weights(file="w.safetensors", sha256=digest)
    write_card(model.card.model_copy(update={"name": name, "weights": weights}), target)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Of a service over all of them."""
    folder = tmp_path_factory.mktemp("families")
    for name in PUBLIC:
        put(folder, name, small_model(families()[name]))
    put(folder, FLOW, cases()["i3d-inception, optical flow"]())
    for name, (nodes, weights) in ((CONVERTED, onnx_files.network()), (OPAQUE, onnx_files.opaque())):
        path = onnx_files.write(tmp_path_factory.mktemp("onnx") / "net.onnx", nodes, weights)
        import_checkpoint("onnx", path, folder, name=name)
    settings = job_settings(folder, tmp_path_factory.mktemp("data"), models=64)
    settings = settings.model_copy(update={"models": (), "default_model": "motion-cnn"})
    with served(settings) as address, Client(address, timeout=WAIT) as made:
        yield made


@dataclass(frozen=True)
class Asked:
    """A family's methods: (name, reason why not) live, and as jobs."""

    live: dict[str, str]
    jobs: dict[str, str]
    clip: NDArray[np.uint8]


def asked(client: Client, name: str) -> Asked:
    model = client.get_model(name)
    size = model.input
    clip = np.random.default_rng(0).integers(0, 256, (size.frames, size.height, size.width, 3), dtype=np.uint8)
    live, jobs = ({entry.method: entry.reason for entry in model.methods if entry.job is job} for job in (False, True))
    return Asked(live, jobs, clip)


def check(result: Result, method: str, name: str) -> None:
    """The explanation is there, of this model, and finite."""
    found = result.explanations[method]
    assert not found.message.HasField("failure"), (name, method, found.message.failure)
    assert found.message.provenance.model == name
    assert np.isfinite(found.values).all()
    assert found.values.size


@pytest.mark.parametrize("name", EVERY)
def test_live(client: Client, name: str) -> None:
    what = asked(client, name)
    able = [method for method, reason in what.live.items() if not reason]
    result = client.explain_clip(what.clip, model=name, methods=able)
    assert list(result.explanations) == able
    for method in able:
        check(result, method, name)
    for method in set(what.live) - set(able):
        with pytest.raises(FailedPrecondition, match=f"{method} cannot explain {name}"):
            client.explain_clip(what.clip, model=name, methods=[method])


@pytest.fixture(scope="module")
def submitted(client: Client) -> dict[str, dict[str, job_pb2.Job]]:
    """By model and method; all at once, so that the worker goes on while some are looked at."""
    found: dict[str, dict[str, job_pb2.Job]] = {}
    for name in WITH_JOBS:
        what = asked(client, name)
        found[name] = {
            method: client.jobs.submit([what.clip], FEW.get(method, method), model=name, seed=1)
            for method, reason in what.jobs.items()
            if not reason
        }
    return found


@pytest.mark.parametrize("name", WITH_JOBS)
def test_as_jobs(client: Client, submitted: dict[str, dict[str, job_pb2.Job]], name: str) -> None:
    assert submitted[name]
    for method, job in submitted[name].items():
        ended = client.jobs.wait(job.id, timeout=WAIT)
        assert ended.state == job_pb2.JOB_STATE_SUCCEEDED, (method, list(client.jobs.clips(job.id)))
        check(client.jobs.result(job.id), method, name)
