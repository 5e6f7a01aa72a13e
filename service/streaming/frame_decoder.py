"""Decodes the frames of a stream: as they arrive, and at the model's size."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, model_pb2, service_pb2
from service.concurrency.thread_pool import Pool
from service.dataplane.resolved_request import ResolvedRequest
from service.decoding.fit import fit, placement_of, refit
from service.decoding.image import raw_image
from service.decoding.process.decoder import Decoder
from service.errors import InvalidArgument
from service.settings import Limits
from service.validation.request import check_message

_LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """An undecoded frame, and the request that held when it came. arrived: seconds on time.perf_counter's clock."""

    message: service_pb2.StreamFrame
    request: ResolvedRequest
    arrived: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded frame.

    pixels: uint8 [height, width, 3], RGB at the model's size. width, height: pixels of the stream's first frame, to
    which the others are brought. came_as: width and height of this one. arrived: seconds on time.perf_counter's clock.
    decoding: seconds that decoding and fitting took. note: what the client says of its source.
    """

    pixels: NDArray[np.uint8]
    placement: answer_pb2.Placement
    width: int
    height: int
    came_as: tuple[int, int]
    request: ResolvedRequest
    arrived: float
    decoding: float
    note: str


def check_frame(frame: service_pb2.StreamFrame) -> None:
    """Raise InvalidArgument for what only a mistake in the client's program can cause."""
    check_message(frame, "frame")
    if len(frame.note) > _LONGEST_NOTE:
        raise InvalidArgument(
            f"frame.note: {len(frame.note)} characters are more than {_LONGEST_NOTE}; shorten it",
            field="frame.note",
            reason="NOTE_TOO_LONG",
        )
    if frame.WhichOneof("picture") is None:
        raise InvalidArgument(
            "frame.picture: is missing; set image (JPEG or PNG) or raw", field="frame.picture", reason="PICTURE_UNSET"
        )


class FrameDecoder:
    """Decodes the frames of one stream on a pool. Those of another size than the first are brought to its size."""

    def __init__(self, pool: Pool, decoder: Decoder, size: model_pb2.ModelInput, limits: Limits) -> None:
        self._pool = pool
        self._decoder = decoder
        self._input = size
        self._limits = limits
        self._first: tuple[int, int] | None = None

    async def decode(self, encoded: EncodedFrame) -> DecodedFrame:
        """Decode and fit one frame, after the one before. Raises InvalidArgument when it is no image."""
        (pixels, placement, came_as), _, seconds = await self._pool.run(lambda: self._decode(encoded.message))
        self._first = self._first or came_as
        width, height = self._first
        note = encoded.message.note
        return DecodedFrame(pixels, placement, width, height, came_as, encoded.request, encoded.arrived, seconds, note)

    def _decode(
        self, message: service_pb2.StreamFrame
    ) -> tuple[NDArray[np.uint8], answer_pb2.Placement, tuple[int, int]]:
        if message.WhichOneof("picture") == "image":
            pixels, came_as = self._decoder.frame(message.image, self._input, self._first)
            return pixels, placement_of(*(self._first or came_as), self._input), came_as
        raw = message.raw
        image = raw_image(raw.data, raw.height, raw.width, self._limits, "frame.raw")
        came_as = image.shape[1], image.shape[0]
        pixels, placement = fit(refit(image, *(self._first or came_as)), self._input)
        # The ring must not keep a whole message or a large image alive for the sake of a view of it.
        kept = pixels.copy() if np.may_share_memory(pixels, image) else pixels
        return kept, placement, came_as
