"""`actionlens models`: what is served, and what can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service.commands.options import Address, AsJson, Store, connect

if TYPE_CHECKING:
    from actionlens.v1 import model_pb2

app = typer.Typer(no_args_is_help=True, help="List, show, import and check models.")

# Importing and checking load torch, which takes seconds, and run one clip.
_WORK_SECONDS = 600.0


@app.command("list")
def list_(address: Address = "", store: Store = None, as_json: AsJson = False) -> None:
    """The models that the service serves; with --store those in a folder, without a service."""
    from rich.table import Table

    from service.commands.screen import out

    rows = _stored(store) if store is not None else [_served(model) for model in _models(address)]
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    table = Table("name", "version", "architecture", "input", "classes", "explained by", box=None, header_style="bold")
    for row in rows:
        size = row["input"]
        frames = f"{size['frames']} x {size['height']} x {size['width']}"
        able = [method["method"] for method in row.get("methods", []) if method.get("supported")]
        table.add_row(
            row["name"],
            row["version"],
            row["architecture"],
            frames,
            str(len(row["labels"])),
            ", ".join(able) or ("?" if store is not None else "nothing"),
        )
    out().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    address: Address = "",
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """One model: input, classes, and every method with its parameters, or why it cannot explain this model."""
    from service.errors import NotFound

    if store is not None:
        found = {row["name"]: row for row in _stored(store)}
        if name not in found:
            raise NotFound(f"name: {name!r} is not in {store}; it holds {', '.join(found) or 'no model'}", field="name")
        row = found[name]
    else:
        with connect(address) as client:
            row = _served(client.get_model(name))
    print(json.dumps(row, ensure_ascii=False)) if as_json else _show(row)


@app.command("import")
def import_(
    weights: Annotated[
        Path,
        typer.Option(
            exists=True,
            metavar="FILE",
            help="The trained weights: .safetensors, .npz, .onnx, or a PyTorch checkpoint (tensors only; code in it is "
            "never run); with --family also a directory as Hugging Face's transformers saves it.",
        ),
    ],
    card: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CARD]", exists=True, dir_okay=False, help="The model's card (YAML), without its weights section."
        ),
    ] = None,
    family: Annotated[
        str, typer.Option(metavar="NAME", help="Instead of a card: the family whose public checkpoint this is.")
    ] = "",
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="With --family: one label a line."),
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", show_default="the file's", help="With --family: its name.")] = "",
    store: Store = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of the same name.")] = False,
) -> None:
    """Make a trained model servable: checks that every tensor fits, answers one clip, writes STORE/NAME."""
    if (card is None) == (not family):
        raise typer.BadParameter("give either a card or --family", param_hint="CARD")
    if card is not None and (labels is not None or name):
        raise typer.BadParameter("a card has its own", param_hint="--labels, --name")
    arguments = ["--weights", str(weights), "--store", str(store_folder(store)), *(["--replace"] if replace else [])]
    arguments += ["--card", str(card)] if card is not None else ["--family", family, "--name", name]
    arguments += ["--labels", str(labels)] if labels is not None else []
    done = run_module("handlers.importing", arguments)
    if done.returncode:
        fail(done.stderr)
    made = json.loads(done.stdout)
    for note in made["notes"]:
        typer.echo(note)
    able = [method for method, reason in made["methods"].items() if not reason]
    typer.echo(f"explained by {', '.join(able) or 'nothing'}")
    for method, reason in made["methods"].items():
        if reason:
            typer.echo(f"not by {method}: {reason}")
    typer.echo(f"imported into {made['folder']}; a running service must be restarted to serve it")


@app.command()
def check(
    model: Annotated[str, typer.Argument(metavar="NAME_OR_FOLDER")], store: Store = None, as_json: AsJson = False
) -> None:
    """Load a model as the service would: card, digest, every tensor, one clip, and what can explain it and why not."""
    done = run_module("handlers.checking", [model, "--store", str(store_folder(store))])
    try:
        report = json.loads(done.stdout)
    except ValueError:
        fail(done.stderr)
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        _show_report(report)
    if not report["passed"]:
        raise typer.Exit(1)


def _models(address: str) -> list[model_pb2.Model]:
    with connect(address) as client:
        return client.list_models()


def _served(model: model_pb2.Model) -> dict[str, Any]:
    from service.documents import message_document

    return message_document(model)


def store_folder(given: Path | None) -> Path:
    """The store to work on: as given, or as the settings say."""
    from service.settings import Settings

    return given if given is not None else Settings().model_store


def _stored(store: Path) -> list[dict[str, Any]]:
    from actionlens.card import list_models, read_card

    if not store.is_dir():
        raise typer.BadParameter(f"{store} is not a folder", param_hint="--store")
    return [read_card(folder).model_dump(mode="json") for folder in list_models(store).values()]


def run_module(module: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a module of the torch side in a process of its own, so that this one never loads torch."""
    from service.commands.screen import stages

    with stages() as tell:
        tell("loading the model")
        try:
            return subprocess.run(
                [sys.executable, "-m", module, *arguments],
                capture_output=True,
                text=True,
                timeout=_WORK_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            fail(f"{module} took longer than {_WORK_SECONDS:g} s")


def fail(reason: str) -> NoReturn:
    """Leave with what another process said on standard error."""
    lines = reason.strip().splitlines() or ["no reason given"]
    # A traceback ends in what went wrong.
    line = lines[-1] if "Traceback (most recent call last):" in reason else "\n".join(lines)
    if line.startswith("ModuleNotFoundError"):
        line += "; install what computing needs: pip install 'actionlens[worker]'"
    typer.echo(line, err=True)
    raise typer.Exit(1)


def _show(row: dict[str, Any]) -> None:
    from rich.table import Table

    from service.commands.screen import out

    console = out()
    size = row["input"]
    console.print(f"[bold]{row['name']}[/bold] {row['version']}  {row['architecture']}")
    if row.get("description"):
        console.print(f"  {row['description']}")
    shown = ", shown as optical flow" if size.get("color") == "flow" else ""
    digest = row.get("weights_digest") or row["weights"]["sha256"]
    console.print(
        f"  input    {size['frames']} frames of {size['width']} x {size['height']}, {size['resize']}{shown}; "
        f"{size['sampling']} sampling, stride {size['stride']}"
    )
    console.print(f"  weights  sha256 {digest[:16]}")
    console.print(f"  classes  {', '.join(row['labels'])}", soft_wrap=True)
    table = Table(box=None, header_style="bold", padding=(0, 2))
    for column in ("method", "parameter", "default", "what it is"):
        table.add_column(column)
    for method in row.get("methods", []):
        able = method["supported"]
        kind = "as a job: " if method.get("job") else ""
        about = kind + method["description"] if able else f"[red]cannot explain this model: {method['reason']}[/red]"
        table.add_row(f"[green]{method['method']}[/green]" if able else f"[red]{method['method']}[/red]", "", "", about)
        for parameter in method.get("parameters", []) if able else []:
            default = parameter["default_value"]
            table.add_row("", parameter["name"], "" if default == "null" else default, parameter["description"])
    if row.get("methods"):
        console.print(table)


def _show_report(report: dict[str, Any]) -> None:
    from rich.table import Table

    from service.commands.screen import out

    console = out()
    steps = Table.grid(padding=(0, 2))
    for step in report["steps"]:
        mark = "[green]ok[/green]" if step["passed"] else "[red]no[/red]"
        steps.add_row("", mark, step["name"], step["detail"])
    console.print(f"[bold]{report['model']}[/bold]")
    console.print(steps)
    methods = Table.grid(padding=(0, 2))
    for method in report["methods"]:
        mark = "[green]yes[/green]" if method["supported"] else "[yellow]no[/yellow]"
        spent = f"{1000 * method['seconds']:.1f} ms besides the forward"
        methods.add_row("", mark, method["method"], method["reason"] or spent)
    if report["methods"]:
        console.print("can be explained by")
        console.print(methods)
