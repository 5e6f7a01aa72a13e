"""Train "motion-primitives" 2: python -m training.refine --clips CLIPS --out DIR [--resume]

Starts from the layers of version 1 (training.train) that look around in space, with a first layer for 56 x 56 pixels
and an eleventh class, on the clips of training.clip_sets. Time is looked at by the first two layers alone, five frames
each: what explaining costs follows the layers that look around in time, and early ones have few channels. Beside the
answer, the loss says where the evidence for it has to lie (training.explained). Writes DIR/weights.safetensors (the
moving average), DIR/labels.txt and DIR/checkpoint.pt, from which `--resume` goes on. Calibrate with
`python -m training.calibrate`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from actionlens.generated_clips.labels import NAMES, STILL
from handlers.models.architectures.motion_cnn import MotionCNN
from training.averages import Average
from training.batches import IGNORED, normalise
from training.clip_sets import ClipSet, Masked, joined, turned
from training.explained import evidence_loss, layers, moves, pixel_relevance, relevance_loss
from training.filters import give_back
from training.train import learning_rate

BATCH, WEBCAM = 16, 9

#: Clips of a batch whose relevance is computed down to the pixels.
EXPLAINED = 3

KEEP = 0.996


#: Frames that each layer takes: nine are seen at a time.
SPANS = (5, 5, 1, 1, 1)


def build() -> MotionCNN:
    """The network for 56 x 56 pixels and eleven classes."""
    return MotionCNN(len(NAMES), half_size=True, spans=SPANS)


def start(version_1: Path) -> MotionCNN:
    """The network with what it can take over from version 1: its first three layers, stretched or pressed together in
    time, and those behind them that look around in space."""
    known, model = load_file(version_1), build()
    state = model.state_dict()
    wide = nn.Conv3d(3, 24, (3, 10, 10), bias=False)
    wide.load_state_dict({"weight": known["features.0.weight"]})
    narrow = nn.Conv3d(3, 24, (3, 5, 5), bias=False)
    give_back(wide, narrow)
    known["features.0.weight"] = narrow.weight.detach()
    # Version 1 looks around in time alone at 12, 18 and 24.
    for own, old in zip((0, 3, 6, 9, 12), (0, 3, 6, 9, 15), strict=True):
        weight = known[f"features.{old}.weight"]
        beside = (SPANS[own // 3] - weight.shape[2]) // 2
        if beside < 0:
            weight = weight.sum(2, keepdim=True)
        state[f"features.{own}.weight"] = functional.pad(weight, (0, 0, 0, 0, max(beside, 0), max(beside, 0)))
        for field in ("weight", "bias", "running_mean", "running_var"):
            state[f"features.{own + 1}.{field}"] = known[f"features.{old + 1}.{field}"]
    model.load_state_dict(state)
    return model


@dataclass(frozen=True, slots=True)
class Recipe:
    """`steps` of batches of 16 at a learning rate that rises to `rate` and falls to 0; the loss of the relevance of
    pixels counts `relevance` times in the last `explained` steps, and not at all before."""

    steps: int = 3000
    rate: float = 1e-3
    explained: int = 800
    relevance: float = 0.3


class Source:
    """Draws rows of one set, half of them more often the more wrong the last answer to them was."""

    def __init__(self, clips: ClipSet) -> None:
        self.clips = clips
        self.doubt = np.ones(len(clips), np.float32)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """`count` row numbers."""
        hard = self.doubt**2 + 0.02
        evenly = rng.choice(len(self.clips), count - count // 2, replace=False)
        return np.concatenate((evenly, rng.choice(len(self.clips), count // 2, replace=False, p=hard / hard.sum())))


class Trainee:
    """The model, its training-only second head, the optimiser, and how many steps they have done."""

    def __init__(self, model: MotionCNN, sources: list[Source]) -> None:
        self.model = model.to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
        self.sources = sources
        self.cell_classifier = nn.Linear(model.head.in_features, len(NAMES))
        learnt = [*self.model.parameters(), *self.cell_classifier.parameters()]
        self.optimiser = torch.optim.AdamW(learnt, weight_decay=0.02, fused=True)
        self.average = Average(self.model, KEEP)
        self.done = 0

    def losses(self, batch: Masked, relevance: float) -> tuple[dict[str, Tensor], Tensor]:
        """The parts of the loss by name, and the clips' logits [B, 11]."""
        labels, places = torch.from_numpy(batch.labels), torch.from_numpy(batch.cell_labels())
        clips = normalise(batch.clips).contiguous(memory_format=torch.channels_last_3d)
        inputs = layers(self.model, clips)
        features = inputs[-1]
        logits = self.model.head(features.mean((2, 3, 4)))
        weights = torch.ones(len(NAMES))
        weights[STILL] = 0.15  # most cells show nothing: they must not outweigh those that do
        parts = {
            "clip": functional.cross_entropy(logits, labels, label_smoothing=0.03),
            "cells": functional.cross_entropy(
                self.cell_classifier(features.movedim(1, -1)).flatten(0, 3),
                places.flatten(),
                weight=weights,
                ignore_index=IGNORED,
            ),
            "evidence": evidence_loss(features, self.model.head.weight, labels, places != STILL),
        }
        masks = torch.from_numpy(batch.masks)
        some = moves(labels, masks).nonzero().flatten()[:EXPLAINED]
        if relevance and len(some):
            pixels = pixel_relevance(self.model, [value[some] for value in inputs], labels[some])
            parts["relevance"] = relevance * relevance_loss(pixels, masks[some]).mean()
        return parts, logits.detach()

    def step(self, seed: int, rate: float, relevance: float) -> dict[str, float]:
        """Learn from one batch. Returns the parts of the loss, and the share of the evenly drawn answered right."""
        rng = np.random.default_rng((seed, self.done))
        counts = (BATCH - WEBCAM, WEBCAM)
        rows = [source.draw(rng, count) for source, count in zip(self.sources, counts, strict=True)]
        drawn = [source.clips.rows(own) for source, own in zip(self.sources, rows, strict=True)]
        batch = turned(rng, joined(drawn))
        parts, logits = self.losses(batch, relevance)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        sum(parts.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.average.update()
        self.done += 1
        given = logits.softmax(1).numpy()[np.arange(BATCH), batch.labels]
        found = {name: float(part.detach()) for name, part in parts.items()}
        first = 0
        for name, source, own in zip(("rooms", "webcam"), self.sources, rows, strict=True):
            source.doubt[own] = 1 - given[first : first + len(own)]
            even = slice(first, first + len(own) - len(own) // 2)
            found[name] = float((logits.argmax(1).numpy() == batch.labels)[even].mean())
            first += len(own)
        return found

    def weights(self) -> dict[str, Tensor]:
        """The model's state averaged over the last steps."""
        return {name: value.contiguous() for name, value in self.average.state.items()}

    def store(self, path: Path) -> None:
        """Write a checkpoint; a process killed meanwhile leaves the last one."""
        state = {
            "done": self.done,
            "model": self.model.state_dict(),
            "average": self.average.state,
            "places": self.cell_classifier.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "doubt": [torch.from_numpy(source.doubt) for source in self.sources],
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. Clips that have come to a set since then count as never seen."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.state, self.done = state["average"], int(state["done"])
        self.cell_classifier.load_state_dict(state["places"])
        self.optimiser.load_state_dict(state["optimiser"])
        for source, doubt in zip(self.sources, state["doubt"], strict=True):
            source.doubt[: len(doubt)] = doubt.numpy()[: len(source.doubt)]


def save(weights: dict[str, Tensor], folder: Path) -> None:
    """Write the weights and the class names, in logit order."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "weights.safetensors")
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")


def train(seed: int, clips: Path, folder: Path, model: MotionCNN, recipe: Recipe, resume: bool) -> None:
    """All steps, or those that the checkpoint in `folder` has not done."""
    torch.manual_seed(seed)
    sources = [Source(ClipSet(clips / name)) for name in ("rooms", "webcam")]
    trainee, checkpoint = Trainee(model, sources), folder / "checkpoint.pt"
    folder.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint.exists():
        trainee.load(checkpoint)
    means: dict[str, float] = {}
    started = time.process_time(), trainee.done
    while trainee.done < recipe.steps:
        left = recipe.steps - trainee.done
        relevance = recipe.relevance if left <= recipe.explained else 0.0
        found = trainee.step(seed, learning_rate(trainee.done, recipe.steps, recipe.rate), relevance)
        means |= {name: 0.97 * means.get(name, value) + 0.03 * value for name, value in found.items()}
        if trainee.done % 25 == 0:
            pace = (time.process_time() - started[0]) / (trainee.done - started[1])
            shown = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
            print(f"step {trainee.done}/{recipe.steps}  {shown}  {pace:.2f} s of processor a step", flush=True)
        if trainee.done % 100 == 0 or trainee.done == recipe.steps:
            trainee.store(checkpoint)
            save(trainee.weights(), folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recipe = Recipe()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=Path, default=Path("out/clips"), help="folder of training.clip_sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version-1", type=Path, help="weights of version 1 to start from")
    parser.add_argument("--from", dest="start", type=Path, help="folder with weights of this network to start from")
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--rate", type=float, default=recipe.rate)
    parser.add_argument("--explained", type=int, default=recipe.explained)
    parser.add_argument("--relevance", type=float, default=recipe.relevance)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.start is not None:
        model = build()
        model.load_state_dict(load_file(options.start / "weights.safetensors"))
    else:
        model = build() if options.version_1 is None else start(options.version_1)
    recipe = Recipe(options.steps, options.rate, options.explained, options.relevance)
    train(options.seed, options.clips, options.out, model, recipe, options.resume)


if __name__ == "__main__":
    main()
