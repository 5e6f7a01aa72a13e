"""Does what suffices lie on what moves? python -m benchmarks.kept_motion [--clips 100]

On held-out generated clips, whose moving pixels are known exactly, that the model gets right: the pointing game of the
comprehensive study (is the map's highest point, within 7 pixels, on the moving object in that frame), the overlap (IoU)
of the moving pixels with as many pixels of the map's highest values, and with the volume that one mask keeps. Grad-CAM
and DTD stand beside it, and what a point or a volume placed at random would get. With --sheet FILE the first clip is
drawn: frames, moving pixels, kept volume.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from actionlens.generated_clips.clips import Sample
from benchmarks.held_out import moving_samples
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.explainers import Question, iterative
from handlers.explainers.attribution import SaliencyVolume, Target
from handlers.explainers.jobs.st_perturbation import StPerturbationParameters
from handlers.malloc import keep_freed_memory

_MODEL = Path(__file__).resolve().parents[1] / "model_store" / "motion-primitives"
_LIVE = ("grad-cam", "dtd")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--areas", type=float, nargs="+", default=[0.05])
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--perturbation", default="blur")
    parser.add_argument("--mode", default="preserve")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    engine = Engine.load(_MODEL)
    parameters = StPerturbationParameters(
        areas=options.areas, iterations=options.iterations, perturbation=options.perturbation, mode=options.mode
    )
    rows: dict[str, list[tuple[float, float]]] = {}
    kept: list[tuple[float, ...]] = []
    for sample in moving_samples():
        (answer,) = engine.explain([ClipRequest(sample.clip, [MethodCall(name) for name in _LIVE])])
        assert isinstance(answer, ClipAnswer)
        if answer.target.index != sample.label:
            continue
        moving = torch.from_numpy(sample.mask)
        found = explained(engine, sample, answer.logits, parameters)
        maps = {"st-perturbation": found.values}
        for name, entry in zip(_LIVE, answer.explained, strict=True):
            assert isinstance(entry.result, SaliencyVolume)
            maps[name] = at_pixels(entry.result.values, moving)
        for name, values in maps.items():
            rows.setdefault(name, []).append((pointing(values, moving), overlap(values, moving)))
        share = float(moving.float().mean())
        rows.setdefault("by chance", []).append((float(near(moving).float().mean()), share / (2 - share)))
        kept.append(of_masks(found, moving, options.areas))
        if options.sheet is not None and len(kept) == 1:
            draw(options.sheet, sample, found, options.areas[-1])
        if len(kept) % 10 == 0 or len(kept) == options.clips:
            report(rows, kept, options.areas)
        if len(kept) == options.clips:
            break


def explained(engine: Engine, sample: Sample, logits: Tensor, parameters: StPerturbationParameters) -> SaliencyVolume:
    """The method's result for the sample's true class."""
    method = iterative("st-perturbation")
    parameters = method.fitted(engine.model, parameters)
    question = Question(engine.model, sample.clip, logits, Target(sample.label), parameters, 0)
    result = method.result(question, method.advance(question, method.start(question), 3600))
    assert isinstance(result, SaliencyVolume)
    return result


def at_pixels(values: Tensor, like: Tensor) -> Tensor:
    """A map resized to the pixels."""
    return functional.interpolate(values[None, None], size=tuple(like.shape), mode="trilinear")[0, 0]


def near(moving: Tensor) -> Tensor:
    """Pixels within 7 pixels of a moving one, frame by frame."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))
    return torch.from_numpy(np.stack([cv2.dilate(frame, disc) for frame in moving.numpy().astype(np.uint8)])) > 0


def pointing(values: Tensor, moving: Tensor) -> float:
    """1 if the highest point of the frames in which something moves is near it, else 0."""
    annotated = moving.flatten(1).any(1)
    return float(near(moving)[annotated].flatten()[values[annotated].argmax()])


def overlap(values: Tensor, moving: Tensor) -> float:
    """IoU of the moving pixels and as many of the highest values."""
    chosen = torch.zeros(moving.numel(), dtype=torch.bool)
    chosen[values.flatten().topk(int(moving.sum())).indices] = True
    return iou(chosen.view_as(moving), moving)


def iou(one: Tensor, other: Tensor) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def of_masks(found: SaliencyVolume, moving: Tensor, areas: list[float]) -> tuple[float, ...]:
    """Per area: the score, the share of the kept volume that moves, the share of what moves that is kept,
    iterations."""
    numbers: list[float] = []
    for area in areas:
        cells = found.details.arrays[f"mask {area:g}"]
        fine = functional.interpolate(cells[:, None], size=tuple(moving.shape[1:]), mode="nearest")[:, 0]
        both = float(fine[moving].sum())
        measures = found.details.measures
        score = measures.get(f"score {area:g}", measures.get(f"score without {area:g}", 0.0))
        numbers += [score, both / float(fine.sum()), both / float(moving.sum()), measures[f"iterations {area:g}"]]
    return tuple(numbers)


def report(rows: dict[str, list[tuple[float, float]]], kept: list[tuple[float, ...]], areas: list[float]) -> None:
    """Print the tables so far."""
    print(f"\n{len(kept)} clips\n\n| map | pointing game | IoU at equal volume |\n|---|---|---|")
    for name, found in rows.items():
        print(f"| {name} | {np.mean([f[0] for f in found]):.2f} | {np.mean([f[1] for f in found]):.3f} |")
    print("\n| area | score | of the kept volume moves | of what moves is kept | iterations |\n|---|---|---|---|---|")
    means = np.mean(kept, axis=0).reshape(len(areas), 4)
    for area, (score, precision, recall, iterations) in zip(areas, means, strict=True):
        print(f"| {area:g} | {score:.3f} | {precision:.3f} | {recall:.3f} | {iterations:.0f} |", flush=True)


def draw(path: Path, sample: Sample, found: SaliencyVolume, area: float) -> None:
    """Frames in a row each: as they are, with what moves in green, and what is kept (all else dark)."""
    cells = found.details.arrays[f"mask {area:g}"]
    height, width = sample.mask.shape[1:]
    fine = functional.interpolate(cells[:, None], size=(height, width), mode="nearest")[:, 0].numpy()[..., None]
    green = np.where(sample.mask[..., None], sample.clip // 2 + np.array([0, 127, 0], np.uint8), sample.clip)
    strips = (sample.clip, green, (sample.clip * (0.2 + 0.8 * fine)).astype(np.uint8))
    sheet = np.concatenate([np.concatenate(list(strip[::2]), axis=1) for strip in strips])
    cv2.imwrite(str(path), sheet[..., ::-1])


if __name__ == "__main__":
    main()
