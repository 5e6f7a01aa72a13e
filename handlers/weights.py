"""Weights files as people have them: safetensors, PyTorch checkpoints (tensors only) and NumPy archives."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from handlers.errors import ModelError

SUFFIXES = (".safetensors", ".pt", ".pth", ".pyth", ".ckpt", ".tar", ".bin", ".npz")

_NESTED = ("state_dict", "model_state", "model_state_dict", "model")
_GROWTH, _ALWAYS = 16, 2**20
"""What a file holds may take so many times its bytes in memory, and so many bytes in any case."""
_PREFIXES = ("module.", "model.", "backbone.")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    A PyTorch file is read with weights_only: code in it is never run. Settings beside the tensors may be an argparse
    Namespace, which training scripts leave there and which holds values alone. A nested state dict is found, and a
    prefix that all names share ("module.", "model.", "backbone.") is taken off.
    Raises ModelError when the file is absent, damaged, holds anything but tensors, or is of another kind.
    """
    try:
        state = _read(path)
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: holds more than tensors, and code is not run: {_first_line(error)}") from error
    except Exception as error:  # a damaged pickle ends the libraries' readers in whatever it happens to hit
        raise ModelError(f"{path}: cannot be read as {path.suffix}: {_first_line(error)}") from error
    if not state:
        raise ModelError(f"{path}: holds no tensors")
    for name, tensor in state.items():
        _check_plain(path, name, tensor)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def check_growth(path: Path, what: str, size: int, stored: int) -> None:
    """Raise ModelError where a file's few bytes would become very many: trained weights hardly shrink.

    size, stored: bytes of `what` in memory and in the file.
    """
    if size > _ALWAYS and size > _GROWTH * stored:
        raise ModelError(
            f"{path}: {what} would take {size / 1e6:.0f} MB, the file holds {stored / 1e6:.1f} MB of it; no trained "
            "weights are that alike: save the model again, without compression"
        )


def _read(path: Path) -> dict[str, Tensor]:
    match path.suffix:
        case ".safetensors":
            return dict(load_file(path))
        case ".pt" | ".pth" | ".pyth" | ".ckpt" | ".tar" | ".bin":
            _check_archive(path)
            with torch.serialization.safe_globals([argparse.Namespace]):
                return _tensors(torch.load(path, map_location="cpu", weights_only=True), path)
        case ".npz":
            _check_archive(path)
            with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
                return {name: torch.from_numpy(np.ascontiguousarray(archive[name])) for name in archive.files}
        case _:
            raise ModelError(f"{path}: weights are read from {', '.join(SUFFIXES)} files")


def _check_archive(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        check_growth(path, "what it unpacks to", size, path.stat().st_size)


def _check_plain(path: Path, name: str, tensor: Tensor) -> None:
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise ModelError(f"{path}: {name} is sparse, quantised or without values; save the model's state_dict()")
    # A view may repeat its storage as often as its shape says.
    check_growth(path, name, tensor.nbytes, tensor.untyped_storage().nbytes())


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
