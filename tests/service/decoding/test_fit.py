from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionlens.v1 import model_pb2
from service.decoding.fit import fit, placement_of, scale


def rule(name: str, width: int = 80, height: int = 60) -> model_pb2.ModelInput:
    return model_pb2.ModelInput(frames=1, width=width, height=height, resize=name)


def test_letterbox_scales_the_longer_side_and_centres_on_black():
    frame, placement = fit(np.full((40, 120, 3), 200, np.uint8), rule("letterbox"))
    # 120 x 40 into 80 x 60: factor 2/3, 80 x 26 (26.67 rounded down), 17 black rows above.
    assert (placement.left, placement.top, placement.width, placement.height) == (0, 17, 80, 26)
    assert (frame[17:43] == 200).all()
    assert not frame[:17].any()
    assert not frame[43:].any()


def test_crop_keeps_the_centre():
    image = np.zeros((60, 160, 3), np.uint8)
    image[:, 40:120] = 255
    frame, placement = fit(image, rule("crop"))
    assert (frame == 255).all()
    assert (placement.left, placement.top, placement.width, placement.height) == (-40, 0, 160, 60)


def test_stretch_fills_the_frame():
    image = np.zeros((30, 20, 3), np.uint8)
    image[:, :10] = 255
    frame, placement = fit(image, rule("stretch"))
    assert (frame[:, :38] == 255).all()
    assert (frame[:, 42:] == 0).all()
    assert (placement.width, placement.height, placement.frame_width, placement.frame_height) == (80, 60, 80, 60)


def test_no_rule_means_stretch_and_an_unknown_one_is_refused():
    assert fit(np.zeros((4, 4, 3), np.uint8), rule(""))[0].shape == (60, 80, 3)
    with pytest.raises(ValueError, match="squeeze"):
        fit(np.zeros((4, 4, 3), np.uint8), rule("squeeze"))


def test_shrinking_by_a_whole_factor_is_the_block_mean():
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    expected = image.reshape(6, 4, 10, 4, 3).mean((1, 3))
    assert np.abs(scale(image, 10, 6) - expected).max() <= 0.5 + 1e-6


def test_shrinking_one_side_and_enlarging_the_other_does_not_alias():
    # Columns alternate black and white: the mean is grey, and only an average over areas gives it.
    image = np.zeros((8, 64, 3), np.uint8)
    image[:, ::2] = 255
    shrunk = scale(image, 16, 32)
    assert shrunk.shape == (32, 16, 3)
    assert np.abs(shrunk.astype(int) - 127).max() <= 1


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(["stretch", "letterbox", "crop"]),
    st.integers(8, 64),
    st.integers(8, 64),
)
def test_every_size_fits_and_its_placement_is_true(width, height, name, frame_width, frame_height):
    asked = rule(name, frame_width, frame_height)
    frame, placement = fit(np.full((height, width, 3), 90, np.uint8), asked)
    assert frame.shape == (frame_height, frame_width, 3)
    assert placement == placement_of(width, height, asked)
    right, bottom = placement.left + placement.width, placement.top + placement.height
    lit = (frame == 90).all(-1)
    if name == "letterbox":
        assert lit.sum() == placement.width * placement.height
        assert abs(placement.left - (frame_width - right)) <= 1
        assert abs(placement.top - (frame_height - bottom)) <= 1
    else:
        assert lit.all()
        assert min(placement.left, placement.top) <= 0
        assert right >= frame_width - 1e-3
        assert bottom >= frame_height - 1e-3


@pytest.mark.parametrize(("wide", "high"), [(320, 240), (240, 320), (256, 256), (60, 40)])
def test_the_middle_is_cut_out_of_an_image_whose_shorter_side_is_scaled(wide, high):
    """As repositories evaluate: the shorter side to 128, then the middle 112 x 112."""
    rows, columns = np.mgrid[:high, :wide]
    # Every pixel says where it is in the image.
    image = np.stack([255 * columns / wide, 255 * rows / high, 0 * rows], 2).astype(np.uint8)
    asked = model_pb2.ModelInput(frames=1, width=112, height=112, resize="crop", shorter=128)
    frame, placement = fit(image, asked)
    scaled = scale(image, wide * 128 // min(wide, high), high * 128 // min(wide, high))
    top, left = round((scaled.shape[0] - 112) / 2), round((scaled.shape[1] - 112) / 2)
    assert np.array_equal(frame, scaled[top : top + 112, left : left + 112])
    assert (placement.width, placement.height) == scaled.shape[1::-1]
    assert (placement.left, placement.top) == (-left, -top)


@pytest.mark.parametrize(
    ("wide", "high", "side", "shorter", "expected"),
    [
        # As torchvision resizes and crops: 256 * 320 / 240 = 341.3; (341 - 224) / 2 = 58.5, to even.
        (320, 240, 224, 256, (-58, -16, 341, 256)),
        # 256 * 1920 / 1080 = 455.1; (455 - 224) / 2 = 115.5, to even.
        (1920, 1080, 224, 256, (-116, -16, 455, 256)),
        # Without `shorter` as little as fills the frame: 112 * 176 / 100 = 197.1; (197 - 112) / 2 = 42.5.
        (176, 100, 112, 0, (-42, 0, 197, 112)),
    ],
)
def test_the_crop_lies_where_torchvision_has_it(wide, high, side, shorter, expected):
    asked = model_pb2.ModelInput(frames=1, width=side, height=side, resize="crop", shorter=shorter)
    placement = placement_of(wide, high, asked)
    assert (placement.left, placement.top, placement.width, placement.height) == expected


def test_a_strip_takes_no_gigabytes():
    frame, _ = fit(np.full((1, 100_000, 3), 7, np.uint8), rule("crop", 112, 112))
    assert (frame == 7).all()
