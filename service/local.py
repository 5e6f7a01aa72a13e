"""The client's calls without a service: the same data plane, run in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, Unpack, cast

from actionlens.v1 import job_pb2, method_pb2, model_pb2
from service.backends.in_process import InProcessBackend
from service.client.channel import DEFAULT_TIMEOUT
from service.client.clip_messages import ClipLike, ClipOptions, clip_request
from service.client.evaluations.ground_truth import TruthLike
from service.client.job_requests import JobOptions, JobQuestion, PlanOptions, job_request, plan_request
from service.client.results import Result
from service.dataplane.evaluation import Progress, evaluate_clip, plan_evaluation
from service.dataplane.explain_service import ExplainService
from service.settings import BackendName, DecoderPlace, Settings
from service.telemetry.metrics import Metrics


class LocalClient:
    """Like `Client` for clips and models, needing torch instead of a service. Close it, or use it as a context manager.

    The models that `settings` choose are loaded when it is made, which takes seconds. Raises Unavailable or NotFound
    when they cannot be.
    """

    def __init__(self, settings: Settings, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        settings = settings.model_copy(update={"backend": BackendName.IN_PROCESS})
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="local-client", daemon=True)
        self._thread.start()
        self._backend = InProcessBackend(settings)
        # One's own files need no process of their own, which would take longer to start than to decode.
        decoder = settings.decoder.model_copy(update={"place": DecoderPlace.IN_PROCESS})
        settings = settings.model_copy(update={"decoder": decoder})
        self._service = ExplainService(settings, self._backend, Metrics(self._backend))
        try:
            self._run(self._backend.start())
        except BaseException:
            self.close()
            raise

    def explain_clip(self, clip: ClipLike, *, timeout: float | None = None, **options: Unpack[ClipOptions]) -> Result:
        """As Client.explain_clip."""
        limit = self._timeout if timeout is None else timeout
        return Result(self._run(self._service.explain_clip(clip_request(clip, options), limit)))

    def evaluate_clip(
        self,
        clip: ClipLike,
        method: method_pb2.Method,
        *,
        ground_truth: TruthLike = None,
        progress: Progress | None = None,
        **options: Unpack[JobQuestion],
    ) -> Result:
        """Measure explanations of one clip, by an `evaluation`: what a job of it would, with the same rows.

        progress: called every few seconds. Raises as Jobs.submit, and as such a job fails.
        """
        request = job_request([clip], method, cast(JobOptions, {**options, "ground_truth": [ground_truth]}))
        return Result(self._run(evaluate_clip(self._service, request, progress)))

    def plan(self, method: method_pb2.Method, **options: Unpack[PlanOptions]) -> job_pb2.EvaluationPlan:
        """As Client.jobs.plan."""
        request = plan_request(method, options)
        response: job_pb2.PlanEvaluationResponse = self._run(
            plan_evaluation(request, self._service.served_models, self._backend)
        )
        return response.plan

    def list_models(self) -> list[model_pb2.Model]:
        """All loaded models."""
        return [model for _, model in sorted(self._backend.models().items())]

    def get_model(self, name: str, version: str = "") -> model_pb2.Model:
        """One loaded model. Raises NotFound."""
        return self._service.served_models.find(name, version)

    def close(self) -> None:
        """Stop the threads and forget the models. Safe to call twice."""
        if self._loop.is_closed():
            return
        self._run(self._backend.stop())
        self._service.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
