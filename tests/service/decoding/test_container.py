"""Tables of films that promise more than a film has: 25 KB took 3 GB once, and 126 bytes took 2 GB."""

from __future__ import annotations

import io
import resource
import struct
import zlib
from fractions import Fraction

import av
import pytest

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import decode_clip
from service.decoding.container import safe_movie
from service.decoding.display import decode_for_display
from service.errors import InvalidArgument
from service.settings import Limits
from tests.waiting import cheap

MB = 2**20
BIG = 0x0FFFFFFF


def as_clip(data):
    size = model_pb2.ModelInput(frames=4, height=24, width=40, sampling="uniform")
    return decode_clip(clip_pb2.Clip(video=data), clip_pb2.Sampling(), size, Limits()).frames


def as_shown(data):
    return decode_for_display(data, [0, 1, 2, 3], 40)


DOORS = pytest.mark.parametrize("door", [as_clip, as_shown])


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def with_boxes(film, path, *boxes):
    """The film with boxes put in at the end of the box that a path of names leads to."""
    (name, *rest), begin = path, 0
    while film[begin + 4 : begin + 8] != name:
        begin += int.from_bytes(film[begin : begin + 4], "big")
    end = begin + int.from_bytes(film[begin : begin + 4], "big")
    inner = film[begin + 8 : end]
    return film[:begin] + box(name, with_boxes(inner, rest, *boxes) if rest else inner + b"".join(boxes)) + film[end:]


TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def edits(film, number):
    entries = struct.pack(">IiI", 0x7FFFFFFF, 0, 0x10000) * number
    film = film.replace(b"edts", b"free")
    return with_boxes(film, TABLES[:2], box(b"edts", box(b"elst", struct.pack(">II", 0, number), entries)))


def many_samples(film, number):
    film = film.replace(b"stsz", b"free").replace(b"stsc", b"free").replace(b"stts", b"free").replace(b"ctts", b"free")
    return with_boxes(
        film,
        TABLES,
        box(b"stsz", struct.pack(">III", 0, 1, number)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, number, 1)),
        box(b"stts", struct.pack(">IIII", 0, 1, number, 1)),
    )


def items(film):
    return box(b"ftyp", b"heicheic") + box(
        b"meta",
        bytes(4),
        box(b"hdlr", bytes(8), b"pict", bytes(12)),
        box(b"iloc", struct.pack(">IBBI", 0x02000000, 0x44, 0, BIG)),
    )


def groups(film):
    return with_boxes(film, TABLES, box(b"sgpd", struct.pack(">IIII", 0x01000000, 0x73796E63, 1, BIG)))


def first_groups(film):
    """In the first version of the box, the number stands before."""
    return with_boxes(film, TABLES, box(b"sgpd", struct.pack(">IIII", 0, 0x73796E63, BIG, 0)))


def keys(version):
    return lambda film: with_boxes(
        film, TABLES[:1], box(b"pssh", struct.pack(">I16sI", version << 24, bytes(range(16)), BIG), bytes(16))
    )


def lengthened(film):
    """The description of the samples reaches beyond its table, and beyond the film."""
    begin = film.index(b"stsd") + 12
    return film[:begin] + struct.pack(">I", 2**18) + film[begin + 4 :]


def twice(film):
    return with_boxes(film, TABLES, box(b"stts", struct.pack(">IIII", 0, 1, 20, 512)))


def nested(film):
    """Lengths of all of them are right: 3000 boxes, each in the one before."""
    count = 3000
    return film[: film.index(b"moov") - 4] + b"".join(
        struct.pack(">I4s", 8 * (count - number), b"moov") for number in range(count)
    )


def entries(name, size):
    """A table that states more entries than the film has bytes."""
    return lambda film: with_boxes(
        film.replace(name, b"free"), TABLES, box(name, struct.pack(">II", 0, len(film)), bytes(size))
    )


PROMISES = {
    "a long description": lengthened,
    "times that come twice": twice,
    "boxes in boxes": nested,
    "more times than bytes": entries(b"stts", 8),
    "more chunks than bytes": entries(b"stco", 4),
    "more runs than bytes": entries(b"stsc", 12),
    "edits of many samples": lambda film: edits(many_samples(film, 100_000), 2000),
    "items of still images": items,
    "groups of samples": groups,
    "groups of samples, first version": first_groups,
    "key systems": keys(0),
    "keys": keys(1),
}


def refused(door, data):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with cheap(2.0), pytest.raises(InvalidArgument) as caught:
        door(data)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 32 * MB
    assert caught.value.field == "clip.video"
    return caught.value.reason


@DOORS
@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES)
def test_tables_that_multiply_take_no_memory(door, promise, encode, numbered):
    assert refused(door, promise(encode(numbered(20)))) == "VIDEO_BROKEN"


def test_a_few_edits_of_a_film_are_no_bomb(encode, numbered):
    film = encode(numbered(20))
    assert safe_movie(edits(film, 400)) is not None
    assert (as_clip(edits(film, 1)) == as_clip(film)).all()


def png_film(*pictures):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as out:
        stream = out.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "rgb24"
        for position, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = position
            out.mux(packet)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@DOORS
def test_texts_in_a_film_of_png_are_not_unpacked(door, numbered, number_of, png):
    bomb = zlib.compress(bytes(400 * MB), 9)
    first, *others = (png(image) for image in numbered(4))
    texts = chunk(b"zTXt", b"x\0\0" + bomb) * 4
    pictures = [first, *(picture[:33] + texts + picture[33:] for picture in others)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with cheap(4.0):
        shown = door(png_film(*pictures))
    assert [number_of(image) for image in shown] == [0, 1, 2, 3]
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 64 * MB
