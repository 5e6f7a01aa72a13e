"""`actionlens models pull`: a published checkpoint from the catalogue into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.models import WeightsKey, import_
from service.cli.options import Store, settings_of
from service.cli.signatures import PublicKey, check_signature


def pull(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The entry; without it, what there is.")] = "",
    catalogue: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, show_default="the bundled one", help="A catalogue (YAML)."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", exists=True, dir_okay=False, help="A label a line, JSON or CSV.")
    ] = None,
    weights_key: WeightsKey = "",
    public_key: PublicKey = "",
    store: Store = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of the same name.")] = False,
) -> None:
    """Download published weights (resumed where they broke off, checked by digest and signature) and import them."""
    from actionlens.store import bundled_store
    from service.cli.terminal import out, transfer
    from service.cli.weights_download import fetch, fetch_signature, find_entry, read_catalogue

    entries = read_catalogue(catalogue or bundled_store() / "catalogue.yaml")
    if not name:
        for each, entry in entries.items():
            out().print(f"{each}  {entry.family}  {entry.licence}  {entry.url}", soft_wrap=True)
        return
    entry = find_entry(entries, name)
    folder = settings_of(store).model_store
    with transfer(entry.file) as report:
        file = fetch(entry, folder / ".pull" / name, report)
    typer.echo(f"{entry.url}: {entry.licence}")
    typer.echo(f"sha256 {entry.sha256}: as in the catalogue")
    if public_key:
        signature = fetch_signature(entry, file.parent)
        typer.echo(f"signed: {check_signature(file, signature, public_key)}")
        signature.unlink()
    import_(
        weights=file,
        family=entry.family,
        labels=labels,
        name=name,
        weights_key=weights_key,
        store=folder,
        replace=replace,
    )
    file.unlink()
    file.parent.rmdir()
