"""The spatial pointing game: does each frame's highest point lie on the object (comprehensive study, 4.1; Zhang et al.,
2016)?"""

from __future__ import annotations

from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from handlers.evaluation.common.voxels import voxel_map
from handlers.evaluation.measure import Better, LeftOut, MapMeasure, Measured, MeasureParameters, Value
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution
from handlers.models.action_model import ActionModel

Shape = Literal["disc", "square"]

ANNOTATED_FRAMES = "annotated-frames"
"""Value by which clips weigh in the means of classes (service/evaluation/measurement.py knows it by this name)."""


def usual_radius(height: int, width: int) -> int:
    """The tolerance in pixels: 15 where the shorter side is 224, as in Zhang et al., 7 where it is 112, as in 4.1."""
    return 15 * min(height, width) // 224


def near(objects: Tensor, radius: int, shape: Shape = "disc") -> Tensor:
    """The pixels from which an object is within reach: bool [T, H, W].

    objects: bool [T, H, W]. "disc": at most `radius` pixels away, the paper's circle; "square": in each direction, as
    in the public script. A point hits exactly where the disc around it meets the object.
    """
    offsets = np.arange(-radius, radius + 1)
    distances = offsets[:, None] ** 2 + offsets[None] ** 2
    reach = (distances <= radius**2 if shape == "disc" else np.ones_like(distances)).astype(np.uint8)
    frames = objects.numpy().astype(np.uint8)
    grown = [np.asarray(cv2.dilate(frame, reach, borderType=cv2.BORDER_CONSTANT, borderValue=0)) for frame in frames]
    return torch.from_numpy(np.stack(grown) > 0)


def highest_pixels(values: Tensor, seen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each frame's highest pixel, a random one where several are equally high.

    values: float [T, H, W]. seen: bool [H, W], what is no padding, one pixel at least. Returns (int64 [T, 2] of y and
    x, bool [T] whether there were several).
    """
    places = seen.nonzero()
    shown = values[:, seen]
    highest = shown == shown.amax(1, keepdim=True)
    chance = torch.rand(shown.shape, generator=generator)
    return places[torch.where(highest, chance, -1.0).argmax(1)], highest.sum(1) > 1


def hits(points: Tensor, reach: Tensor) -> Tensor:
    """Whether each frame's point is in reach: bool [T]. points: int64 [T, 2] of y and x. reach: bool [T, H, W]."""
    return reach[torch.arange(len(points)), points[:, 0], points[:, 1]]


class PointingGameParameters(MeasureParameters):
    """Parameters of the pointing game."""

    radius: Annotated[
        int | None, Field(ge=0, le=512, description="pixels; 15/224 of the frame's shorter side when left out")
    ] = None
    shape: Annotated[Shape, Field(description="of the tolerance: disc, or square as the public script has it")] = "disc"


class PointingGame(MapMeasure[PointingGameParameters]):
    """Share of the annotated frames whose highest point is near the object, with what a random point would get."""

    name = "pointing-game"
    summary = "share of frames whose highest point lies on the object, in %; higher is better, noise gets the chance"
    source = "comprehensive study, 4.1 (S-PT); Zhang et al., 2016"
    parameters = PointingGameParameters
    needs = frozenset({"objects"})

    def forwards(self, model: ActionModel, frames: int, parameters: PointingGameParameters) -> int:
        return 0

    def measure(self, subject: Subject, attribution: Attribution, parameters: PointingGameParameters) -> Measured:
        """Frames without annotation, and annotated ones without an object, count neither as hit nor as miss.

        annotated-frames: how many count, by which clips weigh in the means of classes. hits: uint8 [T]; counted: uint8
        [T], the frames that count.
        """
        truth, seen = subject.truth, subject.seen
        if truth.objects is None:
            raise LeftOut("the clip has no annotated objects")
        objects = truth.objects & seen
        counted = objects.flatten(1).any(1)
        if truth.annotated is not None:
            counted &= truth.annotated
        if not counted.any():
            raise LeftOut("no annotated frame has an object")
        _, height, width = subject.shape
        radius = usual_radius(height, width) if parameters.radius is None else parameters.radius
        reach = near(objects, radius, parameters.shape)
        points, several = highest_pixels(voxel_map(subject, attribution), seen, subject.generator())
        hit = hits(points, reach) & counted
        values = {
            self.name: Value(100 * int(hit.sum()) / int(counted.sum()), Better.HIGHER, "%"),
            "chance": Value(100 * float(reach[counted][:, seen].double().mean()), unit="%"),
            "tied": Value(100 * int((several & counted).sum()) / int(counted.sum()), unit="%"),
            ANNOTATED_FRAMES: Value(int(counted.sum())),
        }
        return Measured(values, arrays={"hits": hit.to(torch.uint8), "counted": counted.to(torch.uint8)})


MEASURES = (PointingGame(),)
