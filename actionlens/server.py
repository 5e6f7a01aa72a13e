"""The service in a Python process; needs the extra `service`, and for TorchServe `worker`."""

from actionlens.extras import needing

with needing("service"):
    from service.server import Server, serve

__all__ = ["Server", "serve"]
