"""`actionlens evaluate`: how good are explanations, measured on clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import Address, AsJson, Methods, Model, Store, Target, TrustCode, chosen_methods, settings_of
from service.printable import printable_json

if TYPE_CHECKING:
    from actionlens.v1 import job_pb2, method_pb2, model_pb2
    from service.cli.evaluation_jobs import MeasuredClip
    from service.cli.terminal import Stage
    from service.client import Client, GroundTruth
    from service.client.evaluations.clip_truth import ClipTruth
    from service.evaluation.earlier_evaluation import EarlierEvaluation
    from service.evaluation.evaluated_set import EvaluatedClip, EvaluatedSet
    from service.local import LocalClient

_PATIENCE = 30.0
_GAP_FORWARDS = 12
"""Clips through the network for the insertion-deletion gap of one explanation (OutputOptions, answer.proto)."""
_FASTEST = 0.1
"""Share of the time of a forward alone below which a forward in a batch has not been run."""


def evaluate(
    clips: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CLIP",
            exists=True,
            help="Video files; a folder of PNG or JPEG pictures is one clip.",
        ),
    ] = None,
    model: Model = "",
    method: Methods = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            metavar="NAME[:PARAMETER=VALUE,...],...",
            show_default="those that the truth allows and that do not take long",
            help="What is measured: insertion,deletion,pointing-game ... `--list-measures` tells all of them.",
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            "--truth",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="What is known of the clips, CSV or JSON lines: clip, class, first_frame, last_frame, begin_seconds, "
            "end_seconds, boxes (frame, x0, y0, x1, y1), mask. docs/evaluation.md describes it.",
        ),
    ] = None,
    generated: Annotated[
        int | None,
        typer.Option(
            "--generated",
            min=1,
            max=10_000,
            metavar="N",
            help="Measure on N generated clips with exact masks, the frames of the movement, and the class; instead of "
            "clips of your own. Needs the extra `media`.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32, help="Of generated clips, random baselines, ties and tests.")
    ] = 0,
    target: Target = None,
    sampling: Annotated[
        str | None,
        typer.Option(metavar="RULE", show_default="the model card's", help="As of `actionlens explain`."),
    ] = None,
    correct_only: Annotated[
        bool, typer.Option("--correct-only", help="Leave out clips that the model gets wrong, as the truth has it.")
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="P", help="Leave out clips where the explained class has a lower probability."
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=20,
            metavar="N",
            show_default="as many as each measure says, mostly 5",
            help="Random explanations that the baseline `random` is averaged over; fewer are faster, 0 leaves it out.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            file_okay=False,
            help="Write table.json, table.csv, table.md, clips.npz (the numbers of every clip) and plots there, over "
            "what is there; plots need the extra `media`.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Also compare with what an earlier evaluation, most often of another model, wrote with -o DIR: by "
            "Welch's t-test.",
        ),
    ] = None,
    list_measures: Annotated[
        bool, typer.Option("--list-measures", help="Say what can be measured on the model, and stop.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what it takes, and stop.")
    ] = False,
    job: Annotated[
        list[str] | None,
        typer.Option(
            "--job", metavar="ID", help="Go on with an evaluation that was sent before; repeat it for all its jobs."
        ),
    ] = None,
    request_id: Annotated[
        str,
        typer.Option(metavar="ID", help="The same id with the same request is the same evaluation: it goes on."),
    ] = "",
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Who asks; tenants share the workers fairly.")] = "",
    priority: Annotated[str, typer.Option(metavar="low|normal|high")] = "normal",
    trust_code: TrustCode = False,
    in_process: Annotated[
        bool,
        typer.Option(
            "--in-process",
            help="Compute without a service, for as long as this command runs. Needs torch.",
        ),
    ] = False,
    store: Store = None,
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """Measure how good explanations are, on clips of your own or generated ones.

    Ends with a table, paired tests of the methods, and whether each measure can be trusted on these clips.
    The work is a job: Ctrl-C leaves it running, and --job comes back to it.
    """
    from service.cli.evaluation_jobs import measure_here, submit
    from service.cli.evaluation_terminal import live_table, show_measures, show_plan
    from service.cli.explain import client_of
    from service.cli.measure_options import chosen_measures
    from service.cli.terminal import out, stages
    from service.client import Client, evaluation
    from service.client.job_requests import JobOptions
    from service.evaluation.earlier_evaluation import earlier_evaluation

    given = [name for name, there in (("CLIP", clips), ("--generated", generated), ("--job", job)) if there]
    if len(given) != 1 and not (list_measures and not given):
        said = f"{' and '.join(given)} are given" if given else "nothing is given"
        raise typer.BadParameter(f"{said}; give clips, --generated N or --job ID", param_hint="CLIP")
    if truth is not None and not clips:
        raise typer.BadParameter("speaks of clips, and none are given", param_hint="--truth")
    if store is not None and not in_process:
        raise typer.BadParameter("is for --in-process; a running service has its own store", param_hint="--store")
    if in_process and job:
        raise typer.BadParameter("is for a running service; jobs of --in-process end with it", param_hint="--job")
    earlier = earlier_evaluation(against) if against is not None else None
    settings = settings_of(store, trust_code)
    console = out()
    with stages() as report, client_of(in_process, settings, model, address, _PATIENCE, report) as client:
        if job:
            assert isinstance(client, Client)
            sent = [client.jobs.get(identifier) for identifier in job]
            about = _about_job(sent[0])
            found = _followed(client, sent, _labels(client, sent[0]), output, address, as_json)
        else:
            served = client.get_model(model) if model else _default_model(client)
            if list_measures:
                report("")
                show_measures(console, served)
                return
            methods = chosen_methods(method)
            measured, known = _generated(generated, seed, served) if generated else _clips(clips or [], truth, served)
            chosen = chosen_measures(measure or [], served, known, len(methods))
            asked = evaluation(methods, chosen, correct_only=correct_only, min_score=min_score, draws=draws)
            report("planning")
            planning = client.jobs.plan if isinstance(client, Client) else client.plan
            plan = planning(asked, model=served.name, version=served.version)
            if not as_json:
                slow = [text for text in methods if _is_job(text, served)]
                seconds = _seconds(client, measured, served, [text for text in methods if text not in slow], plan)
                report("")
                show_plan(console, f"{served.name} {served.version}", len(measured), methods, plan, seconds, slow)
            report("")
            if dry_run:
                if as_json:
                    print(printable_json(_plan_document(plan, len(measured))))
                return
            options: JobOptions = {
                "model": served.name,
                "version": served.version,
                "target": target,
                "sampling": sampling,
                "seed": seed,
                "tenant": tenant,
                "priority": priority,
                "request_id": request_id,
            }
            about = _about(served.name, served.version, seed, asked)
            if isinstance(client, Client):
                sent = []
                with _leaving(sent, output, address):
                    submit(client, measured, asked, options, sent, report)
                report("")
                found = _followed(client, sent, served.labels, output, address, as_json)
            else:
                with _leaving((), output, address), live_table(as_json) as progress:
                    found = measure_here(client, measured, asked, options, served.labels, progress, _printing(as_json))
        _finish(found, about, output, earlier, report, as_json)
    if found.failed:
        raise typer.Exit(1)


def _default_model(client: Client | LocalClient) -> model_pb2.Model:
    """The model of requests that name none, which every answer tells."""
    import numpy as np

    answer = client.explain_clip(np.full((1, 16, 16, 3), 128, np.uint8), methods=[]).message
    return client.get_model(answer.model, answer.version)


def _clips(
    paths: Sequence[Path], file: Path | None, model: model_pb2.Model
) -> tuple[list[MeasuredClip], frozenset[str]]:
    """The clips with their truths, and the parts of truth that some of them have."""
    from service.cli.evaluation_jobs import MeasuredClip
    from service.cli.result_files import result_names
    from service.client.evaluations.truth_file import check_classes, read_truth, truths_of

    truths: list[ClipTruth | None] = [None] * len(paths)
    if file is not None:
        written = read_truth(file)
        truths = truths_of(written, paths, file)
        used = [truth for truth in truths if truth is not None]
        check_classes(used, model, file)
        _note_unknown(paths, truths, [truth for truth in written if truth not in used], file)
    measured = [
        MeasuredClip(name, _reading(path, truth))
        for name, path, truth in zip(result_names(paths), paths, truths, strict=True)
    ]
    return measured, frozenset().union(*(truth.parts for truth in truths if truth is not None))


def _note_unknown(
    paths: Sequence[Path], truths: Sequence[ClipTruth | None], others: Sequence[ClipTruth], file: Path
) -> None:
    without = [path.name for path, truth in zip(paths, truths, strict=True) if truth is None]
    if without:
        typer.echo(f"{file.name} says nothing of {_some(without)}", err=True)
    if others:
        names = [f"{truth.clip} (line {truth.line})" for truth in others]
        typer.echo(f"{file.name} also names {_some(names)}, not given here", err=True)


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _reading(path: Path, truth: ClipTruth | None) -> Callable[[], tuple[Path, GroundTruth | None]]:
    from service.client.evaluations.mask_files import read_masks

    def read() -> tuple[Path, GroundTruth | None]:
        if truth is None:
            return path, None
        return path, truth.ground_truth(read_masks(truth.mask) if truth.mask is not None else None)

    return read


def _generated(count: int, seed: int, model: model_pb2.Model) -> tuple[list[MeasuredClip], frozenset[str]]:
    from service.cli.generated import generated_clips, knows_classes

    measured = generated_clips(count, seed, model)
    if knows_classes(model):
        return measured, frozenset({"label", "objects", "segment"})
    typer.echo(f"{model.name} has not the classes of generated clips: its top-1 class is explained", err=True)
    return measured, frozenset({"objects", "segment"})


def _is_job(text: str, model: model_pb2.Model) -> bool:
    name = text.partition(":")[0].replace("_", "-")
    return any(support.method == name and support.job for support in model.methods)


def _seconds(
    client: Client | LocalClient,
    measured: Sequence[MeasuredClip],
    model: model_pb2.Model,
    live: Sequence[str],
    plan: job_pb2.EvaluationPlan,
) -> float | None:
    """The time of all clips by that of the first one, explained live; None where it cannot be explained so.

    A forward in a batch takes a good deal less than one alone: where many are to come, some are tried as a batch.
    """
    from service.errors import ActionLensError

    try:
        clip, _ = measured[0].read()
        timings = client.explain_clip(
            clip,
            model=model.name,
            version=model.version,
            methods=live,
            insertion_deletion_gap=plan.forwards > len(live) * _GAP_FORWARDS,
        ).timings
    except (ActionLensError, OSError):
        return None  # the job says what is wrong with the clip
    alone = timings.forward / max(1, timings.batch_size)
    # The first gap also blurs the clip, and one of an explanation without voxels measures nothing.
    together = [seconds / _GAP_FORWARDS for seconds in timings.measure]
    each = min([alone, *(seconds for seconds in together if seconds > _FASTEST * alone)])
    return len(measured) * (alone + each * plan.forwards + sum(timings.explain))


def _plan_document(plan: job_pb2.EvaluationPlan, clips: int) -> dict[str, object]:
    from service.rendering.json_document import message_document

    return {"clips": clips, "forwards": clips * plan.forwards, "plan_of_a_clip": message_document(plan)}


@contextmanager
def _leaving(sent: Sequence[job_pb2.Job], output: Path | None, address: str) -> Iterator[None]:
    """Say at Ctrl-C how to come back, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt:
        if sent:
            jobs = " ".join(f"--job {entry.id}" for entry in sent)
            where = f" -o {output}" if output is not None else ""
            where += f" --address {address}" if address else ""
            what = f"job {sent[0].id} goes" if len(sent) == 1 else f"{len(sent)} jobs go"
            typer.echo(f"\n{what} on; come back with `actionlens evaluate {jobs}{where}`", err=True)
        else:
            typer.echo("\nnothing goes on", err=True)
        raise typer.Exit(130) from None


