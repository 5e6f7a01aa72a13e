"""The freeze mask on real networks and clips, from ACTIONLENS_TEST_ASSETS: one reads motion, one does not."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from actionlens.card import Input
from handlers.engine.block import advance
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.explainers.attribution import FrameAttribution
from handlers.importing.checkpoint import import_checkpoint
from handlers.models.action_model import ActionModel, build
from handlers.tensor_files.weights import read_weights
from tests.handlers import networks

SIZE, STRIDE = 120, 3
"""Every third frame at 120 x 120: a tenth of the work, and the network still says Left_Swipe."""


def swipe(assets: Path) -> NDArray[np.uint8]:
    pictures = []
    for path in sorted((assets / "clips/gesture_swipe_30f").glob("*.png"))[::STRIDE]:
        picture = cv2.imread(str(path))[..., ::-1]
        height = round(SIZE * picture.shape[0] / picture.shape[1])
        canvas = np.zeros((SIZE, SIZE, 3), np.uint8)
        top = (SIZE - height) // 2
        canvas[top : top + height] = cv2.resize(picture, (SIZE, height))
        pictures.append(canvas)
    return np.stack(pictures)


@pytest.mark.timeout(300)
def test_the_freeze_mask_of_a_swipe_is_as_good_as_any_window_of_its_length(assets: Path) -> None:
    folder = assets / "models/gesture_conv3d"
    card = networks.card(
        arguments={"channels": [32, 64, 128], "hidden": [128]},
        labels=tuple((folder / "labels.txt").read_text().split()),
        input=Input(frames=10, height=SIZE, width=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3, color="bgr"),
        layer="features",
    )
    network = build(card, read_weights(folder / "gesture_conv3d_torch_layout.npz"))
    model, clip = ActionModel(card, network), swipe(assets)
    request = ClipRequest(clip, [MethodCall("temporal-mask", {"iterations": 30})], target="Left_Swipe")
    found = advance(Engine(model), request, b"", 1e9, 0, result=True).result
    assert isinstance(found, FrameAttribution)
    details = found.details
    measures = details.measures
    assert measures["original_score"] > 0.9
    frozen = clip.copy()
    for frame, on in enumerate(details.arrays["on"].tolist()):
        frozen[frame] = frozen[frame - 1] if on else clip[frame]
    with torch.no_grad():
        score = float(network(model.prepare([frozen])).softmax(1)[0, card.labels.index("Left_Swipe")])
    assert measures["shown_score"] == pytest.approx(score, abs=1e-4)
    assert score < 0.5
    windows = next(curve for curve in details.curves if curve.x_name == "frames")
    assert score <= windows.y[windows.x.index(measures["shown_length"])] + 0.001
    objective = next(curve for curve in details.curves if curve.name == "objective")
    assert objective.y[-1] < objective.y[0]


@pytest.mark.timeout(300)
def test_where_freezing_changes_next_to_nothing_the_job_says_so_and_shows_no_mask(assets: Path, tmp_path: Path) -> None:
    source = assets / "models/lrcn_ucf50"
    made = import_checkpoint(
        "cnn-lstm", source / "lrcn_ucf50.h5", tmp_path, labels_path=source / "labels.txt", name="lrcn"
    )
    with av.open(str(assets / "clips/ucf101/v_BaseballPitch_g05_c07.avi")) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    clip = np.stack([cv2.resize(frames[3 * number], (64, 64)) for number in range(20)])
    request = ClipRequest(clip, [MethodCall("temporal-mask", {"iterations": 5})], target="BaseballPitch")
    found = advance(Engine.load(made.folder), request, b"", 1e9, 0, result=True).result
    assert isinstance(found, FrameAttribution)
    assert found.details.measures["original_score"] == pytest.approx(0.988, abs=0.001)
    assert found.details.measures["full_score"] > 0.95
    assert found.details.notes[0].startswith("freezing changes next to nothing: the score is 0.988 as recorded")
    assert not bool(found.values.any())
    assert not bool(found.details.arrays["on"].any())
    assert "learned" not in found.details.arrays
    assert "shown_length" not in found.details.measures
    # The learned mask is measured all the same.
    assert found.details.measures["freeze_score"] == pytest.approx(0.988, abs=0.05)
    assert found.details.measures["soft_length"] > 0
