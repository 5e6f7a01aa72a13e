"""Cost of spatio-temporal perturbation: python -m benchmarks.perturbation [--rounds 5] [--clips 4] [--published]

First the cost of one iteration in units of one plain forward F of the same network, A B A B in one process, medians of
process time on one thread: as it is done here, and with autograd through network, perturbation and masks. Then what
early stopping saves of the published 2000 iterations, and the insertion score with and without it (share of the
voxels put into the wholly blurred clip in the order of the mask -> area under the target's probability): per clip and
area, and over all of them. Two minutes of one core for each.

--published: in place of all that, what this optimiser reaches against the published one of the comprehensive study, on
the same clips: stochastic gradient descent (rate 0.05, momentum and dampening 0.9) for 2000 iterations on -100 log p +
300 (sort(m) - r)^2 of seeds that start at 1, raised by a mean weighted by exponentials of seeds around which zeros lie,
with the area counted on the mask and what lies around it. Step 7, sigma 11, blur and pyramid are the same for both. It
is written anew here, from the published description, for this comparison alone. Per clip and area: the probability with
the cut alone, hard and with edges softened by 1.5 pixels, the soft mask's area as a multiple of the one asked for, its
misfit, the perimeter of the cut, and the time. Seven minutes of one core for each clip and area.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from actionlens.generated_clips.clips import HELD_OUT_SEED, generate
from benchmarks.held_out import moving_samples
from benchmarks.networks import network
from handlers.explainers.perturbation import (
    Ascent,
    Masks,
    PerturbationPlan,
    Progress,
    Pyramid,
    Score,
    blurred,
    kept,
    perimeter,
    smoothed,
)
from handlers.explainers.perturbation.smooth_max import SHARPNESS, SmoothMax
from handlers.malloc import keep_freed_memory
from handlers.models.action_model import ActionModel, build
from handlers.relevance import trace
from handlers.tensor_files.weights import read_weights

_MODEL = Path(__file__).resolve().parents[1] / "model_store" / "motion-primitives"
_PUBLISHED = 2000
_POINTS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="small 16f,motion-primitives,I3D 8f")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=4, help="clips of the comparison with 2000 iterations; 0: skip")
    parser.add_argument("--areas", type=float, nargs="+", default=[0.05], help="of that comparison")
    parser.add_argument("--published", action="store_true", help="compare with the published optimiser, nothing else")
    parser.add_argument("--iterations", type=int, default=_PUBLISHED, help="of the published optimiser")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if options.published:
        published(options.clips, tuple(options.areas), options.iterations)
        return
    for name in filter(None, options.networks.split(",")):
        costs(name, options.rounds)
    if options.clips:
        stopping(options.clips, tuple(options.areas))


def costs(name: str, rounds: int) -> None:
    """Print what one iteration on a network costs, and the mask's operators alone."""
    net, clip = bundled() if name == "motion-primitives" else network(name)
    plan = PerturbationPlan()
    masks = Masks(plan, clip[0])
    pyramid = blurred(clip[0], 0.18 * clip.shape[3], 8)
    ascent = Ascent(Score(trace(net), 0), pyramid, masks, plan)
    state = ascent.start(clip)
    operator = SmoothMax(clip.shape[3], clip.shape[4], plan.step, plan.sigma, clip)
    mask, sums = operator.upsample(state.seeds)

    def plain() -> object:
        with torch.no_grad():
            return net(clip)

    def step(areas: tuple[float, ...]) -> object:
        with torch.no_grad():
            return [ascent.step(state, area, 0) for area in areas]

    def smooth_max() -> object:
        operator.upsample(state.seeds)
        return operator.pull(mask, state.seeds, sums)

    found = timed(
        {
            "F": plain,
            "1 area": lambda: step((0.1,)),
            "3 areas": lambda: step((0.01, 0.05, 0.1)),
            "1 area, autograd": lambda: by_autograd(net, clip, operator, 1),
            "3 areas, autograd": lambda: by_autograd(net, clip, operator, 3),
            "smooth maximum": smooth_max,
        },
        rounds,
    )
    base = found.pop("F")
    print(
        f"{name}: F = {base * 1e3:.0f} ms; " + "; ".join(f"{k} {v / base:.2f} F" for k, v in found.items()), flush=True
    )


