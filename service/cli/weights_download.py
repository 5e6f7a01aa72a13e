"""Fetches published weights by catalogue, over https alone: resumed where they broke off, refused when they are longer
than was published or their digest is another."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import httpx
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from actionlens.documents import DocumentError, read_yaml
from service.cli import signatures
from service.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and, where the server says so, the bytes of the whole file."""

_TIMEOUT = httpx.Timeout(30.0)
_CHUNK = 1 << 20
_REDIRECTS = 5
_HTTPS = r"^https://[^\s/@]+/(\S+/)?[A-Za-z0-9][A-Za-z0-9._-]*$"
_MOST_BYTES = 32 * 2**30
"""Of a file of which the catalogue says nothing: more than any network of a known family."""


class CatalogueEntry(BaseModel):
    """One published checkpoint.

    sha256: of the file, 64 hexadecimal digits. bytes: the file's length, where it is known. signature: where its
    minisign signature is published; beside the file, with .minisig behind its name, unless told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    url: Annotated[str, Field(pattern=_HTTPS)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(gt=0)] | None = None
    signature: Annotated[str, Field(pattern=_HTTPS)] | None = None
    licence: Annotated[str, Field(min_length=1)]
    description: str = ""

    @property
    def file(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


def read_catalogue(path: Path) -> dict[str, CatalogueEntry]:
    """Entries by name. Raises InvalidArgument naming the file and the field that does not fit."""
    try:
        return TypeAdapter(dict[str, CatalogueEntry]).validate_python(read_yaml(path) or {})
    except DocumentError as error:
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
    server cannot be reached, does not have it or sends elsewhere than by https (what came is kept for the next time),
    and FailedPrecondition for a wrong length or digest (nothing is kept) or while another process fetches the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done, part = folder / entry.file, folder / f"{entry.file}.part"
    if done.exists() and _digest(done) == entry.sha256:
        return done
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(f"name: another process is fetching {entry.url}", field="name") from None
        while True:
            before = file.tell()
            try:
                _download(entry.url, file, report, entry.bytes or _MOST_BYTES)
                break
            except _TooLong as error:
                part.unlink()
                raise FailedPrecondition(f"{entry.url}: {error}; what came was deleted", reason="TOO_LONG") from error
            except httpx.TransportError as error:
                if file.tell() == before:
                    kept = f"; {before / 1e6:.1f} MB are kept, and the next pull continues there" if before else ""
                    raise Unavailable(f"{entry.url}: {str(error) or type(error).__name__}{kept}") from error
        digest = _digest(part)
        if digest != entry.sha256:
            part.unlink()
            raise FailedPrecondition(
                f"{entry.url}: sha256 is {digest}, the catalogue says {entry.sha256}; what came was deleted",
                reason="WRONG_DIGEST",
            )
        return part.rename(done)


def fetch_signature(entry: CatalogueEntry, folder: Path) -> Path:
    """The signature of the entry's file, downloaded into this folder. Raises Unavailable, and FailedPrecondition for
    one that is too long."""
    path = folder / f"{entry.file}{signatures.SUFFIX}"
    url = entry.signature or f"{entry.url}{signatures.SUFFIX}"
    try:
        with path.open("wb") as file:
            _download(url, file, lambda _done, _whole: None, signatures.MOST_BYTES)
    except _TooLong as error:
        raise FailedPrecondition(f"{url}: {error}", reason="TOO_LONG") from error
    except httpx.TransportError as error:
        raise Unavailable(f"{url}: {str(error) or type(error).__name__}") from error
    return path


class _TooLong(Exception):
    """More is sent, or announced, than was published."""

    def __init__(self, most: int) -> None:
        super().__init__(f"is longer than {most} bytes")


def _download(url: str, file: BinaryIO, report: Progress, most: int) -> None:
    """Append what is missing. Raises httpx.TransportError when the connection breaks, Unavailable for a refusal and
    _TooLong before more than `most` bytes are in the file."""
    start = file.tell()
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})

    def check(request: httpx.Request) -> None:
        if request.url.scheme != "https":
            raise Unavailable(f"{url}: the server sends to {request.url}; only https is followed")

    with (
        httpx.Client(
            timeout=_TIMEOUT, follow_redirects=True, max_redirects=_REDIRECTS, event_hooks={"request": [check]}
        ) as client,
        _answer(client, url, headers) as answer,
    ):
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
        if whole is not None and whole > most:
            raise _TooLong(most)
        # As it is sent: a server that compresses all the same could send gigabytes in a few bytes.
        for chunk in answer.iter_raw(_CHUNK):
            if file.tell() + len(chunk) > most:
                raise _TooLong(most)
            file.write(chunk)
            report(file.tell(), whole)
        file.flush()


@contextmanager
def _answer(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    try:
        with client.stream("GET", url, headers=headers) as answer:
            yield answer
    except httpx.TooManyRedirects as error:
        raise Unavailable(f"{url}: the server sends elsewhere more than {_REDIRECTS} times") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
