"""Real models on real clips, through gRPC and TorchServe, beside the answers that their README documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.e2e.conftest import GESTURE, LRCN, Service

Clip = NDArray[np.uint8]


def swipe(assets: Path) -> Clip:
    """uint8 RGB [30, 120, 160, 3]."""
    pictures = sorted((assets / "clips/gesture_swipe_30f").glob("*.png"))
    return np.stack([cv2.imread(str(path))[..., ::-1] for path in pictures]).astype(np.uint8)


def frozen(clip: Clip) -> Clip:
    return np.repeat(clip[15:16], len(clip), axis=0)


CHANGES: dict[str, Callable[[Clip], Clip]] = {
    "as recorded": lambda clip: clip,
    "time-reversed": lambda clip: clip[::-1],
    "mirrored": lambda clip: clip[:, :, ::-1],
    "frozen at frame 15": frozen,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("as recorded", (0.987, 0.001, 0.004, 0.009, 0.000)),
        ("time-reversed", (0.000, 0.952, 0.001, 0.046, 0.000)),
        ("mirrored", (0.000, 0.999, 0.000, 0.000, 0.000)),
        ("frozen at frame 15", (0.012, 0.000, 0.029, 0.772, 0.186)),
    ],
)
def test_the_gesture_models_table(service: Service, assets: Path, change: str, expected: tuple[float, ...]) -> None:
    clip = np.ascontiguousarray(CHANGES[change](swipe(assets)))
    with service.client() as client:
        result = client.explain_clip(clip, model=GESTURE, methods=["grad-cam"])
    probabilities = np.exp(result.logits - result.logits.max())
    np.testing.assert_allclose(probabilities / probabilities.sum(), expected, atol=0.005)
    assert result.explanations["grad-cam"].values.shape == (8, 50, 50)


@pytest.mark.parametrize(
    ("name", "label", "probability"), [("43246", "Left_Swipe", 0.892), ("120331", "Right_Swipe", 1.000)]
)
def test_the_gesture_model_on_files(service: Service, assets: Path, name: str, label: str, probability: float) -> None:
    with service.client() as client:
        result = client.explain_clip(assets / f"clips/jester/{name}.mp4", model=GESTURE)
    assert result.prediction.top[0].label == label
    assert result.prediction.top[0].probability == pytest.approx(probability, abs=0.005)


def test_freezing_windows_of_the_swipe(service: Service, assets: Path) -> None:
    """Frames 20-24 carry the decision: P(Left) with one 5-frame window frozen to its first frame."""
    clip = swipe(assets)
    left = []
    with service.client() as client:
        for start in range(0, 30, 5):
            changed = clip.copy()
            changed[start : start + 5] = clip[start]
            result = client.explain_clip(changed, model=GESTURE, target="Left_Swipe", methods=["grad-cam"])
            left.append(result.explanations["grad-cam"].message.target.probability)
    np.testing.assert_allclose(left, (0.988, 0.986, 0.990, 0.953, 0.785, 0.954), atol=0.005)


@pytest.mark.parametrize(
    ("change", "label"), [("as recorded", "move right"), ("time-reversed", "move left"), ("mirrored", "move left")]
)
def test_the_bundled_model_sees_a_real_hand_move(service: Service, assets: Path, change: str, label: str) -> None:
    clip = np.ascontiguousarray(CHANGES[change](swipe(assets)))
    with service.client() as client:
        assert client.explain_clip(clip).prediction.top[0].label == label


def test_relevance_lies_on_the_hand(service: Service, assets: Path) -> None:
    """Only the hand moves: the quarter of the picture that changes most holds far more of the relevance."""
    clip = swipe(assets)
    with service.client() as client:
        result = client.explain_clip(clip, model="motion-primitives", methods=["dtd"], target="move right")
    heat = result.explanations["dtd"].values.clip(min=0).sum(axis=0)
    change = np.abs(np.diff(clip.astype(np.float32).mean(axis=3), axis=0)).mean(axis=0)
    # The model's frame is square: bars above and below the picture.
    square = cv2.resize(np.pad(change, ((20, 20), (0, 0))), heat.shape[::-1], interpolation=cv2.INTER_AREA)
    moving = square > np.quantile(square, 0.75)
    assert heat[moving].sum() / heat.sum() > 1.5 * moving.mean()


def ucf(assets: Path, name: str) -> Clip:
    """uint8 RGB [20, 64, 64, 3], the frames and size that the README gives for the LRCN."""
    with av.open(str(assets / f"clips/ucf101/{name}.avi")) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    every = max(len(frames) // 20, 1)
    return np.stack([cv2.resize(frames[min(i * every, len(frames) - 1)], (64, 64)) for i in range(20)])


@pytest.mark.parametrize(
    ("name", "label", "probability"),
    [("v_BaseballPitch_g05_c07", "BaseballPitch", 0.988), ("v_Diving_g01_c01", "Diving", 0.946)],
)
def test_the_lrcn_models_table(service: Service, assets: Path, name: str, label: str, probability: float) -> None:
    clip = ucf(assets, name)
    with service.client() as client:
        result = client.explain_clip(clip, model=LRCN, methods=["grad-cam", "dtd", "atr"])
        by_file = client.explain_clip(assets / f"clips/ucf101/{name}.avi", model=LRCN)
    assert result.prediction.top[0].label == by_file.prediction.top[0].label == label
    assert result.prediction.top[0].probability == pytest.approx(probability, abs=0.001)
    logit = float(result.logits.max())
    heat, row = result.explanations["dtd"].values, result.explanations["atr"].values
    assert heat.shape == (20, 64, 64)
    assert row.shape == (1, 20)
    assert heat.sum() == pytest.approx(logit, rel=1e-3)
    np.testing.assert_allclose(row[0], heat.sum((1, 2)), rtol=1e-2, atol=1e-2)
    # It reads appearance: every frame has its part, none decides.
    assert row.min() > 0
    assert row.max() < 0.2 * row.sum()


def test_the_lrcn_model_is_as_sure_of_one_frozen_frame(service: Service, assets: Path) -> None:
    clip = ucf(assets, "v_BaseballPitch_g05_c07")
    with service.client() as client:
        result = client.explain_clip(np.repeat(clip[10:11], 20, axis=0), model=LRCN)
    assert result.prediction.top[0].label == "BaseballPitch"
    assert result.prediction.top[0].probability == pytest.approx(0.992, abs=0.001)
