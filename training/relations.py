"""Train "motion-trn": python -m training.relations --seed 0 --out DIR

A multi-scale temporal relation network on the clips of "motion-primitives", whose 16 frames it sees as eight snippets
of two. Writes DIR/weights.safetensors, DIR/labels.txt and DIR/checkpoint.pt, from which `--resume` goes on. With
`--evaluate` it measures such weights on held-out clips instead.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from actionlens.generated_clips.clips import HELD_OUT_SEED, generate
from actionlens.generated_clips.labels import CLASSES
from handlers.models.architectures.trn import MultiScaleTRN
from training.averages import Average
from training.batches import Batch, flipped, make_batch, normalise
from training.evaluate import print_confusion
from training.filters import start_with_motion
from training.train import cell_loss, learning_rate, save

SNIPPET, SNIPPETS, SIZE, CELLS = 2, 8, 48, 6
CHANNELS, WIDTH, HIDDEN, BATCH = (24, 48, 64), 120, 160, 32

#: Seeds of the training clips. They are made once; flips at random make sixteen of each.
SEEDS = range(60_000_000, 60_024_000)

RATE = 2e-3

#: How much of the moving average of the weights each step keeps.
KEEP = 0.995

_PART = 200


def build() -> MultiScaleTRN:
    """The network with the arguments of its card; its first layer sees at once what moves (training.filters)."""
    model = MultiScaleTRN(len(CLASSES), CHANNELS, CELLS, WIDTH, HIDDEN, SNIPPETS, SNIPPET)
    first = model.backbone.features[0]
    assert isinstance(first, nn.Conv3d)
    start_with_motion(first)
    return model


def _part(seeds: range) -> Batch:
    return make_batch(seeds, SIZE, CELLS)


def training_clips(folder: Path, seeds: range = SEEDS, processes: int = 2) -> Batch:
    """The clips of the seeds with the labels of their cells, mapped from files in `folder`, which are made once."""
    names = [folder / f"{name}.npy" for name in ("clips", "labels", "places")]
    if not names[-1].exists():
        folder.mkdir(parents=True, exist_ok=True)
        parts = [seeds[first : first + _PART] for first in range(0, len(seeds), _PART)]
        clips = np.lib.format.open_memmap(names[0], "w+", np.uint8, (len(seeds), 16, SIZE, SIZE, 3))
        labels = np.empty(len(seeds), np.int64)
        cell_labels = np.empty((len(seeds), 16, CELLS, CELLS), np.int64)
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for first, part in zip(range(0, len(seeds), _PART), pool.imap(_part, parts), strict=True):
                here = slice(first, first + len(part))
                clips[here], labels[here], cell_labels[here] = part.clips, part.labels, part.cell_labels
                print(f"clips {first + len(part)}/{len(seeds)}", end="\r", flush=True)
        clips.flush()
        np.save(names[1], labels)
        np.save(names[2], cell_labels)
    clips, labels, cell_labels = (np.load(name, mmap_mode="c") for name in names)
    return Batch(clips, labels, cell_labels)


class Trainee:
    """The model, its training-only second head, the optimiser, and how many steps they have done."""

    def __init__(self, model: MultiScaleTRN) -> None:
        self.model = model.to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
        self.cell_classifier = nn.Linear(CHANNELS[-1], len(CLASSES))
        learnt = [*self.model.parameters(), *self.cell_classifier.parameters()]
        self.optimiser = torch.optim.AdamW(learnt, weight_decay=0.02, fused=True)
        self.average = Average(self.model, KEEP)
        self.done = 0

    def step(self, batch: Batch, rate: float, rng: np.random.Generator) -> tuple[float, float]:
        """Learn from a batch at learning rate `rate`. Returns the loss of whole clips and the share answered right.

        The loss has three parts: the class from all snippets; the class from some of them, so that a few of the scales
        alone know something and a part of a clip has a value (ESV); the motion at every cell of the backbone's last
        layer, as in training.train.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        labels = torch.from_numpy(batch.labels)
        clips = normalise(batch.clips).contiguous(memory_format=torch.channels_last_3d)
        maps = self.model.backbone.maps(clips)
        vectors = self.model.backbone.vectors(maps)
        count = int(rng.integers(2, SNIPPETS))
        some = np.sort(rng.choice(SNIPPETS, count, replace=False))
        logits, fewer = self.model.consensus(vectors), self.model.consensus(vectors[:, torch.from_numpy(some)])
        whole = functional.cross_entropy(logits, labels, label_smoothing=0.05)
        part = functional.cross_entropy(fewer, labels, label_smoothing=0.05)
        cell_term = cell_loss(self.cell_classifier, maps, batch.cell_labels[:, ::SNIPPET])
        self.optimiser.zero_grad()
        (whole + 0.5 * part + cell_term).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.average.update()
        self.done += 1
        return whole.item(), float((logits.argmax(1) == labels).float().mean())

    def weights(self) -> dict[str, Tensor]:
        """The model's state averaged over the last steps."""
        return {name: value.contiguous() for name, value in self.average.state.items()}

    def store(self, path: Path) -> None:
        """Write a checkpoint; a process killed meanwhile leaves the last one."""
        parts = {
            "model": self.model.state_dict(),
            "places": self.cell_classifier.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save({"done": self.done, "average": self.average.state, **parts}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.cell_classifier.load_state_dict(state["places"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state, self.done = state["average"], int(state["done"])


def train(seed: int, folder: Path, steps: int, resume: bool, seeds: range = SEEDS) -> None:
    """Train from the start, or from DIR/checkpoint.pt, which, as the weights, is written every 100 steps."""
    torch.manual_seed(seed)
    clips, checkpoint = training_clips(folder, seeds), folder / "checkpoint.pt"
    trainee = Trainee(build())
    if resume and checkpoint.exists():
        trainee.load(checkpoint)
    rng = np.random.default_rng((seed, trainee.done))
    started, first, mean, share = time.monotonic(), trainee.done, 0.0, 0.0
    while trainee.done < steps:
        drawn = np.sort(rng.choice(len(clips), min(BATCH, len(clips)), replace=False))
        batch = flipped(rng, Batch(clips.clips[drawn], clips.labels[drawn], clips.cell_labels[drawn]))
        loss, right = trainee.step(batch, learning_rate(trainee.done, steps, RATE), rng)
        pace = max(0.01, 1 / (trainee.done - first))
        mean, share = mean + pace * (loss - mean), share + pace * (right - share)
        if trainee.done % 100 == 0 or trainee.done == steps:
            left = (time.monotonic() - started) / (trainee.done - first) * (steps - trainee.done)
            print(
                f"step {trainee.done}/{steps}  loss {mean:.3f}  accuracy {share:.3f}  {left / 60:.1f} min left",
                flush=True,
            )
            trainee.store(checkpoint)
            save(trainee.weights(), folder)


def evaluate(folder: Path, first: int, count: int) -> None:
    """Accuracy and confusion on `count` held-out clips."""
    model = build().eval()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    table = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    with torch.inference_mode():
        for seed in range(HELD_OUT_SEED + first, HELD_OUT_SEED + first + count):
            sample = generate(seed, size=SIZE)
            table[sample.label, int(model(normalise(sample.clip[None])).argmax())] += 1
    print_confusion(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the bundled temporal relation network.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/motion-trn"))
    parser.add_argument("--steps", type=int, default=16000)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--evaluate", action="store_true", help="measure the weights in --out")
    parser.add_argument("--first", type=int, default=0, help="number of the first held-out clip")
    parser.add_argument("--count", type=int, default=2000, help="held-out clips")
    options = parser.parse_args()
    if options.evaluate:
        evaluate(options.out, options.first, options.count)
    else:
        train(options.seed, options.out, options.steps, options.resume)


if __name__ == "__main__":
    main()
