"""Freeze and reverse against the paper's loops; total variation; windows; the descent against torch's own Adam."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from handlers.explainers.temporal_masks import (
    Descent,
    FrameMixer,
    Loss,
    MaskWindow,
    Perturbation,
    best_window,
    freeze,
    reverse,
    total_variation,
    windows,
)

FRAMES = 9


def mixer() -> tuple[Tensor, FrameMixer]:
    clip = torch.randn(1, 3, FRAMES, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return clip, FrameMixer(clip)


def masks() -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    soft = [torch.rand(FRAMES, generator=generator, dtype=torch.float64) for _ in range(3)]
    hard = [(mask > 0.5).double() for mask in soft]
    return [*soft, *hard, torch.zeros(FRAMES).double(), torch.ones(FRAMES).double()]


def frozen_by_loop(clip: Tensor, mask: Tensor) -> Tensor:
    """The paper's listing, 3.1."""
    perturbed = [clip[:, :, 0]]
    for i in range(1, FRAMES):
        perturbed.append((1 - mask[i]) * clip[:, :, i] + mask[i] * perturbed[i - 1])
    return torch.stack(perturbed, 2)


def reversed_by_loop(clip: Tensor, mask: Tensor) -> Tensor:
    perturbed, i = clip.clone(), 0
    while i < FRAMES:
        j = i
        while j < FRAMES and mask[j] > 0.1:
            j += 1
        for k in range(i, j):
            perturbed[:, :, k] = (1 - mask[k]) * clip[:, :, k] + mask[k] * clip[:, :, i + j - 1 - k]
        i = max(j, i + 1)
    return perturbed


@pytest.mark.parametrize("mask", masks())
def test_freezing_is_the_papers_loop_and_so_is_its_gradient(mask: Tensor) -> None:
    clip, rows = mixer()
    weights = torch.randn(clip.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found, expected = mask.clone().requires_grad_(), mask.clone().requires_grad_()
    mixed, looped = rows.mixed(freeze(found)[None]), frozen_by_loop(clip, expected)
    torch.testing.assert_close(mixed, looped)
    for result in (mixed, looped):
        (result * weights).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad)


@pytest.mark.parametrize("mask", masks())
def test_reversing_is_a_plain_loop(mask: Tensor) -> None:
    clip, rows = mixer()
    torch.testing.assert_close(rows.mixed(reverse(mask)[None]), reversed_by_loop(clip, mask))


def test_the_papers_example_of_a_reversal() -> None:
    mask = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0.0])
    order = (reverse(mask) @ torch.arange(1, 17.0)).int().tolist()
    assert order == [1, 2, 3, 8, 7, 6, 5, 4, 9, 10, 11, 12, 13, 15, 14, 16]


@pytest.mark.parametrize("perturbation", Perturbation)
def test_a_batch_of_masks_is_each_alone(perturbation: Perturbation) -> None:
    together = perturbation.mixing(torch.stack(masks()))
    for mask, mixing in zip(masks(), together, strict=True):
        assert torch.equal(perturbation.mixing(mask), mixing)


@pytest.mark.parametrize("power", [1.0, 1.5, 3.0])
def test_total_variation_is_the_sum_of_steps_with_a_finite_gradient_on_a_constant_mask(power: float) -> None:
    mask = torch.tensor([0.0, 1.0, 0.25, 0.25], dtype=torch.float64)
    assert float(total_variation(mask, power)) == pytest.approx(1 + 0.75**power)
    constant = torch.full((5,), 0.3, requires_grad=True)
    total_variation(constant, power).backward()
    assert constant.grad is not None
    assert constant.grad.tolist() == [0.0] * 5


def test_windows_are_all_masks_of_one_run() -> None:
    def runs(frames: int, first: int, shortest: int) -> set[tuple[float, ...]]:
        found = set()
        for bits in range(1, 2**frames):
            mask = tuple(float(bits >> frame & 1) for frame in range(frames))
            on = [frame for frame in range(frames) if mask[frame]]
            if on[0] >= first and len(on) >= shortest and on[-1] - on[0] == len(on) - 1:
                found.add(mask)
        return found

    for perturbation, first, shortest in ((Perturbation.FREEZE, 1, 1), (Perturbation.REVERSE, 0, 2)):
        made = [tuple(window.mask(6).tolist()) for window in windows(6, perturbation)]
        assert set(made) == runs(6, first, shortest)
        assert len(made) == len(set(made))
        assert windows(1, perturbation) == []


def test_the_best_window_has_the_least_loss_of_its_length() -> None:
    loss = Loss(0.1, 0.2, 2.0)
    some = windows(5, Perturbation.FREEZE)
    scores = torch.rand(len(some), generator=torch.Generator().manual_seed(4))
    for length in (None, 1, 3):
        fitting = [
            (0.1 * w.length + 0.2 * (2 - (w.last == 4)) + float(score), w, float(score))
            for w, score in zip(some, scores, strict=True)
            if length in (None, w.length)
        ]
        _, window, score = min(fitting, key=lambda entry: entry[0])
        assert best_window(some, scores, loss, 5, length) == (window, score)
    assert best_window(some, scores, loss, 5, 0) is None
    assert MaskWindow(2, 4).length == 3


def test_the_descent_is_torchs_adam() -> None:
    start = Descent.start(torch.tensor([0.0, 1.0, 1.0]))
    goal = torch.tensor([1.0, -2.0, 0.5])
    logits = start.clone().requires_grad_()
    adam = torch.optim.Adam([logits], lr=0.2)
    found = Descent(start, torch.zeros(3), torch.zeros(3))
    for _ in range(20):
        adam.zero_grad()
        ((logits - goal) ** 2).sum().backward()
        adam.step()
        found = found.stepped(2 * (found.logits - goal))
    assert found.steps == 20
    torch.testing.assert_close(found.logits, logits.detach())
