"""Decodes the frames of a stream: as they arrive, and at the model's size."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, model_pb2, service_pb2
from service.concurrency.thread_pool import Pool
from service.dataplane.resolved_request import ResolvedRequest
from service.decoding.fit import fit
from service.decoding.image import decode_image, raw_image
from service.errors import InvalidArgument
from service.settings import Limits
from service.validation.request import check_message


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """An undecoded frame, and the request that held when it came. arrived: seconds on time.perf_counter's clock."""

    message: service_pb2.StreamFrame
    request: ResolvedRequest
    arrived: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded frame.

    pixels: uint8 [height, width, 3], RGB at the model's size. width, height: pixels of the frame that came. arrived:
    seconds on time.perf_counter's clock. decoding: seconds that decoding and fitting took.
    """

    pixels: NDArray[np.uint8]
    placement: answer_pb2.Placement
    width: int
    height: int
    request: ResolvedRequest
    arrived: float
    decoding: float


def check_frame(frame: service_pb2.StreamFrame) -> None:
    """Raise InvalidArgument for what only a mistake in the client's program can cause."""
    check_message(frame, "frame")
    if frame.WhichOneof("picture") is None:
        raise InvalidArgument(
            "frame.picture: is missing; set image (JPEG or PNG) or raw", field="frame.picture", reason="PICTURE_UNSET"
        )


class FrameDecoder:
    """Decodes the frames of one stream on a pool. All must have the size of the first."""

    def __init__(self, pool: Pool, size: model_pb2.ModelInput, limits: Limits) -> None:
        self._pool = pool
        self._input = size
        self._limits = limits
        self._first: tuple[int, int] | None = None

    async def decode(self, encoded: EncodedFrame) -> DecodedFrame:
        """Decode and fit one frame. Raises InvalidArgument when it is no image, or of another size."""
        (pixels, placement, width, height), _, seconds = await self._pool.run(lambda: self._decode(encoded.message))
        if self._first is None:
            self._first = (width, height)
        if (width, height) != self._first:
            raise InvalidArgument(
                f"frame: is {width} x {height} pixels, the stream's first frame is {self._first[0]} x {self._first[1]};"
                " open another stream for another size",
                field="frame",
                reason="PICTURE_SIZE_DIFFERS",
            )
        return DecodedFrame(pixels, placement, width, height, encoded.request, encoded.arrived, seconds)

    def _decode(self, message: service_pb2.StreamFrame) -> tuple[NDArray[np.uint8], answer_pb2.Placement, int, int]:
        if message.WhichOneof("picture") == "image":
            image = decode_image(message.image, self._limits, "frame.image")
        else:
            raw = message.raw
            image = raw_image(raw.data, raw.height, raw.width, self._limits, "frame.raw")
        height, width = image.shape[:2]
        if self._first is not None and (width, height) != self._first:
            # Refused anyway; fitting it would be wasted.
            return image, answer_pb2.Placement(), width, height
        pixels, placement = fit(image, self._input)
        # The ring must not keep a whole message or a large image alive for the sake of a view of it.
        kept = pixels.copy() if np.may_share_memory(pixels, image) else pixels
        return kept, placement, width, height
