"""Whole ascents: they find what decides, areas do not know of each other, the caller's model stays as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from handlers.explainers.perturbation import Ascent, Masks, PerturbationPlan, Progress, Score, faded, kept
from handlers.explainers.perturbation.plateau import arrived
from handlers.relevance import trace
from tests.handlers.relevance.networks import Residual, pair

FRAMES, HEIGHT, WIDTH = 6, 20, 24
WHERE = (slice(2, 4), slice(5, 15), slice(8, 18))
"""All that `Looking` looks at."""


class Looking(nn.Module):
    """Class 0 where one box of the clip is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 2)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[8.0], [0.0]]))
            self.fc.bias.copy_(torch.tensor([-4.0, 0.0]))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        t, h, w = WHERE
        return self.fc(x[:, :1, t, h, w].mean((2, 3, 4)))


PLAN = PerturbationPlan(areas=(0.07,), step=3, sigma=4.0)


def ascent(plan: PerturbationPlan, module: nn.Module, clip: Tensor, target: int = 0) -> tuple[Ascent, Masks]:
    masks = Masks(plan, clip)
    pyramid = faded(clip, torch.zeros(clip.shape[0]))
    return Ascent(Score(trace(module), target), pyramid, masks, plan), masks


def climbed(plan: PerturbationPlan, module: nn.Module, clip: Tensor, iterations: int) -> tuple[Progress, Ascent, Masks]:
    climbing, masks = ascent(plan, module, clip)
    progress = Progress.start(climbing, len(plan.areas), clip)
    for _ in range(iterations):
        progress = progress.next(climbing, plan.areas, early_stop=False)
    return progress, climbing, masks


@pytest.fixture(scope="module")
def box() -> Tensor:
    found = torch.zeros((FRAMES, HEIGHT, WIDTH), dtype=torch.bool)
    found[WHERE] = True
    return found


@pytest.mark.parametrize("mode", ["preserve", "delete", "dual"])
def test_the_mask_finds_what_the_class_needs(mode: str, box: Tensor) -> None:
    plan = replace(PLAN, mode=mode)  # type: ignore[arg-type]
    clip = torch.ones((1, FRAMES, HEIGHT, WIDTH))
    progress, climbing, masks = climbed(plan, Looking(), clip, 120)
    chosen = kept(masks.upsample(progress.seeds[0]).values, 0.07)
    assert float((chosen & box).sum() / (chosen | box).sum()) > 0.65
    preserved, left = climbing.scores(chosen.float())
    assert (preserved is None) == (mode == "delete")
    assert (left is None) == (mode == "preserve")
    assert preserved is None or preserved > 0.9
    assert left is None or left < 0.2


@pytest.mark.parametrize("variant", ["sync", "unsync"])
def test_the_same_area_in_every_frame(variant: str, box: Tensor) -> None:
    plan = replace(PLAN, areas=(0.2,), variant=variant)  # type: ignore[arg-type]
    progress, _, masks = climbed(plan, Looking(), torch.ones((1, FRAMES, HEIGHT, WIDTH)), 100)
    chosen = kept(masks.upsample(progress.seeds[0]).values, 0.2, by_frame=True)
    assert chosen.sum((1, 2)).tolist() == [96] * FRAMES
    for t in (2, 3):
        assert float((chosen[t] & box[t]).sum() / (chosen[t] | box[t]).sum()) > 0.65


def test_unsync_sees_each_frame_alone() -> None:
    plan = replace(PLAN, variant="unsync")
    climbing, _ = ascent(plan, Looking(), torch.ones((1, FRAMES, HEIGHT, WIDTH)))
    whole = torch.ones((FRAMES, HEIGHT, WIDTH))
    alone = 0.0
    for t in range(FRAMES):
        mask = torch.zeros_like(whole)
        mask[t] = 1
        alone += climbing.probability(mask) / FRAMES
    assert climbing.scores(whole)[0] == pytest.approx(alone)
    assert alone < climbing.probability(whole)


def test_one_step_follows_the_gradient_of_its_energy() -> None:
    torch.manual_seed(0)
    net, twin = pair(Residual)
    clip = torch.randn((3, 5, 14, 12), dtype=torch.float64)
    plan = PerturbationPlan(areas=(0.1,), mode="dual", step=3, sigma=4.0, smoothing=1.0, ranking=2.0)
    climbing, masks = ascent(plan, net, clip, target=1)
    state = replace(climbing.start(clip), seeds=torch.rand(masks.grid, dtype=torch.float64) * 0.9)

    def energy(seeds: Tensor) -> Tensor:
        mask = masks.upsample(seeds).values
        kept_clip, left_clip = (faded(clip, torch.zeros(3)).apply(m[None])[0] for m in (mask, 1 - mask))
        wanted = twin(kept_clip).log_softmax(1)[0, 1]
        against = (1 - twin(left_clip).softmax(1)[0, 1]).log()
        ordered = mask.flatten().sort().values
        ones = 0.1 * len(ordered)
        r = (ones - torch.arange(len(ordered) - 1, -1, -1, dtype=torch.float64)).clamp(0, 1)
        return wanted + against - 2.0 * (ordered**2 - 2 * ordered * r + r).mean()

    after = climbing.step(state, 0.1, 0)
    gradient = after.momentum / (0.1 * state.seeds.numel())
    with torch.no_grad():
        direction = torch.randn(masks.grid, dtype=torch.float64)
        small = 1e-6
        slope = (energy(state.seeds + small * direction) - energy(state.seeds - small * direction)) / (2 * small)
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4)


def test_a_batch_of_areas_equals_separate_runs() -> None:
    torch.manual_seed(1)
    net, _ = pair(Residual)
    clip = torch.randn((3, 5, 14, 12), dtype=torch.float64)
    areas = (0.05, 0.2, 0.4)
    together, _, _ = climbed(replace(PLAN, areas=areas), net, clip, 8)
    for n, area in enumerate(areas):
        alone, _, _ = climbed(replace(PLAN, areas=(area,)), net, clip, 8)
        assert torch.allclose(together.seeds[n], alone.seeds[0], atol=1e-6, rtol=0)
        assert torch.allclose(together.scores[n], alone.scores[0], atol=1e-6, rtol=0)


def test_the_model_is_left_alone() -> None:
    net = Looking()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    climbed(PLAN, net, torch.ones((1, FRAMES, HEIGHT, WIDTH)), 2)
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_compact_shape_gathers_the_mask() -> None:
    # Two boxes far apart would do as well as one; the shape term wants one.
    clip = torch.ones((1, FRAMES, HEIGHT, WIDTH))
    spread = {}
    for shape in (False, True):
        progress, _, masks = climbed(replace(PLAN, areas=(0.2,), shape=shape), Looking(), clip, 60)
        places = kept(masks.upsample(progress.seeds[0]).values, 0.2).nonzero().float()
        spread[shape] = float((places / torch.tensor([FRAMES, HEIGHT, WIDTH])).var(0).sum())
    assert spread[True] < spread[False]


@pytest.mark.parametrize(
    ("scores", "misfits", "there"),
    [
        ([0.9] * 30, [0.1] * 30, True),
        ([0.9] * 29, [0.1] * 29, False),
        ([0.9] * 30, [0.8] * 30, False),
        ([n / 100 for n in range(30)], [0.1] * 30, False),
        ([0.9] * 30, [0.4 - n / 100 for n in range(30)], False),
    ],
)
def test_arrived_is_a_plateau_of_a_near_binary_mask(scores: list[float], misfits: list[float], there: bool) -> None:
    assert arrived(scores, misfits) is there
