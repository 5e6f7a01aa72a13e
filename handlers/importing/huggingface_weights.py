"""The weights of a directory as Hugging Face's transformers saves it: the files that `from_pretrained` would read.

In its order: the file that config.json names, model.safetensors, its index of shards, pytorch_model.bin, its index;
with a variant, the same under the variant's names. Everything else in the directory is named, never merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from actionlens.documents import DocumentError, read_json
from handlers.errors import ModelError
from handlers.tensor_files.weights import read_weights

CONFIG_FILE = "config.json"
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
_NAMES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_EXPLICIT = "transformers_weights"
_ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class PretrainedWeights:
    """A directory's tensors by name; notes: which files they come from and which were left unread, for people."""

    state: dict[str, Tensor]
    notes: tuple[str, ...]


def pretrained_weights(folder: Path, config: Mapping[str, Any], variant: str = "") -> PretrainedWeights:
    """Read the weights that the library would read.

    Raises ModelError where there are none, naming what lies there in their place, or where a shard or a tensor that the
    index names is missing, or the weights are an adapter's or quantised.
    """
    if (folder / _ADAPTER).is_file():
        raise ModelError(
            f"{folder / _ADAPTER}: the library would read another model's weights and put this adapter on top; "
            "merge the two (merge_and_unload() of peft), save that and import it"
        )
    if config.get("quantization_config"):
        raise ModelError(
            f"{folder / CONFIG_FILE}: quantization_config: quantised weights are not read; save it in float32"
        )
    main = _main_file(folder, config, variant)
    state, files = _shards(folder, main) if main.name.endswith(".json") else (read_weights(main), [])
    read = {main.name, *files, CONFIG_FILE, *PROCESSORS}
    beside = sorted(
        f"{entry.name}/" if entry.is_dir() else entry.name
        for entry in folder.iterdir()
        if entry.name not in read and not entry.name.startswith(".")
    )
    if not beside:
        return PretrainedWeights(state, ())
    note = f"weights are those of {main.name}, as transformers reads them; not read: {', '.join(beside)}"
    return PretrainedWeights(state, (note,))


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises ModelError naming the file."""
    try:
        document = read_json(path)
    except DocumentError as error:
        raise ModelError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path}: is not a JSON object")
    return document


def _main_file(folder: Path, config: Mapping[str, Any], variant: str) -> Path:
    """The file, or the index of shards, that the library would read."""
    if isinstance(named := config.get(_EXPLICIT), str):
        return _beside(folder, folder / CONFIG_FILE, named)
    names = [_of_variant(name, variant) for name in _NAMES]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is not None:
        return found
    others = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".safetensors", ".bin"))
    there = f"; it has {', '.join(others)}, which transformers would not read" if others else ""
    if variants := _variants(folder):
        there += f": --weights-key {variants[0]} reads the variant of that name"
    elif any("-of-" in name for name in others):
        there += f" without {names[1] if others[0].endswith('.safetensors') else names[3]}"
    raise ModelError(f"{folder}: holds neither {names[0]} nor {names[2]}{there}")


def _of_variant(name: str, variant: str) -> str:
    """A file's name in a variant: model.fp16.safetensors, model.safetensors.index.fp16.json."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{variant}.{suffix}" if variant else name


def _variants(folder: Path) -> list[str]:
    """Variants of which the directory has a main file."""
    found = set[str]()
    for name in _NAMES:
        stem, _, suffix = name.rpartition(".")
        for entry in folder.glob(f"{stem}.*.{suffix}"):
            variant = entry.name[len(stem) + 1 : -len(suffix) - 1]
            if "." not in variant and "-of-" not in variant:
                found.add(variant)
    return sorted(found)


def _shards(folder: Path, index: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that an index names, each from the shard that it names, and the shards."""
    table = read_document(index).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(file, str) for file in table.values()):
        raise ModelError(f"{index}: weight_map: must give the file of every tensor")
    files = sorted(set(table.values()))
    state: dict[str, Tensor] = {}
    for file in files:
        path = _beside(folder, index, file)
        tensors = read_weights(path, whole_names=True)
        for name in (name for name, where in table.items() if where == file):
            if name not in tensors:
                raise ModelError(f"{index}: weight_map: {name} is not in {file}")
            state[name] = tensors[name]
        if spare := [name for name in tensors if name not in table]:
            raise ModelError(f"{path}: {spare[0]} is not in {index.name}: shards of another save lie among these")
    return state, files


def _beside(folder: Path, blamed: Path, name: str) -> Path:
    """A file that another names; it must lie in the directory."""
    path = folder / name
    try:
        outside = not path.resolve().is_relative_to(folder.resolve()) and Path(name).name != name
        there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a null character
        outside = there = False
    if outside:
        raise ModelError(f"{blamed}: names {name!r}, which is outside the directory")
    if not there:
        raise ModelError(f"{blamed}: names {name}, which is missing")
    return path
