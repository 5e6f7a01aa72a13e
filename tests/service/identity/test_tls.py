"""TLS on all ports by a test authority: reload, client certificates, and what a client is told that does not fit."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from actionlens.v1 import job_pb2, service_pb2
from service.cli.main import app
from service.client import AsyncClient, tls_credentials
from service.errors import ActionLensError, InvalidArgument, Unavailable
from service.identity.principal import Right
from service.identity.principals_file import add_entry
from service.identity.tls import ServerTls
from service.server import Server
from tests.service.conftest import Serve
from tests.service.identity.authority import Authority, Issued
from tests.waiting import PATIENCE


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(issued: Issued, **more: Any) -> dict[str, Any]:
    return {"cert": issued.cert, "key": issued.key, **more}


def connect(server: Server, ca: Path, **more: Any) -> AsyncClient:
    certificate = more.pop("certificate", None)
    files = (certificate.cert, certificate.key) if certificate else ()
    return AsyncClient(f"127.0.0.1:{server.port}", credentials=tls_credentials(ca, *files), **more)


async def test_all_ports_speak_tls_and_the_canary_passes(serve: Serve, authority: Authority) -> None:
    async with serve(tls=tls(authority.issue("server"))) as server:
        async with connect(server, authority.path) as client:
            assert await client.health() == "SERVING"
            assert len(await client.list_models()) == 1
        trusting = ssl.create_default_context(cafile=str(authority.path))
        async with httpx.AsyncClient(verify=trusting, timeout=PATIENCE) as client:
            assert "<title>ActionLens" in (await client.get(f"https://localhost:{server.page_port}/")).text
            assert (await client.get(f"https://localhost:{server.metrics_port}/healthz")).text == "SERVING\n"


async def test_a_new_certificate_serves_new_connections_and_open_ones_stay(serve: Serve, authority: Authority) -> None:
    issued = authority.issue("server", file="server")
    async with serve(tls=tls(issued)) as server, connect(server, authority.path) as before:
        await before.list_models()
        other = Authority(issued.cert.parent, "Next CA")
        other.issue("server", file="server")
        async with connect(server, other.path) as after:
            assert await after.health() == "SERVING"
        assert len(await before.list_models()) == 1
        trusting = ssl.create_default_context(cafile=str(other.path))
        async with httpx.AsyncClient(verify=trusting, timeout=PATIENCE) as client:
            assert (await client.get(f"https://localhost:{server.metrics_port}/healthz")).status_code == 200


async def test_a_certificate_that_cannot_be_read_leaves_the_one_before(authority: Authority) -> None:
    issued = authority.issue("server")
    served = ServerTls(issued.cert, issued.key, None)
    context, whole = served.context, issued.key.read_bytes()
    issued.key.write_bytes(authority.issue("other").key.read_bytes())
    assert served.context is context
    issued.key.write_bytes(whole)
    os.utime(issued.key, (1, 1))
    assert served.context is not context


def test_files_that_do_not_fit_together_are_no_start(authority: Authority, tmp_path: Path) -> None:
    issued, other = authority.issue("server"), authority.issue("other")
    (tmp_path / "empty").touch()
    for cert, key, ca in (
        (issued.cert, other.key, None),
        (tmp_path / "absent", issued.key, None),
        (issued.cert, tmp_path / "empty", None),
        (issued.cert, issued.key, tmp_path / "empty"),
    ):
        with pytest.raises(Unavailable, match="ACTIONLENS_TLS__CERT"):
            ServerTls(cert, key, ca)


async def test_with_client_certificates_others_reach_no_port(serve: Serve, authority: Authority) -> None:
    settings = tls(authority.issue("server"), client_ca=authority.path)
    own, strange = authority.issue("own"), Authority(authority.path.parent, "Other CA").issue("strange")
    async with serve(tls=settings) as server:
        async with connect(server, authority.path, certificate=own) as client:
            assert len(await client.list_models()) == 1
        for certificate in (None, strange):
            async with connect(server, authority.path, certificate=certificate, timeout=1.0) as client:
                with pytest.raises(ActionLensError, match="--client-cert"):
                    await client.health()
            context = ssl.create_default_context(cafile=str(authority.path))
            if certificate is not None:
                context.load_cert_chain(certificate.cert, certificate.key)
            async with httpx.AsyncClient(verify=context, timeout=PATIENCE) as page:
                for port in (server.page_port, server.metrics_port):
                    with pytest.raises(httpx.TransportError):
                        await page.get(f"https://localhost:{port}/healthz")


async def test_a_client_certificate_is_a_principal(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "principals.yaml"
    add_entry(path, "camera", ("red",), frozenset({Right.JOBS}), certificate="camera.example")
    token = add_entry(path, "alice", ("blue",), frozenset({Right.JOBS}))
    settings = {"tls": tls(authority.issue("server"), client_ca=authority.path), "authentication": {"tokens": path}}
    known, unknown = authority.issue("known", hosts=("camera.example",)), authority.issue("unknown")
    async with serve(**settings, jobs={"workers": 0}) as server:
        async with connect(server, authority.path, certificate=known) as client:
            assert [job async for job in client.jobs.list()] == []
            with pytest.raises(ActionLensError, match="camera lacks the right 'predict'"):
                await client.explain_clip([b"no picture"], methods=[])
        async with connect(server, authority.path, certificate=unknown) as client:
            with pytest.raises(ActionLensError, match="say who calls"):
                await client.list_models()
        async with connect(server, authority.path, certificate=known, token=token) as client:
            with pytest.raises(ActionLensError, match="alice has no tenant 'red'"):
                _ = [job async for job in client.jobs.list(tenant="red")]


@pytest.mark.parametrize(
    ("client", "says"),
    [
        ("plain", "give --tls, or --ca"),
        ("unknown", "not trusted here"),
        ("expired", "has expired"),
        ("name", "for another name"),
        ("tls", "does not speak TLS"),
    ],
)
async def test_clients_that_do_not_fit_are_told_what_to_do(
    serve: Serve, authority: Authority, client: str, says: str
) -> None:
    other = Authority(authority.path.parent, "Other CA")
    issued = authority.issue(
        "server",
        days=-1 if client == "expired" else 1,
        hosts=("elsewhere.example",) if client == "name" else ("127.0.0.1",),
    )
    async with serve(**({} if client == "tls" else {"tls": tls(issued)})) as server:
        ca = other.path if client == "unknown" else authority.path
        credentials = None if client == "plain" else tls_credentials(ca)
        async with AsyncClient(f"127.0.0.1:{server.port}", credentials=credentials) as connected:
            with pytest.raises(Unavailable, match=says) as error:
                await connected.health(timeout=PATIENCE)
            assert error.value.reason == "TLS_FAILED"


def test_half_a_client_certificate_is_a_mistake(authority: Authority) -> None:
    with pytest.raises(InvalidArgument, match="go together"):
        tls_credentials(authority.path, authority.issue("own").cert)


def test_messages_have_the_fields_that_the_guard_looks_at() -> None:
    """The guard and the audit log read these by name."""
    assert "methods" in service_pb2.ExplainClipRequest.DESCRIPTOR.fields_by_name
    stream = service_pb2.ExplainStreamRequest.DESCRIPTOR
    assert list(stream.oneofs_by_name) == ["message"]
    with_methods = [field.name for field in stream.fields if "methods" in field.message_type.fields_by_name]
    assert with_methods == ["open", "update"]
    assert {"id", "tenant"} <= set(job_pb2.Job.DESCRIPTOR.fields_by_name)


async def test_commands_take_the_options_and_tokens_are_made(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    path, run = tmp_path / "p.yaml", CliRunner()
    made = run.invoke(app, ["tokens", "create", "alice", "--tenant", "red", "--right", "jobs", "--file", str(path)])
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert run.invoke(app, ["tokens", "create", "bob", "--right", "all", "--file", str(path)]).exit_code == 2
    settings = {"tls": tls(authority.issue("server")), "authentication": {"tokens": path}}
    async with serve(**settings, jobs={"workers": 0}) as server:
        address = ["--address", f"127.0.0.1:{server.port}"]
        tokens = {"ACTIONLENS_TOKEN": token}
        listed = await asyncio.to_thread(
            run.invoke, app, ["jobs", "list", "--json", *address, "--ca", str(authority.path)], env=tokens
        )
        assert (listed.exit_code, listed.output) == (0, ""), listed.output
        here = {
            "ACTIONLENS_PORT": str(server.port),
            "ACTIONLENS_TLS__CERT": str(settings["tls"]["cert"]),
            "ACTIONLENS_TLS__KEY": str(settings["tls"]["key"]),
        }
        healthy = await asyncio.to_thread(run.invoke, app, ["health"], env=here)
        assert "SERVING" in healthy.output, healthy.output
        assert run.invoke(app, ["tokens", "revoke", "alice", "--file", str(path)]).exit_code == 0
        refused = await asyncio.to_thread(
            run.invoke, app, ["jobs", "list", *address, "--ca", str(authority.path)], env=tokens
        )
        assert isinstance(refused.exception, ActionLensError)
        assert refused.exception.reason == "UNKNOWN_TOKEN"
