"""Tiny classifiers of Hugging Face's transformers, an independent implementation, with random weights. Test only."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

os.environ["HF_HUB_OFFLINE"] = "1"

FRAMES, SIZE, PATCH, LABELS = 4, 24, 8, ("wave", "jump", "sit")
_COMMON = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
_PATCHES = {"image_size": SIZE, "num_frames": FRAMES, "intermediate_size": 40}

TINY: dict[str, dict[str, Any]] = {
    "videomae": {**_COMMON, **_PATCHES, "patch_size": PATCH, "use_mean_pooling": True},
    "vivit": {**_COMMON, **_PATCHES, "tubelet_size": [2, PATCH, PATCH]},
    "timesformer": {**_COMMON, **_PATCHES, "patch_size": PATCH},
    "vjepa2": {
        **_COMMON,
        "crop_size": SIZE,
        "patch_size": PATCH,
        "frames_per_clip": FRAMES,
        "num_pooler_layers": 2,
        "pred_num_hidden_layers": 1,
        "pred_hidden_size": 12,
        "pred_num_attention_heads": 2,
    },
}
"""Fields of config.json by family."""

_STEMS = {"videomae": "VideoMAE", "vivit": "Vivit", "timesformer": "Timesformer", "vjepa2": "VJEPA2"}


def classifier(name: str, **changes: Any) -> Any:
    """The library's own classifier, tiny, in evaluation mode; weights large enough for all parts to matter."""
    torch.manual_seed(3)
    network = built(name, **TINY[name] | changes)
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.3)
    return network.eval()


def built(name: str, **fields: Any) -> Any:
    """The library's own classifier with these fields of config.json, all others as it has them."""
    configuration, model = _classes(name)
    config = configuration(id2label=dict(enumerate(LABELS)), **fields)
    config._attn_implementation = "eager"  # the one that tells its attention
    return model(config)


@cache
def _classes(name: str) -> tuple[Any, Any]:
    """Configuration and classifier. The library asks for torchvision, which must not be another oracle's stand-in."""
    hidden = {key: sys.modules.pop(key) for key in list(sys.modules) if key.split(".")[0] == "torchvision"}
    try:
        library = importlib.import_module("transformers")
        stem = _STEMS[name]
        return getattr(library, f"{stem}Config"), getattr(library, f"{stem}ForVideoClassification")
    finally:
        sys.modules |= hidden


def logits(network: Any, clips: Tensor, **options: Any) -> Any:
    """The library's logits of prepared clips float [B, 3, T, H, W]."""
    return network(clips.transpose(1, 2), **options)


def saved(network: Any, folder: Path, processor: Mapping[str, Any] | None = None) -> Path:
    """The directory that the library writes, with a processor's settings beside it."""
    network.save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def changed(folder: Path, **fields: Any) -> Path:
    """The directory with other fields in its config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder
