"""Logging in to the page, by token and at an issuer: cookies, origins, ends of sessions, and what stays closed."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from actionlens.v1 import service_pb2
from service.errors import Unauthenticated
from service.identity.principal import EVERYBODY, Right
from service.identity.principals_file import add_entry, remove_entry
from service.identity.sessions import PendingLogin, Sessions
from service.server import Server
from tests.service.conftest import Serve
from tests.service.identity.authority import Authority
from tests.service.identity.issuer_server import AUDIENCE, CLIENT, issuing
from tests.waiting import PATIENCE

MODELS = service_pb2.ListModelsRequest().SerializeToString()


@pytest.fixture
def principals(tmp_path: Path) -> Path:
    return tmp_path / "principals.yaml"


@pytest.fixture
def token(principals: Path) -> str:
    return add_entry(principals, "alice", ("red",), frozenset({Right.EXPLAIN, Right.JOBS}))


@pytest.fixture
async def secured(serve: Serve, principals: Path, token: str) -> AsyncIterator[Server]:
    async with serve(authentication={"tokens": principals}) as server:
        yield server


def browser(server: Server, *, port: int = 0, **options: Any) -> httpx.AsyncClient:
    """Keeps cookies, and sends the page's origin as browsers do."""
    address = f"http://127.0.0.1:{port or server.page_port}"
    return httpx.AsyncClient(base_url=address, headers={"origin": address}, timeout=PATIENCE, **options)


async def log_in(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/login", json={"token": token})


async def test_a_log_in_gives_a_cookie_that_scripts_and_other_sites_do_not_get(secured: Server, token: str) -> None:
    async with browser(secured) as client:
        assert (await client.get("/session")).json() == {
            "required": True, "tokens": True, "issuer": False, "name": "",
        }  # fmt: skip
        assert (await client.post("/call/ListModels", content=MODELS)).status_code == 401
        response = await log_in(client, token)
        assert response.json() == {"name": "alice"}
        cookie = response.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert token not in cookie
        session = (await client.get("/session")).json()
        assert (session["name"], session["tenants"], session["rights"]) == ("alice", ["red"], ["explain", "jobs"])
        assert (await client.post("/call/ListModels", content=MODELS)).status_code == 200
        assert (await client.post("/logout")).status_code == 200
        client.cookies.set("actionlens", cookie.split(";")[0].partition("=")[2])
        assert (await client.post("/call/ListModels", content=MODELS)).status_code == 401


async def test_under_tls_the_cookie_stays_with_this_host(
    serve: Serve, principals: Path, token: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    tls = {"cert": issued.cert, "key": issued.key}
    async with serve(authentication={"tokens": principals}, tls=tls) as server:
        address = f"https://localhost:{server.page_port}"
        trusting = ssl.create_default_context(cafile=str(authority.path))
        async with httpx.AsyncClient(verify=trusting, headers={"origin": address}, timeout=PATIENCE) as client:
            cookie = (await client.post(f"{address}/login", json={"token": token})).headers["set-cookie"]
        assert cookie.startswith("__Host-actionlens=")
        assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'{"token": 7}', b'{"token": "' + b"a" * 40_000 + b'"}'])
async def test_log_ins_that_are_none_are_refused(secured: Server, body: bytes) -> None:
    async with browser(secured) as client:
        response = await client.post("/login", content=body)
        assert (response.status_code, response.json()["field"]) == (400, "token")
        assert not client.cookies


async def test_wrong_tokens_are_refused_and_every_log_in_is_audited(secured: Server, token: str) -> None:
    async with browser(secured) as client:
        assert (await log_in(client, "alt_wrong")).status_code == 401
        await log_in(client, token)
        await client.post("/logout")
    audit = secured.guard.audit.path
    assert audit is not None
    told = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(entry["what"], entry.get("who"), entry["result"]) for entry in told] == [
        ("Login", None, "UNAUTHENTICATED"),
        ("Login", "alice", "OK"),
        ("Logout", "alice", "OK"),
    ]
    assert token not in audit.read_text()


