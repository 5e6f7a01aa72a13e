"""`actionlens jobs`: expensive explanations that run behind the service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.connection import connecting
from service.cli.options import Address, AsJson, Contrast, Model, Target, connect
from service.printable import printable_json

if TYPE_CHECKING:
    from actionlens.v1 import job_pb2
    from service.client.job_client import Jobs
    from service.client.job_requests import JobOptions

app = typer.Typer(no_args_is_help=True, help="Expensive explanations as durable jobs: submit, watch, fetch results.")

Identifier = Annotated[str, typer.Argument(metavar="ID", help="As `jobs submit` and `jobs list` tell it.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        file_okay=False,
        help="Write per clip NAME.METHOD.png (contact sheet), .mp4 (overlay, if there is one), .json and .npz there.",
    ),
]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state", "-s", metavar="STATE", help="queued, running, succeeded, partial, failed, cancelled; repeatable."
    ),
]


@app.command()
@connecting
def submit(
    clips: Annotated[
        list[str],
        typer.Argument(metavar="CLIP", help="Video files, and folders of pictures, which are uploaded."),
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            "-x",
            metavar="NAME[:PARAMETER=VALUE,...]",
            help="What explains: esv, temporal-mask, st-perturbation:iterations=500 ... `actionlens models show NAME` "
            "tells which run as jobs, and their parameters.",
        ),
    ],
    model: Model = "",
    target: Target = None,
    contrast: Contrast = None,
    sampling: Annotated[
        str | None,
        typer.Option(metavar="RULE", show_default="the model card's", help="As of `actionlens explain`."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="For methods that draw random numbers.")] = None,
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Who asks; tenants share the workers fairly.")] = "",
    priority: Annotated[str, typer.Option(metavar="low|normal|high")] = "normal",
    request_id: Annotated[
        str, typer.Option(metavar="ID", help="The same id with the same request is the same job, not another one.")
    ] = "",
    on_server: Annotated[
        bool,
        typer.Option("--on-server", help="The clips are paths below the service's input root; nothing is uploaded."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Stay until the job has ended, with a bar.")] = False,
    output: Output = None,
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """Have clips explained by a method that takes long. Prints the job's id; --output waits and fetches the results."""
    from service.cli.job_results import finish
    from service.client import ServerFile

    if not on_server and (missing := [clip for clip in clips if not Path(clip).exists()]):
        raise typer.BadParameter(f"{missing[0]} does not exist", param_hint="CLIP")
    options: JobOptions = {
        "model": model,
        "target": target,
        "contrast": contrast,
        "sampling": sampling,
        "tenant": tenant,
        "priority": priority,
        "request_id": request_id,
    }
    if seed is not None:
        options["seed"] = seed
    with connect(address) as client:
        job = client.jobs.submit([ServerFile(clip) if on_server else Path(clip) for clip in clips], method, **options)
        if not as_json:
            typer.echo(job.id)
        if wait or output:
            finish(client, job, output, address, as_json=as_json)
        elif as_json:
            _print(job)


@app.command()
@connecting
def watch(identifier: Identifier, output: Output = None, address: Address = "", as_json: AsJson = False) -> None:
    """Follow a job until it has ended. Ctrl-C leaves it running. Exit code 1 when a clip has no result."""
    from service.cli.job_results import finish

    with connect(address) as client:
        finish(client, client.jobs.get(identifier), output, address, as_json=as_json, updates=True)


