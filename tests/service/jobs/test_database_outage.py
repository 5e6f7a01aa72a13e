"""A service whose database of jobs cannot be opened: live answers come all the same, and jobs as soon as it opens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from actionlens.v1 import job_pb2, job_pb2_grpc
from service.cli.errors import explain_failure
from service.cli.serve import _announce
from service.errors import InvalidArgument, Unavailable
from service.jobs import lifecycle
from service.jobs.store.database import Database
from service.rpc.job_servicer import JOB_SERVICE
from service.server import Server
from service.settings import JobSettings, Settings
from tests.service.conftest import Serve, connect
from tests.service.requests import GRAD_CAM, clip_request, refusal
from tests.waiting import eventually, settled

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def health_of(server: Server, name: str) -> Any:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status


async def list_jobs(server: Server) -> job_pb2.ListJobsResponse:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = job_pb2_grpc.ExplanationJobServiceStub(channel)  # type: ignore[no-untyped-call]
        response: job_pb2.ListJobsResponse = await stub.ListJobs(job_pb2.ListJobsRequest())
        return response


def available(server: Server) -> float | None:
    return server.metrics.registry.get_sample_value("actionlens_jobs_available")


@pytest.fixture
def blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file where the database's folder should be."""
    monkeypatch.setattr(lifecycle, "_PAUSE_SECONDS", 0.05)
    path = tmp_path / "folder"
    path.write_text("in the way")
    return path


async def test_live_answers_come_without_jobs_and_jobs_when_their_database_opens(
    serve: Serve, blocked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(jobs={"db": str(blocked / "jobs.sqlite"), "workers": 0}) as server:
        async with connect(server) as stub:
            assert (await stub.ExplainClip(clip_request(GRAD_CAM))).answer.explanations
        assert await health_of(server, "") == SERVING
        assert await health_of(server, JOB_SERVICE) == NOT_SERVING
        assert available(server) == 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await list_jobs(server)
        found = refusal(caught.value)
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "JOB_DATABASE_UNAVAILABLE")
        assert found.message.startswith("jobs are not available: the database of jobs cannot be opened")
        assert str(blocked) not in found.message
        assert found.retry
        _announce(server, None)
        said = capsys.readouterr().out
        assert "not available, trying again: the database of jobs" in said
        assert str(blocked) in said.replace("\n", "")

        await asyncio.to_thread(blocked.unlink)
        await eventually(lambda: available(server) == 1)
        assert not (await list_jobs(server)).jobs
        while await health_of(server, JOB_SERVICE) == NOT_SERVING:
            await settled()
        _announce(server, None)
        # The log may have a line of one more attempt.
        assert "not available, trying" not in capsys.readouterr().out
        assert await health_of(server, "") == SERVING


async def test_a_service_without_its_database_of_jobs_stops_as_any(serve: Serve, blocked: Path) -> None:
    async with serve(jobs={"db": str(blocked / "jobs.sqlite"), "workers": 0}) as server:
        assert server.jobs is not None
        assert not server.jobs.is_open()
    with pytest.raises(grpc.aio.AioRpcError):
        await list_jobs(server)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:secret@host:port/jobs",
        "postgresql://user:sec:secret@ret@host:secret/jobs",
        "://user:secret@host/jobs",
        "mysql://user:secret@host/jobs",
    ],
)
async def test_a_database_url_that_is_none_ends_the_service_in_one_line(serve: Serve, url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        async with serve(jobs={"db": url, "workers": 0}):
            pass
    line = explain_failure(caught.value)
    assert line.startswith("ACTIONLENS_JOBS_DB: ")
    assert "secret" not in line
    assert "\n" not in line


def test_no_error_shows_a_password(tmp_path: Path) -> None:
    url = "postgresql://user:secret@127.0.0.1:1/jobs?password=secret"
    with pytest.raises(Unavailable) as caught:
        Database.open(Settings(data=tmp_path, jobs=JobSettings(db=url)))
    assert "@127.0.0.1:1/jobs" in explain_failure(caught.value)
    assert "secret" not in str(caught.value)
