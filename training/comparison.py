"""Train a network to compare with: python -m training.comparison NAME --seed 0 --out DIR [--cache DIR] [--resume]

Small networks on the clips of "motion-trn" (48 x 48 pixels, 16 frames, made once and shared in --cache), for the
findings that compare architectures (benchmarks/findings). None of them is good: they are trained in two to fifteen
minutes of one core each. Writes DIR/weights.safetensors (moving average), DIR/step-N.safetensors at the steps of
`Recipe.kept`, DIR/accuracy.json (on held-out clips, at the end) and DIR/checkpoint.pt, from which `--resume` goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from actionlens.card import Input, ModelCard, Resize, Weights
from actionlens.generated_clips.clips import HELD_OUT_SEED
from actionlens.generated_clips.labels import CLASSES
from handlers.models.action_model import ActionModel
from handlers.models.architectures.c_lstm import CLSTM
from handlers.models.architectures.motion_cnn import MotionCNN
from handlers.models.architectures.tam_resnet import TAMResNet
from handlers.models.architectures.tsn import TSN
from handlers.relevance import ConvLSTM
from training.averages import Average
from training.batches import Batch, flipped, normalise
from training.filters import give_back, half_size, recur_on_motion
from training.relations import CELLS, CHANNELS, SEEDS, SIZE, SNIPPET, WIDTH, training_clips
from training.train import cell_loss, convolution, learning_rate

FRAMES = 16

#: Easy clips (a large object, a still scene) for the first steps of networks that start knowing nothing of motion.
PLAIN_SEEDS = range(61_000_000, 61_004_000)

#: Held-out clips that accuracy is measured on; the findings use others.
MEASURED = range(HELD_OUT_SEED + 3_000_000, HELD_OUT_SEED + 3_000_500)

_BUNDLED = Path(__file__).resolve().parents[1] / "model_store"
_KEEP = 0.995


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one network is made and trained.

    build: the untrained network for 48 x 48 clips. family: the architecture whose defaults explain it. watched: the
    layer whose 6 x 6 cells must name the motion at their place, as in training.train; empty: the clip's class alone is
    learnt. plain: share of the steps whose batches have easy clips; in the first half of them there are no others.
    kept: steps whose weights are kept.
    """

    build: Callable[[], nn.Module]
    family: str
    watched: str
    steps: int
    batch: int = 16
    rate: float = 2e-3
    plain: float = 0.0
    kept: tuple[int, ...] = field(default=())


class SomeSteps(MotionCNN):
    """MotionCNN whose logits are the mean over `steps` evenly spread output steps instead of all 16.

    Starts from the weights of "motion-primitives", for frames of half the size.
    """

    def __init__(self, steps: int) -> None:
        super().__init__(len(CLASSES))
        self.chosen = tuple(int((index + 0.5) * FRAMES / steps) for index in range(steps))
        first = convolution(self)
        self.load_state_dict(load_file(_BUNDLED / "motion-primitives" / "weights.safetensors"))
        narrow = half_size(first)
        give_back(first, narrow)
        self.features[0] = narrow

    def forward(self, clip: Tensor) -> Tensor:
        """Logits [B, classes] of clips [B, 3, 16, H, W]."""
        maps = self.features(clip)
        logits: Tensor = self.head(torch.cat([maps[:, :, step : step + 1] for step in self.chosen], 2).mean((2, 3, 4)))
        return logits


def _motion_cnn() -> nn.Module:
    model = MotionCNN(len(CLASSES), width=16)
    model.features[0] = half_size(convolution(model))
    return model


def _c_lstm() -> nn.Module:
    model = CLSTM(len(CLASSES), layers=2, width=12, frames=FRAMES, size=SIZE)
    recurrent = [part for part in model.modules() if isinstance(part, ConvLSTM)]
    for part in recurrent:
        # What a cell holds is kept at first: the gates' bias, in the order input, forget, candidate, output.
        hidden = part.bias.shape[0] // 4
        part.bias.data[hidden : 2 * hidden] = 1.0
    recur_on_motion(recurrent[0])
    return model


def _tsn() -> nn.Module:
    """On snippets of two frames, its backbone that of "motion-trn": the two differ in their heads."""
    model = TSN(len(CLASSES), CHANNELS, CELLS, WIDTH, SNIPPET)
    trained = load_file(_BUNDLED / "motion-trn" / "weights.safetensors")
    model.load_state_dict({k: v for k, v in trained.items() if k.startswith("backbone.")}, strict=False)
    return model


