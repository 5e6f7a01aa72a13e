"""Clips without content."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actionlens.card import ColorOrder, Input
from handlers.evaluation.common.blank_clips import blank_clip, blurred_clip
from tests.handlers import networks
from tests.handlers.evaluation.subjects import subject


def test_grey_is_128_and_fade_is_zero_in_what_the_network_takes() -> None:
    one = subject()
    clip = one.model.prepare([one.clip])[0]
    grey = blank_clip(one, clip, "grey")
    # (128 / 255 - mean) / std by channel.
    expected = (128 / 255 - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.25, 0.3])
    assert grey.amax((1, 2, 3)).tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert grey.amin((1, 2, 3)).tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert not blank_clip(one, clip, "fade").any()


@pytest.mark.parametrize("kind", ["blur", "grey", "fade"])
def test_padding_stays(kind: str) -> None:
    one = subject(visible=(3, 9, 0, 16))
    clip = one.model.prepare([one.clip])[0]
    blank = blank_clip(one, clip, kind)  # type: ignore[arg-type]
    assert torch.equal(blank[:, :, :3], clip[:, :, :3])
    assert torch.equal(blank[:, :, 9:], clip[:, :, 9:])
    assert not torch.equal(blank[:, :, 3:9], clip[:, :, 3:9])


def test_bars_do_not_run_into_the_picture() -> None:
    clip = torch.zeros(3, 2, 12, 16)
    clip[:, :, 2:10] = 1
    seen = torch.zeros(12, 16, dtype=torch.bool)
    seen[2:10] = True
    assert torch.allclose(blurred_clip(clip, seen), clip, atol=1e-6)


def test_blurred_pixels_are_what_opencv_makes_of_them() -> None:
    cv2 = pytest.importorskip("cv2")
    one = subject()
    sigma = 0.18 * 12
    size = 2 * int(np.ceil(3 * sigma)) + 1
    frames = [
        cv2.GaussianBlur(frame.astype(np.float32), (size, size), sigma, borderType=cv2.BORDER_REPLICATE)
        for frame in one.clip
    ]
    mean, std = np.array([0.5, 0.4, 0.3], np.float32), np.array([0.2, 0.25, 0.3], np.float32)
    expected = torch.from_numpy((np.stack(frames) / 255 - mean) / std).permute(3, 0, 1, 2)
    found = blank_clip(one, one.model.prepare([one.clip])[0], "blur")
    assert torch.allclose(found, expected, atol=1e-4)


def test_flow_is_blurred_as_flow_and_grey_does_not_move() -> None:
    model = networks.model(
        architecture="i3d-inception",
        arguments={"time_stride": 2, "divisor": 16, "channels": 2},
        input=Input(frames=5, height=32, width=32, color=ColorOrder.FLOW),
        layer="",
    )
    one = subject(model=model, clip=networks.clip(0, 5, 32, 32))
    clip = model.prepare([one.clip])[0]
    assert not blank_clip(one, clip, "grey").any()
    assert not blank_clip(one, clip, "fade").any()
    blurred = blank_clip(one, clip, "blur")
    assert blurred.shape == clip.shape
    assert float(blurred.std()) < float(clip.std())
