"""Measures the cost of jobs: python -m benchmarks.jobs [--only submit] [--rounds 3] [--queued 1000] [--seconds 20]

* submit: CreateJob of one clip over gRPC, milliseconds until the answer; uploaded, and as a path; first with the job
  worker suspended, so that nothing but accepting is timed, then with it at work; by turns with its two floors: a call
  that is refused at once, and a write of as many bytes to the same disk;
* idle: share of one core that the job worker takes while no job is there;
* live: milliseconds of ExplainClip with Grad-CAM, by turns with no job and with so many jobs queued and one worker
  computing them, one clip at a time.

A service of its own is started for it, with SQLite in a temporary folder. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil

from actionlens.v1 import clip_pb2, job_pb2, job_pb2_grpc, method_pb2
from service.client import Client
from service.errors import ActionLensError

_ROOT = Path(__file__).resolve().parent.parent
_WORKER = "service.jobs.worker.process"
_LOGGED = 100 * 2**10
_SAMPLE = _ROOT / "model_store/motion-primitives/sample.mp4"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("submit", "idle", "live"), help="one of the three")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queued", type=int, default=1000, help="jobs of one clip each")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement of idleness and live answers")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder)) as (address, process),
        grpc.insecure_channel(address) as channel,
        Client(address) as client,
    ):
        stub = job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]
        measure(options, stub, client, process, Path(folder))


def measure(
    options: argparse.Namespace,
    stub: job_pb2_grpc.ExplanationJobServiceStub,
    client: Client,
    process: psutil.Process,
    folder: Path,
) -> None:
    """Take the measurements that the options name, and print each as it comes."""
    worker = next(child for child in process.children(recursive=True) if _WORKER in child.cmdline())
    time.sleep(10)
    if options.only in (None, "idle"):
        share = idle(worker, options.seconds)
        print(f"idle worker            {100 * share:.2f} % of a core, {worker.memory_info().rss / 2**20:.0f} MiB")
    if options.only in (None, "submit"):
        submitting(stub, worker, folder)
    if options.only in (None, "live"):
        living(options, stub, client)


def submitting(stub: job_pb2_grpc.ExplanationJobServiceStub, worker: psutil.Process, folder: Path) -> None:
    """Milliseconds of CreateJob and of its floors."""
    path = job_pb2.JobClip(path="sample.mp4")
    for name, clip, works in (
        ("upload", uploaded(), False),
        ("path", path, False),
        ("upload, at work", uploaded(), True),
        ("path, at work", path, True),
    ):
        if works:
            worker.resume()
        else:
            worker.suspend()
        jobs: list[str] = []
        submits: list[float] = []
        calls: list[float] = []
        writes: list[float] = []
        with (folder / "floor").open("w+b", buffering=0) as file:
            for _ in range(60):
                submits.append(timed(lambda: jobs.append(stub.CreateJob(request(clip)).job.id)))  # noqa: B023  # called at once
                calls.append(timed(lambda: refused(stub)))
                writes.append(timed(lambda: settled(file)))
        cancel(stub, jobs)
        submits.sort()
        late = submits[int(0.95 * len(submits))]
        print(
            f"submit, {name:<15} p50 {statistics.median(submits):.1f} ms, p95 {late:.1f} ms; a call "
            f"{statistics.median(calls):.1f} ms, the disk {statistics.median(writes):.1f} ms"
        )


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)


def refused(stub: job_pb2_grpc.ExplanationJobServiceStub) -> None:
    """A call that asks for nothing."""
    with contextlib.suppress(grpc.RpcError):
        stub.GetJob(job_pb2.GetJobRequest())


def settled(file: io.RawIOBase) -> None:
    """About as many bytes as a job takes in SQLite's log, written over those before and on the disk."""
    file.seek(0)
    file.write(bytes(_LOGGED))
    os.fdatasync(file.fileno())


def living(options: argparse.Namespace, stub: job_pb2_grpc.ExplanationJobServiceStub, client: Client) -> None:
    """Milliseconds of live answers by turns with and without jobs."""
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(options.rounds):
        alone += live(client, options.seconds)
        jobs = [stub.CreateJob(request(uploaded())).job.id for _ in range(options.queued)]
        time.sleep(5)
        beside += live(client, options.seconds)
        waiting = stub.ListJobs(job_pb2.ListJobsRequest(page_size=1000, states=[job_pb2.JOB_STATE_QUEUED])).jobs
        medians = f"{statistics.median(alone):.1f} / {statistics.median(beside):.1f} ms"
        print(f"  so far: p50 {medians}, {len(waiting)} jobs still wait")
        cancel(stub, jobs)
        time.sleep(5)
    for name, times in (("live, no jobs", alone), (f"live, {options.queued} jobs", beside)):
        times.sort()
        print(f"{name:<22} p50 {statistics.median(times):.1f} ms, p95 {times[int(0.95 * len(times))]:.1f} ms")
    print(f"ratio of the medians   {statistics.median(beside) / statistics.median(alone):.3f}")


def idle(worker: psutil.Process, seconds: float) -> float:
    """Cores that a process keeps busy."""
    before = worker.cpu_times()
    time.sleep(seconds)
    after = worker.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds


def live(client: Client, seconds: float) -> list[float]:
    """Milliseconds of live answers, one after the other."""
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        times.append(timed(lambda: client.explain_clip(_SAMPLE, methods=["grad-cam"])))
    return times


def uploaded() -> job_pb2.JobClip:
    """The sample's bytes."""
    return job_pb2.JobClip(clip=clip_pb2.Clip(video=_SAMPLE.read_bytes()))


def request(clip: job_pb2.JobClip) -> job_pb2.CreateJobRequest:
    """A job of one clip that takes some seconds."""
    return job_pb2.CreateJobRequest(
        method=method_pb2.Method(integrated_gradients=method_pb2.IntegratedGradients()), clips=[clip]
    )


def cancel(stub: job_pb2_grpc.ExplanationJobServiceStub, jobs: list[str]) -> None:
    """End jobs, and wait for those that run."""
    for job in jobs:
        stub.CancelJob(job_pb2.CancelJobRequest(id=job))
    while stub.ListJobs(job_pb2.ListJobsRequest(states=[job_pb2.JOB_STATE_RUNNING])).jobs:
        time.sleep(0.5)


@contextmanager
def service(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A service with the bundled model: its address and process."""
    (folder / "inputs").mkdir()
    shutil.copy(_SAMPLE, folder / "inputs")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "service.cli",
            "serve",
            "--port",
            str(port),
            "--metrics-port",
            "0",
            "--page-port",
            "0",
            "-m",
            "motion-primitives",
        ],
        cwd=_ROOT,
        env=os.environ | {"ACTIONLENS_DATA": str(folder), "ACTIONLENS_JOBS__INPUT_ROOT": str(folder / "inputs")},
        stdout=subprocess.DEVNULL,
    )
    try:
        address = f"127.0.0.1:{port}"
        until(lambda: serving(address))
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def serving(address: str) -> bool:
    """Whether a service answers there."""
    try:
        with Client(address, timeout=2.0) as client:
            return client.health() == "SERVING"
    except ActionLensError:
        return False


def until(true: Callable[[], bool]) -> None:
    """Wait for a condition, two minutes at most."""
    end = time.monotonic() + 120
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("the service did not start")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
