"""Changed clips run in batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actionlens.card import ColorOrder, Input
from handlers.evaluation.common import perturbed_clips
from handlers.evaluation.common.changed_clips import passes, reordered
from handlers.evaluation.measure import LeftOut
from tests.handlers import networks


def test_batches_keep_the_order_and_answer_as_single_clips_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perturbed_clips, "_MOST_NUMBERS", 3 * networks.clip().size)
    model, clips = networks.model(), [networks.clip(seed) for seed in range(7)]
    found = list(passes(model, iter(clips)))
    assert [len(forward) for forward in found] == [3, 3, 1]
    alone = [model.program.forward(model.prepare([clip]), (), relevance=False).logits for clip in clips]
    torch.testing.assert_close(torch.cat([forward.logits for forward in found]), torch.cat(alone))


def test_a_clip_larger_than_the_bound_runs_alone_and_none_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perturbed_clips, "_MOST_NUMBERS", 1)
    assert [len(forward) for forward in passes(networks.model(), iter([networks.clip()] * 2))] == [1, 1]
    assert list(passes(networks.model(), iter([]))) == []


def test_frames_are_taken_as_often_as_they_are_named() -> None:
    clip = networks.clip()
    found = reordered(clip, [5, 0, 0])
    assert found.shape == (3, 12, 16, 3)
    assert np.array_equal(found[1], clip[0])
    assert np.array_equal(found[2], clip[0])
    assert np.array_equal(found[0], clip[5])


def test_logits_that_are_not_finite_leave_the_clip_out() -> None:
    card = networks.card()
    module = networks.module(card).eval()
    with torch.no_grad():
        module.get_submodule("fc1").bias.fill_(torch.inf)  # type: ignore[operator, union-attr]
    broken = type(networks.model())(card, module)
    with pytest.raises(LeftOut, match="not finite"):
        list(passes(broken, iter([networks.clip()])))


def test_a_network_of_optical_flow_sees_the_motion_of_the_changed_clip() -> None:
    model = networks.model(
        architecture="i3d-inception",
        arguments={"time_stride": 2, "divisor": 16, "channels": 2},
        input=Input(frames=5, height=32, width=32, color=ColorOrder.FLOW),
        layer="",
    )
    noise = networks.clip(0, 5, 32, 32)
    moves, still = (next(passes(model, iter([clip]))).clip for clip in (noise, reordered(noise, [2] * 5)))
    assert moves.abs().max() > 0
    assert not still.any()
