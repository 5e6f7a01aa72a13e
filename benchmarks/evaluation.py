"""Cost of insertion and deletion: python -m benchmarks.evaluation [--rounds 5] [--steps 128] [--peers]

Both curves by patches of one random map of one clip of the bundled model, 258 perturbed clips with 128 steps, in units
of one plain forward F of a single clip, and of the engine's answer E to a clip with no explanation. In turns in one
process, medians of process time on one thread:

ours: as the evaluation runs it. every clip: with the first layer run for every perturbed clip, in batches. one by one:
a mask over the whole clip and one forward for each step, as it is usually written. Then how far the peak of the
process's memory rises with 128 and with 512 steps. Half a minute for each round.

--peers: also with public tools, as far as they can do it. pytorch-grad-cam: its RemoveMostRelevantFirst and
RemoveLeastRelevantFirst at 129 percentiles each, with the blank clips as imputer (its metrics take tensors of any
shape), and the time of ROAD's own imputer for the frames of one clip at one percentile, of which the curves would need
256. Quantus: PixelFlipping, deletion alone, of all frames as one tall picture of one channel. Both call the
network as a module. They are no requirements: pip install grad-cam quantus
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.held_out import moving_samples
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine
from handlers.evaluation.common.blank_clips import blank_clip
from handlers.evaluation.common.perturbed_clips import Score, area_under, class_score, replaced
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.common.ranking import Ranking, ranked_patches
from handlers.evaluation.measures.insertion_deletion import deletion_curve, insertion_curve
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Target
from handlers.malloc import keep_freed_memory

_MODEL = Path(__file__).resolve().parents[1] / "model_store" / "motion-primitives"
Run = Callable[[], object]


class Case:
    """One clip, its blank clips and one map."""

    def __init__(self, engine: Engine, steps: int) -> None:
        sample = next(moving_samples())
        (answer,) = engine.explain([ClipRequest(sample.clip)])
        assert isinstance(answer, ClipAnswer)
        self.steps, self.engine, self.frames = steps, engine, sample.clip
        self.subject = Subject(engine.model, sample.clip, answer.logits, Target(sample.label), seed=0)
        self.clip = engine.model.prepare([sample.clip])[0]
        self.score = class_score(self.subject)
        self.values = random_map(self.subject, 0).values

    def ranking(self) -> Ranking:
        """Ranked anew, as each measure does it."""
        return ranked_patches(self.values, self.subject.seen, self.subject.generator())

    def forward(self) -> object:
        """F."""
        return self.engine.model.program.forward(self.clip[None], (), relevance=False).logits

    def answer(self) -> object:
        """E."""
        return self.engine.explain([ClipRequest(self.frames)])

    def curves(self, score: Score) -> tuple[Tensor, Tensor]:
        """Insertion and deletion, all that they need made anew."""
        blurred, grey = (blank_clip(self.subject, self.clip, kind) for kind in ("blur", "grey"))
        insertion = insertion_curve(score, self.clip, blurred, self.ranking(), self.steps)
        return insertion, deletion_curve(score, self.clip, grey, self.ranking(), self.steps)

    def every_clip(self) -> tuple[Tensor, Tensor]:
        """A score that is known to be no model's has no first layer to add up."""
        return self.curves(lambda clips: self.score(clips))

    def one_by_one(self) -> tuple[Tensor, Tensor]:
        """One mask and one forward for each step."""
        blurred, grey = (blank_clip(self.subject, self.clip, kind) for kind in ("blur", "grey"))
        ranking, found = self.ranking(), []
        for start, end in ((blurred, self.clip), (self.clip, grey)):
            scores = []
            for step in range(self.steps + 1):
                units = step * len(ranking) // self.steps
                scores.append(self.score(replaced(start, end, ranking.first(units))[None]))
            found.append(torch.cat(scores))
        return found[0], found[1]


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--peers", action="store_true", help="compare with pytorch-grad-cam and Quantus")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    case = Case(Engine.load(_MODEL), options.steps)
    with torch.no_grad():
        memory(case)
        runs: dict[str, Run] = {
            "ours": lambda: case.curves(case.score),
            "every clip": case.every_clip,
            "one by one": case.one_by_one,
        }
        if options.peers:
            runs |= peers(case)
        report(case, runs, options.rounds)


def memory(case: Case) -> None:
    """Print by how much the curves raise the peak of the process's memory, the shorter ones first."""
    for _ in range(3):
        case.answer()
    steps, before = case.steps, _peak()
    for some in (steps, 4 * steps):
        case.steps = some
        case.curves(case.score)
        print(f"{some} steps: peak memory {_peak() - before:.0f} MiB above that of single forwards", flush=True)
    case.steps = steps


