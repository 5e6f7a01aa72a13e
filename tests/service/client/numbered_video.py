"""Videos whose frame i is grey of a level that encodes i."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

_FIRST, _STEP = 20, 6


def write_video(path: Path, frames: int, fps: int = 10, size: tuple[int, int] = (48, 64)) -> Path:
    """An mp4 of up to 38 grey frames; size: height, width."""
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=Fraction(fps), options={"crf": "1"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            video.mux(stream.encode(av.VideoFrame.from_ndarray(grey(number, size), format="rgb24")))
        video.mux(stream.encode(None))
    return path


def grey(number: int, size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    return np.full((*size, 3), _FIRST + _STEP * number, np.uint8)


def number_of(image: NDArray[np.uint8]) -> int:
    """Which frame of `write_video` this is."""
    return round((float(image.mean()) - _FIRST) / _STEP)
