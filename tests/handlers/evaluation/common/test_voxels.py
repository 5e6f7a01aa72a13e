"""Maps prepared to voxels."""

from __future__ import annotations

import pytest
import torch

from handlers.evaluation.common.voxels import to_voxels, voxel_map
from handlers.evaluation.measure import LeftOut
from handlers.explainers.attribution import Attribution, FrameAttribution, RelevanceMatrix
from tests.handlers.evaluation.subjects import saliency, subject


def test_a_coarse_map_is_resized_between_the_centres_of_its_cells() -> None:
    # Four steps out of two: their centres lie at -1/4, 1/4, 3/4 and 5/4 of the two values 0 and 4.
    found = to_voxels(torch.tensor([0.0, 4.0]).view(2, 1, 1), (4, 1, 2))
    assert found[:, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]
    assert found.shape == (4, 1, 2)


def test_a_map_of_the_clips_own_size_stays_as_it_is() -> None:
    values = torch.randn(6, 12, 16)
    assert torch.equal(to_voxels(values, (6, 12, 16)), values)


def test_a_selective_mask_the_positive_part_and_the_padding() -> None:
    values = torch.ones(6, 12, 16)
    values[0] = -1
    mask = torch.ones(6, 12, 16, dtype=torch.bool)
    mask[1] = False
    one = subject(visible=(2, 10, 0, 16))
    found = voxel_map(one, saliency(values, mask))
    assert found.sum((1, 2)).tolist() == [0.0, 0.0, *[8 * 16.0] * 4]
    assert voxel_map(one, saliency(values, mask), signed=True).sum((1, 2)).tolist() == [-8 * 16.0, 0.0, *[8 * 16.0] * 4]


@pytest.mark.parametrize(
    ("attribution", "reason"),
    [
        (FrameAttribution(torch.ones(6)), "frames, not voxels"),
        (RelevanceMatrix(torch.ones(2, 6), (1.0, 4.0), torch.ones(2), (1, 1), 1.0, 1.0), "frames, not voxels"),
        (saliency(torch.full((6, 12, 16), torch.nan)), "not finite"),
        (saliency(torch.full((2, 3, 4), torch.inf)), "not finite"),
        (saliency(torch.ones(6, 12, 16), undefined="nothing speaks for it"), "not defined: nothing speaks for it"),
    ],
)
def test_what_has_no_voxels_is_left_out_with_the_reason(attribution: Attribution, reason: str) -> None:
    with pytest.raises(LeftOut, match=reason):
        voxel_map(subject(), attribution)
