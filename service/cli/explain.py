"""`actionlens explain`: what action is in a clip, and why the model thinks so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import (
    Address,
    AsJson,
    Contrast,
    Gap,
    Methods,
    Model,
    Store,
    Target,
    TrustCode,
    chosen_methods,
    connect,
    settings_of,
)
from service.printable import printable_json

if TYPE_CHECKING:
    from service.cli.terminal import Stage
    from service.client import Client
    from service.client.clip_messages import ClipOptions
    from service.local import LocalClient
    from service.settings import Settings


def explain(
    clips: Annotated[
        list[Path],
        typer.Argument(
            metavar="CLIP",
            exists=True,
            help="Video files; a folder of PNG or JPEG pictures is one clip, frame2 before frame10.",
        ),
    ],
    model: Model = "",
    method: Methods = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            file_okay=False,
            help="Write CLIP.METHOD.mp4 (overlay), CLIP.sheet.png (contact sheet), CLIP.json and CLIP.npz (all values) "
            "there, over what is there; the first two need the extra `media`. Without it the answer is only printed.",
        ),
    ] = None,
    target: Target = None,
    contrast: Contrast = None,
    gap: Gap = False,
    sampling: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            show_default="the model card's",
            help="Frames that the model sees: `uniform` spreads them over the whole clip, `segments` takes the middle "
            "of as many equal segments, `dense:stride=2,start=0` a stretch as a live window would, "
            "`span:stride=2,start=0` the same spread over its last frame too, `rate:fps=15,start=0` so many "
            "frames a second, `indices:0,3,6` exactly these. Models of "
            "any length also take `uniform:count=12`, `segments:count=12`, and as many indices as given.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="Classes to show.")] = 5,
    encoding: Annotated[
        str,
        typer.Option(
            metavar="float32|float16|uint8",
            help="How values travel: float16 halves the bytes (3 digits), uint8 quarters them (256 steps).",
        ),
    ] = "float32",
    trust_code: TrustCode = False,
    in_process: Annotated[
        bool,
        typer.Option(
            "--in-process",
            help="Compute in this process, without a service. Needs torch and loads the model each time (seconds).",
        ),
    ] = False,
    store: Store = None,
    address: Address = "",
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Longest wait for one clip.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Say what action a clip shows, and why the model thinks so."""
    from actionlens.extras import how_to_install, lacks
    from service.cli.result_files import result_names, write_results
    from service.cli.terminal import out, show_result, stages
    from service.rendering.json_document import answer_document

    if store is not None and not in_process:
        raise typer.BadParameter("is for --in-process; a running service has its own store", param_hint="--store")
    options: ClipOptions = {
        "model": model,
        "methods": chosen_methods(method),
        "target": target,
        "contrast": contrast,
        "top_k": top,
        "encoding": encoding,
        "sampling": sampling,
        "insertion_deletion_gap": gap,
    }
    settings = settings_of(store, trust_code)
    console = out()
    failed = False
    with stages() as report, client_of(in_process, settings, model, address, timeout, report) as client:
        for number, (clip, name) in enumerate(zip(clips, result_names(clips), strict=True), start=1):
            report(f"explaining {clip.name}{f' ({number} of {len(clips)})' if len(clips) > 1 else ''}")
            try:
                result = client.explain_clip(clip, **options)
                written: Sequence[Path] = ()
                if output is not None:
                    written = write_results(output, name, clip, result, settings.limits, report)
            except Exception as error:
                if len(clips) == 1:
                    raise
                failed = True
                report("")
                _complain(clip, error)
                continue
            report("")
            if as_json:
                print(printable_json({"clip": str(clip), **answer_document(result.message)[0]}))
            else:
                show_result(console, clip.name, result)
                for path in written:
                    console.print(f"  {path}", style="blue", soft_wrap=True)
                console.print()
            for name, entry in result.explanations.items():
                if entry.failed:
                    failed = True
                    typer.echo(f"{clip}: {name}: {entry.message.failure.message}", err=True)
    if output is not None and lacks("media"):
        typer.echo(f"for overlay videos and contact sheets, {how_to_install('media')}", err=True)
    if failed:
        raise typer.Exit(1)


def _complain(clip: Path, error: Exception) -> None:
    from service.cli.errors import explain_failure

    typer.echo(f"{clip}: {explain_failure(error)}", err=True)


@contextmanager
def client_of(
    in_process: bool, settings: Settings, model: str, address: str, timeout: float, report: Stage
) -> Iterator[Client | LocalClient]:
    """Something that explains clips: the running service, or the engine in this process with this one model."""
    if not in_process:
        with connect(address, timeout) as client:
            yield client
        return
    from actionlens.extras import needing

    with needing("worker"):
        from service.local import LocalClient
    only = settings.model_copy(update={"models": (model or settings.default_model,)})
    report(f"loading {only.models[0]}")
    with LocalClient(only, timeout=timeout) as local:
        yield local
