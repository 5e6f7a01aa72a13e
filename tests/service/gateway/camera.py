"""Writes a file that Chromium takes for its fake webcam, from real frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def write_camera(path: Path, frames: Sequence[NDArray[np.uint8]], fps: int) -> Path:
    """Write uint8 [height, width, 3] RGB frames with even sides as YUV4MPEG2; Chromium plays it in a loop."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n")
            file.write(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YUV_I420).tobytes())
    return path
