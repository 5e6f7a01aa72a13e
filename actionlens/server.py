"""The service in a Python process; needs the extra `service`, and for TorchServe `worker`."""

from actionlens.extras import explained

try:
    from service.server import Server, serve
except ModuleNotFoundError as error:
    raise explained(error) from error

__all__ = ["Server", "serve"]
