"""Weights files as people have them: safetensors, PyTorch checkpoints (tensors only) and NumPy archives."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from handlers.errors import ModelError

SUFFIXES = (".safetensors", ".pt", ".pth", ".pyth", ".ckpt", ".tar", ".bin", ".npz")

_NESTED = ("state_dict", "model_state", "model_state_dict", "model")
_PREFIXES = ("module.", "model.", "backbone.")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    A PyTorch file is read with weights_only: code in it is never run. Settings beside the tensors may be an argparse
    Namespace, which training scripts leave there and which holds values alone. A nested state dict is found, and a
    prefix that all names share ("module.", "model.", "backbone.") is taken off.
    Raises ModelError when the file is absent, damaged, holds anything but tensors, or is of another kind.
    """
    try:
        match path.suffix:
            case ".safetensors":
                state = dict(load_file(path))
            case ".pt" | ".pth" | ".pyth" | ".ckpt" | ".tar" | ".bin":
                with torch.serialization.safe_globals([argparse.Namespace]):
                    state = _tensors(torch.load(path, map_location="cpu", weights_only=True), path)
            case ".npz":
                with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
                    state = {name: torch.from_numpy(np.ascontiguousarray(archive[name])) for name in archive.files}
            case _:
                raise ModelError(f"{path}: weights are read from {', '.join(SUFFIXES)} files")
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: holds more than tensors, and code is not run: {_first_line(error)}") from error
    except (OSError, SafetensorError, RuntimeError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: cannot be read as {path.suffix}: {_first_line(error)}") from error
    if not state:
        raise ModelError(f"{path}: holds no tensors")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _tensors(document: object, path: Path) -> dict[str, Tensor]:
    if isinstance(document, dict):
        for name in _NESTED:
            if isinstance(document.get(name), dict):
                return _tensors(document[name], path)
        if all(isinstance(value, Tensor) for value in document.values()):
            return {str(name): tensor for name, tensor in document.items()}
        odd = next(name for name, value in document.items() if not isinstance(value, Tensor))
        raise ModelError(f"{path}: {odd!r} is not a tensor; save the model's state_dict()")
    raise ModelError(f"{path}: holds a {type(document).__name__}; save the model's state_dict()")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
