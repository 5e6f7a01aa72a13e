from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from actionlens.v1 import clip_pb2
from service.client.clip_messages import clip_message, clip_request, sampling_message
from service.client.stream_messages import Frame, frame_encoder
from service.errors import InvalidArgument

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)


def test_pixels_travel_as_they_are() -> None:
    raw = clip_message(PIXELS, fps=12.5).raw
    assert (raw.count, raw.height, raw.width, raw.fps) == (3, 4, 5, 12.5)
    np.testing.assert_array_equal(np.frombuffer(raw.data, np.uint8).reshape(PIXELS.shape), PIXELS)
    assert clip_message(list(PIXELS)).raw.data == raw.data
    assert clip_message(PIXELS[..., :1]).raw.format == clip_pb2.PIXEL_FORMAT_GRAY
    # A view that is not contiguous is written in its own order.
    assert clip_message(PIXELS[::-1]).raw.data == PIXELS[::-1].copy().tobytes()


def test_files_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"video")
    assert clip_message(path).video == clip_message(str(path)).video == clip_message(b"video").video == b"video"
    assert list(clip_message([b"one", path]).frames.images) == [b"one", b"video"]


def test_a_folder_is_its_images_in_name_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.jpeg", "notes.txt", "0.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    assert list(clip_message(tmp_path, fps=3).frames.images) == [b"a.JPG", b"b.png", b"c.jpeg"]
    assert clip_message(tmp_path, fps=3).frames.fps == 3


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"holds no \.png"):
        clip_message(tmp_path)


@pytest.mark.parametrize(
    "clip",
    [PIXELS.astype(np.float32), PIXELS[0], PIXELS[..., :2], [PIXELS[0], PIXELS[0, :2]], [PIXELS[0], b"x"], [3]],
)
def test_what_is_no_clip_is_refused(clip: object) -> None:
    with pytest.raises(InvalidArgument, match=r"^clip: ") as caught:
        clip_message(clip)  # type: ignore[arg-type]
    assert caught.value.field.startswith("clip")


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("uniform", clip_pb2.Sampling(uniform=clip_pb2.UniformSampling())),
        ("uniform:count=12", clip_pb2.Sampling(uniform=clip_pb2.UniformSampling(count=12))),
        ("segments", clip_pb2.Sampling(segments=clip_pb2.SegmentSampling())),
        ("segments:count=12", clip_pb2.Sampling(segments=clip_pb2.SegmentSampling(count=12))),
        ("span", clip_pb2.Sampling(span=clip_pb2.SpanSampling())),
        ("span:stride=2,start=7", clip_pb2.Sampling(span=clip_pb2.SpanSampling(stride=2, start=7))),
        ("dense", clip_pb2.Sampling(dense=clip_pb2.DenseSampling())),
        ("dense:stride=2,start=7", clip_pb2.Sampling(dense=clip_pb2.DenseSampling(stride=2, start=7))),
        ("indices:0, 3,6", clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[0, 3, 6]))),
        (range(0, 9, 3), clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[0, 3, 6]))),
    ],
)
def test_sampling_rules(written: str, wanted: clip_pb2.Sampling) -> None:
    assert sampling_message(written) == wanted
    assert clip_request(PIXELS, {"sampling": written}).sampling == wanted


@pytest.mark.parametrize(
    "written",
    [
        "",
        "even",
        "uniform:2",
        "segments:stride=2",
        "span:count=4",
        "dense:step=2",
        "dense:stride=x",
        "indices:",
        "indices:-1",
        [-1],
    ],
)
def test_unknown_sampling_is_refused(written: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        sampling_message(written)
    assert caught.value.field == "sampling"


def test_what_is_left_out_stays_unset() -> None:
    request = clip_request(PIXELS, {})
    assert not request.HasField("sampling")
    assert not request.HasField("target")


def test_classes_by_label_and_number() -> None:
    target = clip_request(PIXELS, {"target": "wave", "contrast": 0}).target
    assert target.explained.label == "wave"
    assert target.contrast.WhichOneof("selector") == "index"


def test_frames_are_shrunk_in_their_aspect_and_never_enlarged() -> None:
    image = np.full((300, 1000, 3), 90, np.uint8)
    encode = frame_encoder({"max_side": 500})
    small = encode(image).frame
    height, width, _, _ = simplejpeg.decode_jpeg_header(small.image)
    assert (height, width) == (150, 500)
    assert simplejpeg.decode_jpeg(small.image).mean() == pytest.approx(90, abs=2)
    raw = frame_encoder({"max_side": 5000, "jpeg_quality": None})(image).frame.raw
    assert (raw.height, raw.width) == (300, 1000)


def test_jpeg_keeps_the_order_of_the_colours() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    data = frame_encoder({})(Frame(red, 0, 0.0)).frame.image
    blue, green, red_back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).mean((0, 1))
    assert red_back > 240
    assert blue < 10
    assert green < 10


def test_bare_images_are_numbered_by_the_frame_rate() -> None:
    encode = frame_encoder({"fps": 4.0})
    frames = [encode(b"jpeg").frame for _ in range(3)]
    assert [(frame.sequence, frame.timestamp) for frame in frames] == [(0, 0.0), (1, 0.25), (2, 0.5)]
