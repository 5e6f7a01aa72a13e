"""Render the sample clip that ships with the model: python -m training.sample [--out FILE]

A hand before a person in a cluttered room moves left once (image coordinates), 320 x 240, 30 frames/s, 2.5 s.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips import labels
from actionlens.generated_clips.paths import Path as Motion
from actionlens.generated_clips.renders import Shot, render
from actionlens.generated_clips.scenes import make_scene
from actionlens.generated_clips.shapes import hand

WIDTH, HEIGHT, RATE, FRAMES = 320, 240, 30, 75


def leftwards() -> Motion:
    """The hand waits at the right, sweeps left between 0.7 s and 1.6 s swinging about its elbow, and waits there."""
    now = np.linspace(-1.0, FRAMES, 8 * FRAMES)
    start, end = 0.7 * RATE, 1.6 * RATE
    phase = np.clip((now - start) / (end - start), 0, 1)
    phase = phase * phase * (3 - 2 * phase)
    tremble = np.sin(now * 0.19) * 0.004
    poses = np.stack(
        (
            0.78 - 0.56 * phase + tremble,
            0.5 - 0.06 * np.sin(np.pi * phase) + tremble,
            np.full(len(now), np.log(0.36)),
            0.35 - 0.7 * phase,
        ),
        axis=1,
    )
    return Motion(now, poses, (start, end))


def sample_clip(seed: int = 51) -> NDArray[np.uint8]:
    """The clip, uint8 RGB [75, 240, 320, 3]. `seed` chooses room, person and hand."""
    rng = np.random.default_rng(seed)
    scene = make_scene(rng, FRAMES, WIDTH, WIDTH / HEIGHT, calm=True, plain=False)
    sprite = hand(rng, int(0.36 * WIDTH), 1.3 * WIDTH)
    shot = Shot(scene, sprite, leftwards(), WIDTH / HEIGHT, shutter=0.5, flutter=0.05)
    square = render(shot, np.arange(FRAMES), WIDTH).clip
    frames = [cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in square]
    return np.stack(frames).astype(np.uint8)


def write_video(clip: NDArray[np.uint8], path: Path) -> None:
    """Encode uint8 RGB [T, H, W, 3] as H.264 at 30 frames/s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "23", "preset": "slow"})
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=f'Render the sample clip of "{labels.CLASSES[labels.LEFT]}".')
    parser.add_argument("--out", type=Path, default=Path("model_store/motion-primitives/sample.mp4"))
    options = parser.parse_args()
    write_video(sample_clip(), options.out)


if __name__ == "__main__":
    main()
