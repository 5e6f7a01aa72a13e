"""Who may call what: every RPC, over real gRPC and SQLite, by tokens."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from actionlens.v1 import job_pb2, method_pb2, model_pb2, service_pb2
from service.identity.access import ACCESS
from service.identity.principal import Right
from service.identity.principals_file import remove_entry
from service.server import Server
from tests.service.backend import PixelBackend, describe
from tests.service.conftest import Serve
from tests.service.identity.issuer_server import AUDIENCE, issuing
from tests.service.identity.people import People, calling
from tests.service.requests import GRAD_CAM, clip_request, raw_clip, refusal
from tests.waiting import PATIENCE

DENIED, UNKNOWN_CALLER = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
NOT_FOUND, OK = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK
INVALID = grpc.StatusCode.INVALID_ARGUMENT
OCCLUSION = method_pb2.Method(occlusion=method_pb2.Occlusion())


def model() -> model_pb2.Model:
    made = describe()
    made.methods.add(method="occlusion", supported=True, job=True)
    return made


@pytest.fixture
async def secured(request: pytest.FixtureRequest, serve: Serve, people: People) -> AsyncIterator[Server]:
    """A service that alice (tenant red) and bob (tenant blue) use, over SQLite or what the parameter names;
    nothing computes the jobs."""
    people.add("alice", Right.EXPLAIN, Right.JOBS)
    people.add("bob", Right.EXPLAIN, Right.JOBS, tenants=("blue", "green"))
    settings: dict[str, Any] = {"authentication": {"tokens": people.path}, "jobs": {"workers": 0}}
    if getattr(request, "param", "sqlite") == "postgresql":
        settings["jobs"]["db"] = request.getfixturevalue("postgres").url
    async with serve(over=PixelBackend(model()), **settings) as server:
        yield server


def job_request(**fields: Any) -> job_pb2.CreateJobRequest:
    return job_pb2.CreateJobRequest(method=OCCLUSION, clips=[job_pb2.JobClip(clip=raw_clip([0, 50]))], **fields)


async def code(call: Any) -> grpc.StatusCode:
    """The status of a unary call, or of a stream read to its end."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return OK


async def test_every_rpc_that_is_served_is_in_the_table(secured: Server) -> None:
    async with calling(secured, secured.authenticator.own_token) as stubs:
        reflection = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)  # type: ignore[no-untyped-call]
        assert await code(reflection.ServerReflectionInfo(iter(()))) in (OK, UNKNOWN_CALLER)
    served = {
        f"/{service.full_name}/{method.name}"
        for file in (service_pb2, job_pb2, health_pb2, reflection_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(ACCESS) == served


async def test_without_a_token_only_health_is_told(secured: Server) -> None:
    async with calling(secured) as stubs:
        health = health_pb2_grpc.HealthStub(stubs.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stubs.explanation.ListModels(service_pb2.ListModelsRequest())
        told = refusal(error.value)
        assert (told.code, told.reason) == (UNKNOWN_CALLER, "TOKEN_MISSING")
        assert "--token" in told.message
        for name in (
            "GetJob",
            "ListJobs",
            "ListJobClips",
            "WatchJob",
            "CancelJob",
            "RetryJob",
            "DeleteJob",
            "CreateJob",
        ):
            request = getattr(job_pb2, f"{name}Request")()
            assert await code(getattr(stubs.job, name)(request)) == UNKNOWN_CALLER, name
        reflection = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)  # type: ignore[no-untyped-call]
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        assert await code(reflection.ServerReflectionInfo(iter([asked]))) == UNKNOWN_CALLER


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer alt_" + "A" * 43, "Bearer ", "Basic eDp5", ""])
async def test_a_token_that_nobody_has_is_refused(secured: Server, header: str) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{secured.port}") as channel:
        call = channel.unary_unary("/actionlens.v1.ExplanationService/ListModels")
        assert await code(call(b"", metadata=(("authorization", header),))) is UNKNOWN_CALLER


async def test_each_right_lets_do_its_own(serve: Serve, people: People) -> None:
    for right in Right:
        people.add(right.value, right)
    people.add("nothing")
    explaining, predicting = clip_request(GRAD_CAM), clip_request()
    expected = {
        "predict": (OK, DENIED, OK, DENIED),
        "explain": (OK, OK, OK, DENIED),
        "jobs": (DENIED, DENIED, OK, OK),
        "admin": (OK, OK, OK, OK),
        "nothing": (DENIED, DENIED, OK, DENIED),
    }
    async with serve(authentication={"tokens": people.path}, jobs={"workers": 0}) as server:
        for name, codes in expected.items():
            async with calling(server, people.tokens[name]) as stubs:
                found = (
                    await code(stubs.explanation.ExplainClip(predicting)),
                    await code(stubs.explanation.ExplainClip(explaining)),
                    await code(stubs.explanation.ListModels(service_pb2.ListModelsRequest())),
                    await code(stubs.job.ListJobs(job_pb2.ListJobsRequest())),
                )
                assert found == codes, name


async def test_a_stream_needs_the_right_to_explain_also_when_it_asks_later(serve: Serve, people: People) -> None:
    token = people.add("predicts", Right.PREDICT)
    opened = service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen())
    asks = service_pb2.ExplainStreamRequest(update=service_pb2.StreamUpdate(methods=[GRAD_CAM]))
    at_once = service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(methods=[GRAD_CAM]))
    end = service_pb2.ExplainStreamRequest(end=service_pb2.StreamEnd())
    async with serve(authentication={"tokens": people.path}) as server, calling(server, token) as stubs:
        assert await code(stubs.explanation.ExplainStream(iter([at_once, end]))) == DENIED
        assert await code(stubs.explanation.ExplainStream(iter([opened, asks, end]))) == DENIED


