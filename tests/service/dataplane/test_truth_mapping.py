"""What is known of a source lies in the model's frame where its picture does."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actionlens.v1 import clip_pb2, job_pb2, model_pb2
from actionlens.worker.v1 import worker_pb2
from service.dataplane.truth_mapping import truth_on_frames, visible_part
from service.decoding.clip import DecodedClip, decode_clip
from service.errors import InvalidArgument
from service.settings import Limits
from tests.service.decoding.test_pixel_aspect import film

PATH = "clips[3].ground_truth"


def decoded(
    pixels: NDArray[np.uint8], resize: str = "stretch", size: tuple[int, int] = (8, 8), **fields: Any
) -> DecodedClip:
    """pixels: uint8 [T, H, W] of one channel. size: height and width of the model's frame."""
    count, height, width = pixels.shape
    raw = clip_pb2.RawFrames(
        data=pixels.tobytes(),
        count=count,
        height=height,
        width=width,
        format=clip_pb2.PIXEL_FORMAT_GRAY,
        fps=fields.pop("fps", 10.0),
    )
    sampling = clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=fields.pop("indices", range(count))))
    taken = model_pb2.ModelInput(
        frames=len(sampling.indices.values), height=size[0], width=size[1], resize=resize, **fields
    )
    return decode_clip(clip_pb2.Clip(raw=raw), sampling, taken, Limits())


def objects(truth: worker_pb2.Truth, clip: DecodedClip) -> NDArray[np.bool_]:
    shape = clip.frames.shape[:3]
    bits = np.unpackbits(np.frombuffer(truth.objects, np.uint8), count=int(np.prod(shape)))
    return bits.reshape(shape).astype(bool)


def masks(shown: NDArray[np.bool_], frames: tuple[int, ...] = ()) -> job_pb2.GroundTruth:
    count, height, width = shown.shape
    bits = np.packbits(shown).tobytes()
    return job_pb2.GroundTruth(masks=job_pb2.Masks(frames=frames, count=count, height=height, width=width, bits=bits))


@st.composite
def pictures(draw: st.DrawFn) -> tuple[NDArray[np.bool_], tuple[int, int, int, int], str, tuple[int, int], int]:
    """A picture with one rectangle, its corners, and how it enters the model's frame."""
    height, width = draw(st.integers(9, 40)), draw(st.integers(9, 40))
    x0, y0 = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    shown = np.zeros((1, height, width), bool)
    shown[0, y0:y1, x0:x1] = True
    size = draw(st.integers(4, 24)), draw(st.integers(4, 24))
    resize = draw(st.sampled_from(["stretch", "letterbox", "crop"]))
    shorter = draw(st.sampled_from([0, 30])) if resize == "crop" else 0
    return shown, (x0, y0, x1, y1), resize, size, shorter


@settings(max_examples=150, deadline=None)
@given(pictures())
def test_boxes_and_masks_lie_where_the_picture_of_them_does(
    picture: tuple[NDArray[np.bool_], tuple[int, int, int, int], str, tuple[int, int], int],
) -> None:
    shown, (x0, y0, x1, y1), resize, size, shorter = picture
    clip = decoded(shown.astype(np.uint8) * 255, resize, size, shorter=shorter)
    # The decoder's own averages over areas say what is covered by half. What grows it blends, over a pixel's width.
    painted = clip.frames[..., 0].astype(float) / 255
    unclear = 0.5 if max(size) > min(shown.shape[1:]) or shorter else 0.02
    for truth in (
        job_pb2.GroundTruth(boxes=[job_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1)]),
        masks(shown),
    ):
        mapped = objects(truth_on_frames(truth, clip, PATH), clip)
        assert mapped[painted > 0.5 + unclear - 1e-9].all()
        if (painted > 0.55).any():
            assert not mapped[painted < 0.5 - unclear].any()


def test_a_whole_picture_covers_all_that_is_no_bar() -> None:
    clip = decoded(np.zeros((1, 20, 40), np.uint8), "letterbox", (8, 8))
    box = job_pb2.GroundTruth(boxes=[job_pb2.Box(x1=40, y1=20)])
    part = visible_part(clip.placement)
    assert (part.left, part.top, part.right, part.bottom) == (0, 2, 8, 6)
    expected = np.zeros((8, 8), bool)
    expected[2:6] = True
    for truth in (box, masks(np.ones((1, 20, 40), bool))):
        assert (objects(truth_on_frames(truth, clip, PATH), clip)[0] == expected).all()
    cropped = decoded(np.zeros((1, 20, 40), np.uint8), "crop", (8, 8))
    part = visible_part(cropped.placement)
    assert (part.left, part.top, part.right, part.bottom) == (0, 0, 8, 8)


