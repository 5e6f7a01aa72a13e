"""Waits for the end of a job on the command line, and fetches its results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import typer

from actionlens.v1 import job_pb2
from service.cli.job_terminal import following, job_state, reason_of_all
from service.cli.result_files import write_file
from service.cli.terminal import Stage, out, show_result, stages
from service.client import Client
from service.errors import FailedPrecondition, NotFound
from service.printable import printable_json
from service.rendering.json_document import answer_document, message_document

_FORMATS = ("png", "mp4", "json", "npz")
_MOST_REASONS = 20


def finish(
    client: Client, job: job_pb2.Job, output: Path | None, address: str, *, as_json: bool = False, updates: bool = False
) -> None:
    """Wait for a job's end, say how it ended, and fetch the results when there is a folder for them.

    updates: with as_json, print every update on the way. Ctrl-C leaves the job running. Exits with 1 unless every clip
    has its result.
    """
    where = f" --address {address}" if address else ""
    try:
        with following(job) as report:
            ended = client.jobs.wait(job.id, progress=_print_update if as_json and updates else report)
    except KeyboardInterrupt:
        typer.echo(f"\njob {job.id} goes on; watch it with `actionlens jobs watch {job.id}{where}`", err=True)
        raise typer.Exit(130) from None
    if as_json and not updates:
        print(printable_json(message_document(ended)))
    counts = ended.clips
    typer.echo(f"{job.id}: {job_state(ended)}, {counts.succeeded} of {counts.total} clips have a result", err=True)
    failed = list(islice(client.jobs.clips(job.id, ["failed"]), _MOST_REASONS))
    if reason := reason_of_all(ended, failed):
        typer.echo(reason, err=True)
    else:
        for clip in failed:
            typer.echo(f"{clip.name}: {clip.failure.message}", err=True)
    if counts.failed > _MOST_REASONS:
        typer.echo(f"... and {counts.failed - _MOST_REASONS} more: `actionlens jobs show {job.id}{where}`", err=True)
    if output is not None:
        indices = [clip.index for clip in client.jobs.clips(job.id, ["succeeded"])]
        show_results(client, job.id, indices, output, as_json=as_json)
    elif counts.succeeded and not as_json:
        typer.echo(f"fetch the results with `actionlens jobs result {job.id} -o out/{where}`", err=True)
    if ended.state != job_pb2.JOB_STATE_SUCCEEDED:
        raise typer.Exit(1)


def show_results(
    client: Client, identifier: str, indices: Sequence[int], output: Path | None, *, as_json: bool = False
) -> None:
    """Print the results of the clips with these indices, and write their files when there is a folder."""
    console = out()
    names = {clip.index: clip.name for clip in client.jobs.clips(identifier, ["succeeded"])}
    with stages() as report:
        for index in indices:
            name = names.get(index, f"clip {index}")
            report(f"fetching {name}")
            result = client.jobs.result(identifier, index)
            report("")
            if as_json:
                document = {"clip": name, **answer_document(result.message)[0]}
                print(printable_json(document), flush=True)
            else:
                show_result(console, name, result)
            written = _write(client, identifier, index, output, report) if output is not None else ()
            report("")
            for path in () if as_json else written:
                console.print(f"  {path}", style="blue", soft_wrap=True)


def _write(client: Client, identifier: str, index: int, output: Path, report: Stage) -> list[Path]:
    written = []
    for form in _FORMATS:
        report(f"fetching {form} of clip {index}")
        try:
            file = client.jobs.download(identifier, index, form)
        except (FailedPrecondition, NotFound) as error:
            if error.reason not in ("NOTHING_TO_LAY_OVER", "SOURCE_GONE"):
                raise
            if error.reason == "SOURCE_GONE":
                typer.echo(f"clip {index}: no {form}: {error.message}", err=True)
            continue
        # The name comes over the network: only its last part may name a file here.
        written.append(write_file(output / Path(file.name).name, file.data))
    return written


def _print_update(update: job_pb2.WatchJobResponse) -> None:
    print(printable_json(message_document(update)), flush=True)
