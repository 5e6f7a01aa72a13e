"""Brings relevance of native resolution onto the frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, explanation_pb2

# Maps of more cells than this are peaky (input resolution): a few extreme cells must not set the scale.
_FINE = 20_000
_FINE_QUANTILE = 0.999
_SAME_ASPECT = 0.02


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A saliency volume ready to be drawn on frames of one size.

    volume: float32 [T', H', W'] native values; 0 where not finite. mask: the same of 0 and 1, or None. positions:
    float64 [T'] model frame of each step, rising. peak: the value that is drawn at full strength, one for the whole
    clip; 0 for an empty map. columns, rows: float32 [h, w], where each pixel of the image lies on the native grid.
    seen: bool [h, w], the part of the image that the model saw.
    """

    volume: NDArray[np.float32]
    mask: NDArray[np.float32] | None
    positions: NDArray[np.float64]
    peak: float
    signed: bool
    columns: NDArray[np.float32]
    rows: NDArray[np.float32]
    seen: NDArray[np.bool_]

    def at(self, frame: float) -> NDArray[np.float32]:
        """Trilinear relevance at a model frame, divided by the peak: float32 [h, w], about -1 .. 1."""
        if self.peak <= 0:
            return np.zeros(self.seen.shape, np.float32)
        return self._resample(self.volume, frame) / np.float32(self.peak)

    def kept(self, frame: float) -> NDArray[np.bool_] | None:
        """The selective mask at a model frame: bool [h, w], True where relevance is kept; None without a mask."""
        return None if self.mask is None else self._resample(self.mask, frame) > 0.5

    def _resample(self, volume: NDArray[np.float32], frame: float) -> NDArray[np.float32]:
        step = float(np.interp(frame, self.positions, np.arange(len(self.positions))))
        before = int(step)
        after, share = min(before + 1, len(volume) - 1), np.float32(step - before)
        plane = volume[before] * (1 - share) + volume[after] * share
        resampled = cv2.remap(plane, self.columns, self.rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.where(self.seen, resampled, np.float32(0))


def prepare_heatmap(
    explanation: explanation_pb2.Explanation,
    frames: int,
    height: int,
    width: int,
    placement: answer_pb2.Placement | None = None,
) -> Heatmap | None:
    """Prepare an explanation's saliency for images of height x width; None when it has no saliency volume.

    frames: T, the number of model frames. placement: where the source lies in the model's frame. With a placement,
    images of another aspect than the model's are taken as source images, and the heat is mapped back to them.
    Raises ValueError when a tensor does not decode or has no three dimensions of at least 1.
    """
    if explanation.WhichOneof("value") != "saliency":
        return None
    saliency = explanation.saliency
    values = to_array(saliency.values)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"saliency.values: shape {list(values.shape)}, expected [T', H', W']")
    values = np.where(np.isfinite(values), values, np.float32(0))
    mask = (to_array(saliency.mask).reshape(values.shape) > 0).astype(np.float32) if saliency.HasField("mask") else None
    positions = np.asarray(saliency.frame_positions, np.float64)
    if len(positions) != len(values) or not np.isfinite(positions).all():
        positions = (np.arange(len(values)) + 0.5) * frames / len(values) - 0.5
    order = np.argsort(positions, kind="stable")
    signed = saliency.signed and bool((values < 0).any())
    columns, rows, seen = _grid(values.shape[1], values.shape[2], height, width, placement)
    return Heatmap(
        volume=values[order],
        mask=None if mask is None else mask[order],
        positions=positions[order],
        peak=_peak(np.abs(values) if signed else np.maximum(values, 0)),
        signed=signed,
        columns=columns,
        rows=rows,
        seen=seen,
    )


def is_model_frame(height: int, width: int, placement: answer_pb2.Placement | None) -> bool:
    """Whether images of this size are the model's own frames at any scale, and not source images.

    Recognised by the aspect. A source with the aspect of the model's frame fills it, so there either answer is right.
    """
    if placement is None or not placement.width or not placement.frame_height:
        return True
    aspect = placement.frame_width / placement.frame_height
    return abs(width / height - aspect) <= _SAME_ASPECT * aspect


def _peak(strength: NDArray[np.float32]) -> float:
    if strength.size <= _FINE:
        return float(strength.max())
    present = strength[strength > 0]
    return float(np.quantile(present, _FINE_QUANTILE)) if present.size else 0.0


def _grid(
    grid_height: int, grid_width: int, height: int, width: int, placement: answer_pb2.Placement | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    # Positions of the pixel centres in the model's frame, as shares of its width and height.
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    if placement is not None and not is_model_frame(height, width, placement):
        x = (placement.left + x * placement.width) / placement.frame_width
        y = (placement.top + y * placement.height) / placement.frame_height
    seen = ((y >= 0) & (y < 1))[:, None] & ((x >= 0) & (x < 1))[None]
    # A cell's value stands at its centre.
    columns, rows = np.meshgrid((x * grid_width - 0.5).astype(np.float32), (y * grid_height - 0.5).astype(np.float32))
    return columns, rows, seen
