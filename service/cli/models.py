"""`actionlens models`: what is served, and what can be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from actionlens.extras import explain_missing
from service.cli import signatures
from service.cli.connection import connecting
from service.cli.options import Address, AsJson, Store, TrustCode, connect, settings_of
from service.cli.signatures import PublicKey, check_signature
from service.data_folder import prepare
from service.printable import printable_json

if TYPE_CHECKING:
    from actionlens.v1 import model_pb2

app = typer.Typer(no_args_is_help=True, help="List, show, import and check models.")

WeightsKey = Annotated[
    str,
    typer.Option(
        metavar="KEY",
        show_default="by rule, and said",
        help="Which weights, where the file has several: a checkpoint's key (state_dict_ema), or a directory's variant "
        "(fp16).",
    ),
]

# Importing and checking load torch, which takes seconds, and run one clip.
_WORK_SECONDS = 600.0


@app.command("list")
@connecting
def list_(address: Address = "", store: Store = None, as_json: AsJson = False) -> None:
    """The models that the service serves; with --store those in a folder, without a service."""
    from rich.table import Table

    from service.cli.terminal import out

    rows = _stored(store) if store is not None else [_served(model) for model in _models(address)]
    if as_json:
        for row in rows:
            print(printable_json(row))
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
@connecting
def show(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    address: Address = "",
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """One model: input, classes, and every method with its parameters, or why it cannot explain this model."""
    from service.cli.model_terminal import show_model
    from service.errors import NotFound

    if store is not None:
        found = {row["name"]: row for row in _stored(store)}
        if name not in found:
            raise NotFound(f"name: {name!r} is not in {store}; it holds {', '.join(found) or 'no model'}", field="name")
        row = found[name]
    else:
        with connect(address) as client:
            row = _served(client.get_model(name))
    print(printable_json(row)) if as_json else show_model(row)


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
        str,
        typer.Option(
            metavar="NAME",
            help="Instead of a card: the family whose public checkpoint this is, else as its tensors say.",
        ),
    ] = "",
    module: Annotated[
        str,
        typer.Option(
            metavar="PACKAGE.MODULE:NAME",
            help="Instead of a card: your own network, model.py:Net or package.module:Net; with --frames, --size and "
            "--trust-code. Its card is guessed by running it.",
        ),
    ] = "",
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Without a card: a label a line, JSON or CSV."),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", show_default="the file's", help="Without a card: its name.")
    ] = "",
    frames: Annotated[
        int,
        typer.Option(metavar="N", min=0, show_default="as published", help="Without a card: of the clips it takes."),
    ] = 0,
    size: Annotated[
        str, typer.Option(metavar="S|HxW", help="With --module: of the frames that it takes, in pixels.")
    ] = "",
    weights_key: WeightsKey = "",
    public_key: PublicKey = "",
    trust_code: TrustCode = False,
    store: Store = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model of the same name.")] = False,
) -> None:
    """Make a trained model servable: checks that every tensor fits, answers one clip, writes STORE/NAME."""
    if sum((card is not None, bool(family), bool(module))) > 1:
        raise typer.BadParameter("give a card, --family or --module, or none of them", param_hint="CARD")
    if bool(module) != bool(size) or (module and not frames):
        raise typer.BadParameter("belong together: the clips that it takes", param_hint="--module, --frames, --size")
    if size and not re.fullmatch(r"[1-9]\d{0,3}(x[1-9]\d{0,3})?", size):
        raise typer.BadParameter("is S or HxW pixels: 224, 128x171", param_hint="--size")
    if card is not None and (labels is not None or name or frames):
        raise typer.BadParameter("a card has its own", param_hint="--labels, --name, --frames")
    if public_key:
        if not weights.is_file():
            raise typer.BadParameter("a directory is not signed as one file", param_hint="--public-key")
        signature = weights.with_name(weights.name + signatures.SUFFIX)
        typer.echo(f"signed: {check_signature(weights, signature, public_key)}")
    settings = settings_of(store, trust_code)
    if settings.model_store.is_relative_to(settings.data) and (warning := prepare(settings.data)):
        typer.echo(warning, err=True)
    arguments = ["--weights", str(weights), "--store", str(settings.model_store), *(["--replace"] if replace else [])]
    if card is not None:
        arguments += ["--card", str(card)]
    else:
        arguments += ["--module", module, "--size", size] if module else ["--family", family] if family else []
        arguments += ["--name", name, "--frames", str(frames)]
    arguments += ["--labels", str(labels)] if labels is not None else []
    arguments += ["--weights-key", weights_key] if weights_key else []
    arguments += ["--trust-code"] if settings.trust_code else []
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
    if module:
        checked = run_module(
            "handlers.checking", [made["folder"], "--store", str(settings.model_store), "--trust-code"]
        )
        if not checked.stdout:
            fail(checked.stderr)
        from service.cli.model_terminal import show_report

        show_report(json.loads(checked.stdout))
    if any((other / Path(made["folder"]).name).is_dir() for other in settings.stores[1:]):
        typer.echo("it stands in for the bundled model of the same name")
    typer.echo(f"imported into {made['folder']}; a running service must be restarted to serve it")


@app.command()
def check(
    model: Annotated[str, typer.Argument(metavar="NAME_OR_FOLDER")],
    trust_code: TrustCode = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Load a model as the service would: card, digest, every tensor, one clip, and what can explain it and why not."""
    settings = settings_of(store, trust_code)
    stores = [part for folder in settings.stores for part in ("--store", str(folder))]
    trusted = ["--trust-code"] if settings.trust_code else []
    done = run_module("handlers.checking", [model, *stores, *trusted])
    try:
        report = json.loads(done.stdout)
    except ValueError:
        fail(done.stderr)
    if as_json:
        print(printable_json(report))
    else:
        from service.cli.model_terminal import show_report

        show_report(report)
    if not report["passed"]:
        raise typer.Exit(1)


def _models(address: str) -> list[model_pb2.Model]:
    with connect(address) as client:
        return client.list_models()


def _served(model: model_pb2.Model) -> dict[str, Any]:
    from service.rendering.json_document import message_document

    return message_document(model)


def _stored(store: Path) -> list[dict[str, Any]]:
    from actionlens.card import list_models, read_card

    if not store.is_dir():
        raise typer.BadParameter(f"{store} is not a folder", param_hint="--store")
    return [read_card(folder).model_dump(mode="json") for folder in list_models(store).values()]


def run_module(module: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a module of the torch side in a process of its own, so that this one never loads torch."""
    from service.cli.terminal import stages

    with stages() as report:
        report("loading the model")
        try:
            return subprocess.run(
                [sys.executable, "-m", module, *arguments],
                capture_output=True,
                text=True,
                timeout=_WORK_SECONDS,
                check=False,
                # Warnings of libraries are advice to programmers; reasons are written in full.
                env={**os.environ, "PYTHONWARNINGS": "ignore", "TORCH_CPP_LOG_LEVEL": "ERROR"},
            )
        except subprocess.TimeoutExpired:
            fail(f"{module} took longer than {_WORK_SECONDS:g} s")


def fail(reason: str) -> NoReturn:
    """Leave with what another process said on standard error."""
    lines = reason.strip().splitlines() or ["no reason given"]
    # A traceback ends in what went wrong.
    line = lines[-1] if "Traceback (most recent call last):" in reason else "\n".join(lines)
    if absent := re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", line):
        line = explain_missing(ModuleNotFoundError(line, name=absent[1])) or line
    typer.echo(line, err=True)
    raise typer.Exit(1)
