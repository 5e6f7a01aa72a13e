"""Documents of others: what is plain comes out, and everything else is one kind of error."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionlens.documents import DEEPEST, MOST_BYTES, DocumentError, parse_json, parse_yaml, read_json, read_yaml

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9))
LADDER = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(2000))
MERGED = "a0: &a0 {k: v}\n" + "".join(f"a{n + 1}: &a{n + 1} {{<<: [*a{n}, *a{n}]}}\n" for n in range(40))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "deeper than 64"),
        ("{a: " * 100_000, "deeper than 64"),
        ("- " * 5_000, "deeper than 64"),
        ("? " * 5_000, "deeper than 64"),
        (LAUGHS, "stands for more than"),
        (LADDER, "deeper than 64"),
        (MERGED, "stands for more than"),
        ("a: &a [*a]", "itself"),
        ("&a {b: *a}", "itself"),
        ("a: *b", "undefined alias"),
        ("!!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("!!timestamp x", "groupdict"),
        ("2001-99-99", "month must be"),
        ("!!int ''", "index out of range"),
        ("1" * 5000, "digits"),
        ("? [a]\n: b", "unhashable"),
        ("a: b: c", "not allowed"),
        ("\0", "special characters"),
    ],
)
def test_yaml_that_is_no_plain_document_is_refused(text: str, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        parse_yaml(text)


def test_yaml_as_people_write_it_is_read() -> None:
    text = "base: &b {mean: [1, 2.5], tags: &t [x, y]}\nagain: *b\nmore: {<<: *b, tags: *t}\n"
    base = {"mean": [1, 2.5], "tags": ["x", "y"]}
    assert parse_yaml(text) == {"base": base, "again": base, "more": base}
    assert parse_yaml("") is None
    assert parse_yaml("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)) is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "deeper than 64"),
        ("[" * 500 + "]" * 500, "deeper than 64"),
        ('{"a": ' * 500 + "1" + "}" * 500, "deeper than 64"),
        ("1" * 5000, "digits"),
        ("{", "Expecting"),
        (b"\xff", "decode"),
    ],
)
def test_json_that_is_no_plain_document_is_refused(text: str | bytes, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        parse_json(text)


def test_json_is_read_to_the_same_depth() -> None:
    assert parse_json("[" * DEEPEST + "]" * DEEPEST) is not None
    with pytest.raises(DocumentError):
        parse_json("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2))


@pytest.mark.parametrize("read", [read_yaml, read_json])
def test_files_that_hold_no_text_are_refused(read: object, tmp_path: Path) -> None:
    assert callable(read)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with (tmp_path / "long").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    for name, says in (("absent", "No such file"), ("bytes", "decode"), ("long", "more than"), ("a\0b", "null")):
        with pytest.raises(DocumentError, match=says):
            read(tmp_path / name)
    (tmp_path / "marked").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read(tmp_path / "marked") == {"a": 1}