def _tam(kernel: int) -> nn.Module:
    model = TAMResNet(len(CLASSES), depth=18, kernel=kernel, widths=(16, 24, 32, 48))
    for name, weight in model.named_parameters():
        if ".tam." in name:
            nn.init.normal_(weight, std=(2 / kernel) ** 0.5)  # He et al., for `kernel` frames of one channel
    return model


RECIPES: dict[str, Recipe] = {
    "c-lstm": Recipe(_c_lstm, "c-lstm", "last", 2400, plain=0.6),
    "motion-cnn": Recipe(
        _motion_cnn, "motion-cnn", "features", 1000, kept=(100, 150, 200, 250, 300, 400, 500, 600, 800, 1000)
    ),
    "tsn": Recipe(_tsn, "tsn", "backbone.features", 600, batch=32, rate=1e-3),
    **{f"tam-{k}": Recipe(lambda k=k: _tam(k), "tam-resnet18", "layer2", 600, plain=0.5) for k in (3, 5, 7)},  # type: ignore[misc]
    **{f"steps-{n}": Recipe(lambda n=n: SomeSteps(n), "motion-cnn", "", 240, rate=5e-4) for n in (1, 2, 4, 8)},  # type: ignore[misc]
}


class Trainee:
    """A network, its training-only second head, the optimiser, and how many steps they have done."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model = recipe.build()
        self._layout = torch.contiguous_format
        if not any(weight.dim() == 4 for weight in self.model.parameters()):
            self._layout = torch.channels_last_3d  # faster, where every convolution is one over time
        self.model = self.model.to(memory_format=self._layout)  # type: ignore[call-overload]
        self.cell_classifier = nn.LazyLinear(len(CLASSES))
        self._maps: Tensor | None = None
        if recipe.watched:
            self.model.get_submodule(recipe.watched).register_forward_hook(self._watch)
        with torch.no_grad():
            self.model.eval()(torch.zeros(1, 3, FRAMES, SIZE, SIZE))
            if self._maps is not None:
                self.cell_classifier(self._maps.movedim(1, -1))
        self.model.train()
        learnt = [*self.model.parameters(), *(self.cell_classifier.parameters() if recipe.watched else ())]
        self.optimiser = torch.optim.AdamW(learnt, weight_decay=0.02, fused=True)
        self.average = Average(self.model, _KEEP)
        self.done = 0

    def _watch(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._maps = output

    def step(self, batch: Batch, rate: float) -> tuple[float, float]:
        """Learn from a batch. Returns the clips' cross entropy and the share answered right."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        labels = torch.from_numpy(batch.labels)
        logits = self.model(normalise(batch.clips).contiguous(memory_format=self._layout))
        whole = functional.cross_entropy(logits, labels, label_smoothing=0.05)
        loss = whole
        if self._maps is not None:
            wanted = batch.cell_labels[:, :: FRAMES // self._maps.shape[2]]
            loss = whole + cell_loss(self.cell_classifier, self._maps, wanted)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.average.update()
        self.done += 1
        return whole.item(), float((logits.argmax(1) == labels).float().mean())

    def weights(self) -> dict[str, Tensor]:
        """The model's state averaged over the last steps."""
        return {name: value.contiguous() for name, value in self.average.state.items()}

    def store(self, path: Path) -> None:
        """Write a checkpoint; a process killed meanwhile leaves the last one."""
        parts = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        if self.recipe.watched:
            parts["places"] = self.cell_classifier.state_dict()
        torch.save({"done": self.done, "average": self.average.state, **parts}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        if self.recipe.watched:
            self.cell_classifier.load_state_dict(state["places"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state, self.done = state["average"], int(state["done"])


def drawn(clips: Batch, plain: Batch, recipe: Recipe, seed: int, step: int, steps: int) -> Batch:
    """The batch of `step`, always the same; only easy clips at first, then fewer and fewer."""
    rng = np.random.default_rng((seed, step))
    easy = recipe.plain and rng.random(recipe.batch) < 2 * (1 - step / (recipe.plain * steps))
    count = int(np.sum(easy))
    parts = []
    for source, wanted in ((plain, count), (clips, recipe.batch - count)):
        if wanted:
            rows = np.sort(rng.choice(len(source), min(wanted, len(source)), replace=False))
            parts.append(Batch(source.clips[rows], source.labels[rows], source.cell_labels[rows]))
    return flipped(rng, Batch(*(np.concatenate(part) for part in zip(*map(_fields, parts), strict=True))))


def _fields(batch: Batch) -> tuple[NDArray[np.generic], ...]:
    return batch.clips, batch.labels, batch.cell_labels


def train(
    name: str, seed: int, folder: Path, cache: Path, steps: int | None = None, resume: bool = False, few: int = 0
) -> None:
    """Train the network `name` from the start, or from the checkpoint in `folder`. few: clips, for a test; 0: all."""
    recipe = RECIPES[name]
    steps = steps or recipe.steps
    torch.manual_seed(seed)
    clips = training_clips(cache / "clips", SEEDS[: few or None])
    plain = training_clips(cache / "plain", PLAIN_SEEDS[: few or None], plain=True) if recipe.plain else clips
    folder.mkdir(parents=True, exist_ok=True)
    trainee, checkpoint = Trainee(recipe), folder / "checkpoint.pt"
    if resume and checkpoint.exists():
        trainee.load(checkpoint)
    started, first, mean, share = time.monotonic(), trainee.done, 0.0, 0.0
    while trainee.done < steps:
        batch = drawn(clips, plain, recipe, seed, trainee.done, steps)
        loss, right = trainee.step(batch, learning_rate(trainee.done, steps, recipe.rate))
        pace = max(0.02, 1 / (trainee.done - first))
        mean, share = mean + pace * (loss - mean), share + pace * (right - share)
        if trainee.done in recipe.kept:
            save_file(trainee.weights(), folder / f"step-{trainee.done}.safetensors")
        if trainee.done % 50 == 0 or trainee.done == steps:
            left = (time.monotonic() - started) / (trainee.done - first) * (steps - trainee.done)
            print(
                f"{name}  step {trainee.done}/{steps}  loss {mean:.3f}  accuracy {share:.3f}  {left / 60:.1f} min left",
                flush=True,
            )
            trainee.store(checkpoint)
    save_file(trainee.weights(), folder / "weights.safetensors")
    held_out = training_clips(cache / "held-out", MEASURED[: few or None])
    found = accuracy(load(name, folder).module, held_out)
    (folder / "accuracy.json").write_text(json.dumps({"network": name, "seed": seed, "steps": steps, **found}) + "\n")
    print(f"{name}  held-out accuracy {found['accuracy']:.3f}  F1 {found['f1']:.3f} on {found['clips']} clips")


def accuracy(module: nn.Module, clips: Batch) -> dict[str, float]:
    """Share of right answers and F1 averaged over the classes, of a network on clips."""
    with torch.inference_mode():
        parts = [module(normalise(clips.clips[first : first + 50])).argmax(1) for first in range(0, len(clips), 50)]
    answers, labels = torch.cat(parts).numpy(), clips.labels
    table = np.zeros((len(CLASSES), len(CLASSES)))
    np.add.at(table, (labels, answers), 1)
    both = np.maximum(table.sum(0) + table.sum(1), 1)
    return {
        "accuracy": round(float(np.mean(answers == labels)), 4),
        "f1": round(float(np.mean(2 * np.diag(table) / both)), 4),
        "clips": len(labels),
    }


def load(name: str, folder: Path, file: str = "weights.safetensors") -> ActionModel:
    """The trained network, ready to be explained, with a card for 16 frames of 48 x 48."""
    recipe = RECIPES[name]
    module = recipe.build()
    module.load_state_dict(load_file(folder / file))
    card = ModelCard(
        name=f"comparison-{name}",
        version="1.0",
        architecture=recipe.family,
        labels=CLASSES,
        weights=Weights(file=file, sha256=hashlib.sha256((folder / file).read_bytes()).hexdigest()),
        input=Input(
            frames=FRAMES, height=SIZE, width=SIZE, resize=Resize.LETTERBOX, mean=(0.5,) * 3, std=(0.25,) * 3, stride=2
        ),
    )
    return ActionModel(card, module.eval())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="out/comparison/NAME where it is not given")
    parser.add_argument("--cache", type=Path, default=Path("out/comparison/clips"), help="where clips are made once")
    parser.add_argument("--steps", type=int, help="in place of the network's own number")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    options = parser.parse_args()
    folder = options.out or Path("out/comparison") / options.name
    train(options.name, options.seed, folder, options.cache, options.steps, options.resume)


if __name__ == "__main__":
    main()
