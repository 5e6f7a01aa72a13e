"""Changes of the whole clip: by hand, and against a forward for each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handlers.evaluation.measures.whole_clip import (
    WholeClip,
    WholeClipParameters,
    frozen,
    macro_f1,
    mirrored,
    reversed_in_time,
    shuffled,
    window_frozen,
)
from handlers.evaluation.subject import GroundTruth
from handlers.models.action_model import ActionModel
from tests.handlers import networks
from tests.handlers.evaluation.subjects import subject


def clip(frames: int = 5) -> NDArray[np.uint8]:
    """Pixel values 10 t + x."""
    return (10 * np.arange(frames)[:, None, None, None] + np.arange(3)[:, None]).astype(np.uint8).repeat(3, 3)


def first_column(found: NDArray[np.uint8]) -> list[int]:
    return [int(value) // 10 for value in found[:, 0, 0, 0]]


def test_changes_by_hand() -> None:
    assert clip().shape == (5, 1, 3, 3)
    assert first_column(reversed_in_time(clip())) == [4, 3, 2, 1, 0]
    assert mirrored(clip())[1, 0, :, 0].tolist() == [12, 11, 10]
    assert first_column(frozen(clip())) == [2] * 5
    assert first_column(frozen(clip(4))) == [2] * 4
    assert first_column(window_frozen(clip(), 1, 3)) == [0, 1, 1, 1, 4]


def test_a_shuffle_is_another_order_of_the_same_frames_and_repeats_with_its_seed() -> None:
    for seed in range(30):
        found = shuffled(clip(3), torch.Generator().manual_seed(seed))
        assert sorted(first_column(found)) == [0, 1, 2]
        assert first_column(found) != [0, 1, 2]
        assert np.array_equal(found, shuffled(clip(3), torch.Generator().manual_seed(seed)))
    assert first_column(shuffled(clip(1), torch.Generator().manual_seed(0))) == [0]


def test_macro_f1_by_hand() -> None:
    # Class 0: 1 right, 2 labels, 2 answers: 2 / 4. Class 1: 1 right, 1 label, 1 answer: 1. Class 2: never right: 0.
    assert macro_f1([0, 0, 1, 2], [0, 2, 1, 0]) == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert macro_f1([], []) is None


def probability(model: ActionModel, changed: NDArray[np.uint8], target: int) -> tuple[float, int]:
    logits = model.program.forward(model.prepare([changed]), (), relevance=False).logits[0]
    return float(model.probabilities(logits)[target]), int(logits.argmax())


def test_every_number_is_that_of_a_single_forward() -> None:
    one = subject(target=1)
    model = one.model
    found = WholeClip().measure(one, WholeClipParameters(window=3))
    changed = {
        "recorded": [one.clip],
        "reversed": [one.clip[::-1].copy()],
        "mirrored": [one.clip[:, :, ::-1].copy()],
        "frozen": [np.stack([one.clip[3]] * 6)],
        "shuffled": [shuffled(one.clip, one.generator(draw)) for draw in range(5)],
    }
    assert next(iter(found.values)) == "recorded"
    answers = []
    for name, clips in changed.items():
        scores = [probability(model, each, 1) for each in clips]
        answers += [answer for _, answer in scores]
        assert found.values[name].number == pytest.approx(np.mean([score for score, _ in scores]), abs=1e-5)
        assert found.values[f"{name}-accuracy"].number == 100 * np.mean([answer == 1 for _, answer in scores])
    assert found.arrays["answers"].tolist() == answers
    (curve,) = found.curves
    expected = [probability(model, window_frozen(one.clip, first, 3), 1)[0] for first in range(4)]
    assert curve.y == pytest.approx(expected, abs=1e-5)
    assert found.values["lowest-window"].number == pytest.approx(min(expected), abs=1e-5)


def test_a_frozen_clip_is_changed_by_nothing_but_mirroring() -> None:
    still = np.stack([networks.clip()[0]] * 6)
    found = WholeClip().measure(subject(clip=still), WholeClipParameters()).values
    for name in ("reversed", "frozen", "shuffled", "lowest-window"):
        assert found[name].number == pytest.approx(found["recorded"].number, abs=1e-6)
    assert found["mirrored"].number != pytest.approx(found["recorded"].number, abs=1e-6)


def test_clips_shorter_than_a_window_have_none() -> None:
    found = WholeClip().measure(subject(), WholeClipParameters(window=7))
    assert found.left_out == {"lowest-window": "the clip has fewer than 7 frames"}
    assert found.curves == ()
    assert WholeClip().forwards(networks.model(), 6, WholeClipParameters(window=7)) == 8
    assert WholeClip().forwards(networks.model(), 6, WholeClipParameters()) == 10


def test_accuracy_is_that_of_the_label_where_it_is_known() -> None:
    answer = subject().target.index
    other = (answer + 1) % 3
    right = WholeClip().measure(subject(), WholeClipParameters()).values
    wrong = WholeClip().measure(subject(target=other, truth=GroundTruth(label=other)), WholeClipParameters()).values
    assert right["recorded-accuracy"].number == 100
    assert wrong["recorded-accuracy"].number == 0
