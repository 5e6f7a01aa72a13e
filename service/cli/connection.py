"""The options of a secured connection, which every command that calls a service has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import grpc

    from service.settings import Settings

_PANEL = "Secured services"


def _file(name: str, variable: str, text: str) -> Any:
    option = typer.Option(
        name, envvar=variable, metavar="FILE", exists=True, dir_okay=False, help=text, rich_help_panel=_PANEL
    )
    return Annotated[Path | None, option]


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "tls": (
        Annotated[
            bool,
            typer.Option(
                "--tls", envvar="ACTIONLENS_CLIENT_TLS", rich_help_panel=_PANEL,
                help="The service speaks TLS, with a certificate of a well-known authority.",
            ),
        ],
        False,
    ),
    "ca": (_file("--ca", "ACTIONLENS_CA", "It speaks TLS; file (PEM) of the authority of its certificate."), None),
    "client_cert": (_file("--client-cert", "ACTIONLENS_CLIENT_CERT", "Our own certificate, where it wants one."), None),
    "client_key": (_file("--client-key", "ACTIONLENS_CLIENT_KEY", "The key of our own certificate."), None),
    "token": (
        Annotated[
            str,
            typer.Option(
                envvar="ACTIONLENS_TOKEN", metavar="TOKEN", show_envvar=True, rich_help_panel=_PANEL,
                help="Who calls: a token of `actionlens tokens create` or of the issuer. Others on this machine can "
                "read options; the variable and --token-file are private.",
            ),
        ],
        "",
    ),
    "token_file": (_file("--token-file", "ACTIONLENS_TOKEN_FILE", "File with the token."), None),
}  # fmt: skip


@dataclass(frozen=True)
class Connection:
    """How to connect."""

    tls: bool = False
    ca: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    token: str = ""
    token_file: Path | None = None

    def credentials(self, local: Settings | None) -> grpc.ChannelCredentials | None:
        """Channel credentials; None: plain. local: the settings of the service on this machine, where that is called;
        its own certificate is then trusted. Raises OSError, and InvalidArgument for half of a client certificate."""
        from service.client import tls_credentials

        ca = self.ca
        if not (self.tls or ca or self.client_cert or self.client_key):
            if local is None or local.tls.cert is None:
                return None
            ca = local.tls.cert
        return tls_credentials(ca, self.client_cert, self.client_key)

    def bearer_token(self) -> str:
        """The token, or that in the file. Raises OSError."""
        return self.token or (self.token_file.read_text(encoding="utf-8").strip() if self.token_file else "")


_CONNECTION: ContextVar[Connection] = ContextVar("connection", default=Connection())  # noqa: B039, it is frozen


def current_connection() -> Connection:
    """As the options of the command that runs say."""
    return _CONNECTION.get()


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options; `current_connection` has their values while it runs."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(**given: Any) -> None:
        _CONNECTION.set(Connection(**{name: given.pop(name) for name in _OPTIONS}))
        command(**given)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _OPTIONS.items()
    ]
    whole = signature.replace(parameters=[*signature.parameters.values(), *added])
    run.__signature__ = whole  # type: ignore[attr-defined]  # what inspect looks at first
    run.__annotations__ = {name: entry.annotation for name, entry in whole.parameters.items()}
    return run
