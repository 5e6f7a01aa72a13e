"""/metrics and /healthz on both ports, and nothing else on the metrics port."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from service.gateway.monitoring import make_monitoring_app, monitoring_routes
from service.gateway.server import HttpServer
from service.server import Server
from service.telemetry.metrics import Metrics
from tests.service.backend import PixelBackend

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


async def test_the_metrics_port_answers_to_any_name(server: Server) -> None:
    async with httpx.AsyncClient(headers={"host": "explainer-7.cluster.example:8471"}) as client:
        for path in ("/metrics", "/healthz"):
            assert (await client.get(f"http://127.0.0.1:{server.metrics_port}{path}")).status_code == 200


async def test_connections_that_never_ask_are_bounded_and_free_again() -> None:
    app = make_monitoring_app(monitoring_routes(Metrics(PixelBackend()), lambda: True))
    monitoring = HttpServer(app, connections=3)
    port = await monitoring.start("127.0.0.1", 0)

    async def probe() -> int:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code

    writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(2)]
    for writer in writers:
        writer.write(b"GET /metrics HTTP/1.1\r\n")
    # The third connection reaches the bound.
    assert await probe() == 503
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(5):
        while await probe() != 200:
            pass
    await monitoring.stop(0.0)
