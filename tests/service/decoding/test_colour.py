"""Colours are those that a player shows: HDR tone-mapped, wide gamut mapped, missing tags guessed by players' rules.

The numbers of `ORACLE` are what ffmpeg 5.1 makes of such frames with `zscale=t=linear:npl=203:agamma=0,
format=gbrpf32le, zscale=p=bt709, tonemap=mobius:param=0.95:peak=4.926:desat=0, zscale=t=bt709:r=pc, format=rgb24`
(without tonemap for BT.2020 of ordinary range).
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from actionlens.v1 import clip_pb2, model_pb2
from service.client.frame_sources import open_source
from service.decoding.clip import decode_clip
from service.decoding.display import decode_for_display, display_frames
from service.decoding.frame_converter import FrameConverter
from service.decoding.image import decode_image
from service.settings import Limits

Colour = tuple[float, float, float]
PQ, HLG, BT709, BT601, BT2020, P3, UNKNOWN = 16, 18, 1, 6, 9, 12, 2
LIMITED, FULL = 1, 2
LUMA = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722), BT2020: (0.2627, 0.0593)}

# Signals R', G', B' and the pixels shown for them, by transfer (1: BT.709's, with BT.2020 primaries).
SIGNALS: list[Colour] = [
    (0.1, 0.1, 0.1),
    (0.3, 0.3, 0.3),
    (0.5, 0.5, 0.5),
    (0.5806, 0.5806, 0.5806),  # 203 cd/m2 in PQ
    (0.65, 0.65, 0.65),
    (0.75, 0.75, 0.75),  # 203 cd/m2 in HLG
    (0.9, 0.9, 0.9),
    (0.6, 0.4, 0.3),
    (0.3, 0.5, 0.35),
    (0.4, 0.45, 0.7),
    (0.75, 0.6, 0.2),
]
GREYS = {
    PQ: (18, 73, 184, 253, 255, 255, 255),
    HLG: (29, 86, 144, 171, 200, 253, 255),
    BT709: (26, 77, 128, 149, 166, 192, 230),
}
ORACLE = {
    PQ: [(255, 47, 36), (0, 193, 77), (0, 88, 255), (255, 99, 0)],
    HLG: [(195, 109, 87), (0, 146, 100), (98, 130, 214), (255, 156, 0)],
    BT709: [(178, 93, 71), (0, 133, 85), (83, 116, 185), (215, 148, 0)],
}


def codes(signal: Colour, matrix: int, bits: int, full: bool) -> tuple[int, int, int]:
    """Y, Cb, Cr of an R'G'B' signal, by the definition of H.273."""
    kr, kb = LUMA[matrix]
    red, green, blue = signal
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = ((blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr))
    one, half = 2 ** (bits - 8), 2 ** (bits - 1)
    if full:
        top = 2**bits - 1
        return round(top * luma), *(round(top * value) + half for value in chroma)
    return round(one * (219 * luma + 16)), *(round(one * 224 * value) + half for value in chroma)


def frame(
    signal: Colour,
    matrix: int,
    form: str = "yuv444p10le",
    size: tuple[int, int] = (32, 16),
    full: bool = False,
) -> av.VideoFrame:
    """A plain frame without tags."""
    made = av.VideoFrame(*size, form)
    bits = made.format.components[0].bits
    kind: Any = np.uint8 if bits == 8 else np.uint16
    for plane, code in zip(made.planes, codes(signal, matrix, bits, full), strict=True):
        plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, code, kind).tobytes())
    return made


def stream(transfer: int = UNKNOWN, primaries: int = UNKNOWN, matrix: int = UNKNOWN, span: int = 0) -> Any:
    """What a converter reads of a stream before decoding: the container's word on the colours."""
    codec = SimpleNamespace(
        color_trc=transfer, color_primaries=primaries, colorspace=matrix, color_range=span, sample_aspect_ratio=None
    )
    return SimpleNamespace(codec_context=codec, sample_aspect_ratio=None)


def shown(made: av.VideoFrame, of: Any = None) -> tuple[int, ...]:
    image = FrameConverter(of or stream()).image(made)
    assert (image == image[0, 0]).all()
    return tuple(map(int, image[0, 0]))


