"""A gRPC peer that follows a script, so that tests decide what a client meets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from actionlens.tensors import to_tensor
from actionlens.v1 import answer_pb2, explanation_pb2, model_pb2, service_pb2, service_pb2_grpc
from tests.waiting import PATIENCE

ClipScript = Callable[[int, service_pb2.ExplainClipRequest, grpc.ServicerContext], answer_pb2.Answer]


class Peer(service_pb2_grpc.ExplanationServiceServicer):
    """Answers clips by `clip(attempt, request, context)` and streams by a generator of responses."""

    def __init__(self) -> None:
        self.clip: ClipScript = lambda _attempt, _request, _context: answer()
        self.stream: Callable[
            [Iterator[service_pb2.ExplainStreamRequest], grpc.ServicerContext],
            Iterator[service_pb2.ExplainStreamResponse],
        ] = lambda _requests, _context: iter(())
        self.models = [model_pb2.Model(name=f"model-{number}") for number in range(5)]
        self.attempts = 0
        self.streams = 0
        self.lock = threading.Lock()

    def ExplainClip(
        self, request: service_pb2.ExplainClipRequest, context: grpc.ServicerContext
    ) -> service_pb2.ExplainClipResponse:
        with self.lock:
            self.attempts += 1
            attempt = self.attempts
        return service_pb2.ExplainClipResponse(answer=self.clip(attempt, request, context))

    def ExplainStream(
        self, request_iterator: Iterator[service_pb2.ExplainStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[service_pb2.ExplainStreamResponse]:
        with self.lock:
            self.streams += 1
        yield from self.stream(request_iterator, context)

    def ListModels(
        self, request: service_pb2.ListModelsRequest, context: grpc.ServicerContext
    ) -> service_pb2.ListModelsResponse:
        start = int(request.page_token or 0)
        after = start + 2
        token = str(after) if after < len(self.models) else ""
        return service_pb2.ListModelsResponse(models=self.models[start:after], next_page_token=token)


@contextmanager
def serving(peer: Peer) -> Iterator[str]:
    """The peer's address while it serves."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 64 * 2**20)])
    service_pb2_grpc.add_ExplanationServiceServicer_to_server(peer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait(PATIENCE)


def answer(label: str = "wave") -> answer_pb2.Answer:
    """An answer with two explanations of one method and one that failed."""
    saliency = explanation_pb2.SaliencyVolume(
        values=to_tensor([[[0.0, 1.0], [2.0, 3.0]]]), mask=to_tensor([[[0, 1], [0, 1]]]), frame_positions=[1.5]
    )
    volume = explanation_pb2.Explanation(
        method="grad-cam",
        saliency=saliency,
        quality=explanation_pb2.Quality(motion_share=0.0),
        reading="frames 1-2 carry all",
    )
    failed = explanation_pb2.Explanation(
        method="other", failure=explanation_pb2.Failure(code=9, message="no gradient", reason="METHOD_UNSUPPORTED")
    )
    return answer_pb2.Answer(
        model="m",
        version="1",
        prediction=explanation_pb2.Prediction(
            top=[explanation_pb2.ClassScore(index=2, label=label, logit=1.5, probability=0.75)],
            logits=to_tensor([0.0, 0.5, 1.5]),
        ),
        explanations=[volume, volume, failed],
        frames=answer_pb2.FrameReport(used=[3, 4], timestamps=[0.3, 0.4]),
        timings=answer_pb2.Timings(explain=[0.01, 0.02, 0.0]),
    )


def wait_for_the_client_to_leave(context: grpc.ServicerContext) -> None:
    """Neither answer nor end the call."""
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait(2 * PATIENCE)


def rich_abort(context: grpc.ServicerContext, code: int, message: str, field_name: str, retry: float) -> None:
    """End a call with ErrorInfo, BadRequest and RetryInfo details."""
    delay = duration_pb2.Duration()
    delay.FromNanoseconds(round(retry * 1e9))
    status = status_pb2.Status(code=code, message=message)
    for detail in (
        error_details_pb2.ErrorInfo(reason="A_REASON", domain="actionlens"),
        error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field=field_name, description=message)]
        ),
        error_details_pb2.RetryInfo(retry_delay=delay),
    ):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(rpc_status.to_status(status))


INVALID_ARGUMENT = code_pb2.INVALID_ARGUMENT
RESOURCE_EXHAUSTED = code_pb2.RESOURCE_EXHAUSTED
