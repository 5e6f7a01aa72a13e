"""Train "motion-trn": python -m training.relations --seed 0 --out DIR

A multi-scale temporal relation network on the clips of "motion-primitives", 8 of their 16 frames. Writes
DIR/weights.safetensors and DIR/labels.txt. With `--evaluate` it measures such weights on held-out clips instead.
"""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from handlers.models.trn import MultiScaleTRN
from training.averages import Average
from training.batches import IGNORED, Batch, Clips, Replay, fresh_batches, normalise
from training.clips import HELD_OUT_SEED, generate
from training.evaluate import print_confusion
from training.labels import CLASSES, STILL
from training.train import KEEP, learning_rate, save

FRAMES, SIZE, CELLS = 8, 64, 4
BATCH, FRESH, PLAIN = 64, 16, 100  # as in training.train.Stage

#: Which of a clip's 16 frames the model sees: as the service spreads 8 over 16.
SEEN = np.linspace(0, 15, FRAMES).round().astype(int)


def build() -> MultiScaleTRN:
    """The network with the arguments of its card."""
    return MultiScaleTRN(len(CLASSES), channels=(24, 48, 72, 96), cells=CELLS, width=96, hidden=64, scales=FRAMES)


def seen(clips: Clips) -> Tensor:
    """The model's view of uint8 RGB clips [B, 16, S, S, 3]: float32 [B, 3, 8, S, S]."""
    return normalise(clips[:, SEEN])


def losses(model: MultiScaleTRN, mover: nn.Linear, batch: Batch) -> tuple[Tensor, Tensor]:
    """The training loss and the clips' logits [B, classes].

    Beside the class of the clip, `mover` (used in training only) must tell from each frame's features in which cells
    the moving object is. A single frame does not show that anything moves, but often what is likely to.
    """
    features = model.frame_features(seen(batch.clips))
    logits: Tensor = model.consensus(features)
    clip_loss = functional.cross_entropy(logits, torch.from_numpy(batch.labels), label_smoothing=0.05)
    places = torch.from_numpy(batch.places[:, SEEN]).flatten(2)
    wanted, asked = (places != STILL).float(), places != IGNORED
    where = functional.binary_cross_entropy_with_logits(mover(features)[asked], wanted[asked])
    return clip_loss + where, logits.detach()


def train(seed: int, folder: Path, steps: int) -> None:
    """Train from nothing; weights are saved every 200 steps and at the end."""
    torch.manual_seed(seed)
    model, mover = build().train(), nn.Linear(96, CELLS * CELLS)
    optimiser = torch.optim.AdamW([*model.parameters(), *mover.parameters()], weight_decay=0.02, fused=True)
    average = Average(model, KEEP)
    started, seen_right = time.monotonic(), 0.0
    with closing(fresh_batches((seed + 1) * 2**32, FRESH, SIZE, CELLS, PLAIN)) as fresh:
        replay = Replay(np.random.default_rng(seed), fresh, BATCH, memory=4096)
        for step in range(steps):
            batch = replay.draw()
            loss, logits = losses(model, mover, batch)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            average.update()
            replay.judge(logits.softmax(1).numpy()[np.arange(BATCH), batch.labels])
            right = (logits.argmax(1).numpy() == batch.labels)[:FRESH].mean()  # the first are the new ones
            seen_right += max(0.01, 1 / (step + 1)) * (right - seen_right)
            if (step + 1) % 50 == 0:
                left = (time.monotonic() - started) / (step + 1) * (steps - step - 1)
                print(
                    f"step {step + 1}/{steps}  loss {loss.item():.3f}  accuracy on new clips {seen_right:.3f}  "
                    f"{left / 60:.1f} min left",
                    flush=True,
                )
            if (step + 1) % 200 == 0 or step + 1 == steps:
                save(average.state, folder)


def evaluate(folder: Path, count: int) -> None:
    """Accuracy and confusion on the first `count` held-out clips."""
    model = build().eval()
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    table = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    with torch.inference_mode():
        for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + count):
            sample = generate(seed, size=SIZE)
            table[sample.label, int(model(seen(sample.clip[None])).argmax())] += 1
    print_confusion(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the bundled temporal relation network.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("model_store/motion-trn"))
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--evaluate", action="store_true", help="measure the weights in --out")
    parser.add_argument("--count", type=int, default=2000, help="held-out clips")
    options = parser.parse_args()
    if options.evaluate:
        evaluate(options.out, options.count)
    else:
        train(options.seed, options.out, options.steps)


if __name__ == "__main__":
    main()