def timed(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median process time of each, taking turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return {name: median(t[1:]) for name, t in times.items()}


def by_autograd(net: nn.Module, clip: Tensor, operator: SmoothMax, areas: int) -> Tensor:
    """The same step as it is usually written: autograd through everything, the mean weighted by exponentials as the
    smooth maximum, a full sort, weights that want gradients."""
    *_, frames, height, width = clip.shape
    seeds = torch.full((areas * frames, 1, *operator.grid), 0.5, requires_grad=True)
    taps = operator._kernel.shape[-1]
    spread = torch.nn.functional.unfold(seeds, taps, padding=taps // 2)[:, None]
    weighed = spread * (1 + operator._kernel.flatten(1).log() / SHARPNESS).view(1, -1, taps * taps, 1)
    weights = (SHARPNESS * weighed).exp()
    fine = torch.nn.functional.pixel_shuffle(
        ((weights * weighed).sum(2) / weights.sum(2)).view(areas * frames, -1, *operator.grid), operator.step
    )
    mask = fine[:, 0, :height, :width].reshape(areas, 1, frames, height, width)
    result = net(clip * mask).log_softmax(1)[:, 0].sum()
    ordered = mask.flatten(1).sort(1).values
    (result - (ordered**2).mean()).backward()
    assert seeds.grad is not None
    for parameter in net.parameters():
        parameter.grad = None
    return seeds.grad


def bundled() -> tuple[nn.Module, Tensor]:
    """The bundled model's network and a clip."""
    model = ActionModel.load(_MODEL)
    return build(model.card, read_weights(_MODEL / model.card.weights.file)), model.prepare(
        [generate(HELD_OUT_SEED + 1).clip]
    )


def stopping(clips: int, areas: tuple[float, ...]) -> None:
    """Print iterations and insertion scores with early stopping and after the published number of iterations."""
    model = ActionModel.load(_MODEL)
    used: list[int] = []
    gained: list[float] = []
    for number, sample in enumerate(islice(moving_samples(), clips)):
        clip = model.prepare([sample.clip])[0]
        masks = Masks(PerturbationPlan(), clip)
        pyramid = blurred(clip, 0.18 * clip.shape[2], 8)
        ascent = Ascent(Score(model.program, sample.label), pyramid, masks, PerturbationPlan())
        for area in areas:
            iterations, early, late = stopped(ascent, masks, clip, area)
            used.append(iterations)
            gained.append(early - late)
            print(
                f"clip {number}, {model.card.labels[sample.label]}, area {area}: {iterations} of {_PUBLISHED} "
                f"iterations; insertion {early:.4f}, without stopping {late:.4f}",
                flush=True,
            )
    print(
        f"{len(used)} masks: {median(used):.0f} iterations in the median, {max(used)} at most, "
        f"{1 - sum(used) / len(used) / _PUBLISHED:.0%} of {_PUBLISHED} saved in all; insertion "
        f"{sum(gained) / len(gained):+.4f} in the mean against not stopping, {min(gained):+.4f} at worst"
    )


def stopped(ascent: Ascent, masks: Masks, clip: Tensor, area: float) -> tuple[int, float, float]:
    """(iterations until early stopping, insertion score then, insertion score after the published number)."""
    progress = Progress.start(ascent, 1, clip)
    with torch.no_grad():
        while progress.running(early_stop=True) and progress.iteration < _PUBLISHED:
            progress = progress.next(ascent, (area,), early_stop=True)
        used, early = progress.iteration, insertion(ascent, masks.upsample(progress.seeds[0]).values)
        # Stopping does not change the way, so the long run goes on from here.
        while progress.iteration < _PUBLISHED:
            progress = progress.next(ascent, (area,), early_stop=False)
        return used, early, insertion(ascent, masks.upsample(progress.seeds[0]).values)


def published(clips: int, areas: tuple[float, ...], iterations: int) -> None:
    """Print what either optimiser reaches on each clip and area."""
    model = ActionModel.load(_MODEL)
    net = build(model.card, read_weights(_MODEL / model.card.weights.file)).eval().requires_grad_(False)
    plan = PerturbationPlan()
    for number, sample in enumerate(islice(moving_samples(), clips)):
        clip = model.prepare([sample.clip])[0]
        masks = Masks(plan, clip)
        pyramid = blurred(clip, 0.18 * clip.shape[2], 8)
        ascent = Ascent(Score(model.program, sample.label), pyramid, masks, plan)
        for area in areas:
            for name in ("here", "published"):
                started = time.process_time()
                if name == "here":
                    mask = here(ascent, masks, clip, area)
                else:
                    mask = descended(net, clip, pyramid, sample.label, area, iterations)
                took = time.process_time() - started
                cut = kept(mask, area)
                hard, soft = (ascent.probability(m) for m in (cut.to(mask), smoothed(cut.to(mask)[None], 1.5)[0]))
                print(
                    f"clip {number}, {model.card.labels[sample.label]}, area {area}, {name}: p {hard:.3f} hard, "
                    f"{soft:.3f} softened, {ascent.probability(mask):.3f} soft mask; soft area "
                    f"{float(mask.mean()) / area:.2f} times, misfit {masks.misfit(mask, area):.2f}, perimeter "
                    f"{perimeter(cut)}; {took:.0f} s",
                    flush=True,
                )


def here(ascent: Ascent, masks: Masks, clip: Tensor, area: float) -> Tensor:
    """The soft mask [T, H, W] as the service finds it."""
    progress = Progress.start(ascent, 1, clip)
    with torch.no_grad():
        while progress.running(early_stop=True) and progress.iteration < _PUBLISHED:
            progress = progress.next(ascent, (area,), early_stop=True)
        return masks.upsample(progress.seeds[0]).values


def descended(net: nn.Module, clip: Tensor, pyramid: Pyramid, target: int, area: float, iterations: int) -> Tensor:
    """The soft mask [T, H, W] of the published optimiser."""
    plan = PerturbationPlan()
    _, frames, height, width = clip.shape
    margin = round(plan.sigma)
    # Room around the frame in which the mask counts and nothing is seen, in whole cells, with zeros as seeds.
    around = -(-margin // plan.step)
    rows, columns = -(-height // plan.step), -(-width // plan.step)
    full = SmoothMax((rows + 2 * around) * plan.step, (columns + 2 * around) * plan.step, plan.step, plan.sigma, clip)
    taps = full._kernel.shape[-1]
    # exp(-20 (1 - k)) is what the operator keeps; the published mean weighs with k itself.
    nearness = 1 + full._kernel.flatten(1).log() / SHARPNESS
    edge, top, left = around * plan.step - margin, around * plan.step, around * plan.step
    seeds = torch.ones((frames, 1, rows, columns), requires_grad=True)
    optimiser = torch.optim.SGD([seeds], lr=0.05, momentum=0.9, dampening=0.9)

    def raised() -> Tensor:
        padded = torch.nn.functional.pad(seeds, (around,) * 4)
        spread = torch.nn.functional.unfold(padded, taps, padding=taps // 2)[:, None]
        weighed = spread * nearness.view(1, -1, taps * taps, 1)
        means = (weighed * (SHARPNESS * weighed).softmax(2)).sum(2).view(frames, -1, *full.grid)
        fine = torch.nn.functional.pixel_shuffle(means, plan.step)[:, 0]
        return fine[:, edge : top + height + margin, edge : left + width + margin].clamp(0, 1)

    def seen(outer: Tensor) -> Tensor:
        return outer[:, margin : margin + height, margin : margin + width]

    for _ in range(iterations):
        outer = raised()
        mask = seen(outer)
        clips, slopes = pyramid.apply(mask.detach()[None])
        # The pyramid's own derivative, so that autograd sees a function of the mask.
        shown = clips + slopes * (mask - mask.detach())
        wanted = (torch.arange(outer.numel()) >= int(outer.numel() * (1 - area))).to(outer)
        area_term = ((outer.flatten().sort().values - wanted) ** 2).mean()
        energy = 300 * area_term - 100 * net(shown).log_softmax(1)[0, target]
        optimiser.zero_grad()
        energy.backward()
        optimiser.step()
        with torch.no_grad():
            seeds.clamp_(0, 1)
    with torch.no_grad():
        return seen(raised())


def insertion(ascent: Ascent, values: Tensor) -> float:
    """Area under the target's probability over the share of the voxels that is put in."""
    order = values.flatten().argsort(descending=True)
    found = [ascent.probability(torch.zeros_like(values))]
    for share in _POINTS:
        mask = torch.zeros(values.numel())
        mask[order[: round(share * len(order))]] = 1
        found.append(ascent.probability(mask.view_as(values)))
    return float(np.trapezoid(found, (0.0, *_POINTS)))


if __name__ == "__main__":
    main()
