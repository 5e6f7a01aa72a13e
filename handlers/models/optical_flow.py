"""Dense optical flow as the input of networks of motion (two streams; I3D)."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

REACH = 20.0
"""Pixels a frame: what moves further counts as moving so far (Carreira and Zisserman, 2017)."""


def flow(clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Where every pixel of a frame lies in the next frame: float32 [T, H, W, 2], to the right and down, in -1 .. 1.

    clip: uint8 RGB [T, H, W, 3], T >= 2, H and W >= 16. Row t belongs to frame t: it is the way from frame t to t + 1
    in units of REACH. The last frame has no next one and repeats the row before it. Frames that are the same give 0.
    DIS (Kroeger et al., 2016) on grey frames; the published networks were trained on TV-L1.
    """
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in clip]
    # One for every call: its buffers must not be shared between threads.
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = np.zeros((*clip.shape[:3], 2), np.float32)
    for row, (before, after) in enumerate(pairwise(grey)):
        found[row] = method.calc(before, after, found[row])  # a first guess goes in: no motion
    found[-1] = found[-2]
    return np.clip(found / REACH, -1, 1, out=found)


def speed(clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How many pixels each pixel of a frame moves to the next one: float32 [T, H, W], of `flow` and as it says."""
    found: NDArray[np.float32] = np.linalg.norm(flow(clip), axis=-1) * np.float32(REACH)
    return found
