"""Clips that become others bit by bit, and their scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from actionlens.card import Input
from handlers.evaluation.common.blank_clips import blank_clip
from handlers.evaluation.common.perturbed_clips import (
    area_under,
    batch_of,
    class_score,
    perturbed_clips,
    replaced,
    replacement_curve,
)
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.common.ranking import Ranking, ranked_patches, ranked_voxels
from handlers.evaluation.measure import LeftOut
from handlers.models.action_model import ActionModel
from handlers.relevance import PlainNetwork, Rules
from tests.handlers import networks
from tests.handlers.evaluation.subjects import subject


@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 12),
    st.integers(1, 5),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_each_step_changes_exactly_its_share_and_is_what_brute_force_makes(
    frames: int, height: int, width: int, steps: int, batch: int, by_patch: bool, seed: int
) -> None:
    draws = torch.Generator().manual_seed(seed)
    seen = torch.rand(height, width, generator=draws) < 0.7
    values = torch.rand(frames, height, width, generator=draws)
    ranking = ranked_patches(values, seen, draws, 2) if by_patch else ranked_voxels(values, seen, draws)
    start, end = torch.zeros(3, frames, height, width), torch.ones(3, frames, height, width)
    made = torch.cat([some.clone() for some in perturbed_clips(start, end, ranking, steps, batch)])
    assert len(made) == steps + 1
    for step, clip in enumerate(made):
        units = step * len(ranking) // steps
        expected = start.clone()
        for voxel in ranking.first(units).tolist():
            t, rest = divmod(voxel, height * width)
            expected[:, t, rest // width, rest % width] = 1
        assert torch.equal(clip, expected)
        if not by_patch:
            assert int(clip[0].sum()) == step * int(seen.sum()) * frames // steps
        assert torch.equal(replaced(start, end, ranking.first(units)), expected)


def test_batches_are_laid_out_as_the_network_takes_them_and_use_one_buffer() -> None:
    one = subject()
    clip = one.model.prepare([one.clip])[0]
    ranking = ranked_voxels(torch.rand(one.shape), one.seen, one.generator())
    batches = [(some.shape[0], some.data_ptr()) for some in perturbed_clips(clip * 0, clip, ranking, 8, 4)]
    assert [size for size, _ in batches] == [4, 4, 1]
    assert len({place for _, place in batches}) == 1
    for some in perturbed_clips(clip * 0, clip, ranking, 2, 3):
        assert some.is_contiguous(memory_format=torch.channels_last_3d)


def test_few_large_clips_run_together() -> None:
    assert batch_of(3 * 16 * 112 * 112) == 13
    assert batch_of(3 * 2 * 8 * 8) == 16
    assert batch_of(3 * 64 * 448 * 448) == 1


def test_the_area_of_equal_scores_is_their_value_and_of_a_step_its_complement() -> None:
    assert area_under(torch.full((5,), 0.3)) == pytest.approx(0.3)
    # 0 up to step 2 and 1 from step 3 of 8: the step lies at 2.5 / 8, its area is 5.5 / 8.
    assert area_under(torch.tensor([0.0] * 3 + [1.0] * 6)) == pytest.approx(5.5 / 8)


def test_a_curve_goes_from_one_clip_to_the_other() -> None:
    one = subject()
    clip = one.model.prepare([one.clip])[0]
    ranking = ranked_voxels(random_map(one, 0).values, one.seen, one.generator())
    curve = replacement_curve(class_score(one), torch.zeros_like(clip), clip, ranking, 20)
    assert curve.shape == (21,)
    assert float(curve[-1]) == pytest.approx(one.probability, abs=1e-6)
    assert float(curve[0]) == pytest.approx(float(class_score(one)(torch.zeros_like(clip)[None])), abs=1e-6)


def test_probabilities_that_are_no_numbers_leave_the_clip_out() -> None:
    one = subject()
    with pytest.raises(LeftOut, match="not finite"):
        class_score(one)(torch.full((1, 3, 6, 12, 16), torch.nan))


def test_random_maps_differ_by_draw_and_seed_alone() -> None:
    assert torch.equal(random_map(subject(), 1).values, random_map(subject(), 1).values)
    assert not torch.equal(random_map(subject(), 1).values, random_map(subject(), 0).values)
    assert not torch.equal(random_map(subject(seed=4), 1).values, random_map(subject(), 1).values)


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "motion-cnn", "arguments": {"width": 2}, "layer": "features"},
        {"arguments": {"channels": [4, 6], "hidden": [5]}},
    ],
    ids=["motion-cnn", "conv3d"],
)
def test_the_first_layer_adds_up_to_the_scores_of_the_clips(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = networks.card(
        **changes, input=Input(frames=6, height=32, width=36, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    )
    module = networks.module(card).eval()
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter)  # so that what changes is heard up to the classes
    model = ActionModel(card, module)
    one = subject(model=model, clip=networks.clip(0, 6, 32, 36), visible=(3, 30, 0, 36))
    clip = model.prepare([one.clip])[0]
    blank = blank_clip(one, clip, "blur")
    ranking = ranked_patches(random_map(one, 0).values, one.seen, one.generator(), 4)
    used: list[int] = []

    def shortened(output: torch.Tensor) -> torch.Tensor:
        used.append(len(output))
        return after(output)

    after = model.program.after_first_convolution
    monkeypatch.setattr(model.program, "after_first_convolution", shortened)
    curve = replacement_curve(class_score(one), blank, clip, ranking, 40)
    assert sum(used) == 41
    expected = torch.cat([class_score(one)(some) for some in perturbed_clips(blank, clip, ranking, 40, 5)])
    assert torch.allclose(curve, expected.double(), atol=1e-6)
    assert float(expected.std()) > 1e-3


def test_units_of_several_frames_are_run_as_clips() -> None:
    one = subject()
    clip = one.model.prepare([one.clip])[0]
    # 64 units of 18 voxels, each of them in three frames.
    voxels = torch.arange(6 * 12 * 16).view(2, 3, 32, 6).permute(0, 2, 1, 3).flatten()
    ranking = Ranking(voxels, torch.full((64,), 18), 0.0)
    curve = replacement_curve(class_score(one), clip * 0, clip, ranking, 64)
    expected = torch.cat([class_score(one)(some) for some in perturbed_clips(clip * 0, clip, ranking, 64, 5)])
    assert torch.allclose(curve, expected.double(), atol=1e-7)


def test_a_network_that_is_no_program_is_scored_without_gradients() -> None:
    class Opaque(nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            logits = clips.mean((2, 3, 4)) * self.weight
            return logits if bool(logits.isfinite().all()) else logits * 0

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

    network = PlainNetwork(Opaque().eval(), Rules(), "it branches on values", torch.zeros(1, 3, 6, 12, 16))
    one = subject()
    one.model.program = network
    scores = class_score(one)(torch.ones(2, 3, 6, 12, 16))
    assert not scores.requires_grad
    assert scores.tolist() == pytest.approx([1 / 3, 1 / 3])
    clip = one.model.prepare([one.clip])[0]
    ranking = ranked_patches(torch.rand(one.shape), one.seen, one.generator(), 4)
    assert len(replacement_curve(class_score(one), clip * 0, clip, ranking, 40)) == 41