def _labels(client: Client, job: job_pb2.Job) -> Sequence[str]:
    """The classes of a job's model; none where that is not served any more."""
    from service.errors import NotFound

    try:
        return client.get_model(job.model, job.version).labels
    except NotFound:
        return ()


def _followed(
    client: Client,
    sent: Sequence[job_pb2.Job],
    labels: Sequence[str],
    output: Path | None,
    address: str,
    as_json: bool,
) -> EvaluatedSet:
    from service.cli.evaluation_jobs import Gathering
    from service.cli.evaluation_terminal import live_table

    with _leaving(sent, output, address), live_table(as_json) as progress:
        return Gathering(client, sent, labels).follow(progress, _printing(as_json))


def _printing(as_json: bool) -> Callable[[EvaluatedClip], None]:
    from service.rendering.json_document import message_document

    def arrived(clip: EvaluatedClip) -> None:
        if as_json:
            document = {"clip": clip.name, "evaluation": message_document(clip.evaluation)}
            print(printable_json(document), flush=True)

    return arrived


def _about(model: str, version: str, seed: int, method: method_pb2.Method) -> dict[str, Any]:
    """What was asked, for the tables."""
    from service.rendering.json_document import message_document

    return {"model": model, "version": version, "seed": seed, "evaluate": message_document(method.evaluate)}


