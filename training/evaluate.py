"""Measure a trained model: python -m training.evaluate --weights DIR [--webcam] [--clips FOLDER ...]

Without `--clips`: accuracy, calibration and confusion on held-out synthetic clips (--webcam: on webcam-like ones), and
accuracy by the size of the mover and the length of the stroke. With it: the answers on real clips (video files, and
folders of images), as recorded, mirrored and reversed in time. Weights of both versions are understood.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from actionlens.generated_clips.clips import HELD_OUT_SEED, generate
from actionlens.generated_clips.labels import NAMES, STILL
from actionlens.generated_clips.webcam.webcam_clips import generate_webcam
from handlers.models.architectures.motion_cnn import MotionCNN
from training.batches import normalise
from training.clip_sets import halved

SIZE, FRAMES = 112, 16
_IMAGES = {".png", ".jpg", ".jpeg"}
_VIDEOS = {".mp4", ".avi", ".mkv", ".webm", ".mov"}

Clip = NDArray[np.uint8]


def load_model(folder: Path) -> MotionCNN:
    """The network with the weights in `folder`, in evaluation mode; their shapes tell which one it is."""
    weights = load_file(folder / "weights.safetensors")
    convolutions = [value for name, value in weights.items() if name.startswith("features.") and value.dim() == 5]
    first = weights["features.0.weight"]
    model = MotionCNN(len(weights["head.bias"]), len(first), first.shape[-1] == 5, len(convolutions) - 3)
    model.load_state_dict(weights)
    return model.eval()


def size_of(model: MotionCNN) -> int:
    """Rows and columns of the clips that the network is made for."""
    first = model.features[0]
    assert isinstance(first, torch.nn.Conv3d)
    return SIZE // 2 if first.kernel_size[1] == 5 else SIZE


def probabilities(model: MotionCNN, clips: Clip) -> NDArray[np.float32]:
    """Softmax [B, classes] of uint8 RGB clips [B, T, H, W, 3]."""
    with torch.inference_mode():
        return np.asarray(model(normalise(clips)).softmax(1).numpy(), dtype=np.float32)


def read_clip(path: Path) -> Clip:
    """All frames of a video file, or of a folder of images in name order, uint8 RGB [N, H, W, 3]."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _IMAGES)
        frames = [cv2.cvtColor(np.asarray(cv2.imread(str(file))), cv2.COLOR_BGR2RGB) for file in files]
        return np.stack(frames).astype(np.uint8)
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.uint8)


def letterboxed(frame: Clip, size: int = SIZE) -> Clip:
    """A frame [H, W, 3] scaled until its longer side is `size`, centred on black, [size, size, 3]."""
    height, width = frame.shape[:2]
    scale = size / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - rows) // 2, (size - columns) // 2
    square = np.zeros((size, size, 3), np.uint8)
    square[top : top + rows, left : left + columns] = cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
    return square


def prepare(clip: Clip, size: int = SIZE) -> Clip:
    """The model's view of a clip: 16 frames spread evenly, letterboxed, uint8 [1, 16, size, size, 3]."""
    chosen = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
    return np.stack([letterboxed(clip[index], size) for index in chosen])[None]


@dataclass(frozen=True, slots=True)
class Answer:
    """The class that a held-out clip of class `label` was taken for, with what probability, and how much of its stroke
    there was to see: `area`, the mean share of the frame that the mover covers, and `frames`, how many of the 16. Both
    are 0 for "still"."""

    label: int
    answer: int
    probability: float
    area: float
    frames: int


def held_out(model: MotionCNN, first: int, count: int, webcam: bool = False) -> list[Answer]:
    """The answers on the `count` held-out synthetic clips from number `first` on; all are drawn at 112 pixels, and
    averaged over 2 x 2 for a network that takes half of that."""
    answers, draw = [], generate_webcam if webcam else generate
    for seed in range(HELD_OUT_SEED + first, HELD_OUT_SEED + first + count):
        sample = draw(seed, size=SIZE)
        area = float(sample.mask[sample.stroke].mean()) if sample.stroke.any() else 0.0
        clip = sample.clip if size_of(model) == SIZE else halved(sample)[0]
        scores = probabilities(model, clip[None])[0]
        best = int(scores.argmax())
        answers.append(Answer(sample.label, best, float(scores[best]), area, int(sample.stroke.sum())))
    return answers


