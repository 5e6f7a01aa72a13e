"""Reads what is known of clips from a CSV or JSON lines file, and finds the clips that it speaks of."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any

from actionlens.documents import DocumentError, parse_json
from actionlens.v1 import method_pb2, model_pb2
from service.client.clip_messages import class_message
from service.client.evaluations.clip_truth import MOST_BOXES, Box, ClipTruth
from service.errors import InvalidArgument
from service.validation.request import resolve_target

_BOX = ("frame", "x0", "y0", "x1", "y1")
_FRAMES = ("first_frame", "last_frame")
_SECONDS = ("begin_seconds", "end_seconds")
COLUMNS = ("clip", "class", *_FRAMES, *_SECONDS, *_BOX, "mask")
"""Of a CSV file. In JSON lines the five of a box are the numbers of each entry of "boxes"."""
_KEYS = ("clip", "class", *_FRAMES, *_SECONDS, "boxes", "mask")
_MOST_SHOWN = 10
_LARGEST_FRAME = 2**32 - 1


class _Wrong(Exception):
    """One thing that is wrong with a row: the field at fault, what it is, and what to do."""

    def __init__(self, name: str, why: str) -> None:
        self.text = f"{name}: {why}" if name else why


@dataclass
class _Gathered:
    """All that the rows of one clip say, and the lines that said it."""

    clip: str
    line: int
    said: dict[str, tuple[Any, int]] = field(default_factory=dict)
    boxes: dict[Box, int] = field(default_factory=dict)

    def say(self, name: str, value: Any, line: int) -> None:
        if name in self.said and self.said[name][0] != value:
            before, where = self.said[name]
            raise _Wrong(
                name.replace("_", " ") if name in ("frames", "seconds") else name,
                f"{_shown(value)}, but line {where} says {_shown(before)} of {self.clip!r}; a clip has one",
            )
        self.said.setdefault(name, (value, line))

    def truth(self, folder: Path) -> ClipTruth:
        values = {name: value for name, (value, _) in self.said.items()}
        return ClipTruth(
            clip=self.clip,
            line=self.line,
            label=values.get("class"),
            frames=values.get("frames"),
            seconds=values.get("seconds"),
            boxes=tuple(self.boxes),
            mask=folder / values["mask"] if "mask" in values else None,
        )


def read_truth(path: Path) -> list[ClipTruth]:
    """All clips of a file, in the order in which they come first; every row is checked.

    A file of which the first line begins with "{" has one JSON object per line, one line a clip. Any other is CSV with
    a header; rows of one clip add up. Paths of masks are taken from the file's folder, and must exist. Raises
    InvalidArgument that names the lines and fields that are wrong, up to ten of them, and OSError.
    """
    text = _text(path)
    rows = _json_rows(text) if text.lstrip().startswith(("{", "[")) else _csv_rows(text)
    gathered: dict[str, _Gathered] = {}
    wrong: list[str] = []
    for line, row in rows:
        try:
            _take(row() if callable(row) else row, line, gathered, path.parent)
        except _Wrong as error:
            wrong.append(f"{path.name} line {line}: {error.text}")
    _complain(wrong)
    if not gathered:
        _complain([f"{path.name} says nothing of any clip; write a row per clip or box below the header"])
    return [entry.truth(path.parent) for entry in gathered.values()]


def truths_of(truths: Sequence[ClipTruth], clips: Sequence[Path], file: Path) -> list[ClipTruth | None]:
    """The truth of each clip; None where the file has none.

    A clip is meant by its path from the file's folder or from here, by any last part of its path ("a/swipe.mp4",
    "swipe.mp4"), or that without its suffix. Raises InvalidArgument where a name fits several clips, two rows one clip,
    or no clip is named at all.
    """
    paths = [clip.resolve() for clip in clips]
    found: dict[int, ClipTruth] = {}
    wrong = []
    for truth in truths:
        fits = _meant(truth.clip, paths, file.parent)
        where = f"{file.name} line {truth.line}: clip: {truth.clip!r}"
        if len(fits) > 1:
            names = " and ".join(str(clips[index]) for index in fits[:2])
            wrong.append(f"{where} fits {len(fits)} clips, {names}; write more of the path")
        elif fits and fits[0] in found:
            wrong.append(f"{where} is {clips[fits[0]]}, of which line {found[fits[0]].line} speaks; name it one way")
        elif fits:
            found[fits[0]] = truth
    _complain(wrong)
    if truths and not found:
        raise InvalidArgument(
            f"{file.name} speaks of none of these clips; it names {truths[0].clip!r}, the first clip is {clips[0]}",
            reason="BAD_TRUTH",
        )
    return [found.get(index) for index in range(len(clips))]


def check_classes(truths: Iterable[ClipTruth], model: model_pb2.Model, file: Path) -> None:
    """Raises InvalidArgument where a class is none of the model's."""
    wrong = []
    for truth in truths:
        if truth.label is None:
            continue
        try:
            resolve_target(method_pb2.Target(explained=class_message(truth.label)), model, "target")
        except InvalidArgument as error:
            said = error.message.partition(": ")[2]
            wrong.append(f"{file.name} line {truth.line}: class: {said}")
    _complain(wrong)