def test_worked_by_hand() -> None:
    # 16 x 8 pixels shrink to 8 x 4, two by two; of the box's columns 3 to 6 the first is half of the model's second.
    clip = decoded(np.zeros((1, 8, 16), np.uint8), size=(4, 8))
    truth = truth_on_frames(job_pb2.GroundTruth(boxes=[job_pb2.Box(x0=3, y0=2, x1=6, y1=5)]), clip, PATH)
    expected = np.zeros((4, 8), bool)
    # Across 0.5 and 1, down 1 and 0.5: covered by 0.5, 1; 0.25, 0.5.
    expected[1, 1] = expected[1, 2] = expected[2, 2] = True
    assert (objects(truth, clip)[0] == expected).all()
    assert not truth.exact
    # What covers no pixel by half has the one that it covers most.
    small = truth_on_frames(job_pb2.GroundTruth(boxes=[job_pb2.Box(x0=3.2, y0=2, x1=3.4, y1=2.2)]), clip, PATH)
    assert np.argwhere(objects(small, clip)).tolist() == [[0, 1, 1]]
    beyond = truth_on_frames(job_pb2.GroundTruth(boxes=[job_pb2.Box(x0=-9, y0=-9, x1=2, y1=99)]), clip, PATH)
    assert np.unique(np.argwhere(objects(beyond, clip))[:, 2]).tolist() == [0]


def test_smaller_masks_cover_the_whole_picture() -> None:
    clip = decoded(np.zeros((1, 24, 48), np.uint8), size=(6, 12))
    shown = np.zeros((1, 12, 24), bool)
    shown[0, :6, 4:8] = True
    mapped = objects(truth_on_frames(masks(shown), clip, PATH), clip)[0]
    assert np.argwhere(mapped).tolist() == [[row, column] for row in range(3) for column in (2, 3)]


def test_frames_are_those_that_the_model_sees_as_often_as_it_does() -> None:
    clip = decoded(np.zeros((5, 8, 8), np.uint8), indices=[0, 3, 3, 4])
    truth = job_pb2.GroundTruth(
        label={"index": 2},
        boxes=[
            job_pb2.Box(frame=1, x1=8, y1=8),
            job_pb2.Box(frame=3, x1=1, y1=1),
            job_pb2.Box(frame=3, x0=7, y0=7, x1=8, y1=8),
        ],
        segment=job_pb2.Segment(frames=job_pb2.FrameRange(first=1, last=3)),
    )
    found = truth_on_frames(truth, clip, PATH)
    assert list(found.annotated) == [False, True, True, False]
    assert [int(frame.sum()) for frame in objects(found, clip)] == [0, 2, 2, 0]
    assert list(found.segment) == [False, True, True, False]
    assert found.label == 2
    shown = np.zeros((2, 8, 8), bool)
    shown[1, 0, :3] = True
    exact = truth_on_frames(masks(shown, frames=(0, 4)), clip, PATH)
    assert exact.exact
    assert list(exact.annotated) == [True, False, False, True]
    assert [int(frame.sum()) for frame in objects(exact, clip)] == [0, 0, 0, 3]
    # Bits of a mask need not begin with a byte.
    odd = decoded(np.zeros((3, 5, 5), np.uint8), size=(5, 5))
    ones = np.zeros((3, 5, 5), bool)
    ones[1, 2, 3] = ones[2, 0, 0] = ones[2, 4, 4] = True
    assert (objects(truth_on_frames(masks(ones), odd, PATH), odd) == ones).all()


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [(0.0, 0.1, [1, 1, 0, 0]), (0.11, 0.2, [0, 0, 1, 0]), (0.12, 0.18, [0, 0, 0, 0]), (0.2, 1.2, [0, 0, 1, 1])],
)
def test_times_choose_frames(begin: float, end: float, expected: list[int]) -> None:
    clip = decoded(np.zeros((4, 8, 8), np.uint8))
    truth = job_pb2.GroundTruth(segment=job_pb2.Segment(seconds=job_pb2.TimeRange(begin=begin, end=end)))
    assert list(truth_on_frames(truth, clip, PATH).segment) == [bool(entry) for entry in expected]


