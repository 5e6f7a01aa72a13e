"""Train "motion-primitives": python -m training.train --seed 0 --out DIR

Writes DIR/weights.safetensors and DIR/labels.txt: the moving average of the weights, from which training goes on
with `--from DIR` as a further sitting. DIR/checkpoint.pt is written as often, and on Ctrl-C; `--resume` goes on from it
as if nothing had happened.
"""

from __future__ import annotations

import argparse
import math
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from actionlens.generated_clips.labels import CLASSES, STILL
from handlers.models.architectures.motion_cnn import MotionCNN
from training.averages import Average
from training.batches import IGNORED, Batch, Labels, Replay, fresh_batches, normalise
from training.filters import give_back, half_size, take_over

BATCH = 16


#: Learning rate after the warm-up; it falls to 0 over all stages.
RATE = 2e-3

#: How much of the moving average of the weights each step keeps.
KEEP = 0.996


@dataclass(frozen=True, slots=True)
class Stage:
    """`steps` optimiser steps on `size` x `size` clips (`cells` x `cells` features). `fresh` clips of each batch are
    new, the others replayed; the first `plain` batches contain easy clips, fewer and fewer."""

    size: int
    cells: int
    steps: int
    fresh: int = BATCH // 2
    plain: int = 0


#: The network sees half-size frames through a half-size first layer, so at 56 px exactly what the published network
#: sees of a full frame's 2 x 2 means. Most steps are cheaper ones at still less.
STAGES = (Stage(size=48, cells=6, steps=4000, plain=80), Stage(size=56, cells=7, steps=4000))


def learning_rate(step: int, steps: int, rate: float = RATE) -> float:
    """At `step` of `steps`: warm-up over the first 2 % to `rate`, then a cosine to 0."""
    return rate * min(1.0, (step + 1) / (0.02 * steps)) * 0.5 * (1 + math.cos(math.pi * step / steps))


