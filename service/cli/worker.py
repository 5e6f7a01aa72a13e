"""`actionlens jobs worker`: computes jobs, here or on another machine than the service."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.options import Store, TrustCode, settings_of


def worker(
    db: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="ACTIONLENS_JOBS_DB",
            show_default="jobs.sqlite in the data folder",
            help="The service's database of jobs; postgresql://USER@HOST/NAME for workers on other machines.",
        ),
    ] = None,
    artefacts: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL",
            envvar="ACTIONLENS_JOBS__ARTEFACTS",
            show_default="in the data folder",
            help="The service's artefacts: a shared folder, or s3://BUCKET/PATH.",
        ),
    ] = None,
    store: Store = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="Compute processes per model: so many clips at once.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, max=256, help="Torch threads of each; 0: cores / processes.")
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Compute jobs until Ctrl-C. Settings are those of the service: the same ACTIONLENS_* variables.

    The service runs one such worker itself; ACTIONLENS_JOBS__WORKERS=0 turns that off. Any number may run.
    """
    from actionlens.extras import needing, require

    with needing("worker"):
        # Its compute processes import torch, this process does not; a worker without it would take clips and fail them.
        require("torch")
        from service.jobs.worker.process import run_worker

    settings = settings_of(store, trust_code)
    given = {"db": db, "artefacts": artefacts, "processes": processes, "threads": threads}
    chosen = {key: value for key, value in given.items() if value is not None}
    run_worker(settings.model_copy(update={"jobs": settings.jobs.model_copy(update=chosen)}))
