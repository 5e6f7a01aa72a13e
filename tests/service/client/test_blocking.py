"""The blocking client where it is used: several threads, a notebook's event loop, Ctrl-C, the end of a program."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio

from actionlens.v1 import job_pb2, job_pb2_grpc, model_pb2, service_pb2, service_pb2_grpc
from service import errors
from service.client import Client
from service.client.transports import run
from tests.service.client.peer import Peer, answer
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
CLIP = np.zeros((2, 8, 8, 3), np.uint8)
IMAGE = np.zeros((8, 8, 3), np.uint8)
MODELS = [f"model-{number}" for number in range(5)]


class Updates(job_pb2_grpc.ExplanationJobServiceServicer):
    """Watching a job brings running updates without end; `ended` is set when the watcher has left."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def WatchJob(
        self, request: job_pb2.WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[job_pb2.WatchJobResponse]:
        context.add_callback(self.ended.set)
        while not self.ended.wait(0.01):
            yield job_pb2.WatchJobResponse(job=job_pb2.Job(id=request.id, state=job_pb2.JOB_STATE_RUNNING))


@pytest.fixture
def updates() -> Iterator[tuple[Updates, str]]:
    servicer = Updates()
    server = grpc.server(ThreadPoolExecutor(4))
    job_pb2_grpc.add_ExplanationJobServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(0).wait(PATIENCE)


def test_threads_share_a_client(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        listed = list(pool.map(lambda _: [model.name for model in client.list_models()], range(40)))
    assert listed == [MODELS] * 40


def test_several_clients_at_once(address: str) -> None:
    def lists(_: int) -> list[str]:
        with Client(address) as client:
            return [model.name for model in client.list_models()]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lists, range(12))) == [MODELS] * 12


async def test_inside_a_running_event_loop(peer: Peer, address: str) -> None:
    """As in a notebook: the calling thread has a loop of its own, which stays as it was."""

    def script(requests: Iterator[Any], _context: grpc.ServicerContext) -> Iterator[service_pb2.ExplainStreamResponse]:
        yield service_pb2.ExplainStreamResponse(opened=service_pb2.StreamOpened(credit=9))
        for request in requests:
            if request.HasField("end"):
                return
            if request.HasField("frame"):
                yield service_pb2.ExplainStreamResponse(window=service_pb2.WindowAnswer(answer=answer()))

    peer.stream = script
    loop = asyncio.get_running_loop()
    with Client(address) as client:
        assert [model.name for model in client.list_models()] == MODELS
        assert client.explain_clip(CLIP).prediction.top[0].label == "wave"
        assert len(list(client.explain_stream([IMAGE] * 3))) == 3
    assert asyncio.get_running_loop() is loop
    await asyncio.sleep(0)


