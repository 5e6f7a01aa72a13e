"""Models, requests and the expected numbers for the tests of the backends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from actionlens.card import Input, read_card
from actionlens.tensors import to_array
from actionlens.worker.v1 import worker_pb2
from handlers.exporting.onnx_graph import export
from handlers.tensor_files.weights import read_weights
from service.backends.protocol import Work
from tests.handlers import networks

TINY = "tiny"
SLOW = "slow"
SLOW_INPUT = Input(frames=16, height=96, width=96)


def store(path: Path) -> Path:
    """A model store with a tiny network and one that needs a good tenth of a second per clip."""
    networks.folder(path / TINY)
    networks.folder(
        path / SLOW,
        name=SLOW,
        arguments={"channels": [16, 32], "hidden": []},
        input=SLOW_INPUT,
        layer="relu1",
    )
    return path


def export_all(models: Path, graphs: Path) -> Path:
    """The graphs of a store's models; the tiny one's has Grad-CAM."""
    for name, methods in ((TINY, ["grad-cam"]), (SLOW, [])):
        export(models / name, methods, graphs / f"{name}.onnx")
    return graphs


def tiny(seed: int = 0, **fields: object) -> Work:
    return _work(networks.clip(seed), **fields)


def slow(seed: int = 0, **fields: object) -> Work:
    return _work(networks.clip(seed, SLOW_INPUT.frames, SLOW_INPUT.height, SLOW_INPUT.width), **fields)


def logits(response: worker_pb2.ComputeResponse) -> NDArray[np.float32]:
    return to_array(response.prediction.logits)


def expected_logits(model_store: Path, seed: int) -> NDArray[np.float32]:
    """The tiny network's logits by plain torch: no engine, no tracing, no batching."""
    card = read_card(model_store / TINY)
    network = networks.module(card).eval()
    network.load_state_dict(read_weights(model_store / TINY / card.weights.file))
    pixels = torch.from_numpy(networks.clip(seed)).float() / 255
    pixels = (pixels - torch.tensor(card.input.mean)) / torch.tensor(card.input.std)
    with torch.no_grad():
        return network(pixels.permute(3, 0, 1, 2)[None])[0].numpy()


def message(work: Work) -> worker_pb2.ComputeRequest:
    """A worker message that has its pixels within."""
    frames, height, width, _ = work.pixels.shape
    sent = worker_pb2.ComputeRequest()
    sent.CopyFrom(work.request)
    size = {"frames": frames, "height": height, "width": width}
    sent.compute.MergeFrom(worker_pb2.Compute(clip=work.pixels.tobytes(), **size))
    return sent


def _work(clip: NDArray[np.uint8], **fields: object) -> Work:
    return Work(worker_pb2.ComputeRequest(compute=worker_pb2.Compute(**fields)), clip)  # type: ignore[arg-type]