@pytest.mark.parametrize("secured", ["sqlite", "postgresql"], indirect=True)
async def test_two_principals_cannot_see_touch_or_count_each_others_jobs(secured: Server, people: People) -> None:
    async with calling(secured, people.tokens["alice"]) as alice, calling(secured, people.tokens["bob"]) as bob:
        job = (await alice.job.CreateJob(job_request())).job
        assert job.tenant == "red"
        other = (await bob.job.CreateJob(job_request())).job
        assert other.tenant == "blue"
        for name in ("GetJob", "ListJobClips", "WatchJob", "CancelJob", "RetryJob", "DeleteJob", "DownloadResult"):
            told = []
            for identifier in (job.id, "0" * len(job.id)):
                request = getattr(job_pb2, f"{name}Request")(id=identifier)
                call = getattr(bob.job, name)(request)
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await (anext(aiter(call)) if hasattr(call, "__aiter__") else call)
                told.append((error.value.code(), (error.value.details() or "").replace(identifier, "ID")))
            assert told[0] == told[1], name
            assert told[0][0] is NOT_FOUND
        for principal, own in ((alice, job), (bob, other)):
            page = await principal.job.ListJobs(job_pb2.ListJobsRequest(page_size=1))
            assert [found.id for found in page.jobs] == [own.id]
            assert page.next_page_token == ""
        kept = (await alice.job.GetJob(job_pb2.GetJobRequest(id=job.id))).job
        assert (kept.state, kept.cancelling) == (job_pb2.JOB_STATE_QUEUED, False)


@pytest.mark.parametrize("secured", ["sqlite", "postgresql"], indirect=True)
async def test_tenants_are_ones_own_and_request_ids_are_theirs(secured: Server, people: People) -> None:
    async with calling(secured, people.tokens["alice"]) as alice, calling(secured, people.tokens["bob"]) as bob:
        for call in (
            alice.job.CreateJob(job_request(tenant="blue")),
            alice.job.ListJobs(job_pb2.ListJobsRequest(tenant="blue")),
        ):
            assert await code(call) is DENIED
        named = await bob.job.CreateJob(job_request(tenant="green", request_id="one"))
        assert named.job.tenant == "green"
        first = await alice.job.CreateJob(job_request(request_id="one"))
        again = await alice.job.CreateJob(job_request(request_id="one"))
        assert (first.created, again.created, again.job.id == first.job.id) == (True, False, True)
        assert first.job.id != named.job.id
        listed = await bob.job.ListJobs(job_pb2.ListJobsRequest(tenant="green"))
        assert [job.id for job in listed.jobs] == [named.job.id]


async def test_where_nobody_must_say_who_it_is_tenants_are_what_requests_say(serve: Serve) -> None:
    async with serve(over=PixelBackend(model()), jobs={"workers": 0}) as server, calling(server) as stubs:
        named = (await stubs.job.CreateJob(job_request(tenant="any"))).job
        unnamed = (await stubs.job.CreateJob(job_request())).job
        assert (named.tenant, unnamed.tenant) == ("any", "default")
        assert len((await stubs.job.ListJobs(job_pb2.ListJobsRequest())).jobs) == 2
    assert not (server.settings.data / "audit.jsonl").exists()


async def test_a_revoked_token_ends_calls_and_what_is_open(secured: Server, people: People) -> None:
    async with calling(secured, people.tokens["alice"]) as stubs:
        job = (await stubs.job.CreateJob(job_request())).job
        watch = stubs.job.WatchJob(job_pb2.WatchJobRequest(id=job.id))
        await anext(aiter(watch))
        stream = stubs.explanation.ExplainStream(_opened_for_ever())
        assert (await anext(aiter(stream))).opened.credit
        remove_entry(people.path, "alice")
        assert await code(stubs.job.GetJob(job_pb2.GetJobRequest(id=job.id))) is UNKNOWN_CALLER
        async with asyncio.timeout(PATIENCE):
            assert await code(watch) is UNKNOWN_CALLER
            assert await code(stream) is UNKNOWN_CALLER


