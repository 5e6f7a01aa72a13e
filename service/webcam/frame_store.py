"""The newest frames of a source, for the stream that explains them and for the view that shows them explained."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.client.frame_sources import FrameSource
from service.client.stream_messages import Frame, frame_encoder
from service.decoding.image import decode_image
from service.settings import Limits
from service.webcam.frame_rate import FrameRate

_KEPT = 500
"""Frames of up to 640 x 480: about 30 MB, and 20 s of a camera, which no answer is late by."""


class FrameStore:
    """Reads a source on a thread of its own. Frames become JPEGs once, which is how they are sent and kept."""

    def __init__(self, source: FrameSource) -> None:
        self.rate = FrameRate()
        self._source = source
        self._encode = frame_encoder({})
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._newest: Frame | None = None
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._over = False
        threading.Thread(target=self._read, name="frame-store", daemon=True).start()

    def frames(self) -> Iterator[Frame]:
        """The newest frame whenever one is asked for, each at most once. May be iterated again after a stream broke.

        Ends with the source or `close`. Raises what the source raises.
        """
        given = -1
        while (frame := self._newer_than(given)) is not None:
            given = frame.sequence
            yield frame

    def image(self, sequence: int) -> NDArray[np.uint8] | None:
        """uint8 [H, W, 3] RGB of a frame; None when it is no longer kept."""
        with self._changed:
            jpeg = self._kept.get(sequence)
        return None if jpeg is None else decode_image(jpeg, Limits(), "frame")

    def newest(self) -> NDArray[np.uint8] | None:
        """uint8 [H, W, 3] RGB of the last frame; None before the first."""
        with self._changed:
            last = next(reversed(self._kept), None)
        return None if last is None else self.image(last)

    def close(self) -> None:
        """Read no more. Safe to call twice and from any thread."""
        self._source.close()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _newer_than(self, given: int) -> Frame | None:
        def newer() -> bool:
            return self._newest is not None and self._newest.sequence > given

        with self._changed:
            self._changed.wait_for(lambda: self._over or newer())
            if newer():
                return self._newest
            if self._failure is not None:
                raise self._failure
            return None

    def _read(self) -> None:
        try:
            for frame in self._source.frames:
                image = self._encode(frame).frame.image
                self.rate.count()
                with self._changed:
                    if self._over:
                        return
                    self._newest = replace(frame, picture=image)
                    self._kept[frame.sequence] = image
                    if len(self._kept) > _KEPT:
                        self._kept.popitem(last=False)
                    self._changed.notify_all()
        except BaseException as error:
            self._failure = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
