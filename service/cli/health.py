"""`actionlens health`: is the service ready. Also the health check of the container."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from service.cli.options import Address, make_client, service_address

_PAUSE = 0.2


def health(
    address: Address = "",
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Keep asking for so long until it is ready.")
    ] = 0.0,
) -> None:
    """Exit with 0 when the service is SERVING, with 1 when it is not."""
    from service.errors import ActionLensError

    where = service_address(address)
    end = time.monotonic() + wait
    with make_client(address, 5.0) as client:
        while True:
            try:
                status = client.health(timeout=max(1.0, min(5.0, end - time.monotonic())))
            except ActionLensError as error:
                status = error.message
            if status == "SERVING":
                typer.echo(f"{where}: SERVING")
                return
            if time.monotonic() + _PAUSE > end:
                typer.echo(status, err=True)
                raise typer.Exit(1)
            time.sleep(_PAUSE)
