"""Images of any size, made to the model's size."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.card import Resize
from actionlens.v1 import answer_pb2, model_pb2

# Shapes of one video at several sizes differ by so much at most: its encoders round to even numbers of pixels.
_SAME_SHAPE = 0.03
_MOST = 64
"""Times the frame's pixels: an image that would be scaled to more of them has its middle cut out first."""


def fit(image: NDArray[np.uint8], model_input: model_pb2.ModelInput) -> tuple[NDArray[np.uint8], answer_pb2.Placement]:
    """Make an image [H, W, 3] uint8 into the model's frame [height, width, 3] and say where the image lies in it.

    "stretch" scales both sides freely, "letterbox" scales the longer side and centres the rest on black, "crop"
    scales the shorter side (to `shorter` pixels where the model says so), then cuts out the centre. Shrinking averages
    over areas (no aliasing), enlarging is bilinear. The placement is in pixels of the model's frame; for "crop" it
    reaches beyond the frame.
    Raises ValueError for an unknown resize rule.
    """
    placement = placement_of(image.shape[1], image.shape[0], model_input)
    height, width = model_input.height, model_input.width
    if _rule(model_input) is Resize.LETTERBOX:
        frame = np.zeros((height, width, 3), np.uint8)
        left, top = int(placement.left), int(placement.top)
        inner = scale(image, int(placement.width), int(placement.height))
        frame[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return frame, placement
    if _rule(model_input) is Resize.CROP:
        scaled = _scaled(image.shape[1], image.shape[0], model_input)
        if _is_strip(scaled, model_input):
            x, y, across, down = _kept(image.shape[1], image.shape[0], model_input)
            return scale(image[y : y + down, x : x + across], width, height), placement
        left, top = -int(placement.left), -int(placement.top)
        return np.ascontiguousarray(scale(image, *scaled)[top : top + height, left : left + width]), placement
    return scale(image, width, height), placement


def placement_of(width: int, height: int, model_input: model_pb2.ModelInput) -> answer_pb2.Placement:
    """The placement that `fit` gives an image of this size, in pixels of the model's frame."""
    frame_width, frame_height = model_input.width, model_input.height
    rule = _rule(model_input)
    left, top, across, down = 0.0, 0.0, float(frame_width), float(frame_height)
    if rule is Resize.LETTERBOX:
        # The scaled side is rounded down, as most training code does (`int(side * ratio)`).
        across = min(frame_width, max(1, width * frame_height // height))
        down = min(frame_height, max(1, height * frame_width // width))
        left, top = (frame_width - across) // 2, (frame_height - down) // 2
    elif rule is Resize.CROP and not _is_strip(scaled := _scaled(width, height, model_input), model_input):
        across, down = scaled
        left, top = -_middle(across, frame_width), -_middle(down, frame_height)
    elif rule is Resize.CROP:
        x, y, kept_width, kept_height = _kept(width, height, model_input)
        across, down = width * frame_width / kept_width, height * frame_height / kept_height
        left, top = -x * frame_width / kept_width, -y * frame_height / kept_height
    return answer_pb2.Placement(
        left=left, top=top, width=across, height=down, frame_width=frame_width, frame_height=frame_height
    )


def scale(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize [H, W, 3] uint8 to [height, width, 3]: area averages where a side shrinks, bilinear where it grows."""
    before = image.shape[:2]
    if before == (height, width):
        return np.ascontiguousarray(image)
    # OpenCV's area rule is only area averaging when no side grows, so the sides that shrink go first.
    smaller = (min(before[0], height), min(before[1], width))
    if smaller != before:
        image = np.asarray(cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    if smaller != (height, width):
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return image


def refit(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Bring an image [H, W, 3] uint8 of a source whose size changes to the size of its first: [height, width, 3].

    It fills that where the shape stays the same but for rounding; else it is scaled to fit in and centred on black.
    """
    tall, wide = image.shape[:2]
    if (wide, tall) == (width, height):
        return image
    if abs(wide * height - tall * width) <= _SAME_SHAPE * tall * width:
        return scale(image, width, height)
    ratio = min(width / wide, height / tall)
    inner = scale(image, max(1, round(wide * ratio)), max(1, round(tall * ratio)))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


def _rule(model_input: model_pb2.ModelInput) -> Resize:
    return Resize(model_input.resize or Resize.STRETCH)


def _scaled(width: int, height: int, model_input: model_pb2.ModelInput) -> tuple[int, int]:
    """Width and height that a source is scaled to before the middle is cut out; the longer side is rounded down, as
    torchvision, PyTorchVideo and PySlowFast do."""
    least = min(width, height)
    sides = ((model_input.width, width), (model_input.height, height), (model_input.shorter, least))
    ratio = max(Fraction(*pair) for pair in sides)
    return int(width * ratio), int(height * ratio)


def _kept(width: int, height: int, model_input: model_pb2.ModelInput) -> tuple[int, int, int, int]:
    """The centred part of a strip that becomes the frame: x, y, width, height in source pixels."""
    filling = max(model_input.width / width, model_input.height / height)
    ratio = max(filling, model_input.shorter / min(width, height))
    across = min(width, max(1, round(model_input.width / ratio)))
    down = min(height, max(1, round(model_input.height / ratio)))
    return (width - across) // 2, (height - down) // 2, across, down


def _middle(whole: int, part: int) -> int:
    """Where the middle part begins, as torchvision's CenterCrop has it: halves to even."""
    return round((whole - part) / 2)


def _is_strip(scaled: tuple[int, int], model_input: model_pb2.ModelInput) -> bool:
    """Whether it is cut before it is scaled: 10000 x 1 pixels scaled as a whole would take gigabytes."""
    return scaled[0] * scaled[1] > _MOST * model_input.width * model_input.height
