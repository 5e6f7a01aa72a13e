"""The in-process backend: the same engine in this process, for notebooks, tests and the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial

from actionlens.worker.v1 import worker_pb2
from service.backends.model_choice import chosen_models
from service.backends.protocol import Work
from service.backends.thread_backend import Answer, ThreadBackend
from service.backends.torch_threads import SHORT_SPIN
from service.errors import Unavailable


class InProcessBackend(ThreadBackend):
    """The engine in the compute thread; a batch shares a forward."""

    def load(self) -> Iterator[tuple[str, Answer, int]]:
        """See ThreadBackend."""
        for name, value in SHORT_SPIN.items():
            os.environ.setdefault(name, value)
        from handlers.engine.engine import Engine
        from handlers.errors import ModelError
        from handlers.wire.requests import answer

        def answer_all(engine: Engine, batch: Sequence[Work]) -> list[worker_pb2.ComputeResponse]:
            return answer(
                engine,
                [work.request for work in batch],
                [work.pixels for work in batch],
                [work.wanted for work in batch],
            )

        settings = self.settings
        threads = settings.threads or len(os.sched_getaffinity(0))
        for name, folder in chosen_models(settings).items():
            try:
                engine = Engine.load(
                    folder,
                    threads,
                    settings.relevance_bytes,
                    settings.precision,
                    trust_code=settings.trust_code,
                )
            except ModelError as error:
                raise Unavailable(
                    f"model {name!r} cannot be loaded", reason="MODEL_UNFIT", detail=str(error)
                ) from error
            yield name, partial(answer_all, engine), settings.batch_size
