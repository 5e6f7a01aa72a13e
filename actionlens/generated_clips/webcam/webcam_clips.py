"""Webcam-like clips: one seed, one clip of eleven classes, and the exact pixels that move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips import cameras, clips, labels
from actionlens.generated_clips.clips import Sample
from actionlens.generated_clips.paths import Path
from actionlens.generated_clips.renders import Rendering, Shot, render
from actionlens.generated_clips.shapes import ARM_ANGLES, Sprite
from actionlens.generated_clips.webcam import gestures
from actionlens.generated_clips.webcam.filming import film, letterboxed
from actionlens.generated_clips.webcam.hands import POSES, Pose, posed_hand
from actionlens.generated_clips.webcam.views import Actor, Camera, People, View, make_view

#: Share of the clips that show something else; the ten others share the rest evenly.
_OTHER_SHARE = 0.22
_RENDERED = 112

#: Kinds of something else, and how often they come: two things at once; in, held and out again; one stroke and the
#: same back; strokes one after the other; a scribble; fingers; hands that roll about each other; a moved camera; people
#: who move about.
KINDS = ("two", "back", "fro", "strokes", "scribble", "fingers", "rolling", "camera", "bodies")
CHANCES = (0.15, 0.18, 0.07, 0.08, 0.07, 0.12, 0.06, 0.17, 0.10)

#: Kinds whose parts each have a name.
NAMED_PARTS = ("two", "back", "fro", "strokes")


def generate_webcam(seed: int, label: int | None = None, frames: int = 16, size: int = 112) -> Sample:
    """The clip of `seed`: same arguments, same bytes. `label` None draws one of the eleven of `labels.NAMES`.

    `stroke` of something else: the frames in which what moves has no name of its own; none where two things move each
    of which has one.
    """
    rng = np.random.default_rng((seed, 1))
    other = rng.random() < _OTHER_SHARE
    drawn = labels.OTHER if other else int(rng.integers(len(labels.CLASSES)))
    label = drawn if label is None else label
    for _ in range(8):
        sample = _other(rng, frames, size) if label == labels.OTHER else _named(rng, label, frames, size)
        if sample is not None:
            return sample
    raise RuntimeError(f"seed {seed} draws no clip whose stroke is visible")


def _aspect(rng: np.random.Generator) -> float:
    return float(rng.choice((4 / 3, 16 / 9, 1.76, 1.0, 0.75), p=(0.45, 0.25, 0.1, 0.08, 0.12)))


def _finished(
    rng: np.random.Generator, drawn: Rendering, aspect: float, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    filmed = film(rng, drawn.clip, drawn.mask.mean(axis=(1, 2)))
    mask = letterboxed(drawn.mask.astype(np.uint8) * 255, aspect, size) > 127
    return letterboxed(filmed, aspect, size), mask


def _named(rng: np.random.Generator, label: int, frames: int, size: int) -> Sample | None:
    """A clip of one of the ten classes, or None if too little of its stroke is seen."""
    aspect, still = _aspect(rng), label == labels.STILL
    people = People.CALM if still or rng.random() < 0.35 else People.USUAL
    camera = Camera.HELD if rng.random() < (0.2 if still else 0.4) else Camera.STANDS
    view = make_view(rng, frames, _RENDERED, aspect, camera, people)
    sprite, path = clips.mover(rng, label, frames, _RENDERED, aspect, plain=False)
    if sprite.arm and rng.random() < 0.7:
        sprite = _hand(rng, path, aspect, [_pose(rng)] * 2 + [_pose(rng)])
    index = cameras.repeats(rng, frames)
    shutter = rng.uniform(0.1, 0.95) if rng.random() < 0.85 else 0.0
    shot = Shot(view, sprite, path, aspect, shutter, flutter=rng.uniform(0, 0.5))
    if still:
        shot = replace(shot, sprite=None if rng.random() < 0.55 else sprite)
    drawn = render(shot, index, _RENDERED)
    lasts = (index >= path.stroke[0] - 0.5) & (index <= path.stroke[1] + 0.5)
    if not still and (drawn.seen & lasts).sum() < max(min(2, frames), 0.6 * lasts.sum()):
        return None
    filmed, mask = _finished(rng, drawn, aspect, size)
    mask &= not still
    return Sample(filmed, mask, lasts & mask.any(axis=(1, 2)), label)


def _pose(rng: np.random.Generator) -> Pose:
    name = str(rng.choice(list(POSES), p=(0.3, 0.3, 0.1, 0.04, 0.08, 0.05, 0.03, 0.05, 0.05)))
    return POSES[name] + rng.normal(0, 0.06, 6)


def _hand(rng: np.random.Generator, path: Path, aspect: float, poses: list[Pose]) -> Sprite:
    """A hand with an arm for a path whose scale and angle are set."""
    largest = min(float(np.exp(path.poses[:, 2].max())), 1.4)
    diameter = max(8, int(largest * _RENDERED))
    reach = diameter / float(np.exp(path.poses[:, 2].min())) * 1.6 * max(aspect, 1.0)
    return posed_hand(rng, diameter, min(reach, 6.0 * diameter + _RENDERED), poses)


def _placed(rng: np.random.Generator, path: Path, arm: float) -> None:
    path.poses[:, 2] += np.log(np.exp(rng.uniform(np.log(0.24), np.log(0.6))))
    path.poses[:, 3] += arm


def _arm(rng: np.random.Generator) -> float:
    side = str(rng.choice(list(ARM_ANGLES), p=(0.64, 0.17, 0.02, 0.17)))
    return ARM_ANGLES[side] + float(rng.normal(0, 0.3))


def _as_actor(sprite: Sprite, path: Path, frames: int, aspect: float) -> Actor:
    """A second mover, drawn with the people."""
    matrices = np.tile(np.eye(3), (frames, 1, 1))
    for matrix, (x, y, log_scale, angle) in zip(matrices, path.at(np.arange(frames, dtype=float)), strict=True):
        zoom = np.exp(log_scale) * _RENDERED / sprite.diameter
        turn = zoom * np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
        turn[0] /= aspect
        matrix[:2, :2] = turn
        matrix[:2, 2] = np.array((x, y)) * _RENDERED - turn @ np.array(sprite.origin)
    return Actor(sprite.views[0], matrices, alive=True)


def _other(rng: np.random.Generator, frames: int, size: int) -> Sample | None:
    """A clip of something else, or None if too little of it is seen."""
    aspect, kind = _aspect(rng), str(rng.choice(KINDS, p=CHANCES))
    people = People.USUAL if rng.random() < 0.6 else People.CALM
    camera = Camera.HELD if rng.random() < 0.35 else Camera.STANDS
    extra: tuple[Actor, ...] = ()
    sprite: Sprite | None = None
    path, arm = gestures.in_place(rng, frames), _arm(rng)
    poses, flutter = [_pose(rng), _pose(rng), _pose(rng)], rng.uniform(0, 0.6)
    if kind == "two":
        first, second = rng.choice(9, 2, replace=False)
        extra = (_as_actor(*clips.mover(rng, int(first), frames, _RENDERED, aspect, plain=False), frames, aspect),)
        sprite, path = clips.mover(rng, int(second), frames, _RENDERED, aspect, plain=False)
    elif kind in ("back", "fro", "strokes", "scribble", "fingers"):
        match kind:
            case "back":
                path = gestures.there_and_back(rng, frames, arm)
            case "fro":
                path = gestures.to_and_fro(rng, frames)
            case "strokes":
                path = gestures.two_strokes(rng, frames)
            case "scribble":
                path = gestures.scribble(rng, frames)
            case _:
                flutter = rng.uniform(0.5, 2.2)
                one, other = rng.choice(["open", "fist", "flat", "thumb", "index", "two", "three", "pinch"], 2, False)
                poses = [POSES[str(one)], 0.5 * (POSES[str(one)] + POSES[str(other)]), POSES[str(other)]]
        _placed(rng, path, arm)
        sprite = _hand(rng, path, aspect, poses)
    elif kind == "rolling":
        path, second_path = gestures.rolling(rng, frames)
        scale = np.log(rng.uniform(0.22, 0.5))
        for own in (path, second_path):
            own.poses[:, 2] += scale
        extra = (_as_actor(_hand(rng, second_path, aspect, [POSES["fist"] + 0.1]), second_path, frames, aspect),)
        sprite = _hand(rng, path, aspect, [POSES["fist"] + 0.1] * 3)
    elif kind == "camera":
        camera = Camera.MOVED
        people = People.BUSY if rng.random() < 0.35 else people
    else:
        people = People.BUSY
    view = make_view(rng, frames, _RENDERED, aspect, camera, people, extra)
    drawn = render(
        Shot(view, sprite, path, aspect, rng.uniform(0.1, 0.95), flutter, kind == "fingers"),
        cameras.repeats(rng, frames),
        _RENDERED,
    )
    if sprite is not None and drawn.seen.sum() < 3:
        return None
    mask = drawn.mask
    if kind == "camera":
        mask = np.ones_like(mask)
        drawn = _cut(rng, drawn, frames, aspect)
    elif extra or people is People.BUSY:
        others = np.stack([view.alive(time, _RENDERED) for time in range(frames)])
        if others.mean() < 0.01:
            return None
        mask = mask | others
    filmed, shown = _finished(rng, replace(drawn, mask=mask), aspect, size)
    nameless = np.full(frames, kind not in NAMED_PARTS)
    return Sample(filmed, shown, nameless & shown.any(axis=(1, 2)), labels.OTHER)


def _cut(rng: np.random.Generator, drawn: Rendering, frames: int, aspect: float) -> Rendering:
    """Sometimes another scene from some frame on."""
    if frames < 4 or rng.random() > 0.15:
        return drawn
    at = int(rng.integers(2, frames - 1))
    view: View = make_view(rng, frames, _RENDERED, aspect, Camera.MOVED, People.USUAL)
    clip = drawn.clip.copy()
    for time in range(at, frames):
        clip[time] = view.draw(time, _RENDERED)
    return replace(drawn, clip=clip)
