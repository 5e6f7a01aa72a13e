"""`actionlens models families`: which methods explain which kind of model."""

from __future__ import annotations

import json

import typer

from service.cli.models import fail, run_module
from service.cli.options import AsJson


def families(as_json: AsJson = False) -> None:
    """Every model family with the methods that explain it, and why the others cannot."""
    from rich.table import Table

    from service.cli.terminal import out

    done = run_module("handlers.support", [])
    if done.returncode:
        fail(done.stderr)
    if as_json:
        typer.echo(done.stdout.strip())
        return
    table = Table("family", "method", "why not", box=None, header_style="bold", padding=(0, 2))
    for name, methods in json.loads(done.stdout).items():
        table.add_row(f"[bold]{name}[/bold]", ", ".join(method for method, reason in methods.items() if not reason), "")
        for method, reason in methods.items():
            if reason:
                table.add_row("", f"[red]not {method}[/red]", reason)
    out().print(table)
