"""The client's calls without a service, computed in this process; needs the extra `worker`."""

from actionlens.extras import explained

try:
    from service.local import LocalClient
except ModuleNotFoundError as error:
    raise explained(error) from error

__all__ = ["LocalClient"]