async def test_beside_an_asyncio_server_in_one_process() -> None:
    class Models(service_pb2_grpc.ExplanationServiceServicer):
        async def ListModels(self, _request: Any, _context: Any) -> service_pb2.ListModelsResponse:
            return service_pb2.ListModelsResponse(models=[model_pb2.Model(name="m")])

    server = aio.server()
    service_pb2_grpc.add_ExplanationServiceServicer_to_server(Models(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def lists(_: int) -> list[str]:
        with Client(f"127.0.0.1:{port}", timeout=PATIENCE) as client:
            return [model.name for _ in range(20) for model in client.list_models()]

    with ThreadPoolExecutor(3) as pool:
        loop = asyncio.get_running_loop()
        listed = await asyncio.gather(*(loop.run_in_executor(pool, lists, number) for number in range(3)))
    await server.stop(0)
    assert listed == [["m"] * 20] * 3


def test_a_call_starts_no_thread_of_python(address: str) -> None:
    """So there is none to stop: not after close, and not at the end of a program that forgot to close."""
    before = set(threading.enumerate())
    with Client(address) as client:
        client.list_models()
        client.explain_clip(CLIP)
        assert set(threading.enumerate()) <= before | _serving()
    assert set(threading.enumerate()) <= before | _serving()


def _serving() -> set[threading.Thread]:
    """Threads of the peer's pool, which grow with its calls."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")}


def test_an_unfinished_watch_ends_its_call(updates: tuple[Updates, str]) -> None:
    servicer, address = updates
    with Client(address) as client:
        watching = client.jobs.watch("j")
        assert next(watching).job.id == "j"
        del watching
        assert servicer.ended.wait(PATIENCE)


async def test_an_unfinished_watch_ends_its_call_at_once_inside_an_event_loop(updates: tuple[Updates, str]) -> None:
    """Without the help of that loop, which does not run meanwhile."""
    servicer, address = updates
    with Client(address) as client:
        watching = client.jobs.watch("j")
        next(watching)
        del watching
        assert servicer.ended.wait(PATIENCE)


def test_waiting_ends_with_its_timeout_and_its_call(updates: tuple[Updates, str]) -> None:
    servicer, address = updates
    with Client(address) as client, pytest.raises(errors.DeadlineExceeded, match="it goes on"):
        client.jobs.wait("j", timeout=0.3)
    assert servicer.ended.wait(PATIENCE)


def test_an_error_of_the_progress_callback_ends_waiting_and_its_call(updates: tuple[Updates, str]) -> None:
    def broken(_: job_pb2.WatchJobResponse) -> None:
        raise OSError("the disk is full")

    servicer, address = updates
    with Client(address) as client:
        with pytest.raises(OSError, match="disk"):
            client.jobs.wait("j", progress=broken)
        assert servicer.ended.wait(PATIENCE)


@pytest.mark.parametrize("leave", ["close", "end"])
def test_the_source_of_a_stream_is_closed(peer: Peer, client: Client, leave: str) -> None:
    def script(requests: Iterator[Any], _context: grpc.ServicerContext) -> Iterator[service_pb2.ExplainStreamResponse]:
        yield service_pb2.ExplainStreamResponse(opened=service_pb2.StreamOpened(credit=3))
        for request in requests:
            if request.HasField("end"):
                return
            if request.HasField("frame"):
                yield service_pb2.ExplainStreamResponse(window=service_pb2.WindowAnswer(answer=answer()))

    peer.stream = script
    taken, closed = [], threading.Event()

    def frames() -> Iterator[Any]:
        try:
            for number in itertools.count():
                taken.append(number)
                yield IMAGE
        finally:
            closed.set()

    source = frames()  # the caller holds it, so that it does not end by being forgotten
    with client.explain_stream(source) as stream:
        next(stream)
        getattr(stream, leave)()
        list(stream)
        assert closed.wait(PATIENCE)
    assert len(taken) <= 3
    assert next(source, None) is None


def test_an_interrupt_ends_a_call(peer: Peer, address: str) -> None:
    """The timeout is far away, and the service does not answer: Ctrl-C alone ends the call, here and there."""
    begun, ended = threading.Event(), threading.Event()

    def hang(_attempt: int, _request: Any, context: grpc.ServicerContext) -> Any:
        context.add_callback(ended.set)
        begun.set()
        ended.wait(PATIENCE)
        return answer()

    peer.clip = hang
    with _program(f"Client({address!r}, timeout=300).explain_clip(np.zeros((2, 8, 8, 3), np.uint8))") as process:
        assert begun.wait(PATIENCE)
        _interrupt(process)
        assert ended.wait(PATIENCE)


def test_an_interrupt_ends_a_stream(peer: Peer, address: str) -> None:
    ended = threading.Event()

    def hang(_requests: Any, context: grpc.ServicerContext) -> Iterator[service_pb2.ExplainStreamResponse]:
        context.add_callback(ended.set)
        yield service_pb2.ExplainStreamResponse(opened=service_pb2.StreamOpened(credit=0))
        yield service_pb2.ExplainStreamResponse(window=service_pb2.WindowAnswer(answer=answer()))
        ended.wait(PATIENCE)

    peer.stream = hang
    frames = "itertools.repeat(np.zeros((8, 8, 3), np.uint8))"
    follow = f"for window in Client({address!r}).explain_stream({frames}):\n    print('window', flush=True)"
    with _program(follow) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "window\n"
        _interrupt(process)
        assert ended.wait(PATIENCE)


def test_an_interrupt_ends_waiting_for_a_job(updates: tuple[Updates, str]) -> None:
    servicer, address = updates
    show = "lambda update: print(update.job.id, flush=True)"
    with _program(f"Client({address!r}).jobs.wait('j', progress={show})") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "j\n"
        _interrupt(process)
        assert servicer.ended.wait(PATIENCE)


def test_a_program_that_forgets_to_close_ends(address: str) -> None:
    with _program(
        f"client = Client({address!r})\nprint(len(client.list_models()))\nkept = client.jobs.list()"
    ) as process:
        found, trace = process.communicate(timeout=PATIENCE)
    assert (process.returncode, found.strip(), trace) == (0, "5", "")


def test_a_coroutine_that_suspends_is_no_coroutine_of_this_client() -> None:
    async def suspends() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="suspended"):
        run(suspends())


@contextmanager
def _program(body: str) -> Iterator[subprocess.Popen[str]]:
    """A program of its own with these lines; it is killed where it still runs at the end."""
    lines = "import itertools\nimport numpy as np\nfrom service.client import Client\n" + body
    with subprocess.Popen(
        [sys.executable, "-c", lines], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _interrupt(process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C, and see the program end of it."""
    process.send_signal(signal.SIGINT)
    _, trace = process.communicate(timeout=PATIENCE)
    assert trace.rstrip().endswith("KeyboardInterrupt"), trace
