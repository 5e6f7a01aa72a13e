"""Recognises a file's container by its first bytes and checks its tables before a demuxer reads them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# More samples than any clip within the limits has, sound included; a demuxer takes up to 350 bytes for each.
_MOST_SAMPLES = 2**17
# Every edit of a track's time may repeat all of its samples, and the demuxer's index then has them so often.
_MOST_INDEXED = 2**22
_TABLES = ((b"stsz", 12), (b"stz2", 12), (b"trun", 8))
"""Boxes that promise samples, and where their number stands behind the box's name."""
_ENTRIES: tuple[tuple[bytes, int, int], ...] = (
    *((name, 8, 8) for name in (b"stsd", b"stts", b"ctts", b"sbgp", b"dref", b"co64")),
    *((name, 8, 4) for name in (b"stco", b"stss", b"stps", b"saio")),
    *((name, 8, 12) for name in (b"stsc", b"elst", b"sidx")),
    (b"sgpd\x00", 12, 1),
    (b"pssh\x00", 24, 1),
    (b"pssh\x01", 24, 16),
)
"""Boxes that state how many entries follow, where from the box's name on, and the fewest bytes that an entry takes."""
_SINGLE = frozenset({b"stsd", b"stts", b"ctts", b"stsc", b"stsz", b"stz2", b"stco", b"co64", b"stss"})
"""Tables of which a track has one."""
_HEADERS = {b"moov": 8, b"trak": 8, b"mdia": 8, b"minf": 8, b"stbl": 8, b"edts": 8, b"moof": 8, b"traf": 8, b"stsd": 16}
"""Boxes of boxes, and where the first one in them begins."""

_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"pnot", b"sidx"})
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"FLV\x01", "flv"),
    (b"OggS", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"\x00\x00\x01\xba", "mpeg"),
)
CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi", "gif", "mpeg-ts", "mpeg-ps", "ogg", "flv", "asf")
"""Common names of the containers that are read. Playlists and image sequences, which make a demuxer open other
files or addresses, are not among them."""


def demuxer_name(data: bytes) -> str | None:
    """libav's name of the demuxer for a file, or None when it is none of `CONTAINERS`."""
    if data[4:8] in _BOXES:
        return "mov"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "avi"
    # Transport stream: packets of 188 bytes, or of 192 with a time code first, each beginning with 0x47.
    if (data[:1] == b"G" and data[188:189] == b"G") or (data[4:5] == b"G" and data[196:197] == b"G"):
        return "mpegts"
    return next((name for start, name in _STARTS if data.startswith(start)), None)


def safe_movie(data: bytes) -> bytes | None:
    """A mov/mp4 file that can be opened without harm, or None when its header is made to exhaust memory.

    The header of a last fragment that was cut off is left out: a demuxer would refuse the whole file. A sample table
    of equal sizes needs 20 bytes to promise four billion samples, and a demuxer makes room for all of them. Only
    uncompressed sound has that many; its tracks are taken out (nothing here listens). Edits multiply samples, groups of
    them are promised like these, and items are those of still images (HEIF), which are no films.
    """
    boxes = _boxes(data, 0, len(data))
    if boxes and boxes[-1][0] == b"moof" and int.from_bytes(data[boxes[-1][1] :][:4], "big") > len(data) - boxes[-1][1]:
        data = data[: boxes[-1][1]]
    if _samples(data) <= _MOST_SAMPLES:
        return data
    silent = _silenced(data)
    return silent if _samples(silent) <= _MOST_SAMPLES else None


def _samples(data: bytes) -> int:
    """Samples promised by all tables outside of the media data itself; too many where something else is promised that
    no film has."""
    total = edits = 0
    for kind, begin, end in _boxes(data, 0, len(data)):
        if kind == b"mdat":
            continue
        if data.find(b"cmov", begin, end) >= 0 or data.find(b"iloc", begin, end) >= 0:
            return _MOST_SAMPLES + 1
        total += sum(sum(_promised(data, name, offset, begin, end)) for name, offset in _TABLES)
        edits += sum(_promised(data, b"elst", 8, begin, end))
        if kind in _HEADERS and not _nested(data, kind, begin, end):
            return _MOST_SAMPLES + 1
        if any(
            number * least > end - begin
            for name, offset, least in _ENTRIES
            for number in _promised(data, name, offset, begin, end)
        ):
            return _MOST_SAMPLES + 1
        total += sum(_promised(data, b"sgpd\x01", 16, begin, end)) + sum(_promised(data, b"sgpd\x02", 16, begin, end))
    return total if total * edits <= _MOST_INDEXED else _MOST_SAMPLES + 1


def _nested(data: bytes, kind: bytes, begin: int, end: int, depth: int = 8) -> bool:
    """Whether every box lies in the one that it is in.

    A demuxer goes on reading where a longer one ends, and takes what it finds there for lengths; a table that comes
    twice it joins with the first.
    """
    begin += _HEADERS[kind]
    tables = set()
    while begin + 8 <= end:
        size, inner = struct.unpack_from(">I4s", data, begin)
        if size == 1 and begin + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, begin + 8)
        stop = begin + size if size else end
        if not begin + 8 <= stop <= end or (kind == b"stbl" and inner in tables and inner in _SINGLE):
            return False
        tables.add(inner)
        if inner in _HEADERS and not (depth and _nested(data, inner, begin, stop, depth - 1)):
            return False
        begin = stop
    return True


def _promised(data: bytes, name: bytes, offset: int, begin: int, end: int) -> Iterator[int]:
    """The numbers behind a box's name, wherever it stands: demuxers accept tables in odd places."""
    position = data.find(name, begin, end)
    while position >= 0:
        yield int.from_bytes(data[position + offset : position + offset + 4], "big")
        position = data.find(name, position + 4, end)


def _silenced(data: bytes) -> bytes:
    """The same file with its sound tracks marked as free space."""
    changed = bytearray(data)
    for kind, begin, end in _boxes(data, 0, len(data)):
        if kind != b"moov":
            continue
        for inner, start, stop in _boxes(data, begin + 8, end):
            if inner == b"trak" and data.find(b"soun", start, stop) >= 0:
                changed[start:stop] = struct.pack(">I", stop - start) + b"free" + bytes(stop - start - 8)
    return bytes(changed)


def _boxes(data: bytes, begin: int, end: int) -> list[tuple[bytes, int, int]]:
    """The boxes side by side in a range: type, begin, end. What does not parse is one box up to the end."""
    found = []
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        if size == 1 and begin + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, begin + 8)
        stop = end if size < 8 else min(begin + size, end)
        found.append((kind, begin, stop))
        begin = stop
    return found