def near(found: tuple[int, ...], expected: tuple[int, ...], by: int = 1) -> bool:
    return all(abs(a - b) <= by for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("transfer", ORACLE)
def test_frames_agree_with_zscale_and_tonemap(transfer: int, full: bool) -> None:
    expected = [(grey,) * 3 for grey in GREYS[transfer]] + ORACLE[transfer]
    for signal, pixel in zip(SIGNALS, expected, strict=True):
        made = frame(signal, BT2020, full=full)
        made.color_trc, made.color_primaries, made.colorspace = transfer, BT2020, BT2020
        made.color_range = FULL if full else LIMITED
        # Two codes where the slope is steep: a step of 10 bits is more than one of 8 there.
        assert near(shown(made), pixel, 2), signal


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_that_says_nothing_else_is_bt2020(transfer: int) -> None:
    for signal, pixel in zip(SIGNALS[-4:], ORACLE[transfer], strict=True):
        made = frame(signal, BT2020)
        made.color_trc = transfer
        assert near(shown(made), pixel, 2)


def test_the_word_of_the_container_counts_where_the_codec_is_silent() -> None:
    for signal, pixel in zip(SIGNALS[-4:], ORACLE[PQ], strict=True):
        assert near(shown(frame(signal, BT2020), stream(PQ, BT2020, BT2020, LIMITED)), pixel, 2)
    assert near(shown(frame((0.2, 0.9, 0.4), BT709, full=True), stream(BT709, BT709, BT709, FULL)), (51, 230, 102))


def test_brightness_does_not_jump_where_compression_begins() -> None:
    steps = []
    for code in range(560, 620):
        made = frame(((code - 64) / 876,) * 3, BT2020)
        made.color_trc = PQ
        steps.append(shown(made)[0])
    assert steps == sorted(steps)
    assert max(np.diff(steps)) <= 2
    assert steps[-1] > steps[-30]


@pytest.mark.parametrize(
    ("size", "primaries", "matrix"),
    [
        ((64, 48), UNKNOWN, BT601),
        ((720, 576), UNKNOWN, BT601),
        ((720, 578), UNKNOWN, BT709),
        ((1280, 544), UNKNOWN, BT709),
        ((64, 48), BT709, BT709),
        ((1280, 720), BT601, BT601),
    ],
)
def test_a_missing_matrix_is_guessed_as_players_do(size: tuple[int, int], primaries: int, matrix: int) -> None:
    for signal in ((0.8, 0.2, 0.1), (0.1, 0.7, 0.2), (0.2, 0.1, 0.9)):
        made = frame(signal, matrix, "yuv444p", size)
        made.color_primaries = primaries
        assert near(shown(made), tuple(round(255 * part) for part in signal), 2)


@pytest.mark.parametrize("form", ["yuv444p", "yuv444p10le"])
@pytest.mark.parametrize("matrix", LUMA)
def test_tags_are_believed(matrix: int, form: str) -> None:
    for full in (False, True):
        made = frame((0.8, 0.3, 0.1), matrix, form, full=full)
        made.colorspace, made.color_range = matrix, FULL if full else LIMITED
        assert near(shown(made), (204, 76, 26), 2)


def test_without_a_range_yuv_is_limited_and_yuvj_full() -> None:
    assert near(shown(frame((1, 1, 1), BT601, "yuv444p")), (255, 255, 255))
    assert near(shown(frame((0.5, 0.5, 0.5), BT601, "yuvj444p", full=True)), (128, 128, 128))


def film(transfer: int, signal: Colour) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        made: Any = out.add_stream("libx265", rate=10, options={"x265-params": "log-level=none:lossless=1"})
        made.width, made.height, made.pix_fmt = 64, 48, "yuv420p10le"
        context = made.codec_context
        context.color_trc, context.color_primaries = transfer, BT2020
        context.colorspace, context.color_range = BT2020, LIMITED
        for _ in range(3):
            full = frame(signal, BT2020, size=(64, 48))
            image = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, source in zip(image.planes, full.planes, strict=True):
                code = np.frombuffer(bytes(source), np.uint16)[0]
                plane.update(np.full(plane.buffer_size // 2, code, np.uint16).tobytes())
            image.color_trc, image.color_primaries, image.colorspace, image.color_range = transfer, BT2020, BT2020, 1
            out.mux(made.encode(image))
        out.mux(made.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_every_door_shows_hdr_as_a_player_does(transfer: int, tmp_path: Path) -> None:
    takes = model_pb2.ModelInput(frames=2, height=48, width=64)
    for signal, pixel in ((SIGNALS[2], (GREYS[transfer][2],) * 3), (SIGNALS[-4], ORACLE[transfer][0])):
        data = film(transfer, signal)
        message = clip_pb2.Clip(video=data)
        (tmp_path / "film.mp4").write_bytes(data)
        for images in (
            decode_clip(message, clip_pb2.Sampling(), takes, Limits()).frames,
            display_frames(message, [0, 2]),
            decode_for_display(data, [1]),
            np.stack([np.asarray(played.picture) for played in open_source(str(tmp_path / "film.mp4")).frames]),
        ):
            assert near(tuple(map(int, images[0, 20, 20])), pixel, 2)
            assert np.ptp(images.reshape(-1, 3), 0).max() <= 1


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_files_of_high_dynamic_range(transfer: int, bits: int) -> None:
    kind: Any = np.uint16 if bits == 16 else np.uint8
    for signal, pixel in zip(SIGNALS[-4:], ORACLE[transfer], strict=True):
        stored = np.broadcast_to(np.rint(np.array(signal[::-1]) * (2**bits - 1)).astype(kind), (8, 8, 3))
        opaque = np.full((8, 8, 1), 2**bits - 1, kind)
        for image in (stored, np.dstack((stored, opaque))):
            encoded = with_chunk(cv2.imencode(".png", image)[1].tobytes(), b"cICP", bytes((BT2020, transfer, 0, 1)))
            found = decode_image(encoded, Limits(), "f")[3, 3]
            assert near(tuple(map(int, found)), pixel, 2 if bits == 16 else 6)


def test_the_hdr_clip_of_the_assets(assets: Path) -> None:
    path = assets / "faults" / "hdr_pq_white203.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    assert (np.abs(decode_for_display(path, [0])[0].astype(int) - 250) <= 1).all()
