"""The shape of a video's pixels, and images of square pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.decoding.fit import scale

# An image of square pixels has at most so many times the pixels that were stored, whatever a header claims.
_MOST_GROWTH = 4.0
_SQUARE = Fraction(1)


class PixelAspect:
    """Width over height of one pixel of a video stream (its sample aspect ratio), as a player takes it.

    The container's word counts; where it has none of its own, that of the codec, which may change on the way
    (broadcasts that go from 4:3 to 16:9).
    """

    def __init__(self, stream: Any) -> None:
        self._codec = stream.codec_context
        stated = _positive(stream.sample_aspect_ratio)
        self._container = None if stated == _positive(self._codec.sample_aspect_ratio) else stated

    def now(self) -> Fraction:
        """The aspect of the frame that was decoded last; 1 where neither container nor codec says."""
        return self._container or _positive(self._codec.sample_aspect_ratio) or _SQUARE


def square_pixels(image: NDArray[np.uint8], aspect: Fraction) -> NDArray[np.uint8]:
    """Scale an image [H, W, 3] uint8 of pixels `aspect` times as wide as high so that they are square.

    The side that is too short grows, so that nothing is lost.
    """
    if aspect == _SQUARE:
        return image
    height, width = image.shape[:2]
    growth = float(max(aspect, 1 / aspect))
    kept = min(1.0, _MOST_GROWTH / growth) ** 0.5
    across, down = (width * growth, height) if aspect > 1 else (width, height * growth)
    # A side has at least one pixel: of absurd shapes the other one is cut.
    most = round(_MOST_GROWTH * width * height)
    return scale(image, min(max(1, round(across * kept)), most), min(max(1, round(down * kept)), most))


def _positive(aspect: Fraction | None) -> Fraction | None:
    return aspect if aspect is not None and aspect > 0 else None
