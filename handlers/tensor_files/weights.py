"""Weights files as people have them: safetensors, PyTorch checkpoints (tensors only) and NumPy archives."""

from __future__ import annotations

import io
import math
import mmap
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from handlers.errors import ModelError

_PICKLED = (".pt", ".pth", ".pyth", ".ckpt", ".tar", ".bin", ".pickle", ".pkl")
SUFFIXES = (".safetensors", *_PICKLED, ".npz")
_SOME = 4

_NAMED = ("state_dict", "model_state", "model_state_dict", "model", "module", "net", "network", "weights", "params")
"""Keys of a checkpoint under which training frameworks keep the network, in the order in which one is taken."""
_AVERAGED = re.compile(r"(?<![a-z])(ema|swa|avg|averaged?|shadow|polyak)(?![a-z])|moving_?average", re.IGNORECASE)
_NO_NETWORK = re.compile(r"optim|^opt$|sched|scaler|^amp$|^loops$|hyper_?param|rng|random", re.IGNORECASE)
"""Keys of what has tensors and is no network."""
_GROWTH, _ALWAYS = 16, 2**20
"""A file's content may take so many times its bytes in memory, and so many bytes in any case."""
_PREFIXES = ("module.", "model.", "backbone.")
_WRAPPERS = re.compile(r"(^|\.)(?:(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.)+")
"""What torch.compile, FSDP, activation checkpoints and Fabric put into the names of what they wrap, at any depth."""
_COUNTERS = re.compile(r"(n_averaged|num_updates|initted|steps?|decay)|(.*\.)?(total_ops|total_params)")
"""Names of single numbers that averaging and profilers leave among the tensors."""
_SETTINGS = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
)
"""Classes of what training scripts leave beside the tensors: their options, and numbers such as the best accuracy."""
_LOG_OF_MMENGINE = b"mmengine.logging.history_buffer"
_LOG = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "builtins.bytes",
    "builtins.getattr",
    "__builtin__.getattr",
)
"""What the training log (message_hub) of mmengine's checkpoints is made of."""
_MAPPINGS = (
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
"""Classes of mappings among these, read as plain ones."""


class _Setting:
    """Stands in for such a class: takes what the file has for it and keeps nothing, so that nothing of it is run."""

    def __init__(self, *values: object) -> None:
        """values: ignored."""

    def __setstate__(self, state: object) -> None:
        """Ignored."""


@dataclass(frozen=True)
class WeightsFile:
    """A file's tensors by name. notes: which were chosen of several and what was left out, for people.

    keys: of the networks in it, where it has several. by_key: whether the key that was asked for is one of them.
    arch: what the training script calls the network; "": it does not say.
    """

    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    by_key: bool = False
    arch: str = ""


def read_weights(path: Path, *, whole_names: bool = False) -> dict[str, Tensor]:
    """The tensors of `read_weights_file`. whole_names: prefixes stay, as in a part of several files."""
    return read_weights_file(path, whole_names=whole_names).state


def read_weights_file(path: Path, key: str = "", *, whole_names: bool = False) -> WeightsFile:
    """Read the tensors of a weights file by name, on the CPU.

    A PyTorch file is read with weights_only: code in it is never run. Options and numbers that training scripts leave
    beside the tensors are passed over (`_SETTINGS`). Of several networks in it the averaged weights are taken where
    they are complete, as the frameworks evaluate them, else those under the usual key; a key chooses otherwise. What
    wrappers put into names is taken out, and so is a prefix that all share ("module.", "model.", "backbone.").
    Raises ModelError when the file is absent, damaged, holds anything but tensors, or is of another kind, or holds
    several networks of which none is the usual one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice on files that are refused here in other words
            document = _read(path)
        _check_storages(path, document)
        found = _chosen(document, path, key) if isinstance(document, dict) else _nothing(document, path)
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: {_refused(str(error))}") from error
    except Exception as error:  # a damaged pickle ends the libraries' readers in whatever it happens to hit
        raise ModelError(f"{path}: cannot be read as {path.suffix}: {_first_line(error)}") from error
    if not found.state:
        raise ModelError(f"{path}: holds no tensors")
    for name, tensor in found.state.items():
        _check_plain(path, name, tensor)
    return found if whole_names else _unwrapped(path, found)


def is_averaged(name: str) -> bool:
    """Whether a key or prefix says that the weights under it are an average over training."""
    return _AVERAGED.search(name) is not None


def _unwrapped(path: Path, found: WeightsFile) -> WeightsFile:
    """The tensors under the names that the network itself gives them."""
    state: dict[str, Tensor] = {}
    left = list[str]()
    mirrored = {"ema_" + name.replace(".", "_") for name in found.state}
    for name, tensor in found.state.items():
        if (tensor.numel() <= 1 and _COUNTERS.fullmatch(name)) or name in mirrored:
            left.append(name)
            continue
        own = _WRAPPERS.sub(r"\1", name)
        if own in state:
            raise ModelError(f"{path}: holds {own} twice, as it is and as {name}; save the state_dict() of one network")
        state[own] = tensor
    while prefix := next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in state)), ""):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        for name in [name for name in state if state[name].numel() <= 1 and _COUNTERS.fullmatch(name)]:
            left.append(name)
            del state[name]
    notes = (*found.notes, f"left out, as no part of the network: {some(left)}") if left else found.notes
    return replace(found, state=state or found.state, notes=notes)


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:_SOME]) + (f" and {len(names) - _SOME} more" if len(names) > _SOME else "")


def check_growth(path: Path, what: str, size: int, stored: int) -> None:
    """Raise ModelError where a file's few bytes would become very many: trained weights hardly shrink.

    size, stored: bytes of `what` in memory and in the file.
    """
    if size > _ALWAYS and size > _GROWTH * stored:
        raise ModelError(
            f"{path}: {what} would take {size / 1e6:.0f} MB, the file holds {stored / 1e6:.1f} MB of it; no trained "
            "weights are that alike: save the model again, without compression"
        )


def _read(path: Path) -> object:
    """The document in a file: of tensors by name, or whatever a training script put around them."""
    _check_no_program(path)
    match path.suffix:
        case ".safetensors":
            return dict(load_file(path))
        case suffix if suffix in _PICKLED:
            _check_archive(path)
            try:
                return _unpickled(path, _SETTINGS)
            except pickle.UnpicklingError:
                if not _contains(path, _LOG_OF_MMENGINE):
                    raise
                return _unpickled(path, (*_SETTINGS, *_LOG))
        case ".npz":
            _check_archive(path)
            with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
                assert archive.zip is not None
                _check_shapes(archive.zip)
                return {name: torch.from_numpy(np.ascontiguousarray(archive[name])) for name in archive.files}
        case ".onnx":
            raise ModelError(f"{path}: holds a network, not tensors alone: --family onnx")
        case _:
            raise ModelError(f"{path}: weights are read from {', '.join(SUFFIXES)} files")


def _unpickled(path: Path, settings: Sequence[str]) -> object:
    """A checkpoint in which nothing but tensors, and values of plain kinds, is what it says. settings: classes and
    functions of which nothing is kept."""
    known: list[Any] = [(_Setting, name) for name in settings]
    known += [(dict, name) for name in _MAPPINGS]
    with torch.serialization.safe_globals(known), _opened(path) as file:
        document: object = torch.load(file, map_location="cpu", weights_only=True)
        return document


@contextmanager
def _opened(path: Path) -> Iterator[Path | _Within]:
    """What torch reads a checkpoint from: an archive by its path, faster; an old file so that no more is ever asked of
    it, and room made for that, than it has."""
    if zipfile.is_zipfile(path):
        yield path
    else:
        with _Within(path) as file:
            yield file


class _Within(io.BufferedReader):
    """A file that makes no room for more bytes than are left in it, whatever lengths stand in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most so many bytes."""
        return super().read(size if size is None or size < 0 else min(size, self._size))


def _contains(path: Path, word: bytes) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(word) >= 0


def _check_no_program(path: Path) -> None:
    """Raise ModelError for an archive that holds a network's code beside its tensors."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    kinds = {
        "TorchScript": any(re.fullmatch(r"[^/]+/constants\.pkl", name) for name in names),
        "a program of torch.export": any(
            re.search(r"(^|/)(serialized_exported_program\.json|archive_format|models/\w+\.json)$", name)
            for name in names
        ),
        "a package of torch.package": any(re.search(r"/\.data/extern_modules$", name) for name in names),
    }
    if kind := next((kind for kind, there in kinds.items() if there), ""):
        raise ModelError(f"{path}: {kind}: save state_dict(), or export to .onnx; code in a file is never run")


