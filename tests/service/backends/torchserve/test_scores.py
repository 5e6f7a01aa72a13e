"""What networks put out, by a real TorchServe: predictions are those of the files themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.importing.checkpoint import import_model
from service.backends.protocol import Work
from service.backends.torchserve import TorchServeBackend
from service.settings import Settings
from tests.handlers import networks, onnx_files
from tests.handlers.onnx_import.test_endings import LINEAR, half, own

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

SECONDS = 120.0
ONNX_CLIP = networks.clip(4, *onnx_files.SIZE)
CLIP = networks.clip(4)


def imported(file: Path, store: Path) -> Path:
    size = dict(zip(("frames", "height", "width"), onnx_files.SIZE, strict=True))
    card = {"name": file.stem, "architecture": "onnx", "labels": list(networks.LABELS), "input": size}
    file.with_suffix(".yaml").write_text(yaml.safe_dump(card))
    import_model(file.with_suffix(".yaml"), file, store)
    return file


def by_hand(store: Path) -> NDArray[np.float32]:
    """A card that does not say what the network's scores are, and a network of probabilities: what it puts out."""
    card = networks.card(name="unsaid")
    network = networks.module(card).eval()
    state = network.state_dict()
    weight, bias = [name for name in state if name.startswith("fc")][-2:]
    slope = 1e-3 * torch.randn(state[weight].shape[1], generator=torch.Generator().manual_seed(0))
    state[weight] = torch.stack([slope, -slope, 0 * slope])
    state[bias] = torch.tensor([0.2, 0.3, 0.5])
    network.load_state_dict(state)
    networks.folder(store / "unsaid", state, name="unsaid")
    pixels = torch.from_numpy(CLIP).float() / 255
    pixels = (pixels - torch.tensor(card.input.mean)) / torch.tensor(card.input.std)
    with torch.no_grad():
        return network(pixels.permute(3, 0, 1, 2)[None])[0].numpy()


def shown(response: worker_pb2.ComputeResponse) -> list[float]:
    return [score.probability for score in sorted(response.prediction.top, key=lambda score: score.index)]


async def test_networks_of_probabilities_are_predicted_as_they_are(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    file = imported(half(LINEAR["softmax"][0](), tmp_path / "half.onnx", keep_io=True), store)
    clips = {"half": ONNX_CLIP, "unsaid": CLIP}
    expected = {"half": own(file, ONNX_CLIP).numpy(), "unsaid": by_hand(store)}
    backend = TorchServeBackend(Settings(model_store=store))
    try:
        await backend.start()
        models = backend.models()
        assert {name: model.scores for name, model in models.items()} == dict.fromkeys(expected, "probabilities")
        assert "its scores are probabilities by their numbers" in models["unsaid"].notes[0]
        assert not models["half"].notes
        compute = worker_pb2.Compute(methods=[method_pb2.Method(grad_cam=method_pb2.GradCam())])
        compute.output.top_k = 3
        for name, clip in clips.items():
            reply = await backend.compute(name, Work(worker_pb2.ComputeRequest(compute=compute), clip), SECONDS)
            assert not reply.response.HasField("failure")
            assert not reply.response.explanations[0].HasField("failure")
            np.testing.assert_allclose(shown(reply.response), expected[name], atol=3e-3 if name == "half" else 1e-5)
    finally:
        await backend.stop()
