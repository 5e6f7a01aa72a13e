"""Decoded video frames as upright RGB pictures."""

from __future__ import annotations

import struct
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from service.media.picture import over_black


def upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB as a player shows it: rotation and mirroring applied, alpha laid over black.

    The colour matrix and range are the frame's own. Pixels are taken as square.
    """
    translucent = frame.format.has_palette or any(part.is_alpha for part in frame.format.components)
    if translucent:
        picture = over_black(np.asarray(frame.to_ndarray(format="rgba"), np.uint8))
    else:
        picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    extras: Any = frame.side_data
    return turn(picture, bytes(extras[Type.DISPLAYMATRIX])) if Type.DISPLAYMATRIX in extras else picture


def turn(picture: NDArray[np.uint8], matrix: bytes) -> NDArray[np.uint8]:
    """Apply a display matrix to a picture [H, W, C], to the nearest of the eight quarter turns and mirrorings.

    matrix: nine native-endian int32 (a b u, c d v, x y w); a source point (p, q) is shown at (a p + c q, b p + d q).
    """
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        across, down = a, d
    else:
        picture = picture.transpose(1, 0, 2)
        across, down = c, b
    if across < 0:
        picture = picture[:, ::-1]
    if down < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)
