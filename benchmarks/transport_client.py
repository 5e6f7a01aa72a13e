"""The other end of benchmarks/transport.py: a client in a process of its own, as real clients are."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection

import grpc

from actionlens.v1 import service_pb2, service_pb2_grpc

_DEADLINE = 60.0


@dataclass(frozen=True)
class Round:
    """seconds: of each call, in the order in which they ended. elapsed: of all, in seconds."""

    seconds: list[float]
    elapsed: float


class ClientProcess:
    """Asks one question over and over, on command."""

    def __init__(self, port: int, question: service_pb2.ExplainClipRequest) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, port, question.SerializeToString()))
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    def round(self, clips: int, callers: int) -> Round:
        """Send so many clips from so many threads. Blocking; raises EOFError when the client fails."""
        self._pipe.send((clips, callers))
        answer: Round = self._pipe.recv()
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection, port: int, question: bytes) -> None:
    request = service_pb2.ExplainClipRequest.FromString(question)
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.max_receive_message_length", -1)]) as channel:
        stub = service_pb2_grpc.ExplanationServiceStub(channel)  # type: ignore[no-untyped-call]

        def call(_: int) -> float:
            sent = time.perf_counter()
            stub.ExplainClip(request, timeout=_DEADLINE)
            return time.perf_counter() - sent

        while True:
            try:
                clips, callers = pipe.recv()
            except EOFError:
                return
            begun = time.perf_counter()
            with ThreadPoolExecutor(callers) as threads:
                seconds = list(threads.map(call, range(clips)))
            pipe.send(Round(seconds, time.perf_counter() - begun))
