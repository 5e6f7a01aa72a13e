"""The interface between the service and whatever computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import model_pb2
from actionlens.worker.v1 import worker_pb2


@dataclass(frozen=True, slots=True)
class Reply:
    """A worker's answer and where the time went outside the worker, in seconds."""

    response: worker_pb2.ComputeResponse
    queue: float
    """Waiting for a free slot at the backend."""
    transport: float
    """Round trip minus the worker's own time."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One clip to answer, or one block of a job to compute."""

    request: worker_pb2.ComputeRequest
    """`compute` or `advance`, without pixels and their size; `plan`, which has none; `describe` is a backend's own."""
    pixels: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.uint8))
    """The clip, RGB [T, height, width, 3] at the model's size. A backend uses this memory itself: nobody may
    write into it while the work may still be computed."""
    wanted: Callable[[], bool] = lambda: True
    """Says whether the answer is still waited for; a backend sets it and asks it while it computes, in any thread."""


class InferenceBackend(Protocol):
    """Answers clips. Safe to use from many tasks of one event loop."""

    async def start(self) -> None:
        """Start and wait until every model's workers answer. Raises Unavailable when they do not in time."""

    async def stop(self) -> None:
        """Refuse new work, finish what is in flight (bounded), release everything. Safe to call twice."""

    async def compute(self, model: str, work: Work, deadline: float) -> Reply:
        """Answer one clip, or compute one block of a job.

        deadline: seconds from now that the caller will wait. An item that failed alone comes back as
        `response.failure`. Raises NotFound (model not loaded), ResourceExhausted (all slots and the waiting
        room are taken), DeadlineExceeded, Unavailable (worker died twice, or backend down).
        """

    def models(self) -> dict[str, model_pb2.Model]:
        """The loaded models by name, as their workers describe them. Empty until started."""

    def capacity(self) -> int:
        """Clips that may be in flight at once."""

    def in_flight(self) -> int:
        """Clips now in flight or waiting."""

    def healthy(self) -> bool:
        """True while `compute` can be expected to succeed."""

    def restarts(self) -> int:
        """Times that a worker or its server had to be started again."""
