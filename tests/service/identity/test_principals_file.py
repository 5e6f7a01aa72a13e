"""The file of principals: made, read, read again, and what is in it that is no principal."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from service.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from service.identity.principal import EVERY_TENANT, EVERYBODY, Principal, Right, rights_of
from service.identity.principals_file import PrincipalsFile, add_entry, read_entries, remove_entry, token_hash

JOBS = frozenset({Right.JOBS})


def test_a_token_is_told_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    token = add_entry(path, "alice", ("red", "blue"), JOBS)
    assert token not in path.read_text()
    assert token_hash(token) in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) > 43  # 256 bits in base64, and the prefix
    assert PrincipalsFile(path).by_token(token)() == Principal("alice", ("red", "blue"), JOBS)


def test_other_tokens_and_other_hashes_stand_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    token = add_entry(path, "alice", ("red",), JOBS)
    for wrong in ("", token[:-1], token + "x", token_hash(token), "\udcff", "\ud800", "ä"):
        with pytest.raises(Unauthenticated):
            PrincipalsFile(path).by_token(wrong)


def test_a_revoked_token_stands_for_nobody_at_once_and_one_added_does(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    alice = add_entry(path, "alice", ("red",), JOBS)
    file = PrincipalsFile(path)
    credential = file.by_token(alice)
    bob = add_entry(path, "bob", ("blue",), JOBS)
    assert file.by_token(bob)().name == "bob"
    remove_entry(path, "alice")
    with pytest.raises(Unauthenticated):
        credential()
    assert file.by_token(bob)().name == "bob"


# Eight lines that stand for a hundred million values.
_ALIASES = "".join(f"- &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]\n" for n in range(8))


@pytest.mark.parametrize("after", ["not: a list", "- {name: a}", "[", "[" * 100_000, _ALIASES, "- \x1b", None])
def test_a_file_that_cannot_be_read_lets_nobody_in_until_it_is_mended(tmp_path: Path, after: str | None) -> None:
    path = tmp_path / "principals.yaml"
    token = add_entry(path, "alice", ("red",), JOBS)
    whole = path.read_text()
    file = PrincipalsFile(path)
    credential = file.by_token(token)
    path.unlink()
    if after is not None:
        path.write_text(after)
    with pytest.raises(Unauthenticated):
        credential()
    with pytest.raises(InvalidArgument, match=r"principals\.yaml"):
        PrincipalsFile(path)
    path.write_text(whole)
    assert credential().name == "alice"


def test_names_are_taken_once_and_values_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    add_entry(path, "alice", ("red",), JOBS)
    for name, tenants in (("alice", ("red",)), ("b\nc", ("red",)), ("", ("red",)), ("bob", ()), ("bob", ("a b",))):
        with pytest.raises(InvalidArgument):
            add_entry(path, name, tenants, JOBS)
    with pytest.raises(NotFound):
        remove_entry(path, "bob")
    assert [entry.name for entry in read_entries(path)] == ["alice"]


def test_a_certificate_stands_for_the_principal_with_one_of_its_names(tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    assert add_entry(path, "camera", ("red",), JOBS, certificate="camera.example") == ""
    file = PrincipalsFile(path)
    credential = file.by_certificate(frozenset({"cn", "camera.example"}))
    assert credential is not None
    assert credential().name == "camera"
    assert file.by_certificate(frozenset({"other.example"})) is None
    assert file.by_certificate(frozenset()) is None


def test_rights_hold_others_and_tenants_are_ones_own() -> None:
    explains = Principal("a", ("red", "blue"), frozenset({Right.EXPLAIN}))
    assert [right for right in Right if explains.may(right)] == [Right.PREDICT, Right.EXPLAIN]
    assert all(EVERYBODY.may(right) for right in Right)
    assert not Principal("a", ("red",), frozenset()).may(Right.PREDICT)
    assert (explains.tenant_for(""), explains.tenant_for("blue")) == ("red", "blue")
    with pytest.raises(PermissionDenied, match="'green'"):
        explains.tenant_for("green")
    assert (EVERYBODY.tenant_for(""), EVERYBODY.tenant_for("green"), EVERYBODY.own_tenants) == ("", "green", None)
    assert Principal("a", (EVERY_TENANT, "red"), frozenset()).tenant_for("") == "red"
    assert rights_of(["jobs", "openid", "JOBS", ""]) == {Right.JOBS}