@app.command("list")
@connecting
def list_(
    state: States = None,
    method: Annotated[str, typer.Option("--method", "-x", metavar="NAME", help="Only this method.")] = "",
    model: Annotated[str, typer.Option("--model", "-m", metavar="NAME", help="Only this model.")] = "",
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Only this tenant.")] = "",
    most: Annotated[int, typer.Option("--most", "-n", min=1, help="Show so many, the newest.")] = 50,
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """Jobs, newest first."""
    from itertools import islice

    from service.cli.job_terminal import show_jobs
    from service.cli.terminal import out

    with connect(address) as client:
        found = client.jobs.list(states=state or (), method=method, model=model, tenant=tenant)
        jobs = list(islice(found, most))
    if as_json:
        for job in jobs:
            _print(job)
    else:
        show_jobs(out(), jobs)


@app.command()
@connecting
def show(identifier: Identifier, address: Address = "", as_json: AsJson = False) -> None:
    """One job and its clips, with the reasons of those that failed."""
    from service.cli.job_terminal import show_job
    from service.cli.terminal import out
    from service.rendering.json_document import message_document

    with connect(address) as client:
        job, clips = client.jobs.get(identifier), list(client.jobs.clips(identifier))
    if as_json:
        document = {**message_document(job), "clip_states": [message_document(clip) for clip in clips]}
        print(printable_json(document))
    else:
        show_job(out(), job, clips)


@app.command()
@connecting
def cancel(identifier: Identifier, address: Address = "") -> None:
    """End a job after the block that it is computing; finished clips keep their results."""
    _do(address, lambda jobs: jobs.cancel(identifier))


@app.command()
@connecting
def retry(identifier: Identifier, address: Address = "") -> None:
    """Run the failed and cancelled clips of an ended job again."""
    _do(address, lambda jobs: jobs.retry(identifier))


@app.command()
@connecting
def delete(identifier: Identifier, address: Address = "") -> None:
    """Remove an ended job and its results."""
    with connect(address) as client:
        client.jobs.delete(identifier)


@app.command()
@connecting
def result(
    identifier: Identifier,
    clip: Annotated[
        list[int] | None,
        typer.Option("--clip", "-c", min=0, metavar="N", show_default="all that have one", help="Only these clips."),
    ] = None,
    output: Output = None,
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """The results of a job's clips: printed, and with --output as files."""
    from service.cli.job_results import show_results
    from service.cli.job_terminal import job_state

    with connect(address) as client:
        indices = clip or [entry.index for entry in client.jobs.clips(identifier, ["succeeded"])]
        if not indices:
            typer.echo(f"job {identifier} has no results: it is {job_state(client.jobs.get(identifier))}", err=True)
            raise typer.Exit(1)
        show_results(client, identifier, indices, output, as_json=as_json)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="A new file; none is overwritten.")],
) -> None:
    """Copy the jobs of this machine's data folder to a file, while they go on. Results stay where they are.

    For jobs in SQLite; of PostgreSQL pg_dump makes the copies.
    """
    from service.jobs.backup import backup
    from service.settings import Settings

    done = backup(Settings(), file)
    typer.echo(f"{file}: {_number(done.jobs, 'job')}, {_number(done.waiting, 'clip')} still to be computed")
    typer.echo(f"results and large uploads are not in it; copy them too: {done.artefacts}")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="What `actionlens jobs backup` made.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Move a database that is there aside; it is kept beside the new one.")
    ] = False,
) -> None:
    """Bring a copy back. Stop the service and its job workers first; clips that waited go on when they start."""
    import time

    from service.jobs.backup import restore
    from service.settings import Settings

    done = restore(Settings(), file, replace=replace)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(done.taken))
    typer.echo(f"as of {when}: {_number(done.jobs, 'job')}, {_number(done.waiting, 'clip')} still to be computed")
    if done.moved is not None:
        typer.echo(f"the database that was there is {done.moved}")
    if done.missing:
        typer.echo(
            f"{_number(done.missing, 'result or upload', 'results or uploads')} not there; when the copy was made they "
            f"were in {done.artefacts}",
            err=True,
        )


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _do(address: str, call: Callable[[Jobs], job_pb2.Job]) -> None:
    from service.cli.job_terminal import job_state

    with connect(address) as client:
        job = call(client.jobs)
    typer.echo(f"{job.id}: {job_state(job)}")


def _print(job: job_pb2.Job) -> None:
    from service.rendering.json_document import message_document

    print(printable_json(message_document(job)))
