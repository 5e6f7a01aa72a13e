"""Dense optical flow of clips whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from handlers.models.optical_flow import REACH, flow

FRAMES = 5


def panned(right: float, down: float, frames: int = FRAMES, size: int = 96) -> NDArray[np.uint8]:
    """A textured picture that moves by so many pixels a frame."""
    wide = size + 128
    texture = cv2.GaussianBlur(np.random.default_rng(0).random((wide, wide, 3)).astype(np.float32), (0, 0), 3)
    texture = (texture - texture.min()) / (texture.max() - texture.min()) * 255
    moved = []
    for frame in range(frames):
        shift = np.array([[1, 0, right * frame], [0, 1, down * frame]], np.float32)
        moved.append(cv2.warpAffine(texture, shift, (wide, wide))[64:-64, 64:-64])
    return np.stack(moved).round().astype(np.uint8)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, 3), (-4, 2), (7, -5), (0.5, 0.25)])
def test_a_known_motion_is_found_with_its_sign_and_size(right: float, down: float) -> None:
    found = flow(panned(right, down))
    assert (found.shape, found.dtype) == ((FRAMES, 96, 96, 2), np.float32)
    inside = found[:, 24:-24, 24:-24]
    expected = np.broadcast_to(np.array([right, down]) / REACH, inside.shape)
    np.testing.assert_allclose(inside, expected, atol=0.25 / REACH)
    assert np.array_equal(found[-1], found[-2])


def test_a_row_is_of_the_way_to_the_next_frame() -> None:
    still, moved = panned(6, 0, frames=2)
    clip = np.stack([still, still, moved, moved])
    speeds = np.median(flow(clip)[..., 0], (1, 2)) * REACH
    np.testing.assert_allclose(speeds, [0, 6, 0, 0], atol=0.1)


def test_nothing_moves_between_equal_frames() -> None:
    assert not flow(np.repeat(panned(0, 0, frames=1), 3, 0)).any()


def test_what_is_too_fast_counts_as_20_pixels() -> None:
    found = flow(panned(22, 0, frames=2, size=192))
    assert float(found.max()) == 1.0
    assert np.median(found[0, 48:-48, 48:-48, 0]) == 1.0
    assert np.abs(found[0, 48:-48, 48:-48, 1]).max() < 0.05