def test_boxes_are_of_the_upright_picture_in_square_pixels() -> None:
    # Stored as 80 x 120 pixels twice as wide as high, shown as 120 x 160: turned by a quarter.
    data = bytearray(film(80, 120, Fraction(2), "mp4"))
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    taken = model_pb2.ModelInput(frames=2, height=96, width=96, resize="letterbox", sampling="uniform")
    clip = decode_clip(clip_pb2.Clip(video=bytes(data)), clip_pb2.Sampling(), taken, Limits())
    assert (clip.source_width, clip.source_height, clip.count) == (120, 160, 4)
    # The disc's radius is 0.4 of the shorter side.
    box = job_pb2.Box(x0=60 - 48, y0=80 - 48, x1=60 + 48, y1=80 + 48)
    mapped = objects(truth_on_frames(job_pb2.GroundTruth(boxes=[box]), clip, PATH), clip)[0]
    bright = np.argwhere(clip.frames[0, ..., 1] > 128)
    inside = np.argwhere(mapped)
    assert np.abs(inside.min(0) - bright.min(0)).max() <= 1
    assert np.abs(inside.max(0) - bright.max(0)).max() <= 1
    turned = np.ones((1, 120, 160), bool)
    with pytest.raises(InvalidArgument, match="160 x 120 pixels for a picture of 120 x 160"):
        truth_on_frames(masks(turned), clip, PATH)


def test_nothing_known_is_nothing() -> None:
    clip = decoded(np.zeros((2, 8, 8), np.uint8))
    assert truth_on_frames(job_pb2.GroundTruth(), clip, PATH) == worker_pb2.Truth()


def segment(**seconds: float) -> job_pb2.GroundTruth:
    return job_pb2.GroundTruth(segment=job_pb2.Segment(seconds=job_pb2.TimeRange(**seconds)))


MISFITS = {
    "a box past the end": (
        job_pb2.GroundTruth(boxes=[job_pb2.Box(x1=1, y1=1), job_pb2.Box(frame=4, x1=1, y1=1)]),
        "boxes[1].frame",
        "frames 0 to 3",
    ),
    "a box beside the picture": (
        job_pb2.GroundTruth(boxes=[job_pb2.Box(x0=16, x1=20, y1=1)]),
        "boxes[0]",
        "picture of 16 x 8 pixels",
    ),
    "a mask past the end": (masks(np.ones((1, 8, 16), bool), frames=(4,)), "masks.frames[0]", "frames 0 to 3"),
    "masks past the end": (masks(np.ones((5, 8, 16), bool)), "masks.count", "frames 0 to 3"),
    "masks lying on their side": (masks(np.ones((1, 16, 8), bool)), "masks", "picture of 16 x 8"),
    "masks of another shape": (masks(np.ones((1, 8, 8), bool)), "masks", "picture of 16 x 8"),
    "masks that are larger": (masks(np.ones((1, 16, 32), bool)), "masks", "or smaller"),
    "frames past the end": (
        job_pb2.GroundTruth(segment=job_pb2.Segment(frames=job_pb2.FrameRange(first=2, last=4))),
        "segment.frames.last",
        "frames 0 to 3",
    ),
    "a time past the end": (segment(begin=0.5, end=0.6), "segment.seconds", "0.40 s"),
    "an end long past the end": (segment(begin=0.1, end=9.0), "segment.seconds", "0.40 s"),
}


@pytest.mark.parametrize(("truth", "field", "hint"), MISFITS.values(), ids=MISFITS.keys())
def test_what_does_not_fit_the_clip_is_refused_by_its_field(truth: job_pb2.GroundTruth, field: str, hint: str) -> None:
    clip = decoded(np.zeros((4, 8, 16), np.uint8), size=(4, 8))
    with pytest.raises(InvalidArgument, match=hint) as caught:
        truth_on_frames(truth, clip, PATH)
    assert caught.value.field == f"{PATH}.{field}"


def test_times_need_a_clock() -> None:
    clip = decoded(np.zeros((4, 8, 16), np.uint8), fps=0.0)
    with pytest.raises(InvalidArgument, match="has no times"):
        truth_on_frames(segment(begin=0, end=1), clip, PATH)
