"""The file of principals: who is known by a token or a certificate. Tokens are in it as hashes only."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from actionlens.documents import DocumentError, read_yaml
from service.data_folder import prepare
from service.errors import InvalidArgument, NotFound, Unauthenticated
from service.identity.principal import Credential, Principal, Right
from service.identity.watched_files import Stamp, stamp
from service.telemetry.log import get_logger

TOKEN_PREFIX = "alt_"
"""Begins every token, so that people and scanners of secrets know one."""
_HEAD = """# Principals of ActionLens, written by `actionlens tokens`. Tokens are SHA-256 hashes: who has one keeps it.
"""
_Word = Annotated[str, Field(pattern=r"^[^\x00-\x20\x7f-\x9f]{1,100}$")]


class Entry(BaseModel):
    """One principal in the file: known by a token's hash, or by a name in its client certificate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Word
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    certificate: str | None = None
    """The certificate's common name, or one of its alternative names."""
    tenants: Annotated[tuple[_Word, ...], Field(min_length=1)]
    rights: frozenset[Right]

    @model_validator(mode="after")
    def _known_by_one(self) -> Entry:
        if (self.sha256 is None) == (self.certificate is None):
            raise ValueError("an entry has either sha256 (of a token) or certificate (a name in it)")
        return self

    @property
    def principal(self) -> Principal:
        """Who this is."""
        return Principal(self.name, self.tenants, self.rights)


_ENTRIES: TypeAdapter[list[Entry]] = TypeAdapter(list[Entry])


def read_entries(path: Path) -> list[Entry]:
    """The file's principals. Raises InvalidArgument for a file that cannot be read, or is none."""
    try:
        found = _ENTRIES.validate_python(read_yaml(path) or [])
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise _unreadable(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except DocumentError as error:
        raise _unreadable(path, str(error).replace("\n", " ")) from None
    names = [entry.name for entry in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise _unreadable(path, f"{min(twice)!r} is there twice")
    return found


def write_entries(path: Path, entries: list[Entry]) -> None:
    """Replace the file as a whole, readable by its owner alone: a service that reads it sees the old one or the new."""
    document = [entry.model_dump(mode="json", exclude_none=True) for entry in entries]
    for entry in document:
        entry["rights"] = sorted(entry["rights"])
    prepare(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def add_entry(path: Path, name: str, tenants: tuple[str, ...], rights: frozenset[Right], certificate: str = "") -> str:
    """Add a principal to the file, which is made where there is none. Returns its new token; "" for one that is known
    by a certificate. Raises InvalidArgument for a name that is taken or values that are none."""
    entries = read_entries(path) if path.exists() else []
    if any(entry.name == name for entry in entries):
        raise InvalidArgument(f"name: {name!r} is in {path} already; revoke it first", field="name")
    token = "" if certificate else TOKEN_PREFIX + secrets.token_urlsafe(32)
    given: dict[str, Any] = {"certificate": certificate} if certificate else {"sha256": token_hash(token)}
    try:
        added = Entry(name=name, tenants=tenants, rights=rights, **given)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = str(first["loc"][0]) if first["loc"] else ""
        raise InvalidArgument(f"{where}: {first['msg']}", field=where) from None
    write_entries(path, [*entries, added])
    return token


def remove_entry(path: Path, name: str) -> None:
    """Take a principal out of the file. Raises NotFound, InvalidArgument."""
    entries = read_entries(path)
    if all(entry.name != name for entry in entries):
        raise NotFound(f"name: {name!r} is not in {path}", field="name")
    write_entries(path, [entry for entry in entries if entry.name != name])


def token_hash(token: str) -> str:
    """SHA-256 in hexadecimal. A token has 256 random bits: there is nothing to guess that a slow hash would guard."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class PrincipalsFile:
    """The principals of a file, as it is now. One that cannot be read knows nobody: whom an operator took out of it
    must not stay let in because of a slip beside it."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidArgument for a file that cannot be read: at the start that is a mistake."""
        self._path = path
        self._seen: Stamp = stamp(path)
        self._entries = read_entries(path)

    def by_token(self, token: str) -> Credential:
        """Whom a token stands for. Raises Unauthenticated for one that is not in the file."""
        return self._credential(lambda: self._with_hash(token_hash(token)))

    def by_certificate(self, names: frozenset[str]) -> Credential | None:
        """Whom a certificate with these names stands for; None: nobody in the file."""
        try:
            return self._credential(lambda: next((entry for entry in self._now() if entry.certificate in names), None))
        except Unauthenticated:
            return None

    def _credential(self, find: Any) -> Credential:
        def principal() -> Principal:
            entry: Entry | None = find()
            if entry is None:
                raise Unauthenticated(
                    "the token or certificate is not known here, or no longer", reason="UNKNOWN_TOKEN"
                )
            return entry.principal

        principal()
        return principal

    def _with_hash(self, wanted: str) -> Entry | None:
        found = None
        for entry in self._now():  # all of them, each in constant time
            if entry.sha256 is not None and hmac.compare_digest(entry.sha256, wanted):
                found = entry
        return found

    def _now(self) -> list[Entry]:
        now = stamp(self._path)
        if now != self._seen:
            self._seen = now
            try:
                self._entries = read_entries(self._path)
                get_logger().info("the principals were read again", file=str(self._path), count=len(self._entries))
            except InvalidArgument as error:
                self._entries = []
                get_logger().error("nobody is let in until the file of principals is mended", error=error.message)
        return self._entries


def _unreadable(path: Path, why: str) -> InvalidArgument:
    return InvalidArgument(f"tokens: {path}: {why}", field="authentication.tokens", reason="PRINCIPALS_UNREADABLE")
