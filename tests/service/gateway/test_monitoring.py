"""/metrics and /healthz on both ports, and nothing else on the metrics port."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from service.gateway.monitoring import make_monitoring_app, monitoring_routes
from service.gateway.server import HttpServer
from service.ingress.hosts import AllowedHosts
from service.server import Server
from service.telemetry.metrics import Metrics
from tests.service.backend import PixelBackend
from tests.service.conftest import Serve

EVERYTHING = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.mark.parametrize("port", ["metrics_port", "page_port"])
async def test_both_ports_answer_scrapers_and_probes(server: Server, port: str) -> None:
    address = f"http://127.0.0.1:{getattr(server, port)}"
    async with httpx.AsyncClient(base_url=address) as client:
        classic, opened = await client.get("/metrics"), await client.get("/metrics", headers={"accept": EVERYTHING})
        probe = await client.get("/healthz")
        posted = await client.post("/metrics", content=b"x")
    assert classic.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert opened.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert opened.text.endswith("# EOF\n")
    assert "# EOF" not in classic.text
    assert (probe.status_code, probe.text) == (200, "SERVING\n")
    assert posted.status_code == 405


@pytest.mark.parametrize("path", ["/", "/schema.json", "/static/js/main.js", "/metrics/", "/call/GetModel"])
async def test_the_metrics_port_has_nothing_else(server: Server, path: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.metrics_port}") as client:
        assert (await client.get(path)).status_code == 404
        assert (await client.post(path)).status_code == 404
    with pytest.raises(InvalidStatus, match="403"):
        async with connect(f"ws://127.0.0.1:{server.metrics_port}/call/ExplainStream"):
            pass


async def test_the_metrics_port_answers_to_the_names_that_are_configured(serve: Serve) -> None:
    async with serve(hosts=("*.cluster.example",)) as server:
        for name, status in (("explainer-7.cluster.example:8471", 200), ("elsewhere.example", 403)):
            async with httpx.AsyncClient(headers={"host": name}) as client:
                for path in ("/metrics", "/healthz"):
                    answer = await client.get(f"http://127.0.0.1:{server.metrics_port}{path}")
                    assert answer.status_code == status, (name, path)


async def test_connections_that_never_ask_make_room_for_those_that_do() -> None:
    app = make_monitoring_app(monitoring_routes(Metrics(PixelBackend()), lambda: True), AllowedHosts("127.0.0.1", ()))
    monitoring = HttpServer(app, connections=3)
    port = await monitoring.start("127.0.0.1", 0)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
    for _, writer in silent:
        writer.write(b"GET /metrics HTTP/1.1\r\n")
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    for _, writer in silent:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    await monitoring.stop(0.0)