def _check_archive(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        check_growth(path, "what it unpacks to", size, path.stat().st_size)


def _check_storages(path: Path, document: object) -> None:
    """Raise ModelError where tensors claim memory that no byte of the file fills: old pickles state sizes apart."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in _every_tensor(document)}
    check_growth(path, "its tensors", sum(each.nbytes() for each in storages.values()), path.stat().st_size)


def _every_tensor(document: object) -> Iterator[Tensor]:
    if isinstance(document, Tensor) and document.layout is torch.strided and document.device.type == "cpu":
        yield document
    elif isinstance(document, Mapping):
        for part in document.values():
            yield from _every_tensor(part)


def _check_shapes(archive: zipfile.ZipFile) -> None:
    """Raise ValueError where the shape of an array is not that of its values: NumPy makes room for it first."""
    for entry in archive.infolist():
        with archive.open(entry) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
            size, stored = math.prod(shape) * dtype.itemsize, entry.file_size - member.tell()
            if size != stored and not dtype.hasobject:
                raise ValueError(f"{entry.filename}: {shape} of {dtype} take {size} bytes, and it holds {stored}")


def _check_plain(path: Path, name: str, tensor: Tensor) -> None:
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise ModelError(f"{path}: {name} is sparse, quantised or without values; save the model's state_dict()")
    # A view may repeat its storage as often as its shape says.
    check_growth(path, name, tensor.nbytes, tensor.untyped_storage().nbytes())


def _nothing(document: object, path: Path) -> WeightsFile:
    raise ModelError(f"{path}: holds a {type(document).__name__}; save the model's state_dict()")


def _chosen(document: Mapping[object, object], path: Path, key: str) -> WeightsFile:
    """The network's tensors in what a training script saved. Raises ModelError where none is the usual one."""
    networks = _networks(document)
    said = document.get("arch")
    arch = said if isinstance(said, str) else ""
    if len(networks) < 2:
        ((found, tensors),) = networks.items() if networks else (("", document),)
        return WeightsFile(_tensors(tensors, path), by_key=bool(key) and _is_key(key, found), arch=arch)
    keys = tuple(networks)
    if wanted := [name for name in keys if _is_key(key, name)] if key else []:
        taken, why = wanted[0], "as was asked for"
    else:
        taken, why = _by_rule(document, networks, path)
    others = [name for name in keys if name != taken]
    note = f"weights are those under {taken!r} ({why}), not {', '.join(map(repr, others))}: --weights-key chooses"
    return WeightsFile(_tensors(networks[taken], path), (note,), keys, bool(wanted), arch)


def _networks(document: Mapping[object, object]) -> dict[str, Mapping[object, object]]:
    """By their keys, joined by points, the mappings of names to tensors that may be a network's; "" is the document."""
    found: dict[str, Mapping[object, object]] = {}

    def look(key: str, part: Mapping[object, object]) -> None:
        if any(isinstance(value, Tensor) for value in part.values()):
            found[key] = part
        for name, value in part.items():
            if isinstance(name, str) and isinstance(value, Mapping) and not _NO_NETWORK.search(name):
                look(f"{key}.{name}" if key else name, value)

    look("", document)
    sizes = {key: sum(isinstance(value, Tensor) for value in part.values()) for key, part in found.items()}
    # Best scores, class weights and the like are few tensors beside a network's.
    return {key: part for key, part in found.items() if 2 * sizes[key] >= max(sizes.values())}


def _is_key(key: str, name: str) -> bool:
    return key in (name, name.rpartition(".")[2])


def _by_rule(
    document: Mapping[object, object], networks: Mapping[str, Mapping[object, object]], path: Path
) -> tuple[str, str]:
    """The key of the network that counts, and why it is that."""
    plain = [key for key in networks if not is_averaged(key)]
    averaged = [key for key in networks if is_averaged(key)]
    usual = [key for name in _NAMED for key in plain if _is_key(name, key)]
    whole = {key: _own_names(part) for key, part in networks.items()}
    if not plain:
        plain, averaged, usual = averaged, [], averaged[:1]
    if not usual:
        usual = plain
        if len(plain) > 1:
            raise ModelError(f"{path}: holds several networks, {', '.join(plain)}: --weights-key chooses")
    chosen = usual[0]
    twins = [key for key in plain if key != chosen and whole[key] == whole[chosen] and _differ(networks, key, chosen)]
    if twins:
        raise ModelError(f"{path}: holds several networks, {', '.join((chosen, *twins))}: --weights-key chooses")
    if averaged and chosen == "state_dict" and "ema_state_dict" in averaged and _of_mmengine(document):
        return chosen, "mmengine saves the averaged weights under it and the others under 'ema_state_dict'"
    if complete := [key for key in averaged if whole[key] >= whole[chosen]]:
        return complete[0], "averaged over training, as timm and torchvision evaluate them"
    return chosen, f"complete; {averaged[0]!r} is not" if averaged else "the usual key"


def _own_names(part: Mapping[object, object]) -> frozenset[str]:
    """Names without what wrappers put before them and without counters, so that two saves compare."""
    names = {_WRAPPERS.sub(r"\1", str(name)) for name in part if not _COUNTERS.fullmatch(str(name))}
    while prefix := next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in names)), ""):
        names = {name.removeprefix(prefix) for name in names}
        if not any(names):
            break
    return frozenset(names)


def _differ(networks: Mapping[str, Mapping[object, object]], first: str, second: str) -> bool:
    one, other = (list(networks[key].values()) for key in (first, second))
    return len(one) != len(other) or any(
        isinstance(a, Tensor) and isinstance(b, Tensor) and not (a.shape == b.shape and torch.equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


def _of_mmengine(document: Mapping[object, object]) -> bool:
    meta = document.get("meta")
    return "message_hub" in document or (isinstance(meta, Mapping) and "mmengine_version" in meta)


def _tensors(part: Mapping[object, object], path: Path) -> dict[str, Tensor]:
    odd = next((name for name, value in part.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise ModelError(f"{path}: {odd!r} is not a tensor; save the model's state_dict()")
    return {str(name): tensor for name, tensor in part.items() if isinstance(tensor, Tensor)}


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
