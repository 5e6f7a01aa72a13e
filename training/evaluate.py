"""Measure a trained model: python -m training.evaluate --weights DIR [--clips FOLDER ...]

Without `--clips`: accuracy and confusion on held-out synthetic clips, and accuracy by the size of the mover and the
length of the stroke. With it: the answers on real clips (video files, and folders of images), as recorded, mirrored
and reversed in time.
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
from actionlens.generated_clips.labels import CLASSES, STILL
from handlers.models.architectures.motion_cnn import MotionCNN
from training.batches import normalise

SIZE, FRAMES = 112, 16
_IMAGES = {".png", ".jpg", ".jpeg"}
_VIDEOS = {".mp4", ".avi", ".mkv", ".webm", ".mov"}

Clip = NDArray[np.uint8]


def load_model(folder: Path) -> MotionCNN:
    """The network with the weights in `folder`, in evaluation mode."""
    model = MotionCNN(len(CLASSES))
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    return model.eval()


def probabilities(model: MotionCNN, clips: Clip) -> NDArray[np.float32]:
    """Softmax [B, 10] of uint8 RGB clips [B, T, H, W, 3]."""
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


def letterboxed(frame: Clip) -> Clip:
    """A frame [H, W, 3] scaled until its longer side is 112, centred on black, [112, 112, 3]."""
    height, width = frame.shape[:2]
    scale = SIZE / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (SIZE - rows) // 2, (SIZE - columns) // 2
    square = np.zeros((SIZE, SIZE, 3), np.uint8)
    square[top : top + rows, left : left + columns] = cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
    return square


def prepare(clip: Clip) -> Clip:
    """The model's view of a clip: 16 frames spread evenly, letterboxed, uint8 [1, 16, 112, 112, 3]."""
    chosen = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
    return np.stack([letterboxed(clip[index]) for index in chosen])[None]


@dataclass(frozen=True, slots=True)
class Answer:
    """The class that a held-out clip of class `label` was taken for, and how much of its stroke there was to see:
    `area`, the mean share of the frame that the mover covers, and `frames`, how many of the 16. Both are 0 for
    "still"."""

    label: int
    answer: int
    area: float
    frames: int


def held_out(model: MotionCNN, first: int, count: int) -> list[Answer]:
    """The answers on the `count` held-out synthetic clips from number `first` on."""
    answers = []
    for seed in range(HELD_OUT_SEED + first, HELD_OUT_SEED + first + count):
        sample = generate(seed, size=SIZE)
        area = float(sample.mask[sample.stroke].mean()) if sample.stroke.any() else 0.0
        best = int(probabilities(model, sample.clip[None]).argmax())
        answers.append(Answer(sample.label, best, area, int(sample.stroke.sum())))
    return answers


def confusion(answers: list[Answer]) -> NDArray[np.int64]:
    """Counts [true, predicted]."""
    table = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    np.add.at(table, ([a.label for a in answers], [a.answer for a in answers]), 1)
    return table


def print_confusion(table: NDArray[np.int64]) -> None:
    """Accuracy, overall and per class, and the confusion matrix."""
    print(f"held-out accuracy {np.trace(table) / table.sum():.4f} on {table.sum()} clips")
    for label, row in enumerate(table):
        print(f"{CLASSES[label]:26s}{row[label] / max(row.sum(), 1):7.3f}   {'  '.join(f'{n:4d}' for n in row)}")


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
        scores = probabilities(model, prepare(np.ascontiguousarray(variant)))[0]
        best = np.argsort(-scores)[:2]
        print(f"{path.name:24s}{name:14s}" + "   ".join(f"{CLASSES[k]} {scores[k]:.3f}" for k in best))


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
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="folders of real clips to answer")
    options = parser.parse_args()
    model = load_model(options.weights)
    if not options.clips:
        answers = held_out(model, options.first, options.count)
        print_confusion(confusion(answers))
        print_groups(answers)
    for folder in options.clips:
        for path in real_clips(folder):
            print_answers(model, path)


if __name__ == "__main__":
    main()
