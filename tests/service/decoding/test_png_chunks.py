"""What a PNG's chunks say of their lengths is believed by nobody: 46 bytes took 4 GB once."""

from __future__ import annotations

import resource
import struct
import zlib

import cv2
import numpy as np
import pytest

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import decode_clip
from service.decoding.display import decode_for_display
from service.decoding.image import decode_image
from service.decoding.png_chunks import SIGNATURE, plain_png
from service.errors import InvalidArgument
from service.settings import Limits
from tests.waiting import cheap

LIMITS = Limits()
WIDTH, HEIGHT = 8, 2
MB = 2**20


def chunk(kind, data, length=None):
    length = len(data) if length is None else length
    return struct.pack(">I", length) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width=WIDTH, height=HEIGHT, depth=8, colour=2, interlaced=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


ROW = b"\0" + bytes(range(3 * WIDTH))
PIXELS = chunk(b"IDAT", zlib.compress(ROW * HEIGHT, 9))
END = chunk(b"IEND", b"")
BOMB = zlib.compress(bytes(100 * MB), 9)
GROWING = zlib.compress(bytes(7 * MB), 9)


def promising(kind, length=0x7FFFFFFF):
    """The start of a chunk that promises so many bytes and has none."""
    return struct.pack(">I", length) + kind


LIES = {
    "a text of 2 GB": header() + promising(b"tEXt"),
    "a text of 4 GB": header() + promising(b"tEXt", 0xFFFFFFF0) + b"aaaa",
    "pixels of 2 GB": header() + promising(b"IDAT") + b"aaaa",
    "a palette of 1 GB": header(colour=3) + promising(b"PLTE", 2**30),
    "a header of 2 GB": promising(b"IHDR") + header()[8:],
    "an animation of 1 GB": header() + promising(b"acTL", 2**30),
    "EXIF of 1 GB": header() + promising(b"eXIf", 2**30),
    "a text of 1 GB behind the pixels": header() + PIXELS + promising(b"tEXt", 2**30),
    "no end": header() + PIXELS,
    "two headers": header() + header(30_000, 30_000) + PIXELS + END,
    "a million texts": header() + chunk(b"tEXt", b"x\0y") * 1_000_000 + PIXELS + END,
    "a million parts of pixels": header() + chunk(b"IDAT", b"") * 1_000_000 + PIXELS + END,
    "pixels that are missing": header() + chunk(b"IDAT", zlib.compress(ROW)) + END,
    "no pixels": header() + END,
    "a wrong checksum": header() + PIXELS[:-1] + bytes([PIXELS[-1] ^ 1]) + END,
    "an unknown part that matters": header() + chunk(b"CgBI", b"abcd") + PIXELS + END,
    "a depth of 3": header(depth=3) + PIXELS + END,
}
BOMBS = {
    "pixels beyond the image": header() + chunk(b"IDAT", zlib.compress(ROW * HEIGHT + bytes(100 * MB), 9)) + END,
    "a profile": header() + chunk(b"iCCP", b"x\0\0" + BOMB) + PIXELS + END,
    "a packed text": header() + chunk(b"zTXt", b"x\0\0" + BOMB) + PIXELS + END,
    "an international text": header() + chunk(b"iTXt", b"x\0\1\0\0\0" + BOMB) + PIXELS + END,
    "many packed texts": header() + chunk(b"zTXt", b"x\0\0" + GROWING) * 200 + PIXELS + END,
    "a long text": header() + chunk(b"tEXt", b"x\0" + b"a" * 20 * MB) + PIXELS + END,
    "two billion frames": header() + chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + PIXELS + END,
    "a huge frame": header()
    + chunk(b"acTL", struct.pack(">II", 2, 0))
    + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 60_000, 60_000, 0, 0, 1, 1, 0, 0))
    + PIXELS
    + END,
}


def as_picture(data):
    return decode_image(data, LIMITS, "frame.image")


def as_clip(data):
    size = model_pb2.ModelInput(frames=1, height=HEIGHT, width=WIDTH)
    clip = clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[data]))
    return decode_clip(clip, clip_pb2.Sampling(), size, LIMITS).frames[0]


def as_shown(data):
    return decode_for_display([data], [0], WIDTH)[0]


DOORS = pytest.mark.parametrize("door", [as_picture, as_clip, as_shown])


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@DOORS
@pytest.mark.parametrize("rest", LIES.values(), ids=LIES)
def test_a_length_that_is_not_there_is_refused_and_takes_no_memory(door, rest):
    before = peak()
    with cheap(1.0), pytest.raises(InvalidArgument) as caught:
        door(SIGNATURE + rest)
    assert caught.value.reason == "PICTURE_BROKEN"
    assert peak() - before < 32 * MB + 8 * len(rest)  # a message, its field, what is left of it


@DOORS
@pytest.mark.parametrize("rest", BOMBS.values(), ids=BOMBS)
def test_what_is_no_pixel_is_not_unpacked(door, rest):
    before = peak()
    with cheap(0.5):
        image = door(SIGNATURE + rest)
    assert image.reshape(HEIGHT, -1)[0].tolist() == list(ROW[1:])
    assert peak() - before < 32 * MB + 8 * len(rest)  # a message, its field, what is left of it


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (2, 3), (4, 0), (8, 2), (16, 2), (8, 4), (16, 6)])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 5), (8, 8), (13, 9)])
def test_the_plain_file_holds_the_same_image(width, height, depth, colour, interlaced):
    """Pixels by the specification's table of passes, written out here; OpenCV sees no difference."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    pattern = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
    rows = []
    for number in "1234567" if interlaced else " ":
        for y in range(height):
            here = sum(1 for x in range(width) if not interlaced or pattern[y % 8][x % 8] == number)
            if here:
                rows.append(b"\0" + np.random.default_rng(y).bytes((here * bits + 7) // 8))
    palette = chunk(b"PLTE", bytes(range(12))) if colour == 3 else b""
    packed = zlib.compress(b"".join(rows))
    parts = b"".join(chunk(b"IDAT", packed[i : i + 5]) for i in range(0, len(packed), 5))
    whole = SIGNATURE + header(width, height, depth, colour, interlaced) + palette + parts + END
    seen = [cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED) for file in (whole, plain_png(whole))]
    assert seen[0] is not None
    assert (seen[0] == seen[1]).all()


def test_what_says_how_an_image_looks_stays():
    kept = chunk(b"cICP", bytes([9, 16, 0, 1])) + chunk(b"tRNS", bytes(6))
    plain = plain_png(SIGNATURE + header() + kept + chunk(b"tEXt", b"a\0b") + chunk(b"cICP", bytes(4)) + PIXELS + END)
    assert plain.startswith(SIGNATURE + header() + kept)
    assert b"tEXt" not in plain
    assert plain.count(b"cICP") == 1
