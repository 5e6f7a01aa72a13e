"""`actionlens tokens`: who may call a service that wants to know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Who may call: makes, lists and revokes the tokens of principals.")

File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        envvar="ACTIONLENS_AUTHENTICATION__TOKENS",
        metavar="FILE",
        dir_okay=False,
        show_default="principals.yaml in the data folder",
        help="File of principals. A running service sees the change at once.",
    ),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the principal, in the audit log and on the page.")],
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TENANT",
            show_default="NAME",
            help="Whose jobs are its own; repeatable, the first is that of jobs that name none. '*' is every tenant.",
        ),
    ] = None,
    right: Annotated[
        list[str] | None,
        typer.Option(
            metavar="predict|explain|jobs|admin",
            show_default="explain and jobs",
            help="What it may do; repeatable. explain holds predict, admin holds all and the metrics.",
        ),
    ] = None,
    certificate: Annotated[
        str,
        typer.Option(
            metavar="SUBJECT",
            help="Know it by a client certificate with this common or alternative name, and make no token.",
        ),
    ] = "",
    file: File = None,
) -> None:
    """Add a principal. Prints its token, which is shown this once and kept as a hash only."""
    from service.identity.principal import Right, rights_of
    from service.identity.principals_file import add_entry

    words = right or [Right.EXPLAIN.value, Right.JOBS.value]
    if unknown := [word for word in words if not rights_of([word])]:
        raise typer.BadParameter(f"{unknown[0]!r} is no right; there are {', '.join(Right)}", param_hint="--right")
    path = _path(file)
    token = add_entry(path, name, tuple(tenant or [name]), rights_of(words), certificate)
    if token:
        typer.echo(token)
    typer.echo(f"{name} is in {path}; the service reads it with ACTIONLENS_AUTHENTICATION__TOKENS={path}", err=True)


@app.command("list")
def list_(file: File = None) -> None:
    """The principals: names, tenants, rights. Tokens are not kept."""
    from rich.table import Table

    from service.cli.terminal import out
    from service.identity.principals_file import read_entries

    table = Table("name", "tenants", "rights", "known by", box=None, header_style="bold")
    for entry in read_entries(_path(file)):
        known = "token" if entry.certificate is None else f"certificate {ascii(entry.certificate)[1:-1]}"
        table.add_row(entry.name, ", ".join(entry.tenants), ", ".join(sorted(entry.rights)), known)
    out().print(table)


@app.command()
def revoke(name: Annotated[str, typer.Argument(metavar="NAME")], file: File = None) -> None:
    """Take a principal out. Its calls are refused at once, and its streams end within a second."""
    from service.identity.principals_file import remove_entry

    remove_entry(_path(file), name)


def _path(file: Path | None) -> Path:
    if file is not None:
        return file
    from service.settings import Settings

    return Settings().data / "principals.yaml"