async def _opened_for_ever() -> AsyncIterator[service_pb2.ExplainStreamRequest]:
    yield service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen())
    await asyncio.Event().wait()


async def test_a_token_of_the_issuer_serves_until_it_expires_also_in_a_stream(serve: Serve, people: People) -> None:
    people.add("alice", Right.JOBS)
    with issuing() as issuer:
        settings = {
            "tokens": people.path, "issuer": issuer.address, "audience": AUDIENCE, "leeway_seconds": 0,
        }  # fmt: skip
        async with serve(over=PixelBackend(model()), authentication=settings, jobs={"workers": 0}) as server:
            async with calling(server, issuer.token(tenants="blue")) as stubs:
                assert (await stubs.job.CreateJob(job_request())).job.tenant == "blue"
            async with calling(server, issuer.token(rights="jobs", expires=5)) as stubs:
                job = (await stubs.job.CreateJob(job_request())).job
                assert job.tenant == "red"
                watch = stubs.job.WatchJob(job_pb2.WatchJobRequest(id=job.id))
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    async for _ in watch:
                        pass
                assert (error.value.code(), refusal(error.value).reason) == (UNKNOWN_CALLER, "TOKEN_EXPIRED")
            async with calling(server, people.tokens["alice"]) as stubs:
                assert await code(stubs.job.ListJobs(job_pb2.ListJobsRequest())) is OK


def _rows(data: Path) -> str:
    """All that the database keeps of jobs, as text."""
    with sqlite3.connect(data / "jobs.sqlite") as database:
        return "\n".join(
            repr(database.execute(f"SELECT * FROM {table}").fetchall()) for table in ("jobs", "clips", "uploads")
        )


async def test_what_changes_state_is_audited_once_and_nothing_else_is(secured: Server, people: People) -> None:
    """By what the database keeps, not by the table: an RPC that changes it and writes no line fails here."""
    audit = secured.guard.audit.path
    assert audit is not None
    requests = {
        "CreateJob": job_request(),
        "CancelJob": job_pb2.CancelJobRequest(),
        "RetryJob": job_pb2.RetryJobRequest(),
        "DeleteJob": job_pb2.DeleteJobRequest(),
        "ExplainClip": clip_request(GRAD_CAM),
    }
    changing = ["CreateJob", "CancelJob", "RetryJob", "CancelJob", "DeleteJob"]
    names = [name.rpartition("/")[2] for name in ACCESS if "actionlens" in name]
    order = [*(name for name in names if name not in changing), *changing]
    lines = 0
    async with calling(secured, people.tokens["alice"]) as stubs:
        job = (await stubs.job.CreateJob(job_request())).job.id
        lines += 1
        for name in order:
            file = service_pb2 if hasattr(service_pb2, f"{name}Request") else job_pb2
            request = requests.get(name) or getattr(file, f"{name}Request")()
            if "id" in request.DESCRIPTOR.fields_by_name:
                request.id = job
            stub = stubs.job if file is job_pb2 else stubs.explanation
            before = _rows(secured.settings.data)
            call = getattr(stub, name)(iter([request]) if name == "ExplainStream" else request)
            if name == "WatchJob":
                await anext(aiter(call))
                call.cancel()
            else:
                await code(call)
            changed = _rows(secured.settings.data) != before
            assert changed == (name in changing), name
            written = audit.read_text().splitlines()[lines:]
            assert len(written) == int(changed), name
            lines += len(written)
            for line in written:
                told = json.loads(line)
                assert (told["who"], told["what"], told["tenant" if name == "CreateJob" else "result"]) == (
                    "alice", name, "red" if name == "CreateJob" else "OK",
                )  # fmt: skip
                assert told["from"].startswith("ipv4:127.0.0.1:")


async def test_refused_changes_are_audited_without_secrets_or_control_characters(
    secured: Server, people: People
) -> None:
    audit = secured.guard.audit.path
    assert audit is not None
    secret = "alt_this-is-nobodys-token"
    async with calling(secured, secret) as stubs:
        assert await code(stubs.job.DeleteJob(job_pb2.DeleteJobRequest(id="a"))) is UNKNOWN_CALLER
    async with calling(secured, people.tokens["bob"]) as stubs:
        assert await code(stubs.job.CancelJob(job_pb2.CancelJobRequest(id="\x1b[2J\nx" + "y" * 1000))) is INVALID
        assert await code(stubs.job.CreateJob(job_request(tenant="red"))) is DENIED
    text = audit.read_text()
    told = [json.loads(line) for line in text.splitlines()]
    assert [(entry.get("who", ""), entry["what"], entry["result"]) for entry in told] == [
        ("", "DeleteJob", "UNAUTHENTICATED"),
        ("bob", "CancelJob", "INVALID_ARGUMENT"),
        ("bob", "CreateJob", "PERMISSION_DENIED"),
    ]
    assert secret not in text
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())
    assert len(told[1]["on"]) == 200
    assert audit.stat().st_mode & 0o077 == 0
