"""Cost of spatio-temporal perturbation: python -m benchmarks.perturbation [--rounds 5] [--clips 4]

First the cost of one iteration in units of one plain forward F of the same network, A B A B in one process, medians of
process time on one thread: as it is done here, and with autograd through network, perturbation and masks. Then what
early stopping saves of the published 2000 iterations, and the insertion score with and without it (share of the
voxels put into the wholly blurred clip in the order of the mask -> area under the target's probability): per clip and
area, and over all of them. Two minutes of one core for each.
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

from benchmarks.held_out import moving_samples
from benchmarks.networks import network
from handlers.explainers.perturbation import Ascent, Masks, PerturbationPlan, Progress, Score, blurred
from handlers.explainers.perturbation.smooth_max import SHARPNESS, SmoothMax
from handlers.malloc import keep_freed_memory
from handlers.models.action_model import ActionModel, build
from handlers.relevance import trace
from handlers.tensor_files.weights import read_weights
from training.clips import HELD_OUT_SEED, generate

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
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
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
