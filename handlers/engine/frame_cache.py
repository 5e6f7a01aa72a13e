"""Activations of frames that were computed lately, for windows that overlap."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handlers.models.action_model import ActionModel
from handlers.relevance import Pass, Program

ROOM = 64 * 2**20
"""Most bytes of activations that a model keeps."""


class FrameCache:
    """Keeps the activations of the latest frames, for a model whose backbone looks at frames one by one.

    A frame is known by the digest of its pixels. So nothing need be known of streams, dropped frames change nothing,
    every batch may mix them, and a worker that starts anew, or did not see a frame, computes it. Several threads may
    ask. room: most bytes that are kept; the frames that were used longest ago go first.
    """

    def __init__(self, model: ActionModel, room: int = ROOM) -> None:
        self._model = model
        network = model.program
        self._program: Program | None = None
        # The flow of a frame is not its own: it depends on the next one.
        if isinstance(network, Program) and model.layer and network.by_frame(model.layer) and not model.takes_flow:
            self._program = network
        self._room = room
        self._held = 0
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()  # by pixels; [H', W', C]
        self._lock = threading.Lock()

    def forward(self, clips: Sequence[NDArray[np.uint8]], keep: Iterable[str], relevance: bool) -> Pass:
        """`Program.forward` of clips, uint8 RGB [T, H, W, 3] of one T, without the way of known frames through the
        backbone. Relevance and layers within the backbone need that way for every frame, and get it."""
        prepared = self._model.prepare(clips)
        if self._program is None or relevance or self._is_within(keep):
            return self._model.program.forward(prepared, keep, relevance)
        return self._program.forward(prepared, keep, False, {self._model.layer: self.activations(clips)})

    def activations(self, clips: Sequence[NDArray[np.uint8]]) -> Tensor:
        """The last layer of the backbone, [B, C, T, H', W']; only frames that are not known are computed."""
        assert self._program is not None
        digests = [[_digest(frame) for frame in clip] for clip in clips]
        wanted = dict(zip(chain.from_iterable(digests), chain.from_iterable(clips), strict=True))
        found = self._known(wanted)
        new = [key for key in wanted if key not in found]
        if new:
            frames = self._model.prepare([np.stack([wanted[key] for key in new])])
            (made,) = self._program.of_frames(frames, self._model.layer).permute(0, 2, 3, 4, 1)
            # Copies, because a slice would hold the memory of all.
            fresh = {key: frame.clone() for key, frame in zip(new, made, strict=True)}
            found |= fresh
            self._remember(fresh)
        stacked = torch.stack([found[key] for key in chain.from_iterable(digests)])
        return stacked.reshape(len(clips), -1, *stacked.shape[1:]).permute(0, 4, 1, 2, 3)

    def _is_within(self, layers: Iterable[str]) -> bool:
        """Whether one of the layers lies below the last one of the backbone."""
        assert self._program is not None
        number = self._program.graph.value_of
        return any(number(layer) < number(self._model.layer) for layer in layers)

    def _known(self, wanted: Iterable[bytes]) -> dict[bytes, Tensor]:
        with self._lock:
            found = {key: self._kept[key] for key in wanted if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
            return found

    def _remember(self, fresh: dict[bytes, Tensor]) -> None:
        with self._lock:
            for key, frame in fresh.items():
                if key not in self._kept:
                    self._kept[key] = frame
                    self._held += frame.nbytes
            while self._held > self._room:
                _, oldest = self._kept.popitem(last=False)
                self._held -= oldest.nbytes


def _digest(frame: NDArray[np.uint8]) -> bytes:
    return blake2b(np.ascontiguousarray(frame).data, digest_size=16).digest()