def calibration_error(answers: list[Answer], bins: int = 15) -> float:
    """Expected calibration error: mean distance of probability and accuracy of the answers, in bins of equal width."""
    found = np.array([answer.probability for answer in answers])
    right = np.array([answer.answer == answer.label for answer in answers])
    bin_of = np.minimum((found * bins).astype(int), bins - 1)
    return float(sum(abs((found - right)[bin_of == b].sum()) for b in range(bins)) / len(answers))


def confusion(answers: list[Answer]) -> NDArray[np.int64]:
    """Counts [true, predicted] of the eleven classes."""
    table = np.zeros((len(NAMES), len(NAMES)), np.int64)
    np.add.at(table, ([a.label for a in answers], [a.answer for a in answers]), 1)
    return table


def print_confusion(table: NDArray[np.int64]) -> None:
    """Accuracy, overall and per class, and the confusion matrix."""
    print(f"held-out accuracy {np.trace(table) / table.sum():.4f} on {table.sum()} clips")
    for label, row in enumerate(table):
        print(f"{NAMES[label]:26s}{row[label] / max(row.sum(), 1):7.3f}   {'  '.join(f'{n:4d}' for n in row)}")


def print_groups(answers: list[Answer]) -> None:
    """Accuracy on the moving classes by what there is to see."""
    for name, edges in (("area", (0, 0.01, 0.02, 0.04, 0.08, 0.16, 1)), ("frames", (0, 3, 4, 5, 6, 8, 12, 17))):
        for low, high in itertools.pairwise(edges):
            group = [a for a in answers if a.label != STILL and low <= getattr(a, name) < high]
            if group:
                right = np.mean([a.answer == a.label for a in group])
                print(f"stroke {name} {low:4g} to {high:4g}{right:9.3f} of {len(group)} clips")


def print_answers(model: MotionCNN, path: Path) -> None:
    """The two best classes for a real clip and its mirrored and reversed versions."""
    clip = read_clip(path)
    for name, variant in (("as recorded", clip), ("mirrored", clip[:, :, ::-1]), ("reversed", clip[::-1])):
        scores = probabilities(model, prepare(np.ascontiguousarray(variant), size_of(model)))[0]
        best = np.argsort(-scores)[:2]
        print(f"{path.name:24s}{name:14s}" + "   ".join(f"{NAMES[k]} {scores[k]:.3f}" for k in best))


def real_clips(folder: Path) -> list[Path]:
    """Video files in `folder` and its sub-folders, and folders that hold images."""
    if any(file.suffix.lower() in _IMAGES for file in folder.iterdir()):
        return [folder]
    found = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in _VIDEOS]
    return found + [clip for inner in sorted(folder.iterdir()) if inner.is_dir() for clip in real_clips(inner)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure a trained motion model.")
    parser.add_argument("--weights", type=Path, default=Path("model_store/motion-primitives"))
    parser.add_argument("--first", type=int, default=0, help="number of the first held-out clip")
    parser.add_argument("--count", type=int, default=2000, help="held-out synthetic clips")
    parser.add_argument("--webcam", action="store_true", help="webcam-like clips")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="folders of real clips to answer")
    options = parser.parse_args()
    model = load_model(options.weights)
    if not options.clips:
        answers = held_out(model, options.first, options.count, options.webcam)
        print_confusion(confusion(answers))
        print(f"expected calibration error {calibration_error(answers):.3f}")
        print_groups(answers)
    for folder in options.clips:
        for path in real_clips(folder):
            print_answers(model, path)


if __name__ == "__main__":
    main()
