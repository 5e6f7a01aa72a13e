"""Jobs over TorchServe: whatever is killed in the middle of them, all get done."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from actionlens.v1 import clip_pb2, job_pb2, job_pb2_grpc, method_pb2
from tests.e2e.conftest import Service, start, stop
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.timeout(1200)

SETTINGS = {
    "ACTIONLENS_MODELS": '["motion-primitives"]',
    # A block is a single iteration, however fast the machine: so there is always a middle.
    "ACTIONLENS_JOBS__BLOCK_SECONDS": "0.001",
    "ACTIONLENS_JOBS__LEASE_SECONDS": "3",
    "ACTIONLENS_JOBS__NICE": "0",
}
CLIPS = 6


def request(sample: bytes, name: str) -> job_pb2.CreateJobRequest:
    return job_pb2.CreateJobRequest(
        request_id=name,
        method=method_pb2.Method(integrated_gradients=method_pb2.IntegratedGradients(steps=20)),
        clips=[job_pb2.JobClip(clip=clip_pb2.Clip(video=sample)) for _ in range(CLIPS // 2)],
        seed=1,
    )


def done(stub: Any, jobs: list[str]) -> int:
    """Clips that are done. No clip may have failed."""
    found = [stub.GetJob(job_pb2.GetJobRequest(id=job)).job for job in jobs]
    assert not any(job.clips.failed or job.clips.cancelled for job in found)
    return sum(job.clips.succeeded for job in found)


def in_the_middle(stub: Any, jobs: list[str]) -> None:
    """Wait until some clip has begun and is not done."""

    def in_work() -> bool:
        found = [stub.ListJobClips(job_pb2.ListJobClipsRequest(id=job)).clips for job in jobs]
        return any(0 < clip.progress.iteration < clip.progress.iterations for clips in found for clip in clips)

    wait_until(in_work, 3 * PATIENCE)


def test_jobs_survive_the_death_of_every_process(store: Path, tmp_path: Path) -> None:
    sample = (store / "motion-primitives" / "sample.mp4").read_bytes()
    process, running = start(store, tmp_path, **SETTINGS)
    try:
        running.wait_serving()
        with grpc.insecure_channel(running.address) as channel:
            stub: Any = job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]
            jobs = [stub.CreateJob(request(sample, name)).job.id for name in ("one", "two")]
            for victim in ("compute", "java", "worker"):
                in_the_middle(stub, jobs)
                one_of(running, victim).send_signal(signal.SIGKILL)
            in_the_middle(stub, jobs)
        family = running.process.children(recursive=True)
        stop(process, signal.SIGKILL)
        assert not psutil.wait_procs(family, timeout=PATIENCE)[1]
        process, running = start(store, tmp_path, **SETTINGS)
        running.wait_serving()
        with grpc.insecure_channel(running.address) as channel:
            stub = job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]
            again = stub.CreateJob(request(sample, "one"))
            assert (again.job.id, again.created) == (jobs[0], False)
            wait_until(lambda: done(stub, jobs) == CLIPS, 5 * PATIENCE)
            for job in jobs:
                assert stub.GetJob(job_pb2.GetJobRequest(id=job)).job.state == job_pb2.JOB_STATE_SUCCEEDED
    finally:
        stop(process)


def one_of(running: Service, victim: str) -> psutil.Process:
    """The job worker, its java, or the process that computes."""
    worker = running.job_worker()
    if victim == "worker":
        return worker
    family = worker.children(recursive=True)
    if victim == "java":
        return next(child for child in family if child.name() == "java")
    return next(child for child in family if any("model_service_worker" in part for part in child.cmdline()))
