"""What the bundled model's explanations are worth: python -m benchmarks.bundled_model maps insertion cost real

maps: on --clips held-out generated clips that the model gets right, from --first on, whose moving pixels are known
exactly: the pointing game (is the highest point, within 7 pixels, on the mover in that frame), overlap with as many of
the highest pixels as move (IoU), and the share of positive relevance on what moves, of Grad-CAM, DTD and what selective
relevance keeps of it. insertion: area under the insertion curve by patches, in percent. cost: milliseconds of processor
time on one thread of the network alone, of the engine's answer, and with each live method and all three, by turns with
--beside DIR, another model. real: answers on the clips of --folder (sub-folders too), as recorded, mirrored and
reversed in time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionlens.card import read_card
from actionlens.generated_clips.clips import HELD_OUT_SEED, Sample, generate
from actionlens.generated_clips.labels import STILL
from benchmarks.kept_motion import at_pixels, near, overlap, pointing
from benchmarks.motion_precision import precision
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.evaluation.measures.insertion_deletion import PatchInsertion, PatchInsertionParameters
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import SaliencyVolume, Target
from handlers.malloc import keep_freed_memory
from handlers.models.action_model import build
from handlers.tensor_files.weights import read_weights
from training.evaluate import load_model, print_answers, real_clips

MODEL = Path(__file__).resolve().parents[1] / "model_store" / "motion-primitives"
MAPS = {
    "Grad-CAM": MethodCall("grad-cam"),
    "DTD": MethodCall("dtd"),
    "selective DTD": MethodCall("selective-relevance", {"base": "dtd"}),
    "selective Grad-CAM": MethodCall("selective-relevance", {"base": "grad-cam"}),
}
LIVE = {
    "Grad-CAM": [MethodCall("grad-cam")],
    "selective": [MethodCall("selective-relevance")],
    "ATR": [MethodCall("atr")],
    "all three": [MethodCall("grad-cam"), MethodCall("selective-relevance"), MethodCall("atr")],
}


def right_samples(engine: Engine, first: int, wanted: int) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """Held-out clips in which something moves and which the model gets right, and the model's view of them."""
    size, found = engine.model.card.input.height, 0
    for seed in count(HELD_OUT_SEED + first):
        if found == wanted:
            return
        sample = generate(seed)
        if sample.label == STILL:
            continue
        clip = np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in sample.clip])
        answer = answered(engine, ClipRequest(clip))
        if answer.target.index == sample.label:
            found += 1
            yield sample, clip.astype(np.uint8)


def answered(engine: Engine, request: ClipRequest) -> ClipAnswer:
    """The answer to one clip."""
    (answer,) = engine.explain([request])
    assert isinstance(answer, ClipAnswer)
    return answer


def maps(engine: Engine, first: int, wanted: int) -> None:
    """Print where the maps lie."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in (*MAPS, "chance")}
    for sample, clip in right_samples(engine, first, wanted):
        moving = torch.from_numpy(sample.mask)
        answer = answered(engine, ClipRequest(clip, list(MAPS.values())))
        for name, entry in zip(MAPS, answer.explained, strict=True):
            assert isinstance(entry.result, SaliencyVolume)
            values = entry.result.values.clamp(min=0)
            if entry.result.mask is not None:
                values = values * entry.result.mask
            share = precision(entry.result, moving)
            if share is not None:
                pixels = at_pixels(values, moving)
                found[name].append((pointing(pixels, moving), overlap(pixels, moving), share))
        share = float(moving.float().mean())
        found["chance"].append((float(near(moving).float().mean()), share / (2 - share), share))
        if len(found["chance"]) % 100 == 0 or len(found["chance"]) == wanted:
            print("\n| map | pointing | IoU | mass on the mover | clips with a map |\n|---|---|---|---|---|")
            for name, rows in found.items():
                if rows:
                    point, iou, mass = np.mean(rows, axis=0)
                    print(f"| {name} | {point:.3f} | {iou:.3f} | {mass:.3f} | {len(rows)} |", flush=True)


def insertion(engine: Engine, first: int, wanted: int, steps: int) -> None:
    """Print the mean area under the insertion curves, with its standard error."""
    measure, parameters = PatchInsertion(), PatchInsertionParameters(steps=steps)
    found: dict[str, list[float]] = {"Grad-CAM": [], "DTD": []}
    for number, (sample, clip) in enumerate(right_samples(engine, first, wanted)):
        answer = answered(engine, ClipRequest(clip, [MAPS[name] for name in found]))
        subject = Subject(engine.model, clip, answer.logits, Target(sample.label), seed=number)
        for rows, entry in zip(found.values(), answer.explained, strict=True):
            assert isinstance(entry.result, SaliencyVolume)
            rows.append(measure.measure(subject, entry.result, parameters).values[measure.name].number)
    print(f"\n| map | insertion by patches, {steps} steps, {wanted} clips |\n|---|---|")
    for name, rows in found.items():
        print(f"| {name} | {np.mean(rows):.1f} +- {np.std(rows) / len(rows) ** 0.5:.1f} |", flush=True)


def cost(folders: list[Path], rounds: int) -> None:
    """Print medians of processor time, all models and runs by turns."""
    runs = {folder.name if len(folders) == 1 else str(folder): _runs(folder) for folder in folders}
    times: dict[str, dict[str, list[float]]] = {model: {name: [] for name in own} for model, own in runs.items()}
    for number in range(rounds + 1):
        for model, own in runs.items():
            for name, run in own.items():
                started = time.process_time()
                run()
                if number:
                    times[model][name].append(1000 * (time.process_time() - started))
    names = list(next(iter(runs.values())))
    print("\n| ms of one core | " + " | ".join(names) + " | all / network alone | all / answer |")
    print("|---" * (len(names) + 3) + "|")
    for model, own_times in times.items():
        middle = {name: statistics.median(found) for name, found in own_times.items()}
        cells = [f"{value:.1f}" for value in middle.values()]
        ratios = [f"{middle['all three'] / middle[name]:.2f}" for name in ("network alone", "answer")]
        print(f"| {model} | " + " | ".join(cells + ratios) + " |", flush=True)


def _runs(folder: Path) -> dict[str, Callable[[], object]]:
    engine, card = Engine.load(folder), read_card(folder)
    network = build(card, read_weights(folder / card.weights.file))
    shape = (card.input.frames, card.input.height, card.input.width, 3)
    clip = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    ready: Tensor = engine.model.prepare([clip]).contiguous()

    def alone() -> object:
        with torch.inference_mode():
            return network(ready)

    runs: dict[str, Callable[[], object]] = {
        "network alone": alone,
        "answer": lambda: answered(engine, ClipRequest(clip)),
    }
    for name, methods in LIVE.items():
        request = ClipRequest(clip, methods, target=0)
        runs[name] = lambda request=request: answered(engine, request)  # type: ignore[misc]
    return runs


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["maps", "insertion", "cost", "real"])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--beside", type=Path, help="another model, for cost")
    parser.add_argument("--first", type=int, default=0, help="number of the first held-out clip")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=64, help="of the insertion curves")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="real clips")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()
    engine = Engine.load(options.model)
    if "maps" in options.parts:
        maps(engine, options.first, options.clips)
    if "insertion" in options.parts:
        insertion(engine, options.first, options.clips, options.steps)
    if "cost" in options.parts:
        cost([options.model, *([options.beside] if options.beside else [])], options.rounds)
    if "real" in options.parts and options.folder is not None:
        for path in real_clips(options.folder):
            print_answers(load_model(options.model), path)


if __name__ == "__main__":
    main()
