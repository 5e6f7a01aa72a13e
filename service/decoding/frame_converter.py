"""Decoded video frames as upright RGB images of square pixels."""

from __future__ import annotations

import struct
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from service.decoding.colour import Light, light_of, to_screen
from service.decoding.image import over_black
from service.decoding.pixel_aspect import PixelAspect, square_pixels

# AVCOL_*_UNSPECIFIED.
_UNSPECIFIED = 2
# By H.273 3 is reserved and so is 0, but as the matrix of RGB, which says nothing of YUV.
_UNKNOWN = (0, _UNSPECIFIED, 3)
_BT709, _BT601, _BT2020 = 1, 6, 9
_MATRIX_OF_PRIMARIES = {1: _BT709, 4: _BT601, 5: _BT601, 6: _BT601, 9: _BT2020}
# Larger images that do not say are taken as high definition.
_SD_WIDTH, _SD_HEIGHT = 1279, 576
# AVCOL_RANGE_JPEG.
_FULL_RANGE = 2


def _unnamed_side_data(kind: type[Type], value: object) -> Any:
    """A member for side data that PyAV has no name for; one such entry would hide all entries of its frame."""
    member: Any = object.__new__(kind)
    member._name_ = f"UNNAMED_{value}"
    member._value_ = value
    return member


# PyAV 18 lacks the newer kinds of FFmpeg 8, among them EXIF (31), which every JPEG of a camera has.
Type._missing_ = classmethod(_unnamed_side_data)  # type: ignore[method-assign,assignment]


class FrameConverter:
    """Makes images of the frames of one stream, as a player shows them. Make it before anything is decoded."""

    def __init__(self, stream: Any) -> None:
        codec = stream.codec_context
        self._aspect = PixelAspect(stream)
        # What the container says of the colours: decoders forget it where the codec's own headers are silent.
        self._transfer = codec.color_trc
        self._primaries = codec.color_primaries
        self._matrix = codec.colorspace
        self._range = codec.color_range

    def image(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] RGB: square pixels, rotation and mirroring applied, alpha laid over black.

        High dynamic range (PQ, HLG) and wide gamut are brought to an ordinary screen (`colour`). Where neither the
        frame nor the container says, YUV has limited range, and BT.2020's matrix with PQ, HLG or BT.2020 primaries,
        else BT.709's from 1280 pixels of width or 577 of height on, BT.601's below. Raises av.FFmpegError when the
        pixel format has no conversion to RGB.
        """
        image = square_pixels(self._rgb(frame), self._aspect.now())
        extras: Any = frame.side_data
        return apply_display_matrix(image, bytes(extras[Type.DISPLAYMATRIX])) if Type.DISPLAYMATRIX in extras else image

    def _rgb(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        light = self._describe(frame)
        translucent = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
        if light.ordinary:
            return over_black(_convert(frame, "rgba")) if translucent else _convert(frame, "rgb24")
        pixels = _convert(frame, "rgba64le" if translucent else "rgb48le")
        shown = to_screen(pixels[..., :3], light, _white(frame))
        if translucent:
            shown = over_black(np.dstack((shown, (pixels[..., 3] >> 8).astype(np.uint8))))
        return shown

    def _describe(self, frame: av.VideoFrame) -> Light:
        """What the frame's pixels mean; its matrix and range are filled in for the converter."""
        transfer = self._transfer if frame.color_trc in _UNKNOWN else frame.color_trc
        primaries = self._primaries if frame.color_primaries in _UNKNOWN else frame.color_primaries
        light = light_of(transfer, primaries)
        if not frame.format.is_rgb:
            if frame.colorspace in _UNKNOWN:
                usual = _usual_matrix(frame, _BT2020 if light.transfer is not None else primaries)
                frame.colorspace = usual if self._matrix in _UNKNOWN else self._matrix
            if self._range == _FULL_RANGE:
                frame.color_range = _FULL_RANGE
        return light


def _usual_matrix(frame: av.VideoFrame, primaries: int) -> int:
    large = frame.width > _SD_WIDTH or frame.height > _SD_HEIGHT
    return _MATRIX_OF_PRIMARIES.get(primaries, _BT709 if large else _BT601)


def _white(frame: av.VideoFrame) -> int:
    """The code that libswscale gives a signal of 1.0 in 16 bits."""
    depth = frame.format.components[0].bits
    if frame.format.is_rgb:
        return 2**16 - 1 if depth > 8 else 255 << 8
    if frame.color_range == _FULL_RANGE:
        return int(2**depth - 1 << 16 - depth)
    return 255 << 8


def _convert(frame: av.VideoFrame, form: str) -> NDArray[Any]:
    # Threads of every frame's own would live as long as it, and a frame whose side data was looked at lives until the
    # next collection of cycles.
    # And a decoder process may start none.
    try:
        return np.asarray(frame.to_ndarray(format=form, threads=1))
    except av.FFmpegError:
        # A colour description that no converter knows (often a damaged header): take the usual one.
        frame.colorspace = _usual_matrix(frame, frame.color_primaries)
        frame.color_primaries = frame.color_trc = _UNSPECIFIED
        return np.asarray(frame.to_ndarray(format=form, threads=1))


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