def _complain(wrong: Sequence[str]) -> None:
    if wrong:
        more = [f"and {len(wrong) - _MOST_SHOWN} more lines like these"] if len(wrong) > _MOST_SHOWN else []
        raise InvalidArgument("\n".join([*wrong[:_MOST_SHOWN], *more]), reason="BAD_TRUTH")


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidArgument(f"{path.name} is UTF-16; save it as CSV UTF-8", reason="BAD_TRUTH")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidArgument(
            f"{path.name} line {line}: holds bytes that are not UTF-8; save it as CSV UTF-8", reason="BAD_TRUTH"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InvalidArgument(f"{path.name} line {line}: holds a null character; is it text?", reason="BAD_TRUTH")
    return text


Row = Mapping[str, Any]
Rows = Iterator[tuple[int, Row | Callable[[], Row]]]


def _raising(error: _Wrong) -> Callable[[], Row]:
    """A row that cannot be read, so that the next ones are checked all the same."""

    def fail() -> Row:
        raise error

    return fail


def _csv_rows(text: str) -> Rows:
    """The number of the first line of each row, and its fields by column, without those that are empty."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    seen: dict[tuple[str, ...], int] = {}
    while True:
        line = reader.line_num + 1
        try:
            row = [entry.strip() for entry in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            # The reader may not know where the next row begins.
            yield line, _raising(_Wrong("", f"cannot be read as CSV ({error}); close every quote and comma"))
            return
        if not any(row):
            continue
        if not header:
            header = [name.lower() for name in row]
            if said := _wrong_header(header):
                yield line, _raising(_Wrong("", said))
                return
        elif len(row) != len(header):
            said = f"has {len(row)} fields, the header {len(header)}; an empty field is a comma too"
            yield line, _raising(_Wrong("", said))
        elif (before := seen.setdefault(tuple(row), line)) != line:
            yield line, _raising(_Wrong("", f"is line {before} again; remove one"))
        else:
            yield line, {name: entry for name, entry in zip(header, row, strict=True) if entry}


def _wrong_header(header: Sequence[str]) -> str:
    """What is wrong with the names of the columns, or nothing."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            return f"has columns separated by {name}; separate them by commas"
    for name in header:
        if name not in COLUMNS:
            return f"{name!r} is not a column; {_near(name, COLUMNS)}"
        if header.count(name) > 1:
            return f"column {name!r} is there twice; remove one"
    return "" if "clip" in header else "has no column 'clip'; the first line names the columns"


def _json_rows(text: str) -> Rows:
    seen: dict[str, int] = {}
    for line, written in enumerate(text.splitlines(), start=1):
        if not written.strip():
            continue
        try:
            row = parse_json(written, _object, _constant)
        except _Wrong as error:
            yield line, _raising(error)
            continue
        except DocumentError as error:
            yield line, _raising(_Wrong("", f"is not JSON ({error}); write one whole object per line"))
            continue
        if not isinstance(row, dict):
            said = f'holds {_shown(row)}; write one object per line, {{"clip": ..., "class": ...}}'
            yield line, _raising(_Wrong("", said))
            continue
        clip = row.get("clip")
        if isinstance(clip, str) and (before := seen.setdefault(clip.strip(), line)) != line:
            yield line, _raising(_Wrong("clip", f"line {before} is of {clip!r} too; write all of a clip in one line"))
            continue
        yield line, {name: value for name, value in row.items() if value is not None}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Wrong(next(name for name in names if names.count(name) > 1), "is there twice; remove one")
    return made


def _constant(name: str) -> Any:
    raise _Wrong("", f"holds {name}; write a finite number")


def _take(row: Row, line: int, gathered: dict[str, _Gathered], folder: Path) -> None:
    """Add one row to its clip. Raises _Wrong, having added nothing of what is wrong."""
    for name in row:
        if name not in COLUMNS and name not in _KEYS:
            raise _Wrong(name, f"is not known; {_near(name, _KEYS)}")
    clip = row.get("clip", "")
    if not isinstance(clip, str) or not clip.strip():
        raise _Wrong("clip", "is empty; name the clip's file")
    entry = gathered.setdefault(clip.strip(), _Gathered(clip.strip(), line))
    if len(row) == 1:
        raise _Wrong("", f"says nothing of {entry.clip!r}; give a class, frames, seconds, boxes or a mask")
    if "class" in row:
        entry.say("class", _class(row["class"]), line)
    if (frames := _pair(row, _FRAMES, _frame)) is not None:
        if frames[0] > frames[1]:
            raise _Wrong(_FRAMES[1], f"{frames[1]} is before the first, {frames[0]}; swap them")
        _only(entry, "seconds", "frames")
        entry.say("frames", frames, line)
    if (seconds := _pair(row, _SECONDS, _number)) is not None:
        if seconds[0] < 0:
            raise _Wrong(_SECONDS[0], f"{_shown(seconds[0])} is before the clip; the first frame is at 0")
        if seconds[0] >= seconds[1]:
            raise _Wrong(_SECONDS[1], f"{_shown(seconds[1])} is not after the begin, {_shown(seconds[0])}; swap them")
        _only(entry, "frames", "seconds")
        entry.say("seconds", seconds, line)
    boxes = list(_boxes(row))
    if boxes and ("mask" in row or "mask" in entry.said):
        raise _Wrong("mask", f"{entry.clip!r} has boxes and a mask; give one of the two")
    for box in boxes:
        if box in entry.boxes:
            raise _Wrong("boxes", f"{_shown_box(box)} is in line {entry.boxes[box]} already; remove one")
        entry.boxes[box] = line
        if len(entry.boxes) > MOST_BOXES:
            raise _Wrong("boxes", f"{entry.clip!r} has more than {MOST_BOXES}; give masks instead")
    if "mask" in row:
        if entry.boxes:
            raise _Wrong("mask", f"{entry.clip!r} has boxes and a mask; give one of the two")
        mask = row["mask"]
        if not isinstance(mask, str):
            raise _Wrong("mask", f"{_shown(mask)} is not the path of a file or folder")
        try:
            there = (folder / mask).exists()
        except (OSError, ValueError):
            there = False
        if not there:
            raise _Wrong("mask", f"{mask!r} does not exist; write its path from the folder of this file")
        entry.say("mask", mask, line)


def _only(entry: _Gathered, other: str, name: str) -> None:
    if other in entry.said:
        raise _Wrong("", f"gives {name} where line {entry.said[other][1]} gives {other}; give the segment one way")


def _class(value: Any) -> str | int:
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_FRAME:
        return value
    raise _Wrong("class", f"{_shown(value)} is not a class; write its label, or its number from 0")


def _pair(row: Row, names: tuple[str, str], read: Callable[[str, Any], Any]) -> tuple[Any, Any] | None:
    given = [name for name in names if name in row]
    if not given:
        return None
    if len(given) < 2:
        missing = names[1] if given[0] == names[0] else names[0]
        raise _Wrong(missing, f"is missing beside {given[0]}; give both")
    first, second = names
    return read(first, row[first]), read(second, row[second])


def _boxes(row: Row) -> Iterator[Box]:
    """The box of a row of CSV, or the list of a line of JSON."""
    given = [name for name in _BOX if name in row]
    if given:
        if missing := [name for name in _BOX if name not in row]:
            raise _Wrong(missing[0], f"is missing beside {given[0]}; a box is {', '.join(_BOX)}")
        yield _box({name: row[name] for name in _BOX}, "")
    listed = row.get("boxes", [])
    if not isinstance(listed, list):
        raise _Wrong("boxes", f"{_shown(listed)} is not a list of [{', '.join(_BOX)}]")
    for number, numbers in enumerate(listed):
        if not isinstance(numbers, list) or len(numbers) != len(_BOX):
            raise _Wrong(f"boxes[{number}]", f"{_shown(numbers)} is not [{', '.join(_BOX)}]")
        yield _box(dict(zip(_BOX, numbers, strict=True)), f"boxes[{number}].")


def _box(numbers: Mapping[str, Any], where: str) -> Box:
    frame = _frame(f"{where}frame", numbers["frame"])
    x0, y0, x1, y1 = (_number(f"{where}{name}", numbers[name]) for name in _BOX[1:])
    for low, high, name in ((x0, x1, "x"), (y0, y1, "y")):
        if low >= high:
            raise _Wrong(
                f"{where}{name}1", f"{_shown(high)} is not more than {name}0 ({_shown(low)}); swap them or drop the box"
            )
        if high <= 0:
            raise _Wrong(f"{where}{name}1", f"{_shown(high)} is outside the picture, which begins at 0")
    return Box(frame, x0, y0, x1, y1)


def _frame(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != int(number) or not 0 <= number <= _LARGEST_FRAME:
        raise _Wrong(name, f"{_shown(value)} is not a frame; frames are whole numbers from 0")
    return int(number)


def _number(name: str, value: Any) -> float:
    """A finite number of a text or a JSON number."""
    try:
        number = float("nan") if isinstance(value, bool) or not isinstance(value, str | int | float) else float(value)
    except (ValueError, OverflowError):
        number = float("nan")
    # float() takes what nobody means: "1_0", and digits of other scripts.
    if not math.isfinite(number) or abs(number) > 2**53 or (isinstance(value, str) and not _plain(value)):
        raise _Wrong(name, f"{_shown(value)} is not a finite number")
    return number


def _plain(text: str) -> bool:
    return text.isascii() and "_" not in text


def _meant(name: str, paths: Sequence[Path], folder: Path) -> list[int]:
    """Which clips a name fits: by path alone where that is enough, else by the path's end."""
    try:
        exact = {(folder / name).resolve(), Path(name).resolve()}
    except (OSError, ValueError, RuntimeError):
        exact = set()
    if fits := [index for index, path in enumerate(paths) if path in exact]:
        return fits
    parts = PurePath(name).parts
    whole = [index for index, path in enumerate(paths) if path.parts[-len(parts) :] == parts] if parts else []
    return whole or [index for index, path in enumerate(paths) if path.with_suffix("").parts[-len(parts) :] == parts]


def _near(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _shown(value: Any) -> str:
    """A value as the file might have it, cut where it is long."""
    if isinstance(value, tuple):
        text = " to ".join(_shown(entry) for entry in value)
    else:
        text = f"{value:g}" if isinstance(value, float) and math.isfinite(value) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _shown_box(box: Box) -> str:
    return f"frame {box.frame}, {box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}"
