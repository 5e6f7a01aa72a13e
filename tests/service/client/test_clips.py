from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from actionlens.v1 import clip_pb2
from service.client.clip_messages import clip_message, clip_request, image_files, sampling_message
from service.client.frame_sources import open_source
from service.client.job_requests import job_request
from service.client.stream_messages import Frame, frame_encoder
from service.decoding.image import decode_image
from service.errors import InvalidArgument
from service.settings import Limits

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)


def test_pixels_travel_as_they_are() -> None:
    raw = clip_message(PIXELS, fps=12.5).raw
    assert (raw.count, raw.height, raw.width, raw.fps) == (3, 4, 5, 12.5)
    np.testing.assert_array_equal(np.frombuffer(raw.data, np.uint8).reshape(PIXELS.shape), PIXELS)
    assert clip_message(list(PIXELS)).raw.data == raw.data
    assert list(clip_message(PIXELS, timestamps=[0, 0.5]).raw.timestamps) == [0, 0.5]
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
    assert list(clip_message(tmp_path, timestamps=[0, 0.5, 2]).frames.timestamps) == [0, 0.5, 2]


def unpadded(folder: Path, names: list[str]) -> Path:
    """A folder of images that hold their place in `names`."""
    for number, name in enumerate(names):
        (folder / name).write_bytes(str(number).encode())
    return folder


@pytest.mark.parametrize(
    "names",
    [
        [f"frame{number}.jpg" for number in range(24)],
        [f"scene{scene}-{number}.png" for scene in (2, 10) for number in (1, 9, 11, 100)],
        ["1.png", "2.png", "010.jpg", "10.jpg"],
        ["img_2.png", "IMG_3.png", "img_11.png"],
        ["7.png", "x7.png", "x7a.png", "x12.png"],
    ],
)
def test_images_of_a_folder_come_in_natural_order_which_is_said(
    names: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = unpadded(tmp_path, names)
    wanted = [str(number).encode() for number in range(len(names))]
    assert [path.name for path in image_files(folder)] == names
    assert not caplog.records

    assert list(clip_message(folder).frames.images) == wanted
    assert list(job_request(folder, "esv", {}).clips[0].clip.frames.images) == wanted
    assert [frame.picture for frame in open_source(str(folder)).frames] == wanted
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert all(str(folder) in line and "natural order" in line for line in said)
    first = next(a for a, b in zip(names, sorted(names), strict=True) if a != b)
    assert all(f"{first} comes before " in line for line in said)


def test_nothing_is_said_where_the_orders_agree(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unpadded(tmp_path, [f"frame{number:03}.jpg" for number in range(24)])
    clip_message(tmp_path)
    list(open_source(str(tmp_path)).frames)
    assert not caplog.records


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_several_sizes_and_kinds_travel_without_loss(channels: int) -> None:
    large = np.random.default_rng(1).integers(0, 256, (7, 9, channels), dtype=np.uint8)
    images = clip_message([PIXELS[0], large, b"a file"], fps=3).frames
    assert (list(images.images[2:]), images.fps) == ([b"a file"], 3)
    for sent, image in zip(images.images, (PIXELS[0], large), strict=False):
        read = decode_image(sent, Limits(), "image")
        np.testing.assert_array_equal(read, np.broadcast_to(image, read.shape))


def test_a_list_of_files_keeps_its_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unpadded(tmp_path, ["1.png", "2.png", "10.png"])
    given = [tmp_path / "10.png", tmp_path / "1.png"]
    assert list(clip_message(given).frames.images) == [b"2", b"0"]
    assert not caplog.records


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"holds no \.png"):
        clip_message(tmp_path)


@pytest.mark.parametrize(
    "clip",
    [PIXELS.astype(np.float32), PIXELS[0], PIXELS[..., :2], [PIXELS[0], PIXELS[0, 0]], [PIXELS[0] / 2, b"x"], [3]],
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
        ("rate", clip_pb2.Sampling(rate=clip_pb2.RateSampling())),
        ("rate:fps=12.5,start=7", clip_pb2.Sampling(rate=clip_pb2.RateSampling(fps=12.5, start=7))),
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
        "rate:fps=0",
        "rate:fps=nan",
        "rate:fps=x",
        "rate:stride=2",
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
