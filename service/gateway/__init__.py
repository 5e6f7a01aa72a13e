"""HTTP and WebSockets: the live page, the same calls as gRPC, /metrics and /healthz.

In: requests of browsers, scrapers and probes. Out: the page's files, the answers of the gRPC servicers (called through
rpc_bridge without gRPC), the text of the metrics. Called by service.server, which opens one HttpServer for the page and
one for monitoring.
"""
