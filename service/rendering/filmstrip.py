"""Draws the row of frames of a contact sheet and defines the time axis below it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actionlens.v1 import answer_pb2, explanation_pb2
from service.decoding.fit import scale
from service.decoding.sampling import uniform
from service.rendering.colours import GROUND
from service.rendering.heatmap import prepare_heatmap
from service.rendering.overlay import blend_heatmap
from service.rendering.strip import TimeAxis, label

_GAP = 8
_THUMB_HEIGHT = 112
_FEWEST, _MOST = 8, 16


class Filmstrip:
    """Chooses the frames that are shown, and their positions.

    frames: uint8 [T, h, w, 3] RGB, one per model frame. width: of the page in pixels. axis: where every model frame
    lies under the images. width, height: of one image.
    """

    def __init__(self, frames: NDArray[np.uint8], placement: answer_pb2.Placement, width: int) -> None:
        self.placement = placement
        self.page = width
        count, high, wide, _ = frames.shape
        fitting: int = int(width / (_THUMB_HEIGHT * wide / high + _GAP))
        shown = min(count, max(_FEWEST, min(_MOST, fitting)))
        self.width = min((width - (shown - 1) * _GAP) // shown, round(2 * _THUMB_HEIGHT * wide / high))
        self.height = max(1, min(round(self.width * high / wide), 2 * _THUMB_HEIGHT))
        self.chosen = uniform(count, shown)
        self.images = np.stack([scale(frames[frame], self.width, self.height) for frame in self.chosen])
        self.pitch: int = self.width + _GAP
        span = (shown - 1) * self.pitch
        self.axis = TimeAxis(
            width=span + self.width,
            frames=count,
            origin=self.width / 2,
            step=span / (count - 1) if count > 1 else float(self.width),
        )

    def left(self, index: int) -> int:
        """Left pixel of an image."""
        return index * self.pitch

    def row(self, explanation: explanation_pb2.Explanation | None = None) -> Image.Image:
        """The chosen frames side by side, with the heat of a saliency explanation over them if one is given."""
        images = self.images
        if explanation is not None:
            prepared = prepare_heatmap(explanation, self.axis.frames, self.height, self.width, self.placement)
            assert prepared is not None
            images = blend_heatmap(images, self.chosen, prepared)
        canvas = Image.new("RGB", (self.page, self.height), GROUND)
        for index, image in enumerate(images):
            canvas.paste(Image.fromarray(image), (self.left(index), 0))
        return canvas

    def captions(self, report: answer_pb2.FrameReport) -> Image.Image:
        """Number and time of each image in the source."""
        canvas = Image.new("RGB", (self.page, 24), GROUND)
        for index, frame in enumerate(self.chosen):
            if frame >= len(report.used):
                continue
            text = f"{report.used[frame]}"
            if frame < len(report.timestamps):
                text += f"  ·  {report.timestamps[frame]:.2f} s"
            label(canvas, text, (self.left(index) + self.width / 2, 7), "ma")
        return canvas
