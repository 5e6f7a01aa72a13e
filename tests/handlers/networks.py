"""Small networks and clips for the tests of the torch side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from actionlens.card import Input, ModelCard, Weights, write_card
from handlers.models import family
from handlers.models.action_model import ActionModel

LABELS = ("left", "right", "still")


def card(**changes: object) -> ModelCard:
    document: dict[str, object] = {
        "name": "tiny",
        "architecture": "conv3d",
        "arguments": {"channels": [4, 6], "hidden": []},
        "weights": Weights(file="weights.safetensors", sha256="0" * 64),
        "labels": LABELS,
        "input": Input(frames=6, height=12, width=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)),
        "layer": "relu2",
    }
    return ModelCard.model_validate(document | changes)


def module(model_card: ModelCard, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return family(model_card.architecture).build(classes=len(model_card.labels), **model_card.arguments)


def model(**changes: object) -> ActionModel:
    made = card(**changes)
    return ActionModel(made, module(made).eval())


def folder(path: Path, state: dict[str, Tensor] | None = None, **changes: object) -> Path:
    """A model folder on disk with matching digest."""
    import hashlib

    made = card(**changes)
    path.mkdir(parents=True, exist_ok=True)
    save_file(state or module(made).state_dict(), path / "weights.safetensors")
    digest = hashlib.sha256((path / "weights.safetensors").read_bytes()).hexdigest()
    write_card(made.model_copy(update={"weights": Weights(file="weights.safetensors", sha256=digest)}), path)
    return path


def clip(seed: int = 0, frames: int = 6, height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
