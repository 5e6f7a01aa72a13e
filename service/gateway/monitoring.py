"""Routes for operators: /metrics for Prometheus, /healthz for load balancers."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPEN_METRICS
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.gateway.middleware import GuardMiddleware
from service.ingress.hosts import AllowedHosts
from service.telemetry.metrics import Metrics

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of the classic text. The client library has it under names that differ between its versions."""


def monitoring_routes(metrics: Metrics, serving: Callable[[], bool]) -> list[Route]:
    """Make the routes /metrics and /healthz, GET and HEAD only. serving: whether /healthz answers 200 or 503."""

    async def scrape(request: Request) -> Response:
        # Whoever can read OpenMetrics says so, whatever else it reads.
        exemplars = "application/openmetrics-text" in request.headers.get("accept", "")
        return Response(metrics.text(exemplars), headers={"content-type": OPEN_METRICS if exemplars else PLAIN})

    async def health(request: Request) -> Response:
        return PlainTextResponse("SERVING\n") if serving() else PlainTextResponse("NOT_SERVING\n", 503)

    return [Route("/metrics", scrape), Route("/healthz", health)]


def make_monitoring_app(routes: list[Route], hosts: AllowedHosts) -> Starlette:
    """Make the ASGI application of the metrics port, which has these routes alone."""
    app = Starlette(routes=routes, middleware=[Middleware(GuardMiddleware, hosts=hosts)])
    app.router.redirect_slashes = False
    return app
