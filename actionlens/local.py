"""The client's calls without a service, computed in this process; needs the extra `worker`."""

from actionlens.extras import needing

with needing("worker"):
    from service.local import LocalClient

__all__ = ["LocalClient"]
