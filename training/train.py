"""Train "motion-primitives": python -m training.train --seed 0 --out DIR

Writes DIR/weights.safetensors and DIR/labels.txt. Ctrl-C saves DIR/checkpoint.pt; `--resume` goes on from it.
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
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from handlers.models.motion_cnn import MotionCNN
from training.batches import IGNORED, Batch, fresh_batches, normalise, replayed
from training.filters import half_size, take_over
from training.labels import CLASSES, STILL

BATCH = 16


@dataclass(frozen=True, slots=True)
class Stage:
    """`steps` optimiser steps on `size` x `size` clips (`cells` x `cells` features; `full`: with the full-size first
    layer). The learning rate starts at `rate` and would end near 0 at step `horizon`.

    Every generated clip is used `uses` times; the first `plain` generated batches contain easy clips, fewer and fewer.
    """

    full: bool
    size: int
    cells: int
    steps: int
    horizon: int
    rate: float
    uses: int
    plain: int = 0


#: Most steps are cheap ones at less than half resolution; a few at full resolution adapt the filters to it.
STAGES = (
    Stage(full=False, size=48, cells=6, steps=3700, horizon=3700, rate=2e-3, uses=4, plain=80),
    Stage(full=True, size=112, cells=7, steps=240, horizon=240, rate=6e-4, uses=3),
)


def learning_rate(stage: Stage, step: int) -> float:
    """Warm-up over the first 3 % of the horizon, then a cosine to 1 % of the stage's rate."""
    warm = min(1.0, (step + 1) / (0.03 * stage.horizon))
    return stage.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / stage.horizon)))


def save(weights: dict[str, Tensor], folder: Path) -> None:
    """Write the weights and the class names, in logit order."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "weights.safetensors")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")


class Trainee:
    """The model, its training-only second head, the optimiser, and how many steps they have done.

    It starts with a first layer for half-size pictures; `grow` puts the model's own in its place.
    """

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = MotionCNN(len(CLASSES))
        self.first = convolution(self.model)
        self.model.features[0] = half_size(self.first)
        self.done = 0
        self._begin()

    def _begin(self) -> None:
        # Measured 15-40 % faster than the default layout; the weights are the same numbers.
        self.model = self.model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.places = nn.Linear(self.model.head.in_features, len(CLASSES))
        learnt = [*self.model.parameters(), *self.places.parameters()]
        self.optimiser = torch.optim.AdamW(learnt, weight_decay=0.02, fused=True)

    @property
    def grown(self) -> bool:
        """Whether the model takes full-size pictures."""
        return self.model.features[0] is self.first

    def grow(self) -> None:
        """Go over to full-size pictures: same answers as on their 2 x 2 means, a fresh second head and optimiser."""
        if not self.grown:
            take_over(self.first, convolution(self.model))
            self.model.features[0] = self.first
            self._begin()

    def weights(self) -> dict[str, Tensor]:
        """The full-size model's state so far, float32."""
        if not self.grown:
            take_over(self.first, convolution(self.model))
        state = {name: value.detach().contiguous() for name, value in self.model.state_dict().items()}
        return state | {"features.0.weight": self.first.weight.detach().contiguous()}

    def update(self, loss: Tensor, rate: float) -> None:
        """One optimiser step at learning rate `rate`."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.done += 1

    def store(self, path: Path) -> None:
        """Write a checkpoint."""
        state = {
            "done": self.done,
            "grown": self.grown,
            "model": self.model.state_dict(),
            "places": self.places.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        if state["grown"]:
            self.grow()
        self.model.load_state_dict(state["model"])
        self.places.load_state_dict(state["places"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["done"])


def convolution(model: MotionCNN) -> nn.Conv3d:
    """The first layer."""
    first = model.features[0]
    assert isinstance(first, nn.Conv3d)
    return first


def train(seed: int, folder: Path, scale: float, resume: bool) -> None:
    """Run all stages. `scale` multiplies the number of steps (for a quick try)."""
    folder.mkdir(parents=True, exist_ok=True)
    trainee, checkpoint, before = Trainee(seed), folder / "checkpoint.pt", 0
    if resume and checkpoint.exists():
        trainee.load(checkpoint)
    try:
        for stage in STAGES:
            stage = replace(
                stage, steps=max(1, round(stage.steps * scale)), horizon=max(1, round(stage.horizon * scale))
            )
            if stage.full and trainee.done >= before:
                trainee.grow()
            run_stage(trainee, stage, seed, before, max(trainee.done - before, 0), folder)
            before += stage.steps
    except KeyboardInterrupt:
        trainee.store(checkpoint)
        raise SystemExit(f"stopped after {trainee.done} steps; go on with --resume") from None
    save(trainee.weights(), folder)
    checkpoint.unlink(missing_ok=True)


def losses(model: MotionCNN, places: nn.Linear, batch: Batch) -> tuple[Tensor, Tensor]:
    """The training loss and the share of right answers.

    Beside the class of the clip, `places` (used in training only) must name the motion at every cell of the feature map
    from the exact masks. That gives hundreds of answers per clip to learn from instead of one, and makes the features,
    hence the explanations, speak of the place where something moves.
    """
    features = model.features(normalise(batch.clips).contiguous(memory_format=torch.channels_last_3d))
    logits = model.head(features.mean(dim=(2, 3, 4)))
    labels = torch.from_numpy(batch.labels)
    clip_loss = functional.cross_entropy(logits, labels, label_smoothing=0.05)
    cells = places(features.movedim(1, -1)).flatten(0, 3)
    wanted = torch.from_numpy(batch.places).flatten()
    weights = torch.ones(len(CLASSES))
    weights[STILL] = 0.15  # most cells show nothing: they must not outweigh those that do
    place_loss = functional.cross_entropy(cells, wanted, weight=weights, ignore_index=IGNORED)
    return clip_loss + place_loss, (logits.argmax(1) == labels).float().mean()


def run_stage(trainee: Trainee, stage: Stage, seed: int, before: int, skip: int, folder: Path) -> None:
    """Train one stage from its step `skip` on; `before` steps belong to earlier stages."""
    trainee.model.train()
    first = (seed + 1) * 2**32 + (before + skip) * BATCH
    rng = np.random.default_rng((seed, before + skip))
    started, seen_loss, seen_right = time.monotonic(), 0.0, 0.0
    with closing(fresh_batches(first, BATCH, stage.size, stage.cells, 0 if skip else stage.plain)) as fresh:
        batches = replayed(rng, fresh, stage.uses, memory=64)
        for step in range(skip, stage.steps):
            loss, right = losses(trainee.model, trainee.places, next(batches))
            trainee.update(loss, learning_rate(stage, step))
            pace = max(0.02, 1 / (step - skip + 1))
            seen_loss += pace * (loss.item() - seen_loss)
            seen_right += pace * (right.item() - seen_right)
            if (step + 1) % 20 == 0:
                left = (time.monotonic() - started) / (step + 1 - skip) * (stage.steps - step - 1)
                print(
                    f"{stage.size} px  step {step + 1}/{stage.steps}  loss {seen_loss:.3f}  "
                    f"accuracy {seen_right:.3f}  {left / 60:.1f} min left",
                    flush=True,
                )
            if (step + 1) % 200 == 0:
                save(trainee.weights(), folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the bundled motion model.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of steps")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    train(options.seed, options.out, options.scale, options.resume)


if __name__ == "__main__":
    main()
