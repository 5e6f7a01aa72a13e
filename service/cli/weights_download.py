"""Fetches published weights by catalogue: resumed where they broke off, refused when their digest is another."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and, where the server says so, the bytes of the whole file."""

_TIMEOUT = httpx.Timeout(30.0)
_CHUNK = 1 << 20
_DIGITS = 64


class CatalogueEntry(BaseModel):
    """One published checkpoint.

    sha256: of the file, in hexadecimal; where the publisher gives only its beginning (as in the file's name), that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    url: Annotated[str, Field(pattern=r"^https?://.+/[A-Za-z0-9._-]+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
    licence: Annotated[str, Field(min_length=1)]
    description: str = ""

    @property
    def digest_line(self) -> str:
        """The digest and how much of it was compared, for people."""
        digits = len(self.sha256)
        whole = "as published" if digits == _DIGITS else f"begins as published; no more than {digits} digits are"
        return f"{self.sha256}: {whole}"

    @property
    def file(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


def read_catalogue(path: Path) -> dict[str, CatalogueEntry]:
    """Entries by name. Raises InvalidArgument naming the file and the field that does not fit."""
    try:
        return TypeAdapter(dict[str, CatalogueEntry]).validate_python(
            yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidArgument(f"catalogue: {path}: {error}", field="catalogue") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(f"catalogue: {path}: {field}: {first['msg']}", field="catalogue") from error


def find_entry(catalogue: dict[str, CatalogueEntry], name: str) -> CatalogueEntry:
    """The entry of that name. Raises NotFound, listing what there is."""
    if name not in catalogue:
        raise NotFound(f"name: {name!r} is not in the catalogue; it has {', '.join(catalogue)}", field="name")
    return catalogue[name]


def fetch(entry: CatalogueEntry, folder: Path, report: Progress) -> Path:
    """The entry's file in this folder, downloaded as far as it is not there yet, with the right digest.

    A connection that breaks is taken up again as long as each attempt brings something. Raises Unavailable when the
    server cannot be reached or does not have it (what came is kept for the next time), and FailedPrecondition for a
    wrong digest (nothing is kept) or while another process fetches the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done, part = folder / entry.file, folder / f"{entry.file}.part"
    if done.exists() and _digest(done).startswith(entry.sha256):
        return done
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(f"name: another process is fetching {entry.url}", field="name") from None
        while True:
            before = file.tell()
            try:
                _download(entry.url, file, report)
                break
            except httpx.TransportError as error:
                if file.tell() == before:
                    kept = f"; {before / 1e6:.1f} MB are kept, and the next pull continues there" if before else ""
                    raise Unavailable(f"{entry.url}: {str(error) or type(error).__name__}{kept}") from error
        digest = _digest(part)
        if not digest.startswith(entry.sha256):
            part.unlink()
            raise FailedPrecondition(
                f"{entry.url}: sha256 is {digest}, the catalogue says {entry.sha256}; what came was deleted",
                reason="WRONG_DIGEST",
            )
        return part.rename(done)


def _download(url: str, file: BinaryIO, report: Progress) -> None:
    """Append what is missing. Raises httpx.TransportError when the connection breaks, Unavailable for a refusal."""
    start = file.tell()
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            # All of it is there already, or too much; the digest shows which.
            return
        if answer.is_error:
            raise Unavailable(f"{url}: the server answers {answer.status_code} {answer.reason_phrase}")
        continues = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if start and not (answer.status_code == httpx.codes.PARTIAL_CONTENT and continues):
            file.truncate(0)
            file.seek(start := 0)
        length = answer.headers.get("Content-Length")
        whole = start + int(length) if length else None
        for chunk in answer.iter_bytes(_CHUNK):
            file.write(chunk)
            report(file.tell(), whole)
        file.flush()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