def _about_job(job: job_pb2.Job) -> dict[str, Any]:
    return _about(job.model, job.version, int(job.seed), job.method)


def _finish(
    found: EvaluatedSet,
    about: dict[str, Any],
    output: Path | None,
    earlier: EarlierEvaluation | None,
    report: Stage,
    as_json: bool,
) -> None:
    """Show the table, and write the files when there is a folder."""
    from service.cli.evaluation_terminal import show_evaluation
    from service.cli.terminal import out
    from service.evaluation.report_files import report_document

    report("testing differences")
    document = report_document(found, about, earlier)
    console = out()
    report("")
    if as_json:
        print(printable_json(document))
    else:
        show_evaluation(console, found, earlier)
    if output is None:
        return
    written = list(_write(output, found, document, f"{about['model']} {about['version']}", earlier, report))
    report("")
    for path in () if as_json else written:
        console.print(f"  {path}", style="blue", soft_wrap=True)


def _write(
    folder: Path,
    found: EvaluatedSet,
    document: dict[str, object],
    heading: str,
    earlier: EarlierEvaluation | None,
    report: Stage,
) -> Iterator[Path]:
    from actionlens.extras import how_to_install, lacks
    from service.cli.result_files import write_file
    from service.evaluation.report_files import clip_arrays, csv_text, markdown_text
    from service.rendering.json_document import json_file, npz_file

    plots: list[str] = []
    if lacks("media"):
        typer.echo(f"for plots, {how_to_install('media')}", err=True)
    elif found.clips:
        from service.evaluation.report_plots import report_plots

        report("drawing plots")
        for name, data in report_plots(found):
            plots.append(name)
            yield write_file(folder / name, data)
    report("writing tables")
    yield write_file(folder / "table.json", json_file(document))
    yield write_file(folder / "table.csv", csv_text(found).encode())
    yield write_file(folder / "table.md", markdown_text(found, heading, plots, earlier).encode())
    yield write_file(folder / "clips.npz", npz_file(clip_arrays(found)))
