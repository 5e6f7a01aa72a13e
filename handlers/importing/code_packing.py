"""Packs the code of somebody's own network, so that it can be served wherever its card is. Nothing of it is run."""

from __future__ import annotations

import io
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

from handlers.errors import ModelError
from handlers.models.own_code import MOST_BYTES, MOST_FILES

_FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in the archive, so that the same code has the same digest."""


def packed(architecture: str, folder: Path) -> tuple[str, bytes]:
    """The code of `model.py:build` beside a card, or of `package.module:build`, and the architecture as cards name it.

    folder: of the card, where files and packages are looked for first; packages then where Python looks. Of a package
    all Python files are packed. Raises ModelError where there is no such code, or where it is more than Python files.
    """
    where, _, attribute = architecture.partition(":")
    if where.endswith(".py"):
        path = folder / where
        if not path.stem.isidentifier():
            raise ModelError(f"architecture: {path.name}: a file that Python can import is named letters, digits and _")
        return f"{path.name}:{attribute}", _archive({path.name: path})
    top = where.partition(".")[0]
    # Of the outermost package alone: looking for its parts would import it.
    spec = PathFinder.find_spec(top, [str(folder.absolute()), str(Path.cwd()), *sys.path]) if top else None
    if spec is None:
        raise ModelError(f"architecture: there is no package {top!r} in {folder}, nor where Python looks for packages")
    if spec.submodule_search_locations is None:
        if spec.origin is None or not spec.origin.endswith(".py"):
            raise ModelError(f"architecture: {top} is no Python file")
        return architecture, _archive({f"{top}.py": Path(spec.origin)})
    files: dict[str, Path] = {}
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted(root.rglob("*")):
            if path.name.endswith(tuple(EXTENSION_SUFFIXES)):
                raise ModelError(
                    f"architecture: {path} is compiled, and Python files alone are packed; install {top} where models "
                    "are served, and write a model.py beside the card that imports it"
                )
            inside = path.relative_to(root)
            if path.suffix == ".py" and all(part.isidentifier() for part in inside.with_suffix("").parts):
                files[f"{top}/{inside.as_posix()}"] = path
                if len(files) > MOST_FILES:
                    raise ModelError(f"architecture: {top} has more than {MOST_FILES} Python files")
    return architecture, _archive(files)


def _archive(files: dict[str, Path]) -> bytes:
    written = io.BytesIO()
    size = 0
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(files.items()):
            try:
                size += path.stat().st_size
                if size > MOST_BYTES:
                    raise ModelError(f"architecture: {path}: more than {MOST_BYTES} bytes of code")
                archive.writestr(zipfile.ZipInfo(name, _FIRST_DATE), path.read_bytes())
            except OSError as error:
                raise ModelError(f"architecture: {path}: {error.strerror}") from error
    return written.getvalue()
