"""The committed weights load and answer held-out clips and the sample clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actionlens.generated_clips.clips import HELD_OUT_SEED
from actionlens.generated_clips.labels import CLASSES
from handlers.models.architectures.motion_cnn import MotionCNN
from training.batches import make_batch
from training.evaluate import load_model, prepare, probabilities, read_clip

FOLDER = Path(__file__).parents[2] / "model_store" / "motion-primitives"


@pytest.fixture(scope="module")
def model() -> MotionCNN:
    return load_model(FOLDER)


def test_labels_file_has_the_classes_in_logit_order() -> None:
    assert tuple((FOLDER / "labels.txt").read_text(encoding="utf-8").split("\n")[:-1]) == CLASSES


def test_weights_are_small() -> None:
    assert (FOLDER / "weights.safetensors").stat().st_size < 5_000_000


def test_held_out_clips_are_answered_right(model: MotionCNN) -> None:
    batch = make_batch(range(HELD_OUT_SEED + 100_000, HELD_OUT_SEED + 100_060), 112)
    answers = np.concatenate(
        [probabilities(model, batch.clips[first : first + 12]).argmax(1) for first in range(0, 60, 12)]
    )
    assert np.mean(answers == batch.labels) >= 0.9  # 0.951 and 0.950 on the 2 x 2000 clips of TRAINING.md


def test_the_sample_clip_is_a_move_left_and_its_flips_follow(model: MotionCNN) -> None:
    clip = prepare(read_clip(FOLDER / "sample.mp4"))
    left, right = CLASSES.index("move left"), CLASSES.index("move right")
    variants = np.concatenate((clip, np.flip(clip, axis=3), np.flip(clip, axis=1)))
    scores = probabilities(model, variants)
    assert scores.argmax(1).tolist() == [left, right, right]
    assert scores[0, left] > 0.8
