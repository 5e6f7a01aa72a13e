"""Lays explanations over frames and encodes such frames as files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import av
import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, explanation_pb2
from service.rendering.colours import heat_colours
from service.rendering.heatmap import Heatmap, prepare_heatmap
from service.rendering.legend import stamp_legend

# The scene behind the heat loses some of its colour, so that the heat's colours are the strongest thing to see.
_FADED = 0.35
_UNSEEN = 0.35
_NOT_KEPT = 0.45
_JPEG_QUALITY = 90
# Per second: the usual clock of films, which common frame rates divide.
_TICKS = 90_000


def blend(
    frames: NDArray[np.uint8],
    explanation: explanation_pb2.Explanation,
    placement: answer_pb2.Placement | None = None,
    model_frames: Sequence[int] | None = None,
    legend: bool = True,
) -> NDArray[np.uint8]:
    """Lay an explanation over frames: uint8 [n, h, w, 3] RGB in, the same out.

    frames: one image per model frame, at any size; the model's own, or the source's when `placement` says where it
    lies in the model's frame. Small ones look better enlarged first (`enlarge`). model_frames: the model frame
    that each image is, when they are not frames 0 .. n - 1 in full. The colour scale is one for the clip, never per
    frame. A selective method's kept part is outlined and in full colour, the rest is tinted faintly. Parts that the
    model did not see are dimmed. An explanation without a saliency volume leaves the frames as they are. Raises
    ValueError when its tensors do not decode.
    """
    chosen = range(len(frames)) if model_frames is None else model_frames
    prepared = prepare_heatmap(explanation, max(chosen) + 1, frames.shape[1], frames.shape[2], placement)
    if prepared is None:
        return frames.copy()
    images = blend_heatmap(frames, chosen, prepared)
    if legend:
        stamp_legend(images, prepared.peak, prepared.signed)
    return images


def blend_heatmap(images: NDArray[np.uint8], model_frames: Sequence[int], prepared: Heatmap) -> NDArray[np.uint8]:
    """Lay prepared heat over some frames: uint8 [n, h, w, 3] RGB in and out. model_frames: the model frame of each."""
    painted = [_paint(image, prepared, frame) for image, frame in zip(images, model_frames, strict=True)]
    return np.stack(painted)


def enlarge(frames: NDArray[np.uint8], side: int = 448) -> NDArray[np.uint8]:
    """uint8 [T, h, w, 3] with the shorter side at least `side` pixels, in the same aspect; large ones unchanged."""
    height, width = frames.shape[1:3]
    factor = side / min(height, width)
    if factor <= 1:
        return frames
    size = (round(width * factor), round(height * factor))
    return np.stack([np.asarray(cv2.resize(f, size, interpolation=cv2.INTER_CUBIC), np.uint8) for f in frames])


def write_mp4(target: Path | BinaryIO, frames: NDArray[np.uint8], times: Sequence[float]) -> None:
    """Write uint8 [T, h, w, 3] RGB as an H.264 file that plays everywhere (yuv420p, index first).

    Small frames are enlarged to at least 448 pixels on the shorter side, odd sides get one more row or column. times:
    seconds from the start of the film to the beginning of each frame, and to the end of the last, rising (T + 1;
    `film_times`). The target's name does not matter; a stream is written from its present position.
    """
    images = _even(enlarge(frames))
    # Two frames are never shown at once, however close their times are.
    starts: list[int] = []
    for seconds in times:
        starts.append(max(round(seconds * _TICKS), starts[-1] + 1 if starts else 0))
    rate = Fraction(len(images) * _TICKS, starts[-1]).limit_denominator(1001)
    # Moving the index to the front needs a file that can be read back.
    with tempfile.TemporaryDirectory(prefix="actionlens-") as folder:
        path = Path(folder, "video.mp4")
        with av.open(str(path), "w", format="mp4", container_options={"movflags": "+faststart"}) as video:
            # Without B frames: the length of a track is that of the clock of decoding, which they let run differently.
            options = {"crf": "18", "preset": "veryfast", "bf": "0"}
            stream: Any = video.add_stream("libx264", rate=rate, options=options)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            stream.codec_context.time_base = Fraction(1, _TICKS)
            stream.codec_context.color_range = 1
            stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = 1
            lasting = dict(pairwise(starts))
            for image, start in zip(images, starts[:-1], strict=True):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
                frame.pts, frame.time_base = start, Fraction(1, _TICKS)
                _mux(video, stream.encode(frame), lasting)
            _mux(video, stream.encode(None), lasting)
        if isinstance(target, Path):
            shutil.copyfile(path, target)
        else:
            with path.open("rb") as source:
                shutil.copyfileobj(source, target)


def _mux(video: Any, packets: Sequence[Any], lasting: dict[int, int]) -> None:
    """Write packets; each lasts until the next one begins. lasting: end of a frame by its start."""
    for packet in packets:
        packet.duration = lasting[packet.pts] - packet.pts
        video.mux(packet)


def encode_jpeg(frame: NDArray[np.uint8]) -> bytes:
    """A JPEG (quality 90, 4:4:4 colour, so that thin outlines stay sharp) of uint8 [h, w, 3] RGB."""
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(frame), _JPEG_QUALITY, "RGB", "444")
    return data


def _paint(image: NDArray[np.uint8], prepared: Heatmap, frame: int) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    scene = cv2.addWeighted(image, 1 - _FADED, grey, _FADED, 0)
    colours, opacity = heat_colours(prepared.at(frame), prepared.signed)
    kept = prepared.kept(frame)
    if kept is not None:
        opacity = np.where(kept, opacity, opacity * np.float32(_NOT_KEPT))
        # The part left out is evidence too, but of the scene: shown without colour.
        pale = cv2.cvtColor(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        colours = np.where(kept[..., None], colours, pale)
    drawn = np.asarray(cv2.blendLinear(scene, colours, 1 - opacity, opacity), np.uint8)
    if not prepared.seen.all():
        dark = cv2.convertScaleAbs(scene, alpha=_UNSEEN)
        drawn = np.where(prepared.seen[..., None], drawn, dark).astype(np.uint8)
    if kept is not None:
        edges, _ = cv2.findContours(kept.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        thickness = max(1, round(min(drawn.shape[:2]) / 200))
        cv2.drawContours(drawn, edges, -1, (255, 255, 255), thickness, cv2.LINE_AA)
    return drawn


def _even(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
