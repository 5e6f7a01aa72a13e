"""Weights files as people have them: safetensors, PyTorch checkpoints (tensors only) and NumPy archives."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from handlers.errors import ModelError

_PICKLED = (".pt", ".pth", ".pyth", ".ckpt", ".tar", ".bin", ".pickle", ".pkl")
SUFFIXES = (".safetensors", *_PICKLED, ".npz")

_NESTED = ("state_dict", "model_state", "model_state_dict", "model")
_GROWTH, _ALWAYS = 16, 2**20
"""A file's content may take so many times its bytes in memory, and so many bytes in any case."""
_PREFIXES = ("module.", "model.", "backbone.")
_SETTINGS = ("argparse.Namespace", "numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
"""Classes of what training scripts leave beside the tensors: their options, and numbers such as the best accuracy."""


class _Setting:
    """Stands in for such a class: takes what the file has for it and keeps nothing, so that nothing of it is run."""

    def __init__(self, *values: object) -> None:
        """values: ignored."""

    def __setstate__(self, state: object) -> None:
        """Ignored."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    A PyTorch file is read with weights_only: code in it is never run. Options and numbers that training scripts leave
    beside the tensors are passed over (`_SETTINGS`). A nested state dict is found, and a prefix that all names share
    ("module.", "model.", "backbone.") is taken off.
    Raises ModelError when the file is absent, damaged, holds anything but tensors, or is of another kind.
    """
    try:
        state = _read(path)
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: {_refused(str(error))}") from error
    except Exception as error:  # a damaged pickle ends the libraries' readers in whatever it happens to hit
        raise ModelError(f"{path}: cannot be read as {path.suffix}: {_first_line(error)}") from error
    if not state:
        raise ModelError(f"{path}: holds no tensors")
    for name, tensor in state.items():
        _check_plain(path, name, tensor)
    while prefix := next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in state)), ""):
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
        case suffix if suffix in _PICKLED:
            _check_archive(path)
            with torch.serialization.safe_globals([(_Setting, name) for name in _SETTINGS]):
                return _tensors(torch.load(path, map_location="cpu", weights_only=True), path)
        case ".npz":
            _check_archive(path)
            with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
                return {name: torch.from_numpy(np.ascontiguousarray(archive[name])) for name in archive.files}
        case ".onnx":
            raise ModelError(f"{path}: holds a network, not tensors alone: --family onnx")
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


def _refused(said: str) -> str:
    """Name what a pickle holds beside tensors, and a way out, instead of torch's advice to run it all the same."""
    named = re.search(r"GLOBAL (\S+)", said)
    if named is None:
        return "is not a file of tensors as torch.save writes it"
    name = named[1]
    if name.startswith("numpy."):
        return (
            f"holds NumPy arrays ({name}), as Caffe2's .pkl files do, and such a pickle is not run; take the PyTorch "
            "file of the same network (PyTorchVideo publishes .pyth files)"
        )
    return (
        f"holds more than tensors: {name}, and code in a file is never run; where you trust it, load it in a process "
        "of your own and save the model's state_dict()"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
