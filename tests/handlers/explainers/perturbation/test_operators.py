"""Masks from seeds, perturbed clips, the area's and the shape's term: each against its definition and autograd."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.explainers.perturbation import Masks, PerturbationPlan, blurred, faded, kept
from handlers.explainers.perturbation.area import ranking
from handlers.explainers.perturbation.shape import compactness, ellipsoid
from handlers.explainers.perturbation.smooth_max import SHARPNESS, SmoothMax
from handlers.explainers.perturbation.time_filter import TimeFilter

DOUBLE = torch.zeros((), dtype=torch.float64)


@settings(max_examples=40)
@given(
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    step=st.integers(1, 12),
    sigma=st.floats(0.2, 30),
    reach=st.floats(0, 4),
    double=st.booleans(),
)
def test_seeds_of_one_value_give_that_value_up_to_the_border(
    height: int, width: int, step: int, sigma: float, reach: float, double: bool
) -> None:
    clip = torch.zeros((1, 3, height, width), dtype=torch.float64 if double else torch.float32)
    masks = Masks(PerturbationPlan(step=step, sigma=sigma, smoothing=reach), clip)
    for value in (1.0, 0.0, 0.3):
        found = masks.upsample(torch.full(masks.grid, value, dtype=clip.dtype)).values
        assert found.shape == (3, height, width)
        assert float((found - value).abs().max()) <= (1e-12 if double else 1e-6)


def test_smooth_max_is_what_its_definition_says() -> None:
    step, sigma, height, width = 4, 6.0, 13, 10
    operator = SmoothMax(height, width, step, sigma, DOUBLE)
    torch.manual_seed(0)
    seeds = torch.rand((1, *operator.grid), dtype=torch.float64)
    found, _ = operator.upsample(seeds)
    rows, columns = operator.grid
    top, left = (rows * step - height) // 2, (columns * step - width) // 2
    for y in range(height):
        for x in range(width):
            above = below = 0.0
            cell = (y + top) // step, (x + left) // step
            # Cells further away than two are beyond the reach of 1.7 sigma.
            for i in range(max(0, cell[0] - 2), min(rows, cell[0] + 3)):
                for j in range(max(0, cell[1] - 2), min(columns, cell[1] + 3)):
                    distance = math.hypot(i * step + 1.5 - top - y, j * step + 1.5 - left - x)
                    k = math.exp(-2 * max(0.0, distance / sigma - 0.5) ** 2)
                    a = math.exp(-SHARPNESS * (1 - k))
                    above += a * math.exp(SHARPNESS * float(seeds[0, i, j]))
                    below += a
            assert float(found[0, y, x]) == pytest.approx(math.log(above / below) / SHARPNESS, abs=1e-12)


@pytest.mark.parametrize(("height", "width", "step", "sigma"), [(13, 10, 4, 6.0), (8, 8, 3, 1.0), (5, 9, 7, 11.0)])
def test_the_way_back_to_the_seeds_is_the_gradient(height: int, width: int, step: int, sigma: float) -> None:
    operator = SmoothMax(height, width, step, sigma, DOUBLE)
    filtering = TimeFilter(4, 2.0, DOUBLE)
    torch.manual_seed(1)
    seeds = torch.rand((4, *operator.grid), dtype=torch.float64, requires_grad=True)
    sums = operator._sums(torch.exp(SHARPNESS * (seeds - 1)))
    mask = filtering.apply((operator._base + sums.log() / SHARPNESS)[None])[0]
    gradient = torch.randn(mask.shape, dtype=torch.float64)
    (expected,) = torch.autograd.grad(mask, seeds, gradient)
    found, kept_sums = operator.upsample(seeds.detach())
    assert torch.allclose(filtering.apply(found[None])[0], mask.detach(), atol=1e-12)
    back = operator.pull(filtering.pull(gradient[None])[0], seeds.detach(), kept_sums)
    assert torch.allclose(back, expected, rtol=1e-9, atol=1e-12)


def test_the_way_back_frame_by_frame_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = SmoothMax(13, 10, 4, 6.0, DOUBLE)
    torch.manual_seed(1)
    seeds = torch.rand((4, *operator.grid), dtype=torch.float64)
    found, sums = operator.upsample(seeds)
    whole = operator.pull(found, seeds, sums)
    monkeypatch.setattr("handlers.explainers.perturbation.smooth_max._MOST_COLUMNS", 1)
    assert torch.allclose(operator.pull(found, seeds, sums), whole, rtol=1e-12)


def test_time_filter_is_equation_7() -> None:
    masks = torch.rand((1, 7, 1, 1), dtype=torch.float64)
    found = TimeFilter(7, 2.0, DOUBLE).apply(masks).flatten()
    for t in range(7):
        near = [u for u in range(7) if abs(u - t) <= 2]
        weights = [math.exp(-((u - t) ** 2) / (0.6 * 2.0)) for u in near]
        expected = sum(w * float(masks[0, u, 0, 0]) for w, u in zip(weights, near, strict=True)) / sum(weights)
        assert float(found[t]) == pytest.approx(expected, abs=1e-12)


def test_pyramid_meets_its_levels_and_is_linear_in_between() -> None:
    torch.manual_seed(2)
    clip = torch.rand((3, 2, 9, 7), dtype=torch.float64)
    pyramid = blurred(clip, 3.0, 4)
    at = {
        m: pyramid.apply(torch.full((1, 2, 9, 7), m, dtype=torch.float64))[0][0] for m in (0.0, 1 / 3, 0.5, 2 / 3, 1.0)
    }
    assert torch.allclose(at[1.0], clip)
    assert torch.allclose(at[0.5], (at[1 / 3] + at[2 / 3]) / 2)
    # A blur of constant pictures changes nothing, the border included, and a blur only takes contrast away.
    flat = torch.full_like(clip, 0.7)
    assert torch.allclose(blurred(flat, 3.0, 4).apply(torch.zeros((1, 2, 9, 7), dtype=torch.float64))[0][0], flat)
    assert at[0.0].var() < at[1 / 3].var() < at[2 / 3].var() < clip.var()


@pytest.mark.parametrize("fade", [False, True])
def test_slopes_of_the_perturbed_clip_are_its_derivatives(fade: bool) -> None:
    torch.manual_seed(3)
    clip = torch.rand((2, 3, 6, 5), dtype=torch.float64)
    black = torch.tensor([-1.0, -2.0], dtype=torch.float64)
    pyramid = faded(clip, black) if fade else blurred(clip, 2.0, 5)
    mask = torch.rand((2, 3, 6, 5), dtype=torch.float64) * 0.98
    small = 1e-6
    clips, slopes = pyramid.apply(mask)
    beside = pyramid.apply(mask + small)[0]
    same = ((mask * 4).floor() == ((mask + small) * 4).floor())[:, None].expand_as(clips)
    assert torch.allclose(((beside - clips) / small)[same], slopes[same], atol=1e-6)
    if fade:
        nothing = pyramid.apply(torch.zeros((1, 3, 6, 5), dtype=torch.float64))[0][0]
        assert torch.equal(nothing, black.view(2, 1, 1, 1).expand_as(nothing))


@settings(max_examples=50)
@given(count=st.integers(2, 200), share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_ranking_equals_a_sort(count: int, share: float, seed: int) -> None:
    torch.manual_seed(seed)
    mask = torch.rand((1, count), dtype=torch.float64, requires_grad=True)
    ones = share * count
    # r: zeros, then the share of ones; the value at the border gets what is left of a whole one
    wanted = (ones - torch.arange(count - 1, -1, -1, dtype=torch.float64)).clamp(0, 1)
    ordered = mask.sort(1).values
    term = (ordered**2 - 2 * ordered * wanted + wanted).mean()
    (expected,) = torch.autograd.grad(term, mask)
    found, gradient = ranking(mask.detach(), torch.tensor([share], dtype=torch.float64))
    assert torch.allclose(found, term.detach(), atol=1e-12)
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_a_constant_mask_shrinks_evenly() -> None:
    _, gradient = ranking(torch.ones((1, 50)), torch.tensor([0.1]))
    assert torch.allclose(gradient, torch.full((1, 50), 2 * 0.9 / 50))


def test_compactness_is_its_definition() -> None:
    torch.manual_seed(4)
    seeds = torch.rand((2, 5, 8, 9), dtype=torch.float64, requires_grad=True)
    kernel = ellipsoid((5, 8, 9), 0.1).double()
    sums = torch.nn.functional.conv3d(seeds[:, None], kernel[None, None], padding=[n // 2 for n in kernel.shape])
    term = (sums.flatten(1).amax(1) / kernel.sum() - 1) ** 2
    (expected,) = torch.autograd.grad(term.sum(), seeds)
    found, gradient = compactness(seeds.detach(), 0.1)
    assert torch.allclose(found, term.detach())
    assert torch.allclose(gradient, expected)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.3])
def test_the_ellipsoid_fills_its_share(share: float) -> None:
    filled = float(ellipsoid((40, 60, 50), share).sum()) / (40 * 60 * 50)
    assert filled == pytest.approx(share, rel=0.1)
    assert float(ellipsoid((1, 60, 50), share).sum()) / (60 * 50) == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize("by_frame", [False, True])
def test_what_is_kept_is_the_share_to_the_pixel(by_frame: bool) -> None:
    torch.manual_seed(5)
    mask = torch.rand((4, 30, 25))
    chosen = kept(mask, 0.1, by_frame)
    assert int(chosen.sum()) == 300
    if by_frame:
        assert chosen.sum((1, 2)).tolist() == [75] * 4
    else:
        assert float(mask[chosen].min()) >= float(mask[~chosen].max())


def test_means_of_cells_count_visible_pixels_only() -> None:
    clip = torch.zeros((1, 2, 10, 13))
    masks = Masks(PerturbationPlan(step=4), clip)
    assert torch.allclose(masks.cells(torch.ones((2, 10, 13))), torch.ones(masks.grid))
