"""Encodes answers as files for people: a video per explanation, and a contact sheet."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, explanation_pb2
from service.readings.explanation import frame_scores
from service.rendering.contact_sheet import contact_sheet
from service.rendering.evaluation_page import evaluation_page
from service.rendering.film_times import film_times
from service.rendering.overlay import blend, write_mp4
from service.rendering.timeline import timeline

DISPLAY_SIDE = 640
"""Longer side, in pixels, of the frames that are drawn on."""


def mp4_file(
    frames: NDArray[np.uint8], explanation: explanation_pb2.Explanation, report: answer_pb2.FrameReport
) -> bytes | None:
    """The explanation laid over the frames as an mp4 file; values per frame run along below. None where there are
    neither.

    frames: uint8 [T, h, w, 3], one per model frame, for people. Raises ValueError when a tensor does not decode.
    """
    match explanation.WhichOneof("value"):
        case "saliency":
            images = blend(frames, explanation, report.placement)
        case "frame_attribution":
            images = timeline(frames, frame_scores(explanation))
        case _:
            return None
    drawn = io.BytesIO()
    write_mp4(drawn, images, film_times(report))
    return drawn.getvalue()


def png_file(frames: NDArray[np.uint8], answer: answer_pb2.Answer) -> bytes:
    """The contact sheet of an answer as a PNG file. Arguments and errors as of `mp4_file`."""
    return _png(contact_sheet(frames, answer.prediction, list(answer.explanations), answer.frames))


def evaluation_png_file(answer: answer_pb2.Answer) -> bytes:
    """The page of an evaluation, the answer's one explanation, as a PNG file."""
    return _png(evaluation_page(answer))


def _png(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()
