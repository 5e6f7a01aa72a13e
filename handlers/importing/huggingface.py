"""Directories as Hugging Face's transformers saves them: config.json, the weights, and what the clip must look like.

Nothing is downloaded and the library itself is not needed: a family rebuilds the network from config.json.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from actionlens.card import Input
from handlers.errors import ModelError
from handlers.importing.huggingface_weights import CONFIG_FILE, PROCESSORS, pretrained_weights, read_document
from handlers.models.family import Checkpoint, Family
from handlers.models.family_registry import families

_NUMBERED = re.compile(r"LABEL_\d+")


def read_pretrained(entry: Family, folder: Path, variant: str = "") -> Checkpoint:
    """Read a directory as a checkpoint of a family.

    variant: of the weights, as the library's `variant` ("fp16"). Raises ModelError naming the file or field at fault.
    """
    if not entry.model_type:
        able = [family.name for family in families().values() if family.model_type]
        raise ModelError(f"family: {entry.name} has no directories as transformers saves them; {', '.join(able)} have")
    config = read_document(folder / CONFIG_FILE)
    taken = [name for name in inspect.signature(entry.build).parameters if name != "classes"]
    arguments = {name: config[name] for name in taken if name in config}
    shown, notes = _input(entry, folder, config)
    tensors = pretrained_weights(folder, config, variant)
    return Checkpoint(
        tensors.state, arguments, shown, _labels(folder, config), (*notes, *tensors.notes), _says(entry, config)
    )


def _says(entry: Family, config: Mapping[str, Any]) -> str:
    """Explain by config.json why a checkpoint does not fit; empty where it is the family's own."""
    said = config.get("model_type")
    if said == entry.model_type:
        return ""
    fitting = [family.name for family in families().values() if family.model_type == said]
    advice = f": --family {fitting[0]}" if fitting else ", which no family here is"
    return f"; {CONFIG_FILE} says model_type {said!r}{advice}"


def _labels(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes in order; none where they are the ones that the library makes up."""
    named = config.get("id2label")
    if not isinstance(named, dict) or all(_NUMBERED.fullmatch(str(label)) for label in named.values()):
        return ()
    if set(named) != {str(number) for number in range(len(named))}:
        raise ModelError(f"{folder / CONFIG_FILE}: id2label: its {len(named)} keys must be 0 to {len(named) - 1}")
    return tuple(str(named[str(number)]) for number in range(len(named)))


def _input(entry: Family, folder: Path, config: Mapping[str, Any]) -> tuple[Input, tuple[str, ...]]:
    """The clip that the directory's processor makes, and what is to be said about it."""
    assert entry.input is not None
    frames = config.get("num_frames", config.get("frames_per_clip", entry.input.frames))
    size = config.get("image_size", config.get("crop_size", entry.input.height))
    rows, columns = size if isinstance(size, list) and len(size) == 2 else (size, size)
    shown: dict[str, Any] = {**entry.input.model_dump(), "frames": frames, "height": rows, "width": columns}
    if entry.input.sampling.is_stretch and isinstance(frames, int) and frames > entry.input.frames:
        # A network of more frames sees them closer together: TimeSformer's have 8 x 32, 16 x 16 and 96 x 4.
        shown["stride"] = max(1, round(entry.input.frames * entry.input.stride / frames))
    found = next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)
    notes: tuple[str, ...]
    if found is None:
        notes = (f"no {PROCESSORS[-1]}: pixels are normalised as the family's published checkpoints want it",)
    else:
        processor = read_document(found)
        shown.update(_normalised(processor))
        shown["shorter"] = _shorter(processor, rows)
        notes = ()
    try:
        return Input.model_validate(shown), notes
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(f"{folder}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _normalised(processor: Mapping[str, Any]) -> dict[str, list[float]]:
    """mean and std for (pixel / 255 - mean) / std, from (pixel * rescale_factor - offset - image_mean) / image_std."""
    scale = 255 * (processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1)
    # Processors that double the range also shift it to -1 .. 1, even where they do not say so.
    offset = 1.0 if processor.get("offset", 1.5 < scale < 2.5) else 0.0
    means, stds = [0.0] * 3, [1.0] * 3
    if processor.get("do_normalize", True):
        means, stds = processor.get("image_mean") or means, processor.get("image_std") or stds
    return {"mean": [(mean + offset) / scale for mean in means], "std": [std / scale for std in stds]}


def _shorter(processor: Mapping[str, Any], rows: int) -> int:
    """The pixels that the shorter side is scaled to before the middle is cut out; 0 where it is not said to be more."""
    size = processor.get("size")
    shorter = size.get("shortest_edge") if isinstance(size, dict) else None
    if not processor.get("do_center_crop", False) or not isinstance(shorter, int) or not isinstance(rows, int):
        return 0
    return shorter if shorter > rows else 0
