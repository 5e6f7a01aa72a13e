"""Walks the chunks of PNG files, so that no decoder believes a length that the file does not have."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A file of many tiny chunks must not cost more than its pixels. At 8 KiB each, the largest images have some thousands.
_MOST_CHUNKS = 50_000
_HEADER = struct.Struct(">IIBBBBB")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type."""
_DEPTHS = (1, 2, 4, 8, 16)
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of Adam7: first column and row, and the steps to the next."""
_KEPT = {
    b"PLTE": 3 * 256,
    b"tRNS": 256,
    b"cICP": 4,
    b"sRGB": 1,
    b"gAMA": 4,
    b"cHRM": 32,
    b"mDCV": 24,
    b"cLLI": 8,
    b"pHYs": 9,
    b"eXIf": 2**16,
}
"""Chunks beside the pixels that say how these look, and the most bytes that one has; each occurs once."""
_READ, _INFLATED = 2**16, 2**20
"""Bytes of compressed data that are taken at once, and bytes of pixels that come out at once."""


def png_chunk(encoded: bytes, kind: bytes) -> bytes | None:
    """The data of the first chunk of a kind (b"eXIf"), or None where the file has none. Checksums are not compared."""
    try:
        return next((encoded[begin:end] for found, begin, end in _chunks(encoded) if found == kind), None)
    except ValueError:
        return None


def plain_png(encoded: bytes) -> bytes:
    """The same image as a PNG that costs no decoder more than its pixels do.

    Of its chunks those remain that say how the image looks, at lengths that they can have; texts, profiles and
    animations do not. The pixels are inflated here, never beyond what width, height and depth take, and stored as they
    are. Check the size in the header before. Raises ValueError with the reason when the file is cut off or damaged.
    """
    made = [SIGNATURE]
    pixels: _Pixels | None = None
    seen = set[bytes]()
    for kind, begin, end in _chunks(encoded):
        if pixels is None:
            if kind != b"IHDR" or end - begin != _HEADER.size:
                raise ValueError("it does not begin with a header")
            pixels = _Pixels(_raw_bytes(*_HEADER.unpack_from(encoded, begin)))
            made.append(_checked(encoded, begin, end))
        elif kind == b"IDAT":
            made += pixels.stored(memoryview(_checked(encoded, begin, end))[8:-4])
        elif kind == b"IEND":
            made += pixels.rest()
            made.append(_chunk(b"IEND", b""))
            return b"".join(made)
        elif kind in _KEPT:
            if end - begin <= _KEPT[kind] and kind not in seen:
                seen.add(kind)
                made.append(encoded[begin - 8 : end + 4])
        elif not kind[0] & 0x20:
            raise ValueError("it has a part that no PNG has")
    raise ValueError("it is cut off")


class _Pixels:
    """Inflates the image data of a PNG and packs it again without compression, as chunks."""

    def __init__(self, size: int) -> None:
        """size: bytes of the pixels, filter types included."""
        self._missing = size
        self._inflate = zlib.decompressobj()
        self._store = zlib.compressobj(0)

    def stored(self, data: memoryview) -> Iterator[bytes]:
        """Chunks with the pixels of one chunk's data. Raises ValueError."""
        for begin in range(0, len(data), _READ):
            piece: bytes | memoryview = data[begin : begin + _READ]
            while self._missing and len(piece):
                try:
                    pixels = self._inflate.decompress(piece, min(self._missing, _INFLATED))
                except zlib.error as error:
                    raise ValueError(str(error)) from None
                self._missing -= len(pixels)
                piece = self._inflate.unconsumed_tail
                if packed := self._store.compress(pixels):
                    yield _chunk(b"IDAT", packed)

    def rest(self) -> Iterator[bytes]:
        """The last chunk. Raises ValueError when pixels are missing."""
        if self._missing:
            raise ValueError("pixels are missing")
        yield _chunk(b"IDAT", self._store.flush())


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of each chunk's data. Raises ValueError at the first that the file is too short for."""
    position = len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if position + 12 > len(encoded):
            return
        length, kind = struct.unpack_from(">I4s", encoded, position)
        end = position + 8 + length
        if end + 4 > len(encoded):
            raise ValueError("it is cut off")
        yield kind, position + 8, end
        position = end + 4
    raise ValueError(f"it has more than {_MOST_CHUNKS} parts")


def _checked(encoded: bytes, begin: int, end: int) -> bytes:
    """A whole chunk whose checksum is right. Raises ValueError."""
    chunk = encoded[begin - 8 : end + 4]
    if zlib.crc32(memoryview(chunk)[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        raise ValueError("a checksum is wrong")
    return chunk


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))))


def _raw_bytes(
    width: int, height: int, depth: int, colour: int, compression: int, filtering: int, interlaced: int
) -> int:
    """Bytes that the pixels take, one more per row for its filter. Raises ValueError for a header that no PNG has."""
    if not (width and height and depth in _DEPTHS and colour in _CHANNELS and interlaced in (0, 1)):
        raise ValueError("its header is of no kind of PNG")
    bits = depth * _CHANNELS[colour]
    sizes = [(width, height)]
    if interlaced:
        sizes = [(-(-(width - x) // across), -(-(height - y) // down)) for x, y, across, down in _PASSES]
    return sum(tall * (1 + (wide * bits + 7) // 8) for wide, tall in sizes if wide > 0 and tall > 0)
