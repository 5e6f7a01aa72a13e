"""The calls about clips and models, as coroutines: all that `Client` and `AsyncClient` share."""

from __future__ import annotations

from typing import Unpack

from grpc_health.v1 import health_pb2, health_pb2_grpc

from actionlens.v1 import model_pb2, service_pb2, service_pb2_grpc
from service.client.async_job_client import AsyncJobs
from service.client.clip_messages import ClipLike, ClipOptions, clip_request
from service.client.results import Result
from service.client.transports import Transport


class ClientCore:
    """A connection to a running service over a transport. The methods are documented at `Client`."""

    def __init__(self, transport: Transport) -> None:
        self.address = transport.address
        self.jobs = AsyncJobs(transport)
        self._transport = transport
        self._stub = service_pb2_grpc.ExplanationServiceStub(transport.channel)  # type: ignore[no-untyped-call]
        self._health = health_pb2_grpc.HealthStub(transport.channel)

    async def explain_clip(
        self, clip: ClipLike, *, timeout: float | None = None, **options: Unpack[ClipOptions]
    ) -> Result:
        """Predict and explain one clip; see Client.explain_clip."""
        request = await self._transport.work(clip_request, clip, options)
        response = await self._transport.unary(self._stub.ExplainClip, request, timeout)
        return Result(response.answer)

    async def list_models(self, *, timeout: float | None = None) -> list[model_pb2.Model]:
        """All models as served."""
        models: list[model_pb2.Model] = []
        token = ""
        while True:
            request = service_pb2.ListModelsRequest(page_token=token)
            page = await self._transport.unary(self._stub.ListModels, request, timeout)
            models += page.models
            token = page.next_page_token
            if not token:
                return models

    async def get_model(self, name: str, version: str = "", *, timeout: float | None = None) -> model_pb2.Model:
        """One model as served. Raises NotFound."""
        request = service_pb2.GetModelRequest(name=name, version=version)
        response: service_pb2.GetModelResponse = await self._transport.unary(self._stub.GetModel, request, timeout)
        return response.model

    async def health(self, service: str = "", *, timeout: float = 5.0) -> str:
        """ "SERVING" or "NOT_SERVING". Raises Unavailable when nobody answers."""
        request = health_pb2.HealthCheckRequest(service=service)
        response = await self._transport.unary(self._health.Check, request, timeout)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))
