"""From a scene, a mover and its path to frames and exact masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.paths import Path
from actionlens.generated_clips.scenes import Frame, paste, warp
from actionlens.generated_clips.shapes import Sprite

_MOVING = np.array((0.004, 0.004, 0.012, 0.03))  # least change per frame (x, y, log-scale, angle) that counts as moving
_LEAST_AREA = 0.01  # of the frame
_LEAST_CONTRAST = 10.0  # mean difference in 0..255


class Background(Protocol):
    """All but the mover. `camera` [T, 2]: where the camera's own movement puts the frame's centre, in shares of the
    frame; `occluder`: what hides the mover, premultiplied RGBA."""

    @property
    def camera(self) -> NDArray[np.float64]: ...
    @property
    def occluder(self) -> NDArray[np.uint8] | None: ...
    def draw(self, time: int, size: int) -> Frame:
        """Frame `time` without the mover, uint8 RGB [size, size, 3]."""
        ...


@dataclass(frozen=True, slots=True)
class Shot:
    """All that a clip shows. `sprite` None: nobody there. `aspect`: width over height of the camera image, which is
    squashed into a square. `shutter`: share of the frame time the shutter is open. `flutter`: how fast fingers move;
    `restless`: whether that alone counts as moving."""

    scene: Background
    sprite: Sprite | None
    path: Path
    aspect: float
    shutter: float
    flutter: float
    restless: bool = False


@dataclass(frozen=True, slots=True)
class Rendering:
    """`clip` uint8 RGB [T, size, size, 3]; `mask` bool [T, size, size], the mover's visible pixels while it moves;
    `seen` bool [T], whether there it is large and different enough from what is behind it to be noticed."""

    clip: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    seen: NDArray[np.bool_]


def render(shot: Shot, index: NDArray[np.intp], size: int) -> Rendering:
    """Draw a clip. `index` [T]: which moment each frame shows (its own, or an earlier one for a repeated frame)."""
    frames = len(index)
    clip = np.empty((frames, size, size, 3), np.uint8)
    mask = np.zeros((frames, size, size), np.bool_)
    seen = np.zeros(frames, np.bool_)
    moving = _moving(shot.path, frames) | shot.restless
    for time in range(frames):
        source = int(index[time])
        if source < time:
            clip[time], mask[time], seen[time] = clip[source], mask[source], seen[source]
            continue
        empty = frame = shot.scene.draw(time, size)
        if shot.sprite is not None:
            layer = _exposed(shot, shot.sprite, time, size)
            frame = paste(frame, layer)
            mask[time] = (layer[..., 3] > 80) & moving[time]
        if shot.scene.occluder is not None:
            frame = paste(frame, shot.scene.occluder)
            mask[time] &= shot.scene.occluder[..., 3] < 128
        clip[time] = frame
        contrast = cv2.mean(cv2.absdiff(frame, empty), mask[time].view(np.uint8))
        seen[time] = mask[time].mean() > _LEAST_AREA and sum(contrast[:3]) > 3 * _LEAST_CONTRAST
    return Rendering(clip, mask, seen)


def _moving(path: Path, frames: int) -> NDArray[np.bool_]:
    now = np.arange(frames)
    change = np.abs(path.at(now + 0.5) - path.at(now - 0.5))
    return np.asarray((change > _MOVING).any(axis=1))


def _exposed(shot: Shot, sprite: Sprite, time: int, size: int) -> NDArray[np.uint8]:
    """The mover in frame `time`, premultiplied RGBA [size, size, 4], blurred while the shutter is open."""
    view = sprite.views[int(1.5 + 1.49 * np.sin(shot.flutter * time)) % len(sprite.views)]
    ends = shot.path.at(time + np.array((-0.5, 0.5)) * shot.shutter)
    travel = np.abs(ends[1] - ends[0]) * size * (1, 1, 0.3, 0.2)
    steps = int(np.clip(np.ceil(travel.max() / 2.5), 1, 7 if size <= 112 else 24))
    poses = shot.path.at(time + (np.arange(steps) + 0.5 - steps / 2) / steps * shot.shutter)
    total = np.zeros((size, size, 4), np.float32)
    for x, y, log_scale, angle in poses:
        zoom = np.exp(log_scale) * size / sprite.diameter
        rotation = zoom * np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
        rotation[0] /= shot.aspect
        shift = (np.array((x, y)) + shot.scene.camera[time]) * size - rotation @ np.array(sprite.origin)
        layer = warp(view, np.column_stack((rotation, shift)), size)
        if steps == 1:
            return layer
        cv2.accumulate(layer, total)
    return np.asarray(cv2.convertScaleAbs(total, alpha=1 / steps), dtype=np.uint8)
