"""Networks whose code lies beside the card: checked by digest, and run only where the operator trusts code.

A card's `architecture: model.py:build` or `package.module:build` names what makes the module; `code` names a zip
archive of Python files beside it. What is hashed is what is run: files are imported from bytes that were compared.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import io
import sys
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from torch import nn

from actionlens.card import ModelCard
from handlers.errors import ModelError
from handlers.models.family import Family

MOST_BYTES = 16 * 2**20
"""Of all Python files of one network together."""
MOST_FILES = 4096
CLASSES = ("classes", "num_classes", "n_classes", "nb_classes", "class_num", "num_class", "number_of_classes")
"""Names under which networks take the number of their classes."""

_loaded: dict[tuple[str, str], Callable[..., nn.Module]] = {}
_lock = threading.Lock()


def untrusted(what: str) -> ModelError:
    """The refusal of code that nobody said to trust."""
    return ModelError(
        f"{what} is code of its own, and nothing of it was run: it may do all that you may. Read it; if you trust it, "
        "say so with --trust-code or ACTIONLENS_TRUST_CODE=1"
    )


def load_code(card: ModelCard, folder: Path, trust: bool) -> None:
    """Import what makes the card's network, for `own_family`; nothing for a card that names a family.

    Raises ModelError where trust is false, for an archive that is absent, of another digest or not of Python files, and
    where importing it fails.
    """
    if card.code is None:
        return
    if not trust:
        raise untrusted(f"architecture: {card.architecture}")
    path = folder / card.code.file
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path}: more than {MOST_BYTES} bytes of code")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.code.sha256:
        raise ModelError(f"{path}: code.sha256 is {digest}, the card says {card.code.sha256}")
    with _lock:
        if (digest, card.architecture) not in _loaded:
            _loaded[digest, card.architecture] = _imported(card.architecture, _files(data, path), digest)


def own_family(card: ModelCard) -> Family:
    """The card's network as a family of its own, once `load_code` has run. Raises ModelError before."""
    made = None if card.code is None else _loaded.get((card.code.sha256, card.architecture))
    if made is None:
        raise untrusted(f"architecture: {card.architecture}")
    return Family(card.architecture, "Code of its own.", _builder(made), layer="", traceable=False, real=True)


def classes_argument(made: Callable[..., Any]) -> str:
    """Name under which a function or class takes the number of classes; empty where it takes none that is known."""
    try:
        parameters = inspect.signature(made).parameters
    except (TypeError, ValueError):
        return ""
    if named := next((name for name in CLASSES if name in parameters), ""):
        return named
    return CLASSES[0] if any(each.kind is each.VAR_KEYWORD for each in parameters.values()) else ""


def _builder(made: Callable[..., Any]) -> Callable[..., nn.Module]:
    def build(classes: int, **arguments: Any) -> nn.Module:
        name = classes_argument(made)
        try:
            module = made(**({name: classes} if name else {}) | arguments)
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        if not isinstance(module, nn.Module):
            raise TypeError(f"it makes a {type(module).__name__}, not a torch.nn.Module")
        return module

    return build


def _files(data: bytes, path: Path) -> dict[str, bytes]:
    """The Python files of an archive, by their paths in it. Raises ModelError."""
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            if len(listed) > MOST_FILES or sum(entry.file_size for entry in listed) > MOST_BYTES:
                raise ModelError(f"{path}: more than {MOST_FILES} files or {MOST_BYTES} bytes of code")
            for entry in listed:
                *folders, file = entry.filename.split("/")
                stem, dot, suffix = file.partition(".")
                if not all(part.isidentifier() for part in (*folders, stem)) or (dot, suffix) != (".", "py"):
                    raise ModelError(f"{path}: {entry.filename!r} is no Python file of a package")
                files[entry.filename] = archive.read(entry)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: no zip archive of Python files: {error}") from error
    return files


def _imported(architecture: str, files: Mapping[str, bytes], digest: str) -> Callable[..., nn.Module]:
    where, _, attribute = architecture.partition(":")
    if where.endswith(".py"):
        if where not in files:
            raise ModelError(
                f"architecture: there is no {where} in its code; it has {', '.join(sorted(files)) or 'none'}"
            )
        # Under a name that no other network's file has: `model.py` is what many are called.
        module = f"actionlens_code_{digest[:16]}"
        importer = _Importer({module + ".py": files[where]}, digest)
    else:
        module = where
        importer = _Importer(files, digest)
        top = module.partition(".")[0]
        held = sys.modules.get(top)
        if held is not None and getattr(held.__spec__, "origin", None) != importer.origin(top):
            raise ModelError(
                f"architecture: {architecture}: a package {top} is loaded in this process already, with other code; "
                "give the network's a name of its own, or serve each with backend torchserve, in processes of their own"
            )
    sys.meta_path.insert(0, importer)
    try:
        made = getattr(importlib.import_module(module), attribute, None)
    except (Exception, SystemExit) as error:
        sys.meta_path.remove(importer)
        for name in importer.names:
            sys.modules.pop(name, None)
        raise ModelError(f"architecture: {architecture}: {type(error).__name__}: {error}{_way_out(error)}") from error
    if not callable(made):
        raise ModelError(f"architecture: {architecture}: {where} has no function or class {attribute}")
    found: Callable[..., nn.Module] = made
    return found


def _way_out(error: BaseException) -> str:
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return (
        f"; install {error.name} where models are served, or, where it lies beside the network's file, make both a "
        "package and name that: package.module:build"
    )


class _Importer(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports modules from files in memory, by their paths in an archive."""

    def __init__(self, files: Mapping[str, bytes], digest: str) -> None:
        self._digest = digest
        self._files: dict[str, tuple[str, bytes, bool]] = {}
        for path, source in files.items():
            name = path.removesuffix(".py").replace("/", ".")
            package = name.rpartition(".")[2] == "__init__"
            self._files[name.rpartition(".")[0] if package else name] = path, source, package
        for name in tuple(self._files):  # folders without an __init__.py
            while name := name.rpartition(".")[0]:
                self._files.setdefault(name, (name, b"", True))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._files)

    def origin(self, name: str) -> str:
        path = self._files[name][0] if name in self._files else name
        return f"<code {self._digest[:16]}>/{path}"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._files:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self.origin(fullname))

    def is_package(self, fullname: str) -> bool:
        return self._files[fullname][2]

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._files[fullname][1])

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._files[fullname][1], self.origin(fullname))