async def test_what_a_stranger_sends_is_not_read(secured: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", secured.page_port)
    # The body that is announced never comes.
    writer.write(b"POST /call/ExplainClip HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
    writer.close()
    await writer.wait_closed()


async def test_a_cookie_alone_changes_nothing_without_the_pages_origin(secured: Server, token: str) -> None:
    async with browser(secured) as client:
        await log_in(client, token)
        cookies = dict(client.cookies)
    address = f"http://127.0.0.1:{secured.page_port}"
    async with httpx.AsyncClient(base_url=address, cookies=cookies, timeout=PATIENCE) as other:
        for headers in ({}, {"origin": "http://elsewhere.example"}):
            for path in ("/call/ListModels", "/login", "/logout"):
                response = await other.post(path, content=b"", headers=headers)
                assert response.status_code == 403, (path, headers)
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    with pytest.raises(InvalidStatus):
        async with connect(f"{address.replace('http', 'ws')}/call/WatchJob", additional_headers={"cookie": cookie}):
            pass


async def test_a_token_in_the_header_needs_no_origin(secured: Server, token: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    address = f"http://127.0.0.1:{secured.page_port}"
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=PATIENCE) as client:
        assert (await client.post("/call/ListModels", content=MODELS)).status_code == 200
        assert (await client.get("/schema.json")).status_code == 200


async def test_sockets_are_the_sessions_and_end_with_its_token(serve: Serve, principals: Path, token: str) -> None:
    async with serve(authentication={"tokens": principals}) as secured, browser(secured) as client:
        address = f"ws://127.0.0.1:{secured.page_port}/call/ExplainStream"
        origin: Any = str(client.base_url).rstrip("/")
        opened = service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen()).SerializeToString()
        async with connect(address, origin=origin, open_timeout=PATIENCE) as wire:
            assert json.loads(await wire.recv())["code"] == "UNAUTHENTICATED"
        await log_in(client, token)
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        headers = {"cookie": cookie}
        async with connect(address, origin=origin, additional_headers=headers, open_timeout=PATIENCE) as wire:
            await wire.send(opened)
            assert isinstance(await wire.recv(), bytes)
            remove_entry(principals, "alice")
            assert json.loads(await wire.recv())["reason"] == "UNKNOWN_TOKEN"
            with pytest.raises(ConnectionClosed):
                await wire.recv()


async def test_the_page_loads_and_the_rest_stays_closed(secured: Server, principals: Path) -> None:
    admin = add_entry(principals, "root", ("*",), frozenset({Right.ADMIN}))
    async with browser(secured) as client, browser(secured, port=secured.metrics_port) as monitoring:
        for path in ("/", "/overhead", "/static/js/main.js", "/healthz"):
            assert (await client.get(path)).status_code == 200, path
        for path in ("/metrics", "/schema.json", "/samples/colours", "/metrics/", "/metrics%2f"):
            response = await client.get(path, follow_redirects=True)
            assert response.status_code in (401, 404), (response.url, response.text[:300])
        assert (await monitoring.get("/healthz")).status_code == 200
        for headers in ({}, {"host": "a/b"}, {"host": "a?"}, {"host": "a#"}):
            assert (await monitoring.get("/metrics", headers=headers)).status_code in (401, 403), headers
        scraping = {"authorization": f"Bearer {admin}"}
        assert "actionlens" in (await monitoring.get("/metrics", headers=scraping)).text


async def test_metrics_need_the_right_admin(secured: Server, token: str) -> None:
    async with browser(secured, port=secured.metrics_port) as monitoring:
        response = await monitoring.get("/metrics", headers={"authorization": f"Bearer {token}"})
        assert (response.status_code, response.json()["reason"]) == (403, "RIGHT_MISSING")


async def test_health_and_metrics_can_be_opened_and_closed(serve: Serve, principals: Path, token: str) -> None:
    settings = {"tokens": principals, "open_health": False, "open_metrics": True}
    async with serve(authentication=settings) as server, browser(server, port=server.metrics_port) as monitoring:
        assert (await monitoring.get("/healthz")).status_code == 401
        assert (await monitoring.get("/metrics")).status_code == 200


async def test_where_nobody_must_log_in_the_page_says_so(server: Server) -> None:
    async with browser(server) as client:
        assert (await client.get("/session")).json() == {"required": False, "tokens": False, "issuer": False}
        assert (await client.get("/login/issuer")).status_code == 404


async def test_the_issuers_way_ends_in_a_session(serve: Serve) -> None:
    with issuing() as issuer:
        settings = {"issuer": issuer.address, "audience": AUDIENCE, "client_id": CLIENT}
        async with serve(authentication=settings) as server, browser(server) as client:
            assert (await client.get("/session")).json()["issuer"]
            away = await client.get("/login/issuer")
            asked = {name: values[0] for name, values in parse_qs(urlsplit(away.headers["location"]).query).items()}
            assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
            assert "samesite=lax" in away.headers["set-cookie"].lower()
            back = (await client.get(away.headers["location"])).headers["location"]
            assert back.startswith(f"{client.base_url}".rstrip("/") + "/login/return?")
            arrived = await client.get(back)
            assert (arrived.status_code, arrived.headers["location"]) == (303, "/")
            assert (await client.get("/session")).json()["name"] == "alice"
            assert (await client.get(back)).status_code == 401  # a state works once


async def test_only_the_browser_that_left_comes_back(serve: Serve) -> None:
    with issuing() as issuer:
        settings = {"issuer": issuer.address, "audience": AUDIENCE, "client_id": CLIENT}
        async with serve(authentication=settings) as server, browser(server) as mine, browser(server) as theirs:
            away = await theirs.get("/login/issuer")
            back = (await theirs.get(away.headers["location"])).headers["location"]
            refused = await mine.get(back)
            assert (refused.status_code, refused.json()["reason"]) == (401, "LOGIN_REFUSED")
            for wrong in ("/login/return", "/login/return?state=x&code=y", "/login/return?error=access_denied"):
                assert (await mine.get(wrong)).status_code == 401
            assert (await mine.get("/session")).json()["name"] == ""


def test_sessions_are_bounded_and_end() -> None:
    now = 0.0
    sessions = Sessions(10.0, lambda: now)
    secrets = [sessions.open(lambda: EVERYBODY) for _ in range(1001)]
    with pytest.raises(Unauthenticated):
        sessions.credential(secrets[0])()  # the oldest has gone
    last = sessions.credential(secrets[-1])
    assert last() == EVERYBODY
    now = 10.0
    with pytest.raises(Unauthenticated):
        last()
    state, pending = sessions.begin("http://a/login/return")
    assert len({state, pending.nonce, pending.verifier, pending.cookie}) == 4
    with pytest.raises(Unauthenticated):
        sessions.finish(state, "other")
    state, pending = sessions.begin("http://a/login/return")
    now = 700.0
    with pytest.raises(Unauthenticated):
        sessions.finish(state, pending.cookie)


def test_the_challenge_is_that_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    login = PendingLogin("", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "", "")
    assert login.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
