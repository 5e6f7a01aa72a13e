"""TorchServe's entry: batches of serialised worker messages in, as many serialised replies out."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from actionlens.heartbeat import start_beating
from actionlens.v1.explanation_pb2 import Failure
from actionlens.worker.v1 import worker_pb2
from handlers import errors, relevance
from handlers.engine import engine
from handlers.malloc import keep_freed_memory
from handlers.wire.requests import answer_bytes

_THREADS = int(os.environ.get("ACTIONLENS_WORKER_THREADS", "1"))
_MEMORY = int(os.environ.get("ACTIONLENS_WORKER_RELEVANCE_BYTES", str(relevance.MEMORY)))
_SECONDS = float(os.environ.get("ACTIONLENS_WORKER_SECONDS", "inf"))
_PRECISION = os.environ.get("ACTIONLENS_WORKER_PRECISION", relevance.Precision.FLOAT32)
_TRUST_CODE = os.environ.get("ACTIONLENS_WORKER_TRUST_CODE") == "1"
_MAX_REPLY_BYTES = int(os.environ.get("ACTIONLENS_MAX_REPLY_BYTES", str(6 * 2**20)))
_log = logging.getLogger(__name__)


class ActionHandler:
    """One per worker: TorchServe makes an instance of the only class of this file."""

    def initialize(self, context: Any) -> None:
        """Load the model unpacked from the archive. Raises handlers.errors.ModelError, which ends the worker."""
        keep_freed_memory()
        folder = Path(context.system_properties["model_dir"])
        self._engine = engine.Engine.load(folder, _THREADS, _MEMORY, _PRECISION, trust_code=_TRUST_CODE)
        start_beating()

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """One ComputeResponse per ComputeRequest, in order.

        Never raises: an exception would fail the whole batch. A reply longer than TorchServe takes would kill the
        worker, so it becomes a failure of its item.
        """
        bodies = [item.get("body") or item.get("data") or b"" for item in data]
        try:
            answers = answer_bytes(self._engine, bodies, _SECONDS)
        except Exception as error:
            _log.exception("the batch failed")
            answers = [self._failure(f"{type(error).__name__} while answering the batch", "ENGINE_FAILED")] * len(data)
        return [answer if len(answer) <= _MAX_REPLY_BYTES else self._too_long(len(answer)) for answer in answers]

    def _too_long(self, size: int) -> bytes:
        message = (
            f"the answer has {size} bytes, more than {_MAX_REPLY_BYTES}; ask for fewer methods or a smaller encoding"
        )
        return self._failure(message, "ANSWER_TOO_LARGE", errors.INVALID_ARGUMENT)

    def _failure(self, message: str, reason: str, code: int = errors.INTERNAL) -> bytes:
        failure = Failure(code=code, message=message, reason=reason)
        return worker_pb2.ComputeResponse(failure=failure).SerializeToString()
