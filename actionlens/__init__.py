"""ActionLens: explanations of video action models.

This package holds the contracts that both sides share (protobuf messages in `actionlens.v1`, model cards) and the
public names, each in a module that is imported when it is first used, and brings no more than it needs:

    actionlens.client     Client, AsyncClient and what they give           every install
    actionlens.errors     what their calls raise                           every install
    actionlens.settings   Settings, the ACTIONLENS_* variables             every install
    actionlens.server     Server and serve: the service in this process    actionlens[service]
    actionlens.local      LocalClient: the client without a service        actionlens[worker]
    actionlens.relevance  the relevance engine, for any torch module       actionlens[worker]
"""

from importlib import import_module
from types import ModuleType

_PUBLIC = ("client", "errors", "local", "relevance", "server", "settings")


def __getattr__(name: str) -> ModuleType:
    if name in _PUBLIC:
        return import_module(f"actionlens.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*globals(), *_PUBLIC))
