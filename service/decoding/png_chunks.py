"""Finds chunks of PNG files."""

from __future__ import annotations

import struct

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A file of many tiny chunks must not cost more than its pixels. At 8 KiB each, the largest images have some thousands.
_MOST_CHUNKS = 50_000


def png_chunk(encoded: bytes, kind: bytes) -> bytes | None:
    """The data of the first chunk of a kind (b"eXIf"), or None where the file has none. Checksums are not compared."""
    position = len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if position + 12 > len(encoded):
            return None
        length, found = struct.unpack_from(">I4s", encoded, position)
        if found == kind:
            return encoded[position + 8 : position + 8 + length]
        position += 12 + length
    return None
