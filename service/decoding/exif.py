"""Reads the EXIF orientation of JPEG and PNG files and turns their pixels upright.

Cameras that are held sideways or mirror their image store the pixels as the sensor gives them and write one number,
1 to 8 (EXIF 2.32, tag 0x0112), that says how to show them. Damaged or missing EXIF data is orientation 1: as stored.
"""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from service.decoding.png_chunks import png_chunk

_ORIENTATION = 0x0112
# Bytes per value of the TIFF types that hold one whole number: BYTE, SHORT, LONG.
_FORMATS = {1: "B", 3: "H", 4: "I"}
_START_OF_SCAN = 0xDA
_APP1 = 0xE1
# A marker: one FF byte or several, then another byte. FF 00 is pixel data; FF 01 and FF D0 to D8 have no length behind
# them.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
# A file of many tiny parts must not cost more than its pixels. Real files have tens of segments.
_MOST_SEGMENTS = 1000


def jpeg_orientation(encoded: bytes) -> int:
    """The orientation, 1 to 8, of a JPEG by the first EXIF segment before its pixels."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        # Searched for, as decoders do: there may be padding between segments.
        found = _MARKER.search(encoded, position)
        if found is None or found[1][0] == _START_OF_SCAN:
            return 1
        begin = found.end()
        end = begin + int.from_bytes(encoded[begin : begin + 2], "big")
        if found[1][0] == _APP1 and encoded[begin + 2 : begin + 8] == b"Exif\0\0":
            return _tiff_orientation(encoded[begin + 8 : end])
        position = max(end, begin + 2)
    return 1


def png_orientation(encoded: bytes) -> int:
    """The orientation, 1 to 8, of a PNG by its eXIf chunk, which may stand before or behind the pixels."""
    block = png_chunk(encoded, b"eXIf")
    return 1 if block is None else _tiff_orientation(block.removeprefix(b"Exif\0\0"))


def swaps_sides(orientation: int) -> bool:
    """Whether an image of this orientation is shown with width and height exchanged."""
    return orientation >= 5


def turned(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels [H, W, C] as stored, as they are meant to be shown.

    2, 4: mirrored left-right, upside down. 3: half a turn. 5, 7: over a diagonal. 6, 8: a quarter turn clockwise,
    counter-clockwise.
    """
    if orientation == 1:
        return image
    if swaps_sides(orientation):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _tiff_orientation(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory of a TIFF block; 1 where it is missing or is no orientation."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", tiff, entry)
            if tag == _ORIENTATION and kind in _FORMATS:
                (value,) = struct.unpack_from(f"{order}{_FORMATS[kind]}", tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
