"""Decoded video frames as upright RGB images."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from service.decoding.image import over_black
from service.decoding.pixel_aspect import square_pixels

# AVCOL_*_UNSPECIFIED.
_UNSPECIFIED = 2


def _unnamed_side_data(kind: type[Type], value: object) -> Any:
    """A member for side data that PyAV has no name for; one such entry would hide all entries of its frame."""
    member: Any = object.__new__(kind)
    member._name_ = f"UNNAMED_{value}"
    member._value_ = value
    return member


# PyAV 18 lacks the newer kinds of FFmpeg 8, among them EXIF (31), which every JPEG of a camera has.
Type._missing_ = classmethod(_unnamed_side_data)  # type: ignore[method-assign,assignment]


def oriented_rgb(frame: av.VideoFrame, aspect: Fraction) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB as a player shows it: square pixels, rotation and mirroring applied, alpha laid over black.

    aspect: width over height of the frame's pixels as stored. The colour matrix and range are the frame's own. Raises
    av.FFmpegError when the pixel format has no conversion to RGB.
    """
    translucent = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    image = over_black(_convert(frame, "rgba")) if translucent else _convert(frame, "rgb24")
    image = square_pixels(image, aspect)
    extras: Any = frame.side_data
    return apply_display_matrix(image, bytes(extras[Type.DISPLAYMATRIX])) if Type.DISPLAYMATRIX in extras else image


def _convert(frame: av.VideoFrame, form: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(frame.to_ndarray(format=form), np.uint8)
    except av.FFmpegError:
        # A colour description that no converter knows (often a damaged header): take the usual one.
        frame.colorspace = frame.color_primaries = frame.color_trc = _UNSPECIFIED
        return np.asarray(frame.to_ndarray(format=form), np.uint8)


def apply_display_matrix(image: NDArray[np.uint8], matrix: bytes) -> NDArray[np.uint8]:
    """Apply a display matrix to an image [H, W, C], to the nearest of the eight quarter turns and mirrorings.

    matrix: nine native-endian int32 (a b u, c d v, x y w); a source point (p, q) is shown at (a p + c q, b p + d q).
    """
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        image = image.transpose(1, 0, 2)
        across, down = c, b
    if across < 0:
        image = image[:, ::-1]
    if down < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)