def report(case: Case, runs: dict[str, Run], rounds: int) -> None:
    """Print the median cost of each way in F and E, and where they lead."""
    times: dict[str, list[float]] = {name: [] for name in ("F", "E", *runs)}
    for _ in range(rounds + 1):
        for name, run in (("F", case.forward), ("E", case.answer)):
            times[name].append(_timed(run, 10))
        for name, run in runs.items():
            times[name].append(_timed(run, 1))
    found = {name: median(taken[1:]) for name, taken in times.items()}
    print(f"F = {found['F'] * 1e3:.1f} ms, E = {found['E'] * 1e3:.1f} ms; {2 * (case.steps + 1)} perturbed clips")
    for name in runs:
        print(
            f"{name}: {found[name] / found['F']:.0f} F = {found[name] / found['E']:.0f} E; "
            f"{found[name] / found['ours']:.2f} times ours"
        )
    ours, every = case.curves(case.score), case.every_clip()
    apart = max(float((a - b).abs().max()) for a, b in zip(ours, every, strict=True))
    print(
        f"insertion {100 * area_under(ours[0]):.2f}, deletion {100 * area_under(ours[1]):.2f}; adding up the first "
        f"layer changes no point of the curves by more than {apart:.1e}"
    )


def peers(case: Case) -> dict[str, Run]:
    """The same by public tools. Raises ImportError where they are not installed."""
    from pytorch_grad_cam.metrics.perturbation_confidence import (
        PerturbationConfidenceMetric,
        RemoveLeastRelevantFirst,
        RemoveMostRelevantFirst,
    )
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer
    from quantus import PixelFlipping

    target, module = case.subject.target.index, case.engine.model.module
    blurred, grey = (blank_clip(case.subject, case.clip, kind) for kind in ("blur", "grey"))
    ranking = case.ranking()
    ranks = torch.empty(case.values.numel())
    # A value of its own for each patch, so that a percentile parts patches.
    ranks[ranking.voxels] = torch.linspace(1, 0, len(ranking)).repeat_interleave(ranking.sizes)
    relevance = ranks.view(case.values.shape).numpy()[None]
    percentiles = [100 * step / case.steps for step in range(case.steps + 1)]

    def probability(output: Tensor) -> Tensor:
        return output.softmax(-1)[target]

    def grad_cam() -> object:
        found = []
        for remove, blank in ((RemoveLeastRelevantFirst, blurred), (RemoveMostRelevantFirst, grey)):
            for percentile in percentiles:

                def imputer(clip: Tensor, mask: Tensor, blank: Tensor = blank) -> Tensor:
                    return clip * mask + blank * (1 - mask)

                metric = PerturbationConfidenceMetric(remove(percentile, imputer))
                found.append(metric(case.clip[None], relevance, [probability], module, return_diff=False))
        return found

    def road() -> object:
        imputer = RemoveMostRelevantFirst(50, NoisyLinearImputer())
        return [
            imputer(case.clip[:, t].contiguous(), torch.from_numpy(relevance[0, t])) for t in range(len(case.frames))
        ]

    # One channel, rows of all frames, and the colours of a pixel beside each other.
    tall = case.clip.permute(1, 2, 3, 0).flatten(2).flatten(0, 1).numpy()[None, None]
    each = np.repeat(relevance.reshape(1, 1, *case.values.flatten(0, 1).shape), len(case.clip), axis=3)
    flipping = PixelFlipping(
        features_in_step=tall.size // case.steps, perturb_baseline="black", disable_warnings=True, normalise=False
    )
    network = _Tall(module, case.clip.shape).eval()

    def quantus() -> object:
        return flipping(model=network, x_batch=tall, y_batch=np.array([target]), a_batch=each, channel_first=True)

    return {"pytorch-grad-cam": grad_cam, "ROAD's imputer, once": road, "Quantus, deletion alone": quantus}


class _Tall(torch.nn.Module):
    """A network of clips that is shown them as pictures of one channel, [B, 1, T * H, W * C]."""

    def __init__(self, network: torch.nn.Module, shape: torch.Size) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, pictures: Tensor) -> Any:
        channels, *size = self.shape
        return self.network(pictures.reshape(-1, *size, channels).permute(0, 4, 1, 2, 3))


def _timed(run: Run, times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        run()
    return (time.process_time() - started) / times


def _peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