def save(weights: dict[str, Tensor], folder: Path) -> None:
    """Write the weights and the class names, in logit order."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "weights.safetensors")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")


class Trainee:
    """The model, its training-only second head, the optimiser, and how many steps they have done.

    It has a first layer for half-size frames; `weights` puts the full-size one in its place. `start`: folder with the
    weights of an earlier sitting.
    """

    def __init__(self, seed: int, start: Path | None) -> None:
        torch.manual_seed(seed)
        self.model = MotionCNN(len(CLASSES))
        self.first = convolution(self.model)
        narrow = half_size(self.first)
        if start is not None:
            self.model.load_state_dict(load_file(start / "weights.safetensors"))
            give_back(self.first, narrow)
        self.model.features[0] = narrow
        self.cell_classifier = nn.Linear(self.model.head.in_features, len(CLASSES))
        self.rate = RATE if start is None else RATE / 2
        self.done = 0
        # Measured 15-40 % faster than the default layout; the weights are the same numbers.
        self.model = self.model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        learnt = [*self.model.parameters(), *self.cell_classifier.parameters()]
        self.optimiser = torch.optim.AdamW(learnt, weight_decay=0.02, fused=True)
        self.average = Average(self.model, KEEP)

    def weights(self) -> dict[str, Tensor]:
        """The full-size model's state so far, averaged over the last steps, float32."""
        state = {name: value.contiguous() for name, value in self.average.state.items()}
        narrow = half_size(self.first)
        narrow.load_state_dict({"weight": state["features.0.weight"]})
        take_over(self.first, narrow)
        return state | {"features.0.weight": self.first.weight.detach().contiguous()}

    def update(self, loss: Tensor, rate: float) -> None:
        """One optimiser step at learning rate `rate`."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.done += 1
        self.average.update()

    def store(self, path: Path) -> None:
        """Write a checkpoint; a process killed meanwhile leaves the last one."""
        state = {
            "done": self.done,
            "model": self.model.state_dict(),
            "average": self.average.state,
            "places": self.cell_classifier.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.state = state["average"]
        self.cell_classifier.load_state_dict(state["places"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["done"])


def convolution(model: MotionCNN) -> nn.Conv3d:
    """The first layer."""
    first = model.features[0]
    assert isinstance(first, nn.Conv3d)
    return first


def train(seed: int, folder: Path, scale: float, start: Path | None, resume: bool) -> None:
    """Run all stages, or the last one from the weights in `start`. `scale` multiplies the number of steps."""
    folder.mkdir(parents=True, exist_ok=True)
    trainee, checkpoint, before = Trainee(seed, start), folder / "checkpoint.pt", 0
    if resume and checkpoint.exists():
        trainee.load(checkpoint)
    wanted = STAGES if start is None else STAGES[-1:]
    stages = [replace(stage, steps=max(1, round(stage.steps * scale))) for stage in wanted]
    steps = sum(stage.steps for stage in stages)
    try:
        for stage in stages:
            run_stage(trainee, stage, seed, before, steps, folder)
            before += stage.steps
    except KeyboardInterrupt:
        trainee.store(checkpoint)
        raise SystemExit(f"stopped after {trainee.done} steps; go on with --resume") from None
    save(trainee.weights(), folder)
    checkpoint.unlink(missing_ok=True)


def losses(model: MotionCNN, cell_classifier: nn.Linear, batch: Batch) -> tuple[Tensor, Tensor]:
    """The training loss and the clips' logits [B, classes].

    Beside the class of the clip, `cell_classifier` (used in training only) must name the motion at every cell of the
    feature map from the exact masks. That gives hundreds of answers per clip to learn from instead of one, and makes
    the features, hence the explanations, speak of where something moves.
    """
    features = model.features(normalise(batch.clips).contiguous(memory_format=torch.channels_last_3d))
    logits = model.head(features.mean(dim=(2, 3, 4)))
    labels = torch.from_numpy(batch.labels)
    clip_loss = functional.cross_entropy(logits, labels, label_smoothing=0.05)
    return clip_loss + cell_loss(cell_classifier, features, batch.cell_labels), logits.detach()


def cell_loss(cell_classifier: nn.Linear, features: Tensor, wanted: Labels) -> Tensor:
    """Of naming the motion at every cell. features: [B, C, T, H, W]. wanted: [B, T, H, W], see `Batch.cell_labels`."""
    cells = cell_classifier(features.movedim(1, -1)).flatten(0, 3)
    right = torch.from_numpy(np.ascontiguousarray(wanted)).flatten()
    weights = torch.ones(len(CLASSES))
    weights[STILL] = 0.15  # most cells show nothing: they must not outweigh those that do
    return functional.cross_entropy(cells, right, weight=weights, ignore_index=IGNORED)


def run_stage(trainee: Trainee, stage: Stage, seed: int, before: int, steps: int, folder: Path) -> None:
    """Train one stage from where `trainee` is; `before` of all `steps` steps belong to earlier stages."""
    trainee.model.train()
    done, end = trainee.done, before + stage.steps
    first = (seed + 1) * 2**32 + done * BATCH
    rng = np.random.default_rng((seed, done))
    started, seen_loss, seen_right = time.monotonic(), 0.0, 0.0
    plain = stage.plain if done == before else 0
    with closing(fresh_batches(first, stage.fresh, stage.size, stage.cells, plain)) as fresh:
        replay = Replay(rng, fresh, BATCH)
        while trainee.done < end:
            batch = replay.draw()
            loss, logits = losses(trainee.model, trainee.cell_classifier, batch)
            trainee.update(loss, learning_rate(trainee.done, steps, trainee.rate))
            replay.judge(logits.softmax(1).numpy()[np.arange(BATCH), batch.labels])
            right = (logits.argmax(1).numpy() == batch.labels)[: stage.fresh].mean()  # the first are the new ones
            made = trainee.done - done
            pace = max(0.01, 1 / made)
            seen_loss += pace * (loss.item() - seen_loss)
            seen_right += pace * (right - seen_right)
            if trainee.done % 20 == 0:
                left = (time.monotonic() - started) / made * (end - trainee.done)
                print(
                    f"{stage.size} px  step {trainee.done}/{steps}  loss {seen_loss:.3f}  "
                    f"accuracy on new clips {seen_right:.3f}  {left / 60:.1f} min left at this size",
                    flush=True,
                )
            if trainee.done % 100 == 0:
                save(trainee.weights(), folder)
                trainee.store(folder / "checkpoint.pt")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the bundled motion model.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of steps")
    parser.add_argument("--from", dest="start", type=Path, help="folder with the weights of an earlier sitting")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    train(options.seed, options.out, options.scale, options.start, options.resume)


if __name__ == "__main__":
    main()
