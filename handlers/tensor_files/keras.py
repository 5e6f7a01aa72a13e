"""Sequential Keras models in HDF5 files: their layers in order, with options and weights. Keras is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actionlens.documents import parse_json
from handlers.errors import ModelError
from handlers.tensor_files.weights import check_growth

SUFFIXES = (".h5", ".hdf5")

_SHAPES = ("batch_input_shape", "batch_shape")
"""Where Keras 2 and Keras 3 say what a model takes."""


@dataclass(frozen=True)
class KerasLayer:
    """One layer; what TimeDistributed wraps stands for itself.

    kind: Keras's class name. weights: by Keras's short names ("kernel", "recurrent_kernel", "bias"), in Keras's layout.
    """

    kind: str
    name: str
    options: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def read_layers(path: Path) -> tuple[tuple[int, ...], list[KerasLayer]]:
    """The shape of the input without the batch, and the layers, from the first that computes.

    Raises ModelError for a file that is absent or damaged, or holds weights alone or another model than a Sequential.
    """
    try:
        import h5py
    except ImportError as error:
        raise ModelError(f"{path}: HDF5 files need h5py: pip install 'actionlens[keras]'") from error
    try:
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise ModelError(f"{path}: holds weights alone; save the whole model: model.save('NAME.h5')")
            document = parse_json(file.attrs["model_config"])
            if document["class_name"] != "Sequential":
                raise ModelError(f"{path}: holds a {document['class_name']} model; only Sequential ones are read")
            entries = document["config"]["layers"]
            shapes = [entry["config"][key] for entry in entries for key in _SHAPES if key in entry["config"]]
            if not shapes:
                raise ModelError(f"{path}: does not say which clips it takes; give its first layer an input_shape")
            groups = file["model_weights"]
            layers = [_layer(path, entry, groups) for entry in entries if entry["class_name"] != "InputLayer"]
    except ModelError:
        raise
    except Exception as error:  # a damaged file ends h5py, or the walk through its document, in whatever is not there
        raise ModelError(f"{path}: cannot be read as a Keras model: {type(error).__name__}: {error}") from error
    return tuple(shapes[0][1:]), layers


def _layer(path: Path, entry: Mapping[str, Any], groups: Any) -> KerasLayer:
    name = entry["config"]["name"]
    group: Any = groups[name]
    names = [_text(each) for each in group.attrs["weight_names"]]
    weights = {each.rpartition("/")[2].partition(":")[0]: _values(path, groups, group[each]) for each in names}
    inner = entry["config"]["layer"] if entry["class_name"] == "TimeDistributed" else entry
    return KerasLayer(inner["class_name"], name, inner["config"], weights)


def _values(path: Path, groups: Any, dataset: Any) -> Tensor:
    if dataset.external or dataset.is_virtual or dataset.file.filename != groups.file.filename:
        raise ModelError(f"{path}: {dataset.name} lies in another file; save the model into one")
    check_growth(path, dataset.name, dataset.nbytes, dataset.id.get_storage_size())
    return torch.from_numpy(np.array(dataset))


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
