"""The command `actionlens`. Exit codes: 0 done, 1 failed (the reason is on standard error), 2 usage, 130 Ctrl-C."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from service.cli import (
    evaluate,
    explain,
    export,
    families,
    health,
    jobs,
    models,
    pull,
    serve,
    stream,
    tokens,
    webcam,
    worker,
)
from service.cli.connection import connecting
from service.cli.errors import explain_failure

app = typer.Typer(
    name="actionlens",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Explains video action models: what action is this, and why does the model think so.",
)


def _version(asked: bool) -> None:
    if asked:
        from actionlens.version import describe

        typer.echo(f"actionlens {describe()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and its commit, and leave."
        ),
    ] = False,
) -> None:
    """Explains video action models: what action is this, and why does the model think so."""


app.command()(connecting(explain.explain))
app.command()(connecting(evaluate.evaluate))
app.command()(connecting(stream.stream))
app.command()(connecting(webcam.webcam))
jobs.app.command()(worker.worker)
app.add_typer(jobs.app, name="jobs")
models.app.command()(pull.pull)
models.app.command()(export.export)
models.app.command()(families.families)
app.add_typer(models.app, name="models")
app.add_typer(tokens.app, name="tokens")
app.command()(serve.serve)
app.command()(connecting(health.health))


def main() -> None:
    """Run the command line. ACTIONLENS_DEBUG=1 shows tracebacks."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("ACTIONLENS_DEBUG"):
            raise
        print(f"actionlens: {explain_failure(error)}", file=sys.stderr)
        sys.exit(1)
