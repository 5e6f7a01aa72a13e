"""Blobs of a saliency map: how many patches a model looks at, how large, how central (temporal-mask paper, 4.3)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from handlers.evaluation.common.voxels import voxel_map
from handlers.evaluation.measure import LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution
from handlers.models.action_model import ActionModel

_SIZE = 224
"""Lengths are those of a frame whose shorter side has so many pixels, so that models of all sizes compare."""


@dataclass(frozen=True)
class Blob:
    """A patch of one frame. area: pixels. y, x: its centroid, pixel centres at whole numbers."""

    area: float
    y: float
    x: float

    @property
    def diameter(self) -> float:
        """Of the disc of its area."""
        return 2 * math.sqrt(self.area / math.pi)


def components(frame: Tensor, least_area: float = 9) -> list[Blob]:
    """The 8-connected patches of a frame, bool [H, W], with at least so many pixels."""
    _, _, found, centres = cv2.connectedComponentsWithStats(frame.numpy().astype(np.uint8), connectivity=8)
    areas = found[1:, cv2.CC_STAT_AREA].tolist()
    return [
        Blob(float(area), float(y), float(x))
        for area, (x, y) in zip(areas, centres[1:].tolist(), strict=True)
        if area >= least_area
    ]


def simple_blobs(frame: Tensor) -> list[Blob]:
    """The blobs that OpenCV's SimpleBlobDetector finds with its defaults in a frame, float [H, W] in 0 .. 1.

    Its defaults want blobs to be convex and not too long, of 25 to 5000 pixels, and darker than what is around them: so
    high values are drawn dark. The paper names "the blob detection tool from OpenCV" and no settings.
    """
    image = ((1 - frame.clamp(0, 1)) * 255).round().to(torch.uint8).numpy()
    found = cv2.SimpleBlobDetector.create().detect(image)
    return [Blob(math.pi * (blob.size / 2) ** 2, blob.pt[1], blob.pt[0]) for blob in found]


@dataclass(frozen=True)
class BlobStatistics:
    """Means and standard deviations (Table 3): count over all frames, the others over all blobs. NaN: of none."""

    count: tuple[float, float]
    diameter: tuple[float, float]
    area: tuple[float, float]
    distance: tuple[float, float]


def statistics(clips: Iterable[tuple[Tensor, Tensor]]) -> BlobStatistics:
    """Over a set of clips: each one's counts, float [T], and blobs, float [n, 3] of diameter, area and distance."""
    pairs = list(clips)
    counts = torch.cat([torch.zeros(0), *(count.flatten() for count, _ in pairs)]).double()
    blobs = torch.cat([torch.zeros(0, 3), *(blob.reshape(-1, 3) for _, blob in pairs)]).double()
    return BlobStatistics(_spread(counts), *(_spread(column) for column in blobs.T))


def _spread(numbers: Tensor) -> tuple[float, float]:
    mean = float(numbers.mean()) if len(numbers) else math.nan
    return mean, float(numbers.std()) if len(numbers) > 1 else math.nan


class BlobParameters(MeasureParameters):
    """Parameters of blobs."""

    threshold: Annotated[
        float, Field(gt=0, le=1, description="share of the clip's highest value that a blob's pixels reach")
    ] = 0.5
    least_area: Annotated[
        float, Field(ge=0, le=50_176, description="pixels of a frame of 224; smaller components do not count")
    ] = 9.0
    detector: Annotated[
        Literal["components", "simple"],
        Field(description="components: 8-connected; simple: OpenCV's SimpleBlobDetector, which wants them convex"),
    ] = "components"


class Blobs(MapMeasure[BlobParameters]):
    """Number of blobs in a frame, and their size and distance to the centre in pixels of a frame of 224."""

    name = "blobs"
    summary = "how many patches of a frame are salient, their size and distance to the centre; neither way is better"
    source = "Interpreting video features (Mänttäri et al.), 4.3 and Table 3"
    parameters = BlobParameters
    random_draws = 1

    def forwards(self, model: ActionModel, frames: int, parameters: BlobParameters) -> int:
        return 0

    def measure(self, subject: Subject, attribution: Attribution, parameters: BlobParameters) -> Measured:
        """counts: float32 [T]; blobs: float32 [n, 3] of diameter, area and distance, for `statistics` of a set.

        The centre is that of what is no padding. The paper's "size in pixels" has the magnitude of a diameter; the area
        stands beside it.
        """
        values = voxel_map(subject, attribution)
        highest = float(values.max())
        if highest <= 0:
            raise LeftOut("no voxel has positive relevance")
        shares = values / highest
        _, height, width = subject.shape
        top, bottom, left, right = subject.visible or (0, height, 0, width)
        middle = (top + bottom - 1) / 2, (left + right - 1) / 2
        scale = _SIZE / min(height, width)
        if parameters.detector == "simple":
            size = (round(height * scale), round(width * scale))
            frames = [simple_blobs(_resized(frame, size)) for frame in shares]
            middle = (middle[0] + 0.5) * scale - 0.5, (middle[1] + 0.5) * scale - 0.5
            scale = 1.0
        else:
            least = parameters.least_area / scale**2
            frames = [components(frame >= parameters.threshold, least) for frame in shares]
        counts = torch.tensor([float(len(frame)) for frame in frames])
        found = [
            (scale * blob.diameter, scale**2 * blob.area, scale * math.hypot(blob.y - middle[0], blob.x - middle[1]))
            for frame in frames
            for blob in frame
        ]
        blobs = torch.tensor(found, dtype=torch.float32).reshape(-1, 3)
        measured = {"blobs": Value(float(counts.mean()))}
        left_out = {}
        for name, column in zip(("diameter", "area", "distance"), blobs.T, strict=True):
            if len(column):
                measured[name] = Value(float(column.mean()), unit="px")
            else:
                left_out[name] = "no blob is large enough"
        return Measured(measured, left_out, arrays={"counts": counts, "blobs": blobs})


def _resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(cv2.resize(frame.numpy(), (size[1], size[0]), interpolation=cv2.INTER_LINEAR))


MEASURES = (Blobs(),)
