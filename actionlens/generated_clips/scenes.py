"""The background of the moving object: a cluttered room, often a person who sways a little, a camera that trembles."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.generated_clips.shapes import person
from actionlens.generated_clips.textures import texture

Frame = NDArray[np.uint8]
Matrix = NDArray[np.float64]


def paste(frame: Frame, layer: NDArray[np.uint8]) -> Frame:
    """A premultiplied RGBA layer [H, W, 4] over an RGB frame [H, W, 3], both uint8 (integers are five times
    faster than floats, and this is where the time of a clip goes)."""
    red, green, blue, alpha = cv2.split(layer)
    beneath = cv2.bitwise_not(alpha)
    rest = cv2.multiply(frame, cv2.merge((beneath, beneath, beneath)), scale=1 / 255)
    return np.asarray(cv2.add(rest, cv2.merge((red, green, blue))), dtype=np.uint8)


def warp(image: NDArray[np.uint8], matrix: Matrix, size: int, border: int = cv2.BORDER_CONSTANT) -> NDArray[np.uint8]:
    """Affine warp into a size x size frame, bilinear."""
    warped = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(warped, dtype=np.uint8)


def wander(rng: np.random.Generator, frames: int, drift: float, tremble: float) -> NDArray[np.float64]:
    """A slow movement plus tremble, [T, 2] in shares of the frame, zero on average."""
    times = np.linspace(-0.5, 0.5, frames)
    slow = np.outer(times, rng.uniform(-drift, drift, 2))
    slow += np.outer(np.sin(times * rng.uniform(2, 7) + rng.uniform(0, 6)), rng.uniform(-drift, drift, 2) / 3)
    return slow + rng.normal(0, tremble, (frames, 2))


@dataclass(frozen=True, slots=True)
class Layer:
    """An image that moves a little. `image`: uint8 RGB or premultiplied RGBA; `shifts` [T, 2] in shares of the frame;
    `matrix`: 2 x 3, from image to frame pixels at rest."""

    image: NDArray[np.uint8]
    shifts: NDArray[np.float64]
    matrix: Matrix

    def draw(self, time: int, size: int) -> NDArray[np.uint8]:
        """The layer as seen at frame `time`."""
        matrix = self.matrix.copy()
        matrix[:, 2] += self.shifts[time] * size
        opaque = self.image.shape[2] == 3
        return warp(self.image, matrix, size, cv2.BORDER_REFLECT_101 if opaque else cv2.BORDER_CONSTANT)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything but the mover: layers from back to front, the camera's tremble [T, 2], and what hides the mover."""

    layers: tuple[Layer, ...]
    camera: NDArray[np.float64]
    occluder: NDArray[np.uint8] | None

    def draw(self, time: int, size: int) -> Frame:
        """Frame `time` without the mover, uint8 RGB [size, size, 3]."""
        frame = self.layers[0].draw(time, size)
        for layer in self.layers[1:]:
            frame = paste(frame, layer.draw(time, size))
        return frame


def make_scene(rng: np.random.Generator, frames: int, size: int, aspect: float, calm: bool, plain: bool) -> Scene:
    """A random scene. `aspect`: width over height of the camera image, squashed into the square frame. `calm`: nobody
    in the background moves by more than a breath (for the class "still"). `plain`: a still room without people."""
    camera = np.zeros((frames, 2))
    if rng.random() < 0.45:
        camera = wander(rng, frames, rng.uniform(0, 0.02), rng.uniform(0, 0.006))
    side = int(size * 1.25)
    back = texture(rng, side, side, clutter=int(rng.integers(0, 16)))
    if rng.random() < 0.4:
        back = np.asarray(cv2.GaussianBlur(back, (0, 0), rng.uniform(0.5, 3.0) * size / 112), dtype=np.uint8)
    centred = np.array(((1.0, 0, (size - side) / 2), (0, 1.0, (size - side) / 2)))
    layers = [Layer(back, camera, centred)]
    if plain:
        return Scene((Layer(back, np.zeros((frames, 2)), centred),), np.zeros((frames, 2)), None)
    for scale in (1.0, 0.55) if rng.random() < 0.15 else (1.0,):
        if rng.random() > 0.6:
            continue
        image = person(rng, size)
        half = image.shape[0] / 2
        zoom = scale / aspect
        matrix = np.array(((zoom, 0, size / 2 - zoom * half), (0, 1.0, size / 2 - half + (1 - scale) * size / 3)))
        if scale < 1:  # a second, smaller person further back, off to a side
            matrix[1, 1] = scale
            matrix[:, 2] = (size * (rng.uniform(0.1, 0.9)) - zoom * half, size * 0.5 - scale * half)
        breath = (0.02, 0.0015) if calm or rng.random() < 0.6 else (0.09, 0.002)
        sway = wander(rng, frames, rng.uniform(0, breath[0]), breath[1] * rng.random())
        layers.insert(1, Layer(image, camera + sway, matrix))
    if not calm and rng.random() < 0.12:  # something small passes slowly
        spot = texture(rng, 8, 8)
        stamp = np.dstack((spot, np.full((8, 8), 255, np.uint8)))
        zoom = rng.uniform(0.05, 0.14) * size / 8
        corner = rng.uniform(0, size, 2)
        matrix = np.array(((zoom, 0, corner[0]), (0, zoom, corner[1])))
        layers.append(Layer(stamp, camera + wander(rng, frames, 0.15, 0.0), matrix))
    occluder = None
    if rng.random() < 0.1:
        occluder = _occluder(rng, size)
    return Scene(tuple(layers), camera, occluder)


def _occluder(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """A still thing in front of everything (a monitor's edge, a plant, a mug), premultiplied RGBA [size, size, 4]."""
    alpha = np.zeros((size, size), np.uint8)
    centre = rng.uniform(0, size, 2)
    for _ in range(int(rng.integers(1, 4))):
        extent = rng.uniform(0.05, 0.4, 2) * size
        box = (tuple(map(float, centre)), tuple(map(float, extent)), float(rng.uniform(0, 180)))
        cv2.ellipse(alpha, box, 255, -1, cv2.LINE_AA)
        centre = centre + rng.uniform(-0.15, 0.15, 2) * size
    colour = texture(rng, size, size, clutter=3)
    return np.dstack(((colour.astype(np.uint16) * alpha[..., None] // 255).astype(np.uint8), alpha))
