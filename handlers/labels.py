"""Reads the names of classes as people have them: lines, numbered lines, JSON lists and maps, CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionlens.documents import MOST_BYTES, DocumentError, parse_json
from handlers.errors import ModelError

_BEFORE = re.compile(r"(\d{1,9})(?:\s*[,;:.)\t]\s*|\s+)(\S.*)")
_BEHIND = re.compile(r"(.*\S)\s*[,;\t]\s*(\d{1,9})")
_NAMES = ("name", "label", "class_name", "classname", "label_name", "class", "action", "category", "display_name")
_NUMBERS = ("id", "index", "idx", "label_id", "class_id", "classid", "number")
_WITHIN = ("id2label", "labels", "classes", "class_names", "names", "label2id")
_DIGITS = 18
_ENCODINGS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class Labels:
    """Names of the classes in order. source: the file, for messages. notes: how it was read, for people."""

    names: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()


def read_labels(path: Path) -> Labels:
    """Read a file of labels. Raises ModelError naming the file and what in it does not fit.

    A line each, perhaps with its number (from 0 or 1) before it; a JSON list or map from number to name or the other
    way round, perhaps under "id2label" or "labels"; CSV with a column of names and perhaps one of numbers. UTF-8 or,
    with a byte order mark, UTF-16.
    """
    source = f"labels: {path}"
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ModelError(f"{source}: has more than {MOST_BYTES} bytes")
        encoding = next((name for mark, name in _ENCODINGS if data.startswith(mark)), "utf-8")
        text = data.decode(encoding)
    except OSError as error:
        raise ModelError(f"{source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{source}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except ModelError:
        raise
    except ValueError as error:  # a name with a null character
        raise ModelError(f"{source!r}: {error}") from error
    if "\0" in text:
        raise ModelError(f"{source}: is not text")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{"):
        try:
            return labels_of(parse_json(text), str(path))
        except DocumentError as error:
            if path.suffix.lower() == ".json":
                raise ModelError(f"{source}: {error}") from error
    separator = _separator(path, lines)
    if separator:
        try:
            rows = list(csv.reader(lines, delimiter=separator))
        except csv.Error as error:
            raise ModelError(f"{source}: {error}") from error
        return _of_rows(rows, str(path))
    return _of_lines(lines, str(path))


def labels_of(document: Any, source: str) -> Labels:
    """Labels out of JSON or YAML: a list, or a map from number to name or from name to number.

    source: the file that it stands in. Raises ModelError naming it.
    """
    if isinstance(document, Mapping):
        for key in _WITHIN:
            if isinstance(document.get(key), Mapping | list):
                return labels_of(document[key], source)
        items = list(document.items())
        if all(_number(key) is not None for key, _ in items):
            return _ordered([(_number(key), value) for key, value in items], source)
        if all(_number(value) is not None for _, value in items):
            return _ordered([(_number(value), key) for key, value in items], source)
        raise ModelError(f"labels: {source}: is a map that gives neither the names by number nor the numbers by name")
    if not isinstance(document, Sequence) or isinstance(document, str):
        raise ModelError(f"labels: {source}: is neither a list nor a map of labels")
    if document and all(isinstance(entry, Mapping) for entry in document):
        return _of_entries(document, source)
    return _checked([_text(entry, source) for entry in document], source)


def _of_entries(entries: Sequence[Mapping[str, Any]], source: str) -> Labels:
    name = next((key for key in _NAMES if all(key in entry for entry in entries)), None)
    number = next((key for key in _NUMBERS if all(_number(entry.get(key)) is not None for entry in entries)), None)
    if name is None:
        raise ModelError(f"labels: {source}: its entries have none of {', '.join(_NAMES[:3])}")
    if number is None:
        return _checked([_text(entry[name], source) for entry in entries], source)
    return _ordered([(_number(entry[number]), entry[name]) for entry in entries], source)


def _of_lines(lines: Sequence[str], source: str) -> Labels:
    for pattern, number, name in ((_BEFORE, 1, 2), (_BEHIND, 2, 1)):
        found = [pattern.fullmatch(line) for line in lines]
        pairs = [(int(match[number]), match[name]) for match in found if match is not None]
        numbers = [pair[0] for pair in pairs]
        if len(pairs) < max(2, len(lines)) or len(set(numbers)) < len(numbers) or min(numbers) > 1:
            continue
        if max(numbers) - min(numbers) == len(numbers) - 1 or pattern is _BEFORE:
            return _ordered(pairs, source)
    return _checked(lines, source)


def _separator(path: Path, lines: Sequence[str]) -> str:
    """What stands between the columns; "" where the lines are no table."""
    first = lines[0].lower() if lines else ""
    known = {word.strip(' "') for word in re.split(r"[,;\t]", first)}
    if path.suffix.lower() in (".csv", ".tsv"):
        return max(",;\t", key=first.count) if re.search(r"[,;\t]", first) else ","
    if len(known) > 1 and known & set(_NAMES) and known & {*_NUMBERS, *_NAMES}:
        return max(",;\t", key=first.count)
    return ""


def _of_rows(rows: Sequence[Sequence[str]], source: str) -> Labels:
    """Labels of a table, with a first line of titles or without."""
    rows = [[cell.strip() for cell in row] for row in rows]
    titles = [cell.lower() for cell in rows[0]] if rows else []
    titled = bool(set(titles) & {*_NAMES, *_NUMBERS}) and (len(titles) > 1 or titles[0] in _NAMES)
    body = rows[1:] if titled else rows
    width = len(titles)
    if odd := next((number for number, row in enumerate(body, 1 + titled) if len(row) != width), 0):
        raise ModelError(f"labels: {source}: row {odd} has {len(rows[odd - 1])} columns, the first has {width}")
    numbers = [column for column in range(width) if all(_number(row[column]) is not None for row in body)]
    names = [column for column in range(width) if column not in numbers] if width > 1 else [0]
    if titled:
        names = [titles.index(word) for word in _NAMES if word in titles and titles.index(word) in names] or names
        numbers = [
            titles.index(word) for word in _NUMBERS if word in titles and titles.index(word) in numbers
        ] or numbers
    if not names:
        names, numbers = numbers[1:2], numbers[:1]  # numbers for names
    if not names:
        raise ModelError(f"labels: {source}: is a table without a column of names")
    if len(names) > 1 and not titled:
        raise ModelError(
            f"labels: {source}: has {len(names)} columns of text; give the one of the names the title 'name'"
        )
    if not numbers or numbers[0] == names[0]:
        return _checked([row[names[0]] for row in body], source)
    return _ordered([(_number(row[numbers[0]]), row[names[0]]) for row in body], source)


def _ordered(pairs: Sequence[tuple[int | None, Any]], source: str) -> Labels:
    """Labels in the order of their numbers, which must be 0 to n - 1 or 1 to n."""
    named = {number: _text(name, source) for number, name in pairs if number is not None}
    first = min(named, default=0)
    missing = [number for number in range(first, first + len(pairs)) if number not in named]
    if first not in (0, 1) or missing or len(named) < len(pairs):
        what = f"{missing[0]} is missing" if missing else f"they start at {first}"
        raise ModelError(
            f"labels: {source}: numbers of {len(pairs)} classes must be 0 to {len(pairs) - 1} or 1 to {len(pairs)}: "
            f"{what}"
        )
    found = _checked([named[number] for number in sorted(named)], source)
    note = f"labels of {source} are in the order of their numbers, from {first}"
    return Labels(found.names, source, (note, *found.notes))


def _checked(names: Sequence[str], source: str) -> Labels:
    plain = [_unquoted(name.strip()) for name in names]
    seen: dict[str, int] = {}
    for number, name in enumerate(plain, 1):
        if not name:
            raise ModelError(f"labels: {source}: label {number} is empty")
        if name in seen:
            raise ModelError(
                f"labels: {source}: labels {seen[name]} and {number} are both {name!r}; every label must be different"
            )
        seen[name] = number
    if len(plain) < 2:
        raise ModelError(f"labels: {source}: has {len(plain)} labels; a classifier has two or more")
    note = ""
    if all(name.isdecimal() for name in plain) and plain != [str(number) for number in range(len(plain))]:
        note = f"labels are numbers: target {plain[-1]!r} is the class of that label, number {len(plain) - 1} from 0"
    return Labels(tuple(plain), source, (note,) if note else ())


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    return int(value) if isinstance(value, str) and len(value) <= _DIGITS and value.strip().isdecimal() else None


def _text(value: Any, source: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ModelError(f"labels: {source}: {value!r} is not a name; write it in quotes")
    return str(value)


def _unquoted(name: str) -> str:
    """A name out of one pair of quotes, which some lists keep around those of several words."""
    return name[1:-1].strip() if len(name) > 2 and name[0] == name[-1] == '"' else name
