"""Train "motion-trn": python -m training.relations --seed 0 --out DIR

A multi-scale temporal relation network on the clips of "motion-primitives", 8 of their 16 frames. Writes
DIR/weights.safetensors, DIR/labels.txt and DIR/checkpoint.pt, from which `--resume` goes on. With `--evaluate` it
measures such weights on held-out clips instead.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from handlers.models.trn import MultiScaleTRN
from training.averages import Average
from training.batches import IGNORED, Batch, Clips, flipped, normalise
from training.clips import HELD_OUT_SEED, generate
from training.evaluate import print_confusion
from training.labels import CLASSES, REVERSE_TIME
from training.regression import fit_last_layers
from training.train import learning_rate, save
from training.waves import start_with_drift, start_with_waves

FRAMES, SIZE, CELLS = 8, 48, 6
CHANNELS, WIDTH, HIDDEN, BATCH = (16, 32, 64), 120, 160, 32

#: Seeds of the training clips. They are made once; flips at random make sixteen of each.
SEEDS = range(60_000_000, 60_008_000)

RATE = 1e-3

#: How much of the moving average of the weights each step keeps.
KEEP = 0.98

#: Which of a clip's 16 frames the model sees: as the service spreads 8 over 16.
SEEN = np.linspace(0, 15, FRAMES).round().astype(int)


def build() -> MultiScaleTRN:
    """The network with the arguments of its card."""
    return MultiScaleTRN(len(CLASSES), CHANNELS, CELLS, WIDTH, HIDDEN, FRAMES)


def seen(clips: Clips) -> Tensor:
    """The model's view of uint8 RGB clips [B, 16, S, S, 3]: float32 [B, 3, 8, S, S]."""
    return normalise(clips[:, SEEN])


def training_clips(path: Path, seeds: range = SEEDS) -> Batch:
    """The clips of the seeds, of their frames those that the model sees; kept in a file. Without places."""
    if not path.exists():
        clips = np.empty((len(seeds), FRAMES, SIZE, SIZE, 3), np.uint8)
        labels = np.empty(len(seeds), np.int64)
        for index, seed in enumerate(seeds):
            sample = generate(seed, size=SIZE)
            clips[index], labels[index] = sample.clip[SEEN], sample.label
        np.savez(path, clips=clips, labels=labels)
    with np.load(path) as stored:
        clips, labels = stored["clips"], stored["labels"]
    return Batch(clips, labels, np.full((len(labels), FRAMES, 1, 1), IGNORED))


def start_with_motion(model: MultiScaleTRN, clips: Batch) -> float:
    """Make the features waves in space and the relations their drift (see training.waves), and fit the last layers to
    these clips and to the same reversed in time. Returns the share of them that is answered right."""
    vector = model.backbone.vector[0]
    assert isinstance(vector, nn.Conv3d)
    start_with_waves(vector)
    for relation in model.consensus.used(FRAMES):
        start_with_drift(relation, WIDTH)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    with torch.inference_mode():
        for norm in norms:
            norm.momentum = None  # the plain mean over all that is seen
        model.train()
        for first in range(0, min(256, len(clips)), BATCH):
            model.frame_features(normalise(clips.clips[first : first + BATCH]))
        for norm in norms:
            norm.momentum = 0.1
        model.eval()
        parts = range(0, len(clips), BATCH)
        features = torch.cat([model.frame_features(normalise(clips.clips[k : k + BATCH])) for k in parts])
    reverse = np.array(REVERSE_TIME)[clips.labels]
    labels = torch.from_numpy(np.concatenate((clips.labels, reverse)))
    features = torch.cat((features, features.flip(1))).clone()
    fit_last_layers(model.consensus, features, labels)
    with torch.inference_mode():
        answers = torch.cat([model.consensus(features[k : k + 100]).argmax(1) for k in range(0, len(features), 100)])
    return float((answers == labels).float().mean())


class Trainee:
    """The model, the optimiser, and how many steps they have done."""

    def __init__(self, model: MultiScaleTRN) -> None:
        self.model = model.to(memory_format=torch.channels_last_3d).train()  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.02, fused=True)
        self.average = Average(self.model, KEEP)
        self.done = 0

    def step(self, batch: Batch, rate: float) -> float:
        """Learn from a batch, whose clips have the model's frames, at learning rate `rate`. Returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        logits = self.model(normalise(batch.clips))
        loss = functional.cross_entropy(logits, torch.from_numpy(batch.labels), label_smoothing=0.05)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.average.update()
        self.done += 1
        return loss.item()

    def weights(self) -> dict[str, Tensor]:
        """The model's state averaged over the last steps."""
        return {name: value.contiguous() for name, value in self.average.state.items()}

    def store(self, path: Path) -> None:
        """Write a checkpoint; a process killed meanwhile leaves the last one."""
        parts = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        torch.save({"done": self.done, "average": self.average.state, **parts}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state, self.done = state["average"], int(state["done"])


def train(seed: int, folder: Path, steps: int, resume: bool) -> None:
    """Train from the closed-form start, or from DIR/checkpoint.pt, which, as the weights, is written every 25 steps."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    clips, checkpoint, model = training_clips(folder / "clips.npz"), folder / "checkpoint.pt", build()
    resumed = resume and checkpoint.exists()
    if not resumed:
        print(f"start: {start_with_motion(model, clips):.3f} of the training clips", flush=True)
    trainee = Trainee(model)
    if resumed:
        trainee.load(checkpoint)
    else:
        trainee.store(checkpoint)
        save(trainee.weights(), folder)
    rng = np.random.default_rng((seed, trainee.done))
    started, first, mean = time.monotonic(), trainee.done, 0.0
    while trainee.done < steps:
        drawn = rng.choice(len(clips), BATCH, replace=False)
        batch = flipped(rng, Batch(clips.clips[drawn], clips.labels[drawn], clips.places[drawn]))
        loss = trainee.step(batch, learning_rate(trainee.done, steps, RATE))
        mean += max(0.02, 1 / (trainee.done - first)) * (loss - mean)
        if trainee.done % 25 == 0 or trainee.done == steps:
            left = (time.monotonic() - started) / (trainee.done - first) * (steps - trainee.done)
            print(f"step {trainee.done}/{steps}  loss {mean:.3f}  {left / 60:.1f} min left", flush=True)
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
            table[sample.label, int(model(seen(sample.clip[None])).argmax())] += 1
    print_confusion(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the bundled temporal relation network.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/motion-trn"))
    parser.add_argument("--steps", type=int, default=800)
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
