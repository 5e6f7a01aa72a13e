"""Files with several video streams: the one that a player shows is explained, streamed and drawn over."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from actionlens.v1 import clip_pb2, model_pb2
from service.client.frame_sources import open_source
from service.decoding.clip import decode_clip
from service.decoding.display import decode_for_display, display_frames
from service.errors import InvalidArgument
from service.settings import Limits

TAKES = model_pb2.ModelInput(frames=4, height=48, width=64, sampling="uniform")
DEFAULT, PICTURE, NONE = Disposition.default, Disposition.attached_pic, Disposition(0)
WRONG, RIGHT = 40, 200


def file_of(streams: Sequence[tuple[int, int, int, int, Disposition]], container: str) -> bytes:
    """A file with one plain grey stream for each (grey, width, height, frames, disposition)."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        made = []
        for _, width, height, _, disposition in streams:
            codec = "mjpeg" if disposition == PICTURE else "libx264"
            stream: Any = out.add_stream(codec, rate=10)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if disposition == PICTURE else "yuv420p"
            stream.disposition = disposition
            made.append(stream)
        for stream, (grey, width, height, frames, _) in zip(made, streams, strict=True):
            for _ in range(frames):
                image = np.full((height, width, 3), grey, np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(stream.encode(None))
    return buffer.getvalue()


CASES = {
    "default": ("matroska", [(WRONG, 640, 480, 8, NONE), (RIGHT, 64, 48, 8, DEFAULT)]),
    "default in mp4": ("mp4", [(WRONG, 320, 240, 8, NONE), (RIGHT, 64, 48, 8, DEFAULT)]),
    "larger": ("matroska", [(WRONG, 64, 48, 8, NONE), (RIGHT, 160, 120, 8, NONE), (WRONG, 96, 64, 8, NONE)]),
    "larger of two defaults": ("mp4", [(WRONG, 64, 48, 8, DEFAULT), (RIGHT, 160, 120, 8, DEFAULT)]),
    "first of equals": ("mpegts", [(RIGHT, 64, 48, 8, NONE), (WRONG, 64, 48, 8, NONE)]),
    "a still beside a film": ("mp4", [(WRONG, 640, 480, 1, DEFAULT), (RIGHT, 64, 48, 8, DEFAULT)]),
    "commentary": ("matroska", [(WRONG, 640, 480, 8, Disposition.comment), (RIGHT, 64, 48, 8, NONE)]),
    "cover first": ("mp4", [(WRONG, 320, 320, 1, PICTURE), (RIGHT, 64, 48, 8, DEFAULT)]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_stream_that_a_player_shows_is_taken_at_every_door(case: str, tmp_path: Path) -> None:
    container, streams = CASES[case]
    data = file_of(streams, container)
    chosen = next(stream for stream in streams if stream[0] == RIGHT)
    message = clip_pb2.Clip(video=data)
    clip = decode_clip(message, clip_pb2.Sampling(), TAKES, Limits())
    assert (clip.source_width, clip.source_height) == chosen[1:3]
    assert np.abs(clip.frames.astype(int) - RIGHT).max() <= 4
    for drawn in (display_frames(message, [0, 7]), decode_for_display(data, [0, 7])):
        assert np.abs(drawn.astype(int) - RIGHT).max() <= 4
    path = tmp_path / "film"
    path.write_bytes(data)
    played = [np.asarray(frame.picture) for frame in open_source(str(path)).frames]
    assert len(played) == 8
    assert all(np.abs(image.astype(int) - RIGHT).max() <= 4 for image in played)


NOTES = {
    "default": "of 2 video streams, stream 1 (64 x 48, default) is taken and not stream 0 (640 x 480)",
    "larger": "of 3 video streams, stream 1 (160 x 120) is taken and not stream 0 (64 x 48), stream 2 (96 x 64)",
    "first of equals": "of 2 video streams, stream 0 (64 x 48) is taken and not stream 1 (64 x 48)",
    "commentary": "of 2 video streams, stream 1 (64 x 48) is taken and not stream 0 (640 x 480, commentary)",
    "a still beside a film": "",
    "cover first": "",
}


@pytest.mark.parametrize("case", NOTES)
def test_which_of_several_streams_is_taken_is_told_at_every_door(case: str, tmp_path: Path) -> None:
    container, streams = CASES[case]
    data = file_of(streams, container)
    clip = decode_clip(clip_pb2.Clip(video=data), clip_pb2.Sampling(), TAKES, Limits())
    assert clip.notes == ((NOTES[case],) if NOTES[case] else ())
    path = tmp_path / "film"
    path.write_bytes(data)
    assert {frame.note for frame in open_source(str(path)).frames} == {NOTES[case]}


def test_a_file_with_nothing_but_a_cover_has_no_video(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        sound: Any = out.add_stream("aac", rate=8000)
        cover: Any = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 64, 48, "yuvj420p", PICTURE
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.rate = 8000
        out.mux(sound.encode(silence))
        out.mux(sound.encode(None))
        image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9, np.uint8), format="rgb24")
        out.mux(cover.encode(image))
        out.mux(cover.encode(None))
    path = tmp_path / "song.m4a"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InvalidArgument) as refused:
        decode_clip(clip_pb2.Clip(video=path.read_bytes()), clip_pb2.Sampling(), TAKES, Limits())
    assert refused.value.reason == "NO_VIDEO_STREAM"
    with pytest.raises(InvalidArgument) as refused:
        list(open_source(str(path)).frames)
    assert refused.value.reason == "NO_VIDEO_STREAM"


def test_a_stream_that_cannot_be_decoded_is_refused_only_when_there_is_no_other(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    alone = file_of([(WRONG, 64, 48, 8, DEFAULT)], "mp4").replace(b"avc1", b"zzz1")
    path.write_bytes(alone)
    with pytest.raises(InvalidArgument) as refused:
        decode_clip(clip_pb2.Clip(video=alone), clip_pb2.Sampling(), TAKES, Limits())
    assert refused.value.reason == "CODEC_UNSUPPORTED"
    with pytest.raises(InvalidArgument) as refused:
        list(open_source(str(path)).frames)
    assert refused.value.reason == "CODEC_UNSUPPORTED"

    both = file_of([(WRONG, 320, 240, 8, DEFAULT), (RIGHT, 64, 48, 8, NONE)], "mp4")
    # The name stands among the file's brands first, then in the sample descriptions of both tracks.
    at = both.find(b"avc1", both.find(b"stsd"))
    both = both[:at] + b"zzz1" + both[at + 4 :]
    path.write_bytes(both)
    clip = decode_clip(clip_pb2.Clip(video=both), clip_pb2.Sampling(), TAKES, Limits())
    assert np.abs(clip.frames.astype(int) - RIGHT).max() <= 4
    told = "of 2 video streams, stream 1 (64 x 48) is taken and not stream 0 (no decoder for it, default)"
    assert clip.notes == (told,)
    assert len(list(open_source(str(path)).frames)) == 8
