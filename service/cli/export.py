"""`actionlens models export`: a model and its explanations as one ONNX graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from service.cli.models import fail, run_module
from service.cli.options import Store, TrustCode, settings_of


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model, by its name in the store.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The .onnx file to write.")],
    methods: Annotated[
        str,
        typer.Option("--with", metavar="METHOD,...", help="The explanations to put in; none: prediction only."),
    ] = "",
    store: Store = None,
    trust_code: TrustCode = False,
) -> None:
    """Write prediction and explanations as one ONNX graph, which onnxruntime runs without PyTorch."""
    from actionlens.store import stored_models
    from service.errors import InvalidArgument, NotFound

    if output.suffix != ".onnx" or not output.absolute().parent.is_dir():
        raise InvalidArgument(f"output: {output} must be an .onnx file in a folder that exists", field="output")
    settings = settings_of(store, trust_code)
    folders = stored_models(settings.stores)
    if name not in folders:
        raise NotFound(f"name: {name!r} is not in the store; it holds {', '.join(folders) or 'no model'}", field="name")
    trusted = ["--trust-code"] if settings.trust_code else []
    done = run_module("handlers.exporting", [str(folders[name]), "--with", methods, "--output", str(output), *trusted])
    if done.returncode:
        fail(done.stderr)
    typer.echo(f"{output}: clip uint8, target int64 -> {', '.join(json.loads(done.stdout)['outputs'])}")
