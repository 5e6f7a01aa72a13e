"""Serves ExplanationService: hands its calls to the data plane and to streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from actionlens.v1 import service_pb2, service_pb2_grpc
from service.dataplane.explain_service import ExplainService
from service.streaming.manager import StreamManager
from service.validation.request import check_message

DEFAULT_DEADLINE = 30.0
"""Seconds that a clip may take when its call has no deadline."""


class ExplanationServicer(service_pb2_grpc.ExplanationServiceServicer):
    """Hands gRPC calls to the data plane; the interceptor turns its errors into statuses."""

    def __init__(self, service: ExplainService, streams: StreamManager) -> None:
        self._service = service
        self._streams = streams

    async def ExplainClip(
        self, request: service_pb2.ExplainClipRequest, context: Any
    ) -> service_pb2.ExplainClipResponse:
        """See the proto."""
        left = context.time_remaining()
        deadline = DEFAULT_DEADLINE if left is None else left
        return service_pb2.ExplainClipResponse(answer=await self._service.explain_clip(request, deadline))

    async def ExplainStream(self, requests: AsyncIterator[service_pb2.ExplainStreamRequest], context: Any) -> None:
        """See the proto."""
        await self._streams.serve(requests, context.write)

    async def ListModels(self, request: service_pb2.ListModelsRequest, context: Any) -> service_pb2.ListModelsResponse:
        """See the proto."""
        check_message(request)
        return self._service.served_models.list(request)

    async def GetModel(self, request: service_pb2.GetModelRequest, context: Any) -> service_pb2.GetModelResponse:
        """See the proto."""
        check_message(request)
        return self._service.served_models.get(request)
