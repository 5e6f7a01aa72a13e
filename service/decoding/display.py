"""A clip's frames at a size for viewing, in the source's own aspect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import clip_pb2
from service.decoding.clip import raw_pixels, to_rgb
from service.decoding.fit import refit, scale
from service.decoding.image import decode_image, image_size
from service.decoding.video import read_video
from service.errors import InvalidArgument
from service.settings import Limits

Encoded = Path | bytes


def display_frames(
    clip: clip_pb2.Clip, indices: Sequence[int], max_side: int = 640, limits: Limits | None = None
) -> NDArray[np.uint8]:
    """Decode frames of a clip as it was sent; otherwise as `decode_for_display`. Raises InvalidArgument."""
    match clip.WhichOneof("source"):
        case "video":
            return decode_for_display(clip.video, indices, max_side, limits)
        case "frames":
            return decode_for_display(list(clip.frames.images), indices, max_side, limits)
        case _:
            pixels = raw_pixels(clip.raw, limits or Limits())
            chosen = _existing(tuple(indices), len(pixels))
            return np.stack([_sized(to_rgb(pixels[index], clip.raw.format), max_side) for index in chosen])


def decode_for_display(
    source: Encoded | Sequence[Encoded], indices: Sequence[int], max_side: int = 640, limits: Limits | None = None
) -> NDArray[np.uint8]:
    """Frames of a clip: uint8 [len(indices), h, w, 3] RGB, the longer side `max_side` pixels.

    source: a video file (path or bytes), or JPEG and PNG images in order of time. indices: positions in
    the source, any order (FrameReport.used). Small sources are enlarged, so that outlines and text drawn on them are
    sharp. Raises InvalidArgument when the clip does not decode or has no such frame, OSError when a file cannot be
    read.
    """
    bounds = limits or Limits()
    wanted = tuple(indices)
    if not wanted:
        raise InvalidArgument("indices: name at least one frame", field="indices", reason="SAMPLING_WRONG_COUNT")
    if isinstance(source, (Path, bytes)):
        video = read_video(
            _read(source),
            lambda count, _: _existing(wanted, count),
            lambda p: _sized(p, max_side),
            bounds,
            "clip.video",
        )
        return np.stack(video.frames)
    _existing(wanted, len(source))
    width, height = image_size(_read(source[0]), bounds, "clip.frames.images[0]")
    images = {
        index: _sized(
            refit(decode_image(_read(source[index]), bounds, f"clip.frames.images[{index}]"), width, height), max_side
        )
        for index in sorted(set(wanted))
    }
    return np.stack([images[index] for index in wanted])


def _read(source: Encoded) -> bytes:
    return source.read_bytes() if isinstance(source, Path) else source


def _existing(indices: tuple[int, ...], count: int) -> tuple[int, ...]:
    if min(indices) < 0 or max(indices) >= count:
        raise InvalidArgument(
            f"indices: the clip has frames 0 to {count - 1}, frame {max(indices)} was asked for",
            field="indices",
            reason="SAMPLING_OUT_OF_RANGE",
        )
    return indices


def _sized(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    longer = max(height, width)
    size = (max(1, round(width * max_side / longer)), max(1, round(height * max_side / longer)))
    if longer < max_side:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return scale(image, *size)
